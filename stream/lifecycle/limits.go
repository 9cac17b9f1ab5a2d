// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limit is something that is bounded per customer or per message. Those of the
// definition's `limits` come first.
type Limit uint8

// The limits.
const (
	LimitTraits          Limit = iota // a trait was not taken: there are as many as may be
	LimitTraitBytes                   // a trait was not taken: there is no room for it
	LimitHeld                         // a message was applied before its time: too many wait
	LimitHeldBytes                    // a message was applied before its time: those that wait take too much room
	LimitByValues                     // a value named no segment: as many as may be were named before
	LimitFavouriteValues              // a value can be no favourite: as many as may be were seen later
	LimitExpression                   // a message's where, value and key cost too much: unknown from there on
	LimitMessageIDs                   // a messageId was forgotten before `dedupe` was over
	LimitKeys                         // an event's key was forgotten
	LimitRefunds                      // a refund was forgotten before its order came
	LimitInstants                     // an instant fell out of the newest that sum and the like read
	LimitRounds                       // a campaign's round was forgotten before a refund could have corrected it
	numLimits
)

var limitNames = [numLimits]string{
	"traits", "trait_bytes", "held", "held_bytes", "by_values", "favourite_values",
	"expression", "message_ids", "keys", "refunds", "instants", "rounds",
}

// String is the limit's name, for metrics and messages.
func (l Limit) String() string { return limitNames[l] }

// OfDefinition reports whether the limit is set by the definition's `limits`.
func (l Limit) OfDefinition() bool { return l <= LimitFavouriteValues }

// Overflow counts how often each limit was exceeded.
type Overflow [numLimits]int64

// Add adds what another step counted.
func (o *Overflow) Add(other *Overflow) {
	for i, n := range other {
		o[i] += n
	}
}

// Each calls fn with every limit that was exceeded.
func (o *Overflow) Each(fn func(l Limit, n int64)) {
	for i, n := range o {
		if n > 0 {
			fn(Limit(i), n)
		}
	}
}

// String lists what was exceeded, as `replay` says it; empty if nothing was.
func (o *Overflow) String() string {
	var parts []string
	o.Each(func(l Limit, n int64) { parts = append(parts, fmt.Sprintf("%s %d", l, n)) })
	return strings.Join(parts, ", ")
}

// What is written into records, and kept of held messages, of texts that the input
// may make as long as a message.
const (
	maxEventBytes    = 256 // of a message's type and event, as causes and activity name them
	maxKeyBytes      = 256 // of an event's key
	maxCurrencyBytes = 256 // of a currency; a longer text is none
)

// cutEvent bounds the name of a message: what is too long is cut, and ends in an ellipsis.
func cutEvent(name []byte) []byte {
	if len(name) <= maxEventBytes {
		return name
	}
	const ellipsis = "…"
	return append(slices.Clone(cutText(name, maxEventBytes-len(ellipsis))), ellipsis...)
}

// cutKey bounds an event's key: one that is too long becomes another that is as
// good as unique to it.
func cutKey(key string) string {
	if len(key) <= maxKeyBytes {
		return key
	}
	suffix := "…" + strconv.FormatUint(hashOf(key), 16)
	return cutText(key, maxKeyBytes-len("…")-16) + suffix
}

// cutText is the text up to so many bytes, cut between two characters.
func cutText[T string | []byte](text T, n int) T {
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// roomForTrait reports whether a trait may be taken, and counts it if not. used is
// what all traits take, negative if that is not known yet.
func (st *step) roomForTrait(name string, raw []byte, at int64, used *int) bool {
	traits, limits := st.s.traits, &st.m.def.Limits
	i := sort.Search(len(traits), func(i int) bool { return traits[i].name >= name })
	grows := len(name) + len(raw)
	if i < len(traits) && traits[i].name == name {
		if at < traits[i].at {
			return true // nothing will change
		}
		grows = len(raw) - len(traits[i].raw)
	} else if len(traits) >= limits.Traits {
		st.out.Overflow[LimitTraits]++
		return false
	}
	if *used < 0 {
		*used = 0
		for j := range traits {
			*used += len(traits[j].name) + len(traits[j].raw)
		}
	}
	if grows > 0 && *used+grows > limits.TraitBytes {
		st.out.Overflow[LimitTraitBytes]++
		return false
	}
	*used += grows
	return true
}

// What a held message counts for, beside its texts.
const (
	heldBase       = 64  // itself
	heldOccurrence = 320 // each event it counts as, each refund, exposure and assignment: the key and numbers
)

// size is what a held message counts for under held_bytes.
func (in *input) size() int {
	texts := 0
	for i := range in.counted {
		for k := range in.counted[i].texts {
			texts += len(in.counted[i].texts[k].text)
		}
	}
	return heldBase + heldOccurrence*(len(in.counted)+len(in.refunds)+len(in.exposures)+len(in.assigned)) + texts +
		len(in.messageID) + len(in.kind) + len(in.event) + len(in.traits) + len(in.group) + len(in.currency) + len(in.products)
}

// exceeds reports which limit the held messages exceed, if any.
func (st *step) exceeds() (which Limit, exceeded bool) {
	s, limits := st.s, &st.m.def.Limits
	if s.heldSized != len(s.held) { // as decoded
		s.heldSize, s.heldSized = 0, len(s.held)
		for i := range s.held {
			s.heldSize += s.held[i].size()
		}
	}
	switch {
	case len(s.held) > limits.Held:
		return LimitHeld, true
	case s.heldSize > limits.HeldBytes:
		return LimitHeldBytes, true
	default:
		return 0, false
	}
}

// makeRoom applies the earliest held messages, as if their lateness were over, until
// those left keep to the limits. What the customer's own clock lets go of is let go
// first: so it is a replay's count, however far behind the lane's clock is.
func (st *step) makeRoom() {
	if _, exceeded := st.exceeds(); !exceeded {
		return
	}
	horizon := st.s.clock - st.m.lateness
	st.release(horizon)
	st.fire(horizon, horizon-1)
	for len(st.s.held) > 0 {
		which, exceeded := st.exceeds()
		if !exceeded {
			return
		}
		st.out.Overflow[which]++
		st.releaseFirst()
	}
}

// admits reports whether a value may name a segment: it has before, or there is room.
func (b *byValue) admits(value string, limit int) bool {
	if b == nil || len(b.sequences) < limit {
		return true
	}
	_, found := b.find(value)
	return found
}

// ahead is b in a look-ahead, where value has become the current one, or none has. It
// is a copy: a look-ahead's memberships share what stands behind b.
func (b *byValue) ahead(value string, in bool) *byValue {
	next := new(byValue)
	if b != nil {
		next.sequences = b.sequences
	}
	if !in {
		return next
	}
	next.value = value
	if i, found := b.find(value); !found {
		next.sequences = slices.Insert(slices.Clone(next.sequences), i, valueSequence{value: value})
	}
	return next
}
