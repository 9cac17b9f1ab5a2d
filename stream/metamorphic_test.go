// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// One list of operations, drawn from a seed, under many configurations: what is
// committed must be the same. What is promised equal under which change:
//
//   - ordered: no event comes after a later one of its customer, and what is of one
//     customer comes through one partition of one input. Then everything is the same,
//     record for record: stage and segment changes, assignments, conversions,
//     profiles, activity, every total, dead letters; whatever the number of lanes, slots and processes, the size of
//     polls, transactions, waves and caches, the way in, kills, restarts and moves of
//     lanes at any moment, and messages that come again. And it is what the oracle
//     says of the list. Only detected_at, where the clock stood when a change was
//     found, is left out.
//   - reordered: the definition has a lateness, and no event comes after one that is
//     ahead of it by that much or more (at exactly that much it may have been
//     applied, and then the messageId cannot sort it before others of its instant).
//     Then the order of arrival does not matter either, and all of the above is the same.
//     Nor does it matter through which partition of which input anything comes, if
//     dedupe and retain.anonymous are longer than the history: nothing bounds how far
//     one partition is ahead of another, and what is a duplicate, and who has expired
//     before a message, is judged when it is read, by the customer's own clock. What is read first
//     still counts first: messages with the same messageId, or orders with the same
//     key, keep to their order, and so do messages of an instant without messageId.
//   - late: any order. Then the stages, segments and traits in which customers end are
//     the same, if no condition asks how long a stage was held or for a campaign, and
//     so are the totals per event and period, if nothing comes CloseAfter behind the
//     clock. By which way they got there, under which stage something was counted, and
//     who was assigned on the way, is not.
type metaPromise string

const (
	metaOrdered   metaPromise = "ordered"
	metaReordered metaPromise = "reordered"
	metaLate      metaPromise = "late"
)

var metaPromises = []metaPromise{metaOrdered, metaReordered, metaLate}

// The short form is part of every run of the tests. More seeds, one of them, or a list
// from a file:
//
//	go test ./stream -run '^TestMetamorphic$' -meta.rounds=500 -timeout 2h
//	go test ./stream -run '^TestMetamorphic$' -meta.seed=17
//	go test ./stream -run '^TestMetamorphic$' -meta.ops=/tmp/metamorphic-17.txt
//
// With -meta.reduce a failure is made as small as it can be made first.
var (
	metaRounds = flag.Int("meta.rounds", 18, "how many seeds the metamorphic test runs")
	metaSeed   = flag.Uint64("meta.seed", 0, "the first seed of the metamorphic test; alone: the only one")
	metaOps    = flag.String("meta.ops", "", "a file of operations for the metamorphic test")
	metaReduce = flag.Bool("meta.reduce", false, "reduce what fails in the metamorphic test")
)

func TestMetamorphic(t *testing.T) {
	if *metaOps != "" {
		p, err := readMetaPlan(*metaOps)
		if err != nil {
			t.Fatal(err)
		}
		checkMeta(t, p, *metaOps)
		return
	}
	given := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	first, rounds := *metaSeed, *metaRounds
	if given["meta.seed"] && !given["meta.rounds"] {
		rounds = 1
	}
	told := map[string]int{} // what the oracle said in all
	for seed := first; seed < first+uint64(rounds); seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			p := drawMetaPlan(seed)
			path := filepath.Join(os.TempDir(), fmt.Sprintf("metamorphic-%d.txt", seed))
			if err := os.WriteFile(path, []byte(p.text()), 0o600); err != nil {
				t.Fatal(err)
			}
			checkMeta(t, p, path).tally(told)
			if !t.Failed() {
				_ = os.Remove(path)
			}
		})
	}
	t.Logf("%d seeds: %v", rounds, told)
	for _, what := range metaTold {
		if rounds >= 18 && told[what] < 10 {
			t.Errorf("the plans reached %q only %d times: the generator has gone blind", what, told[what])
		}
	}
}

// checkMeta runs the plan of a file under its configurations and compares. The first
// one is compared with the oracle, the others with the first. It returns what was promised.
func checkMeta(t *testing.T, p *metaPlan, path string) metaHistory {
	t.Helper()
	if *metaReduce {
		reduceMeta(t, p, path)
		return nil
	}
	at := "the oracle" // where it broke, if it did
	defer func() {
		if t.Failed() {
			t.Logf("seed %d, promise %s, %s\noperations, configurations and definition: %s\nthe same again:  go test ./stream -run '^TestMetamorphic$' -meta.ops=%s\nmake it smaller: go test ./stream -run '^TestMetamorphic$' -meta.ops=%s -meta.reduce -timeout 1h",
				p.seed, p.promise, at, path, path, path)
		}
	}()
	want, err := oracleMetaHistory(p)
	if err != nil {
		t.Fatal(err)
	}
	var first metaHistory
	for i := range p.configs {
		c := &p.configs[i]
		at = "under " + c.String()
		got := metaRun(t, p, c)
		if d := differenceOf(got.promised(p.promise, true), want.promised(p.promise, true)); d != nil {
			t.Fatalf("%s\n%s", metaDiffers, d.show(p, "config "+c.String(), "the oracle"))
		}
		if first == nil {
			first = got
			continue
		}
		if d := differenceOf(got.promised(p.promise, false), first.promised(p.promise, false)); d != nil {
			t.Fatalf("%s\n%s", metaDiffers, d.show(p, "config "+c.String(), "config "+p.configs[0].String()))
		}
	}
	return want.promised(p.promise, true)
}

// metaDiffers stands at the head of what a difference prints, so that another failure
// of a smaller plan is not taken for the same one.
const metaDiffers = "the histories differ"
