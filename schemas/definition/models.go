// SPDX-License-Identifier: Apache-2.0

package definition

import "strings"

// readModels reads the stage models.
func (r *fileReader) readModels(n *node) {
	if n == nil {
		return
	}
	first := map[string]Pos{}
	for _, item := range r.items(n, "`models`") {
		f, ok := r.fields(item, "a model", "name", "stages", "order", "churned", "at_risk")
		if !ok {
			continue
		}
		var m Model
		if v := f.require("name"); v != nil {
			m.Name = r.newName(v, "model", first)
		}
		if v := f.require("stages"); v != nil {
			m.Stages = r.stages(v)
		}
		r.order(f, &m)
		m.Churned = r.stageList(f.get("churned"), "`churned`", &m)
		m.AtRisk = r.stageList(f.get("at_risk"), "`at_risk`", &m)
		r.d.Models = append(r.d.Models, m)
	}
}

// newName is a name that must not be in first yet, where it is put.
func (r *fileReader) newName(n *node, kind string, first map[string]Pos) Text {
	t, ok := r.name(n, kind)
	if !ok {
		return t
	}
	if at, twice := first[t.Value]; twice {
		r.add(t.Pos, "duplicate %s %s: it stands on line %d too; give one of them another name", kind, quote(t.Value), at.Line)
	} else {
		first[t.Value] = t.Pos
	}
	return t
}

func (r *fileReader) stages(n *node) []Stage {
	var out []Stage
	first := map[string]Pos{}
	items := r.items(n, "`stages`")
	for i, item := range items {
		f, ok := r.fields(item, "a stage", "stage", "when")
		if !ok {
			continue
		}
		var s Stage
		if v := f.require("stage"); v != nil {
			s.Name = r.newName(v, "stage", first)
		}
		s.When = r.condition(f.require("when"), "`when`")
		switch always, last := s.When.Value == "true", i == len(items)-1; {
		case s.When.IsZero(): // reported
		case last && !always:
			r.add(s.When.Pos, "the last stage must be for everybody left: its `when` must be true, not %s; put a stage behind it that is for the others", quote(s.When.Value))
		case always && !last:
			r.warn(s.When.Pos, "`when` is always true: the stages after %s can never hold", quote(s.Name.Value))
		}
		out = append(out, s)
	}
	return out
}

// order is the model's order: every stage once, worst to best.
func (r *fileReader) order(f *fields, m *Model) {
	if !f.given("order") {
		for _, s := range m.Stages {
			m.Order = append(m.Order, s.Name)
		}
		return
	}
	m.Order = r.stageList(f.get("order"), "`order`", m)
	if m.Order == nil {
		return
	}
	listed := map[string]bool{}
	for _, t := range m.Order {
		listed[t.Value] = true
	}
	var missing []string
	for _, s := range m.Stages {
		if s.Name.Value != "" && !listed[s.Name.Value] {
			listed[s.Name.Value] = true
			missing = append(missing, s.Name.Value)
		}
	}
	if len(missing) > 0 {
		r.add(f.key("order").Pos, "`order` must list every stage, worst to best: %s is missing", quote(strings.Join(missing, ", ")))
	}
}

// stageList is a list of the model's stages, none of them twice; n may be nil.
func (r *fileReader) stageList(n *node, what string, m *Model) []Text {
	if n == nil {
		return nil
	}
	stages := make(map[string]bool, len(m.Stages))
	var names []string
	for _, s := range m.Stages {
		if !stages[s.Name.Value] {
			stages[s.Name.Value] = true
			names = append(names, s.Name.Value)
		}
	}
	var out []Text
	first := map[string]Pos{}
	for _, item := range r.items(n, what) {
		t, ok := r.text(item, "a stage in "+what)
		if !ok {
			continue
		}
		if at, twice := first[t.Value]; twice {
			r.add(t.Pos, "%s lists stage %s twice: it stands on line %d too; keep one of them", what, quote(t.Value), at.Line)
			continue
		}
		first[t.Value] = t.Pos
		if !stages[t.Value] {
			r.add(t.Pos, "the model has no stage %s%s", quote(t.Value), suggestKey(t.Value, names))
			continue
		}
		out = append(out, t)
	}
	return out
}

// readSegments reads the named conditions.
func (r *fileReader) readSegments(n *node) {
	if n == nil {
		return
	}
	first := map[string]Pos{}
	for _, item := range r.items(n, "`segments`") {
		f, ok := r.fields(item, "a segment", "name", "when", "by")
		if !ok {
			continue
		}
		var s Segment
		if v := f.require("name"); v != nil {
			s.Name = r.newName(v, "segment", first)
		}
		switch when, by := f.given("when"), f.given("by"); {
		case when && by:
			r.add(f.key("by").Pos, "segment %s has both `when` and `by`: one of them must go", quote(s.Name.Value))
		case !when && !by:
			f.missing("segment %s needs the key `when` or `by`", quote(s.Name.Value))
		}
		s.When = r.condition(f.get("when"), "`when`")
		s.By = r.condition(f.get("by"), "`by`")
		r.d.Segments = append(r.d.Segments, s)
	}
}
