// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"math"
	"math/bits"
	"slices"

	"lapwing/schemas/decimal"
)

// What can be said of conditions without customers: a space has a variable for all that
// the conditions of a definition read (how long ago a purchase was, how many there were
// in 90 days, a trait), and cuts its values into cells at the constants they are compared
// with. Within a cell no condition changes. So whether conditions can hold together is
// decided by trying cells, and what no choice of cells allows, no customer does.
//
// The cells allow more than customers do: of variables that are tied to each other in
// ways not told here every combination counts as possible. That is the safe side.

// cell is a part of a variable's values.
type cell struct {
	kind   cellKind
	lo, hi int64  // of a range: lo <= x < hi; 1/10,000 or ms
	text   string // of one text
}

type cellKind uint8

const (
	cellNone  cellKind = iota // never, unknown
	cellRange                 // numbers, ages
	cellText                  // one text
	cellOther                 // a text or value that no condition names
	cellTrue
	cellFalse
)

// form is what a variable can be.
type form uint8

const (
	formAge    form = iota // ms, from 0; or never
	formOffset             // ms, of either sign; or unknown
	formCount              // a whole number from 0
	formNumber             // or unknown
	formTrait              // anything
	formBool               // yes or no
	formTri                // or unknown
)

// variable is something that conditions read.
type variable struct {
	index int
	form  form
	cuts  []int64
	texts []string
	cells []cell

	// Of ages and counts: the event, and the window (never: all time).
	event  *eventDef
	window int64
	first  bool // the age of the first occurrence, not of the last
}

// cut says that conditions tell values below x from those from x on.
func (v *variable) cut(x int64) { v.cuts = append(v.cuts, x) }

func (v *variable) name(text string) {
	if !slices.Contains(v.texts, text) {
		v.texts = append(v.texts, text)
	}
}

// settle makes the cells, once all cuts are known.
func (v *variable) settle() {
	none := cell{kind: cellNone}
	switch v.form {
	case formBool:
		v.cells = []cell{{kind: cellTrue}, {kind: cellFalse}}
		return
	case formTri:
		v.cells = []cell{{kind: cellTrue}, {kind: cellFalse}, none}
		return
	default:
	}
	least := int64(math.MinInt64)
	if v.form == formAge || v.form == formCount {
		least = 0
	}
	slices.Sort(v.cuts)
	lo := least
	for _, x := range slices.Compact(v.cuts) {
		if x > lo {
			v.addRange(lo, x)
			lo = x
		}
	}
	v.addRange(lo, math.MaxInt64)
	if v.form != formCount {
		v.cells = append(v.cells, none)
	}
	if v.form == formTrait {
		for _, text := range v.texts {
			v.cells = append(v.cells, cell{kind: cellText, text: text})
		}
		v.cells = append(v.cells, cell{kind: cellOther}, cell{kind: cellTrue}, cell{kind: cellFalse})
	}
}

// addRange adds a range, unless it is one of counts without a whole number.
func (v *variable) addRange(lo, hi int64) {
	c := cell{kind: cellRange, lo: lo, hi: hi}
	if v.form == formCount && hi != math.MaxInt64 && c.least() >= hi {
		return
	}
	v.cells = append(v.cells, c)
}

// least is the least whole number of a range of counts, in 1/10,000.
func (c *cell) least() int64 {
	return (c.lo + decimal.Scale - 1) / decimal.Scale * decimal.Scale
}

// below reports whether all of a range lies below x, from whether all is at least x.
func (c *cell) below(x int64) bool { return c.kind == cellRange && c.hi <= x }
func (c *cell) from(x int64) bool  { return c.kind == cellRange && c.lo >= x }

// tie is what is known of two variables together.
type tie struct {
	a, b     *variable
	possible func(a, b *cell) bool
}

// tied are the ties between two variables of one event.
func tied(a, b *variable) []tie {
	if a.event == nil || a.event != b.event {
		return nil
	}
	var out []tie
	add := func(a, b *variable, possible func(a, b *cell) bool) {
		out = append(out, tie{a, b, possible})
	}
	switch age, of := a.form == formAge, b.form == formAge; {
	case age && of && a.first != b.first:
		if a.first {
			a, b = b, a
		}
		add(a, b, func(last, first *cell) bool {
			if last.kind == cellNone || first.kind == cellNone {
				return last.kind == first.kind
			}
			return first.hi > last.lo
		})
	case age != of:
		if of {
			a, b = b, a
		}
		if !a.first {
			add(a, b, lastAndCount(b))
		}
	case !age && !of && a.window != b.window:
		if a.window > b.window {
			a, b = b, a
		}
		add(a, b, func(short, long *cell) bool { return short.least() < long.hi })
	}
	return out
}

// lastAndCount ties the last occurrence to the number of those in a window: there is
// none in it if there never was one, and one if the last lies in it. With a resolution
// of an hour they leave the window later, so that the converse is not true.
func lastAndCount(count *variable) func(last, n *cell) bool {
	const one = decimal.Scale
	w, exact := count.window, count.event.resolution == 0
	return func(last, n *cell) bool {
		switch {
		case last.kind == cellNone:
			return n.lo <= 0
		case w == never || last.below(w):
			return n.hi > one
		case last.from(w) && exact:
			return n.lo <= 0
		default:
			return true
		}
	}
}

// formula is a condition over a space.
type formula struct {
	op   formulaOp
	kids []*formula
	v    *variable       // of a test
	test func(*cell) tri // what it is in a cell
	t    tri             // of a constant
	any  truths          // of a test: its values in all cells; 0 until they are asked for
}

type formulaOp uint8

const (
	isConstant formulaOp = iota
	isTest
	isAnd
	isOr
	isNot
	isHolding // yes or no
	isChoice  // kids: the test, if yes, if no
)

// truths is a set of truth values.
type truths uint8

const (
	canBeNo      truths = 1 << no
	canBeYes     truths = 1 << yes
	canBeUnknown truths = 1 << unknown
)

// space is a set of variables, and a search through their cells.
type space struct {
	variables []*variable
	byKey     map[string]*variable
	ties      [][]tie // by the index of either variable

	chosen []*cell // by variable; nil: not chosen yet
	budget int     // left to one question
	total  *int    // left to all questions to all spaces of a definition
}

// What one question, and all questions about a definition, may cost, in looks at a part
// of a condition: some milliseconds, and about a second. Beyond it everything counts as
// possible.
const (
	searchBudget = 200_000
	totalBudget  = 50_000_000
)

// The largest space that is searched: the ties grow with the square of the variables.
const (
	maxVariables = 200
	maxCells     = 5000
)

func newSpace(total *int) *space { return &space{byKey: map[string]*variable{}, total: total} }

// variable is the one of that key, made by fill the first time.
func (s *space) variable(key string, f form, fill func(*variable)) *variable {
	v, known := s.byKey[key]
	if !known {
		v = &variable{index: len(s.variables), form: f}
		if fill != nil {
			fill(v)
		}
		s.variables = append(s.variables, v)
		s.byKey[key] = v
	}
	return v
}

// settle makes the cells and ties; no condition may be added afterwards. It is false if
// the space is too large: then it must not be asked.
func (s *space) settle() bool {
	cells := 0
	for _, v := range s.variables {
		cells += len(v.cuts) + len(v.texts) + 4
	}
	if len(s.variables) > maxVariables || cells > maxCells {
		return false
	}
	s.ties = make([][]tie, len(s.variables))
	s.chosen = make([]*cell, len(s.variables))
	for i, v := range s.variables {
		v.settle()
		for _, w := range s.variables[:i] {
			for _, t := range tied(v, w) {
				s.ties[i] = append(s.ties[i], t)
				s.ties[w.index] = append(s.ties[w.index], t)
			}
		}
	}
	return true
}

// possible reports whether a customer may exist for whom all of hold hold and none of
// fail does. If it is false there is none.
func (s *space) possible(hold, fail []*formula) bool {
	s.budget = min(searchBudget, *s.total)
	before := s.budget
	clear(s.chosen)
	found := s.search(hold, fail)
	*s.total -= before - s.budget
	return found
}

func (s *space) search(hold, fail []*formula) bool {
	var open *formula
	for _, f := range hold {
		switch t := s.truths(f); {
		case t&canBeYes == 0:
			return false
		case t != canBeYes && open == nil:
			open = f
		}
	}
	for _, f := range fail {
		switch t := s.truths(f); {
		case t == canBeYes:
			return false
		case t&canBeYes != 0 && open == nil:
			open = f
		}
	}
	if open == nil || s.budget < 0 {
		return true
	}
	v := s.unchosen(open)
	if v == nil {
		return true // cannot be: it would be decided
	}
	defer func() { s.chosen[v.index] = nil }()
	for i := range v.cells {
		s.chosen[v.index] = &v.cells[i]
		if s.allowed(v) && s.search(hold, fail) {
			return true
		}
	}
	return false
}

// allowed reports whether v's cell goes with those chosen before.
func (s *space) allowed(v *variable) bool {
	for _, t := range s.ties[v.index] {
		a, b := s.chosen[t.a.index], s.chosen[t.b.index]
		if a != nil && b != nil && !t.possible(a, b) {
			return false
		}
	}
	return true
}

// unchosen is a variable that an undecided f reads and that has no cell yet.
func (s *space) unchosen(f *formula) *variable {
	if f.op == isTest && s.chosen[f.v.index] == nil {
		return f.v
	}
	for _, kid := range f.kids {
		if bits.OnesCount8(uint8(s.truths(kid))) > 1 {
			return s.unchosen(kid)
		}
	}
	return nil
}

// truths are the values that f may have, given the cells chosen so far. Parts that
// several conditions read are looked at once for each: hence the end of the budget here.
func (s *space) truths(f *formula) truths {
	if s.budget--; s.budget < 0 {
		return canBeNo | canBeYes | canBeUnknown
	}
	switch f.op {
	case isConstant:
		return 1 << f.t
	case isTest:
		if c := s.chosen[f.v.index]; c != nil {
			return 1 << f.test(c)
		}
		if f.any == 0 {
			s.budget -= len(f.v.cells)
			for i := range f.v.cells {
				f.any |= 1 << f.test(&f.v.cells[i])
			}
		}
		return f.any
	case isNot:
		t := s.truths(f.kids[0])
		return t&canBeUnknown | (t&canBeNo)<<1 | (t&canBeYes)>>1
	case isHolding:
		t := s.truths(f.kids[0])
		if t&canBeUnknown != 0 {
			t = t&^canBeUnknown | canBeNo
		}
		return t
	case isChoice:
		var out truths
		t := s.truths(f.kids[0])
		if t&canBeYes != 0 {
			out |= s.truths(f.kids[1])
		}
		if t&canBeNo != 0 {
			out |= s.truths(f.kids[2])
		}
		return out | t&canBeUnknown
	default:
		return s.joined(f)
	}
}

// joined is && or ||: one value decides, an unknown one comes next.
func (s *space) joined(f *formula) truths {
	decides, other := canBeNo, canBeYes
	if f.op == isOr {
		decides, other = canBeYes, canBeNo
	}
	out := other // of nothing
	for _, kid := range f.kids {
		t := s.truths(kid)
		next := (out | t) & decides
		if out&(other|canBeUnknown) != 0 && t&(other|canBeUnknown) != 0 && (out|t)&canBeUnknown != 0 {
			next |= canBeUnknown
		}
		next |= out & t & other
		out = next
		if out == decides {
			return out
		}
	}
	return out
}
