// SPDX-License-Identifier: Apache-2.0

package generate

import "slices"

// business is what the customers of a preset do.
type business struct {
	preset   string
	tastes   [tastes]string
	pages    []string
	features []string
	places   bool // products are at a place

	orderMedian float64 // of a usual customer, in units of the currency
	fee         int64   // of a subscription, in cents

	// Visits a day, of those who come: gamma with this mean and shape. After each visit a
	// customer stops coming for so many days on average, with a probability that is
	// beta(stopsA, stopsB).
	visits, shape  float64
	stopsA, stopsB float64
	sleepDays      float64
	mornings       float64 // share of customers who come in the morning

	// arrive plans what comes with the first identified message; visit what a visit
	// consists of; perform the visit in which an act is done; follow what comes later of
	// a message that was sent.
	arrive  func(c *customer)
	visit   func(c *customer)
	perform func(c *customer, a act)
	follow  func(c *customer, m *message)

	effects []effect
}

// businesses are the presets there is something to generate for.
func businesses() []*business {
	return []*business{customerValue(), eCommerce(), media(), travel(), finance(), onboarding()}
}

func businessOf(preset string) *business {
	all := businesses()
	if i := slices.IndexFunc(all, func(b *business) bool { return b.preset == preset }); i >= 0 {
		return all[i]
	}
	return nil
}

// act is something a goal asks for.
type act uint8

const (
	noAct act = iota
	visiting
	viewing
	buying
	dealing
	redeeming // an order paid with points
	favouring
	joining
	inviting
	benefiting
	subscribing
	reviewing
	using // a feature
	accepting
	linking
	learning // the tutorial
)

// does reports whether a message is the act.
func (a act) does(m *message) bool {
	switch a {
	case visiting:
		return !m.kind.passive()
	case viewing:
		return m.kind == productViewed
	case buying:
		return m.kind == order
	case dealing:
		return m.kind == order && m.flags&deal != 0
	case redeeming:
		return m.kind == order && m.flags&points != 0
	case favouring:
		return m.kind == favoured
	case joining:
		return m.kind == rewardsJoined
	case inviting:
		return m.kind == inviteSent
	case benefiting:
		return m.kind == benefitUsed
	case subscribing:
		return m.kind == subscribed
	case reviewing:
		return m.kind == reviewed
	case using:
		return m.kind == featureUsed
	case accepting:
		return m.kind == offerAccepted
	case linking:
		return m.kind == bankLinked
	case learning:
		return m.kind == tutorialCompleted
	case noAct:
	}
	return false
}

// effect is what a campaign changes: the truth.
type effect struct {
	campaign string
	channel  string // of its messages, where the variant names none
	goals    []goalEffect
	// Who differs: each targeted segment ("value=at_risk" for a stage) changes the
	// probabilities of the goals by a factor; the first that a customer was in counts.
	cells []cell
}

// goalEffect is one goal whose outcome is set. A goal that is not listed follows from what
// customers do.
type goalEffect struct {
	goal string
	act  act
	base float64            // the probability in the holdout
	lift map[string]float64 // by variant, added to base
	once bool               // done at most once in the window, so that sums are known, too
}

// cell are customers whom a campaign finds, and changes, otherwise than the rest.
type cell struct {
	segment    string
	base, lift float64 // factors
}

// probability that a customer of the cell reaches the goal; cells beyond the last are the
// rest, variant is empty in the holdout.
func (e *effect) probability(g *goalEffect, of int, variant string, strength float64) float64 {
	c := cell{base: 1, lift: 1}
	if of < len(e.cells) {
		c = e.cells[of]
	}
	return g.base*c.base + strength*g.lift[variant]*c.lift
}

// cellOf is the cell of who was in these stages and segments.
func (e *effect) cellOf(in func(segment string) bool) int {
	if i := slices.IndexFunc(e.cells, func(c cell) bool { return in(c.segment) }); i >= 0 {
		return i
	}
	return len(e.cells)
}
