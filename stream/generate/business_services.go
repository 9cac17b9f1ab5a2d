// SPDX-License-Identifier: Apache-2.0

package generate

func travel() *business {
	return &business{
		preset: "travel",
		tastes: [tastes]string{"rome", "lisbon", "kyoto", "oslo", "cusco", "malta", "crete", "bali"},
		pages:  []string{"Home", "Places", "Place", "Booking"}, features: []string{"map"}, places: true,
		orderMedian: 640, fee: 999,
		visits: 0.08, shape: 0.6, stopsA: 1, stopsB: 12, sleepDays: 200, mornings: 0.1,
		arrive:  func(*customer) {},
		visit:   travellerVisit,
		perform: travellerAct,
		follow: func(c *customer, m *message) {
			c.regret(m)
			if m.kind == favoured {
				c.favourites++
			}
		},
		effects: []effect{
			{
				campaign: "postcards", channel: "email",
				goals: []goalEffect{{goal: "came_back", act: visiting, base: 0.08, lift: map[string]float64{"beach": 0.05, "city": 0.03}}},
			},
			{
				campaign: "deals", channel: "email",
				goals: []goalEffect{{goal: "booked_deal", act: dealing, base: 0.04, lift: map[string]float64{"deal": 0.05}, once: true}},
				cells: []cell{{segment: "planning", base: 2, lift: 1.6}},
			},
			{
				campaign: "reviews", channel: "push",
				goals: []goalEffect{{goal: "reviewed", act: reviewing, base: 0.06, lift: map[string]float64{"ask": 0.06}}},
				cells: []cell{{segment: "loyalty_members", base: 1.3, lift: 1.5}},
			},
			{
				campaign: "points", channel: "in_app",
				goals: []goalEffect{{goal: "booked_with_points", act: redeeming, base: 0.08, lift: map[string]float64{"balance": 0}}},
			},
		},
	}
}

func travellerVisit(c *customer) {
	c.view()
	if c.chance(0.5) {
		c.then(searched, 0, 0)
	}
	for range c.failures(1.5) {
		seen := c.then(productViewed, 0, 0)
		if c.chance(0.06) {
			c.about(seen, favoured, 0, 0)
		}
	}
	for range c.failures(0.5) {
		c.then(articleRead, 0, 0)
	}
	if c.favourites > 0 && c.chance(0.02) {
		c.then(unfavoured, 0, 0)
		c.favourites--
	}
	if c.chance(0.05) {
		var f flags
		if c.orders > 0 && c.chance(0.3) {
			f = points
		}
		c.then(checkout, 0, 0)
		c.buy(c.Uint64(), f)
	}
	if c.orders > 0 && c.chance(0.06) {
		c.then(reviewed, 0, 0)
	}
	if c.orders > 0 && c.chance(0.03) {
		c.then(pointsRedeemed, 0, 0)
	}
}

func travellerAct(c *customer, a act) {
	switch a {
	case visiting:
		c.viewAs(promised)
		travellerVisit(c)
	case dealing:
		c.view()
		c.then(productViewed, 0, 0)
		c.buy(c.Uint64(), promised|deal)
	case redeeming:
		c.view()
		c.buy(c.Uint64(), promised|points)
	case reviewing:
		c.view()
		c.then(reviewed, 0, promised)
	default:
	}
}

func finance() *business {
	return &business{
		preset: "finance",
		tastes: [tastes]string{"savings", "shares", "funds", "bonds", "cards", "loans", "pension", "crypto"},
		pages:  []string{"Overview", "Accounts", "Transfer", "Invest"},
		// The first three are advanced.
		features:    []string{"budget", "recurring_order", "analysis", "transfer", "search"},
		orderMedian: 180, fee: 999,
		visits: 0.16, shape: 0.6, stopsA: 1, stopsB: 16, sleepDays: 150, mornings: 0.25,
		arrive: func(c *customer) {
			if c.chance(0.5) {
				c.then(bankLinked, 0, 0)
			}
		},
		visit:   savers,
		perform: saverAct,
		follow: func(c *customer, m *message) {
			switch m.kind {
			case bankLinked:
				c.linked = true
			case bankUnlinked:
				c.linked = false
			case inviteSent:
				if c.chance(0.3) {
					c.later(m.at+c.between(hour, 10*day), c.Uint64(), inviteAccepted, m.arg)
				}
			default:
			}
		},
		effects: []effect{
			{
				campaign: "wake-up", channel: "email",
				goals: []goalEffect{{goal: "came_back", act: visiting, base: 0.10, lift: map[string]float64{"news": 0.05}}},
			},
			{
				campaign: "feature-tour", channel: "in_app",
				goals: []goalEffect{{goal: "used_feature", act: using, base: 0.20, lift: map[string]float64{"budget": 0.06, "analysis": 0.03}}},
				cells: []cell{{segment: "bank_linked", base: 1.2, lift: 1.5}},
			},
			{
				campaign: "offer", channel: "push",
				goals: []goalEffect{{goal: "accepted", act: accepting, base: 0.04, lift: map[string]float64{"bonus": 0.06}}},
			},
			{
				campaign: "link-account", channel: "email",
				goals: []goalEffect{{goal: "linked", act: linking, base: 0.06, lift: map[string]float64{"how": 0.08, "why": 0}}},
			},
		},
	}
}

func savers(c *customer) {
	c.view()
	for range c.failures(1.5) {
		c.then(featureUsed, uint32(c.IntN(5)), 0)
	}
	if c.known && c.chance(0.15) {
		c.then(deposited, 0, 0)
	}
	switch {
	case !c.known:
	case c.linked && c.chance(0.003):
		c.then(bankUnlinked, 0, 0)
	case !c.linked && c.chance(0.02):
		c.then(bankLinked, 0, 0)
	case c.chance(0.01):
		c.invites++
		c.then(inviteSent, c.number<<8|c.invites&0xff, 0)
	}
}

func saverAct(c *customer, a act) {
	switch a {
	case visiting:
		c.viewAs(promised)
		savers(c)
	case using:
		c.view()
		c.then(featureUsed, uint32(c.IntN(3)), promised)
	case accepting:
		c.view()
		c.then(offerAccepted, 0, promised)
	case linking:
		c.view()
		c.then(bankLinked, 0, promised)
	default:
	}
}
