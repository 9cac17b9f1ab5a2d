// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"math"
	"slices"
	"sort"

	"lapwing/schemas/decimal"
	"lapwing/schemas/instant"
)

// State is everything Lapwing knows of one customer. The zero State is a customer
// who has not begun. It belongs to one goroutine at a time and to one Model.
type State struct {
	begun    bool
	known    bool  // has had a message with a usable userId
	clock    int64 // greatest event time accepted, held ones included
	newest   int64 // greatest event time applied
	frontier int64 // greatest instant applied: an event, or a deadline that changed something
	deadline int64 // the least of the rules' deadlines; never if none

	remembered []messageMark // messageIds, in order of acceptance
	forgotten  int64         // messageIds dropped because more than maxRemembered came

	series []series
	traits []trait // by name
	rules  []membership
	held   []input // waiting for the clock, by time, messageId, arrival
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

// membership is a customer's place in one model or segment.
type membership struct {
	stage    int32 // index of the stage; inSegment or noStage for segments
	since    int64 // when it was entered
	sequence int64
	deadline int64 // when the rule must be looked at again
	by       byValue
}

const (
	noStage   int32 = -1
	inSegment int32 = 0
)

// byValue is the state of a segment with one segment per value.
type byValue struct {
	value     string // current one, if in a segment
	sequences []valueSequence
}

type valueSequence struct {
	value    string
	sequence int64
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
	s.series = make([]series, len(m.events))
	for i, e := range m.events {
		if len(e.residues) > 0 {
			s.series[i].hours = make([]hourCounts, len(e.residues))
		}
	}
	s.remembered = slices.Grow(s.remembered, 4) // most customers come back a few times
	s.rules = make([]membership, len(m.rules))
	for i := range s.rules {
		s.rules[i] = membership{stage: noStage, deadline: math.MinInt64} // due: all are evaluated at once
	}
}

// end forgets the customer but for what still waits for the clock.
func (s *State) end() {
	held, clock := s.held, s.clock
	*s = State{held: held, clock: clock}
	for i := range held {
		if id := held[i].messageHash; id != 0 {
			s.remembered = append(s.remembered, messageMark{hash: id, at: clock})
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
	s.traits = append(s.traits, trait{})
	copy(s.traits[i+1:], s.traits[i:])
	s.traits[i] = trait{name: name, raw: string(raw), at: at}
	return true
}

// remember notes a messageId; maxRemembered are kept.
func (s *State) remember(hash uint64, dedupe int64) {
	keep := 0
	for keep < len(s.remembered) && s.remembered[keep].at+dedupe <= s.clock {
		keep++
	}
	if len(s.remembered)-keep >= maxRemembered {
		keep++
		s.forgotten++
	}
	if keep > 0 {
		s.remembered = append(s.remembered[:0], s.remembered[keep:]...)
	}
	s.remembered = append(s.remembered, messageMark{hash: hash, at: s.clock})
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
	traits      []byte // raw object; nil if none
	group       []byte // groupId of a group message
	currency    []byte // raw
	products    []byte // raw
}

// counted is one event of the definition that the message counts as.
type counted struct {
	event   int
	value   decimal.Decimal // noNumber if none
	keyHash uint64          // 0: no key
	key     string
	props   []uint64
}

// refundInput takes money off the occurrence of event that has the key.
type refundInput struct {
	event   int
	keyHash uint64
	key     string
	value   decimal.Decimal
	full    bool // all of it
}
