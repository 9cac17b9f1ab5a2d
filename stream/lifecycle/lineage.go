// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"

	"lapwing/schemas/instant"
)

// Lineage is the definitions by which a customer's state may have been made, each following
// the one before at an instant. Customers are brought over one by one, whenever their turn
// comes: what comes of it does not depend on when. It is immutable and safe for concurrent
// use.
type Lineage struct{ all []succession }

type succession struct {
	model   *Model
	since   instant.Instant // deadlines up to it are of the definition before; None: none are
	carrier *Carrier        // from the one before; nil for the first
}

// NewLineage begins with one definition.
func NewLineage(m *Model) *Lineage {
	return &Lineage{all: []succession{{model: m, since: instant.None}}}
}

// Then is the lineage in which m follows the newest definition. since is the lane's clock
// at that moment.
func (l *Lineage) Then(m *Model, since instant.Instant) *Lineage {
	next := &Lineage{all: append(l.all[:len(l.all):len(l.all)], succession{model: m, since: since})}
	next.all[len(l.all)].carrier = NewCarrier(l.Newest(), m)
	return next
}

// Newest is the definition under which events are taken in.
func (l *Lineage) Newest() *Model { return l.all[len(l.all)-1].model }

// Version is the newest definition's.
func (l *Lineage) Version() int64 { return l.Newest().def.Version }

// Model is that of a version; nil if it is none of these.
func (l *Lineage) Model(version int64) *Model {
	if i := l.find(version); i >= 0 {
		return l.all[i].model
	}
	return nil
}

func (l *Lineage) find(version int64) int {
	i := len(l.all) - 1
	for i >= 0 && l.all[i].model.def.Version != version {
		i--
	}
	return i
}

// Decode reads a state by the definition it was made by, and says which version that is. s
// must be the zero State.
func (l *Lineage) Decode(b []byte, s *State) (version int64, err error) {
	version, err = VersionOf(b)
	if err != nil {
		return 0, err
	}
	m := l.Model(version)
	if m == nil {
		return 0, fmt.Errorf("%w: it was written under version %d of the definition, which is not live here: a definition follows another by `lapwing apply`", ErrState, version)
	}
	return version, m.DecodeState(b, s)
}

// Bring is the customer under the newest definition, if its state was made by another one,
// of this version: each that followed since takes over from the one before, as it would
// have at its moment, deadlines up to there included. s is used up.
func (l *Lineage) Bring(version int64, s *State, customer string, detected instant.Instant, out *Output) *State {
	i := l.find(version)
	made := l.all[i].model
	for _, next := range l.all[i+1:] {
		made.advanceAll(s, customer, next.since, detected, out)
		s = next.carrier.Carry(s, customer, next.since, detected, out)
		made = next.model
		made.advanceAll(s, customer, next.since, detected, out) // what only it would have seen
	}
	return s
}

// advanceAll is Advance to the end.
func (m *Model) advanceAll(s *State, customer string, clock, detected instant.Instant, out *Output) {
	if clock == instant.None {
		return
	}
	for m.Advance(s, customer, clock, detected, out) {
		continue
	}
}
