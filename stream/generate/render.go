// SPDX-License-Identifier: Apache-2.0

package generate

import (
	"encoding/hex"
	"math"
	"strconv"

	"lapwing/schemas/instant"
)

// cents is the total of the order made with this seed, by a customer of this level.
func (b *business) cents(seed uint64, level float64) int64 {
	return max(99, int64(100*b.orderMedian*level*math.Exp(0.4*normal(seed))))
}

// text appends the message as a JSON line without its end.
func (w *World) text(b []byte, p *persona, m *message) []byte {
	if m.flags&bad != 0 {
		return w.unusable(b, p, m)
	}
	switch m.kind {
	case page:
		b = append(b, `{"type":"page","name":"`...)
		b = append(append(b, w.business.pages[m.seed%uint64(len(w.business.pages))]...), '"')
	case screen:
		b = append(b, `{"type":"screen","name":"`...)
		b = append(append(b, w.business.pages[m.seed%uint64(len(w.business.pages))]...), '"')
	case identify:
		b = append(b, `{"type":"identify"`...)
	case group:
		b = append(b, `{"type":"group","groupId":"g`...)
		b = append(strconv.AppendUint(b, mix(uint64(m.customer))%uint64(1+w.settings.Customers/8), 10), '"')
	default:
		b = append(append(append(b, `{"type":"track","event":"`...), tracks[m.kind]...), '"')
	}
	b = messageID(append(b, `,"messageId":"`...), m)
	if m.flags&anonymous == 0 {
		b = append(append(append(b, `","userId":"`...), p.user...), `","anonymousId":"`...)
	} else {
		b = append(b, `","anonymousId":"`...)
	}
	b = append(append(b, p.anonymous...), `","timestamp":"`...)
	b = append(instant.Instant(m.at).AppendRFC3339(b), '"')
	switch m.kind {
	case identify:
		b = w.traits(b, p, m)
	default:
		b = append(b, `,"properties":{`...)
		before := len(b)
		if b = w.properties(b, p, m); len(b) > before && b[len(b)-1] == ',' {
			b = b[:len(b)-1]
		}
		b = append(b, '}')
	}
	return w.context(b, p, m)
}

// messageID is of the message, not of its copies.
func messageID(b []byte, m *message) []byte {
	id := mix(m.seed ^ uint64(m.kind)<<56 ^ mix(uint64(m.customer)))
	var raw [8]byte
	for i := range raw {
		raw[i] = byte(id >> (8 * i))
	}
	return hex.AppendEncode(b, raw[:])
}

func (w *World) traits(b []byte, p *persona, m *message) []byte {
	b = append(append(append(b, `,"traits":{"country":"`...), p.place.country...), `","email":"`...)
	b = append(append(b, p.user...), `@example.com","language":"`...)
	b = append(append(b, p.place.locale[:2]...), `","currency":"`...)
	b = append(append(b, p.place.currency...), `","consent_email":`...)
	b = strconv.AppendBool(b, p.emails)
	b = append(b, `,"consent_push":`...)
	b = strconv.AppendBool(b, p.app > 0)
	return append(b, '}')
}

// properties appends fields, each with a comma behind it.
func (w *World) properties(b []byte, p *persona, m *message) []byte {
	s := m.seed
	switch m.kind {
	case page, screen:
		b = append(append(b, `"title":"`...), w.business.pages[s%uint64(len(w.business.pages))]...)
		b = append(b, `",`...)
	case signedUp:
		if m.arg > 0 {
			b = append(fixed(append(b, `"invited_by":"u`...), uint64(m.arg-1), 7), `",`...)
		}
	case searched:
		b = append(append(append(b, `"query":"`...), w.business.tastes[w.taste(p, s)]...), `",`...)
	case listViewed:
		b = append(append(append(b, `"list_id":"`...), w.business.tastes[w.taste(p, s)]...), `",`...)
	case productViewed, productAdded, productRemoved, favoured, unfavoured, reviewed:
		b = w.product(b, p, s, 0)
		if m.kind == reviewed {
			b = strconv.AppendUint(append(b, `,"rating":`...), 1+mix(s+9)%5, 10)
		}
		b = append(b, ',')
	case checkout:
		b = append(money(append(b, `"value":`...), w.business.cents(s, p.level)), ',')
	case order:
		b = w.order(b, p, m)
	case refunded, cancelled:
		b = orderID(b, m)
		b = append(money(append(b, `,"total":`...), w.business.cents(s, p.level)), ',')
	case articleRead, videoStarted:
		b = append(append(append(b, `"topic":"`...), w.business.tastes[w.taste(p, s)]...), `","article_id":"`...)
		b = fixed(append(b, 'a'), mix(s+1)%5000, 4)
		b = append(b, `",`...)
	case benefitUsed:
		b = fixed(append(b, `"partner":"p`...), mix(s+1)%12, 2)
		b = append(b, `",`...)
	case trialStarted, subscribed, renewed, subscriptionEnded:
		b = append(b, `"plan":"basic",`...)
		if m.kind == subscribed || m.kind == renewed {
			b = append(append(money(append(b, `"total":`...), w.business.fee), `,"currency":"USD"`...), ',')
		}
	case pointsRedeemed:
		b = append(strconv.AppendUint(append(b, `"points":`...), 500+mix(s+1)%20*100, 10), ',')
	case featureUsed:
		b = append(append(append(b, `"feature":"`...), w.business.features[int(m.arg)%len(w.business.features)]...), `",`...)
	case deposited:
		b = append(append(money(append(b, `"amount":`...), w.business.cents(s, p.level)), `,"currency":"USD"`...), ',')
	case inviteSent, inviteAccepted:
		b = append(strconv.AppendUint(append(b, `"invite_id":"i`...), uint64(m.arg), 10), `",`...)
	case emailDelivered, emailBounced, emailOpened, emailClicked, unsubscribed, pushDelivered, pushClicked,
		smsDelivered, smsClicked, inAppShown, inAppClicked, webPushDelivered, webPushClicked:
		b = w.exposure(b, m)
	default:
	}
	return b
}

// taste is a topic: mostly the customer's favourite.
func (w *World) taste(p *persona, s uint64) uint64 {
	if share(s+21) < 0.6 {
		return p.taste
	}
	return mix(s+22) % tastes
}

// product is the n-th product of a message: what is put into a cart with one seed is
// what was looked at with it.
func (w *World) product(b []byte, p *persona, s uint64, n uint64) []byte {
	s += n * 131
	taste := w.taste(p, s)
	b = fixed(append(b, `"product_id":"p`...), taste*100+mix(s+23)%100, 4)
	b = append(append(append(b, `","category":"`...), w.business.tastes[taste]...), `","`...)
	if w.business.places {
		b = append(append(append(b, `place":"`...), w.business.tastes[taste]...), `","`...)
	}
	b = money(append(b, `price":`...), w.business.cents(s+24, p.level))
	return append(b, `,"currency":"USD"`...)
}

func orderID(b []byte, m *message) []byte {
	b = fixed(append(b, `"order_id":"o`...), uint64(m.customer), 7)
	return append(strconv.AppendUint(append(b, '-'), uint64(m.arg), 10), '"')
}

func (w *World) order(b []byte, p *persona, m *message) []byte {
	b = orderID(b, m)
	b = money(append(b, `,"total":`...), w.business.cents(m.seed, p.level))
	b = append(b, `,"currency":"USD"`...)
	if m.flags&deal != 0 {
		b = append(b, `,"deal_id":"spring"`...)
	}
	if m.flags&points != 0 {
		b = append(b, `,"points_redeemed":2500`...)
	}
	b = append(b, `,"products":[`...)
	for n := range 1 + mix(m.seed+25)%3 {
		if n > 0 {
			b = append(b, ',')
		}
		b = append(w.product(append(b, '{'), p, m.seed, n), `,"quantity":1}`...)
	}
	return append(b, `],`...)
}

// exposure names the campaign that a message belongs to.
func (w *World) exposure(b []byte, m *message) []byte {
	c := w.campaigns[m.arg>>8]
	b = append(append(append(b, `"campaign_id":"`...), c.name...), `",`...)
	if v := int(m.arg & 0xff); v < len(c.variants) {
		b = append(append(append(b, `"variant":"`...), c.variants[v].name...), `",`...)
	}
	if c.journey != "" {
		b = append(append(append(b, `"journey":"`...), c.journey...), `","step":"`...)
		b = append(append(b, c.step...), `",`...)
	}
	switch m.kind {
	case emailOpened:
		b = append(strconv.AppendBool(append(b, `"machine_open":`...), m.flags&machine != 0), ',')
	case inAppShown, inAppClicked:
		b = append(append(append(b, `"feature":"`...), w.business.features[0]...), `",`...)
	default:
	}
	return b
}

func (w *World) context(b []byte, p *persona, m *message) []byte {
	b = append(append(b, `,"context":{"locale":"`...), p.place.locale...)
	b = append(append(append(b, `","timezone":"`...), p.place.zone...), '"')
	switch {
	case m.kind.passive():
	case m.flags&onApp != 0:
		b = append(b, `,"device":{"type":"ios"},"app":{"name":"shop"}`...)
	case m.flags&onPhone != 0:
		b = append(b, `,"userAgent":"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) Mobile Safari/604.1"`...)
	default:
		b = append(b, `,"userAgent":"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Firefox/128.0"`...)
	}
	if !m.kind.passive() && m.flags&onApp == 0 {
		b = strconv.AppendUint(append(b, `,"page":{"path":"/`...), mix(m.seed+26)%1000, 10)
		b = append(b, `"}`...)
	}
	return append(b, `}}`...)
}

// money is an amount of cents with two places.
func money(b []byte, cents int64) []byte {
	b = append(strconv.AppendInt(b, cents/100, 10), '.')
	return fixed(b, uint64(cents%100), 2)
}

// unusable is a line that is a dead letter: five causes in turn.
func (w *World) unusable(b []byte, p *persona, m *message) []byte {
	at := instant.Instant(m.at).String()
	switch m.seed % 5 {
	case 0: // cut short
		return append(append(append(b, `{"type":"track","event":"Product Viewed","userId":"`...), p.user...), `","timestamp":"`...)
	case 1: // of nobody
		return append(append(append(b, `{"type":"track","event":"Product Viewed","timestamp":"`...), at...), `"}`...)
	case 2: // at no time
		return append(append(append(b, `{"type":"track","event":"Product Viewed","userId":"`...), p.user...), `","timestamp":"yesterday"}`...)
	case 3: // without a type
		b = append(append(append(b, `{"event":"Product Viewed","userId":"`...), p.user...), `","timestamp":"`...)
		return append(append(b, at...), `"}`...)
	default: // no object
		return append(b, `["Product Viewed"]`...)
	}
}
