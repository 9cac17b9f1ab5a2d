// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"math"
	"slices"
	"sort"

	"lapwing/schemas/decimal"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// State is everything Lapwing knows of one customer. The zero State is a customer
// who has not begun. It belongs to one goroutine at a time and to one Model.
type State struct {
	begun    bool
	known    bool  // has had a message with a usable userId
	visited  bool  // visit is meant
	clock    int64 // greatest event time accepted, held ones included
	newest   int64 // greatest event time applied
	frontier int64 // greatest instant applied: an event, or a deadline that changed something
	deadline int64 // the least of the rules' deadlines; never if none

	remembered []messageMark // messageIds, in order of acceptance
	forgotten  uint32        // messageIds dropped because more than maxRemembered came

	series []*series // by event; nil if nothing is known of it
	traits []trait   // by name
	rules  []membership
	// campaigns are the customer's parts in campaigns, in the order of the file; nil before
	// the first assignment.
	campaigns []*enrolment
	held      []input // waiting for the clock, by time, messageId, arrival

	visit visit      // the current session
	past  *pastVisit // one before it; nil if no message came late

	retired []retired // of models and segments that a definition before this one had

	heldSize  int // what held_bytes counts of so many of the held
	heldSized int
}

// maxRemembered is how many messageIds are remembered at most.
const maxRemembered = 256

type messageMark struct {
	hash uint64
	at   int64 // the customer's clock at acceptance
}

type trait struct {
	name string
	raw  string // JSON as received; null makes it unknown
	at   int64
}

// membership is a customer's place in one model or segment, or in a campaign's audience.
type membership struct {
	stage    int32    // index of the stage; inSegment or noStage for segments and audiences
	atVisit  int32    // of a model: the stage just before the current session
	since    int64    // when it was entered
	sequence int64    // of a campaign: how often the customer was assigned
	deadline int64    // when the rule must be looked at again
	by       *byValue // of a segment with one segment per value; nil before the first
}

const (
	noStage   int32 = -1
	inSegment int32 = 0
)

// byValue is the state of a segment with one segment per value.
type byValue struct {
	value     string // the current one; meaningless if in none
	sequences []valueSequence
}

type valueSequence struct {
	value    string
	sequence int64
}

// find is the place of a value in the sequences, or where it belongs; b may be nil.
func (b *byValue) find(value string) (i int, found bool) {
	if b == nil {
		return 0, false
	}
	i = sort.Search(len(b.sequences), func(i int) bool { return b.sequences[i].value >= value })
	return i, i < len(b.sequences) && b.sequences[i].value == value
}

// Begun reports whether the customer has had an accepted message and has not ended.
func (s *State) Begun() bool { return s.begun || len(s.held) > 0 }

// Clock is the greatest event time accepted; instant.None before the first.
func (s *State) Clock() instant.Instant {
	if !s.Begun() {
		return instant.None
	}
	return instant.Instant(s.clock)
}

// prepare makes room for the events and rules of the definition.
func (m *Model) prepare(s *State) {
	if s.rules != nil {
		return
	}
	s.deadline = math.MinInt64 // all rules are due
	s.series = make([]*series, len(m.events))
	s.rules = make([]membership, len(m.rules))
	for i := range s.rules {
		s.rules[i] = membership{stage: noStage, atVisit: noStage, deadline: math.MinInt64} // due: all are evaluated at once
	}
}

// of is what is known of an event, to read.
func (s *State) of(e *eventDef) *series {
	if x := s.series[e.index]; x != nil {
		return x
	}
	return &e.none
}

// own is what is known of an event, to write to.
func (s *State) own(e *eventDef) *series {
	if s.series[e.index] == nil {
		s.series[e.index] = new(series)
	}
	return s.series[e.index]
}

// end forgets the customer but for the messages that still wait for the clock, their
// messageIds and their keys: they belong to whoever begins anew.
func (m *Model) end(s *State) {
	before := *s
	*s = State{held: before.held, clock: before.clock}
	if len(s.held) == 0 {
		return
	}
	m.prepare(s)
	for i := range before.remembered {
		mark := before.remembered[i]
		if slices.ContainsFunc(s.held, func(in input) bool { return in.messageHash == mark.hash }) {
			s.remembered = append(s.remembered, mark)
		}
	}
	for e, x := range before.series {
		if x == nil || x.keys == nil {
			continue
		}
		waits := func(hash uint64) bool {
			of := func(c counted) bool { return c.event == e && c.keyHash == hash }
			return slices.ContainsFunc(s.held, func(in input) bool { return slices.ContainsFunc(in.counted, of) })
		}
		for _, hash := range x.keys.read {
			if waits(uint64(hash)) {
				k := s.own(m.events[e]).ownKeys()
				k.read = append(k.read, hash)
			}
		}
		if x.keys.refunds == nil {
			continue
		}
		for _, entry := range x.keys.refunds.orders {
			if waits(entry.hash) {
				// What was taken off it has been forgotten.
				r := s.own(m.events[e]).ownKeys().ownRefunds()
				r.orders = append(r.orders, keyEntry{hash: entry.hash, at: entry.at, value: entry.value})
			}
		}
	}
}

// trait is the current value of a trait; unknown if missing or null.
func (s *State) trait(name string) value {
	i := sort.Search(len(s.traits), func(i int) bool { return s.traits[i].name >= name })
	if i == len(s.traits) || s.traits[i].name != name {
		return value{}
	}
	return fromJSON([]byte(s.traits[i].raw))
}

// setTrait keeps the value of the latest event time; at equal times the later one.
func (s *State) setTrait(name string, raw []byte, at int64) (changed bool) {
	i := sort.Search(len(s.traits), func(i int) bool { return s.traits[i].name >= name })
	if i < len(s.traits) && s.traits[i].name == name {
		t := &s.traits[i]
		if at < t.at {
			return false
		}
		t.at = at
		if t.raw == string(raw) {
			return false
		}
		t.raw = string(raw)
		return true
	}
	s.traits = slices.Insert(room(s.traits, 1, 1), i, trait{name: name, raw: string(raw), at: at})
	return true
}

// Peek reads a little of each part that a step is likely to need, so that a processor has
// it at hand. What it returns says nothing.
func (s *State) Peek() int64 {
	n := s.clock
	if len(s.remembered) > 0 {
		n += s.remembered[0].at
	}
	if len(s.rules) > 0 {
		n += s.rules[0].since
	}
	for _, x := range s.series {
		if x != nil && len(x.rows) > 0 {
			n += x.rows[0]
		}
	}
	return n
}

// remember notes a messageId; maxRemembered are kept.
func (s *State) remember(hash uint64, dedupe int64) {
	keep := 0
	for keep < len(s.remembered) && s.remembered[keep].at+dedupe <= s.clock {
		keep++
	}
	if len(s.remembered)-keep >= maxRemembered {
		keep++
		if s.forgotten < math.MaxUint32 {
			s.forgotten++
		}
	}
	if keep > 0 {
		s.remembered = slices.Delete(s.remembered, 0, keep)
		if len(s.remembered) < cap(s.remembered)/4 {
			s.remembered = append([]messageMark(nil), s.remembered...) // a busy time is over
		}
	}
	s.remembered = append(room(s.remembered, 1, 4), messageMark{hash: hash, at: s.clock})
}

// isDuplicate reports whether a messageId is remembered.
func (s *State) isDuplicate(hash uint64, dedupe int64) bool {
	for i := len(s.remembered) - 1; i >= 0; i-- {
		if s.remembered[i].hash == hash {
			return s.remembered[i].at+dedupe > s.clock
		}
	}
	return false
}

// input is one message, resolved against the definition. Its byte slices are views
// of the message unless it is held.
type input struct {
	at          int64
	messageHash uint64 // 0: no messageId
	messageID   []byte
	kind        []byte // the message's type
	event       []byte // the message's event, else its type
	known       bool   // it has a usable userId
	counted     []counted
	refunds     []refundInput
	assigned    []assignedInput
	traits      []byte // raw object; nil if none
	group       []byte // groupId of a group message
	currency    []byte // raw
	products    []byte // raw
	exposures   []record.Exposure
	platform    platform
}

// counted is one event of the definition that the message counts as.
type counted struct {
	event   int
	value   decimal.Decimal // noNumber if none
	keyHash uint64          // 0: no key
	key     string
	props   []uint64
	texts   []propText // by the slots of the event's props; nil without
}

// assignedInput is an assignment by another system.
type assignedInput struct {
	campaign int // among campaigns
	variant  string
	holdout  bool
}

// refundInput takes money off the occurrence of event that has the key.
type refundInput struct {
	event   int
	keyHash uint64
	key     string
	value   decimal.Decimal
	full    bool // all of it
}
