// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"

	"lapwing/schemas/definition"
)

// Oracle is a definition with its expressions as trees.
type Oracle struct {
	def    *definition.Definition
	events []event
	items  []item // models and segments in the order in which they are evaluated
	params map[string]value
	// durations are all that any string of the definition could mean.
	durations []time.Duration
	rhythms   []rhythm // all that conditions name
	// favourites are the properties whose favourites are asked for, by the event that
	// has the messages.
	favourites map[string][]string
}

type event struct {
	name                                        string
	def                                         definition.Event
	where, amount, key, refundAmount, refundKey ast.Expr // nil: left out
}

// item is a model, a segment or a campaign; the others are nil.
type item struct {
	name     string
	model    *definition.Model
	segment  *definition.Segment
	campaign *campaign
	whens    []ast.Expr // of the stages, or the one of the segment, or all of the campaign
	by       ast.Expr
	file     int // place in the file, models first
}

// New reads the expressions of a definition that is known to be valid.
func New(def *definition.Definition) (*Oracle, error) {
	o := &Oracle{def: def, params: map[string]value{}, favourites: map[string][]string{}}
	var problems []error
	read := func(source definition.Text) ast.Expr {
		if source.Value == "" {
			return nil
		}
		x, err := parse(source.Value)
		if err != nil {
			problems = append(problems, err)
			return nil
		}
		o.collectDurations(x)
		o.rhythms = append(o.rhythms, o.rhythmsIn(x)...)
		return x
	}
	for _, p := range def.Params {
		o.params[p.Name.Value] = ofParam(p)
		if d, ok := parseDuration(p.Value.Value); ok {
			o.durations = append(o.durations, d)
		}
	}
	for _, e := range def.Events {
		ev := event{name: e.Name.Value, def: e, where: read(e.Where), amount: read(e.Value), key: read(e.Key)}
		if e.Refund != nil {
			ev.refundAmount, ev.refundKey = read(e.Refund.Value), read(e.Refund.Key)
		}
		o.events = append(o.events, ev)
	}
	var items []item
	for i := range def.Models {
		m := &def.Models[i]
		it := item{name: m.Name.Value, model: m, file: len(items)}
		for _, s := range m.Stages {
			it.whens = append(it.whens, read(s.When))
		}
		items = append(items, it)
	}
	for i := range def.Segments {
		s := &def.Segments[i]
		it := item{name: s.Name.Value, segment: s, by: read(s.By), file: len(items)}
		if x := read(s.When); x != nil {
			it.whens = []ast.Expr{x}
		}
		items = append(items, it)
	}
	for i := range def.Campaigns {
		c := &campaign{def: &def.Campaigns[i]}
		it := item{name: c.def.Name.Value, campaign: c, file: len(items)}
		c.audience = read(c.def.Audience)
		if a := c.def.Assigned; a != nil {
			c.where, c.variant, c.holdout = read(a.Where), read(a.Variant), read(a.Holdout)
		}
		it.whens = append(it.whens, c.audience)
		for _, g := range c.def.Goals {
			c.whens = append(c.whens, read(g.When))
		}
		it.whens = append(it.whens, c.whens...)
		items = append(items, it)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	for _, it := range items {
		for _, x := range append(slices.Clone(it.whens), it.by) {
			if x != nil {
				o.collectFavourites(x)
			}
		}
	}
	var err error
	o.items, err = inOrder(items)
	return o, err
}

func ofParam(p definition.Param) value {
	if p.IsString {
		return ofText(p.Value.Value)
	}
	if r := parseNumber(p.Value.Value); r != nil {
		return ofNumber(r)
	}
	return ofBool(p.Value.Value == "true")
}

func (o *Oracle) collectDurations(x ast.Expr) {
	ast.PreOrderVisit(x, ast.NewExprVisitor(func(x ast.Expr) {
		if x.Kind() != ast.LiteralKind {
			return
		}
		if s, ok := x.AsLiteral().(types.String); ok {
			if d, ok := parseDuration(string(s)); ok {
				o.durations = append(o.durations, d)
			}
		}
	}))
}

// inOrder puts what is read before what reads it, and otherwise keeps the file's order.
func inOrder(items []item) ([]item, error) {
	done := map[string]bool{}
	var out []item
	for len(out) < len(items) {
		before := len(out)
		for _, it := range items {
			if done[it.id()] {
				continue
			}
			ready := true
			for id := range it.reads() {
				ready = ready && done[id]
			}
			if ready {
				done[it.id()] = true
				out = append(out, it)
				break
			}
		}
		if len(out) == before {
			return nil, fmt.Errorf("order models and segments: they read each other in a circle")
		}
	}
	return out, nil
}

func (it item) id() string {
	switch {
	case it.model != nil:
		return "model " + it.name
	case it.segment != nil:
		return "segment " + it.name
	default:
		return "campaign " + it.name
	}
}

// reads are the ids of what its conditions name, and of the campaigns it excludes.
func (it item) reads() map[string]bool {
	out := map[string]bool{}
	for _, x := range append(append([]ast.Expr(nil), it.whens...), it.by) {
		if x == nil {
			continue
		}
		ast.PreOrderVisit(x, ast.NewExprVisitor(func(x ast.Expr) {
			if x.Kind() != ast.CallKind || len(x.AsCall().Args()) == 0 || x.AsCall().Args()[0].Kind() != ast.LiteralKind {
				return
			}
			name, _ := x.AsCall().Args()[0].AsLiteral().(types.String)
			switch x.AsCall().FunctionName() {
			case "in_stage", "stage_for":
				out["model "+string(name)] = true
			case "assigned", "converted":
				out["campaign "+string(name)] = true
			case "in_segment":
				segment, _, _ := strings.Cut(string(name), "=")
				out["segment "+segment] = true
			}
		}))
	}
	if it.campaign != nil {
		for _, x := range it.campaign.def.Exclude {
			out["campaign "+x.Value] = true
		}
	}
	return out
}
