// SPDX-License-Identifier: Apache-2.0

package generate

import (
	"math"
	"math/rand/v2"
)

// random draws from the distributions that customers come from. It belongs to one
// goroutine.
type random struct {
	source rand.PCG
	*rand.Rand
}

func newRandom() *random {
	r := &random{}
	r.Rand = rand.New(&r.source) //nolint:gosec // reproducible on purpose
	return r
}

// begin makes the draws that follow a function of the two seeds alone.
func (r *random) begin(seed, of uint64) { r.source.Seed(mix(seed), mix(seed^mix(of))) }

// mix scatters the bits of x: the output function of SplitMix64 (G. Steele, D. Lea,
// C. Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// share is mix of x as a number from 0 up to, but not including, 1.
func share(x uint64) float64 { return float64(mix(x)>>11) / (1 << 53) }

func (r *random) chance(p float64) bool { return r.Float64() < p }

// between is a whole number from a to b, both included.
func (r *random) between(a, b int64) int64 { return a + r.Int64N(b-a+1) }

// gamma has mean shape · scale: G. Marsaglia and W. Tsang, A Simple Method for Generating
// Gamma Variables, ACM TOMS 26 (2000).
func (r *random) gamma(shape, scale float64) float64 {
	if shape < 1 {
		return r.gamma(shape+1, scale) * math.Pow(r.Float64(), 1/shape)
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := r.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v *= v * v
		if u := r.Float64(); math.Log(u) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v * scale
		}
	}
}

func (r *random) beta(a, b float64) float64 {
	x := r.gamma(a, 1)
	return x / (x + r.gamma(b, 1))
}

// failures is how many trials fail before the first success: geometric, with this mean.
func (r *random) failures(mean float64) int {
	return int(math.Log(1-r.Float64()) / math.Log(mean/(1+mean)))
}
