// SPDX-License-Identifier: Apache-2.0

package explanation

// Conditions calls fn with every condition and its parts, each before its parts.
func (x *Explanation) Conditions(fn func(*Condition)) {
	for i := range x.Models {
		for j := range x.Models[i].Stages {
			x.Models[i].Stages[j].Condition.each(fn)
		}
	}
	for i := range x.Segments {
		x.Segments[i].Condition.each(fn)
	}
	for i := range x.Campaigns {
		if c := x.Campaigns[i].Audience; c != nil {
			c.each(fn)
		}
		for k := range x.Campaigns[i].Goals {
			if c := x.Campaigns[i].Goals[k].When; c != nil {
				c.each(fn)
			}
		}
	}
}

func (c *Condition) each(fn func(*Condition)) {
	fn(c)
	for i := range c.Parts {
		c.Parts[i].each(fn)
	}
}

// Name fills in message ids: of tells that of an event's occurrence, or "".
func (x *Explanation) Name(of func(event string, at Time) string) {
	for i := range x.Events {
		x.Events[i].name(of)
	}
	x.Conditions(func(c *Condition) {
		if c.Facts == nil {
			return
		}
		for i := range c.Facts.Events {
			c.Facts.Events[i].name(of)
		}
		if d := c.Facts.Decided; d != nil {
			d.MessageID = of(d.Event, d.At)
		}
	})
}

func (e *Event) name(of func(event string, at Time) string) {
	if e.Times > 0 {
		e.LastMessageID = of(e.Event, e.Last)
	}
}
