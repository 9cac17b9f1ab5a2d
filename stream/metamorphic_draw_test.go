// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"lapwing/schemas/instant"
)

// metaDraw draws a plan from a seed: few customers, names, windows and instants, so
// that they meet often.
type metaDraw struct {
	*rand.Rand
	plan metaPlan
	ids  map[string][]*metaOp // events with a messageId, by customer
}

const metaConfigs = 3

func drawMetaPlan(seed uint64) *metaPlan {
	d := &metaDraw{Rand: rand.New(rand.NewPCG(seed, 12)), ids: map[string][]*metaOp{}}
	d.plan.seed = seed
	d.plan.promise = metaPromises[seed%uint64(len(metaPromises))]
	d.plan.definition = d.definition()
	d.operations(40 + d.IntN(80))
	for range metaConfigs {
		d.plan.configs = append(d.plan.configs, drawMetaConfig(d.Rand, len(d.plan.ops), d.plan.promise))
	}
	return &d.plan
}

func (d *metaDraw) definition() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("lapwing: 1\nname: meta\nversion: 1\ncurrency: EUR")
	line("timezone: %s", one(d.Rand, "UTC", "Europe/Berlin", "Asia/Kathmandu", "America/New_York"))
	switch d.plan.promise {
	case metaOrdered:
		line("dedupe: %s", one(d.Rand, "1d", "7d"))
		line("retain: {anonymous: %s}", one(d.Rand, "1d", "3d", "90d"))
	case metaReordered:
		line("lateness: %s", one(d.Rand, "1h", "3h", "6h"))
		if d.IntN(2) == 0 {
			line("dedupe: 60d")
		} else {
			line("retain: {anonymous: %s}", one(d.Rand, "1d", "3d"))
		}
	case metaLate: // whoever is forgotten begins anew, and when is not a matter of event time alone
		line("dedupe: 60d")
		if d.IntN(2) == 0 {
			line("lateness: %s", one(d.Rand, "1h", "6h"))
		}
	}
	refund := one(d.Rand, "", ", refund: {match: [Order Refunded, Order Cancelled], key: properties.order_id}",
		", refund: {match: [Order Refunded, Order Cancelled], value: properties.total, key: properties.order_id}")
	line("events:")
	line("  purchase: {match: Order Completed, value: properties.total, key: properties.order_id%s}", refund)
	line("  visit: {match: [{type: page}, {type: screen}]%s}", one(d.Rand, "", ", resolution: 1h"))
	line("  click: {match: Clicked, value: properties.n, where: properties.n > 1}")
	line("  signup: {match: {type: identify}}")
	line("  session: {from: visit, gap: %s}", one(d.Rand, "30m", "2h"))
	line("  returned: {from: purchase, gap: %s, first: false}", one(d.Rand, "6h", "1d"))
	w := func() string { return one(d.Rand, "2h", "6h", "1d", "36h", "2d", "3d") }
	line("models:\n  - name: value\n    stages:")
	line("      - {stage: prospect, when: never('purchase')}")
	line("      - {stage: lost, when: \"idle('purchase', '4d')\"}")
	line("      - {stage: at_risk, when: \"idle('purchase', '%s')\"}", w())
	line("      - {stage: active, when: \"count('purchase', '%s') >= 2\"}", one(d.Rand, "3d", "5d"))
	line("      - {stage: new, when: \"first('purchase', '%s')\"}", w())
	line("      - {stage: occasional, when: \"true\"}")
	line("  - name: tempo\n    stages:")
	line("      - {stage: busy, when: \"count('session', '%s') >= 2\"}", w())
	if d.plan.promise != metaLate { // what depends on the stages that were is as it was known then
		line("      - {stage: stuck, when: \"stage_for('value', 'at_risk', '%s')\"}", w())
		line("      - {stage: settled, when: \"stage_for('value', 'active', '6h') || stage_for('value', 'prospect', '%s')\"}", w())
	}
	line("      - {stage: seen, when: \"seen('visit', '%s') || seen('click', '%s')\"}", w(), w())
	line("      - {stage: quiet, when: \"true\"}")
	line("segments:")
	line("  - {name: country, by: trait('country')}")
	line("  - {name: spenders, when: \"sum('purchase', '%s') >= 30 && !in_stage('value', 'lost')\"}", w())
	for _, segment := range []string{
		"{name: explorers, when: \"unique('visit', 'section', '" + w() + "') >= 2\"}",
		"{name: regulars, when: \"days('session', '3d') >= 2\"}",
		"{name: back, when: \"seen('returned', '" + w() + "')\"}",
		"{name: renewing, when: \"due('renewal', '" + one(d.Rand, "-1d", "0d", "2h") + "')\"}",
		"{name: undecided, when: \"after('click', 'purchase')\"}",
		"{name: early, when: \"count_from('signup', 'purchase', '" + w() + "') >= 1\"}",
		"{name: nameless, when: anonymous()}",
		"{name: french, when: \"in_segment('country=FR') && !in_segment('spenders')\"}",
		"{name: heavy, when: \"avg('purchase', '" + w() + "') > 12.5 || max('click') >= 3\"}",
		"{name: tier, by: trait('tier')}",
	} {
		if d.IntN(3) > 0 {
			line("  - %s", segment)
		}
	}
	d.campaigns(line)
	return b.String()
}

// operations are in event time, a few hours or a window apart.
func (d *metaDraw) operations(n int) {
	at := day0
	people := 2 + d.IntN(4)
	for number := 1; number <= n; number++ {
		if d.IntN(4) > 0 {
			at = at.Add(d.span())
		}
		o := metaOp{number: number, kind: metaEvent, at: at}
		switch d.IntN(14) {
		case 0:
			o.kind = metaClock
		case 1:
			if of := d.recent(at); of != nil {
				o = metaOp{number: number, kind: metaAgain, of: of.number}
				break
			}
			fallthrough
		default:
			d.event(&o, d.IntN(people))
		}
		d.plan.ops = append(d.plan.ops, o)
		if o.kind == metaEvent && strings.Contains(o.payload, `"messageId":"m`) {
			who := customerOf(&o)
			d.ids[who] = append(d.ids[who], &d.plan.ops[len(d.plan.ops)-1])
		}
		if at > day0.Add(28*dayLength) { // totals of what lies 35 days behind are closed
			break
		}
	}
}

func customerOf(o *metaOp) string { m := o.message(); return m.customer }

// span is mostly a window's length, or a millisecond less or more.
func (d *metaDraw) span() time.Duration {
	if d.IntN(5) > 0 {
		return time.Duration(d.IntN(13)) * 15 * time.Minute
	}
	w := one(d.Rand, 30*time.Minute, 2*time.Hour, 6*time.Hour, 24*time.Hour, 36*time.Hour)
	return w + time.Duration(d.IntN(3)-1)*time.Millisecond
}

// recent is an event young enough for its messageId to be remembered whatever comes
// first, and nobody expires meanwhile.
func (d *metaDraw) recent(at instant.Instant) *metaOp {
	var young []*metaOp
	for i := range d.plan.ops {
		o := &d.plan.ops[i]
		if o.kind == metaEvent && o.at.Add(metaMemory) > at && strings.Contains(o.payload, `"messageId":"m`) {
			young = append(young, o)
		}
	}
	if len(young) == 0 {
		return nil
	}
	return one(d.Rand, young...)
}

// metaMemory is how long after an event its duplicates come at most: with the greatest
// lateness on both sides still less than the least dedupe and the least retention.
const metaMemory = 6 * time.Hour

// metaPeople: the last two are anonymous until they log in; to the third that happens
// under the same id.
var metaPeople = [...][2]string{
	{`"userId":"ada"`, `"userId":"ada"`},
	{`"userId":17,"anonymousId":"x"`, `"userId":"17"`},
	{`"anonymousId":"eve"`, `"userId":"eve","anonymousId":"eve"`},
	{`"userId":null,"anonymousId":"bob"`, `"anonymousId":"bob"`},
	{`"userId":"Zoë"`, `"userId":"Zoë"`},
}

func (d *metaDraw) event(o *metaOp, person int) {
	if d.IntN(40) == 0 {
		o.payload = one(d.Rand, `{"type":"track"`, `{"type":"track","event":"Clicked"}`, `[]`, `{"userId":"ada"}`)
		return
	}
	who := metaPeople[person][0]
	if d.IntN(8) == 0 {
		who = metaPeople[person][1]
	}
	fields := []string{who, fmt.Sprintf(`"timestamp":%q`, o.at)}
	add := func(format string, args ...any) { fields = append(fields, fmt.Sprintf(format, args...)) }
	switch taken := d.ids[customerOf(&metaOp{payload: "{" + who + `,"type":"x","timestamp":"1997-01-01"}`})]; {
	case d.IntN(12) == 0 && len(taken) > 0 && taken[len(taken)-1].at.Add(metaMemory) > o.at:
		m := taken[len(taken)-1].message()
		add(`"messageId":%q`, strings.TrimPrefix(m.ties[0], "id ")) // another message with the same id
	case d.IntN(12) == 0:
	default:
		add(`"messageId":"m%d"`, (o.number*7)%997) // not in the order of their time, and each its own
	}
	switch d.IntN(11) {
	case 0, 1, 2, 3:
		add(`"type":"track","event":"Order Completed","properties":{"total":%s,"order_id":%s%s}`,
			one(d.Rand, "10", "10.5", "20", `"12.50"`, "31", "null"), one(d.Rand, `"o1"`, `"o2"`, `"o3"`, `"o4"`, "1", "null"),
			one(d.Rand, "", "", `,"currency":"EUR"`, `,"currency":"USD"`))
	case 4:
		add(`"type":"track","event":%s,"properties":{"total":%s,"order_id":%s}`, one(d.Rand, `"Order Refunded"`, `"Order Cancelled"`),
			one(d.Rand, "5", "10", "null"), one(d.Rand, `"o1"`, `"o2"`, `"o3"`))
	case 5, 6:
		add(`"type":%s,"properties":{"section":%s}`, one(d.Rand, `"page"`, `"screen"`), one(d.Rand, `"a"`, `"b"`, "3"))
	case 7:
		add(`"type":"track","event":"Clicked","properties":{"n":%d,"arm":%s,"control":%t}`, 1+d.IntN(3), one(d.Rand, `"mail"`, `"push"`, "null"), d.IntN(3) == 0)
	case 8, 9:
		var traits []string
		if d.IntN(3) > 0 {
			traits = append(traits, `"country":`+one(d.Rand, `"FR"`, `"DE"`, `"FR"`, "null"))
		}
		if d.IntN(2) == 0 {
			traits = append(traits, `"tier":`+one(d.Rand, `"gold"`, "5", "true"))
		}
		if d.IntN(2) == 0 {
			traits = append(traits, `"consent_email":`+one(d.Rand, "true", "true", "false"))
		}
		if d.IntN(2) == 0 {
			traits = append(traits, fmt.Sprintf(`"renewal":%q`, o.at.Add(time.Duration(d.IntN(5))*12*time.Hour)))
		}
		add(`"type":"identify","traits":{%s}`, strings.Join(traits, ","))
	default:
		add(`"type":"group","groupId":"acme"`)
	}
	o.payload = "{" + strings.Join(fields, ",") + "}"
}

// arrival is the order in which a configuration produces the plan's messages: the
// list's, with further duplicates and in another order as far as the promise allows.
func (p *metaPlan) arrival(c *metaConfig) []metaMessage {
	messages := p.messages()
	if c.again > 0 {
		messages = withDuplicates(messages, rand.New(rand.NewPCG(c.again, 1)))
	}
	if c.shuffle > 0 {
		p.shuffle(messages, rand.New(rand.NewPCG(c.shuffle, 2)))
	}
	return messages
}

// withDuplicates repeats messages whose messageId is theirs alone, while it is surely
// remembered.
func withDuplicates(messages []metaMessage, r *rand.Rand) []metaMessage {
	out := slices.Clone(messages)
	for _, m := range messages {
		if m.end || m.bad || m.again || r.IntN(4) > 0 || !m.alone(messages) {
			continue
		}
		i := slices.IndexFunc(out, func(o metaMessage) bool { return o.op == m.op && o.customer == m.customer }) + 1
		for i < len(out) && out[i].at < m.at.Add(metaMemory) && r.IntN(6) > 0 {
			i++
		}
		again := m
		again.again = true
		out = slices.Insert(out, i, again)
	}
	return out
}

// alone reports whether m has a messageId that no other message of its customer has.
func (m *metaMessage) alone(messages []metaMessage) bool {
	if m.tick {
		return true
	}
	if m.ties[0] == "id " {
		return false
	}
	return !slices.ContainsFunc(messages, func(o metaMessage) bool {
		return o.op != m.op && !o.again && o.customer == m.customer && slices.Contains(o.ties, m.ties[0])
	})
}

// shuffle swaps neighbours again and again where that is allowed. Within lateness no
// message may come after one that is ahead of it by the lateness or more: what is that
// old may have been applied.
func (p *metaPlan) shuffle(messages []metaMessage, r *rand.Rand) {
	lateness := parseMeta(p.definition).Lateness
	may := func(a, b *metaMessage) bool {
		switch {
		case a.end || b.end || a.tied(b):
			return false
		case a.tick && b.tick:
			return a.customer != b.customer
		case p.promise == metaLate:
			return true
		default:
			return b.at < a.at.Add(lateness)
		}
	}
	for range 30 * len(messages) {
		if i := r.IntN(max(1, len(messages)-1)); i+1 < len(messages) && may(&messages[i], &messages[i+1]) {
			messages[i], messages[i+1] = messages[i+1], messages[i]
		}
	}
}
