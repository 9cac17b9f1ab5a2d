// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"regexp"
	"slices"
	"strings"
)

// smaller takes away messages, models, segments, stages, events and settings for as
// long as the disagreement stays (that the definition no longer stands is none).
func (c sampleCase) smaller(compare comparison) sampleCase {
	for {
		again := false
		for _, candidate := range c.reductions() {
			if d := candidate.disagreement(&session{}, compare); strings.HasPrefix(d, "customer ") {
				c, again = candidate, true
				break
			}
		}
		if !again {
			return c
		}
	}
}

func without[T any](from []T, i int) []T { return slices.Delete(slices.Clone(from), i, i+1) }

// reductions are the cases that have one thing less.
func (c sampleCase) reductions() []sampleCase {
	var out []sampleCase
	for i := range c.lines {
		out = append(out, sampleCase{c.def, without(c.lines, i), c.until})
	}
	change := func(f func(d *sampleDefinition)) {
		d := *c.def
		f(&d)
		out = append(out, sampleCase{&d, c.lines, c.until})
	}
	for i := range c.def.segments {
		change(func(d *sampleDefinition) { d.segments = without(d.segments, i) })
	}
	for i := range c.def.models {
		if len(c.def.models) > 1 {
			change(func(d *sampleDefinition) { d.models = without(d.models, i) })
		}
		for j := range c.def.models[i].stages {
			change(func(d *sampleDefinition) {
				d.models = slices.Clone(d.models)
				d.models[i].stages = without(d.models[i].stages, j)
			})
		}
		for j, when := range c.def.models[i].stages {
			for _, less := range lessOf(when) {
				change(func(d *sampleDefinition) {
					d.models = slices.Clone(d.models)
					d.models[i].stages = slices.Clone(d.models[i].stages)
					d.models[i].stages[j] = less
				})
			}
		}
	}
	for i, g := range c.def.segments {
		for _, less := range lessOf(g.when) {
			change(func(d *sampleDefinition) {
				d.segments = slices.Clone(d.segments)
				d.segments[i].when = less
			})
		}
	}
	for i, g := range c.def.campaigns {
		change(func(d *sampleDefinition) { d.campaigns = without(d.campaigns, i) })
		for j := range g.goals {
			change(func(d *sampleDefinition) {
				d.campaigns = slices.Clone(d.campaigns)
				d.campaigns[i].goals = without(g.goals, j)
			})
		}
		for j := range g.fields {
			change(func(d *sampleDefinition) {
				d.campaigns = slices.Clone(d.campaigns)
				d.campaigns[i].fields = without(g.fields, j)
			})
		}
	}
	for i := range c.def.events {
		change(func(d *sampleDefinition) { d.events = without(d.events, i) })
	}
	for i := range c.def.head {
		change(func(d *sampleDefinition) { d.head = without(d.head, i) })
	}
	for i, line := range c.lines {
		for _, field := range optionalField.FindAllString(line, -1) {
			lines := slices.Clone(c.lines)
			lines[i] = strings.Replace(line, field, "", 1)
			out = append(out, sampleCase{c.def, lines, c.until})
		}
	}
	return out
}

// optionalField is a scalar member of an object, with the comma behind it.
var optionalField = regexp.MustCompile(`"(n|total|order_id|channel|control|currency|consent_email|coupon|country|tier|score|birthday|renewal|locale|messageId)":("[^"]*"|[a-z0-9.+-]+),`)

// lessOf are the parts of a condition of the form (a) op (b), or !(a).
func lessOf(condition string) []string {
	var out []string
	depth, start := 0, 0
	for i, r := range condition {
		switch r {
		case '(':
			if depth == 0 {
				start = i
			}
			depth++
		case ')':
			depth--
			if depth == 0 && (start == 0 || strings.ContainsRune("! ", rune(condition[start-1]))) {
				out = append(out, condition[start+1:i])
			}
		}
	}
	return out
}
