// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"slices"
	"sort"
	"unicode/utf8"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
)

// hasRoom reports whether a trait may be taken: beyond the number or the bytes of the
// limits it may not, and what was known of it stays.
func (o *Oracle) hasRoom(traits map[string]trait, t said) bool {
	old, known := traits[t.name]
	if !known && len(traits) >= o.def.Limits.Traits {
		return false
	}
	total := 0
	for name, other := range traits {
		total += len(name) + other.bytes
	}
	grows := t.bytes - old.bytes
	if !known {
		grows += len(t.name)
	}
	return grows <= 0 || total+grows <= o.def.Limits.TraitBytes
}

// mayName reports whether a value names a segment, and notes that it has: beyond the
// limit only values that have before may.
func (o *Oracle) mayName(named map[string][]string, segment, value string) bool {
	if slices.Contains(named[segment], value) {
		return true
	}
	if len(named[segment]) >= o.def.Limits.ByValues {
		return false
	}
	named[segment] = append(slices.Clip(named[segment]), value)
	return true
}

// tooManyHeld reports whether the messages that wait exceed a limit.
func (o *Oracle) tooManyHeld(held []applied) bool {
	total := 0
	for _, a := range held {
		total += o.size(a)
	}
	return len(held) > o.def.Limits.Held || total > o.def.Limits.HeldBytes
}

// size is what a message counts for while it waits: 64 bytes, 320 for each event it
// counts as, each refund and each campaign it assigns in, and the texts that are kept of it.
func (o *Oracle) size(a applied) int {
	m := a.message
	n := 64 + 320*(len(a.occurrences)+len(a.refunds)+len(a.assigned)) + len(m.messageID) + len(cut(m.kind)) + len(m.title())
	if m.kind == "group" {
		n += len(m.groupID)
	}
	for _, e := range o.events {
		if _, counts := a.occurrences[e.name]; counts {
			for _, property := range o.favourites[e.name] {
				text, _ := m.favouriteText(property)
				n += len(text)
			}
		}
	}
	traits := m.raw("context", "traits")
	if m.kind == "identify" {
		traits = m.raw("traits")
	}
	if len(traits) > 0 && traits[0] == '{' {
		n += len(traits)
	}
	orders := false // something may want their currency and products
	for _, e := range o.events {
		orders = orders || e.key != nil
	}
	for _, c := range o.def.Campaigns {
		for _, g := range c.Goals {
			orders = orders || g.Value != definition.NoValue
		}
	}
	if orders && len(a.occurrences)+len(a.refunds) > 0 {
		n += len(m.raw("properties", "currency")) + len(m.raw("properties", "products"))
	}
	return n
}

// applyEarliest applies the first of those that wait, by event time and messageId, as
// if its lateness were over.
func (l *life) applyEarliest(detected func(instant.Instant) instant.Instant) {
	held := slices.Clone(l.held)
	sort.SliceStable(held, func(i, j int) bool {
		a, b := held[i].message, held[j].message
		return a.At < b.At || a.At == b.At && a.messageID < b.messageID
	})
	first := held[0]
	l.held = held[1:]
	l.play(first.message.At, true, detected)
	l.apply(first, detected)
}

// cut is a message's type or event as records have it: at most 256 bytes.
func cut(name string) string {
	const most = 256
	if len(name) <= most {
		return name
	}
	end := most - len("…")
	for !utf8.RuneStart(name[end]) {
		end--
	}
	return name[:end] + "…"
}
