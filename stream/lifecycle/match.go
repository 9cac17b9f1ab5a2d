// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"lapwing/schemas/definition"
	"lapwing/schemas/event"
)

// hashOf is a 64-bit hash that is never 0, which stands for "none". Two of the at
// most 4,096 texts that are ever compared collide with a chance below 10^-12.
func hashOf[T string | []byte](text T) uint64 {
	var h uint64
	switch t := any(text).(type) {
	case string:
		h = xxhash.Sum64String(t)
	case []byte:
		h = xxhash.Sum64(t)
	}
	if h == 0 {
		return 1
	}
	return h
}

// fits reports whether a message fits one of the patterns.
func fits(patterns []definition.Match, msg *event.Message) bool {
	for i := range patterns {
		p := &patterns[i]
		if (p.Type == "" || p.Type == string(msg.Type)) &&
			(p.Event == "" || p.Event == string(msg.Event)) &&
			(p.Name == "" || p.Name == string(msg.Name)) {
			return true
		}
	}
	return false
}

// resolve works out what a message is to the definition: which events it counts
// as, what it refunds, which traits it brings. Keys are judged in the order of
// reading, so this also notes them in s.
func (m *Model) resolve(s *State, msg *event.Message, in *input, out *Output) {
	*in = input{
		at: int64(msg.Time), messageID: msg.MessageID, kind: cutEvent(msg.Type), event: cutEvent(msg.Event), known: len(msg.UserID) > 0,
		traits: msg.Traits, counted: in.counted[:0], refunds: in.refunds[:0], assigned: in.assigned[:0], exposures: in.exposures[:0],
		platform: m.platformOf(msg),
	}
	if len(in.event) == 0 {
		in.event = in.kind
	}
	if len(msg.MessageID) > 0 {
		in.messageHash = hashOf(msg.MessageID)
	}
	if len(msg.GroupID) > 0 && string(msg.Type) == "group" {
		in.group = msg.GroupID
	}
	ev := &out.scratch.eval
	*ev = eval{msg: msg, zones: &out.scratch.zones, locals: ev.locals[:0], budget: messageBudget}
	if len(m.byEvent) > 0 && string(msg.Type) == "track" {
		for _, i := range m.byEvent[string(msg.Event)] {
			m.count(s, m.events[i], ev, in, out)
		}
	}
	for _, i := range m.otherwise {
		e := m.events[i]
		if fits(e.match, msg) && !slices.ContainsFunc(in.counted, func(c counted) bool { return c.event == i }) {
			m.count(s, e, ev, in, out)
		}
	}
	if len(in.counted) > 1 {
		slices.SortFunc(in.counted, func(a, b counted) int { return a.event - b.event })
	}
	for _, i := range m.refunds {
		e := m.events[i]
		if !fits(e.refund.match, msg) {
			continue
		}
		key, ok := e.refund.key(ev).text()
		if !ok {
			continue
		}
		key = cutKey(key)
		r := refundInput{event: i, keyHash: hashOf(key), key: key, full: true}
		if e.refund.value != nil {
			if v := e.refund.value(ev).readNumber(); v.kind == isNumber {
				r.value, r.full = v.n, false
			}
		}
		in.refunds = append(in.refunds, r)
	}
	if len(m.exposures) > 0 {
		m.expose(msg, ev, in)
	}
	if m.assignedBy {
		m.resolveAssigned(msg, ev, in)
	}
	if m.currencyPath >= 0 && (len(in.counted) > 0 || len(in.refunds) > 0) {
		in.currency, in.products = currencyText(msg.Raw(m.currencyPath)), msg.Raw(m.productsPath)
	}
	if ev.budget < 0 {
		out.Overflow[LimitExpression]++
	}
}

// resolveAssigned notes the campaigns in which a message assigns.
func (m *Model) resolveAssigned(msg *event.Message, ev *eval, in *input) {
	for _, i := range m.campaigns {
		c := m.rules[i].campaign
		a := c.assigned
		if a == nil || !fits(a.match, msg) || a.where != nil && a.where(ev) != yes {
			continue
		}
		by := assignedInput{campaign: c.index}
		if a.holdout != nil {
			v := a.holdout(ev)
			by.holdout = v.kind == isBool && v.b
		}
		if a.variant != nil && !by.holdout {
			by.variant, _ = byText(a.variant(ev))
			if len(by.variant) > maxByValue {
				by.variant = ""
			}
		}
		in.assigned = append(in.assigned, by)
	}
}

// count adds e to what the message counts as, unless its where or its key says no.
func (m *Model) count(s *State, e *eventDef, ev *eval, in *input, out *Output) {
	if e.where != nil && e.where(ev) != yes {
		return
	}
	c := counted{event: e.index, value: noNumber}
	if e.value != nil {
		if v := e.value(ev).readNumber(); v.kind == isNumber {
			c.value = v.n
		}
	}
	if e.key != nil {
		if key, ok := e.key(ev).text(); ok {
			c.key = cutKey(key)
			c.keyHash = hashOf(c.key)
			if !m.readKey(s, e, &c, in.at, out) {
				return
			}
		}
	}
	if len(e.props) > 0 {
		c.props = make([]uint64, len(e.props))
		if e.slots > 0 {
			c.texts = make([]propText, e.slots)
		}
		for i := range e.props {
			p := &e.props[i]
			text, plain, ok := propertyText(ev.msg.Raw(p.path))
			if !ok {
				continue
			}
			c.props[i] = hashOf(text)
			if p.slot >= 0 && plain && len(text) <= maxValueBytes {
				c.texts[p.slot] = propText{text: text, given: true}
			}
		}
	}
	in.counted = append(in.counted, c)
}

// readKey notes a key that is read for the first time; false if it was read before.
func (m *Model) readKey(s *State, e *eventDef, c *counted, at int64, out *Output) bool {
	k := s.own(e).ownKeys()
	if e.refund == nil {
		hash := int64(c.keyHash)
		for i := len(k.read) - 1; i >= 0; i-- { // the newest are sent again most
			if k.read[i] == hash {
				return false
			}
		}
		if len(k.read) >= maxKept {
			k.read = slices.Delete(k.read, 0, 1)
			out.Overflow[LimitKeys]++
		}
		k.read = append(room(k.read, 1, 2), hash)
		return true
	}
	r := k.ownRefunds()
	if findKey(r.orders, c.keyHash) != nil {
		return false
	}
	entry := keyEntry{hash: c.keyHash, at: at, value: c.value}
	for i := range r.early { // a refund that came before its order
		if r.early[i].hash == c.keyHash {
			entry.refunded, entry.full = r.early[i].refunded, r.early[i].full
			r.early = slices.Delete(r.early, i, i+1)
			break
		}
	}
	if len(r.orders) >= maxKept {
		r.orders = slices.Delete(r.orders, 0, 1)
		out.Overflow[LimitKeys]++
	}
	r.orders = append(room(r.orders, 1, 1), entry)
	return true
}

// clone copies what an input only views, so that it can be held.
func (in *input) clone() input {
	out := *in
	for _, b := range []*[]byte{&out.messageID, &out.kind, &out.event, &out.traits, &out.group, &out.currency, &out.products} {
		*b = slices.Clone(*b)
	}
	out.counted = slices.Clone(in.counted)
	for i := range out.counted {
		out.counted[i].key = strings.Clone(out.counted[i].key)
		out.counted[i].texts = slices.Clone(out.counted[i].texts)
		for k := range out.counted[i].texts {
			t := &out.counted[i].texts[k]
			t.text = strings.Clone(t.text)
		}
	}
	out.exposures = cloneExposures(in.exposures)
	out.assigned = slices.Clone(in.assigned)
	out.refunds = slices.Clone(in.refunds)
	for i := range out.refunds {
		out.refunds[i].key = strings.Clone(out.refunds[i].key)
	}
	return out
}
