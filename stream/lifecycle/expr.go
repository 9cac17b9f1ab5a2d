// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"time"

	celast "github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"

	"lapwing/schemas/decimal"
	"lapwing/schemas/definition"
	"lapwing/schemas/event"
)

// eval is what an expression is evaluated against.
type eval struct {
	s        *State
	rules    []membership // s.rules, or a look-ahead's copy of them
	ahead    *ahead       // of a look-ahead: its copies of s.campaigns
	now      int64
	deadline int64 // the least instant after now at which something read could change

	texts *tallyOfTexts // memory of favourite; nil if it is to take its own

	msg    *event.Message // where, value, key
	zones  *zones
	locals []value // variables of comprehensions
	budget int     // left to the expressions over msg
}

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
	// windowed is set for counts of the newest instants: a comparison with a constant
	// needs to look no further than that.
	windowed func(limit int) func(*eval) (decimal.Decimal, bool)
	coarser  bool   // with `resolution: 1h` the count would have no bound
	span     span   // of durations
	kind     kind   // of what is of one kind, if neither b nor n says so
	items    []node // of lists that are written out
	declared string // of traits with a type: what is said of it in a problem
	taken    *bool  // set once windowed, or span, has been used
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
	nodes   map[int64]node // of a condition: what each expression became, to explain it
}

func (x *exprCompiler) compile(e celast.Expr) node {
	n := x.compileKind(e)
	if x.nodes != nil {
		x.nodes[e.ID()] = n
	}
	return n
}

func (x *exprCompiler) compileKind(e celast.Expr) node {
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
		x.problem(x.place(x.text, x.ast, e), "{…} builds a mapping, which nothing here takes: take it out; a list is written [a, b]")
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
	return node{items: items, v: func(ev *eval) value {
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
			if b := get(ev.msg); b != nil && ev.spend(len(b)/madeBytes) {
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
		return node{v: func(ev *eval) value { return ev.read(ev.msg.Raw(i)).readNumber() }}
	}
	return node{v: func(ev *eval) value { return ev.read(ev.msg.Raw(i)) }}
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
			v := ev.field(operand.v(ev), field)
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
		whole := ev.each(in, func(item value) bool {
			ev.locals[depth] = item
			if cond(ev) == no {
				return false
			}
			ev.locals[depth+1] = step.v(ev)
			return true
		})
		if !whole {
			return value{}
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
