// SPDX-License-Identifier: Apache-2.0

package generate

import (
	"math"

	"lapwing/schemas/event"
	"lapwing/schemas/record"
	"lapwing/stream/lifecycle"
)

const (
	second = int64(1000)
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
	never  = int64(math.MaxInt64)
)

// customer is one customer's life under way. It is reused for the next one and belongs to
// one goroutine.
type customer struct {
	w *World
	*random
	persona
	number uint32

	known   bool // has signed up
	shy     bool // never will
	morning bool
	rate    float64 // visits a day
	stops   float64 // probability to stop coming, after each visit

	last    int64 // event time of the last message
	cursor  int64 // of what is being planned
	device  flags // of the visit under way
	visitAt int64 // the next visit
	planned plan
	gates   []gate

	enrolments map[int]*enrolment // by campaign

	// What the scripts remember.
	visitsMade int
	orders     uint32
	orderSeed  uint64
	invites    uint32
	member     bool
	hasTrial   bool
	subscribed bool
	linked     bool
	learned    bool
	favourites int

	state   lifecycle.State
	out     lifecycle.Output
	decoder *event.Decoder
	decoded event.Message
	line    []byte

	emitted []message
	records []record.Record // of campaigns, if they are asked for
	tally   tally
}

// gate keeps one goal as the experiment drew it: inside its window the act is done when it
// was promised, and otherwise not.
type gate struct {
	act   act
	until int64 // the last instant of the window
	done  bool  // what was promised has come
	once  bool  // and nothing more shall
}

// live plays the customer's whole life, and leaves its messages in c.emitted by event time.
func (c *customer) live(number uint32) {
	c.begin(number)
	for {
		next := min(c.planned.next(), c.visitAt)
		if due := int64(c.w.model.Due(&c.state)); c.known && due >= 0 && due <= next && due < c.w.end {
			c.advance(due)
			continue
		}
		if next >= c.w.end {
			return
		}
		if c.planned.next() <= c.visitAt {
			c.come(c.planned.pop())
			continue
		}
		c.visit(next)
	}
}

// begin makes c another customer, at its first visit.
func (c *customer) begin(number uint32) {
	b := c.w.business
	*c = customer{
		w: c.w, random: c.random, number: number, planned: c.planned[:0], gates: c.gates[:0],
		enrolments: c.enrolments, decoder: c.decoder, line: c.line, emitted: c.emitted[:0], records: c.records[:0], tally: c.tally, out: c.out,
	}
	clear(c.enrolments)
	c.random.begin(c.w.settings.Seed, uint64(number))
	c.persona = c.w.persona(number)
	c.morning = c.chance(b.mornings)
	c.rate = b.visits / b.shape * c.gamma(b.shape, 1)
	c.stops = c.beta(b.stopsA, b.stopsB)
	length := c.w.end - c.w.start
	if c.chance(0.6) { // from before; seen again at some time in the first fifth
		c.visitAt = c.w.start + c.Int64N(length/5)
		c.signUp(c.visitAt, false)
	} else {
		c.visitAt = c.w.start + c.Int64N(length)
		c.shy = c.chance(0.25)
	}
}

// signUp makes the customer known, at an instant from which on messages have its userId.
func (c *customer) signUp(at int64, fresh bool) {
	if c.shy {
		return
	}
	c.cursor = at - 2*second
	if fresh {
		c.introduce()
	} else {
		c.then(identify, 0, 0)
	}
	c.w.business.arrive(c)
}

// introduce plans that a stranger signs up, some because another one invited them.
func (c *customer) introduce() {
	by := uint32(0)
	if c.chance(0.15) {
		by = 1 + uint32(c.IntN(c.w.settings.Customers))
	}
	c.then(signedUp, by, 0)
	c.then(identify, 0, 0)
}

// visit begins one, unless the experiment has the customer stay away.
func (c *customer) visit(at int64) {
	c.visitAt = c.nextVisit(at)
	c.cursor, c.device = at, c.chooseDevice()
	probe := message{kind: page, at: at}
	if !c.allowed(&probe) {
		return
	}
	c.visitsMade++
	if !c.known && !c.shy && c.chance(0.4) {
		c.signUp(at+minute, true)
		c.cursor = at
	}
	c.w.business.visit(c)
}

// nextVisit is when the customer comes after a visit at an instant: after an exponential
// pause, or a long sleep, and then at an hour that it likes.
func (c *customer) nextVisit(at int64) int64 {
	pause := c.ExpFloat64() / c.rate
	if c.chance(c.stops) {
		pause = c.ExpFloat64() * c.w.business.sleepDays
	}
	if pause > 36500 {
		return never
	}
	next := at + 31*minute + int64(pause*float64(day))
	hours := c.between(9, 22)
	if c.morning {
		hours = c.between(6, 9)
	}
	if liked := next - next%day + hours*hour + c.Int64N(hour); liked > at+31*minute {
		return liked
	}
	return next
}

func (c *customer) chooseDevice() flags {
	switch {
	case c.chance(c.app):
		return onApp
	case c.phone:
		return onPhone
	}
	return 0
}

// then plans the next message of a visit, some seconds after the one before; its seed is
// returned for a message about the same thing.
func (c *customer) then(k kind, arg uint32, f flags) uint64 {
	return c.about(c.Uint64(), k, arg, f)
}

// about is then, with the seed of the thing it is about.
func (c *customer) about(seed uint64, k kind, arg uint32, f flags) uint64 {
	c.cursor += c.between(2*second, 90*second)
	c.planned.push(message{at: c.cursor, seed: seed, kind: k, arg: arg, flags: f | c.device})
	return seed
}

// later plans a message for an instant.
func (c *customer) later(at int64, seed uint64, k kind, arg uint32) {
	c.planned.push(message{at: at, seed: seed, kind: k, arg: arg})
}

// view is a page on the site, a screen of the app.
func (c *customer) view() { c.viewAs(0) }

func (c *customer) viewAs(f flags) {
	if c.device&onApp != 0 {
		c.then(screen, 0, f)
	} else {
		c.then(page, 0, f)
	}
}

// come sends a planned message, or begins what was promised.
func (c *customer) come(m message) {
	if m.kind == noKind {
		c.cursor, c.device = m.at, c.chooseDevice()
		c.w.business.perform(c, act(m.arg))
		return
	}
	m.at = max(m.at, c.last+1)
	if m.at >= c.w.end || !c.allowed(&m) {
		return
	}
	c.last = m.at
	m.customer = c.number
	if m.kind == identify {
		c.known = true
	}
	if !c.known {
		m.flags |= anonymous
	}
	c.send(&m)
	if c.known {
		c.fold(&m)
	}
	c.w.business.follow(c, &m)
}

// allowed reports whether the open experiments let the message through.
func (c *customer) allowed(m *message) bool {
	kept := c.gates[:0]
	allowed := true
	for _, g := range c.gates {
		if g.until < m.at {
			continue
		}
		if g.act.does(m) {
			switch {
			case m.flags&promised != 0:
				g.done = true
			case !g.done || g.once:
				allowed = false
			}
		}
		kept = append(kept, g)
	}
	c.gates = kept
	return allowed
}

// send puts the message out, sometimes late, twice, or with a broken one beside it.
func (c *customer) send(m *message) {
	s := &c.w.settings
	m.arrival = m.at
	late := int64(s.Lateness / 1e6)
	if late > 0 && c.chance(s.Late) {
		m.arrival += c.Int64N(late)
	}
	c.emitted = append(c.emitted, *m)
	if c.chance(s.Duplicates) {
		again := *m
		again.arrival = c.between(m.arrival, m.at+max(late, minute))
		c.emitted = append(c.emitted, again)
	}
	if c.chance(s.Bad) {
		wrong := *m
		wrong.flags |= bad
		c.emitted = append(c.emitted, wrong)
	}
}
