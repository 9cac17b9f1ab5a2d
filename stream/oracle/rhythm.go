// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"math/big"
	"sort"
	"time"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
)

// rhythm is one that a condition names, with its factor if it has one.
type rhythm struct {
	event  string
	factor ast.Expr // nil: none
}

// rhythmsIn are the rhythms in an expression, each with and without its factor.
func (o *Oracle) rhythmsIn(x ast.Expr) []rhythm {
	var found []rhythm
	event := func(x ast.Expr) (string, bool) {
		if x.Kind() != ast.CallKind || x.AsCall().FunctionName() != "rhythm" {
			return "", false
		}
		name, ok := x.AsCall().Args()[0].AsLiteral().(types.String)
		return string(name), ok
	}
	ast.PreOrderVisit(x, ast.NewExprVisitor(func(x ast.Expr) {
		if name, ok := event(x); ok {
			found = append(found, rhythm{event: name})
		}
		if x.Kind() != ast.CallKind || x.AsCall().FunctionName() != operators.Multiply {
			return
		}
		args := x.AsCall().Args()
		for i := range args {
			if name, ok := event(args[i]); ok {
				found = append(found, rhythm{event: name, factor: args[1-i]})
			}
		}
	}))
	return found
}

// ownWindows are the windows that the customer's rhythms come to.
func (o *Oracle) ownWindows(h *history) []time.Duration {
	var out []time.Duration
	for _, r := range o.rhythms {
		v := h.rhythm(r.event)
		if r.factor != nil {
			v = times(v, scope{params: o.params}.eval(r.factor))
		}
		if v.kind == span {
			out = append(out, asWindow(v.span))
		}
	}
	return out
}

// rhythm is the median gap between successive instants, of the newest; unknown of
// fewer than two gaps. Of an even number of gaps it is the mean of the middle two, cut
// to the millisecond.
func (h *history) rhythm(event string) value {
	occs := h.newestOf(event)
	var gaps []int64
	for i := 1; i < len(occs); i++ {
		gaps = append(gaps, int64(occs[i].at-occs[i-1].at))
	}
	if len(gaps) < 2 {
		return value{}
	}
	sort.Slice(gaps, func(i, j int) bool { return gaps[i] < gaps[j] })
	median := gaps[len(gaps)/2]
	if len(gaps)%2 == 0 {
		median = (gaps[len(gaps)/2-1] + median) / 2
	}
	return value{kind: span, span: big.NewInt(median)}
}

// times is a duration times a number, cut to the millisecond.
func times(a, b value) value {
	if a.kind != span {
		a, b = b, a
	}
	if a.kind != span || b.kind != number {
		return value{}
	}
	product := new(big.Rat).Mul(new(big.Rat).SetInt(a.span), b.number)
	return value{kind: span, span: new(big.Int).Quo(product.Num(), product.Denom())}
}

// asWindow is a duration as a window: 1 ms to 3,660 days.
func asWindow(ms *big.Int) time.Duration {
	const longest = 3660 * 24 * time.Hour
	if ms.Cmp(big.NewInt(longest.Milliseconds())) > 0 {
		return longest
	}
	return max(time.Duration(ms.Int64())*time.Millisecond, time.Millisecond)
}

// sameSpan reads the text that is compared with a duration as one.
func sameSpan(a, b value) (value, value) {
	read := func(v, other value) value {
		if d, ok := parseDuration(v.text); ok && v.kind == text && other.kind == span {
			return value{kind: span, span: big.NewInt(d.Milliseconds())}
		}
		return v
	}
	return read(a, b), read(b, a)
}
