// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// Result is what a replay gives for one customer.
type Result struct {
	Records []record.Record
	Profile *record.Profile // nil if the customer has not begun, or has ended
}

// Customer replays one customer's messages in the order of arrival, and goes on to
// until. Messages after until are left out; None leaves out none and fires nothing
// after the last of them.
func (o *Oracle) Customer(id string, messages []Message, until instant.Instant) Result {
	l := o.newLife(id)
	for i := range messages {
		if until == instant.None || messages[i].At <= until {
			l.accept(&messages[i])
		}
	}
	if until == instant.None {
		until = l.clock
	}
	l.finish(until)
	return Result{Records: l.out, Profile: l.profile()}
}

// Replay gives the records of every customer as JSON lines, customers in the order
// of their first message. Lines that cannot be used are left out. With until None
// it is the latest time seen.
func Replay(def *definition.Definition, lines [][]byte, until instant.Instant) ([]byte, error) {
	o, err := New(def)
	if err != nil {
		return nil, fmt.Errorf("read definition: %w", err)
	}
	var customers []string
	messages := map[string][]Message{}
	latest := instant.None
	for _, line := range lines {
		m, ok := Decode(line)
		if !ok {
			continue
		}
		if messages[m.Customer] == nil {
			customers = append(customers, m.Customer)
		}
		messages[m.Customer] = append(messages[m.Customer], m)
		latest = max(latest, m.At)
	}
	if until == instant.None {
		until = latest
	}
	var out bytes.Buffer
	for _, id := range customers {
		for _, r := range o.Customer(id, messages[id], until).Records {
			out.Write(r.AppendJSON(nil))
			out.WriteByte('\n')
		}
	}
	return out.Bytes(), nil
}

// count says what a message counts as, in the order of arrival: of a repeated key
// the first read counts, for the latest keys.
func (o *Oracle) count(m *Message, keys map[string][]string) applied {
	a := applied{message: m, occurrences: map[string]occurrence{}, refunds: map[string]refund{}, assigned: map[string]arm{}}
	for _, it := range o.items {
		if it.campaign != nil && it.campaign.def.Assigned != nil {
			if by, ok := o.assignedBy(it.campaign, m); ok {
				a.assigned[it.name] = by
			}
		}
	}
	for _, e := range o.events {
		if m.matches(e.def.Match) && (e.where == nil || o.over(m, false).eval(e.where).holds()) {
			occ := occurrence{at: m.At, message: m}
			if e.amount != nil {
				occ.amount = o.over(m, true).eval(e.amount).numeric()
				occ.worth = occ.amount
			}
			repeated := false
			if e.key != nil {
				occ.key, occ.hasKey = o.over(m, false).eval(e.key).jsonText()
				recent := keys[e.name][max(0, len(keys[e.name])-rememberedKeys):]
				repeated = occ.hasKey && slices.Contains(recent, occ.key)
			}
			if !repeated {
				a.occurrences[e.name] = occ
				if occ.hasKey {
					keys[e.name] = append(keys[e.name], occ.key)
				}
			}
		}
		if e.def.Refund != nil && m.matches(e.def.Refund.Match) {
			if key, ok := o.over(m, false).eval(e.refundKey).jsonText(); ok {
				r := refund{key: key}
				if e.refundAmount != nil {
					r.amount = o.over(m, true).eval(e.refundAmount).numeric()
				}
				a.refunds[e.name] = r
			}
		}
	}
	return a
}

func (m *Message) matches(patterns []definition.Match) bool {
	for _, p := range patterns {
		if (p.Type == "" || p.Type == m.kind) && (p.Event == "" || p.Event == m.event) && (p.Name == "" || p.Name == m.name) {
			return true
		}
	}
	return false
}

// over is the scope of an expression over a message.
func (o *Oracle) over(m *Message, amount bool) scope {
	vars := map[string]value{
		"properties": ofJSON(m.fields["properties"]),
		"traits":     ofJSON(m.fields["traits"]),
		"context":    ofJSON(m.fields["context"]),
		"at":         {kind: moment, moment: m.At.Time().In(o.def.Zone)},
	}
	for name, s := range map[string]string{"event": m.event, "name": m.name, "userId": m.userID, "anonymousId": m.anonymous} {
		if s != "" {
			vars[name] = ofText(s)
		}
	}
	if zone, _ := m.at("context", "timezone").(string); zone != "" {
		if z, err := time.LoadLocation(zone); err == nil {
			vars["local"] = value{kind: moment, moment: m.At.Time().In(z)}
		}
	}
	return scope{params: o.params, vars: vars, value: amount}
}
