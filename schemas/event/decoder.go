// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"time"

	"lapwing/schemas/instant"
)

// MaxIDBytes is the longest an id may be, in bytes of its decoded text: messageId,
// userId, anonymousId, previousId and groupId, whether or not the message needs it.
const MaxIDBytes = 256

// keptBytes is how much scratch space and how many levels in bytes a Decoder keeps
// for the next message; what one odd message needed beyond it is given back.
const keptBytes = 64 << 10

// Slots of the envelope. Those of the scalars follow from NewProjection, which
// makes them first; the objects' depend on the paths and stand in Decoder.
const (
	slotType = iota + 1
	slotEvent
	slotName
	slotMessageID
	slotUserID
	slotAnonymousID
	slotPreviousID
	slotGroupID
	slotTimestamp
	slotOriginalTimestamp
)

// Decoder reads messages, one at a time, without allocating once its scratch space
// has grown. It is owned by one goroutine; the Projection may be shared.
type Decoder struct {
	projection    *Projection
	limits        Limits
	traits        int // slots
	zone          int
	contextTraits int

	scan    scanner
	message []byte // being decoded
	values  []span // by slot
	scratch []byte // texts that had escapes
	keys    []byte // a key that had escapes
}

// span is where a raw value stands in the message; empty if missing or null. (Views
// would do, but pointers cost the garbage collector's write barriers.)
type span struct{ start, end int }

// NewDecoder is a Decoder that extracts the paths of p; nil: the envelope only.
func NewDecoder(p *Projection, l Limits) *Decoder {
	if p == nil {
		p = NewProjection()
	}
	return &Decoder{
		projection:    p,
		limits:        l,
		traits:        p.root.at("traits").slot,
		zone:          p.root.at("context", "timezone").slot,
		contextTraits: p.root.at("context", "traits").slot,
		scan:          scanner{maxDepth: l.MaxDepth},
		values:        make([]span, p.size),
	}
}

// Decode reads b into m and returns "" if the message is usable, else the first of
// the causes that stand against it; then of m nothing may be read. It looks at the
// whole of b, in one pass, whatever its size: a message that is too large or too
// deep but is no JSON either is InvalidJSON.
//
// recordTime is when the message was put in its log. It stands in for a missing
// timestamp and bounds how far in the future an event may be; None, or a time that
// no event could have, does neither: then a message without a timestamp is
// InvalidTime. Of several equal keys of an object, at any level, the last counts.
//
// timestamp must be an RFC 3339 time if it is there and not null. In its absence
// originalTimestamp counts, under the same rule if it is a string; of another type
// it is as if missing.
func (d *Decoder) Decode(b []byte, recordTime instant.Instant, m *Message) Cause {
	clear(d.values)
	d.message = b
	d.scan.deep, d.scan.notText = false, false
	if cap(d.scan.spill) > keptBytes/8 {
		d.scan.spill = nil
	}
	if cap(d.scratch) > keptBytes {
		d.scratch = nil
	}
	if cap(d.keys) > keptBytes {
		d.keys = nil
	}
	d.scratch = d.scratch[:0]
	*m = Message{values: m.values[:0], Time: instant.None}

	i := space(b, 0)
	if i >= len(b) || b[i] != '{' {
		return InvalidJSON
	}
	if i = d.object(d.projection.root, b, i, 0); i < 0 || space(b, i) != len(b) {
		return InvalidJSON
	}
	switch {
	case len(b) > d.limits.MaxBytes:
		return TooLarge
	case d.scan.deep:
		return TooDeep
	case d.scan.notText:
		return InvalidUTF8
	}
	for _, slot := range d.projection.slots {
		m.values = append(m.values, d.raw(slot))
	}
	return d.envelope(recordTime, m)
}

// object reads the object at i, which lies below depth open levels and is n's
// value, and keeps the raw values of n's children. It calls itself once for each
// key of a path, so its own depth is the Projection's, not the message's.
func (d *Decoder) object(n *node, b []byte, i, depth int) int {
	depth++
	if depth > d.scan.maxDepth {
		d.scan.deep = true
	}
	i = space(b, i+1)
	if i < len(b) && b[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(b) || b[i] != '"' {
			return bad
		}
		d.scan.escaped = false
		end := d.scan.str(b, i)
		if end < 0 {
			return bad
		}
		name := b[i+1 : end-1]
		if d.scan.escaped {
			d.keys = appendUnescaped(d.keys[:0], name)
			name = d.keys
		}
		child := n.child(name)
		if i = colon(b, end); i < 0 {
			return bad
		}
		if child == nil {
			i = d.scan.value(b, i, depth)
		} else {
			i = d.member(child, b, i, depth)
		}
		if i < 0 {
			return bad
		}
		if i = space(b, i); i >= len(b) {
			return bad
		}
		switch b[i] {
		case ',':
			i = space(b, i+1)
		case '}':
			return i + 1
		default:
			return bad
		}
	}
}

// member reads the value of a wanted key; what an equal key before it left is
// forgotten.
func (d *Decoder) member(n *node, b []byte, i, depth int) (end int) {
	if i >= len(b) {
		return bad
	}
	leaf := len(n.children) == 0
	if !leaf {
		clear(d.values[n.slot:n.end])
	}
	switch c := b[i]; {
	case c == '"':
		end = d.scan.str(b, i)
	case c == '{' && !leaf:
		end = d.object(n, b, i, depth)
	default:
		end = d.scan.value(b, i, depth)
	}
	if b[i] == 'n' || n.object && b[i] != '{' {
		d.values[n.slot] = span{}
	} else {
		d.values[n.slot] = span{i, end} // end is bad only if the message is, too
	}
	return end
}

// raw is the raw value in a slot; nil if missing or null.
func (d *Decoder) raw(slot int) []byte {
	v := d.values[slot]
	if v.end == 0 {
		return nil
	}
	return d.message[v.start:v.end:v.end]
}

// envelope fills m from the values of a message that is valid text.
func (d *Decoder) envelope(recordTime instant.Instant, m *Message) Cause {
	m.Type = d.text(slotType)
	m.Event = d.text(slotEvent)
	m.Name = d.text(slotName)
	m.MessageID = d.id(slotMessageID)
	m.UserID = d.id(slotUserID)
	m.AnonymousID = d.id(slotAnonymousID)
	m.PreviousID = d.id(slotPreviousID)
	m.GroupID = d.id(slotGroupID)
	m.Zone = d.text(d.zone)
	traits := d.contextTraits
	if string(m.Type) == "identify" {
		traits = d.traits
	}
	if m.Traits = d.raw(traits); len(m.Traits) > 0 && m.Traits[0] != '{' {
		m.Traits = nil
	}
	m.Customer = m.UserID
	if m.Customer == nil {
		m.Customer = m.AnonymousID
	}
	switch {
	case len(m.Type) == 0:
		return MissingType
	case m.Customer == nil:
		return MissingCustomer
	case max(len(m.MessageID), len(m.UserID), len(m.AnonymousID), len(m.PreviousID), len(m.GroupID)) > MaxIDBytes:
		return InvalidID
	}
	return d.time(recordTime, m)
}

func (d *Decoder) time(recordTime instant.Instant, m *Message) Cause {
	if recordTime < instant.Min || recordTime >= instant.Max {
		recordTime = instant.None
	}
	switch original := d.raw(slotOriginalTimestamp); {
	case d.values[slotTimestamp].end != 0:
		m.Time, _ = instant.Parse(d.text(slotTimestamp)) // None without a text
	case len(original) > 0 && original[0] == '"':
		m.Time, _ = instant.Parse(d.text(slotOriginalTimestamp))
	default:
		m.Time = recordTime
	}
	switch {
	case m.Time == instant.None:
		return InvalidTime
	case recordTime != instant.None && m.Time-recordTime > instant.Instant(d.limits.MaxFuture/time.Millisecond):
		return FutureTime
	default:
		return ""
	}
}

// text is the text of the string in a slot; nil if anything else is there.
func (d *Decoder) text(slot int) []byte {
	raw := d.raw(slot)
	if len(raw) == 0 || raw[0] != '"' {
		return nil
	}
	raw = raw[1 : len(raw)-1 : len(raw)-1]
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	// Growing the scratch space leaves the texts before it in the old one, as they are.
	start := len(d.scratch)
	d.scratch = appendUnescaped(d.scratch, raw)
	return d.scratch[start:len(d.scratch):len(d.scratch)]
}

// id is the text of the string or number in a slot; nil if it is empty or anything
// else is there.
func (d *Decoder) id(slot int) []byte {
	raw := d.raw(slot)
	switch {
	case len(raw) == 0:
		return nil
	case raw[0] == '"':
		if text := d.text(slot); len(text) > 0 {
			return text
		}
		return nil
	case raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9':
		return raw
	default:
		return nil
	}
}
