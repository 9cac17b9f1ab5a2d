// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

// jsonNumber is JSON's grammar of a number: what a numeric string must follow.
var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// parseNumber reads a number; nil if the text is not one or is too large to be one.
func parseNumber(text string) *big.Rat {
	if !jsonNumber.MatchString(text) {
		return nil
	}
	mantissa, exponent := text, 0
	if e := strings.IndexAny(text, "eE"); e >= 0 {
		mantissa = text[:e]
		n, err := strconv.Atoi(strings.TrimPrefix(text[e+1:], "+"))
		if err != nil || n > 2000 || n < -2000 { // a message's number has fewer digits than that in practice
			switch {
			case strings.Trim(mantissa, "-0.") == "", strings.HasPrefix(text[e+1:], "-"):
				return new(big.Rat)
			default:
				return nil
			}
		}
		exponent = n
	}
	r, ok := new(big.Rat).SetString(mantissa + "e" + strconv.Itoa(exponent))
	if !ok {
		return nil
	}
	return round(r)
}

// round is r to four places, half to even; nil if |r| is then no number.
func round(r *big.Rat) *big.Rat {
	scaled := new(big.Int).Mul(r.Num(), big.NewInt(10_000))
	quo, rem := new(big.Int).QuoRem(scaled, r.Denom(), new(big.Int))
	twice := new(big.Int).Abs(rem)
	twice.Lsh(twice, 1)
	if c := twice.Cmp(r.Denom()); c > 0 || c == 0 && quo.Bit(0) == 1 {
		quo.Add(quo, big.NewInt(int64(scaled.Sign())))
	}
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(18), nil) // 10^14 in units of four places
	if quo.CmpAbs(limit) >= 0 {
		return nil
	}
	return new(big.Rat).SetFrac(quo, big.NewInt(10_000))
}

// numberText is r without trailing zeros.
func numberText(r *big.Rat) string {
	text := r.FloatString(4)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
