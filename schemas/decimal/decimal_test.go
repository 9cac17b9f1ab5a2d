// SPDX-License-Identifier: Apache-2.0

package decimal_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lapwing/schemas/decimal"
)

// The oracle: exact fractions, rounded half to even at four places.

func rat(d decimal.Decimal) *big.Rat { return big.NewRat(int64(d), decimal.Scale) }

// rounded is x as a Decimal; ok is false if |x| after rounding is 10^14 or more.
func rounded(x *big.Rat) (decimal.Decimal, bool) {
	units := new(big.Rat).Mul(x, big.NewRat(decimal.Scale, 1))
	quo, rem := new(big.Int).DivMod(units.Num(), units.Denom(), new(big.Int)) // floor; 0 <= rem < denominator
	switch rem.Lsh(rem, 1).Cmp(units.Denom()) {
	case 1:
		quo.Add(quo, big.NewInt(1))
	case 0:
		if quo.Bit(0) == 1 {
			quo.Add(quo, big.NewInt(1))
		}
	}
	if quo.CmpAbs(big.NewInt(decimal.Limit)) >= 0 {
		return 0, false
	}
	return decimal.Decimal(quo.Int64()), true
}

// anyDecimal draws decimals with the edges more often than chance would.
func anyDecimal() *rapid.Generator[decimal.Decimal] {
	edges := []decimal.Decimal{0, 1, -1, decimal.Scale, -decimal.Scale, 5000, 15000, decimal.Limit - 1, 1 - decimal.Limit, 3, 7}
	return rapid.Custom(func(t *rapid.T) decimal.Decimal {
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			return rapid.SampledFrom(edges).Draw(t, "edge")
		case 1:
			return decimal.Decimal(rapid.Int64Range(-1_000_000, 1_000_000).Draw(t, "small"))
		case 2:
			return decimal.Decimal(rapid.Int64Range(-1_000_000_000_000, 1_000_000_000_000).Draw(t, "middle"))
		default:
			return decimal.Decimal(rapid.Int64Range(1-decimal.Limit, decimal.Limit-1).Draw(t, "any"))
		}
	})
}

func TestArithmetic(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, b := anyDecimal().Draw(rt, "a"), anyDecimal().Draw(rt, "b")
		check := func(op string, got decimal.Decimal, ok bool, exact *big.Rat) {
			want, wantOK := rounded(exact)
			if ok != wantOK || ok && got != want {
				rt.Fatalf("%s %s %s = %s, %v, want %s, %v", a, op, b, got, ok, want, wantOK)
			}
		}
		sum, ok := decimal.Add(a, b)
		check("+", sum, ok, new(big.Rat).Add(rat(a), rat(b)))
		product, ok := decimal.Mul(a, b)
		check("*", product, ok, new(big.Rat).Mul(rat(a), rat(b)))
		quotient, ok := decimal.Div(a, b)
		if b == 0 {
			if ok {
				rt.Fatalf("%s / 0 = %s, want no number", a, quotient)
			}
			return
		}
		check("/", quotient, ok, new(big.Rat).Quo(rat(a), rat(b)))
	})
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		why, text, want string // want "": no number
	}{
		{"an integer", "29", "29"},
		{"minus", "-29.33", "-29.33"},
		{"minus zero", "-0", "0"},
		{"half to even, down", "0.00005", "0"},
		{"half to even, up", "0.00015", "0.0002"},
		{"half to even, below zero", "-0.00025", "-0.0002"},
		{"more than half", "0.000050000000000000000000000000000000000001", "0.0001"},
		{"less than half", "0.00004999999999999999999999999999999999999", "0"},
		{"an exponent", "1.5e3", "1500"},
		{"a large exponent with its sign", "1.5E+03", "1500"},
		{"a negative exponent", "15e-1", "1.5"},
		{"half by its exponent", "5e-5", "0"},
		{"just over half by its exponent", "50001e-9", "0.0001"},
		{"far below a half", "9e-6", "0"},
		{"zero with a huge exponent", "0e999999999999999999999", "0"},
		{"a huge negative exponent", "1e-999999999999999999999", "0"},
		{"a huge exponent", "1e999999999999999999999", ""},
		{"a long number with its point moved", "0." + strings.Repeat("0", 400) + "12e401", "1.2"},
		{"zeros that count for nothing", "0.5" + strings.Repeat("0", 1000), "0.5"},
		{"the greatest", "99999999999999.9999", "99999999999999.9999"},
		{"the least", "-99999999999999.9999", "-99999999999999.9999"},
		{"10^14", "100000000000000", ""},
		{"-10^14", "-1e14", ""},
		{"10^14 by rounding", "99999999999999.99995", ""},
		{"greater than any uint64", "99999999999999999999999999999", ""},
		{"empty", "", ""},
		{"a sign alone", "-", ""},
		{"plus", "+1", ""},
		{"a leading zero", "01", ""},
		{"a leading point", ".5", ""},
		{"a point at the end", "1.", ""},
		{"an exponent without digits", "1e", ""},
		{"an exponent with a sign only", "1e+", ""},
		{"a blank", " 1", ""},
		{"something after it", "1x", ""},
		{"hexadecimal", "0x10", ""},
		{"NaN", "NaN", ""},
		{"a comma", "1,5", ""},
	} {
		got, ok := decimal.Parse(c.text)
		if ok != (c.want != "") || ok && got.String() != c.want {
			t.Errorf("%s: Parse(%.80q) = %v, %v, want %q", c.why, c.text, got, ok, c.want)
		}
	}
}

// checkParse compares Parse with encoding/json's grammar and an exact fraction.
func checkParse(text string) string {
	got, ok := decimal.Parse(text)
	if fromBytes, okBytes := decimal.Parse([]byte(text)); fromBytes != got || okBytes != ok {
		return fmt.Sprintf("Parse of the string and of the bytes %q differ", text)
	}
	var n json.Number
	if text == "" || text[0] != '-' && (text[0] < '0' || text[0] > '9') || json.Unmarshal([]byte(text), &n) != nil || n.String() != text {
		if ok {
			return fmt.Sprintf("Parse(%q) = %v, but that is no JSON number", text, got)
		}
		return ""
	}
	if _, exp, found := strings.Cut(strings.ToLower(text), "e"); found {
		if e, err := strconv.Atoi(exp); err != nil || e > 2000 || e < -2000 {
			return "" // too much for the oracle
		}
	}
	exact, valid := new(big.Rat).SetString(text)
	if !valid {
		return fmt.Sprintf("the oracle does not understand %q", text)
	}
	if want, wantOK := rounded(exact); ok != wantOK || ok && got != want {
		return fmt.Sprintf("Parse(%q) = %v, %v, want %v, %v", text, got, ok, want, wantOK)
	}
	return ""
}

func TestParseAgainstFractions(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{0,3}[05]{0,6})?([eE][+-]?[0-9]{1,2})?`).Draw(rt, "text")
		if wrong := checkParse(text); wrong != "" {
			rt.Fatal(wrong)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"0", "-1.5e3", "99999999999999.99995", "0.00015", "1e-5", "01", "1e", "5e-5", "15000e-8"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if wrong := checkParse(text); wrong != "" {
			t.Fatal(wrong)
		}
	})
}

func TestPrintedNumbersReadBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := anyDecimal().Draw(rt, "d")
		text := d.AppendJSON(nil)
		if got, ok := decimal.Parse(text); got != d || !ok {
			rt.Fatalf("%d prints as %s, which reads as %d, %v", int64(d), text, int64(got), ok)
		}
		if !json.Valid(text) {
			rt.Fatalf("%d prints as %s, which is no JSON", int64(d), text)
		}
		if s := string(text); strings.Contains(s, ".") && strings.HasSuffix(s, "0") {
			rt.Fatalf("%d prints as %s, with a trailing zero", int64(d), text)
		}
	})
}

func TestFromInt(t *testing.T) {
	const limit = 100_000_000_000_000
	for n, want := range map[int64]bool{0: true, -7: true, limit - 1: true, limit: false, 1 - limit: true, -limit: false, 1<<63 - 1: false, -1 << 63: false} {
		d, ok := decimal.FromInt(n)
		if ok != want || ok && d.String() != strconv.FormatInt(n, 10) {
			t.Errorf("FromInt(%d) = %v, %v, want ok %v", n, d, ok, want)
		}
	}
}

func TestParseDoesNotAllocate(t *testing.T) {
	text := []byte("12345.67895e2")
	if allocs := testing.AllocsPerRun(100, func() { decimal.Parse(text) }); allocs != 0 {
		t.Errorf("Parse makes %v allocations, want 0", allocs)
	}
}
