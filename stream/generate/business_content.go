// SPDX-License-Identifier: Apache-2.0

package generate

func media() *business {
	return &business{
		preset: "media",
		tastes: [tastes]string{"politics", "sports", "culture", "science", "economy", "travel", "opinion", "local"},
		pages:  []string{"Front Page", "Section", "Article"}, features: []string{"newsletter"},
		orderMedian: 20, fee: 1299,
		visits: 0.14, shape: 0.6, stopsA: 1, stopsB: 14, sleepDays: 150, mornings: 0.4,
		arrive: func(c *customer) {
			if c.chance(0.25) {
				c.subscribed = true
				c.then(subscribed, 0, 0)
			}
		},
		visit:   readerVisit,
		perform: readerAct,
		follow:  subscriptionFollows(0.12),
		effects: []effect{
			{
				campaign: "come-back", channel: "email",
				goals: []goalEffect{{goal: "came_back", act: visiting, base: 0.10, lift: map[string]float64{"digest": 0.06}}},
				cells: []cell{{segment: "subscribers", base: 1.5, lift: 1.5}},
			},
			{
				campaign: "benefits", channel: "push",
				goals: []goalEffect{{goal: "used", act: benefiting, base: 0.08, lift: map[string]float64{"short": 0.04, "long": 0.02}}},
				cells: []cell{{segment: "subscribers", base: 1.5, lift: 1.5}},
			},
			{
				campaign: "trial-offer", channel: "email",
				goals: []goalEffect{{goal: "subscribed", act: subscribing, base: 0.18, lift: map[string]float64{"month": 0.08}}},
				cells: []cell{{segment: "morning_readers_on_trial", base: 1.5, lift: 1.5}},
			},
			{
				campaign: "win-back", channel: "email",
				goals: []goalEffect{{goal: "subscribed", act: subscribing, base: 0.07, lift: map[string]float64{"half_price": 0.08}}},
			},
		},
	}
}

func readerVisit(c *customer) {
	c.view()
	for range c.failures(2) {
		if c.chance(0.15) {
			c.then(videoStarted, 0, 0)
		} else {
			c.then(articleRead, 0, 0)
		}
	}
	if c.known && !c.subscribed && !c.hasTrial && c.chance(0.06) {
		c.hasTrial = true
		c.then(trialStarted, 0, 0)
	}
	if c.known && !c.subscribed && c.hasTrial && c.chance(0.02) {
		c.then(subscribed, 0, 0)
	}
	if c.subscribed && c.chance(0.05) {
		c.then(benefitUsed, 0, 0)
	}
}

func readerAct(c *customer, a act) {
	switch a {
	case visiting:
		c.viewAs(promised)
		readerVisit(c)
	case benefiting:
		c.view()
		c.then(benefitUsed, 0, promised)
	case subscribing:
		c.view()
		c.then(subscribed, 0, promised)
	default:
	}
}

// subscriptionFollows renews a subscription every 30 days, unless it ends: with this
// probability each time.
func subscriptionFollows(ends float64) func(*customer, *message) {
	return func(c *customer, m *message) {
		switch m.kind {
		case subscribed, renewed:
			c.subscribed, c.hasTrial = true, true // trials are for those who never were subscribers
			next := renewed
			if c.chance(ends) {
				next = subscriptionEnded
			}
			c.later(m.at+30*day, c.Uint64(), next, 0)
		case subscriptionEnded:
			c.subscribed = false
		case tutorialCompleted:
			c.learned = true
		case inviteSent:
			if c.chance(0.4) {
				c.later(m.at+c.between(hour, 5*day), c.Uint64(), inviteAccepted, m.arg)
			}
		default:
		}
	}
}

func onboarding() *business {
	return &business{
		preset: "saas-onboarding",
		tastes: [tastes]string{"sales", "support", "design", "finance", "legal", "people", "product", "research"},
		pages:  []string{"Dashboard", "Projects", "Reports", "Settings"}, features: []string{"import", "report", "invite", "export", "comment"},
		orderMedian: 20, fee: 2900,
		visits: 0.25, shape: 0.8, stopsA: 1, stopsB: 18, sleepDays: 60, mornings: 0.3,
		arrive: func(c *customer) {
			c.then(group, 0, 0)
			c.then(trialStarted, 0, 0)
			c.hasTrial = true
			if c.chance(0.7) {
				c.then(tutorialStarted, 0, 0)
			}
		},
		visit:   userVisit,
		perform: userAct,
		follow:  subscriptionFollows(0.06),
		effects: []effect{
			{
				campaign: "tutorial", channel: "in_app",
				goals: []goalEffect{{goal: "completed", act: learning, base: 0.30, lift: map[string]float64{"video": 0.12, "text": 0.06}}},
			},
			{
				campaign: "trial-ends", channel: "email",
				goals: []goalEffect{{goal: "paid", act: subscribing, base: 0.15, lift: map[string]float64{"reminder": 0.05}, once: true}},
				cells: []cell{{segment: "onboarding=activated", base: 2, lift: 2}, {segment: "onboarding=at_risk", base: 0.3, lift: 0.5}},
			},
			{
				campaign: "check-in", channel: "email",
				goals: []goalEffect{{goal: "used_again", act: visiting, base: 0.12, lift: map[string]float64{"person": 0.07, "product": 0}}},
			},
		},
	}
}

func userVisit(c *customer) {
	c.view()
	for range c.failures(2.5) {
		if c.chance(0.5) {
			c.view()
		} else {
			c.then(featureUsed, uint32(c.IntN(5)), 0)
		}
	}
	if c.known && !c.learned && c.chance(0.08) {
		c.then(tutorialCompleted, 0, 0)
	}
	if c.known && !c.subscribed && c.visitsMade > 3 && c.chance(0.02) {
		c.then(subscribed, 0, 0)
	}
	if c.known && c.chance(0.02) {
		c.invites++
		c.then(inviteSent, c.number<<8|c.invites&0xff, 0)
	}
}

func userAct(c *customer, a act) {
	switch a {
	case visiting:
		c.viewAs(promised)
		userVisit(c)
	case learning:
		c.view()
		c.then(tutorialCompleted, 0, promised)
	case subscribing:
		c.view()
		c.then(subscribed, 0, promised)
	default:
	}
}
