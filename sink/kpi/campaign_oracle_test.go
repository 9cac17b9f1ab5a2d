// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"time"

	"lapwing/schemas/decimal"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/sink/sinktest"
)

// campaignOracle computes the campaign KPIs from a history by the words of their
// definition, one customer at a time.
type campaignOracle struct {
	h *sinktest.CampaignHistory
	// assigned, by campaign and customer, and the record that counts of each conversion,
	// by campaign, goal and customer, then by the instant of the assignment.
	assigned map[string]map[string][]*record.Record
	counts   map[string]map[instant.Instant]*record.Record
	touches  map[string][]touch // by customer
	// attributed is the revenue by last touch, by campaign and event; attribution counts it.
	attributed map[[2]string]*big.Rat
}

type touch struct {
	at instant.Instant
	record.Exposure
}

func newCampaignOracle(h *sinktest.CampaignHistory) *campaignOracle {
	o := &campaignOracle{h: h, assigned: map[string]map[string][]*record.Record{}, counts: map[string]map[instant.Instant]*record.Record{}, touches: map[string][]touch{}}
	for i := range h.Records {
		r := &h.Records[i]
		if r.Kind == record.Assignment {
			if o.assigned[r.Campaign] == nil {
				o.assigned[r.Campaign] = map[string][]*record.Record{}
			}
			o.assigned[r.Campaign][r.CustomerID] = append(o.assigned[r.Campaign][r.CustomerID], r)
			continue
		}
		k := r.Campaign + "/" + r.Goal + "/" + r.CustomerID
		if o.counts[k] == nil {
			o.counts[k] = map[instant.Instant]*record.Record{}
		}
		if former := o.counts[k][r.AssignedAt]; former == nil || former.Sequence < r.Sequence {
			o.counts[k][r.AssignedAt] = r
		}
	}
	for i := range h.Activity {
		for _, e := range h.Activity[i].Exposures {
			o.touches[h.Activity[i].CustomerID] = append(o.touches[h.Activity[i].CustomerID], touch{h.Activity[i].EventTime, e})
		}
	}
	return o
}

// worth is money in the definition's currency at the rate of the instant's local day.
func (o *campaignOracle) worth(value decimal.Decimal, currency string, at instant.Instant) (*big.Rat, bool) {
	exact := big.NewRat(int64(value), decimal.Scale)
	if currency == "" || currency == "EUR" {
		return exact, true
	}
	for _, r := range o.h.Rates {
		if r.Currency == currency && r.Day == at.Time().In(o.h.Zone).Format(time.DateOnly) {
			rate, _ := new(big.Rat).SetString(r.Rate)
			return halfEven(exact.Mul(exact, rate)), true
		}
	}
	return new(big.Rat), false
}

// halfEven rounds to 4 places.
func halfEven(r *big.Rat) *big.Rat {
	scaled := new(big.Rat).Mul(r, big.NewRat(10_000, 1))
	whole, rest := new(big.Int).DivMod(scaled.Num(), scaled.Denom(), new(big.Int))
	switch twice := rest.Lsh(rest, 1).Cmp(scaled.Denom()); {
	case twice > 0, twice == 0 && whole.Bit(0) == 1:
		whole.Add(whole, big.NewInt(1))
	}
	return new(big.Rat).SetFrac(whole, big.NewInt(10_000))
}

// group is a row's key.
type group struct{ campaign, goal, by, model, target string }

// arm is what was counted of one arm of a group.
type arm struct {
	variant                                   string
	holdout                                   bool
	assigned, converted, open                 float64
	comparable, former                        float64
	conversions, unrated, orders              int
	sum, squares, cubes                       *big.Rat
	valued                                    float64 // customers whose value is not 0
	exposed, reached, opened, machine, clicks int
	took                                      []float64 // days
}

// groups counts every goal of every campaign by arm, over the rounds that keep lets
// through: a customer's rounds of one group count as one customer. If they are to be
// compared, those first assigned when the shares were others are left out, and counted so.
func (o *campaignOracle) groups(toCompare bool, of func(a *record.Record) [][3]string) map[group][]*arm {
	all := map[group][]*arm{}
	for ci := range o.h.Campaigns {
		c := &o.h.Campaigns[ci]
		for gi := range c.Goals {
			g := &c.Goals[gi]
			for customer, rounds := range o.assigned[c.Name] {
				members := map[[3]string][]*record.Record{}
				for _, a := range rounds {
					for _, m := range of(a) {
						members[m] = append(members[m], a)
					}
				}
				for m, mine := range members {
					k := group{c.Name, g.Name, m[0], m[1], m[2]}
					at := slices.IndexFunc(all[k], func(x *arm) bool { return x.variant == mine[0].Variant && x.holdout == mine[0].Holdout })
					if at < 0 {
						at = len(all[k])
						all[k] = append(all[k], &arm{variant: mine[0].Variant, holdout: mine[0].Holdout, sum: new(big.Rat), squares: new(big.Rat), cubes: new(big.Rat)})
					}
					x := all[k][at]
					switch former := o.former(c, rounds); {
					case !former:
						x.comparable++
						o.count(x, c, g, customer, mine)
					case toCompare:
						x.former++
					default:
						o.count(x, c, g, customer, mine)
					}
				}
			}
		}
	}
	for _, arms := range all {
		slices.SortFunc(arms, func(a, b *arm) int { return cmp.Compare(a.variant, b.variant) })
	}
	return all
}

// former tells whether a customer's first round was in version 1 of the definition, and
// the campaign had other shares there.
func (o *campaignOracle) former(c *sinktest.Campaign, rounds []*record.Record) bool {
	shares := func(c *sinktest.Campaign) string {
		text := fmt.Sprint(c.Holdout)
		for _, v := range c.Variants {
			text += fmt.Sprint(";", v.Name, v.Share)
		}
		return text
	}
	return slices.ContainsFunc(o.h.Former, func(f sinktest.Campaign) bool { return f.Name == c.Name && shares(&f) != shares(c) }) &&
		slices.ContainsFunc(rounds, func(a *record.Record) bool { return a.Round == 1 && a.DefinitionVersion == 1 })
}

func (o *campaignOracle) count(x *arm, c *sinktest.Campaign, g *sinktest.Goal, customer string, rounds []*record.Record) {
	closed, converted := false, false
	var seen [5]bool
	own := new(big.Rat)
	for _, a := range rounds {
		if a.EffectiveAt.Add(g.Within()) > o.h.Clock {
			continue
		}
		closed = true
		for _, t := range o.touches[customer] {
			if t.Campaign != c.Name || t.at < a.EffectiveAt {
				continue
			}
			for i, yes := range []bool{
				true, t.Step == "delivered" || t.Step == "opened" || t.Step == "clicked",
				t.Step == "opened" && !t.Machine, t.Step == "opened" && t.Machine, t.Step == "clicked" && !t.Machine,
			} {
				seen[i] = seen[i] || yes
			}
		}
		v := o.counts[c.Name+"/"+g.Name+"/"+customer][a.EffectiveAt]
		if v == nil {
			continue
		}
		converted = true
		x.conversions++
		x.took = append(x.took, float64(v.EffectiveAt-v.AssignedAt)/86_400_000)
		if v.HasValue {
			money, ok := o.worth(v.Value, v.Currency, v.EffectiveAt)
			if ok {
				x.orders += int(v.Occurrences)
			}
			if !ok || v.Unpriced > 0 {
				x.unrated++
			}
			own.Add(own, money)
		}
	}
	one := map[bool]float64{true: 1}
	x.assigned += one[closed]
	x.open += one[!closed]
	x.converted += one[converted]
	for i, n := range []*int{&x.exposed, &x.reached, &x.opened, &x.machine, &x.clicks} {
		if seen[i] {
			*n++
		}
	}
	x.sum.Add(x.sum, own)
	x.valued += one[own.Sign() != 0]
	square := new(big.Rat).Mul(own, own)
	x.squares.Add(x.squares, square)
	x.cubes.Add(x.cubes, square.Mul(square, own))
}

// held are the targeted segments of an assignment.
func held(a *record.Record) [][3]string {
	all := [][3]string{{"everyone", "", ""}}
	for _, s := range a.Stages {
		all = append(all, [3]string{"stage", s.Model, s.Stage})
	}
	for _, s := range a.Segments {
		all = append(all, [3]string{"segment", "", s})
	}
	return all
}

func (o *campaignOracle) goal(k group) (*sinktest.Campaign, *sinktest.Goal) {
	for i := range o.h.Campaigns {
		for j := range o.h.Campaigns[i].Goals {
			if c, g := &o.h.Campaigns[i], &o.h.Campaigns[i].Goals[j]; c.Name == k.campaign && g.Name == k.goal {
				return c, g
			}
		}
	}
	panic(fmt.Sprintf("no goal %v", k))
}

// together adds up arms.
func together(arms []*arm) *arm {
	all := &arm{sum: new(big.Rat), squares: new(big.Rat), cubes: new(big.Rat)}
	for _, a := range arms {
		all.assigned += a.assigned
		all.former += a.former
		all.converted += a.converted
		all.conversions += a.conversions
		all.unrated += a.unrated
		all.orders += a.orders
		all.sum.Add(all.sum, a.sum)
		all.squares.Add(all.squares, a.squares)
		all.cubes.Add(all.cubes, a.cubes)
		all.valued += a.valued
	}
	return all
}

// sides are two things compared.
type sides struct {
	variant, factor, level string
	treated, against       *arm
}

// compared are the comparisons of one group: each variant and, if there are several, all
// together with the holdout, and each level of each factor with the other levels.
func (o *campaignOracle) compared(k group, arms []*arm) (holdout, factors []sides) {
	c, _ := o.goal(k)
	var treated, out []*arm
	for _, a := range arms {
		if a.holdout {
			out = append(out, a)
		} else {
			treated = append(treated, a)
		}
	}
	for _, a := range treated {
		if a.variant == "" && len(treated) > 1 {
			continue // in all together alone
		}
		holdout = append(holdout, sides{variant: a.variant, treated: a, against: together(out)})
	}
	if len(treated) > 1 {
		holdout = append(holdout, sides{treated: together(treated), against: together(out)})
	}
	levels := map[[2]string]bool{}
	has := map[[3]string]bool{}
	for _, v := range c.Variants {
		for _, p := range v.Properties {
			levels[[2]string{p.Name, p.Value}] = true
			has[[3]string{v.Name, p.Name, p.Value}] = true
		}
	}
	for l := range levels {
		var with, without []*arm
		for _, a := range treated {
			switch {
			case has[[3]string{a.variant, l[0], l[1]}]:
				with = append(with, a)
			default:
				for other := range levels {
					if other[0] == l[0] && has[[3]string{a.variant, other[0], other[1]}] {
						without = append(without, a)
					}
				}
			}
		}
		factors = append(factors, sides{factor: l[0], level: l[1], treated: together(with), against: together(without)})
	}
	return holdout, factors
}

// ratioOf is the campaign's sample-ratio p, and whether it can be told.
func (o *campaignOracle) ratioOf(campaign string, groups map[group][]*arm) (float64, bool) {
	for i := range o.h.Campaigns {
		c := &o.h.Campaigns[i]
		if c.Name != campaign {
			continue
		}
		counts, shares := map[string]float64{}, map[string]float64{}
		for _, a := range groups[group{campaign, c.Goals[0].Name, "everyone", "", ""}] {
			counts[a.variant] += a.comparable
		}
		if c.Holdout > 0 {
			shares[""] = c.Holdout
		}
		for _, v := range c.Variants {
			shares[v.Name] = v.Share
		}
		return sampleRatio(counts, shares)
	}
	return 0, false
}

func keys(m map[group][]*arm) []group {
	return slices.SortedFunc(maps.Keys(m), func(a, b group) int {
		return cmp.Or(cmp.Compare(a.campaign, b.campaign), cmp.Compare(a.goal, b.goal), cmp.Compare(a.by, b.by), cmp.Compare(a.model, b.model), cmp.Compare(a.target, b.target))
	})
}
