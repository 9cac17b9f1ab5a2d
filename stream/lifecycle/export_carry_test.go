// SPDX-License-Identifier: Apache-2.0

package lifecycle

import "time"

// Kept is what a state keeps of an event, for the oracle, which is told.
type Kept struct {
	Event      string
	Newest     int
	Within     time.Duration // 0: of all time
	Values     bool
	Money      bool // whether it is of another currency
	Properties []string
	Texts      []string                        // properties whose texts are known
	Counts     map[time.Duration]time.Duration // by residue
}

// Kept lists what states of the model keep of events that are not derived.
func (m *Model) Kept() []Kept {
	var all []Kept
	for _, e := range m.events {
		k := Kept{Event: e.name, Newest: e.keep, Values: e.needsValues, Money: e.moneyAt > 0, Counts: map[time.Duration]time.Duration{}}
		if e.horizon != never {
			k.Within = time.Duration(e.horizon) * time.Millisecond
		}
		for _, p := range e.props {
			k.Properties = append(k.Properties, p.name)
			if p.slot >= 0 {
				k.Texts = append(k.Texts, p.name)
			}
		}
		for _, r := range e.residues {
			k.Counts[time.Duration(r)*time.Millisecond] = time.Duration(e.longest) * time.Millisecond
		}
		all = append(all, k)
	}
	return all
}
