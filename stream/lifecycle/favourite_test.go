// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

// The table holds 2^(50 - i/1024) cut to whole numbers, exactly: the 1024th root of
// 2^(50*1024 - i), which is a root of whole numbers.
func TestWeightsAreExact(t *testing.T) {
	weights := makeWeights()
	for i := 0; i < halfSteps; i++ {
		if testing.Short() && i%50 > 0 {
			continue
		}
		root := new(big.Int).Lsh(big.NewInt(1), uint(weightBits*halfSteps-i))
		for n := halfSteps; n > 1; n /= 2 {
			root.Sqrt(root)
		}
		if got := weights[i]; got != root.Uint64() {
			t.Fatalf("weight %d is %d, want %d", i, got, root)
		}
	}
}

// An occurrence weighs half as much for each half-life, and nothing once it would be
// less than one; 4,096 of them fit the sum.
func TestWeightsFallByHalves(t *testing.T) {
	weights := makeWeights()
	const day = dayMillis
	for _, c := range []struct {
		age, halfLife int64
		want          uint64
	}{
		{0, day, 1 << 50},
		{day, day, 1 << 49},
		{10 * day, day, 1 << 40},
		{50 * day, day, 1},
		{51 * day, day, 0},
		{80_000 * day, 1000, 0},
		{day / 2, day, 796131459065721}, // 2^49.5 = 796,131,459,065,721.1
		{day - 1, day, weights[1023]},
		{day / 1024, day, weights[1]},
		{day/1024 - 1, day, weights[0]}, // the age is cut to a 1024th
	} {
		if got := weight(c.age, c.halfLife, weights); got != c.want {
			t.Errorf("an age of %d ms weighs %d with a half-life of %d, want %d", c.age, got, c.halfLife, c.want)
		}
	}
	if sum := uint64(maxKept) * weights[0]; sum/maxKept != weights[0] {
		t.Error("the sum overflows")
	}
}

const favouriteDefinition = `lapwing: 1
name: favourite
version: 1
limits: {favourite_values: 4}
events:
  view: {match: Product Viewed}
  session: {from: view, gap: 1h}
segments:
  - {name: category, by: "favourite('view', 'category', '2d')"}
  - {name: entry, by: "favourite('session', 'category', '12h')"}
`

// The same events in any order of arrival give the same favourites and the same
// texts in the state, also when more values come than are kept. (Of events of one
// instant the first to arrive begins a session, so there sessions are left out.)
func TestFavouriteDoesNotDependOnTheOrderOfArrival(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for round := range 80 {
		alone := round%2 == 0 // no two at one instant
		var lines []string
		instants := r.Perm(60)
		for i := range 30 {
			if !alone {
				instants[i] = r.IntN(20)
			}
			lines = append(lines, fmt.Sprintf(`{"type":"track","event":"Product Viewed","userId":"u","messageId":"m%d","timestamp":%q,"properties":{"category":"c%d"}}`,
				i, at(int64(instants[i])*1_800_000), r.IntN(9)))
		}
		var want string
		for range 6 {
			h := newHostile(t, favouriteDefinition)
			for _, line := range lines {
				h.send("%s", line)
			}
			var b strings.Builder
			for _, open := range h.model.openSegments(&h.state) {
				if alone || strings.HasPrefix(open.name, "category") {
					b.WriteString(open.name + "\n")
				}
			}
			for _, k := range h.state.series[0].textsOf(0) {
				fmt.Fprintf(&b, "%q last %d\n", k.text, k.last)
			}
			for i, e := range h.model.events {
				if !alone {
					break
				}
				describeSeries(func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }, e, h.state.series[i])
			}
			if got := b.String(); want == "" {
				want = got
			} else if got != want {
				t.Fatalf("in another order: %s\n%s", firstDifference(got, want), strings.Join(lines, "\n"))
			}
			r.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		}
	}
}

// However many values come, and however long they are, no more texts are kept than
// the definition allows, and those that fall out are counted.
func TestTextsOfFavouritesAreBounded(t *testing.T) {
	h := newHostile(t, strings.Replace(favouriteDefinition, "favourite_values: 4", "favourite_values: 100", 1))
	for i := range 6000 {
		h.send(`{"type":"track","event":"Product Viewed","userId":"u","timestamp":%q,"properties":{"category":"%0256d"}}`, at(int64(i)*1000), i)
	}
	h.size()
	if known := h.state.series[0].textsOf(0); len(known) != 100 || h.over[LimitFavouriteValues] != 5900 {
		t.Errorf("%d texts are kept, %d fell out; want 100 and 5900", len(known), h.over[LimitFavouriteValues])
	}
	before := h.over[LimitFavouriteValues]
	h.send(`{"type":"track","event":"Product Viewed","userId":"u","timestamp":%q,"properties":{"category":"%0257d"}}`, at(7000_000), 1)
	h.send(`{"type":"track","event":"Product Viewed","userId":"u","timestamp":%q,"properties":{"category":["a"]}}`, at(7000_000))
	if h.over[LimitFavouriteValues] != before {
		t.Errorf("a value that can be no favourite took the place of another: %s", h.over.String())
	}
}

// A favourite takes no memory beyond its texts: an event with a known value allocates
// what its hashes need, and looking at 4,096 instants nothing.
func TestFavouriteTakesNoMemory(t *testing.T) {
	h := newHostile(t, favouriteDefinition)
	for i := range 300 {
		h.send(`{"type":"track","event":"Product Viewed","userId":"u","timestamp":%q,"properties":{"category":"c%d"}}`, at(int64(i)*60_000), i%3)
	}
	e := h.model.events[0]
	s := h.state.series[0]
	weights, sc := makeWeights(), new(tallyOfTexts)
	if allocs := testing.AllocsPerRun(10, func() { s.favourite(e, 0, s.textsOf(0), dayMillis, weights, sc) }); allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// What cannot be a favourite, or be compared with one, is said.
func TestRefusedFavourites(t *testing.T) {
	for _, c := range []struct{ condition, says string }{
		{`favourite('visit') == 'a'`, "favourite is written favourite(event, property[, half_life]): the property is missing"},
		{`favourite('visit', 'path', '0d') == 'a'`, "0d is too short: a window is longer than 0"},
		{`favourite('visit', 'path', rhythm('visit')) == 'a'`, "favourite is written favourite(event, property[, half_life]): its half_life is a text in quotes, such as '30d', and this is a duration"},
		{`favourite('vist', 'path') == 'a'`, "there is no event \"vist\"; did you mean `visit`?"},
		{`favourite('visit', '') == 'a'`, "a property's name cannot be empty"},
		{`favourite('visit', 'path')`, "this is a text, and a condition is true or false"},
		{`favourite('visit', 'path') == 7`, "a text is compared with a number, which never holds"},
	} {
		_, problems := compileText(t, segmentDefinition(fmt.Sprintf("%q", c.condition)))
		if len(problems) == 0 || !strings.Contains(problems[0].Message, c.says) {
			t.Errorf("%s: %v, want %s", c.condition, problems, c.says)
		}
	}
}

// BenchmarkFavourite is one among few and many values, of as many instants as are kept.
func BenchmarkFavourite(b *testing.B) {
	for _, c := range []struct{ instants, values int }{{20, 5}, {maxKept, 5}, {maxKept, 256}} {
		h := newHostile(b, strings.Replace(favouriteDefinition, "favourite_values: 4", "favourite_values: 256", 1))
		for i := range c.instants {
			h.send(`{"type":"track","event":"Product Viewed","userId":"u","timestamp":%q,"properties":{"category":"c%d"}}`, at(int64(i)*60_000), i%c.values)
		}
		e, s, sc := h.model.events[0], h.state.series[0], new(tallyOfTexts)
		weights := makeWeights()
		b.Run(fmt.Sprintf("%d instants of %d values", c.instants, c.values), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.favourite(e, 0, s.textsOf(0), 30*dayMillis, weights, sc)
			}
		})
	}
}

// BenchmarkMakeWeights is what a definition with favourites takes longer to compile.
func BenchmarkMakeWeights(b *testing.B) {
	for b.Loop() {
		makeWeights()
	}
}
