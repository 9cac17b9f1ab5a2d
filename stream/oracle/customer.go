// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"maps"
	"slices"
	"sort"

	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

const (
	rememberedIDs  = 256
	rememberedKeys = 4096
)

// remembered is a messageId and the clock when its message was accepted.
type remembered struct {
	id    string
	clock instant.Instant
}

// life is one customer.
type life struct {
	oracle *Oracle
	id     string
	clock  instant.Instant // greatest event time accepted
	held   []applied       // accepted, not yet applied; in the order of arrival
	out    []record.Record

	// What ends when the customer expires.
	messages    []applied
	history     *history
	standing    standing
	frontier    instant.Instant // greatest instant applied
	latest      instant.Instant // greatest event time applied
	stageSeq    map[string]int64
	segSeq      map[string]int64
	campaignSeq map[string]int64
	ids         []remembered
	keys        map[string][]string // by event, in the order of reading
}

func (o *Oracle) newLife(id string) *life {
	l := &life{oracle: o, id: id, clock: instant.None}
	l.begin()
	return l
}

// begin forgets everything: the next message is the customer's first.
func (l *life) begin() {
	l.messages, l.history = nil, l.oracle.historyOf(nil)
	l.standing = standing{stage: map[string]string{}, since: map[string]instant.Instant{}, in: map[string]string{}, named: map[string][]string{}, customer: l.id, campaigns: map[string]membership{}, reached: map[string]bool{}}
	l.frontier, l.latest = instant.None, instant.None
	l.stageSeq, l.segSeq, l.campaignSeq = map[string]int64{}, map[string]int64{}, map[string]int64{}
	l.ids, l.keys = nil, map[string][]string{}
}

// accept reads the customer's next message. Whether it is a duplicate is judged as
// if all that its time makes certain had come to pass, the customer's end included;
// a duplicate then moves nothing.
func (l *life) accept(m *Message) {
	clock := max(l.clock, m.At) // None is less than any
	probe := *l
	probe.stageSeq, probe.segSeq, probe.campaignSeq, probe.out = maps.Clone(l.stageSeq), maps.Clone(l.segSeq), maps.Clone(l.campaignSeq), nil
	probe.pass(m.At, clock)
	if probe.remembers(m, l.clock) {
		return
	}
	l.pass(m.At, clock)
	l.clock = clock
	if m.messageID != "" {
		l.ids = append(l.ids, remembered{m.messageID, clock})
	}
	a := l.oracle.count(m, l.keys)
	if l.oracle.def.Lateness == 0 {
		l.apply(a, at(clock))
		return
	}
	l.held = append(l.held, a)
	l.pass(m.At, clock)
	for l.oracle.tooManyHeld(l.held) {
		l.applyEarliest(at(clock))
	}
}

// pass lets the customer's clock come to where a message puts it.
func (l *life) pass(message, clock instant.Instant) {
	if lateness := l.oracle.def.Lateness; lateness > 0 {
		l.advance(clock.Add(-lateness), at(clock))
	} else {
		l.play(message, true, at(clock))
	}
}

// remembers judges a duplicate by the clock before it.
func (l *life) remembers(m *Message, clock instant.Instant) bool {
	if m.messageID == "" {
		return false
	}
	for _, r := range l.ids[max(0, len(l.ids)-rememberedIDs):] {
		if r.id == m.messageID && clock < r.clock.Add(l.oracle.def.Dedupe) {
			return true
		}
	}
	return false
}

// at gives every change the same detected_at.
func at(clock instant.Instant) func(instant.Instant) instant.Instant {
	return func(instant.Instant) instant.Instant { return clock }
}

// itself detects every change when it takes effect.
func itself(effective instant.Instant) instant.Instant { return effective }

// advance applies what is held up to the horizon, by event time and messageId, and
// the deadlines up to it. A message of the horizon's own instant may still come, and
// would keep an anonymous customer.
func (l *life) advance(horizon instant.Instant, detected func(instant.Instant) instant.Instant) {
	l.applyHeld(horizon, detected)
	l.play(horizon, true, detected)
}

func (l *life) applyHeld(horizon instant.Instant, detected func(instant.Instant) instant.Instant) {
	var due, still []applied
	for _, a := range l.held {
		if a.message.At <= horizon {
			due = append(due, a)
		} else {
			still = append(still, a)
		}
	}
	sort.SliceStable(due, func(i, j int) bool {
		a, b := due[i].message, due[j].message
		return a.At < b.At || a.At == b.At && a.messageID < b.messageID
	})
	for i, a := range due { // who ends before it leaves it, and those behind it, to who begins anew
		l.held = slices.Concat(due[i:], still)
		l.play(a.message.At, true, detected)
		l.held = slices.Concat(due[i+1:], still)
		l.apply(a, detected)
	}
}

// finish is the end of a replay.
func (l *life) finish(until instant.Instant) {
	l.applyHeld(instant.Max, itself)
	l.play(until, false, itself)
}

// play fires every deadline up to and including the given instant, and the end of
// an anonymous customer, unless a message stands at the very instant of that.
func (l *life) play(to instant.Instant, message bool, detected func(instant.Instant) instant.Instant) {
	end, ends := l.expiry()
	ends = ends && (end < to || end == to && !message)
	if ends {
		to = end
	}
	for now := l.frontier; now != instant.None; {
		var ok bool
		if now, ok = l.oracle.after(l.history, l.standing, now); !ok || now > to {
			break
		}
		l.step(now, nil, record.Cause{Type: record.CauseDeadline, EventTime: instant.None}, detected(now))
	}
	if ends {
		l.expire(end, detected(end))
	}
}

// expiry is when an anonymous customer is forgotten if it stays silent.
func (l *life) expiry() (instant.Instant, bool) {
	if l.frontier == instant.None || l.history.known {
		return instant.None, false
	}
	return max(l.latest.Add(l.oracle.def.AnonymousRetention), l.frontier), true // under another definition it may have been earlier
}

// apply folds a message in and evaluates, at the frontier if it is late.
func (l *life) apply(a applied, detected func(instant.Instant) instant.Instant) {
	m := a.message
	now := max(l.frontier, m.At)
	cause := record.Cause{Type: record.CauseEvent, Event: m.title(), MessageID: m.messageID, EventTime: m.At}
	if m.At < l.frontier {
		cause.Type = record.CauseLateEvent
	}
	l.messages = append(slices.Clip(l.messages), a) // a probe shares what came before
	l.history = l.oracle.historyOf(l.messages)
	l.latest = max(l.latest, m.At)
	l.frontier = now
	l.step(now, &a, cause, detected(now))
}

// step evaluates at now and writes what changed; a deadline at which nothing
// changes leaves no trace.
func (l *life) step(now instant.Instant, m *applied, cause record.Cause, detected instant.Instant) {
	before := l.standing
	var all []told
	l.standing, all = l.oracle.evaluateWith(m, l.history, before, now)
	if l.standing.equal(before) && len(all) == 0 {
		if cause.Type == record.CauseDeadline {
			l.standing = before
		}
		return
	}
	l.frontier = now
	l.write(before, all, now, cause, detected)
}
