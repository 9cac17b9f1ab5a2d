// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	celast "github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"

	"lapwing/schemas/decimal"
	"lapwing/schemas/instant"
)

func (x *exprCompiler) call(e celast.Expr) node {
	call := e.AsCall()
	name := call.FunctionName()
	if name == operators.Index {
		if keys, ok := x.constantPath(e); ok {
			return x.path(keys)
		}
	}
	if x.scope == scopeCondition {
		for i := range functions {
			if functions[i].name == name && !call.IsMemberFunction() {
				return x.feature(&functions[i], e)
			}
		}
	}
	operands := call.Args()
	if call.IsMemberFunction() {
		operands = append([]celast.Expr{call.Target()}, operands...)
	}
	args := make([]node, len(operands))
	for i, a := range operands {
		args[i] = x.compile(a)
	}
	x.checkDeclared(name, operands, args)
	switch name {
	case operators.LogicalAnd, operators.LogicalOr:
		return junction(args[0].truth(), args[1].truth(), name == operators.LogicalAnd)
	case operators.LogicalNot:
		b := args[0].truth()
		return boolNode(func(ev *eval) tri { return b(ev).not() })
	case operators.NotStrictlyFalse:
		b := args[0].truth()
		return boolNode(func(ev *eval) tri { return truth(b(ev) != no) })
	case operators.Equals, operators.NotEquals:
		return x.equality(e, args[0], args[1], name == operators.NotEquals)
	case operators.Less:
		return x.comparison(e, args[0], args[1], true, func(s int) bool { return s < 0 })
	case operators.LessEquals:
		return x.comparison(e, args[0], args[1], false, func(s int) bool { return s <= 0 })
	case operators.Greater:
		return x.comparison(e, args[0], args[1], false, func(s int) bool { return s > 0 })
	case operators.GreaterEquals:
		return x.comparison(e, args[0], args[1], true, func(s int) bool { return s >= 0 })
	case operators.Conditional:
		return conditional(args[0].truth(), args[1], args[2])
	case operators.Add:
		return addition(args[0], args[1])
	case operators.Subtract:
		return arithmetic(args[0], args[1], func(a, b decimal.Decimal) (decimal.Decimal, bool) { return decimal.Add(a, -b) })
	case operators.Multiply:
		if args[0].span != nil || args[1].span != nil {
			return x.times(e, args[0], args[1])
		}
		return arithmetic(args[0], args[1], decimal.Mul)
	case operators.Divide:
		return arithmetic(args[0], args[1], decimal.Div)
	case operators.Negate:
		if lit := args[0].lit; lit != nil && lit.kind == isNumber {
			return constant(number(-lit.n, true))
		}
		f := args[0].numeric()
		return numberNode(func(ev *eval) (decimal.Decimal, bool) { d, ok := f(ev); return -d, ok })
	case operators.In:
		return membershipTest(args[0], args[1])
	case operators.Index:
		return indexing(args[0], args[1])
	case "size":
		return sizeOf(args[0])
	case "matches":
		return x.matching(e, args[0], args[1])
	case "contains":
		return textTest(args[0], args[1], strings.Contains)
	case "startsWith":
		return textTest(args[0], args[1], strings.HasPrefix)
	case "endsWith":
		return textTest(args[0], args[1], strings.HasSuffix)
	case "timestamp":
		return timestamp(args[0])
	}
	if part, ok := timeParts[name]; ok {
		f := args[0].v
		return numberNode(func(ev *eval) (decimal.Decimal, bool) {
			v := f(ev)
			if v.kind != isTime {
				return 0, false
			}
			return decimal.FromInt(int64(part(v.at.Time().In(v.zone))))
		})
	}
	x.problem(x.place(x.text, x.ast, e), "%s", x.undeclared(name, x.scope, false))
	return constant(value{})
}

// junction is a && b, or a || b: three-valued, and b is not read where a decides.
func junction(a, b func(*eval) tri, and bool) node {
	decides := truth(!and)
	return boolNode(func(ev *eval) tri {
		l := a(ev)
		if l == decides {
			return l
		}
		r := b(ev)
		if r == decides || l != unknown {
			return r
		}
		return unknown
	})
}

// equality tests equal values.
func (x *exprCompiler) equality(e celast.Expr, a, b node, negate bool) node {
	if a.span != nil || b.span != nil {
		return x.spans(e, a, b, func(sign int) bool { return (sign == 0) != negate })
	}
	x.warnTypes(e, a, b)
	a, b = x.narrowed(e, a, b, false), x.narrowed(e, b, a, false)
	av, bv := a.v, b.v
	return boolNode(func(ev *eval) tri {
		t := ev.equal(av(ev), bv(ev))
		if negate {
			return t.not()
		}
		return t
	})
}

// narrowed lets a count, compared with a constant, look at no more of the
// newest instants than decide: for count >= c and count < c (reaching) these are
// ceil(c), for the other comparisons floor(c) + 1.
func (x *exprCompiler) narrowed(e celast.Expr, n, other node, reaching bool) node {
	if n.windowed == nil {
		return n
	}
	*n.taken = true
	if other.lit == nil || other.lit.kind != isNumber {
		x.warnNewest(e, n.coarser)
		return numberNode(n.windowed(maxKept))
	}
	if other.lit.n > maxKept*decimal.Scale {
		unless := ": lower the number"
		if n.coarser {
			unless = ", unless its event has `resolution: 1h`: lower the number, or give the event that"
		}
		x.problem(x.place(x.text, x.ast, e), "a count is compared with at most %d%s", maxKept, unless)
		return n
	}
	limit := int(other.lit.n / decimal.Scale)
	if !reaching || other.lit.n%decimal.Scale > 0 {
		limit++
	}
	return numberNode(n.windowed(max(limit, 1)))
}

// warnNewest says of a count that is not simply compared with a number how far it looks.
func (x *exprCompiler) warnNewest(e celast.Expr, coarser bool) {
	advice := ""
	if coarser {
		advice = "; with `resolution: 1h` on its event it reads all"
	}
	x.warn(x.place(x.text, x.ast, e), "this count reads the newest %d instants of a customer%s", maxKept, advice)
}

// staticKind is what a node can only be; isUnknown if it may be anything.
func (n node) staticKind() kind {
	switch {
	case n.lit != nil:
		return n.lit.kind
	case n.n != nil:
		return isNumber
	case n.b != nil:
		return isBool
	default:
		return n.kind
	}
}

// kindNames are what people call the kinds of values.
var kindNames = map[kind]string{isBool: "condition", isNumber: "number", isText: "text", isTime: "time", isList: "list", isObject: "object"}

// warnTypes says of a comparison of different types that it never holds.
func (x *exprCompiler) warnTypes(e celast.Expr, a, b node) {
	if a.declared != "" || b.declared != "" {
		return // a problem, which has been reported
	}
	if k, l := a.staticKind(), b.staticKind(); k != isUnknown && l != isUnknown && k != l {
		x.warn(x.place(x.text, x.ast, e), "a %s is compared with a %s, which never holds", kindNames[k], kindNames[l])
	}
}

// comparison orders two values; reaching tells >= and < (seen from a) from > and <=.
func (x *exprCompiler) comparison(e celast.Expr, a, b node, reaching bool, holds func(sign int) bool) node {
	if a.span != nil || b.span != nil {
		return x.spans(e, a, b, holds)
	}
	x.warnTypes(e, a, b)
	a, b = x.narrowed(e, a, b, reaching), x.narrowed(e, b, a, !reaching)
	if a.n != nil && b.n != nil {
		an, bn := a.n, b.n
		return boolNode(func(ev *eval) tri {
			l, lok := an(ev)
			r, rok := bn(ev)
			if !lok || !rok {
				return unknown
			}
			return truth(holds(sign3(l, r)))
		})
	}
	av, bv := a.v, b.v
	return boolNode(func(ev *eval) tri {
		l, r := av(ev), bv(ev)
		sign, ok := compare(l, r)
		if !ok || !ev.spend(min(len(l.s), len(r.s))/readBytes) {
			return unknown
		}
		return truth(holds(sign))
	})
}

func conditional(test func(*eval) tri, a, b node) node {
	out := node{v: func(ev *eval) value {
		switch test(ev) {
		case yes:
			return a.v(ev)
		case no:
			return b.v(ev)
		default:
			return value{}
		}
	}}
	return out
}

func arithmetic(a, b node, op func(a, b decimal.Decimal) (decimal.Decimal, bool)) node {
	af, bf := a.numeric(), b.numeric()
	return numberNode(func(ev *eval) (decimal.Decimal, bool) {
		l, lok := af(ev)
		r, rok := bf(ev)
		if !lok || !rok {
			return 0, false
		}
		return op(l, r)
	})
}

func addition(a, b node) node {
	if a.n != nil || b.n != nil {
		return arithmetic(a, b, decimal.Add)
	}
	return node{v: func(ev *eval) value {
		l, r := a.v(ev), b.v(ev)
		switch {
		case l.kind != r.kind:
			return value{}
		case l.kind == isNumber:
			return number(decimal.Add(l.n, r.n))
		case l.kind == isText:
			if !ev.spend((len(l.s) + len(r.s)) / madeBytes) {
				return value{}
			}
			return value{kind: isText, s: l.s + r.s}
		case l.kind == isList:
			first, ok := ev.elements(l)
			second, also := ev.elements(r)
			if !ok || !also {
				return value{}
			}
			return value{kind: isList, list: append(slices.Clip(first), second...)}
		default:
			return value{}
		}
	}}
}

func membershipTest(a, b node) node {
	return boolNode(func(ev *eval) tri {
		item, in := a.v(ev), b.v(ev)
		switch {
		case item.kind == isUnknown:
			return unknown
		case in.kind == isObject:
			if item.kind != isText {
				return no
			}
			return truth(ev.field(in, item.s).kind != isUnknown)
		case in.kind != isList:
			return unknown
		}
		result := no
		whole := ev.each(in, func(v value) bool {
			switch ev.equal(item, v) {
			case yes:
				result = yes
			case unknown:
				result = unknown
			case no:
			}
			return result != yes
		})
		if !whole {
			return unknown
		}
		return result
	})
}

func indexing(a, b node) node {
	return node{v: func(ev *eval) value {
		in, key := a.v(ev), b.v(ev)
		switch {
		case in.kind == isObject && key.kind == isText:
			return ev.field(in, key.s)
		case in.kind == isList && key.kind == isNumber && key.n >= 0 && key.n%decimal.Scale == 0:
			var found value
			i := int64(key.n / decimal.Scale)
			ev.each(in, func(v value) bool {
				if i == 0 {
					found = v
				}
				i--
				return i >= 0
			})
			return found
		}
		return value{}
	}}
}

func sizeOf(a node) node {
	return numberNode(func(ev *eval) (decimal.Decimal, bool) {
		v := a.v(ev)
		switch v.kind {
		case isText:
			if !ev.spend(len(v.s) / readBytes) {
				return 0, false
			}
			return decimal.FromInt(int64(utf8.RuneCountInString(v.s)))
		case isList:
			n := int64(0)
			if !ev.each(v, func(value) bool { n++; return true }) {
				return 0, false
			}
			return decimal.FromInt(n)
		case isObject:
			if !ev.spend(1 + v.weight()) {
				return 0, false
			}
			return decimal.FromInt(int64(len(v.fields())))
		default:
			return 0, false
		}
	})
}

func textTest(a, b node, test func(s, part string) bool) node {
	return boolNode(func(ev *eval) tri {
		s, part := a.v(ev), b.v(ev)
		if s.kind != isText || part.kind != isText || !ev.spend(len(s.s)/readBytes) {
			return unknown
		}
		return truth(test(s.s, part.s))
	})
}

// matching takes a constant pattern: RE2, whose time is linear in the text.
func (x *exprCompiler) matching(e celast.Expr, a, b node) node {
	if b.lit == nil || b.lit.kind != isText {
		x.problem(x.place(x.text, x.ast, e), "matches() takes a pattern written out in quotes, such as matches('^Order'): it is compiled once, not for each message")
		return constant(value{})
	}
	re, err := regexp.Compile(b.lit.s)
	if err != nil {
		x.problem(x.place(x.text, x.ast, e), "the pattern is not understood (RE2 syntax): %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		return constant(value{})
	}
	return boolNode(func(ev *eval) tri {
		s := a.v(ev)
		if s.kind != isText || !ev.spend(len(s.s)/(readBytes/8)) { // it steps through the text
			return unknown
		}
		return truth(re.MatchString(s.s))
	})
}

func timestamp(a node) node {
	return node{kind: isTime, v: func(ev *eval) value {
		v := a.v(ev)
		if v.kind != isText {
			return value{}
		}
		at, ok := instant.Parse(v.s)
		if !ok {
			return value{}
		}
		return value{kind: isTime, at: at, zone: time.UTC}
	}}
}
