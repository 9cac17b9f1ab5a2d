// SPDX-License-Identifier: Apache-2.0

package generate

import (
	"slices"
	"time"

	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// campaign is a campaign of the definition, with its effect.
type campaign struct {
	name          string
	journey, step string
	variants      []arm
	rounds        bool // customers are assigned again
	goals         []goal
	effect        *effect // nil: it changes nothing, and nothing of it is set
}

// arm is a variant.
type arm struct {
	name    string
	share   int // hundredths of a percent
	channel string
}

// goal is a goal of the definition; effect is nil if it is not set.
type goal struct {
	name   string
	within time.Duration
	effect *goalEffect
}

// probability that a customer of a cell reaches a goal in an arm; variant is empty in the
// holdout.
func (w *World) probability(ca *campaign, g *goal, cell int, variant string) float64 {
	return ca.effect.probability(g.effect, cell, variant, w.settings.Strength)
}

// fold lets the real evaluator see a message, and begins the experiments that come of it.
func (c *customer) fold(m *message) {
	c.line = c.w.text(c.line[:0], &c.persona, m)
	if cause := c.decoder.Decode(c.line, instant.None, &c.decoded); cause != "" {
		panic("generate: wrote a message that is " + string(cause) + ": " + string(c.line))
	}
	c.w.model.Accept(&c.state, c.user, &c.decoded, instant.Instant(m.at), &c.out)
	c.take()
}

// advance fires the deadlines up to an instant.
func (c *customer) advance(at int64) {
	for c.w.model.Advance(&c.state, c.user, instant.Instant(at), instant.Instant(at), &c.out) {
		c.take()
	}
	c.take()
}

// finish fires what is due at the end.
func (c *customer) finish() {
	c.w.model.Finish(&c.state, c.user, instant.Instant(c.w.end), &c.out)
	c.take()
}

func (c *customer) take() {
	for i := range c.out.Records {
		r := &c.out.Records[i]
		if c.w.keepRecords && (r.Kind == record.Assignment || r.Kind == record.Conversion) {
			c.records = append(c.records, *r)
		}
		if r.Kind == record.Assignment {
			c.assigned(r)
		}
	}
	c.out.Reset()
}

// assigned draws, for each goal that is set, whether the customer will reach it, and has
// messages sent unless it is in the holdout.
func (c *customer) assigned(r *record.Record) {
	number, ok := c.w.campaignNumber[r.Campaign]
	if !ok {
		return
	}
	ca := &c.w.campaigns[number]
	if ca.effect == nil {
		return
	}
	at := int64(r.EffectiveAt)
	variant := -1
	for i := range ca.variants {
		if !r.Holdout && ca.variants[i].name == r.Variant {
			variant = i
		}
	}
	// One draw for all goals and rounds: who would have done the lesser without a message
	// does it with one, too, and the message makes the difference for those in between.
	e := c.enrolments[number]
	if e == nil {
		e = &enrolment{cell: ca.effect.cellOf(func(segment string) bool { return wasIn(r, segment) }), u: c.Float64()}
		c.enrolments[number] = e
	}

	sent := at + int64(c.w.settings.Lateness/time.Millisecond) + c.between(5*minute, 90*minute)
	persuaded, first, after := false, never, sent+hour
	for i := range ca.goals {
		g := &ca.goals[i]
		if g.effect == nil {
			continue
		}
		within := int64(g.within / time.Millisecond)
		reached := e.u < c.w.probability(ca, g, e.cell, r.Variant)
		c.gates = append(c.gates, gate{act: g.effect.act, until: at + within, once: g.effect.once})
		if reached {
			x := c.Float64()
			promise := after + int64(x*x*float64(at+within-hour-after))
			c.later(promise, 0, noKind, uint32(g.effect.act))
			after = promise + 10*minute
			first = min(first, promise)
			persuaded = persuaded || e.u >= c.w.probability(ca, g, e.cell, "")
		}
		if at+within < c.w.end {
			c.count(r, tallyKey{campaign: int16(number), goal: int16(i), cell: int16(e.cell), variant: int16(variant)}, reached)
		}
	}
	if variant >= 0 {
		c.expose(number, variant, sent, persuaded, first)
	}
}

// enrolment is a customer in a campaign: what was drawn at the first assignment holds for
// all rounds. So the probability that a customer reaches the goal in any of them is that of
// one, however many there are.
type enrolment struct {
	cell    int
	u       float64
	counted []tallyKey // with rounds: a customer counts once in each segment
}

// count counts an assignment whose window closes before the end, under each segment.
func (c *customer) count(r *record.Record, k tallyKey, reached bool) {
	one := func(segment string) {
		k.segment = segment
		if c.w.campaigns[k.campaign].rounds {
			e := c.enrolments[int(k.campaign)]
			if slices.Contains(e.counted, k) {
				return
			}
			e.counted = append(e.counted, k)
		}
		c.tally.count(k, reached)
	}
	one("")
	for _, s := range r.Segments {
		one(s)
	}
	for _, s := range r.Stages {
		one(s.Model + "=" + s.Stage)
	}
}

// wasIn reports whether an assignment names a segment, or a stage as model=stage.
func wasIn(r *record.Record, segment string) bool {
	for _, s := range r.Segments {
		if s == segment {
			return true
		}
	}
	for _, s := range r.Stages {
		if n := len(s.Model); len(segment) > n && segment[n] == '=' && segment[:n] == s.Model && segment[n+1:] == s.Stage {
			return true
		}
	}
	return false
}

// channelKinds are the messages of a channel: delivered, opened (noKind if that cannot be
// told), clicked.
func channelKinds(channel string) (delivered, opened, clicked kind) {
	switch channel {
	case "push":
		return pushDelivered, noKind, pushClicked
	case "sms":
		return smsDelivered, noKind, smsClicked
	case "in_app":
		return inAppShown, noKind, inAppClicked
	case "web_push":
		return webPushDelivered, noKind, webPushClicked
	default:
		return emailDelivered, emailOpened, emailClicked
	}
}

// expose plans what is sent to a customer, and how it answers. Whoever is persuaded has read
// it; at first it does what the campaign asks for, never if it does not.
func (c *customer) expose(number, variant int, at int64, persuaded bool, first int64) {
	ca := &c.w.campaigns[number]
	delivered, opened, clicked := channelKinds(ca.variants[variant].channel)
	arg := uint32(number<<8 | variant)
	if !persuaded && c.chance(0.03) {
		if delivered == emailDelivered {
			c.later(at, c.Uint64(), emailBounced, arg)
		}
		return
	}
	c.later(at, c.Uint64(), delivered, arg)
	reads := persuaded || c.chance(0.4)
	if opened == emailOpened {
		if c.chance(0.2) { // by the mail programme, on arrival
			c.planned.push(message{at: at + c.between(second, 20*second), seed: c.Uint64(), kind: opened, arg: arg, flags: machine})
		}
		if reads {
			c.later(at+c.between(minute, 40*minute), c.Uint64(), opened, arg)
		}
		if c.chance(0.003) {
			c.later(at+c.between(40*minute, 50*minute), c.Uint64(), unsubscribed, arg)
		}
	}
	switch {
	case persuaded:
		c.later(first-c.between(second, 20*second), c.Uint64(), clicked, arg)
	case reads && c.chance(0.12):
		// A click leads to a visit, so that it needs one that may be.
		click := at + c.between(40*minute, 55*minute)
		probe := message{kind: page, at: click + 10*second}
		if c.allowed(&probe) {
			c.later(click, c.Uint64(), clicked, arg)
			c.visitAt = min(c.visitAt, click+10*second)
		}
	}
}
