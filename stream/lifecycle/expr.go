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
	"github.com/google/cel-go/common/types"

	"lapwing/schemas/decimal"
	"lapwing/schemas/definition"
	"lapwing/schemas/event"
	"lapwing/schemas/instant"
)

// eval is what an expression is evaluated against.
type eval struct {
	s        *State
	rules    []membership // s.rules, or a look-ahead's copy of them
	now      int64
	deadline int64 // the least instant after now at which something read could change

	msg    *event.Message // where, value, key
	zones  *zones
	locals []value // variables of comprehensions
	budget int     // steps left to comprehensions
}

// comprehensionBudget bounds the steps of all comprehensions of one expression;
// beyond it the result is unknown.
const comprehensionBudget = 10_000

// touch notes that what was read may change at t.
func (ev *eval) touch(t int64) {
	if t < ev.deadline {
		ev.deadline = t
	}
}

// node is a compiled expression: v always; b and n too where the type is known.
type node struct {
	v   func(*eval) value
	b   func(*eval) tri
	n   func(*eval) (decimal.Decimal, bool)
	lit *value // constants
	// windowed is set for count(e, w): a comparison with a constant needs to look
	// no further than that.
	windowed func(limit int) func(*eval) (decimal.Decimal, bool)
	taken    *bool // set once windowed has been used
}

func boolNode(f func(*eval) tri) node {
	return node{b: f, v: func(ev *eval) value { return boolean(f(ev)) }}
}

func numberNode(f func(*eval) (decimal.Decimal, bool)) node {
	return node{n: f, v: func(ev *eval) value { return number(f(ev)) }}
}

func constant(v value) node {
	n := node{lit: &v, v: func(*eval) value { return v }}
	switch v.kind {
	case isNumber:
		n.n = func(*eval) (decimal.Decimal, bool) { return v.n, true }
	case isBool:
		t := v.tri()
		n.b = func(*eval) tri { return t }
	default:
	}
	return n
}

func (n node) truth() func(*eval) tri {
	if n.b != nil {
		return n.b
	}
	return func(ev *eval) tri { return n.v(ev).tri() }
}

func (n node) numeric() func(*eval) (decimal.Decimal, bool) {
	if n.n != nil {
		return n.n
	}
	return func(ev *eval) (decimal.Decimal, bool) {
		v := n.v(ev)
		return v.n, v.kind == isNumber
	}
}

// exprCompiler compiles one expression of the definition.
type exprCompiler struct {
	*compiler
	text  definition.Text
	scope scope
	ast   *celast.AST
	vars  []string // names of comprehension variables in scope; index = slot
	reads *bitset  // features and rules read
	// lenient makes numbers of numeric strings, as `value` wants them.
	lenient bool
	deps    map[int]bool
}

func (x *exprCompiler) compile(e celast.Expr) node {
	switch e.Kind() {
	case celast.LiteralKind:
		return x.literal(e)
	case celast.IdentKind:
		return x.ident(e)
	case celast.SelectKind:
		return x.selection(e)
	case celast.CallKind:
		return x.call(e)
	case celast.ListKind:
		return x.list(e)
	case celast.ComprehensionKind:
		return x.comprehension(e)
	default:
		x.problem(x.place(x.text, x.ast, e), "maps and messages cannot be built here")
		return constant(value{})
	}
}

func (x *exprCompiler) literal(e celast.Expr) node {
	switch lit := e.AsLiteral().(type) {
	case types.Bool:
		return constant(value{kind: isBool, b: bool(lit)})
	case types.Double:
		d, ok := literalDecimal(float64(lit))
		return constant(number(d, ok))
	case types.String:
		return constant(value{kind: isText, s: string(lit)})
	default:
		return constant(value{}) // null is unknown
	}
}

func (x *exprCompiler) list(e celast.Expr) node {
	items := make([]node, 0, e.AsList().Size())
	for _, item := range e.AsList().Elements() {
		items = append(items, x.compile(item))
	}
	return node{v: func(ev *eval) value {
		out := make([]value, len(items))
		for i := range items {
			out[i] = items[i].v(ev)
		}
		return value{kind: isList, list: out}
	}}
}

func (x *exprCompiler) ident(e celast.Expr) node {
	name := e.AsIdent()
	if slot := lastIndex(x.vars, name); slot >= 0 {
		return node{v: func(ev *eval) value { return ev.locals[slot] }}
	}
	bytesOf := func(get func(*event.Message) []byte) node {
		return node{v: func(ev *eval) value {
			if b := get(ev.msg); b != nil {
				return value{kind: isText, s: string(b)}
			}
			return value{}
		}}
	}
	switch name {
	case "event":
		return bytesOf(func(m *event.Message) []byte { return m.Event })
	case "name":
		return bytesOf(func(m *event.Message) []byte { return m.Name })
	case "userId":
		return bytesOf(func(m *event.Message) []byte { return m.UserID })
	case "anonymousId":
		return bytesOf(func(m *event.Message) []byte { return m.AnonymousID })
	case "at":
		zone := x.def.Zone
		return node{v: func(ev *eval) value { return value{kind: isTime, at: ev.msg.Time, zone: zone} }}
	case "local":
		return node{v: func(ev *eval) value {
			zone := ev.zones.load(ev.msg.Zone)
			if zone == nil {
				return value{}
			}
			return value{kind: isTime, at: ev.msg.Time, zone: zone}
		}}
	case "properties", "traits", "context":
		return x.path([]string{name})
	default:
		x.problem(x.place(x.text, x.ast, e), "%s is not known here", name)
		return constant(value{})
	}
}

func lastIndex(names []string, name string) int {
	for i := len(names) - 1; i >= 0; i-- {
		if names[i] == name {
			return i
		}
	}
	return -1
}

// path reads one place of the message, extracted by the decoder.
func (x *exprCompiler) path(keys []string) node {
	i := x.project(keys)
	if x.lenient {
		return node{v: func(ev *eval) value { return fromJSON(ev.msg.Raw(i)).readNumber() }}
	}
	return node{v: func(ev *eval) value { return fromJSON(ev.msg.Raw(i)) }}
}

// constantPath is e as a path below properties, traits or context, if it is one.
func (x *exprCompiler) constantPath(e celast.Expr) ([]string, bool) {
	switch e.Kind() {
	case celast.IdentKind:
		name := e.AsIdent()
		root := name == "properties" || name == "traits" || name == "context"
		return []string{name}, root && x.scope == scopeMessage && lastIndex(x.vars, name) < 0
	case celast.SelectKind:
		keys, ok := x.constantPath(e.AsSelect().Operand())
		return append(keys, e.AsSelect().FieldName()), ok
	case celast.CallKind:
		call := e.AsCall()
		if call.FunctionName() != operators.Index || call.Args()[1].Kind() != celast.LiteralKind {
			return nil, false
		}
		key, isString := call.Args()[1].AsLiteral().(types.String)
		keys, ok := x.constantPath(call.Args()[0])
		return append(keys, string(key)), ok && isString
	default:
		return nil, false
	}
}

func (x *exprCompiler) selection(e celast.Expr) node {
	sel := e.AsSelect()
	var n node
	if keys, ok := x.constantPath(e); ok {
		n = x.path(keys)
	} else {
		operand, field, lenient := x.compile(sel.Operand()), sel.FieldName(), x.lenient
		n = node{v: func(ev *eval) value {
			v := operand.v(ev).field(field)
			if lenient {
				return v.readNumber()
			}
			return v
		}}
	}
	if !sel.IsTestOnly() {
		return n
	}
	return boolNode(func(ev *eval) tri { return truth(n.v(ev).kind != isUnknown) })
}

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
	x.problem(x.place(x.text, x.ast, e), "%s", x.undeclared(name))
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
	x.warnTypes(e, a, b)
	a, b = x.narrowed(e, a, b, false), x.narrowed(e, b, a, false)
	av, bv := a.v, b.v
	return boolNode(func(ev *eval) tri {
		t := equal(av(ev), bv(ev))
		if negate {
			return t.not()
		}
		return t
	})
}

// narrowed lets count(e, w), compared with a constant, look at no more of the
// newest instants than decide: for count >= c and count < c (reaching) these are
// ceil(c), for the other comparisons floor(c) + 1.
func (x *exprCompiler) narrowed(e celast.Expr, n, other node, reaching bool) node {
	if n.windowed == nil {
		return n
	}
	*n.taken = true
	if other.lit == nil || other.lit.kind != isNumber {
		x.warnNewest(e)
		return numberNode(n.windowed(maxKept))
	}
	if other.lit.n > maxKept*decimal.Scale {
		x.problem(x.place(x.text, x.ast, e), "a count is compared with at most %d, unless its event has `resolution: 1h`", maxKept)
		return n
	}
	limit := int(other.lit.n / decimal.Scale)
	if !reaching || other.lit.n%decimal.Scale > 0 {
		limit++
	}
	return numberNode(n.windowed(max(limit, 1)))
}

// warnNewest says of a count that is not simply compared with a number how far it looks.
func (x *exprCompiler) warnNewest(e celast.Expr) {
	x.warn(x.place(x.text, x.ast, e), "this count reads the newest %d instants of a customer; with `resolution: 1h` on its event it reads all", maxKept)
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
		return isUnknown
	}
}

// kindNames are what people call the kinds of values.
var kindNames = map[kind]string{isBool: "condition", isNumber: "number", isText: "text", isTime: "time", isList: "list", isObject: "object"}

// warnTypes says of a comparison of different types that it never holds.
func (x *exprCompiler) warnTypes(e celast.Expr, a, b node) {
	if k, l := a.staticKind(), b.staticKind(); k != isUnknown && l != isUnknown && k != l {
		x.warn(x.place(x.text, x.ast, e), "a %s is compared with a %s, which never holds", kindNames[k], kindNames[l])
	}
}

// comparison orders two values; reaching tells >= and < (seen from a) from > and <=.
func (x *exprCompiler) comparison(e celast.Expr, a, b node, reaching bool, holds func(sign int) bool) node {
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
		sign, ok := compare(av(ev), bv(ev))
		if !ok {
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
			return value{kind: isText, s: l.s + r.s}
		case l.kind == isList:
			return value{kind: isList, list: append(slices.Clip(l.elements()), r.elements()...)}
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
			return truth(in.field(item.s).kind != isUnknown)
		case in.kind != isList:
			return unknown
		}
		result := no
		for _, v := range in.elements() {
			switch equal(item, v) {
			case yes:
				return yes
			case unknown:
				result = unknown
			case no:
			}
		}
		return result
	})
}

func indexing(a, b node) node {
	return node{v: func(ev *eval) value {
		in, key := a.v(ev), b.v(ev)
		switch {
		case in.kind == isObject && key.kind == isText:
			return in.field(key.s)
		case in.kind == isList && key.kind == isNumber && key.n >= 0 && key.n%decimal.Scale == 0:
			items := in.elements()
			if i := int(key.n / decimal.Scale); i < len(items) {
				return items[i]
			}
		}
		return value{}
	}}
}

func sizeOf(a node) node {
	return numberNode(func(ev *eval) (decimal.Decimal, bool) {
		v := a.v(ev)
		switch v.kind {
		case isText:
			return decimal.FromInt(int64(utf8.RuneCountInString(v.s)))
		case isList:
			return decimal.FromInt(int64(len(v.elements())))
		case isObject:
			return decimal.FromInt(int64(len(v.fields())))
		default:
			return 0, false
		}
	})
}

func textTest(a, b node, test func(s, part string) bool) node {
	return boolNode(func(ev *eval) tri {
		s, part := a.v(ev), b.v(ev)
		if s.kind != isText || part.kind != isText {
			return unknown
		}
		return truth(test(s.s, part.s))
	})
}

// matching takes a constant pattern: RE2, whose time is linear in the text.
func (x *exprCompiler) matching(e celast.Expr, a, b node) node {
	if b.lit == nil || b.lit.kind != isText {
		x.problem(x.place(x.text, x.ast, e), "matches() takes a pattern written out")
		return constant(value{})
	}
	re, err := regexp.Compile(b.lit.s)
	if err != nil {
		x.problem(x.place(x.text, x.ast, e), "the pattern is not understood: %v", err)
		return constant(value{})
	}
	return boolNode(func(ev *eval) tri {
		s := a.v(ev)
		if s.kind != isText {
			return unknown
		}
		return truth(re.MatchString(s.s))
	})
}

func timestamp(a node) node {
	return node{v: func(ev *eval) value {
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

// comprehension evaluates what exists, all, exists_one, filter and map expand to.
func (x *exprCompiler) comprehension(e celast.Expr) node {
	c := e.AsComprehension()
	if x.scope != scopeMessage {
		x.problem(x.place(x.text, x.ast, e), "lists can be searched only in where, value and key, over the message's own lists")
		return constant(value{})
	}
	source, init := x.compile(c.IterRange()), x.compile(c.AccuInit())
	depth := len(x.vars)
	x.vars = append(x.vars, c.IterVar(), c.AccuVar())
	cond, step, result := x.compile(c.LoopCondition()).truth(), x.compile(c.LoopStep()), x.compile(c.Result())
	x.vars = x.vars[:depth]
	return node{v: func(ev *eval) value {
		in := source.v(ev)
		if in.kind != isList {
			return value{}
		}
		first := init.v(ev)
		for len(ev.locals) < depth+2 {
			ev.locals = append(ev.locals, value{})
		}
		ev.locals[depth+1] = first
		for _, item := range in.elements() {
			if ev.budget--; ev.budget < 0 {
				return value{}
			}
			ev.locals[depth] = item
			if cond(ev) == no {
				break
			}
			ev.locals[depth+1] = step.v(ev)
		}
		return result.v(ev)
	}}
}

// zones remembers the time zones that messages named, so that each is loaded once.
type zones struct{ byName map[string]*time.Location }

// maxZones is more than there are; beyond it names are looked up each time.
const maxZones = 1024

func (z *zones) load(name []byte) *time.Location {
	if len(name) == 0 || string(name) == "Local" {
		return nil
	}
	if zone, ok := z.byName[string(name)]; ok {
		return zone
	}
	zone, err := time.LoadLocation(string(name))
	if err != nil {
		zone = nil
	}
	if z.byName == nil {
		z.byName = map[string]*time.Location{}
	}
	if len(z.byName) < maxZones {
		z.byName[string(name)] = zone
	}
	return zone
}
