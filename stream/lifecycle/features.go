// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"math"

	celast "github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"

	"lapwing/schemas/decimal"
	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
)

// feature compiles a call of one of the condition language's functions. All
// arguments are texts written out, so everything is resolved here.
func (x *exprCompiler) feature(f *function, e celast.Expr) node {
	call := e.AsCall()
	texts := make([]string, len(call.Args()))
	places := make([]definition.Pos, len(call.Args()))
	a := resolved{window: never}
	for i, arg := range call.Args() {
		lit, ok := types.String(""), false
		if arg.Kind() == celast.LiteralKind {
			lit, ok = arg.AsLiteral().(types.String)
		}
		places[i] = x.place(x.text, x.ast, arg)
		before := len(x.problems)
		if !ok && f.args[i] == argSpan {
			a.span, ok = x.windowArgument(arg)
		}
		if len(x.problems) > before {
			return constant(value{})
		}
		if !ok {
			x.problem(places[i], "the %s of %s is a text written out, such as %s", argumentNames[f.args[i]], f.signature, x.example(f.args[i]))
			return constant(value{})
		}
		texts[i] = string(lit)
	}
	before := len(x.problems)
	for i, kind := range f.args[:len(texts)] {
		if kind != argSpan || a.span == nil {
			x.resolve(&a, kind, texts[i], places[i])
		}
	}
	if len(x.problems) > before {
		return constant(value{})
	}
	return x.build(f, a, e)
}

// resolved are a call's arguments.
type resolved struct {
	events   []*eventDef
	window   int64 // never: all time
	span     span  // of a window that is a rhythm
	offset   int64
	property string
	trait    string
	model    int // rule index
	stage    int32
	segment  int // rule index
	byValue  string
	campaign int // rule index
	variant  string
	goal     int // of the campaign
}

func (x *exprCompiler) resolve(a *resolved, kind argument, text string, place definition.Pos) {
	switch kind {
	case argEvent:
		e, ok := x.eventByName[text]
		if !ok {
			x.problem(place, "there is no event %q%s", text, didYouMean(text, sortedKeys(x.eventByName)))
			return
		}
		x.reads.set(e.bit)
		a.events = append(a.events, e)
	case argWindow, argSpan, argHalfLife:
		d, err := definition.ParseWindow(text)
		if err != nil {
			x.problem(place, "%v", err)
			return
		}
		a.window = d.Milliseconds()
	case argOffset:
		d, err := definition.ParseOffset(text)
		if err != nil {
			x.problem(place, "%v", err)
			return
		}
		a.offset = d.Milliseconds()
	case argProperty:
		if text == "" {
			x.problem(place, "a property's name cannot be empty")
		}
		a.property = text
	case argTrait:
		if text == "" {
			x.problem(place, "a trait's name cannot be empty")
		}
		x.reads.set(x.traitBit(text))
		a.trait = text
	case argModel:
		r, ok := x.modelByName[text]
		if !ok {
			x.problem(place, "there is no model %q%s", text, didYouMean(text, sortedKeys(x.modelByName)))
			a.model = -1
			return
		}
		a.model = r
		x.dependOn(r)
	case argStage:
		if a.model < 0 {
			return
		}
		r := x.rules[a.model]
		for i, s := range r.stages {
			if s.name == text {
				a.stage = int32(i)
				return
			}
		}
		names := make([]string, len(r.stages))
		for i, s := range r.stages {
			names[i] = s.name
		}
		x.problem(place, "model %s has no stage %q%s", r.name, text, didYouMean(text, names))
	case argSegment:
		x.resolveSegment(a, text, place)
	case argCampaign:
		r, ok := x.campaignByName[text]
		if !ok {
			x.problem(place, "there is no campaign %q%s", text, didYouMean(text, sortedKeys(x.campaignByName)))
			a.campaign = -1
			return
		}
		a.campaign = r
		x.dependOn(r)
	case argVariant:
		x.resolveVariant(a, text, place)
	case argGoal:
		x.resolveGoal(a, text, place)
	}
}

func (x *exprCompiler) resolveVariant(a *resolved, text string, place definition.Pos) {
	a.variant = text
	if a.campaign < 0 {
		return
	}
	r := &x.rules[a.campaign]
	var names []string
	for _, v := range r.campaign.variants {
		if v.Name.Value == text {
			return
		}
		names = append(names, v.Name.Value)
	}
	switch {
	case text == "":
		x.problem(place, "a variant's name cannot be empty")
	case len(names) > 0: // another system's variants need not be listed
		x.problem(place, "campaign %s has no variant %q%s", r.name, text, didYouMean(text, names))
	}
}

func (x *exprCompiler) resolveGoal(a *resolved, text string, place definition.Pos) {
	if a.campaign < 0 {
		return
	}
	r := &x.rules[a.campaign]
	if a.goal = r.campaign.goal(text); a.goal >= 0 {
		return
	}
	var names []string
	for i := range r.campaign.goals {
		names = append(names, r.campaign.goals[i].name)
	}
	x.problem(place, "campaign %s has no goal %q%s", r.name, text, didYouMean(text, names))
}

func (x *exprCompiler) resolveSegment(a *resolved, text string, place definition.Pos) {
	name, byValue, isBy := cutFirst(text, '=')
	r, ok := x.segmentByName[name]
	switch {
	case !ok:
		x.problem(place, "there is no segment %q%s", name, didYouMean(name, sortedKeys(x.segmentByName)))
		return
	case x.rules[r].by && !isBy:
		x.problem(place, "segment %s has one segment per value: write in_segment('%s=VALUE')", name, name)
		return
	case !x.rules[r].by && isBy:
		x.problem(place, "segment %s has no values: write in_segment('%s')", name, name)
		return
	}
	a.segment, a.byValue = r, byValue
	x.dependOn(r)
}

func (x *exprCompiler) dependOn(rule int) {
	x.deps[rule] = true
	x.reads.set(x.rules[rule].bit)
}

// retain tells an event's series how much a function reads of it.
func (e *eventDef) retain(instants int, window int64) {
	e.keep = max(e.keep, instants)
	if window == never {
		e.horizon = never
	} else if e.horizon != never {
		e.horizon = max(e.horizon, window+e.resolution)
	}
}

func (x *exprCompiler) build(f *function, a resolved, call celast.Expr) node {
	var e *eventDef
	if len(a.events) > 0 {
		e = a.events[0]
	}
	w := a.window
	if a.span != nil {
		return x.ownWindow(f, e, a.span)
	}
	switch f.name {
	case "never":
		return boolNode(func(ev *eval) tri { return truth(ev.s.of(e).total(e) == 0) })
	case "seen":
		return boolNode(func(ev *eval) tri {
			s := ev.s.of(e)
			return within(ev, s.total(e) > 0, s.last(e), w)
		})
	case "first":
		return boolNode(func(ev *eval) tri {
			s := ev.s.of(e)
			return within(ev, s.total(e) > 0, s.first(), w)
		})
	case "idle":
		return boolNode(func(ev *eval) tri {
			s := ev.s.of(e)
			return reached(ev, s.total(e) > 0, s.last(e)+w)
		})
	case "after":
		other := a.events[1]
		return boolNode(func(ev *eval) tri {
			s, o := ev.s.of(e), ev.s.of(other)
			return truth(s.total(e) > 0 && (o.total(other) == 0 || s.last(e) > o.last(other)))
		})
	case "rhythm":
		return x.rhythmOf(e, call)
	case "count":
		return x.buildCount(e, w, call)
	case "count_since":
		return x.countSince(e, a.events[1], call)
	case "sum", "avg", "min", "max":
		which := map[string]statistic{"sum": statSum, "avg": statAvg, "min": statMin, "max": statMax}[f.name]
		e.retain(maxKept, w)
		e.needsValues = true
		return numberNode(func(ev *eval) (decimal.Decimal, bool) {
			d, ok, next := ev.s.of(e).stat(e, which, ev.now, w)
			ev.touch(next)
			return d, ok
		})
	case "days":
		e.retain(maxKept, w)
		zone := x.def.Zone
		return integerNode(func(ev *eval) int64 {
			n, next := ev.s.of(e).distinctDays(e, zone, ev.now, w)
			ev.touch(next)
			return n
		})
	case "unique":
		e.retain(maxKept, w)
		prop := x.property(e, a.property)
		return integerNode(func(ev *eval) int64 {
			n, next := ev.s.of(e).distinctProps(e, prop, ev.now, w)
			ev.touch(next)
			return n
		})
	case "favourite":
		return x.favourite(e, a)
	case "count_from":
		counted := a.events[1]
		counted.retain(maxKept, never)
		return integerNode(func(ev *eval) int64 {
			anchor := ev.s.of(e)
			if anchor.total(e) == 0 {
				return 0
			}
			return ev.s.of(counted).countBetween(counted, anchor.first(), anchor.first()+w)
		})
	case "trait":
		return x.traitNode(a.trait)
	case "known":
		trait := x.traitNode(a.trait).v
		return boolNode(func(ev *eval) tri { return truth(trait(ev).kind != isUnknown) })
	case "anonymous":
		x.reads.set(x.knownBit)
		return boolNode(func(ev *eval) tri { return truth(!ev.s.known) })
	case "due":
		if n := x.traitNode(a.trait); n.declared != "" && n.kind != isTime {
			x.problem(x.place(x.text, x.ast, call), "%s, and due() reads a time", n.declared)
		}
		return boolNode(func(ev *eval) tri {
			v := ev.s.trait(a.trait)
			if v.kind != isText {
				return unknown
			}
			at, ok := instant.Parse(v.s)
			if !ok {
				return unknown
			}
			return reached(ev, true, int64(at)+a.offset)
		})
	case "in_stage":
		return boolNode(func(ev *eval) tri { return truth(ev.rules[a.model].stage == a.stage) })
	case "stage_for":
		return boolNode(func(ev *eval) tri {
			m := &ev.rules[a.model]
			return reached(ev, m.stage == a.stage, m.since+w)
		})
	case "assigned":
		if a.variant == "" {
			return boolNode(func(ev *eval) tri { return truth(ev.rules[a.campaign].sequence > 0) })
		}
		c := x.rules[a.campaign].campaign
		return boolNode(func(ev *eval) tri {
			mine := ev.enrolled(c)
			return truth(mine != nil && mine.variant == a.variant)
		})
	case "converted":
		c := x.rules[a.campaign].campaign
		return boolNode(func(ev *eval) tri {
			mine := ev.enrolled(c)
			return truth(mine != nil && mine.goals[a.goal].sequence > 0)
		})
	default: // in_segment
		if x.rules[a.segment].by {
			return boolNode(func(ev *eval) tri {
				m := &ev.rules[a.segment]
				return truth(m.stage == inSegment && m.by.value == a.byValue)
			})
		}
		return boolNode(func(ev *eval) tri { return truth(ev.rules[a.segment].stage == inSegment) })
	}
}

func (x *exprCompiler) buildCount(e *eventDef, w int64, call celast.Expr) node {
	if w == never {
		return integerNode(func(ev *eval) int64 { return ev.s.of(e).total(e) })
	}
	if e.resolution != 0 {
		e.addResidue(w % hourMillis)
		e.longest = max(e.longest, w)
	}
	windowed := func(limit int) func(*eval) (decimal.Decimal, bool) {
		if e.resolution == 0 {
			e.retain(limit, w)
		}
		return func(ev *eval) (decimal.Decimal, bool) {
			n, next := ev.s.of(e).countWindow(e, ev.now, w, limit)
			ev.touch(next)
			return decimal.FromInt(n)
		}
	}
	if e.resolution != 0 {
		return numberNode(windowed(maxKept))
	}
	return x.newestOnly(call, windowed, true)
}

// countSince counts the occurrences of e after the last of other.
func (x *exprCompiler) countSince(e, other *eventDef, call celast.Expr) node {
	return x.newestOnly(call, func(limit int) func(*eval) (decimal.Decimal, bool) {
		e.retain(limit, never)
		return func(ev *eval) (decimal.Decimal, bool) {
			return decimal.FromInt(ev.s.since(e, other))
		}
	}, false)
}

// since is how many of the occurrences kept of e lie after the last of other.
func (s *State) since(e, other *eventDef) int64 {
	from := int64(math.MinInt64)
	if o := s.of(other); o.total(other) > 0 {
		from = o.last(other)
	}
	return s.of(e).countBetween(e, from, never)
}

// newestOnly is a count of the newest instants. A comparison with a constant takes
// windowed; only if none does, the count looks at all that can be kept.
func (x *exprCompiler) newestOnly(call celast.Expr, windowed func(limit int) func(*eval) (decimal.Decimal, bool), coarser bool) node {
	n := node{windowed: windowed, coarser: coarser, taken: new(bool)}
	var all func(*eval) (decimal.Decimal, bool)
	n.n = func(ev *eval) (decimal.Decimal, bool) { return all(ev) }
	n.v = func(ev *eval) value { return number(all(ev)) }
	x.atEnd = append(x.atEnd, func() {
		if !*n.taken {
			x.warnNewest(call, coarser)
			all = windowed(maxKept)
		}
	})
	return n
}

func integerNode(f func(*eval) int64) node {
	return numberNode(func(ev *eval) (decimal.Decimal, bool) { return decimal.FromInt(f(ev)) })
}

// within reports whether an instant lies in the window, and when it leaves it.
func within(ev *eval, happened bool, at, w int64) tri {
	if !happened || at+w <= ev.now {
		return no
	}
	ev.touch(at + w)
	return yes
}

// reached reports whether an instant has come, and else when it will.
func reached(ev *eval, armed bool, at int64) tri {
	if !armed {
		return no
	}
	if at <= ev.now {
		return yes
	}
	ev.touch(at)
	return no
}
