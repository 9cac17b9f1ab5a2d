// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"slices"
)

// spread is the median of some figures, with the least and the greatest.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// spreadOf is the zero spread for no figures.
func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	s := slices.Sorted(slices.Values(values))
	return spread{Median: rounded((s[(len(s)-1)/2] + s[len(s)/2]) / 2), Min: rounded(s[0]), Max: rounded(s[len(s)-1])}
}

// percentile is the least value that at least the share p (0 to 1) of the sorted values
// do not exceed; NaN for none.
func percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	rank := int(math.Ceil(p * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// quotients divides a by b, pair by pair: what one round gave, by what the other
// contender gave in the same round. Pairs that lack one, or divide by 0, are left out.
func quotients(a, b []float64) []float64 {
	var q []float64
	for i, dividend := range a {
		if i < len(b) && b[i] != 0 {
			q = append(q, dividend/b[i])
		}
	}
	return q
}

// rounded keeps three digits behind the point: a figure is not more exact than that.
func rounded(x float64) float64 { return math.Round(x*1000) / 1000 }
