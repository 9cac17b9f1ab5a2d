// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestMedianIsTheMiddle(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   spread
	}{
		{nil, spread{}},
		{[]float64{7}, spread{7, 7, 7}},
		{[]float64{9, 1, 5}, spread{5, 1, 9}},
		{[]float64{4, 1, 3, 2}, spread{2.5, 1, 4}},
		{[]float64{1, 1000, 2}, spread{2, 1, 1000}},
	} {
		before := slices.Clone(c.values)
		if got := spreadOf(c.values); got != c.want {
			t.Errorf("%v: %+v, want %+v", c.values, got, c.want)
		}
		if !slices.Equal(before, c.values) {
			t.Errorf("%v was reordered to %v", before, c.values)
		}
	}
}

// The definition in words: the least value that at least this share do not exceed.
func TestPercentileAgainstItsWords(t *testing.T) {
	for n := 1; n <= 120; n++ {
		var sorted []float64
		for i := range n {
			sorted = append(sorted, float64(i/3)) // with ties
		}
		for _, p := range []float64{0, 0.01, 0.5, 0.9, 0.99, 1} {
			want := math.NaN()
			for _, v := range sorted {
				below := 0
				for _, w := range sorted {
					if w <= v {
						below++
					}
				}
				if float64(below) >= p*float64(n) {
					want = v
					break
				}
			}
			if got := percentile(sorted, p); got != want {
				t.Fatalf("%v of %d values: %v, want %v", p, n, got, want)
			}
		}
	}
	if got := percentile(nil, 0.5); !math.IsNaN(got) {
		t.Errorf("of nothing: %v", got)
	}
}

func TestQuotientsPairRounds(t *testing.T) {
	if got := quotients([]float64{10, 30, 8}, []float64{5, 10}); !slices.Equal(got, []float64{2, 3}) {
		t.Errorf("%v", got)
	}
	if got := quotients([]float64{1, 2}, []float64{0, 4}); !slices.Equal(got, []float64{0.5}) {
		t.Errorf("%v", got)
	}
}

// at is a sighting: milliseconds after the epoch when it was seen, and created.
func at(partition int32, seen, effective int64) sighting {
	return sighting{partition, time.UnixMilli(seen), time.UnixMilli(effective), true}
}

func TestLatenciesAreOfTheMeasuredTime(t *testing.T) {
	deadline := at(0, 1500, 1400)
	deadline.byEvent = false
	got := latencies([]sighting{
		at(0, 1010, 999),  // created before
		at(0, 1040, 1000), // the first that counts
		at(1, 1200, 1180),
		deadline,
		at(0, 2100, 1999), // the last, seen after the end
		at(0, 2001, 2000), // created after
	}, time.UnixMilli(1000), time.UnixMilli(2000))
	if !slices.Equal(got, []float64{20, 40, 101}) {
		t.Errorf("%v", got)
	}
}

func TestStallIsTheGapAroundTheKill(t *testing.T) {
	all := []sighting{
		at(0, 100, 90), at(1, 600, 590), // a pause of 500 ms, long before
		at(0, 980, 970), at(1, 990, 985),
		at(0, 1002, 995), // killed at 1000: this one was committed before
		at(1, 1250, 999), // left over, by the successor
		at(0, 1260, 1100), at(1, 1400, 1200), at(1, 1900, 1800), at(0, 5000, 4990),
	}
	killed := time.UnixMilli(1000)
	if got := longestGap(all, killed, time.UnixMilli(1500)); got != 500 { // 1400 to 1900 reaches in
		t.Errorf("the longest gap that reaches into 1000 to 1500 is %v", got)
	}
	if got := longestGap(all, killed, time.UnixMilli(1300)); got != 248 {
		t.Errorf("the longest gap that reaches into 1000 to 1300 is %v", got)
	}
	gaps := lastGaps(all, killed)
	if len(gaps) != 2 || gaps[0] != 280 || gaps[1] != 410 {
		t.Errorf("per partition: %v, want 280 and 410", gaps)
	}
	if got := partitionsOf(all, time.UnixMilli(500)); len(got) != 1 || !got[0] {
		t.Errorf("seen before 500: %v", got)
	}
}

func TestReachedMeansEveryPartition(t *testing.T) {
	end := offsets{0: 10, 1: 0, 2: 5}
	for _, c := range []struct {
		at   offsets
		want bool
	}{
		{offsets{}, false},
		{offsets{0: 10}, false},
		{offsets{0: 9, 1: 0, 2: 5}, false},
		{offsets{0: 10, 2: 5}, true},
		{offsets{0: 11, 1: 3, 2: 5}, true},
	} {
		if got := reached(c.at, end); got != c.want {
			t.Errorf("%v of %v: %t", c.at, end, got)
		}
	}
	if !reached(offsets{}, offsets{0: 0}) {
		t.Error("an empty topic is read")
	}
}
