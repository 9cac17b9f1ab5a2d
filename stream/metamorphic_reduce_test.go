// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// reduceMeta makes a failing plan as small as it gets and leaves it beside the file it
// came from. Each candidate runs in a process of its own: what fails may also panic,
// or never end.
func reduceMeta(t *testing.T, p *metaPlan, path string) {
	t.Helper()
	smaller := strings.TrimSuffix(path, ".txt") + ".reduced.txt"
	candidate := filepath.Join(t.TempDir(), "candidate.txt")
	runs := 0
	tell := func(p *metaPlan) string {
		runs++
		if err := os.WriteFile(candidate, []byte(p.text()), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMetamorphic$", "-meta.ops="+candidate, "-test.timeout=30s")
		out, err := cmd.CombinedOutput()
		switch {
		case err == nil:
			return ""
		case strings.Contains(string(out), metaDiffers):
			return metaDiffers
		default:
			return "it breaks"
		}
	}
	kind := tell(p)
	if kind == "" {
		t.Logf("nothing to reduce: %s does not fail", path)
		return
	}
	least := reduceMetaPlan(p, func(p *metaPlan) bool {
		failed := tell(p) == kind
		if failed {
			if err := os.WriteFile(smaller, []byte(p.text()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return failed
	})
	t.Errorf("%s: %d of %d operations are enough (%d runs), in %s\n%s", kind, len(least.ops), len(p.ops), runs, smaller, least.text())
}

// reduceMetaPlan takes away configurations, operations, actions, settings and lines of
// the definition, for as long as it fails.
func reduceMetaPlan(p *metaPlan, fails func(*metaPlan) bool) *metaPlan {
	for {
		before := p.text()
		p = reduceConfigs(p, fails)
		p = p.with(reduceList(p.ops, func(ops []metaOp) bool { return fails(p.with(ops)) }))
		p = simplifyConfigs(p, fails)
		p = reduceDefinition(p, fails)
		if p.text() == before {
			return p
		}
	}
}

// reduceConfigs keeps one or two configurations.
func reduceConfigs(p *metaPlan, fails func(*metaPlan) bool) *metaPlan {
	configs := reduceList(p.configs, func(cs []metaConfig) bool {
		less := *p
		less.configs = cs
		return len(cs) > 0 && fails(&less)
	})
	out := *p
	out.configs = configs
	return &out
}

// simplifyConfigs brings the configurations as near to the plain one as they go.
func simplifyConfigs(p *metaPlan, fails func(*metaPlan) bool) *metaPlan {
	for i := range p.configs {
		for again := true; again; {
			again = false
			for _, c := range p.configs[i].simpler() {
				less := *p
				less.configs = slices.Clone(p.configs)
				less.configs[i] = c
				if fails(&less) {
					p, again = &less, true
					break
				}
			}
		}
	}
	return p
}

// reduceDefinition takes lines out. What is no definition any more does not fail: the
// oracle or the compiler refuses it.
func reduceDefinition(p *metaPlan, fails func(*metaPlan) bool) *metaPlan {
	lines := strings.SplitAfter(strings.TrimSuffix(p.definition, "\n"), "\n")
	lines[len(lines)-1] += "\n"
	for i := len(lines) - 1; i >= 0; i-- {
		less := *p
		without := slices.Delete(slices.Clone(lines), i, i+1)
		less.definition = strings.Join(without, "")
		if stands(less.definition) && fails(&less) {
			p, lines = &less, without
		}
	}
	return p
}

// reduceList is delta debugging: halves are taken away, then quarters, and so on down
// to single elements, for as long as what is left fails.
func reduceList[T any](list []T, fails func([]T) bool) []T {
	for size := (len(list) + 1) / 2; size > 0; {
		cut := false
		for from := 0; from < len(list); {
			less := slices.Delete(slices.Clone(list), from, min(len(list), from+size))
			if fails(less) {
				list, cut = less, true
				continue
			}
			from += size
		}
		switch {
		case size > 1:
			size = (size + 1) / 2
		case !cut:
			return list
		}
	}
	return list
}

// An off-by-one is planted into a copy of the definition: a window that is a second
// longer. The reducer must find the few operations that show it.
func TestMetamorphicReducer(t *testing.T) {
	const window, longer = "'4d'", "'345601s'"
	differs := func(p *metaPlan) bool {
		wrong := *p
		wrong.definition = strings.ReplaceAll(p.definition, window, longer)
		right, err := oracleMetaHistory(p)
		if err != nil {
			return false
		}
		other, err := oracleMetaHistory(&wrong)
		if err != nil {
			return false
		}
		d := differenceOf(right, other)
		// Not that the condition reads differently.
		return d != nil && !strings.Contains(fmt.Sprint(d.left, d.right), longer)
	}
	for seed := uint64(0); seed < 3000; seed += uint64(len(metaPromises)) {
		p := drawMetaPlan(seed)
		if !differs(p) {
			continue
		}
		least := reduceMetaPlan(p, differs)
		if !differs(least) {
			t.Fatalf("seed %d: what is left does not fail\n%s", seed, least.text())
		}
		if len(least.ops) > 4 || len(least.configs) > 1 {
			t.Errorf("seed %d: %d operations are left of %d, want at most 4\n%s", seed, len(least.ops), len(p.ops), least.text())
		}
		t.Logf("seed %d: %d operations became\n%s", seed, len(p.ops), least.text())
		return
	}
	t.Error("no seed shows the planted fault: the draw has gone blind")
}
