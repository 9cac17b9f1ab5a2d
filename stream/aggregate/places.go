// SPDX-License-Identifier: Apache-2.0

package aggregate

import (
	"slices"
	"strings"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// groupKey is what the places of one count have in common.
type groupKey struct {
	measure  record.Measure
	event    string
	platform string
}

// group is the series of one groupKey by place, so that a count is found by the name of
// a stage or segment alone.
type group struct {
	all      *series
	stages   []map[string]*series // by model
	segments map[string]*series
}

// addPlaces adds v to all customers, to the stage held in each model, and to each segment
// held of those to count by.
func (t *Totals) addPlaces(k groupKey, periods [len(grains)]instant.Instant, v value, stages []record.StageAt, segments []string) {
	g := t.places[k]
	d := dims{measure: k.measure, event: k.event, platform: k.platform}
	if g == nil {
		g = &group{all: t.find(d), stages: make([]map[string]*series, len(t.models)), segments: map[string]*series{}}
		for i := range g.stages {
			g.stages[i] = map[string]*series{}
		}
		k.event, k.platform = g.all.dims.event, g.all.dims.platform // copied
		k.measure = g.all.dims.measure
		t.places[k] = g
	}
	t.add(g.all, 0, periods, v)
	for i, model := range t.models {
		stage := stageIn(stages, model)
		s := g.stages[i][stage]
		if s == nil {
			d.model, d.stage = model, stage
			s = t.find(d)
			g.stages[i][s.dims.stage] = s
		}
		t.add(s, 0, periods, v)
	}
	if len(t.by) == 0 {
		return
	}
	d.model, d.stage = "", ""
	for _, segment := range segments {
		if segment = t.countsAs(segment); segment == "" {
			continue
		}
		s := g.segments[segment]
		if s == nil {
			d.segment = segment
			s = t.find(d)
			g.segments[s.dims.segment] = s
		}
		t.add(s, 0, periods, v)
	}
}

// countsAs is the segment to count by: itself, if the definition asks for it, or for that
// whose values it is one of; but all values beyond so many are one. Empty: none.
func (t *Totals) countsAs(segment string) string {
	name, _, of := strings.Cut(segment, "=") // no name has one
	switch {
	case !slices.Contains(t.by, name):
		return ""
	case of && !t.known[segment] && t.values[name] >= definition.MaxValues:
		return name + "=…"
	default:
		return segment
	}
}
