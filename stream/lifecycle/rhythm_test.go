// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"lapwing/schemas/decimal"
)

// seriesOf are occurrences of an event of which only the instants are kept.
func seriesOf(instants ...int64) (*eventDef, *series) {
	slices.Sort(instants)
	return &eventDef{width: 1, keyAt: 1, propsAt: 1, keep: maxKept, horizon: never}, &series{rows: instants}
}

// The median is that of the sorted gaps, however many there are and however they lie:
// all equal, all different, from a millisecond to two centuries.
func TestMedianGapIsThatOfTheSortedGaps(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, spread := range []int64{1, 2, 50, 3000, 40_000_000, 1_700_000_000} {
		for _, n := range []int{0, 1, 2, 3, 4, 5, fewGaps, fewGaps + 1, fewGaps + 2, fewGaps + 3, 100, 101, 1000, maxKept - 1, maxKept} {
			instants := make([]int64, n)
			at := int64(0)
			for i := range instants {
				at += r.Int64N(spread)
				if r.IntN(5) == 0 && spread > 50 {
					at += r.Int64N(5) // gaps that differ in their last digits
				}
				instants[i] = at
			}
			if n > 3 && spread == 1_700_000_000 {
				instants[n-1] = 7_289_654_399_999 // the last instant that is one
			}
			e, s := seriesOf(instants...)
			var gaps []int64
			for i := 1; i < n; i++ {
				gaps = append(gaps, instants[i]-instants[i-1])
			}
			slices.Sort(gaps)
			got, ok := s.medianGap(e)
			if ok != (len(gaps) >= 2) {
				t.Fatalf("%d instants: known is %v", n, ok)
			}
			if !ok {
				continue
			}
			want := gaps[len(gaps)/2]
			if len(gaps)%2 == 0 {
				want = (gaps[len(gaps)/2-1] + want) / 2
			}
			if got != want {
				t.Errorf("%d instants up to %d ms apart: %d, want %d", n, spread, got, want)
			}
			if allocs := testing.AllocsPerRun(10, func() { s.medianGap(e) }); allocs > 0 {
				t.Errorf("%d instants: %v allocations", n, allocs)
			}
		}
	}
}

// A factor is exact to its four places, and the product is cut to the millisecond.
func TestScaleIsExact(t *testing.T) {
	for _, c := range []struct {
		ms, factor, want int64
	}{
		{20, 10_000, 20},
		{3, 5_000, 1},
		{1, 9_999, 0},
		{10_000, 1, 1},
		{9_999, 1, 0},
		{0, 10_000_000, 0},
		{7_289_654_399_999, 20_000, 14_579_308_799_998},
		{7_289_654_399_999, 999_999_999_999_999_999, endless},
		{1 << 42, 1 << 20, 461_168_601_842_738}, // 2^62 / 10^4
		{1 << 42, 1 << 40, endless},
	} {
		if got := scale(c.ms, decimal.Decimal(c.factor)); got != c.want {
			t.Errorf("%d ms times %d/10000 is %d, want %d", c.ms, c.factor, got, c.want)
		}
	}
}

// A rhythm is a duration and nothing else, and a window that decides what is kept is
// known beforehand. What is refused says why, and what to write instead.
func TestWhereARhythmCannotStand(t *testing.T) {
	for _, c := range []struct {
		condition string
		column    int
		says      string
	}{
		{`count('visit', rhythm('visit')) > 1`, 1, "the window of count is written out, such as '90d': what it keeps of a customer is settled by it before any event comes; a rhythm can be the window of idle and seen"},
		{`sum('purchase', 2 * rhythm('purchase')) > 1`, 1, "the window of sum is written out"},
		{`days('visit', rhythm('visit')) > 1`, 1, "the window of days is written out"},
		{`unique('visit', 'path', rhythm('visit')) > 1`, 1, "the window of unique is written out"},
		{`count_from('visit', 'purchase', rhythm('visit')) > 1`, 1, "the window of count_from is written out"},
		{`first('visit', rhythm('visit'))`, 1, "the window of first is written out, such as '90d': with one that moves with every event it would come and go; a rhythm can be the window of idle and seen"},
		{`stage_for('value', 'buyer', rhythm('visit'))`, 1, "the window of stage_for is written out, such as '90d': with one that moves"},
		{`idle('visit', -1 * rhythm('visit'))`, 18, "the factor of a rhythm is a number above 0, written out: 2 * rhythm('purchase')"},
		{`idle('visit', rhythm('visit') * 0)`, 31, "the factor of a rhythm is a number above 0"},
		{`idle('visit', count('visit') * rhythm('visit'))`, 30, "the factor of a rhythm is a number above 0"},
		{`idle('visit', rhythm('visit') / 2)`, 31, "/ takes numbers, and what stands left of it is a duration"},
		{`idle('visit', rhythm('visit') + rhythm('purchase'))`, 31, "+ adds two numbers or joins two texts, and these are a duration and a duration"},
		{`idle('visit', rhythm('vist'))`, 22, "there is no event \"vist\"; did you mean `visit`?"},
		{`idle('visit', known('a') ? rhythm('visit') : rhythm('purchase'))`, 26, "the window of idle(event, window) is a text written out"},
		{`rhythm('visit') <= 30`, 17, "a rhythm is compared with a duration in quotes, such as '30d', or with another rhythm"},
		{`trait('pace') == rhythm('visit')`, 15, "a rhythm is compared with a duration in quotes"},
		{`rhythm('visit') <= '30 days'`, 17, `"30 days" is no duration`},
		{`rhythm('visit') in ['1d']`, 1, rhythmUse},
		{`rhythm('visit')`, 1, "this is a duration, and a condition is true or false"},
		{`rhythm('visit', '90d') <= '30d'`, 1, "rhythm is written rhythm(event): it is given 2 arguments, and takes at most 1"},
	} {
		m, problems := compileText(t, segmentDefinition("\n      "+fmt.Sprintf("%q", c.condition)))
		if m != nil || len(problems) == 0 {
			t.Errorf("%s was accepted", c.condition)
			continue
		}
		if p := problems[0]; !strings.Contains(p.Message, c.says) || p.Pos.Column-7 != c.column {
			t.Errorf("%s: column %d: %s\nwant column %d: %s", c.condition, p.Pos.Column-7, p.Message, c.column, c.says)
		}
	}
}

// Where a rhythm stands, all instants that it reads are kept; beside a fixed window
// nothing more is.
func TestRetentionOfRhythmsAndCountsSince(t *testing.T) {
	for _, c := range []struct {
		condition       string
		purchase, visit int // instants kept
	}{
		{`idle('purchase', rhythm('purchase'))`, maxKept, 0},
		{`idle('visit', 2 * rhythm('purchase'))`, maxKept, 0},
		{`rhythm('visit') <= '30d'`, 0, maxKept},
		{`count_since('visit', 'purchase') >= 3`, 0, 3},
		{`count_since('visit', 'purchase') > 3`, 0, 4},
		{`count_since('visit', 'purchase') * 1 > 3`, 0, maxKept},
	} {
		m, problems := compileText(t, segmentDefinition(c.condition))
		if m == nil {
			t.Errorf("%s: %v", c.condition, problems)
			continue
		}
		if p, v := m.events[0], m.events[1]; p.keep != c.purchase || v.keep != c.visit || p.keep > 0 && p.horizon != never {
			t.Errorf("%s keeps %d purchases and %d visits, want %d and %d", c.condition, p.keep, v.keep, c.purchase, c.visit)
		}
	}
	_, problems := compileText(t, segmentDefinition(`count_since('visit', 'purchase') >= 4097`))
	if len(problems) == 0 || problems[0].Message != "a count is compared with at most 4096: lower the number" {
		t.Errorf("problems %v", problems)
	}
}

// BenchmarkMedianGap is a rhythm of a customer with as few and as many instants as there are.
func BenchmarkMedianGap(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{5, 25, 100, maxKept} {
		instants := make([]int64, n)
		for i := range instants {
			instants[i] = r.Int64N(10 * 365 * dayMillis)
		}
		e, s := seriesOf(instants...)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.medianGap(e)
			}
		})
	}
}
