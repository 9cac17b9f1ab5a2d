// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"math"
	"slices"
)

// The statistics once more, by other ways than the SQL takes: textbook forms, continued
// fractions and bisection. TestStatistics holds the SQL to SciPy; here they are what a
// view must show for its counts.

const z95 = 1.959963984540054

func wilson(k, n float64) (low, high float64) {
	p, z := k/n, z95
	mid := (p + z*z/(2*n)) / (1 + z*z/n)
	half := z / (1 + z*z/n) * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return mid - half, mid + half
}

func newcombe(k1, n1, k0, n0 float64) (low, high float64) {
	p1, p0 := k1/n1, k0/n0
	l1, u1 := wilson(k1, n1)
	l0, u0 := wilson(k0, n0)
	return p1 - p0 - math.Hypot(p1-l1, u0-p0), p1 - p0 + math.Hypot(u1-p1, p0-l0)
}

// sequential is the always-valid p-value, and how many standard errors its interval is wide.
func sequential(z, m float64) (p, point float64) {
	const prior = 0.1
	v := 1 / m // of the difference, in standard deviations
	ratio := math.Sqrt(v/(v+prior*prior)) * math.Exp(z*z/2*prior*prior/(v+prior*prior))
	return min(1, 1/ratio), math.Sqrt((v + prior*prior) / (prior * prior) * math.Log((v+prior*prior)/(v*0.05*0.05)))
}

func rateError(k1, n1, k0, n0 float64) float64 {
	p := (k1 + k0) / (n1 + n0)
	a1, a0 := (k1+1)/(n1+2), (k0+1)/(n0+2)
	return math.Max(math.Sqrt(p*(1-p)*(1/n1+1/n0)), math.Sqrt(a1*(1-a1)/n1+a0*(1-a0)/n0))
}

// gammaTail is the upper regularised incomplete gamma function: its series, or beyond
// a + 1 its continued fraction.
func gammaTail(a, x float64) float64 {
	if x == 0 {
		return 1
	}
	lg, _ := math.Lgamma(a)
	front := math.Exp(a*math.Log(x) - x - lg)
	if x < a+1 {
		sum, term := 1/a, 1/a
		for n := 1; n < 10_000; n++ {
			term *= x / (a + float64(n))
			sum += term
		}
		return 1 - front*sum
	}
	f := 0.0
	for n := 5_000.0; n >= 1; n-- {
		f = n * (n - a) / (x + 2*n + 1 - a - f)
	}
	return front / (x + 1 - a - f)
}

func chiSquareTail(x, df float64) float64 { return gammaTail(df/2, x/2) }

// studentTails integrates the density of t by Simpson's rule.
func studentTails(t, df float64) float64 {
	const steps = 200_000
	t = math.Abs(t)
	lg1, _ := math.Lgamma((df + 1) / 2)
	lg0, _ := math.Lgamma(df / 2)
	c := math.Exp(lg1-lg0) / math.Sqrt(df*math.Pi)
	density := func(x float64) float64 { return c * math.Pow(1+x*x/df, -(df+1)/2) }
	sum := density(0) + density(t)
	for i := 1; i < steps; i++ {
		sum += float64(2+2*(i%2)) * density(t*float64(i)/steps)
	}
	return math.Max(0, 1-2*sum*t/steps/3)
}

// studentPoint is where 5 % lie beyond, on both sides, by bisection.
func studentPoint(df float64) float64 {
	low, high := 1.9, 3.0
	for range 60 {
		if mid := (low + high) / 2; studentTailsCoarse(mid, df) > 0.05 {
			low = mid
		} else {
			high = mid
		}
	}
	return low
}

// studentTailsCoarse has enough steps for |t| <= 3.
func studentTailsCoarse(t, df float64) float64 {
	const steps = 2_000
	lg1, _ := math.Lgamma((df + 1) / 2)
	lg0, _ := math.Lgamma(df / 2)
	c := math.Exp(lg1-lg0) / math.Sqrt(df*math.Pi)
	density := func(x float64) float64 { return c * math.Pow(1+x*x/df, -(df+1)/2) }
	sum := density(0) + density(t)
	for i := 1; i < steps; i++ {
		sum += float64(2+2*(i%2)) * density(t*float64(i)/steps)
	}
	return 1 - 2*sum*t/steps/3
}

// holm corrects p-values, by the words of the method: in order, each times the number of
// those not yet taken, never below the one before.
func holm(ps []float64) []float64 {
	order := make([]int, len(ps))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case ps[a] < ps[b]:
			return -1
		case ps[a] > ps[b]:
			return 1
		}
		return 0
	})
	out, least := make([]float64, len(ps)), 0.0
	for taken, i := range order {
		least = math.Max(least, math.Min(1, ps[i]*float64(len(ps)-taken)))
		out[i] = least
	}
	return out
}

// sampleRatio is the p-value of the counts against the shares; not ok if it cannot be told.
func sampleRatio(counts map[string]float64, shares map[string]float64) (p float64, ok bool) {
	total := 0.0
	for _, n := range counts {
		total += n
	}
	if len(shares) < 2 || total == 0 {
		return 0, false
	}
	for arm, n := range counts {
		if n > 0 && shares[arm] == 0 {
			return 0, true
		}
	}
	x, least := 0.0, math.Inf(1)
	for arm, share := range shares {
		off := counts[arm] - total*share
		x += off * off / (total * share)
		least = math.Min(least, total*share)
	}
	return chiSquareTail(x, float64(len(shares)-1)), least >= 5
}
