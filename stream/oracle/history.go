// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"math/big"
	"sort"
	"time"

	"lapwing/schemas/instant"
)

// newest bounds what sum, avg, min, max, unique, days and the like read.
const newest = 4096

// lastOf are the newest of them.
func lastOf(occs []occurrence) []occurrence { return occs[max(0, len(occs)-newest):] }

// newestOf are those that functions of the newest occurrences read.
func (h *history) newestOf(event string) []occurrence {
	var kept []occurrence
	for _, occ := range h.occurrences[event] {
		if !occ.lost {
			kept = append(kept, occ)
		}
	}
	return lastOf(kept)
}

// occurrence is one time a customer did what an event of the definition names.
type occurrence struct {
	at      instant.Instant
	amount  *big.Rat // nil: no numeric value
	worth   *big.Rat // likewise, for open goals: they count it at once and know it for good
	message *Message
	key     string // "" without hasKey
	hasKey  bool
	// refunded says that all of it was.
	refunded bool

	// What a change of definition has let go of (switch.go).
	lost       bool                   // it is known only by how often, when first and when last
	properties map[string]bool        // those still known; nil: all
	texts      map[string]bool        // those that make the text of their value known; nil: all
	counted    map[time.Duration]bool // with a resolution
	own        bool                   // the currency is not known: a window before an assignment takes it for the definition's
}

// refund takes an amount, or all of it, off the occurrence with its key.
type refund struct {
	key    string
	amount *big.Rat // nil: all of it
}

// applied is one message that the customer's fold has taken in, with what it
// counted as when it was read.
type applied struct {
	message     *Message
	occurrences map[string]occurrence // by event
	refunds     map[string]refund     // by event
	assigned    map[string]arm        // by campaign: what another system says in it
}

// trait is what is known of one trait.
type trait struct {
	at    instant.Instant
	value any // nil: unknown
	bytes int // of its JSON text
}

// history is everything that follows from the applied messages alone.
type history struct {
	occurrences map[string][]occurrence // by event, by time and then in the order of application
	traits      map[string]trait
	known       bool // some message had a usable userId
	instants    []instant.Instant
}

// historyOf computes it all from the beginning.
func (o *Oracle) historyOf(messages []applied) *history {
	h := &history{occurrences: map[string][]occurrence{}, traits: map[string]trait{}}
	for _, a := range messages {
		h.known = h.known || a.message.userID != ""
		for _, said := range a.message.said {
			old, ok := h.traits[said.name]
			if ok && a.message.At < old.at {
				continue
			}
			if !o.hasRoom(h.traits, said) {
				continue
			}
			h.traits[said.name] = trait{a.message.At, said.value, said.bytes}
		}
		for event, occ := range a.occurrences {
			h.occurrences[event] = append(h.occurrences[event], occ)
		}
	}
	for event, occs := range h.occurrences {
		sort.SliceStable(occs, func(i, j int) bool { return occs[i].at < occs[j].at })
		for _, a := range messages {
			if r, ok := a.refunds[event]; ok {
				take(r, occs)
			}
		}
		for i := range occs {
			if occs[i].amount != nil {
				occs[i].amount = round(occs[i].amount) // what has become too large is no number
			}
			if occs[i].worth != nil {
				occs[i].worth = round(occs[i].worth)
			}
		}
	}
	for range o.events { // a chain is at most as long as there are events
		for _, e := range o.events {
			if e.def.From.Value != "" {
				h.occurrences[e.name] = derive(h.occurrences[e.def.From.Value], e.def.Gap, e.def.First)
			}
		}
	}
	h.instants = o.instants(h)
	return h
}

// take takes a refund off the occurrence of its key; one of all of it leaves
// nothing, whatever other refunds there are, so that no order matters.
func take(r refund, occs []occurrence) {
	for i := range occs {
		occ := &occs[i]
		if !occ.hasKey || occ.key != r.key {
			continue
		}
		occ.refunded = occ.refunded || r.amount == nil
		for _, left := range []**big.Rat{&occ.amount, &occ.worth} {
			switch {
			case *left == nil:
			case occ.refunded:
				*left = new(big.Rat)
			default:
				*left = new(big.Rat).Sub(*left, r.amount)
			}
		}
	}
}

// derive keeps the instants that come at least gap after the one before, among those
// that are kept: of the others only the newest is known.
func derive(source []occurrence, gap time.Duration, first bool) []occurrence {
	newestLost := instant.None
	var kept []occurrence
	for _, occ := range source {
		if occ.lost {
			newestLost = max(newestLost, occ.at)
		} else {
			kept = append(kept, occ)
		}
	}
	var out []occurrence
	for i, occ := range kept {
		before := newestLost
		if i > 0 {
			before = kept[i-1].at
		}
		if before == instant.None && first || before != instant.None && occ.at-before >= instant.Instant(gap.Milliseconds()) {
			out = append(out, occurrence{at: occ.at, message: occ.message, properties: occ.properties})
		}
	}
	return out
}

// instants are those at which, without further messages, something about the
// customer could change, however improbable: every occurrence plus every duration
// of the definition and every rhythm that is a window, every time held in a trait plus every one of them.
func (o *Oracle) instants(h *history) []instant.Instant {
	seen := map[instant.Instant]bool{}
	durations := append(o.ownWindows(h), o.durations...)
	for _, occs := range h.occurrences {
		for _, occ := range occs {
			for _, d := range durations {
				seen[occ.at.Add(d)] = true
				seen[fullHour(occ.at.Add(d))] = true
			}
		}
	}
	for _, t := range h.traits {
		if s, ok := t.value.(string); ok {
			if at, ok := parseTime(s); ok {
				for _, d := range o.durations {
					seen[at.Add(d)] = true
				}
			}
		}
	}
	all := make([]instant.Instant, 0, len(seen))
	for at := range seen {
		all = append(all, at)
	}
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	return all
}

// fullHour is the first full UTC hour at or after t.
func fullHour(t instant.Instant) instant.Instant {
	const hour = instant.Instant(time.Hour / time.Millisecond)
	return (t + hour - 1) / hour * hour
}
