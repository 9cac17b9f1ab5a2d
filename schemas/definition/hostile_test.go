// SPDX-License-Identifier: Apache-2.0

package definition_test

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"lapwing/schemas/definition"
)

// What a file of 1 MiB may cost. All that was ever allocated bounds what was held
// at one time.
const (
	mostAllocated = 1 << 30 // bytes
	mostTime      = time.Minute
)

// repeat fills size bytes, or a little less, with s.
func repeat(s string) func(size int) string {
	return func(size int) string { return strings.Repeat(s, size/len(s)) }
}

// between is head, s as often as there is room for it, and tail.
func between(head, s, tail string) func(size int) string {
	return func(size int) string {
		return head + strings.Repeat(s, (size-len(head)-len(tail))/len(s)) + tail
	}
}

// keyPath is seven mappings, one in the other, whose keys are as long as allowed:
// the library keeps each value's path.
func keyPath() string {
	var b strings.Builder
	for i := range 7 {
		b.WriteString(strings.Repeat(" ", i) + strings.Repeat("k", 63) + ":\n")
	}
	return b.String()
}

// hostile are files that are made to cost much, of about the size asked for.
var hostile = []struct {
	name string
	make func(size int) string
	size int
}{
	// These are read or refused fast, so they are as large as a file may be.
	{"many empty lines", between("a: |\n", "\n", ""), full},
	{"long key", between("", "k", ": 1"), full},
	{"long name", between(minimal+"currency: ", "x", ""), full},
	{"long condition", between(minimal+`models: [{name: m, stages: [{stage: a, when: "`, "(", `"}]}]`), full},
	{"long duration", between(minimal+"dedupe: ", "9", "d"), full},
	{"many problems", func(int) string { return "events:\n" + strings.Repeat(" A: {}\n", 1999) }, full},
	{"NULs", repeat("\x00"), full},
	{"line ends", repeat("\r\n"), full},
	{"quote never closed", between(`a: "`, "x\n", ""), full},
	{"escapes", between(minimal+`currency: "`, `\u00e9`, `"`), full},
	{"alias bomb", func(int) string {
		return "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
	}, full},
	{"alias to itself", func(int) string { return "a: &a [*a]\n" }, full},

	// These must cost in proportion to their size.
	{"deep flow", func(size int) string { return strings.Repeat("[", size/2) + strings.Repeat("]", size/2) }, part},
	{"deep flow, never closed", repeat("["), part},
	{"deep mappings", func(size int) string { return strings.Repeat("{a: ", size/5) + strings.Repeat("}", size/5) }, part},
	{"deep lists", repeat("- "), part},
	{"deep keys", repeat("? "), part},
	{"deep tags", repeat("!a "), part},
	{"deep anchors", repeat("&a "), part},
	{"closed too often", repeat("]"), part},
	{"many keys", repeat("a: 1\n"), part},
	{"many keys in braces", between("{", "a: 1,", "}"), part},
	{"many keys without values", repeat("a:\n"), part},
	{"many items", repeat("- a\n"), part},
	{"many events", between("events:\n", " a: {}\n", ""), part},
	{"many runs of empty lines", between("a: |\n", " x\n"+strings.Repeat("\n", 99), ""), part},
	{"long paths", between(keyPath(), "         - a\n", ""), part},
	{"long paths in braces", between(strings.Repeat("{"+strings.Repeat("k", 63)+": ", 7)+"[", "a,", "]"+strings.Repeat("}", 7)), 2 * part},
	{"many condition comments", between(minimal+"models:\n", " - {name: 'a", ""), part},
	{"many cut conditions", between(minimal+"models: [", "x == 'a #\n", ""), part},
	{"comments", repeat("# a\n"), part},
	{"documents", repeat("---\n"), part},
	{"literals", repeat("|\n"), part},
	{"reserved", repeat("`"), part},
}

const (
	full = 1 << 20
	part = full / 16
)

// TestHostileFiles holds what a file of at most 1 MiB may cost.
func TestHostileFiles(t *testing.T) {
	for _, c := range hostile {
		t.Run(c.name, func(t *testing.T) {
			source := c.make(c.size)
			allocated := refuse(t, source)
			if c.size == full {
				if allocated > mostAllocated {
					t.Errorf("allocated %d MiB", allocated>>20)
				}
				return
			}
			// A smaller file stands for one of 1 MiB only if the cost grows no faster
			// than the size; 3 leaves room for slices that double.
			const slack = 1 << 20
			if half := refuse(t, c.make(c.size/2)); allocated > 3*half+slack {
				t.Errorf("allocated %d KiB for %d bytes, and %d KiB for half as many", allocated>>10, len(source), half>>10)
			}
			if allocated*full > mostAllocated*uint64(c.size) {
				t.Errorf("allocated %d MiB for %d bytes", allocated>>20, len(source))
			}
		})
	}
}

// refuse parses what must be refused, in time and with problems that help, and
// returns the bytes that were allocated for it.
func refuse(t *testing.T, source string) (allocated uint64) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	d, problems := definition.Parse("def.yaml", []byte(source))
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	allocated = after.TotalAlloc - before.TotalAlloc
	t.Logf("%d bytes: %v, %d KiB, %d problems", len(source), took, allocated>>10, len(problems))
	if took > mostTime {
		t.Errorf("took %v", took)
	}
	if d != nil || len(problems) == 0 {
		t.Fatal("accepted")
	}
	if len(problems) > 101 {
		t.Errorf("%d problems are no help to anybody", len(problems))
	}
	for _, p := range problems {
		if len(p.Message) > 1000 {
			t.Errorf("a message of %d bytes", len(p.Message))
		}
	}
	return allocated
}
