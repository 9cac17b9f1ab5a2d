// SPDX-License-Identifier: Apache-2.0

package lifecycle

import "lapwing/schemas/record"

// visit is a session: a customer's messages with less than the definition's session gap
// from each to the next.
type visit struct {
	start int64 // time of the message that began it, by which it is known for ever
	last  int64 // greatest time of its messages
}

// pastVisit is a session that lies before the current one, as a message that came late
// began it or belongs to it. Of these one is kept, so that what a device sends in one go
// once it has a connection is one session.
type pastVisit struct {
	visit
	stages []int32 // by rule; noStage for those that are no models
}

// holds reports whether a message at that time belongs to the session.
func (v *visit) holds(at, gap int64) bool { return at-v.last < gap && v.start-at < gap }

// enterSession finds the session of a message that is about to be applied, as the messages
// applied so far tell it; a new one begins with the stages held now.
func (st *step) enterSession(at int64) (v *visit, begins bool) {
	s, gap := st.s, st.m.sessionGap
	switch {
	case !s.visited || at-s.visit.last >= gap:
		s.visited, s.visit = true, visit{at, at}
		for _, i := range st.m.modelRules {
			s.rules[i].atVisit = s.rules[i].stage
		}
		return &s.visit, true
	case s.visit.holds(at, gap):
		s.visit.last = max(s.visit.last, at)
		return &s.visit, false
	case s.past != nil && s.past.holds(at, gap):
		s.past.last = max(s.past.last, at)
		return &s.past.visit, false
	}
	s.past = &pastVisit{visit: visit{at, at}, stages: make([]int32, len(s.rules))}
	for i := range s.rules {
		s.past.stages[i] = noStage
	}
	for _, i := range st.m.modelRules {
		s.past.stages[i] = s.rules[i].stage
	}
	return &s.past.visit, true
}

// appendVisitStages appends the stages held just before the session's first message.
func (st *step) appendVisitStages(to []record.StageAt, v *visit) []record.StageAt {
	s, m := st.s, st.m
	for _, i := range m.modelRules {
		stage := s.rules[i].atVisit
		if v != &s.visit {
			stage = s.past.stages[i]
		}
		if stage != noStage {
			to = append(to, record.StageAt{Model: m.rules[i].name, Stage: m.rules[i].stages[stage].name})
		}
	}
	return to
}

// carryVisits takes the sessions over. A stage that is no more counts as if there had
// been none.
func (c *Carrier) carryVisits(next, s *State) {
	next.visited, next.visit = s.visited, s.visit
	if s.past != nil {
		next.past = &pastVisit{visit: s.past.visit, stages: make([]int32, len(c.to.rules))}
	}
	for i := range c.rules {
		at, past := noStage, noStage
		if cr := &c.rules[i]; cr.old >= 0 && c.to.rules[i].model {
			if was := s.rules[cr.old].atVisit; was != noStage {
				at = cr.stages[was]
			}
			if s.past != nil && s.past.stages[cr.old] != noStage {
				past = cr.stages[s.past.stages[cr.old]]
			}
		}
		next.rules[i].atVisit = at
		if next.past != nil {
			next.past.stages[i] = past
		}
	}
}

// Flags of the sessions of a state.
const (
	flagVisited   = 1 << iota
	flagVisitLast // its last message is not the customer's newest one
	flagVisitMoved
	flagPast
)

// appendVisits leaves out stages that are still held: most sessions change none.
func (m *Model) appendVisits(b []byte, s *State) []byte {
	if len(s.rules) == 0 || !s.visited {
		return append(b, 0)
	}
	moved := false
	for _, i := range m.modelRules {
		moved = moved || s.rules[i].atVisit != s.rules[i].stage
	}
	b = append(b, flagVisited|flag(s.visit.last != s.clock, flagVisitLast)|flag(moved, flagVisitMoved)|flag(s.past != nil, flagPast))
	if s.visit.last != s.clock {
		b = appendInt(b, s.clock-s.visit.last)
	}
	b = appendInt(b, s.visit.last-s.visit.start)
	if moved {
		for _, i := range m.modelRules {
			b = appendUint(b, uint64(s.rules[i].atVisit-noStage))
		}
	}
	if s.past == nil {
		return b
	}
	b = appendInt(b, s.clock-s.past.last)
	b = appendInt(b, s.past.last-s.past.start)
	for _, i := range m.modelRules {
		b = appendUint(b, uint64(s.past.stages[i]-noStage))
	}
	return b
}

// decodeVisits reads what appendVisits wrote, after the rules.
func (m *Model) decodeVisits(d *decoder, s *State) {
	flags := d.byte()
	if flags&flagVisited == 0 {
		return
	}
	if len(s.rules) == 0 {
		d.fail()
		return
	}
	s.visited, s.visit.last = true, s.clock
	if flags&flagVisitLast != 0 {
		s.visit.last -= d.int()
	}
	s.visit.start = s.visit.last - d.int()
	for _, i := range m.modelRules {
		s.rules[i].atVisit = s.rules[i].stage
		if flags&flagVisitMoved != 0 {
			s.rules[i].atVisit = m.decodeStage(d, i)
		}
	}
	if flags&flagPast == 0 {
		return
	}
	s.past = &pastVisit{stages: make([]int32, len(s.rules))}
	s.past.last = s.clock - d.int()
	s.past.start = s.past.last - d.int()
	for i := range s.past.stages {
		s.past.stages[i] = noStage
	}
	for _, i := range m.modelRules {
		s.past.stages[i] = m.decodeStage(d, i)
	}
}

// decodeStage reads a stage of a model.
func (m *Model) decodeStage(d *decoder, rule int) int32 {
	stage := d.uint()
	if stage > uint64(len(m.rules[rule].stages)) {
		d.fail()
		return noStage
	}
	return int32(stage) + noStage
}
