// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/schemas/record"
	"lapwing/stream/lifecycle"
)

// previewer counts customers; it belongs to one goroutine.
type previewer struct {
	sample    int
	live, new *lifecycle.Model
	carrier   *lifecycle.Carrier
	out       lifecycle.Output
	preview   Preview
	stages    map[string]map[string]*GroupPreview
	segments  map[string]*GroupPreview
	campaigns map[string]*CampaignPreview
	lacking   []int64
}

func newPreviewer(live, next *lifecycle.Model, sample int) *previewer {
	p := &previewer{
		sample: sample, live: live, new: next, carrier: lifecycle.NewCarrier(live, next),
		stages: map[string]map[string]*GroupPreview{}, segments: map[string]*GroupPreview{}, campaigns: map[string]*CampaignPreview{},
	}
	p.lacking = make([]int64, len(p.carrier.Missing()))
	def := next.Definition()
	p.preview = Preview{
		Definition: def.Name.Value, LiveVersion: live.Definition().Version, Version: def.Version,
		Models: []ModelPreview{}, Segments: []GroupPreview{}, Campaigns: []CampaignPreview{}, Sample: []Preliminary{}, Missing: []Missed{}, // lists for programs, never null
	}
	for _, d := range []*definition.Definition{def, live.Definition()} {
		for _, m := range d.Models {
			for _, st := range m.Stages {
				p.stage(m.Name.Value, st.Name.Value)
			}
		}
		for _, s := range d.Segments {
			if s.By.IsZero() {
				p.segment(s.Name.Value)
			}
		}
	}
	for i := range def.Campaigns {
		c := p.campaign(def.Campaigns[i].Name.Value)
		for _, v := range def.Campaigns[i].Variants {
			c.Variants = append(c.Variants, VariantPreview{Variant: v.Name.Value})
		}
	}
	return p
}

func (p *previewer) stage(model, stage string) *GroupPreview {
	if p.stages[model] == nil {
		p.stages[model] = map[string]*GroupPreview{}
	}
	g := p.stages[model][stage]
	if g == nil {
		g = &GroupPreview{Name: stage}
		p.stages[model][stage] = g
	}
	return g
}

func (p *previewer) segment(name string) *GroupPreview {
	g := p.segments[name]
	if g == nil {
		g = &GroupPreview{Name: name}
		p.segments[name] = g
	}
	return g
}

// customer carries one customer, once it has been brought over to the live definition and
// all its deadlines up to at are fired.
func (p *previewer) customer(lineage *lifecycle.Lineage, id string, value []byte, at instant.Instant) error {
	_, encoded, err := mailbox.DecodeCustomer(value)
	if err != nil {
		return err
	}
	state := new(lifecycle.State)
	version, err := lineage.Decode(encoded, state)
	if err != nil {
		return fmt.Errorf("decode a customer: %w", err)
	}
	p.out.Reset()
	state = lineage.Bring(version, state, id, at, &p.out)
	if lineage.Newest() != p.live {
		return fmt.Errorf("a lane has version %d of the definition, and version %d is live: %w", lineage.Version(), p.live.Definition().Version, ErrBetween)
	}
	if at != instant.None {
		for p.live.Advance(state, id, at, at, &p.out) {
			p.out.Reset()
		}
	}
	if !state.Begun() {
		return nil
	}
	p.preview.Customers++
	p.carrier.Lacks(state, func(i int) { p.lacking[i]++ })
	was := p.live.Standing(state)
	p.out.Reset()
	state = p.carrier.Carry(state, id, at, at, &p.out)
	assigned := p.assign(nil)
	for more := at != instant.None; more; {
		p.out.Reset()
		more = p.new.Advance(state, id, at, at, &p.out)
		assigned = p.assign(assigned)
	}
	is := p.new.Standing(state)
	if p.count(&was, &is) {
		p.preview.Changing++
	} else if len(assigned) == 0 {
		return nil
	}
	if len(assigned) > 0 {
		p.preview.Assigning++
	}
	if len(p.preview.Sample) < p.sample {
		p.preview.Sample = append(p.preview.Sample, Preliminary{Customer: id, Changes: append(p.reasons(&was, &is), assigned...)})
	}
	return nil
}

// campaign is the counts of a campaign by its name.
func (p *previewer) campaign(name string) *CampaignPreview {
	c := p.campaigns[name]
	if c == nil {
		c = &CampaignPreview{Campaign: name}
		p.campaigns[name] = c
	}
	return c
}

// assign counts who is assigned by what has just been evaluated, and adds it to what is
// told of the customer.
func (p *previewer) assign(told []PreliminaryChange) []PreliminaryChange {
	for i := range p.out.Records {
		r := &p.out.Records[i]
		if r.Kind != record.Assignment {
			continue
		}
		c := p.campaign(r.Campaign)
		c.Assign++
		at := slices.IndexFunc(c.Variants, func(v VariantPreview) bool { return v.Variant == r.Variant })
		switch {
		case r.Holdout:
			c.Holdout++
		case at < 0: // a further round, in an arm of before
			c.Variants = append(c.Variants, VariantPreview{Variant: r.Variant, Assign: 1})
		default:
			c.Variants[at].Assign++
		}
		told = append(told, PreliminaryChange{Campaign: r.Campaign, Variant: r.Variant, Holdout: r.Holdout, Condition: r.Cause.Condition})
	}
	return told
}

// count adds a customer to the counts and reports whether it changes.
func (p *previewer) count(was, is *lifecycle.Standing) (changed bool) {
	stages := map[string][2]string{}
	for _, m := range was.Models {
		stages[m.Model] = [2]string{m.Stage, ""}
	}
	for _, m := range is.Models {
		stages[m.Model] = [2]string{stages[m.Model][0], m.Stage}
	}
	for model, s := range stages { // sums: the order does not matter
		changed = p.move(s[0] != "", s[1] != "", s[0] == s[1], func(i int) *GroupPreview { return p.stage(model, s[i]) }) || changed
	}
	in := map[string][2]bool{}
	for _, s := range was.Segments {
		in[s.Segment] = [2]bool{s.In, false}
	}
	for _, s := range is.Segments {
		in[s.Segment] = [2]bool{in[s.Segment][0], s.In}
	}
	for name, s := range in {
		changed = p.move(s[0], s[1], true, func(int) *GroupPreview { return p.segment(name) }) || changed
	}
	for _, c := range was.Campaigns {
		if c.Sequence > 0 && c.Goal == "" {
			p.campaign(c.Campaign).Assigned++
		}
	}
	return changed
}

// move counts a customer that was in one group (of 0), or none, and is in another (of 1).
func (p *previewer) move(was, is, same bool, of func(i int) *GroupPreview) (changed bool) {
	if was {
		of(0).Live++
	}
	if is {
		of(1).New++
	}
	if was && is && same {
		of(1).Stay++
		return false
	}
	if was {
		of(0).Leave++
	}
	if is {
		of(1).Enter++
	}
	return was || is
}

// reasons are what changes, with the conditions.
func (p *previewer) reasons(was, is *lifecycle.Standing) []PreliminaryChange {
	var all []PreliminaryChange
	next, live := p.new.Definition(), p.live.Definition()
	stage := func(s *lifecycle.Standing, model string) string {
		for _, m := range s.Models {
			if m.Model == model {
				return m.Stage
			}
		}
		return ""
	}
	in := func(s *lifecycle.Standing, segment string) bool {
		return slices.ContainsFunc(s.Segments, func(g lifecycle.SegmentStanding) bool { return g.Segment == segment && g.In })
	}
	for _, model := range names(is.Models, was.Models, func(m lifecycle.ModelStanding) string { return m.Model }) {
		from, to := stage(was, model), stage(is, model)
		if from != to {
			all = append(all, PreliminaryChange{
				Model: model, From: from, To: to, Condition: stageCondition(next, model, to), Former: stageCondition(live, model, from),
			})
		}
	}
	segments := names(is.Segments, was.Segments, func(s lifecycle.SegmentStanding) string { return s.Segment })
	slices.Sort(segments)
	for _, segment := range segments {
		entered := in(is, segment)
		switch {
		case entered == in(was, segment):
		case entered:
			all = append(all, PreliminaryChange{Segment: segment, Entered: &entered, Condition: segmentCondition(next, segment)})
		default:
			all = append(all, PreliminaryChange{Segment: segment, Entered: &entered, Former: segmentCondition(live, segment)})
		}
	}
	return all
}

// result puts the counts into the order of the new definition.
func (p *previewer) result() *Preview {
	next, live := p.new.Definition(), p.live.Definition()
	out := &p.preview
	for _, name := range names(next.Models, live.Models, func(m definition.Model) string { return m.Name.Value }) {
		is, was := stagesOf(next, name), stagesOf(live, name)
		m := ModelPreview{Model: name, Change: changeOf(is != nil, was != nil)}
		for _, stage := range names(is, was, func(s definition.Stage) string { return s.Name.Value }) {
			g := p.stages[name][stage]
			has := func(all []definition.Stage) bool {
				return slices.ContainsFunc(all, func(s definition.Stage) bool { return s.Name.Value == stage })
			}
			g.Change = changeOf(has(is), has(was))
			m.Stages = append(m.Stages, *g)
		}
		out.Models = append(out.Models, m)
	}
	for _, name := range slices.Sorted(maps.Keys(p.segments)) {
		g := p.segments[name]
		g.Change = changeOf(segmentOf(next, name) != nil, segmentOf(live, name) != nil)
		out.Segments = append(out.Segments, *g)
	}
	for _, name := range names(next.Campaigns, live.Campaigns, func(c definition.Campaign) string { return c.Name.Value }) {
		c := p.campaign(name)
		of := func(d *definition.Definition) bool {
			return slices.ContainsFunc(d.Campaigns, func(c definition.Campaign) bool { return c.Name.Value == name })
		}
		if c.Change = changeOf(of(next), of(live)); c.Variants == nil {
			c.Variants = []VariantPreview{}
		}
		out.Campaigns = append(out.Campaigns, *c)
	}
	for i, m := range p.carrier.Missing() {
		missed := Missed{Event: m.Event, Lack: m.Lack, Text: m.Text}
		if n := p.lacking[i]; m.Known() {
			missed.Customers = &n
		}
		out.Missing = append(out.Missing, missed)
	}
	return out
}

// names are those of the new definition in its order, then those of the live one alone.
func names[T any](next, live []T, name func(T) string) []string {
	var all []string
	for _, list := range [][]T{next, live} {
		for _, x := range list {
			if !slices.Contains(all, name(x)) {
				all = append(all, name(x))
			}
		}
	}
	return all
}

func changeOf(inNew, inLive bool) string {
	switch {
	case inNew && inLive:
		return "kept"
	case inNew:
		return "added"
	default:
		return "removed"
	}
}

func stagesOf(d *definition.Definition, model string) []definition.Stage {
	for _, m := range d.Models {
		if m.Name.Value == model {
			return m.Stages
		}
	}
	return nil
}

func stageCondition(d *definition.Definition, model, stage string) string {
	for _, s := range stagesOf(d, model) {
		if s.Name.Value == stage {
			return s.When.Value
		}
	}
	return ""
}

// segmentOf is the segment by its full name: with the value, if there is one per value.
func segmentOf(d *definition.Definition, full string) *definition.Segment {
	name, _, by := strings.Cut(full, "=")
	for i := range d.Segments {
		if s := &d.Segments[i]; s.Name.Value == name && !s.By.IsZero() == by {
			return s
		}
	}
	return nil
}

func segmentCondition(d *definition.Definition, full string) string {
	s := segmentOf(d, full)
	switch {
	case s == nil:
		return ""
	case s.By.IsZero():
		return s.When.Value
	default:
		return s.By.Value
	}
}
