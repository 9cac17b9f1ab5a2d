// SPDX-License-Identifier: Apache-2.0

package streamtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/stream/lifecycle"
)

// stage is where a scenario is played: the customers and what has come of them.
type stage struct {
	model     *lifecycle.Model
	decoder   *event.Decoder
	customers map[string]*actor
	order     []*actor // by first appearance
	output    lifecycle.Output
	line      int // of the step being played

	dead      event.Cause // of the last message, until a line expects it
	duplicate bool        // likewise
	lastLine  int         // of the last message
}

// actor is one customer: its state, and its story for the picture of a failure.
type actor struct {
	id      string
	state   lifecycle.State
	story   []any           // received and *change, in the order they came
	changes []*change       // those of story
	told    map[string]bool // the models and segments that a line has spoken of
	failed  map[string]bool // those that are no longer compared, since they went astray
}

// change is one record, and whether a line has expected it.
type change struct {
	record.Record
	expected bool
}

// track is the key of what a change belongs to: a model or a segment.
func track(kind record.Kind, name string) string { return string(kind) + " " + name }

func newStage(m *lifecycle.Model) *stage {
	return &stage{
		model:     m,
		decoder:   event.NewDecoder(m.Projection(), event.DefaultLimits()),
		customers: map[string]*actor{},
	}
}

func (st *stage) actor(id string) *actor {
	a := st.customers[id]
	if a == nil {
		a = &actor{id: id, told: map[string]bool{}, failed: map[string]bool{}}
		st.customers[id] = a
		st.order = append(st.order, a)
	}
	return a
}

// receive lets a message arrive, as a replay does.
func (st *stage) receive(customer string, at instant.Instant, told string, text []byte) error {
	st.lastLine = st.line
	var m event.Message
	if st.dead = st.decoder.Decode(text, instant.None, &m); st.dead != "" {
		return nil
	}
	a := st.actor(string(m.Customer))
	a.story = append(a.story, received{at: m.Time, line: st.line, told: told})
	detected := max(a.state.Clock(), m.Time)
	switch st.model.Accept(&a.state, a.id, &m, detected, &st.output) {
	case lifecycle.Duplicate:
		st.duplicate = true
	case lifecycle.Held:
		clock := a.state.Clock()
		for st.model.Advance(&a.state, a.id, clock, clock, &st.output) { // in portions
		}
	case lifecycle.Applied:
	}
	st.collect(a)
	return nil
}

// until lets time go on as at the end of a replay, for one customer or for all.
func (st *stage) until(at instant.Instant, customer string) error {
	actors := st.order
	if customer != "" {
		a := st.customers[customer]
		if a == nil {
			return st.nobody(customer)
		}
		actors = []*actor{a}
	}
	for _, a := range actors {
		st.model.Finish(&a.state, a.id, at, &st.output)
		st.collect(a)
	}
	return nil
}

func (st *stage) collect(a *actor) {
	for _, r := range st.output.Records {
		c := &change{Record: r}
		a.changes = append(a.changes, c)
		a.story = append(a.story, c)
	}
	st.output.Reset()
}

// unexpected is a failure if the last message came to an end that no line expected.
func (st *stage) unexpected() error {
	dead, duplicate := st.dead, st.duplicate
	st.dead, st.duplicate = "", false
	switch {
	case dead != "":
		return fmt.Errorf("line %d: this message cannot be used (%s); if that is meant, the next line says `expect dead letter %s`", st.lastLine, dead, dead)
	case duplicate:
		return fmt.Errorf("line %d: this message is a duplicate and changes nothing; if that is meant, the next line says `expect duplicate`", st.lastLine)
	}
	return nil
}

func (st *stage) expectDeadLetter(cause event.Cause) error {
	got := st.dead
	st.dead = ""
	if got != cause {
		if got == "" {
			return fmt.Errorf("expected a dead letter (%s), but the message before can be used", cause)
		}
		return fmt.Errorf("expected a dead letter (%s), but its cause is %s", cause, got)
	}
	return nil
}

func (st *stage) expectDuplicate() error {
	if !st.duplicate {
		return errors.New("expected a duplicate, but the message before is new")
	}
	st.duplicate = false
	return nil
}

// expectChange compares with the next change that no line has expected yet.
func (st *stage) expectChange(e *expected) error {
	a := st.customers[e.customer]
	if a == nil {
		return st.nobody(e.customer)
	}
	key := track(e.kind, e.name)
	if a.failed[key] {
		return nil // one difference must not be told twice
	}
	a.told[key] = true
	i := slices.IndexFunc(a.changes, func(c *change) bool {
		return !c.expected && c.Kind == e.kind && c.Name() == e.name
	})
	if i < 0 {
		a.failed[key] = true
		return fmt.Errorf("expected %s\nbut there is no further change of %s\n%s", e, e.name, st.picture(a, nil))
	}
	c := a.changes[i]
	if !e.same(&c.Record) {
		a.failed[key] = true
		return fmt.Errorf("expected %s\nbut came  %s\n%s", e, asExpected(&c.Record), st.picture(a, c))
	}
	c.expected = true
	return nil
}

// expectNothing fails on any change that no line has expected, of one customer or of all.
func (st *stage) expectNothing(customer string) error {
	actors := st.order
	if customer != "" {
		a := st.customers[customer]
		if a == nil {
			return st.nobody(customer)
		}
		actors = []*actor{a}
	}
	for _, a := range actors {
		for _, c := range a.changes {
			if !c.expected {
				for _, c := range a.changes {
					c.expected = true // told once
				}
				return fmt.Errorf("expected nothing else\nbut came %s\n%s", asExpected(&c.Record), st.picture(a, c))
			}
		}
	}
	return nil
}

// leftOver is a failure for each model or segment of a customer that lines spoke of
// without speaking of its last changes.
func (st *stage) leftOver() []error {
	var failures []error
	for _, a := range st.order {
		for _, c := range a.changes {
			key := track(c.Kind, c.Name())
			if c.expected || !a.told[key] || a.failed[key] {
				continue
			}
			a.failed[key] = true
			failures = append(failures, fmt.Errorf("lines expect changes of %s for %s, but not this one that came too: %s\n%s",
				c.Name(), a.id, asExpected(&c.Record), st.picture(a, c)))
		}
	}
	return failures
}

func (st *stage) expectUnknown(customer string) error {
	a := st.customers[customer]
	if a == nil || !a.state.Begun() {
		return nil
	}
	return fmt.Errorf("expected %s to be unknown, but there is a customer of that id\n%s", customer, st.picture(a, nil))
}

func (st *stage) profile(customer string) (*actor, *record.Profile, error) {
	a := st.customers[customer]
	if a == nil || !a.state.Begun() {
		return nil, nil, st.nobody(customer)
	}
	p := st.model.Profile(&a.state, a.id)
	return a, &p, nil
}

func (st *stage) expectMember(customer, segment string, in bool) error {
	a, p, err := st.profile(customer)
	if err != nil {
		return err
	}
	if slices.Contains(p.Segments, segment) == in {
		return nil
	}
	verdict := "is not in it"
	if !in {
		verdict = "is in it"
	}
	return fmt.Errorf("%s %s: the segments are %v\n%s", customer, verdict, p.Segments, st.picture(a, nil))
}

func (st *stage) expectStage(customer, model, stage string, since instant.Instant) error {
	a, p, err := st.profile(customer)
	if err != nil {
		return err
	}
	for _, s := range p.Stages {
		if s.Model == model && (s.Stage != stage || since != instant.None && s.Since != since) {
			return fmt.Errorf("%s is %s in %s, since %s\n%s", customer, s.Stage, model, s.Since, st.picture(a, nil))
		}
	}
	return nil
}

// expectNext compares what would come if nothing happened; no stage: it would stay.
func (st *stage) expectNext(customer, model, stage string, at instant.Instant) error {
	a, p, err := st.profile(customer)
	if err != nil {
		return err
	}
	for _, s := range p.Stages {
		if s.Model == model && (s.NextStage != stage || stage != "" && s.NextDeadline != at) {
			next := "nothing would change"
			if s.NextStage != "" {
				next = "next is " + s.NextStage + " at " + s.NextDeadline.String()
			}
			return fmt.Errorf("for %s in %s, if nothing happens, %s\n%s", customer, model, next, st.picture(a, nil))
		}
	}
	return nil
}

func (st *stage) nobody(customer string) error {
	ids := make([]string, 0, len(st.order))
	for _, a := range st.order {
		if a.state.Begun() {
			ids = append(ids, a.id)
		}
	}
	if len(ids) == 0 {
		return fmt.Errorf("nothing has happened to %s: nobody has done anything yet", customer)
	}
	return fmt.Errorf("nothing has happened to %s; there is: %s", customer, strings.Join(ids, ", "))
}

// asExpected is a record in the words of an expect line.
func asExpected(r *record.Record) string {
	e := expected{
		customer: r.CustomerID, kind: r.Kind, name: r.Name(), from: r.From, to: r.To,
		entered: r.Entered, at: r.EffectiveAt, because: r.Cause.Type,
	}
	if r.Kind == record.Assignment || r.Kind == record.Conversion {
		e.part = armOf(r)
	}
	return e.String()
}
