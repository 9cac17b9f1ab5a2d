// SPDX-License-Identifier: Apache-2.0

package generate

// buy plans an order; its items have been put into the cart with seed. A stranger signs up
// on the way.
func (c *customer) buy(seed uint64, f flags) {
	if !c.known {
		if c.shy {
			return
		}
		c.introduce()
	}
	c.orders++
	c.about(seed, order, c.orders, f)
}

// regret plans that an order is refunded or cancelled some days later: of one in
// twenty-five.
func (c *customer) regret(m *message) {
	if m.kind == order && c.chance(0.04) {
		k := refunded
		if c.chance(0.3) {
			k = cancelled
		}
		c.later(m.at+c.between(day, 10*day), m.seed, k, m.arg)
	}
}

// customerValue is visits and orders, nothing else.
func customerValue() *business {
	return &business{
		preset: "customer-value",
		tastes: [tastes]string{"rock", "jazz", "classical", "pop", "folk", "blues", "soul", "country"},
		pages:  []string{"Home", "Category", "Product", "Cart"}, features: []string{"player"},
		orderMedian: 28, fee: 999,
		visits: 0.09, shape: 0.8, stopsA: 1, stopsB: 12, sleepDays: 150, mornings: 0.2,
		arrive: func(*customer) {},
		visit: func(c *customer) {
			for range 1 + c.failures(1.2) {
				c.view()
			}
			if c.chance(0.25) {
				c.buy(c.Uint64(), 0)
			}
		},
		perform: func(c *customer, _ act) {
			c.view()
			c.buy(c.Uint64(), promised)
		},
		follow: (*customer).regret,
		effects: []effect{{
			campaign: "winback", channel: "email",
			goals: []goalEffect{{goal: "bought", act: buying, base: 0.06, lift: map[string]float64{"short": 0.04, "long": 0.02}, once: true}},
			cells: []cell{{segment: "big_spenders", base: 2, lift: 1.5}},
		}},
	}
}

func eCommerce() *business {
	return &business{
		preset: "e-commerce",
		tastes: [tastes]string{"shoes", "shirts", "coats", "bags", "toys", "books", "garden", "kitchen"},
		pages:  []string{"Home", "Category", "Product", "Cart", "Account"}, features: []string{"wishlist"},
		orderMedian: 55, fee: 999,
		visits: 0.08, shape: 0.7, stopsA: 1, stopsB: 12, sleepDays: 140, mornings: 0.15,
		arrive: func(c *customer) {
			if c.chance(0.3) {
				c.then(newsletter, 0, 0)
			}
		},
		visit:   shopVisit,
		perform: shopAct,
		follow: func(c *customer, m *message) {
			c.regret(m)
			switch m.kind {
			case order:
				c.orderSeed = m.seed
			case rewardsJoined:
				c.member = true
			case rewardsLeft:
				c.member = false
			case favoured:
				c.favourites++
			case unfavoured:
				c.favourites--
			case inviteSent:
				if c.chance(0.25) {
					c.later(m.at+c.between(hour, 10*day), c.Uint64(), inviteAccepted, m.arg)
				}
			default:
			}
		},
		effects: []effect{
			{
				campaign: "wake-up", channel: "email",
				goals: []goalEffect{{goal: "came_back", act: visiting, base: 0.08, lift: map[string]float64{"news": 0.05, "offer": 0.09}}},
				cells: []cell{{segment: "purchase_frequency=none", base: 0.7, lift: 0.6}},
			},
			{
				campaign: "second-look", channel: "push",
				goals: []goalEffect{{goal: "looked", act: viewing, base: 0.25, lift: map[string]float64{"picks": 0.07}}},
				cells: []cell{{segment: "uses_app", base: 1.2, lift: 1.3}},
			},
			{
				campaign: "cart-reminder",
				goals:    []goalEffect{{goal: "recovered", act: buying, base: 0.15, lift: map[string]float64{"mail": 0.06, "push": 0.09, "sms": 0.06}, once: true}},
				cells:    []cell{{segment: "order_value=high", base: 1.2, lift: 1.5}, {segment: "purchase_frequency=none", base: 0.6, lift: 0.5}},
			},
			{
				campaign: "favourites", channel: "in_app",
				goals: []goalEffect{{goal: "favoured", act: favouring, base: 0.10, lift: map[string]float64{"short_warm": 0.06, "short_plain": 0.04, "long_warm": 0.03, "long_plain": 0.01}}},
			},
			{
				campaign: "rewards", channel: "email",
				goals: []goalEffect{{goal: "joined", act: joining, base: 0.05, lift: map[string]float64{"points": 0.10}}},
				cells: []cell{{segment: "order_value=high", base: 1, lift: 1.6}},
			},
			// It changes nothing: an A/A test, as a check of the whole way.
			{
				campaign: "invite-a-friend", channel: "email",
				goals: []goalEffect{{goal: "invited", act: inviting, base: 0.05, lift: map[string]float64{"plain": 0}}},
			},
		},
	}
}

func shopVisit(c *customer) {
	c.view()
	switch {
	case c.chance(0.3):
		c.then(searched, 0, 0)
	case c.chance(0.4):
		c.then(listViewed, 0, 0)
	}
	var seen uint64
	for range c.failures(2) {
		seen = c.then(productViewed, 0, 0)
		if c.chance(0.04) {
			c.about(seen, favoured, 0, 0)
		}
	}
	if c.favourites > 0 && c.chance(0.02) {
		c.then(unfavoured, 0, 0)
	}
	switch {
	case seen == 0:
	case c.chance(0.28):
		c.about(seen, productAdded, 0, 0)
		switch x := c.Float64(); {
		case x < 0.08:
			c.about(seen, productRemoved, 0, 0)
		case x < 0.55:
			c.about(seen, checkout, 0, 0)
			if c.chance(0.8) {
				c.buy(seen, 0)
			}
		}
	}
	if c.orders > 0 && c.chance(0.03) {
		if c.member {
			if c.chance(0.1) {
				c.then(rewardsLeft, 0, 0)
			}
		} else {
			c.then(rewardsJoined, 0, 0)
		}
	}
	if c.known && c.chance(0.01) {
		c.invites++
		c.then(inviteSent, c.number<<8|c.invites&0xff, 0)
	}
}

func shopAct(c *customer, a act) {
	switch a {
	case visiting:
		c.viewAs(promised)
		shopVisit(c)
	case viewing:
		c.view()
		c.then(productViewed, 0, promised)
	case buying:
		c.view()
		seed := c.then(productViewed, 0, 0)
		c.about(seed, productAdded, 0, 0)
		c.about(seed, checkout, 0, 0)
		c.buy(seed, promised)
	case favouring:
		c.view()
		c.about(c.then(productViewed, 0, 0), favoured, 0, promised)
	case joining:
		c.view()
		c.then(rewardsJoined, 0, promised)
	case inviting:
		c.view()
		c.invites++
		c.then(inviteSent, c.number<<8|c.invites&0xff, promised)
	default:
	}
}
