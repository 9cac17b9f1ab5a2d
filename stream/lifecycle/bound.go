// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"

	"lapwing/schemas/definition"
	"lapwing/schemas/record"
	"lapwing/schemas/topics"
)

// What a customer and a message can come to at most is worked out from the definition
// alone, and a definition that allows more than a record can hold is refused: a
// customer whose state cannot be written would stop everyone in its lane, for ever.
// The figures count every number at its longest.
const (
	instantBytes = 7  // a varint of milliseconds up to the year 2200
	numberBytes  = 10 // the longest varint
	hashBytes    = 8
	lengthBytes  = 4
	keyBytes     = hashBytes + instantBytes + 2*numberBytes + 2
	byValueBytes = maxByValue + lengthBytes + numberBytes

	// maxRecordBytes is what the value of a record of the large topics may have: the
	// rest is for its key, its headers and the batch around it.
	maxRecordBytes = topics.LargeMessageBytes - 64<<10
	// maxMessageBytes is the most that a deployment can let a message have.
	maxMessageBytes = topics.LargeMessageBytes / 2
	// maxNameBytes is what a name in a definition may have.
	maxNameBytes = 63
	// maxConditionBytes is what a condition may take as JSON. A change carries two of
	// them, on topics that have Kafka's default limit of 1 MiB.
	maxConditionBytes = 256 << 10
	// escaped is how much longer a text can become as JSON.
	escaped = 6
)

// part is a share of what a customer can take.
type part struct {
	bytes  int
	pos    definition.Pos
	what   string
	advice string
}

// largest adds parts up and finds the largest.
func largest(parts []part) (total int, most part) {
	for _, p := range parts {
		total += p.bytes
		if p.bytes > most.bytes {
			most = p
		}
	}
	return total, most
}

// MaxStateBytes is what the encoding of a customer's state takes at most, whatever
// the customer's messages are.
func (m *Model) MaxStateBytes() int { return m.maxState }

// stateParts is everything that AppendState writes, at its longest.
func (m *Model) stateParts() []part {
	d, l := m.def, &m.def.Limits
	limitsPos := d.LimitsPos
	if limitsPos == (definition.Pos{}) {
		limitsPos = d.Name.Pos
	}
	parts := []part{
		{bytes: 12*numberBytes + 6*lengthBytes + maxRemembered*(hashBytes+instantBytes) + maxRetired, pos: d.Name.Pos, what: "what is remembered of messages", advice: "split the definition"},
		{bytes: l.TraitBytes + l.Traits*(2*lengthBytes+instantBytes), pos: limitsPos, what: "traits", advice: "lower `trait_bytes` or `traits` in `limits`"},
	}
	held := 0
	for i, e := range m.events {
		n := 5*numberBytes + 3*lengthBytes
		instant := instantBytes + hashBytes*len(e.props)
		if e.moneyAt > 0 {
			instant += numberBytes
		}
		if e.needsValues {
			instant += numberBytes
		}
		if e.needsKeys {
			instant += hashBytes
		}
		n += min(e.keep, maxKept) * instant
		n += len(e.residues) * (lengthBytes + (int(e.longest/hourMillis)+2)*(instantBytes+numberBytes))
		if e.key != nil {
			n += maxKept * keyBytes
		}
		if e.refund != nil {
			n += maxKept * keyBytes
		}
		parts = append(parts, part{n, d.Events[i].Name.Pos, fmt.Sprintf("event %q", e.name), "have fewer or shorter windows read it, or split the definition"})
		if e.slots > 0 {
			texts := e.slots * (lengthBytes + l.FavouriteValues*(maxValueBytes+lengthBytes+instantBytes))
			parts = append(parts, part{texts, d.Events[i].Name.Pos, fmt.Sprintf("the favourites of event %q", e.name), "lower `favourite_values` in `limits`, or split the definition"})
		}
		// What a held message takes for this event beyond what it is charged.
		held += max(0, maxKeyBytes+2*numberBytes+3*lengthBytes+hashBytes*len(e.props)+lengthBytes*e.slots-heldOccurrence)
	}
	held += len(m.exposures)*max(0, maxKeyBytes+2*maxNameBytes+3*lengthBytes+1-heldOccurrence) + 1 + lengthBytes
	if m.lateness > 0 {
		parts = append(parts, part{l.HeldBytes + l.Held*held, limitsPos, "messages that wait under `lateness`", "lower `held_bytes` or `held` in `limits`"})
	}
	for i := range m.rules {
		r, pos := &m.rules[i], m.ruleText(i).Pos
		n := 6*numberBytes + 2*lengthBytes // two of them in sessions
		if r.campaign != nil {
			n += m.enrolmentBytes(r.campaign)
			parts = append(parts, part{n, pos, fmt.Sprintf("campaign %q", r.name), "lengthen `every`, shorten the windows of its goals, or split the definition"})
			continue
		}
		if r.by {
			n += byValueBytes + l.ByValues*byValueBytes
		}
		parts = append(parts, part{n, pos, fmt.Sprintf("%q", r.name), "lower `by_values` in `limits`, or split the definition"})
	}
	return parts
}

// enrolmentBytes is what a customer's part in a campaign takes at most.
func (m *Model) enrolmentBytes(c *campaignDef) int {
	variant := maxByValue + lengthBytes
	perRound := 2*numberBytes + m.placeBytes() + len(c.goals)*(1+5*numberBytes)
	return variant + 3*numberBytes + len(c.goals)*(numberBytes+1) + lengthBytes + (c.open+maxCorrected)*perRound
}

// placeBytes is what where a customer was at an assignment takes at most, in a state.
func (m *Model) placeBytes() int {
	n := 2 * lengthBytes
	for i := range m.rules {
		r := &m.rules[i]
		switch {
		case r.campaign != nil:
		case r.by:
			n += 64 + maxByValue + 2*lengthBytes
		default:
			n += 2 * (64 + lengthBytes)
		}
	}
	return n
}

// placeParts are the stages and segments of a customer as profile and activity list them.
func (m *Model) placeParts() []part {
	var parts []part
	for i := range m.rules {
		r := &m.rules[i]
		if r.campaign != nil {
			continue
		}
		n := 512 // names of 63 characters, two times and a sequence; or the names twice, in an activity
		if r.by {
			n += escaped * maxByValue
		}
		parts = append(parts, part{n, m.ruleText(i).Pos, fmt.Sprintf("%q", r.name), "split the definition"})
	}
	return parts
}

// checkBounds refuses what could come to more than a record can hold.
func (c *compiler) checkBounds() {
	refuse := func(what string, parts []part) int {
		total, most := largest(parts)
		if total > maxRecordBytes {
			c.problem(most.pos, "%s can come to %s, and a record holds %s: %s alone can take %s; %s",
				what, mebibytes(total), mebibytes(maxRecordBytes), most.what, mebibytes(most.bytes), most.advice)
		}
		return total
	}
	c.maxState = refuse("a customer's state", c.stateParts())

	pos := c.def.LimitsPos
	if pos == (definition.Pos{}) {
		pos = c.def.Name.Pos
	}
	traits := part{escaped*c.def.Limits.TraitBytes + 8*c.def.Limits.Traits, pos, "traits", "lower `trait_bytes` in `limits`"}
	refuse("a customer's profile", append(c.placeParts(), traits))

	const ids = escaped * (2*256 + 2*maxEventBytes + maxCurrencyBytes)
	activity := append(c.placeParts(), part{maxMessageBytes + ids, c.def.Name.Pos, "the message", "split the definition"})
	for i, e := range c.events {
		occurrences := 1
		if e.refund != nil {
			occurrences = 3 // the occurrence, a refund that came before it, and one that comes now
		}
		activity = append(activity, part{occurrences * (256 + escaped*maxKeyBytes), c.def.Events[i].Name.Pos, fmt.Sprintf("event %q", e.name), "split the definition"})
	}
	for _, m := range c.def.Messages {
		activity = append(activity, part{64 + 2*maxNameBytes + escaped*maxKeyBytes, m.Channel.Pos, fmt.Sprintf("a message of channel %q", m.Channel.Value), "split the definition"})
	}
	refuse("the record of an event", activity)

	for _, m := range c.def.Models {
		for _, s := range m.Stages {
			c.checkCondition(s.When)
		}
	}
	for _, s := range c.def.Segments {
		c.checkCondition(s.When)
		c.checkCondition(s.By)
	}
	if len(c.campaigns) > 0 {
		refuse("the record of an assignment", append(c.placeParts(), part{maxConditionBytes, c.def.CampaignsPos, "the audience", "split the definition"}))
	}
	for _, campaign := range c.def.Campaigns {
		c.checkCondition(campaign.Audience)
		for _, g := range campaign.Goals {
			c.checkCondition(g.When)
		}
	}
}

// checkCondition refuses a condition that the records of its changes could not carry.
func (c *compiler) checkCondition(t definition.Text) {
	if len(t.Value) < maxConditionBytes/escaped {
		return
	}
	if n := len(record.AppendString(nil, t.Value)); n > maxConditionBytes {
		c.problem(t.Pos, "this condition takes %d KiB, and every record of its changes carries it: at most %d KiB are allowed", (n+1023)>>10, maxConditionBytes>>10)
	}
}

func mebibytes(n int) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
