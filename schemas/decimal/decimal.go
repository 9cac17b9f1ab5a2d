// SPDX-License-Identifier: Apache-2.0

// Package decimal is the one number type of definitions, records and sums:
// an exact decimal with four places, held in an int64.
//
// A general library (shopspring/decimal) costs an allocation an operation and has
// no notion of "no number"; the fold adds and compares millions a second.
package decimal

import (
	"math/bits"
	"strconv"
)

// Decimal is a number in units of 1/10,000. Its magnitude is below 10^14
// (10^18 units); what would be larger is no number.
type Decimal int64

const (
	// Scale is the number of units in one.
	Scale = 10_000
	// Limit is the first magnitude, in units, that is no number.
	Limit = 1_000_000_000_000_000_000
)

// FromInt is n as a Decimal; ok is false if it is too large.
func FromInt(n int64) (d Decimal, ok bool) {
	if n >= Limit/Scale || n <= -Limit/Scale {
		return 0, false
	}
	return Decimal(n * Scale), true
}

// Add is a + b; ok is false if the result is no number.
func Add(a, b Decimal) (sum Decimal, ok bool) {
	sum = a + b // both below 10^18: no overflow of int64
	return sum, sum < Limit && sum > -Limit
}

// Mul is a * b, rounded half to even at four places.
func Mul(a, b Decimal) (Decimal, bool) {
	hi, lo := bits.Mul64(abs(a), abs(b))
	if hi >= Scale {
		return 0, false
	}
	quo, rem := bits.Div64(hi, lo, Scale)
	return finish(roundHalfEven(quo, rem, Scale), (a < 0) != (b < 0))
}

// Div is a / b, rounded half to even at four places; ok is false for b = 0.
func Div(a, b Decimal) (Decimal, bool) {
	if b == 0 {
		return 0, false
	}
	den := abs(b)
	hi, lo := bits.Mul64(abs(a), Scale)
	if hi >= den {
		return 0, false
	}
	quo, rem := bits.Div64(hi, lo, den)
	return finish(roundHalfEven(quo, rem, den), (a < 0) != (b < 0))
}

func abs(d Decimal) uint64 {
	if d < 0 {
		return uint64(-d)
	}
	return uint64(d)
}

func roundHalfEven(quo, rem, den uint64) uint64 {
	switch rest := den - rem; { // rem < den
	case rem > rest, rem == rest && quo&1 == 1:
		return quo + 1
	default:
		return quo
	}
}

func finish(magnitude uint64, negative bool) (Decimal, bool) {
	if magnitude >= Limit {
		return 0, false
	}
	if negative {
		return -Decimal(magnitude), true
	}
	return Decimal(magnitude), true
}

// Parse reads a number by JSON's grammar, exponent included, and rounds half to
// even at four places. ok is false if text is not of that grammar or |x| >= 10^14.
func Parse[T string | []byte](text T) (d Decimal, ok bool) {
	i, n := 0, len(text)
	negative := false
	if i < n && text[i] == '-' {
		negative = true
		i++
	}
	intStart := i
	for i < n && text[i] >= '0' && text[i] <= '9' {
		i++
	}
	intEnd := i
	if intEnd == intStart || text[intStart] == '0' && intEnd-intStart > 1 {
		return 0, false
	}
	fracStart, fracEnd := i, i
	if i < n && text[i] == '.' {
		i++
		fracStart = i
		for i < n && text[i] >= '0' && text[i] <= '9' {
			i++
		}
		fracEnd = i
		if fracEnd == fracStart {
			return 0, false
		}
	}
	exp := 0
	if i < n && (text[i] == 'e' || text[i] == 'E') {
		i++
		expNegative := false
		if i < n && (text[i] == '+' || text[i] == '-') {
			expNegative = text[i] == '-'
			i++
		}
		digits := i
		for i < n && text[i] >= '0' && text[i] <= '9' {
			if exp < 1<<30 { // far beyond any text's length: more digits change nothing
				exp = exp*10 + int(text[i]-'0')
			}
			i++
		}
		if i == digits {
			return 0, false
		}
		if expNegative {
			exp = -exp
		}
	}
	if i != n {
		return 0, false
	}
	// digits d1 d2 ... (integer then fraction); the value in units is
	// digits * 10^(exp + 4 - number of fraction digits).
	total := (intEnd - intStart) + (fracEnd - fracStart)
	digit := func(k int) byte {
		if k < intEnd-intStart {
			return text[intStart+k]
		}
		return text[fracStart+k-(intEnd-intStart)]
	}
	whole := (intEnd - intStart) + exp + 4 // how many leading digits count as whole units
	var mag uint64
	k := 0
	for ; k < total && k < whole; k++ {
		mag = mag*10 + uint64(digit(k)-'0')
		if mag >= Limit {
			return 0, false
		}
	}
	for ; k < whole; k++ { // zeros that the exponent appends
		if mag == 0 {
			break
		}
		mag *= 10
		if mag >= Limit {
			return 0, false
		}
	}
	if whole < 0 { // at least one zero stands before the first digit: below half a unit
		return 0, true
	}
	if k < total {
		first, rest := digit(k), false
		for j := k + 1; j < total; j++ {
			if digit(j) != '0' {
				rest = true
				break
			}
		}
		if first > '5' || first == '5' && (rest || mag&1 == 1) {
			mag++
		}
	}
	return finish(mag, negative)
}

// AppendJSON appends d as a JSON number without trailing zeros.
func (d Decimal) AppendJSON(dst []byte) []byte {
	if d < 0 {
		dst = append(dst, '-')
	}
	mag := abs(d)
	dst = strconv.AppendUint(dst, mag/Scale, 10)
	frac := mag % Scale
	if frac == 0 {
		return dst
	}
	dst = append(dst, '.')
	for unit := uint64(Scale / 10); frac > 0; unit /= 10 {
		dst = append(dst, byte('0'+frac/unit))
		frac %= unit
	}
	return dst
}

// String is d as a JSON number.
func (d Decimal) String() string { return string(d.AppendJSON(nil)) }
