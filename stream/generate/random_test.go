// SPDX-License-Identifier: Apache-2.0

package generate

import (
	"math"
	"os"
	"testing"
)

func filesIn(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(os.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// The draws have the means and variances of their distributions; by how much they may be
// off is five standard errors, from the fourth moments of the draws themselves.
func TestDistributions(t *testing.T) {
	const n = 200_000
	r := newRandom()
	r.begin(1, 2)
	for _, c := range []struct {
		name           string
		draw           func() float64
		mean, variance float64
	}{
		{"gamma of shape 0.6", func() float64 { return r.gamma(0.6, 2) }, 1.2, 2.4},
		{"gamma of shape 3", func() float64 { return r.gamma(3, 0.5) }, 1.5, 0.75},
		{"beta", func() float64 { return r.beta(1, 12) }, 1.0 / 13, 12.0 / (13 * 13 * 14)},
		{"failures", func() float64 { return float64(r.failures(2)) }, 2, 6},
		{"normal of bits", func() float64 { return normal(r.Uint64()) }, 0, 1},
		{"share of bits", func() float64 { return share(r.Uint64()) }, 0.5, 1.0 / 12},
	} {
		x := make([]float64, n)
		sum := 0.0
		for i := range x {
			x[i] = c.draw()
			sum += x[i]
		}
		mean := sum / n
		second, fourth := 0.0, 0.0
		for _, v := range x {
			d := v - mean
			second += d * d / n
			fourth += d * d * d * d / n
		}
		if math.Abs(mean-c.mean) > 5*math.Sqrt(c.variance/n) {
			t.Errorf("%s: mean %.4f, want %.4f", c.name, mean, c.mean)
		}
		if math.Abs(second-c.variance) > 5*math.Sqrt((fourth-second*second)/n) {
			t.Errorf("%s: variance %.4f, want %.4f", c.name, second, c.variance)
		}
	}
}

// The draws of neighbours have nothing to do with each other.
func TestNeighboursAreIndependent(t *testing.T) {
	const n = 20_000
	r := newRandom()
	draw := func(of uint64) float64 { r.begin(7, of); return r.Float64() - 0.5 }
	sum := 0.0
	for i := range uint64(n) {
		sum += draw(i) * draw(i+1)
	}
	if correlation := sum / n * 12; math.Abs(correlation) > 5/math.Sqrt(n) {
		t.Errorf("the first draws of neighbours correlate by %.4f", correlation)
	}
}

// Customers differ by more than chance: the number of a customer's visits varies far more
// than that of a Poisson process of one rate for all would.
func TestCustomersHaveRhythmsOfTheirOwn(t *testing.T) {
	s := small("e-commerce")
	s.Customers = 2000
	w, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	c := w.newCustomer()
	mean, square := 0.0, 0.0
	for i := range s.Customers {
		c.live(uint32(i))
		v := float64(c.visitsMade)
		mean += v / float64(s.Customers)
		square += v * v / float64(s.Customers)
	}
	if dispersion := (square - mean*mean) / mean; dispersion < 2 || mean < 2 {
		t.Errorf("visits: mean %.2f, variance over mean %.2f, want at least 2 of both", mean, dispersion)
	}
}
