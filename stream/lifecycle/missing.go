// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Lack is what is missing of an event's history when a definition changes.
type Lack string

// The lacks.
const (
	LackAll      Lack = "all"      // the event is new, or means something else: it starts empty
	LackOlder    Lack = "older"    // windows reach further back than what is held
	LackInstants Lack = "instants" // conditions read more of the newest occurrences than are held
	LackValues   Lack = "values"   // sums and the like read values that are not held
	LackProperty Lack = "property" // unique or favourite reads a property that is not held
	LackTexts    Lack = "texts"    // favourite reads a property of which only hashes are held
)

// Missing is history that the conditions of a new definition read and the states made by
// the one before do not hold. It fills up by itself as time goes on; a rebuild provides it
// at once.
type Missing struct {
	Event string
	Lack  Lack
	Text  string // for people
	index int    // of the event in the model before; -1: it has none of that name
}

// Known reports whether Lacks can tell who lacks it: of an event that the model before
// does not have, nobody knows whose history it would be.
func (w *Missing) Known() bool { return w.index >= 0 }

// Missing lists what is missing, by event in the order of the new file. Whether a single
// customer lacks it, Lacks says.
func (c *Carrier) Missing() []Missing { return slices.Clone(c.missing) }

// Lacks calls fn with the place in Missing of everything that is missing of this customer:
// a state of the model before.
func (c *Carrier) Lacks(s *State, fn func(i int)) {
	if s.series == nil {
		return
	}
	for i := range c.missing {
		w := &c.missing[i]
		if w.index < 0 {
			continue
		}
		e := c.from.events[w.index]
		x := s.of(e)
		lacks := false
		switch w.Lack {
		case LackAll, LackValues, LackProperty, LackTexts:
			lacks = x.total(e) > 0
		case LackOlder, LackInstants:
			lacks = x.total(e) > int64(x.size(e))
		}
		if lacks {
			fn(i)
		}
	}
}

func (c *Carrier) findMissing() []Missing {
	var all []Missing
	for i, e := range c.to.events {
		at := slices.IndexFunc(c.from.events, func(o *eventDef) bool { return o.name == e.name })
		add := func(lack Lack, format string, args ...any) {
			all = append(all, Missing{Event: e.name, Lack: lack, Text: fmt.Sprintf(format, args...), index: at})
		}
		old := c.events[i].old
		switch {
		case at < 0:
			if e.source != nil && c.events[e.source.index].old != nil {
				c.missingOfSource(e, add)
				continue
			}
			add(LackAll, "event %s is new: it starts empty", e.name)
		case old == nil:
			add(LackAll, "event %s has another %s: it starts empty", e.name, strings.Join(c.from.events[at].meaning.changed(e.meaning), ", another "))
		default:
			missingOf(e, old, e.name, add)
			for k, p := range e.props {
				switch {
				case e.source != nil:
				case c.events[i].props[k] < 0:
					add(LackProperty, "property %s of the occurrences of %s is not held", p.name, e.name)
				case p.slot >= 0 && c.events[i].texts[p.slot] < 0:
					add(LackTexts, "the texts of property %s of the occurrences of %s are not held: a value is known once it is seen again", p.name, e.name)
				}
			}
		}
	}
	return all
}

// missingOfSource is about a derived event that is new: it is found in what its source has.
func (c *Carrier) missingOfSource(e *eventDef, add func(Lack, string, ...any)) {
	source := e.source
	missingOf(source, c.events[source.index].old, fmt.Sprintf("%s, from which %s is derived,", source.name, e.name), add)
}

func missingOf(e, old *eventDef, what string, add func(Lack, string, ...any)) {
	reads := e.keep > 0 || len(e.residues) > 0
	switch {
	case !reads:
	case e.keep > 0 && old.keep == 0 && len(old.residues) == 0:
		add(LackInstants, "the single occurrences of %s are not held, only how many there were, the first and the last", what)
	case horizonOf(e) > horizonOf(old):
		add(LackOlder, "history of %s older than %s is not held", what, windowText(horizonOf(old)))
	case e.keep > max(old.keep, 0) && e.keep > 0:
		add(LackInstants, "of %s the newest %d occurrences of a customer are held, and conditions now read %d", what, old.keep, e.keep)
	}
	if e.needsValues && !old.needsValues {
		add(LackValues, "the values of the occurrences of %s are not held", what)
	}
}

// horizonOf is how far back an event is kept, by rows or by hours.
func horizonOf(e *eventDef) int64 {
	if e.keep > 0 {
		return max(e.horizon, e.longest)
	}
	return e.longest
}

// windowText is a window as it would be written.
func windowText(ms int64) string {
	switch {
	case ms == never:
		return "ever"
	case ms%dayMillis == 0:
		return fmt.Sprintf("%dd", ms/dayMillis)
	case ms%hourMillis == 0:
		return fmt.Sprintf("%dh", ms/hourMillis)
	default:
		return (time.Duration(ms) * time.Millisecond).String()
	}
}

// Fits is an error if a customer could not be written once it is carried: what it has stays,
// also beyond `limits` that have become lower.
func (c *Carrier) Fits() error {
	was, is := &c.from.def.Limits, &c.to.def.Limits
	over := max(0, was.TraitBytes-is.TraitBytes) + max(0, was.Traits-is.Traits)*(2*lengthBytes+instantBytes)
	if c.from.lateness > 0 && c.to.lateness > 0 {
		over += max(0, was.HeldBytes-is.HeldBytes)
	}
	for i := range c.rules {
		if c.to.rules[i].by && c.rules[i].old >= 0 {
			over += max(0, was.ByValues-is.ByValues) * byValueBytes
		}
	}
	for _, i := range c.to.campaigns {
		if c.rules[i].old >= 0 {
			open := c.to.rules[i].campaign.open + maxCorrected
			over += open * max(0, c.from.placeBytes()-c.to.placeBytes())
		}
	}
	if total := c.to.maxState + over; over > 0 && total > maxRecordBytes {
		return fmt.Errorf("a customer that has filled the `limits` of version %d can come to %s under version %d, and a record holds %s: lower `limits` less, or rebuild",
			c.from.def.Version, mebibytes(total), c.to.def.Version, mebibytes(maxRecordBytes))
	}
	return nil
}
