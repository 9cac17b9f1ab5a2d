// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"encoding/binary"
	"math/bits"
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
	// guesses are the wanted keys that last came first in a slot's object (2*slot) and
	// next after a slot's key (2*slot+1): a source writes its messages with their keys in
	// the same order, and a key as guessed is not looked for.
	guesses []*name
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
		guesses:       make([]*name, 2*p.size),
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
	d.scan.deep, d.scan.notText, d.scan.escapes = false, false, 0
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
	m.values = m.values[:0]
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
	before := 2 * n.slot
	for {
		if i >= len(b) || b[i] != '"' {
			return bad
		}
		var child *node
		if guess := d.guesses[before]; guess != nil && len(b)-i > len(guess.written) && string(b[i:i+len(guess.written)]) == guess.written {
			child = guess.node
			before = 2*child.slot + 1
			if i += len(guess.written); b[i] <= ' ' {
				i = space(b, i)
			}
		} else {
			found, end := d.key(n, b, i)
			if end < 0 {
				return bad
			}
			if found != nil {
				child = found.node
				if found.written != "" {
					d.guesses[before] = found
				}
				before = 2*child.slot + 1
			}
			i = colon(b, end)
		}
		if i < 0 || i >= len(b) {
			return bad
		}
		start := i
		switch c := b[i]; {
		case child != nil && len(child.children) > 0:
			clear(d.values[child.slot:child.end]) // what an equal key before it left
			if c == '{' {
				i = d.object(child, b, i, depth)
			} else {
				i = d.scan.value(b, i, depth)
			}
		case c == '"':
			i = d.scan.str(b, i)
		case c == '{' || c == '[':
			i = d.scan.value(b, i, depth)
		default:
			i = d.scan.scalar(b, i)
		}
		if i < 0 || i >= len(b) {
			return bad
		}
		if child != nil {
			if b[start] == 'n' || child.object && b[start] != '{' {
				d.values[child.slot] = span{}
			} else {
				d.values[child.slot] = span{start, i}
			}
		}
		if b[i] <= ' ' {
			if i = space(b, i); i >= len(b) {
				return bad
			}
		}
		switch b[i] {
		case ',':
			i++
			if i < len(b) && b[i] <= ' ' {
				i = space(b, i)
			}
		case '}':
			return i + 1
		default:
			return bad
		}
	}
}

// key reads the key whose opening quote is at i: the child of n that it names, if any,
// and the index after it. Its words tell most keys' end and name in one go.
func (d *Decoder) key(n *node, b []byte, i int) (child *name, end int) {
	i++
	if i+16 <= len(b) {
		head, tail := binary.LittleEndian.Uint64(b[i:]), uint64(0)
		found := unplain(head)
		if found != 0 {
			end = i + bits.TrailingZeros64(found)/8
			head &= found&-found>>7 - 1 // what stands before the byte found
		} else if found = unplain(binary.LittleEndian.Uint64(b[i+8:])); found != 0 {
			end = i + 8 + bits.TrailingZeros64(found)/8
			tail = binary.LittleEndian.Uint64(b[end-8:])
		}
		if found != 0 && b[end] == '"' {
			return n.child(head, tail, b, i, end), end + 1
		}
	}
	escapes := d.scan.escapes
	if end = d.scan.str(b, i-1); end < 0 {
		return nil, bad
	}
	name := b[i : end-1]
	if d.scan.escapes > escapes {
		d.keys = appendUnescaped(d.keys[:0], name)
		name = d.keys
	}
	head, tail := words(name, 0, len(name))
	return n.child(head, tail, name, 0, len(name)), end
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
	v := d.values[slot]
	if v.end == 0 || d.message[v.start] != '"' {
		return nil
	}
	return d.unescaped(d.message[v.start+1 : v.end-1 : v.end-1])
}

// unescaped is the text of what stands between a string's quotes.
func (d *Decoder) unescaped(inner []byte) []byte {
	if d.scan.escapes == 0 || bytes.IndexByte(inner, '\\') < 0 {
		return inner
	}
	// Growing the scratch space leaves the texts before it in the old one, as they are.
	start := len(d.scratch)
	d.scratch = appendUnescaped(d.scratch, inner)
	return d.scratch[start:len(d.scratch):len(d.scratch)]
}

// id is the text of the string or number in a slot; nil if it is empty or anything
// else is there.
func (d *Decoder) id(slot int) []byte {
	v := d.values[slot]
	if v.end == 0 {
		return nil
	}
	switch c := d.message[v.start]; {
	case c == '"':
		if v.end-v.start == 2 {
			return nil
		}
		return d.unescaped(d.message[v.start+1 : v.end-1 : v.end-1])
	case c == '-' || c >= '0' && c <= '9':
		return d.message[v.start:v.end:v.end]
	default:
		return nil
	}
}
