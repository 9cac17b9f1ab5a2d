// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"fmt"
	"strconv"
)

// campaign adds a campaign that reads what is there already. Holdouts and variants have
// shares that the few customers of the samples fall into by their buckets.
func (s *sampler) campaign(d *sampleDefinition) {
	c := sampleCampaign{name: fmt.Sprintf("c%d", len(d.campaigns))}
	field := func(format string, args ...any) { c.fields = append(c.fields, fmt.Sprintf(format, args...)) }
	variant := "a"
	if s.chance(75) {
		audience := s.condition(1)
		if s.chance(60) {
			audience = pick(s, "seen", "seen", "idle") + "(" + s.event() + ", '" + pick(s, "59m", "1h", "2h", "6h", "24h") + "')"
		}
		field("audience: %s", strconv.Quote(audience))
		s.arms(field)
		if s.chance(15) {
			field("consent: email")
		}
		if s.chance(25) && len(d.campaigns) > 0 {
			field("exclude: [%s]", d.campaigns[s.IntN(len(d.campaigns))].name)
		}
	} else {
		variant = pick(s, "web", "app", "5")
		where := ""
		if s.chance(50) {
			where = ", where: " + strconv.Quote(s.where())
		}
		field("assigned: {match: %s%s, variant: properties.channel%s}", pick(s, "Clicked", "Order Completed", "[Clicked, Order Refunded]", "{type: page}", "{type: identify}"),
			where, pick(s, "", ", holdout: properties.control", ", holdout: properties.control"))
	}
	if s.chance(70) {
		field("every: %s", pick(s, "59m", "1h", "1h", "2h", "6h", "36h"))
		if s.chance(25) {
			field("max: %d", 1+s.IntN(3))
		}
	}
	if s.chance(20) {
		field("start: %s", pick(s, "2026-03-29", "2026-03-28T12:00:00Z", "2026-03-30T01:45:00Z"))
	}
	if s.chance(20) {
		field("end: %s", pick(s, "2026-03-30T12:00:00Z", "2026-03-31", "2026-04-02"))
	}
	var reached []string // by those behind it
	for i := range 1 + s.IntN(3) {
		within := "within: " + pick(s, sampleWindows...)
		goal := fmt.Sprintf("{name: g%d, %s, ", i, within)
		switch event := pick(s, s.events...); {
		case s.chance(35):
			goal += "when: " + strconv.Quote(s.condition(1))
		case s.chance(50):
			goal += "event: " + pick(s, s.amounts...) + ", value: total"
			if s.chance(25) {
				goal += ", baseline: true"
			}
		case s.chance(40):
			goal += "event: " + pick(s, s.amounts...) + ", value: first"
		default:
			goal += "event: " + event
			if s.chance(20) {
				goal += ", baseline: true"
			}
		}
		c.goals = append(c.goals, goal+"}")
		reached = append(reached, fmt.Sprintf("converted('%s', 'g%d')", c.name, i))
	}
	s.reached = append(s.reached, reached...)
	s.reached = append(s.reached, fmt.Sprintf("assigned('%s')", c.name), fmt.Sprintf("assigned('%s', '%s')", c.name, variant))
	d.campaigns = append(d.campaigns, c)
}

func (s *sampler) arms(field func(string, ...any)) {
	switch s.IntN(4) {
	case 0:
		field("variants: {a: 100%%}")
	case 1:
		field("holdout: 50%%")
		field("variants: {a: 50%%}")
	case 2:
		field("holdout: 10.25%%")
		field("variants: {b: {share: 39.75%%, length: short}, a: 50%%}")
	default:
		field("holdout: 30%%")
		field("variants: {a: 35%%, b: 35%%}")
		field("salt: %s", pick(s, "x", "y", "z"))
	}
}
