// SPDX-License-Identifier: Apache-2.0

package decimal

import (
	"math/big"
	"math/bits"
	"strconv"
	"strings"
)

// Squares is an exact sum of squares of Decimals, in units of 10^-8. Its magnitude is
// below 10^30; what would be larger stays at the bound. The zero Squares is 0.
type Squares struct {
	high int64 // two's complement of 128 bits
	low  uint64
}

// squaresPlaces is the number of decimal places.
const squaresPlaces = 8

// squaresLimit is the first magnitude that is too large: 10^38 units.
const squaresLimitHigh, squaresLimitLow = 0x4b3b4ca85a86c47a, 0x098a224000000000

// SquareOf is d * d.
func SquareOf(d Decimal) Squares {
	high, low := bits.Mul64(abs(d), abs(d))
	return Squares{int64(high), low}
}

// Add is s + t.
func (s Squares) Add(t Squares) Squares {
	low, carry := bits.Add64(s.low, t.low, 0)
	high, _ := bits.Add64(uint64(s.high), uint64(t.high), carry) // both below 2^127 / 1.7: no overflow
	return Squares{int64(high), low}.bounded()
}

// Sub is s - t.
func (s Squares) Sub(t Squares) Squares { return s.Add(t.negated()) }

func (s Squares) negated() Squares {
	low, borrow := bits.Sub64(0, s.low, 0)
	high, _ := bits.Sub64(0, uint64(s.high), borrow)
	return Squares{int64(high), low}
}

// bounded keeps the sum of two that are within the bound within it. The sum of the two
// greatest may not fit 127 bits: then its sign is the wrong one, which `over` finds too,
// since no magnitude of 128 bits is below the bound there.
func (s Squares) bounded() Squares {
	if over(s.magnitude()) {
		limit := Squares{squaresLimitHigh, squaresLimitLow - 1}
		if s.high < 0 {
			return limit.negated()
		}
		return limit
	}
	return s
}

func over(high, low uint64) bool {
	return high > squaresLimitHigh || high == squaresLimitHigh && low >= squaresLimitLow
}

func (s Squares) magnitude() (high, low uint64) {
	if s.high < 0 {
		s = s.negated()
	}
	return uint64(s.high), s.low
}

// AppendJSON appends s as a JSON number without trailing zeros.
func (s Squares) AppendJSON(dst []byte) []byte {
	const part = 10_000_000_000_000_000_000 // 10^19: both parts fit 64 bits
	if s.high < 0 {
		dst = append(dst, '-')
	}
	quo, rem := bits.Div64(0, 0, part)
	if high, low := s.magnitude(); high < part {
		quo, rem = bits.Div64(high, low, part)
	}
	var buf [48]byte
	digits := strconv.AppendUint(buf[:0], quo, 10)
	tail := strconv.AppendUint(nil, rem, 10)
	for range 19 - len(tail) {
		digits = append(digits, '0')
	}
	digits = append(digits, tail...)
	for len(digits) > squaresPlaces+1 && digits[0] == '0' {
		digits = digits[1:]
	}
	whole, frac := digits[:len(digits)-squaresPlaces], digits[len(digits)-squaresPlaces:]
	for len(frac) > 0 && frac[len(frac)-1] == '0' {
		frac = frac[:len(frac)-1]
	}
	dst = append(dst, whole...)
	if len(frac) > 0 {
		dst = append(append(dst, '.'), frac...)
	}
	return dst
}

// String is s as a JSON number.
func (s Squares) String() string { return string(s.AppendJSON(nil)) }

// Big is s in units of 10^-8.
func (s Squares) Big() *big.Int {
	high, low := s.magnitude()
	n := new(big.Int).SetUint64(high)
	n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(low))
	if s.high < 0 {
		n.Neg(n)
	}
	return n
}

// ParseSquares reads what AppendJSON writes.
func ParseSquares(text string) (s Squares, ok bool) {
	digits, negative := strings.CutPrefix(text, "-")
	whole, frac, _ := strings.Cut(digits, ".")
	if whole == "" || len(frac) > squaresPlaces || strings.ContainsAny(digits, "+-_") {
		return Squares{}, false
	}
	n, ok := new(big.Int).SetString(whole+frac+strings.Repeat("0", squaresPlaces-len(frac)), 10)
	if !ok || n.BitLen() > 127 {
		return Squares{}, false
	}
	low := new(big.Int).And(n, new(big.Int).SetUint64(^uint64(0))).Uint64()
	high := new(big.Int).Rsh(n, 64).Uint64()
	if over(high, low) {
		return Squares{}, false
	}
	s = Squares{int64(high), low}
	if negative {
		s = s.negated()
	}
	return s, true
}

// IsZero reports whether s is 0.
func (s Squares) IsZero() bool { return s == Squares{} }

// Parts are the two halves of s, for encodings; SquaresOf takes them back.
func (s Squares) Parts() (high int64, low uint64) { return s.high, s.low }

// SquaresOf is what Parts were taken from.
func SquaresOf(high int64, low uint64) Squares { return Squares{high, low} }
