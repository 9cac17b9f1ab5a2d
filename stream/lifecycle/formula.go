// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"math"
	"slices"

	celast "github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"

	"lapwing/schemas/definition"
)

// formulas turns the conditions of a definition into formulas over one space. What it
// has no special knowledge of becomes a variable of its own, by its canonical text.
type formulas struct {
	*space
	c     *compiler
	known map[placed]*formula // of conditions that others read
}

func (c *compiler) newFormulas() formulas {
	return formulas{newSpace(&c.lintBudget), c, map[placed]*formula{}}
}

func constantFormula(t tri) *formula { return &formula{op: isConstant, t: t} }

func testFormula(v *variable, test func(*cell) tri) *formula {
	return &formula{op: isTest, v: v, test: test}
}

func negated(f *formula) *formula { return &formula{op: isNot, kids: []*formula{f}} }

func conjunction(kids ...*formula) *formula { return &formula{op: isAnd, kids: kids} }

// holding is whether f holds: unknown is no.
func holding(f *formula) *formula { return &formula{op: isHolding, kids: []*formula{f}} }

func disjunction(kids ...*formula) *formula { return &formula{op: isOr, kids: kids} }

// of is the formula of a condition.
func (s *formulas) of(e celast.Expr) *formula {
	switch e.Kind() {
	case celast.LiteralKind:
		if b, ok := e.AsLiteral().(types.Bool); ok {
			return constantFormula(truth(bool(b)))
		}
		return constantFormula(unknown)
	case celast.CallKind:
		return s.call(e)
	default:
		return s.opaque(e)
	}
}

// opaque is a condition of which nothing is known but that it is the same wherever it
// stands.
func (s *formulas) opaque(e celast.Expr) *formula { return s.named(canonical(e), formTri) }

func (s *formulas) named(key string, f form) *formula {
	return testFormula(s.variable(key, f, nil), func(c *cell) tri {
		switch c.kind {
		case cellTrue:
			return yes
		case cellFalse:
			return no
		default:
			return unknown
		}
	})
}

func (s *formulas) call(e celast.Expr) *formula {
	call := e.AsCall()
	name, args := call.FunctionName(), call.Args()
	switch name {
	case operators.LogicalAnd, operators.LogicalOr:
		out := conjunction()
		if name == operators.LogicalOr {
			out = disjunction()
		}
		for _, part := range flatten(e, name) {
			out.kids = append(out.kids, s.of(part))
		}
		return out
	case operators.LogicalNot:
		return negated(s.of(args[0]))
	case operators.Conditional:
		return &formula{op: isChoice, kids: []*formula{s.of(args[0]), s.of(args[1]), s.of(args[2])}}
	case operators.Equals:
		return s.equality(args[0], args[1])
	case operators.NotEquals:
		return negated(s.equality(args[0], args[1]))
	case operators.Less:
		return s.less(args[0], args[1])
	case operators.Greater:
		return s.less(args[1], args[0])
	case operators.LessEquals:
		return negated(s.less(args[1], args[0]))
	case operators.GreaterEquals:
		return negated(s.less(args[0], args[1]))
	case operators.In:
		if args[1].Kind() == celast.ListKind && args[1].AsList().Size() > 0 {
			out := disjunction()
			for _, item := range args[1].AsList().Elements() {
				if item.Kind() != celast.LiteralKind {
					return s.opaque(e)
				}
				out.kids = append(out.kids, s.equality(args[0], item))
			}
			return out
		}
		return s.opaque(e)
	}
	if f := functionNamed(name); f != nil && !call.IsMemberFunction() {
		return s.function(f, e)
	}
	return s.opaque(e)
}

// function is a function of the language where a condition is expected.
func (s *formulas) function(f *function, e celast.Expr) *formula {
	texts, windows, ok := s.arguments(f, e)
	if !ok {
		return s.opaque(e)
	}
	switch f.name {
	case "never":
		return s.never(texts[0])
	case "seen":
		return s.age(texts[0], false, windows[1])
	case "first":
		return s.age(texts[0], true, windows[1])
	case "idle":
		return conjunction(negated(s.never(texts[0])), negated(s.age(texts[0], false, windows[1])))
	case "after":
		return conjunction(negated(s.never(texts[0])), disjunction(s.never(texts[1]), s.named(canonical(e), formBool)))
	case "known":
		return negated(testFormula(s.trait(texts[0]), func(c *cell) tri { return truth(c.kind == cellNone) }))
	case "trait":
		return testFormula(s.trait(texts[0]), func(c *cell) tri {
			switch c.kind {
			case cellTrue:
				return yes
			case cellFalse:
				return no
			default:
				return unknown
			}
		})
	case "due":
		v := s.variable("due "+texts[0], formOffset, nil)
		offset := windows[1]
		v.cut(offset)
		return testFormula(v, func(c *cell) tri {
			if c.kind == cellNone {
				return unknown
			}
			return truth(c.from(offset))
		})
	case "in_stage":
		return s.inStage(texts[0], texts[1])
	case "stage_for":
		w := windows[2]
		v := s.variable("since "+texts[0], formAge, nil)
		v.cut(w)
		return conjunction(s.inStage(texts[0], texts[1]), testFormula(v, func(c *cell) tri { return truth(c.from(w)) }))
	case "in_segment":
		return s.inSegment(texts[0])
	case "anonymous":
		return s.named(canonical(e), formBool)
	default:
		return s.opaque(e)
	}
}

// arguments are a call's texts, and the durations among them; ok is false if one is
// not written out.
func (s *formulas) arguments(f *function, e celast.Expr) (texts []string, windows []int64, ok bool) {
	for i, arg := range e.AsCall().Args() {
		text, written := textLiteral(arg)
		if !written {
			return nil, nil, false
		}
		ms, _ := durationArgument(f, i, arg)
		texts, windows = append(texts, text), append(windows, ms)
	}
	return texts, windows, true
}

// lastAge is how long ago an event came last; first: for the first time.
func (s *formulas) lastAge(event string, first bool) *variable {
	key := "last " + event
	if first {
		key = "first " + event
	}
	return s.variable(key, formAge, func(v *variable) { v.event, v.first = s.c.eventByName[event], first })
}

func (s *formulas) never(event string) *formula {
	return testFormula(s.lastAge(event, false), func(c *cell) tri { return truth(c.kind == cellNone) })
}

// age holds where the event came, and less than w ago.
func (s *formulas) age(event string, first bool, w int64) *formula {
	v := s.lastAge(event, first)
	v.cut(w)
	return testFormula(v, func(c *cell) tri { return truth(c.below(w)) })
}

func (s *formulas) trait(name string) *variable { return s.variable("trait "+name, formTrait, nil) }

// inStage is the conditions of the model: a stage is evaluated of what there is at the
// same instant, so that reading it is reading them.
func (s *formulas) inStage(model, stage string) *formula {
	out := conjunction()
	for _, st := range s.c.def.Models[s.c.modelByName[model]].Stages {
		holds := holding(s.ofText(st.When))
		if st.Name.Value == stage {
			out.kids = append(out.kids, holds)
			break
		}
		out.kids = append(out.kids, negated(holds))
	}
	return out
}

// inSegment is the segment's condition; of one per value, a variable of its own.
func (s *formulas) inSegment(name string) *formula {
	i, known := s.c.segmentByName[name]
	if !known || s.c.rules[i].by {
		return s.named("in_segment "+name, formBool)
	}
	return holding(s.ofText(s.c.def.Segments[i-len(s.c.def.Models)].When))
}

// maxRead is how many conditions that others read are looked into; any more are taken
// for something that may be anything.
const maxRead = 50

// ofText is the formula of a condition that others read; they do so in no circle.
func (s *formulas) ofText(t definition.Text) *formula {
	key := placed{t.Pos, t.Value}
	f, known := s.known[key]
	if !known {
		if ast := s.c.ast(t); ast != nil && len(s.known) < maxRead {
			s.known[key] = nil // counts while those that it reads are made
			f = s.of(ast.Expr())
		} else {
			f = s.named(fmt.Sprintf("condition %v", t.Pos), formTri)
		}
		s.known[key] = f
	}
	return f
}

// numeric is the variable of an expression that is a number or unknown, or of a trait;
// nil if it is neither.
func (s *formulas) numeric(e celast.Expr) *variable {
	if e.Kind() != celast.CallKind || e.AsCall().IsMemberFunction() {
		return nil
	}
	name := e.AsCall().FunctionName()
	f := functionNamed(name)
	if f == nil {
		return nil
	}
	texts, windows, ok := s.arguments(f, e)
	switch {
	case !ok:
		return nil
	case name == "trait":
		return s.trait(texts[0])
	case f.result != resultNumber:
		return nil
	}
	kind := formNumber
	switch name {
	case "count", "days", "unique", "count_from":
		kind = formCount
	}
	return s.variable(canonical(e), kind, func(v *variable) {
		if name != "count" {
			return
		}
		v.event, v.window = s.c.eventByName[texts[0]], never
		if len(windows) > 1 {
			v.window = windows[1]
		}
	})
}

// numberLiteral is a number that is written out.
func numberLiteral(e celast.Expr) (int64, bool) {
	switch e.Kind() {
	case celast.LiteralKind:
		if lit, ok := e.AsLiteral().(types.Double); ok {
			d, ok := literalDecimal(float64(lit))
			return int64(d), ok
		}
	case celast.CallKind:
		if call := e.AsCall(); call.FunctionName() == operators.Negate {
			d, ok := numberLiteral(call.Args()[0])
			return -d, ok
		}
	default:
	}
	return 0, false
}

// inRange is a comparison of a number: it holds from lo (included) to hi, and of what
// is no number it is otherwise.
func inRange(v *variable, lo, hi int64, otherwise tri) *formula {
	if lo != math.MinInt64 {
		v.cut(lo)
	}
	if hi != math.MaxInt64 {
		v.cut(hi)
	}
	return testFormula(v, func(c *cell) tri {
		switch c.kind {
		case cellNone:
			return unknown
		case cellRange:
			return truth(c.lo >= lo && c.hi <= hi)
		default:
			return otherwise
		}
	})
}

// less is a < b.
func (s *formulas) less(a, b celast.Expr) *formula {
	if x, ok := numberLiteral(b); ok {
		if v := s.numeric(a); v != nil {
			return inRange(v, math.MinInt64, x, unknown)
		}
	}
	if x, ok := numberLiteral(a); ok {
		if v := s.numeric(b); v != nil {
			return inRange(v, x+1, math.MaxInt64, unknown)
		}
	}
	return s.named("("+canonical(a)+" < "+canonical(b)+")", formTri)
}

// equality is a == b.
func (s *formulas) equality(a, b celast.Expr) *formula {
	if a.Kind() == celast.LiteralKind {
		a, b = b, a
	}
	if x, ok := numberLiteral(b); ok {
		if v := s.numeric(a); v != nil {
			return inRange(v, x, x+1, no)
		}
	}
	v := s.numeric(a)
	if v == nil || v.form != formTrait || b.Kind() != celast.LiteralKind {
		sides := []string{canonical(a), canonical(b)}
		slices.Sort(sides)
		return s.named("("+sides[0]+" == "+sides[1]+")", formTri)
	}
	switch lit := b.AsLiteral().(type) {
	case types.String:
		v.name(string(lit))
		return traitIs(v, func(c *cell) bool { return c.kind == cellText && c.text == string(lit) })
	case types.Bool:
		wanted := cellFalse
		if lit {
			wanted = cellTrue
		}
		return traitIs(v, func(c *cell) bool { return c.kind == wanted })
	default:
		return constantFormula(unknown) // null
	}
}

func traitIs(v *variable, test func(*cell) bool) *formula {
	return testFormula(v, func(c *cell) tri {
		if c.kind == cellNone {
			return unknown
		}
		return truth(test(c))
	})
}
