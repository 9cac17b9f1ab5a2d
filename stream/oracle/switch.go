// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"maps"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// Switch is a change of definition in the middle of a customer's history.
type Switch struct {
	After int             // so many of the customer's messages have been read before it
	Clock instant.Instant // deadlines up to it are still the former definition's
	To    *Oracle
	// Held is what a state keeps of each event under the former definition; an event that
	// is not listed keeps nothing but how often, when first and when last it happened.
	Held map[string]Held
}

// Held is what is kept of the occurrences of an event.
type Held struct {
	Newest     int           // so many of the newest
	Within     time.Duration // of the instants before the greatest one applied; 0: of all time
	Values     bool
	Money      bool // whether a value is money of another currency
	Properties []string
	Texts      []string // properties of which the texts are known, as many as the limit says
	// Counts are, with a resolution, the windows by what they have beyond whole hours, and
	// for how long the hours are kept.
	Counts map[time.Duration]time.Duration
}

// CustomerUnder is Customer under definitions that follow each other.
func (o *Oracle) CustomerUnder(id string, messages []Message, switches []Switch, until instant.Instant) Result {
	l := o.newLife(id)
	for i := range messages {
		for len(switches) > 0 && switches[0].After <= i {
			l.redefine(&switches[0])
			switches = switches[1:]
		}
		if until == instant.None || messages[i].At <= until {
			l.accept(&messages[i])
		}
	}
	for i := range switches {
		l.redefine(&switches[i])
	}
	if until == instant.None {
		until = l.clock
	}
	l.finish(until)
	return Result{Records: l.out, Profile: l.profile()}
}

// redefine brings the customer under another definition. What it has done counts on where
// an event's meaning is the same, as far as it is kept; the rest starts empty. Whatever
// that changes takes effect at the greatest instant applied, with cause definition: that of
// the switch, up to which the former definition held.
func (l *life) redefine(s *Switch) {
	detected := itself
	if s.Clock != instant.None {
		detected = at(s.Clock)
		l.advance(s.Clock.Add(-l.oracle.def.Lateness), detected)
	}
	from := l.oracle
	l.forget(s.To, s.Held)
	if l.frontier != instant.None && s.Clock != instant.None { // the switch is an instant applied
		l.frontier = max(l.frontier, s.Clock.Add(-from.def.Lateness))
	}
	l.oracle = s.To
	l.standing = l.standing.clone()
	l.standing.campaigns = campaignsUnder(from, l.oracle, l.standing.campaigns)
	l.history = l.oracle.historyOf(l.messages)
	if l.frontier != instant.None {
		cause := record.Cause{Type: record.CauseDefinition, EventTime: instant.None}
		left := l.leave(from, cause, detected(l.frontier))
		l.step(l.frontier, nil, cause, detected(l.frontier))
		for _, r := range left {
			l.emit(r)
		}
	}
	lateness := l.oracle.def.Lateness
	if lateness == 0 {
		l.applyHeld(instant.Max, detected)
	}
	if s.Clock != instant.None { // deadlines that only the new definition has
		l.advance(s.Clock.Add(-lateness), detected)
	}
	if lateness > 0 && l.clock != instant.None { // it may wait for less long
		l.advance(l.clock.Add(-lateness), at(l.clock))
	}
}

// forget lets go of what the former definition does not keep and of what the next one
// does not mean.
func (l *life) forget(to *Oracle, held map[string]Held) {
	same := map[string]bool{}
	for _, was := range l.oracle.events {
		for _, is := range to.events {
			if was.name == is.name && was.def.From.Value == "" && is.def.From.Value == "" && l.oracle.means(was) == to.means(is) {
				same[is.name] = true
			}
		}
	}
	keep := func(a applied) applied {
		out := applied{message: a.message, occurrences: map[string]occurrence{}, refunds: map[string]refund{}, assigned: map[string]arm{}}
		for _, c := range to.def.Campaigns {
			if by, ok := a.assigned[c.Name.Value]; ok && c.Assigned != nil {
				out.assigned[c.Name.Value] = by
			}
		}
		for event, occ := range a.occurrences {
			if same[event] {
				out.occurrences[event] = occ
			}
		}
		for event, r := range a.refunds {
			if same[event] {
				out.refunds[event] = r
			}
		}
		return out
	}
	var messages, waiting []applied
	for _, a := range l.messages {
		messages = append(messages, keep(a))
	}
	for _, a := range l.held {
		a = keep(a)
		for event, occ := range a.occurrences {
			a.occurrences[event] = occ.withOnly(held[event].Properties).withTexts(held[event].Texts, nil)
		}
		waiting = append(waiting, a)
	}
	for event := range same {
		l.lose(messages, event, held[event])
	}
	l.messages, l.held = messages, waiting
	keys := map[string][]string{}
	for event, read := range l.keys {
		if same[event] {
			keys[event] = read
		}
	}
	l.keys = keys
	l.ids = slices.DeleteFunc(slices.Clone(l.ids), func(r remembered) bool { return r.clock.Add(l.oracle.def.Dedupe) <= l.clock })
}

// means is everything by which an event of its own is told from others.
func (o *Oracle) means(e event) string {
	text := func(parts ...string) (all string) {
		for _, p := range parts {
			all += p + "\x00"
		}
		return all
	}
	all := text(e.def.Where.Value, e.def.Value.Value, e.def.Key.Value, e.def.Resolution.String())
	for _, m := range e.def.Match {
		all += text(m.Type, m.Event, m.Name)
	}
	if e.def.Refund != nil {
		all += text("refund", e.def.Refund.Value.Value, e.def.Refund.Key.Value)
		for _, m := range e.def.Refund.Match {
			all += text(m.Type, m.Event, m.Name)
		}
	}
	for _, p := range o.def.Params {
		if strings.Contains(all, "params."+p.Name.Value) {
			all += text(p.Name.Value, p.Value.Value)
		}
	}
	if eventTime.MatchString(all) {
		all += o.def.Zone.String()
	}
	return all
}

// eventTime is the variable that has the definition's time zone.
var eventTime = regexp.MustCompile(`\bat\b`)

// lose marks what is not kept of the occurrences of an event.
func (l *life) lose(messages []applied, event string, held Held) {
	var kept []int // by time, then application; of those that nothing was lost of before
	for i, a := range messages {
		if occ, ok := a.occurrences[event]; ok && !occ.lost {
			kept = append(kept, i)
		}
	}
	sort.SliceStable(kept, func(i, j int) bool {
		return messages[kept[i]].occurrences[event].at < messages[kept[j]].occurrences[event].at
	})
	known := map[string][]string{}
	for _, p := range held.Texts {
		known[p] = view{oracle: l.oracle, history: l.history}.knownTexts(event, p)
	}
	for _, a := range messages {
		occ, ok := a.occurrences[event]
		if !ok {
			continue
		}
		occ.counted = occ.counts(held, l.frontier)
		if !held.Values {
			occ.amount = nil
		}
		occ.own = occ.own || !held.Money
		a.occurrences[event] = occ.withOnly(held.Properties).withTexts(held.Texts, known)
	}
	for n, i := range kept {
		occ := messages[i].occurrences[event]
		tooOld := held.Within > 0 && occ.at <= l.frontier.Add(-held.Within)
		if len(kept)-n > held.Newest || tooOld {
			occ.lost = true
		}
		messages[i].occurrences[event] = occ
	}
}

// withOnly is the occurrence when no more than these properties are kept of it.
func (occ occurrence) withOnly(properties []string) occurrence {
	props := map[string]bool{}
	for _, p := range properties {
		props[p] = occ.properties == nil || occ.properties[p]
	}
	occ.properties = props
	return occ
}

// withTexts is the occurrence when the texts of no more than these properties are known,
// and of them, if they are given, those values alone.
func (occ occurrence) withTexts(properties []string, values map[string][]string) occurrence {
	texts := map[string]bool{}
	for _, p := range properties {
		text, ok := occ.message.favouriteText(p)
		texts[p] = ok && (occ.texts == nil || occ.texts[p]) && (values == nil || slices.Contains(values[p], text))
	}
	occ.texts = texts
	return occ
}

// counted are the remainders of an hour by whose windows the occurrence is still counted.
func (occ occurrence) counts(held Held, frontier instant.Instant) map[time.Duration]bool {
	out := map[time.Duration]bool{}
	for remainder, longest := range held.Counts {
		out[remainder] = occ.isCounted(remainder) && fullHour(occ.at.Add(remainder)).Add(longest) > frontier
	}
	return out
}

// isCounted reports whether windows with that remainder of an hour count the occurrence:
// if they were not counted by before, those do that are kept themselves.
func (occ occurrence) isCounted(remainder time.Duration) bool {
	if counts, known := occ.counted[remainder]; known {
		return counts
	}
	return !occ.lost
}

// leave takes the customer out of the models and segments that the next definition does
// not have. The records of segments are for after the evaluation.
func (l *life) leave(from *Oracle, cause record.Cause, detected instant.Instant) (after []record.Record) {
	was := l.standing.clone()
	l.standing = was
	names := func(o *Oracle) map[string]bool {
		ids := map[string]bool{}
		for _, it := range o.items {
			ids[it.id()] = true
			if it.by != nil {
				ids["by "+it.name] = true
			}
		}
		return ids
	}
	is, before := names(l.oracle), names(from)
	for _, m := range from.def.Models {
		name := m.Name.Value
		if is["model "+name] {
			continue
		}
		r := l.record(record.StageChange, l.frontier, cause, detected)
		r.Model, r.From, r.Since, r.NextDeadline = name, was.stage[name], was.since[name], instant.None
		l.emit(r)
		delete(was.stage, name)
		delete(was.since, name)
	}
	for _, s := range from.def.Segments {
		name := s.Name.Value
		if is["segment "+name] && is["by "+name] == before["by "+name] {
			continue
		}
		if in := was.in[name]; in != "" {
			r := l.record(record.SegmentChange, l.frontier, cause, detected)
			r.Segment, r.Cause.Left = in, s.When.Value+s.By.Value
			after = append(after, r)
		}
		delete(was.in, name)
		delete(was.named, name)
	}
	// A value that named a segment once goes on with its sequence, as far as there is room.
	for _, s := range l.oracle.def.Segments {
		name := s.Name.Value
		if s.By.Value == "" {
			continue
		}
		for _, full := range slices.Sorted(maps.Keys(l.segSeq)) {
			if len(full) > len(name) && full[:len(name)+1] == name+"=" {
				l.oracle.mayName(was.named, name, full[len(name)+1:])
			}
		}
	}
	return after
}
