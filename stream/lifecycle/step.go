// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"time"

	"lapwing/schemas/definition"
	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// Verdict is what became of a message.
type Verdict uint8

// The verdicts of Accept.
const (
	Applied   Verdict = iota + 1 // folded in now
	Held                         // accepted, waits for the clock (lateness above 0)
	Duplicate                    // its messageId is remembered: nothing happened
)

// Output receives what one or more steps produced, in order. The caller empties it
// with Reset and reuses it; it belongs to one goroutine at a time.
type Output struct {
	// Records are the changes: of each evaluation the stage changes, the segment
	// changes, the conversions, then the assignments.
	Records []record.Record
	// Activity has one entry per applied message that WantActivity asks for. Entries are
	// reused after Reset.
	Activity     []record.Activity
	WantActivity Want
	// Changed tells that the profile may have changed: stages, segments, traits,
	// the next deadlines, or the end of the customer.
	Changed bool
	// Ended tells that the customer expired: its profile becomes a tombstone.
	Ended bool
	// Overflow counts what went beyond a limit.
	Overflow Overflow
	// MaxDelay bounds how long after its instant an assignment by an audience is made: who
	// came into it longer ago is not assigned. 0: no bound.
	MaxDelay time.Duration
	// KeptOut counts who would have been assigned and is in the global holdout, Delayed
	// who came into an audience longer ago than MaxDelay.
	KeptOut, Delayed int64

	scratch scratch
}

// Want says which applied messages an Output has as activity.
type Want uint8

// What may be wanted.
const (
	WantNone Want = iota
	// WantCounted: those that count as an event, take a refund, tell of an exposure or
	// begin a session.
	WantCounted
	WantAll
)

// Reset empties the output and keeps its memory.
func (o *Output) Reset() {
	o.Records, o.Activity = o.Records[:0], o.Activity[:0]
	o.Changed, o.Ended = false, false
	o.Overflow, o.KeptOut, o.Delayed = Overflow{}, 0, 0
}

// scratch is memory that steps reuse.
type scratch struct {
	eval     eval
	ahead    eval
	zones    zones
	in       input
	segments []record.Record
	rules    []membership // a look-ahead's copy
	texts    tallyOfTexts

	news        news // what the message has changed that goals look at
	conversions []record.Record
	assignments []record.Record
	enrolled    []*enrolment // by assignment
	beyond      ahead
}

// Definition is what the model was compiled from.
func (m *Model) Definition() *definition.Definition { return m.def }

// Projection is what the decoder must extract for Accept.
func (m *Model) Projection() *event.Projection { return m.projection }

// PublishingFrom is m as put live at an instant: changes effective before it are marked
// backfill and assign nobody, and who is in a campaign's audience then is assigned. With
// instant.None nothing is history; with instant.Max all is, for now.
func (m *Model) PublishingFrom(at instant.Instant) *Model {
	out := *m
	out.publishFrom, out.activation = at, int64(at)
	if at == instant.Max {
		out.activation = never
	}
	return &out
}

// Accept takes one decoded message of the customer; detected is the clock for
// detected_at. Without lateness it first fires every deadline up to the message's
// time, then applies the message and evaluates; with lateness the message is held
// until Advance or Finish, or until more are held than the definition's limits allow.
func (m *Model) Accept(s *State, customer string, msg *event.Message, detected instant.Instant, out *Output) Verdict {
	at := int64(msg.Time)
	st := step{m: m, s: s, customer: customer, detected: detected, out: out}
	if horizon := max(s.clock, at) - m.lateness; m.endsBefore(s, horizon) {
		// The message shows that the customer has ended, and with it what was
		// remembered: live, the lane's clock has told so before it came.
		st.release(horizon)
		st.fire(horizon, horizon-1)
	}
	var hash uint64
	if len(msg.MessageID) > 0 {
		hash = hashOf(msg.MessageID)
		if m.dedupe > 0 && s.isDuplicate(hash, m.dedupe) {
			return Duplicate
		}
	}
	if m.lateness == 0 && s.begun && at >= s.frontier {
		st.fire(at, at-1)
	}
	if s.Begun() {
		s.clock = max(s.clock, at)
	} else {
		s.clock = at
	}
	if hash != 0 && m.dedupe > 0 {
		forgotten := s.forgotten
		s.remember(hash, m.dedupe)
		out.Overflow[LimitMessageIDs] += int64(s.forgotten - forgotten)
	}
	m.prepare(s)
	in := &out.scratch.in
	m.resolve(s, msg, in, out)
	if m.lateness > 0 {
		s.hold(in.clone())
		st.makeRoom()
		return Held
	}
	st.apply(in)
	return Applied
}

// hold queues an input by time, then messageId, then arrival.
func (s *State) hold(in input) {
	i := len(s.held)
	for i > 0 && (s.held[i-1].at > in.at || s.held[i-1].at == in.at && bytes.Compare(s.held[i-1].messageID, in.messageID) > 0) {
		i--
	}
	if s.heldSized == len(s.held) {
		s.heldSize += in.size()
		s.heldSized++
	}
	s.held = slices.Insert(s.held, i, in)
}

// Advance tells that the clock stands at clock: held messages and deadlines up to
// clock less the lateness are applied, in order. A customer that expired at that
// very instant is kept, since an event of the same instant may follow.
//
// One call plays at most maxPlayed of them, so that a long jump of the clock cannot
// fill the memory with what comes of it; more reports that Due is still not after
// clock, and Advance is to be called again.
func (m *Model) Advance(s *State, customer string, clock, detected instant.Instant, out *Output) (more bool) {
	st := step{m: m, s: s, customer: customer, detected: detected, out: out, bounded: true, left: maxPlayed}
	horizon := int64(clock) - m.lateness
	if st.release(horizon) {
		st.fire(horizon, horizon-1)
	}
	return st.left <= 0 && m.Due(s) != instant.None && m.Due(s) <= clock
}

// maxPlayed is how many messages and deadlines one Advance plays at most.
const maxPlayed = 1000

// Finish ends a replay: all held messages are applied, then deadlines up to and
// including until fire. What is found here is detected at its own effective time.
func (m *Model) Finish(s *State, customer string, until instant.Instant, out *Output) {
	st := step{m: m, s: s, customer: customer, detected: instant.None, out: out}
	st.release(math.MaxInt64)
	st.fire(int64(until), int64(until))
}

// Due is the least clock at which Advance has something to do; instant.None if never.
func (m *Model) Due(s *State) instant.Instant {
	due := never
	if len(s.held) > 0 {
		due = s.held[0].at
	}
	if s.begun {
		due = min(due, s.deadline)
		if x := m.expiry(s); x != never {
			due = min(due, x+1)
		}
	}
	if due == never {
		return instant.None
	}
	return instant.Instant(due + m.lateness)
}

// expiry is when an anonymous customer ends if nothing comes.
func (m *Model) expiry(s *State) int64 {
	if s.known || m.retention == 0 {
		return never
	}
	return m.endAfter(s, s.newest)
}

// endAfter is when a customer ends whose greatest event time is newest. Never before the
// greatest instant applied: another definition may have kept it for longer.
func (m *Model) endAfter(s *State, newest int64) int64 { return max(newest+m.retention, s.frontier) }

// endsBefore reports whether the customer will have expired once all up to horizon
// is applied.
func (m *Model) endsBefore(s *State, horizon int64) bool {
	if s.known || m.retention == 0 || !s.Begun() {
		return false
	}
	newest := s.newest
	if !s.begun {
		newest = s.held[0].at
	}
	if m.endAfter(s, newest) >= horizon {
		return false
	}
	for i := 0; i < len(s.held) && s.held[i].at <= horizon; i++ {
		switch in := &s.held[i]; {
		case in.at > m.endAfter(s, newest):
			return true
		case in.known:
			return false
		default:
			newest = max(newest, in.at)
		}
	}
	return m.endAfter(s, newest) < horizon
}

// step is one call of the fold.
type step struct {
	m        *Model
	s        *State
	customer string
	detected instant.Instant // instant.None: the effective time
	out      *Output
	bounded  bool // by left, the messages and deadlines that it may still play
	left     int
	now      int64 // the greatest instant applied, with the message that is

	former map[*rule]string // while a customer is carried: stages that are no more
}

// spent takes one message or deadline off what the step may still play, and reports
// whether nothing was left.
func (st *step) spent() bool {
	st.left--
	return st.bounded && st.left < 0
}

// release applies the held messages up to horizon, each after the deadlines before
// it; false if the step may not play as much.
func (st *step) release(horizon int64) bool {
	for s := st.s; len(s.held) > 0 && s.held[0].at <= horizon; {
		if !st.releaseFirst() {
			return false
		}
	}
	return true
}

// releaseFirst applies the earliest held message, after the deadlines before it;
// false if the step may not play as much.
func (st *step) releaseFirst() bool {
	s := st.s
	if at := s.held[0].at; s.begun && at >= s.frontier && !st.fire(at, at-1) || st.spent() {
		return false
	}
	in := s.held[0]
	if s.heldSized == len(s.held) {
		s.heldSize -= in.size()
		s.heldSized--
	}
	s.held[0] = input{}
	if s.held = s.held[1:]; len(s.held) == 0 {
		s.held = nil
	}
	st.m.prepare(s)
	st.apply(&in)
	return true
}

// fire plays the deadlines up to limit, and the customer's end up to endLimit. A
// deadline that changes nothing leaves no trace but the next deadline. It is false
// if the step may not play them all.
func (st *step) fire(limit, endLimit int64) bool {
	for st.s.begun {
		end := st.m.expiry(st.s)
		switch next := st.s.deadline; {
		case next <= limit && next <= end:
			if st.spent() {
				return false
			}
			st.evaluate(next, cause{kind: record.CauseDeadline}, bitset{})
		case end <= endLimit:
			st.expire(end)
			return true
		default:
			return true
		}
	}
	return true
}

// cause is why an evaluation takes place.
type cause struct {
	kind record.CauseType
	in   *input // the message, for event and late_event
}

// apply folds one message in and evaluates.
func (st *step) apply(in *input) {
	s, m := st.s, st.m
	why := cause{kind: record.CauseEvent, in: in}
	now := in.at
	switch {
	case !s.begun:
		s.begun = true
		s.newest, s.frontier = in.at, in.at
	case in.at < s.frontier:
		why.kind, now = record.CauseLateEvent, s.frontier
	default:
		s.frontier = in.at
	}
	s.newest = max(s.newest, in.at)
	var v *visit // none: what a customer receives is no visit
	begins := false
	if !in.received() {
		v, begins = st.enterSession(in.at)
	}
	st.noteActivity(in, v, begins)

	st.now = now
	st.out.scratch.news.reset()
	var dirty bitset
	if in.known && !s.known {
		s.known = true
		dirty.set(m.knownBit)
		st.out.Changed = true
	}
	st.applyTraits(in, &dirty)
	for i := range in.counted {
		st.count(&in.counted[i], in, &dirty)
	}
	for i := range in.refunds {
		st.refund(&in.refunds[i], &dirty)
	}
	for i := range in.assigned {
		dirty.set(m.rules[m.campaigns[in.assigned[i].campaign]].campaign.assigned.bit)
	}
	st.evaluate(now, why, dirty)
	st.out.scratch.news.reset()
}

func (st *step) applyTraits(in *input, dirty *bitset) {
	used := -1 // what the traits take, once it matters
	set := func(name string, raw []byte) bool {
		raw = oneLine(raw)
		if st.roomForTrait(name, raw, in.at, &used) && st.s.setTrait(name, raw, in.at) {
			st.out.Changed = true
			if bit, ok := st.m.traitBits[name]; ok {
				dirty.set(bit)
			}
		}
		return true
	}
	if in.traits != nil {
		event.Fields(in.traits, set)
	}
	if in.group != nil {
		set("group", record.AppendString(nil, string(in.group)))
	}
}

// oneLine takes the line breaks out of a value of a message written over several
// lines: records are JSON lines.
func oneLine(raw []byte) []byte {
	if !bytes.ContainsAny(raw, "\n\r") {
		return raw
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return []byte("null") // not reached: the decoder has validated it
	}
	return b.Bytes()
}

// expire ends an anonymous customer, with closing records for its stages and segments.
func (st *step) expire(at int64) {
	s, m, out := st.s, st.m, st.out
	for _, i := range m.modelRules {
		r, mb := &m.rules[i], &s.rules[i]
		rec := st.record(&out.Records, record.StageChange, at, cause{kind: record.CauseExpired})
		mb.sequence++
		rec.Sequence, rec.Model, rec.From, rec.Since = mb.sequence, r.name, r.stages[mb.stage].name, instant.Instant(mb.since)
		rec.SetID()
	}
	for _, open := range m.openSegments(s) {
		rec := st.record(&out.Records, record.SegmentChange, at, cause{kind: record.CauseExpired})
		rec.Segment, rec.Sequence = open.name, open.sequence+1
		rec.SetID()
	}
	m.end(s)
	out.Changed, out.Ended = true, true
}

// record appends a new record, with the fields all changes have, to one of the
// output's lists; the caller fills in the rest and calls SetID. The pointer is good
// until the next one.
func (st *step) record(to *[]record.Record, kind record.Kind, at int64, why cause) *record.Record {
	*to = append(*to, record.Record{})
	r := &(*to)[len(*to)-1]
	r.Kind, r.CustomerID = kind, st.customer
	r.Definition, r.DefinitionVersion = st.m.def.Name.Value, st.m.def.Version
	r.EffectiveAt, r.DetectedAt = instant.Instant(at), st.detected
	r.Since, r.NextDeadline = instant.None, instant.None
	r.Cause.Type, r.Cause.EventTime = why.kind, instant.None
	if st.detected == instant.None {
		r.DetectedAt = r.EffectiveAt
	}
	if why.in != nil {
		r.Cause.Event, r.Cause.EventTime = st.m.eventName(why.in.event), instant.Instant(why.in.at)
		r.Cause.MessageID = string(why.in.messageID)
	}
	r.Backfill = st.m.publishFrom != instant.None && r.EffectiveAt < st.m.publishFrom
	return r
}

// eventName is name as a string, without a copy if the definition knows it.
func (m *Model) eventName(name []byte) string {
	if known, ok := m.eventNames[string(name)]; ok {
		return known
	}
	return string(name)
}
