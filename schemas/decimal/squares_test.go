// SPDX-License-Identifier: Apache-2.0

package decimal_test

import (
	"encoding/json"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"lapwing/schemas/decimal"
)

// TestSquaresAgainstBigIntegers: sums and differences of squares are those of whole
// numbers without bounds, up to the bound, where they stay; text and parts read back.
func TestSquaresAgainstBigIntegers(t *testing.T) {
	bound := new(big.Int).Exp(big.NewInt(10), big.NewInt(38), nil)
	bound.Sub(bound, big.NewInt(1))
	rapid.Check(t, func(rt *rapid.T) {
		var sum decimal.Squares
		want := new(big.Int)
		for range rapid.IntRange(0, 300).Draw(rt, "terms") {
			d := rapid.OneOf(
				rapid.Int64Range(1-decimal.Limit, decimal.Limit-1),
				rapid.Int64Range(-100, 100),
				rapid.Just(int64(decimal.Limit-1)),
			).Draw(rt, "value")
			square := new(big.Int).Mul(big.NewInt(d), big.NewInt(d))
			if rapid.IntRange(0, 3).Draw(rt, "sign") == 0 {
				sum = sum.Sub(decimal.SquareOf(decimal.Decimal(d)))
				want.Sub(want, square)
			} else {
				sum = sum.Add(decimal.SquareOf(decimal.Decimal(d)))
				want.Add(want, square)
			}
			if want.CmpAbs(bound) > 0 {
				sign := want.Sign()
				want.Set(bound)
				if sign < 0 {
					want.Neg(want)
				}
			}
			if sum.Big().Cmp(want) != 0 {
				rt.Fatalf("got %s, want %s", sum.Big(), want)
			}
		}
		text := sum.String()
		if back, ok := decimal.ParseSquares(text); !ok || back != sum || !json.Valid([]byte(text)) {
			rt.Fatalf("%s reads back as %s, %v", text, back, ok)
		}
		if back := decimal.SquaresOf(sum.Parts()); back != sum {
			rt.Fatalf("%s comes back as %s", sum, back)
		}
		exact, _ := new(big.Rat).SetString(text)
		if exact.Cmp(new(big.Rat).SetFrac(want, big.NewInt(100_000_000))) != 0 {
			rt.Fatalf("%s is printed for %s units", text, want)
		}
	})
}

func TestSquaresRefusesOtherTexts(t *testing.T) {
	for _, text := range []string{"", "-", ".5", "1e3", "+1", "1.123456789", "--1", "1_0", "1000000000000000000000000000000", "9999999999999999999999999999999999999999999"} {
		if s, ok := decimal.ParseSquares(text); ok {
			t.Errorf("%q was read as %s", text, s)
		}
	}
}
