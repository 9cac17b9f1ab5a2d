// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"testing"
	"time"

	"lapwing/schemas/decimal"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/sink/sinktest"
)

// variance is the unbiased one, from the exact sums.
func variance(n float64, sum, squares *big.Rat) float64 {
	if n < 2 {
		return 0
	}
	count := new(big.Rat).SetFloat64(n)
	v := new(big.Rat).Sub(squares, new(big.Rat).Quo(new(big.Rat).Mul(sum, sum), count))
	f, _ := v.Float64()
	return f / (n - 1)
}

// perOrder is the average order value.
func perOrder(a *arm) any {
	f, _ := a.sum.Float64()
	return over(f, float64(a.orders))
}

func mean(a *arm) float64 {
	f, _ := a.sum.Float64()
	return f / a.assigned
}

func (o *campaignOracle) means(t *testing.T, d *sinktest.Database) {
	all := o.groups(true, held)
	var revenue, rise []row
	tests, uneven := 0, 0
	families := map[string][]row{}
	for _, k := range keys(all) {
		c, g := o.goal(k)
		if g.Value == "" && !g.Baseline {
			continue
		}
		ratio, told := o.ratioOf(k.campaign, all)
		broken := told && ratio < 0.001
		open, out := 0.0, 0.0
		for _, a := range all[k] {
			open += a.open
			if a.holdout {
				out += a.assigned + a.open
			}
		}
		holdout, _ := o.compared(k, all[k])
		for _, s := range holdout {
			x, y := s.treated, s.against
			w := k.row(null(s.variant))
			w["assigned"], w["holdout_assigned"], w["open"], w["sample_ratio_p"] = x.assigned, y.assigned, open, orNil(told, ratio)
			w["former"] = x.former + y.former
			fine := x.assigned > 0 && y.assigned > 0 && !broken
			e, df, enough := welch(x, y)
			tested := fine && enough
			difference := mean(x) - mean(y)
			w["difference"] = orNil(fine, difference)
			for _, name := range []string{"difference_low", "difference_high", "always_valid_p", "always_valid_low", "always_valid_high", "p_value", "always_valid_p_holm", "p_value_holm", "minimum_detectable_effect"} {
				w[name] = nil
			}
			if tested {
				tests++
				point := studentPoint(df)
				if even(x, y) {
					w["difference_low"], w["difference_high"] = difference-point*e, difference+point*e
				} else {
					uneven++
				}
				both := together([]*arm{x, y})
				m := x.assigned * y.assigned / (x.assigned + y.assigned)
				wide := max(e, math.Sqrt(variance(both.assigned, both.sum, both.squares)/m))
				p, width := sequential(difference/wide, m)
				w["always_valid_p"], w["always_valid_low"], w["always_valid_high"] = p, difference-width*wide, difference+width*wide
				w["minimum_detectable_effect"] = (z95 + 0.8416212335729143) * math.Sqrt(variance(both.assigned, both.sum, both.squares)/m)
				family := fmt.Sprint(k.campaign, k.goal, k.by, s.variant == "")
				families[family] = append(families[family], w)
				if c.End != "" && open == 0 && even(x, y) {
					w["p_value"] = studentTails(difference/e, df)
				}
			}
			w["verdict"] = verdict(broken, out == 0 && c.Holdout == 0, tested, "less than the holdout")
			if g.Baseline {
				w["rise"], w["holdout_rise"] = x.sum, y.sum
				w["rise_per_assigned"], w["holdout_rise_per_assigned"] = orNil(x.assigned > 0, mean(x)), orNil(y.assigned > 0, mean(y))
				delete(w, "minimum_detectable_effect")
				rise = append(rise, w)
				continue
			}
			w["buyers"], w["revenue"], w["holdout_buyers"], w["holdout_revenue"], w["currency"] = x.converted, x.sum, y.converted, y.sum, "EUR"
			w["conversions"], w["without_rate"], w["orders"] = x.conversions, x.unrated+y.unrated, x.orders
			w["revenue_per_buyer"] = orNil(x.converted > 0, mean(x)*x.assigned/x.converted)
			w["average_order_value"], w["holdout_average_order_value"] = perOrder(x), perOrder(y)
			w["revenue_per_assigned"], w["holdout_per_assigned"] = orNil(x.assigned > 0, mean(x)), orNil(y.assigned > 0, mean(y))
			revenue = append(revenue, w)
		}
	}
	if (tests == uneven || uneven == 0) && len(o.h.Records) > 1_000 {
		t.Errorf("of %d comparisons of means with enough data %d have values too uneven for Welch, so not both were compared", tests, uneven)
	}
	if planned := correct(families); planned == 0 && len(o.h.Records) > 1_000 {
		t.Error("no comparison of means has come to its planned size, so no fixed-horizon p-value was compared")
	}
	agree(t, d, "kpi_campaign_revenue", byTarget, revenue)
	agree(t, d, "kpi_campaign_rise", byTarget, rise)
}

// welch is the standard error of the difference of means and its degrees of freedom, if
// there is enough data for them.
func welch(x, y *arm) (e, df float64, ok bool) {
	v1, v0 := variance(x.assigned, x.sum, x.squares), variance(y.assigned, y.sum, y.squares)
	if min(x.assigned, y.assigned) < 30 || min(x.valued, y.valued) < 5 || min(v1, v0) <= 0 {
		return 0, 0, false
	}
	s1, s0 := v1/x.assigned, v0/y.assigned
	return math.Sqrt(s1 + s0), (s1 + s0) * (s1 + s0) / (s1*s1/(x.assigned-1) + s0*s0/(y.assigned-1)), true
}

// even tells whether the difference of the means has a skewness below 0.2, if the values of
// both sides are as skew as all are together: from the central moments.
func even(x, y *arm) bool {
	both := together([]*arm{x, y})
	n := new(big.Rat).SetFloat64(both.assigned)
	per := func(r *big.Rat) *big.Rat { return new(big.Rat).Quo(r, n) }
	times := func(rs ...*big.Rat) *big.Rat {
		product := big.NewRat(1, 1)
		for _, r := range rs {
			product.Mul(product, r)
		}
		return product
	}
	m := per(both.sum)
	second := per(both.squares)
	second.Sub(second, times(m, m))
	third := per(both.cubes)
	third.Sub(third, times(big.NewRat(3, 1), m, per(both.squares))).Add(third, times(big.NewRat(2, 1), m, m, m))
	k2, _ := second.Float64()
	k3, _ := third.Float64()
	n1, n0 := x.assigned, y.assigned
	return math.Abs(k3/(n1*n1)-k3/(n0*n0))/math.Pow(k2/n1+k2/n0, 1.5) < 0.2
}

// quantile interpolates linearly between the two nearest.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	low := int(at)
	if low+1 >= len(sorted) {
		return sorted[low]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}

func (o *campaignOracle) timeToConvert(t *testing.T, d *sinktest.Database) {
	var want []row
	all := o.groups(false, func(*record.Record) [][3]string { return [][3]string{{"everyone", "", ""}} })
	for _, k := range keys(all) {
		if _, g := o.goal(k); g.Value == "total" || g.Baseline {
			continue
		}
		for _, a := range all[k] {
			if len(a.took) == 0 {
				continue
			}
			slices.Sort(a.took)
			want = append(want, row{
				"campaign": k.campaign, "goal": k.goal, "variant": null(a.variant), "holdout": a.holdout, "conversions": a.conversions,
				"median_days": quantile(a.took, 0.5), "p25_days": quantile(a.took, 0.25), "p75_days": quantile(a.took, 0.75), "p90_days": quantile(a.took, 0.9),
			})
		}
	}
	agree(t, d, "kpi_campaign_time_to_convert", []string{"campaign", "goal", "variant", "holdout"}, want)
}

func (o *campaignOracle) observed(t *testing.T, d *sinktest.Database) {
	type key struct{ campaign, channel, step, goal string }
	customers, converted, open := map[key]int{}, map[key]int{}, map[key]int{}
	for i := range o.h.Campaigns {
		c := &o.h.Campaigns[i]
		for _, g := range c.Goals {
			if g.Value == "total" || g.Baseline {
				continue
			}
			for customer, touches := range o.touches {
				first := map[key]instant.Instant{}
				for _, x := range touches {
					k := key{c.Name, x.Channel, x.Step, g.Name}
					if x.Campaign != c.Name || x.Machine || x.Step == "sent" || x.Step == "bounced" {
						continue
					}
					if at, ok := first[k]; !ok || x.at < at {
						first[k] = x.at
					}
				}
				for k, at := range first {
					if at.Add(g.Within()) > o.h.Clock {
						open[k]++
						continue
					}
					customers[k]++
					for _, v := range o.counts[c.Name+"/"+g.Name+"/"+customer] {
						if v.EffectiveAt > at && v.EffectiveAt <= at.Add(g.Within()) {
							converted[k]++
							break
						}
					}
				}
			}
		}
	}
	var want []row
	seen := map[key]bool{}
	for _, m := range []map[key]int{customers, open} {
		for k := range m {
			if seen[k] {
				continue
			}
			seen[k] = true
			want = append(want, row{
				"campaign": k.campaign, "channel": k.channel, "from_step": k.step, "goal": k.goal, "customers": customers[k], "converted": converted[k],
				"observed_rate": over(float64(converted[k]), float64(customers[k])), "open": open[k], "lift": nil, "p_value": nil, "verdict": "not randomised",
			})
		}
	}
	agree(t, d, "kpi_campaign_observed", []string{"campaign", "channel", "from_step", "goal"}, want)
}

func (o *campaignOracle) attribution(t *testing.T, d *sinktest.Database) {
	o.attributed = map[[2]string]*big.Rat{}
	type key struct{ attribution, grain, period, event, campaign, channel string }
	orders, unrated, revenue := map[key]int{}, map[key]int{}, map[key]*big.Rat{}
	total := new(big.Rat)
	for i := range o.h.Orders {
		order := &o.h.Orders[i]
		within := map[string]time.Duration{}
		for j := range o.h.Campaigns {
			for _, g := range o.h.Campaigns[j].Goals {
				if g.Event == order.Event {
					within[o.h.Campaigns[j].Name] = max(within[o.h.Campaigns[j].Name], g.Within())
				}
			}
		}
		var touched []touch
		for _, x := range o.touches[order.Customer] {
			w, aimed := within[x.Campaign]
			if aimed && !x.Machine && x.Step != "sent" && x.Step != "bounced" && x.at < order.At && order.At <= x.at.Add(w) {
				touched = append(touched, x)
			}
		}
		slices.SortFunc(touched, func(a, b touch) int {
			switch x, y := fmt.Sprintf("%020d %s %s", a.at, a.Campaign, a.Channel), fmt.Sprintf("%020d %s %s", b.at, b.Campaign, b.Channel); {
			case x < y:
				return -1
			case x > y:
				return 1
			}
			return 0
		})
		worth, ok := o.worth(order.Value, o.h.Currency[i], order.At)
		total.Add(total, worth)
		for n, attribution := range []string{"last touch", "first touch"} {
			k := key{attribution: attribution, event: order.Event}
			if len(touched) > 0 {
				x := touched[[]int{len(touched) - 1, 0}[n]]
				k.campaign, k.channel = x.Campaign, x.Channel
			}
			for grain, first := range o.periods(order.At) {
				if k.grain, k.period = grain, first; revenue[k] == nil {
					revenue[k] = new(big.Rat)
				}
				orders[k]++
				revenue[k].Add(revenue[k], worth)
				if !ok {
					unrated[k]++
				}
			}
			if touches := [2]string{k.campaign, k.event}; attribution == "last touch" {
				if o.attributed[touches] == nil {
					o.attributed[touches] = new(big.Rat)
				}
				o.attributed[touches].Add(o.attributed[touches], worth)
			}
		}
	}
	var want []row
	sum := new(big.Rat)
	for k, n := range orders {
		want = append(want, row{
			"attribution": k.attribution, "grain": k.grain, "period": k.period, "event": k.event, "campaign": null(k.campaign), "channel": orNil(k.campaign != "", k.channel),
			"orders": n, "revenue": revenue[k], "without_rate": unrated[k], "currency": "EUR",
		})
		if k.attribution == "last touch" && k.grain == "month" {
			sum.Add(sum, revenue[k])
		}
	}
	if sum.Cmp(total) != 0 {
		t.Fatalf("the oracle shares out %v of %v", sum, total)
	}
	agree(t, d, "kpi_attributed_revenue", []string{"attribution", "grain", "period", "event", "campaign", "channel"}, want)
}

func (o *campaignOracle) costs(t *testing.T, d *sinktest.Database) {
	everyone := o.groups(true, func(*record.Record) [][3]string { return [][3]string{{"everyone", "", ""}} })
	var want []row
	for _, k := range keys(everyone) {
		c, g := o.goal(k)
		if g.Value == "" {
			continue
		}
		ratio, told := o.ratioOf(c.Name, everyone)
		holdout, _ := o.compared(k, everyone[k])
		for i, s := range append(holdout, holdout[len(holdout)-1]) {
			whole := i == len(holdout)
			if !whole && i > 0 && i == len(holdout)-1 {
				continue // all variants together
			}
			w := row{"campaign": k.campaign, "goal": k.goal, "variant": orNil(!whole, s.variant), "treated": s.treated.assigned, "buyers": s.treated.converted, "revenue": s.treated.sum}
			lift := s.treated.assigned * (mean(s.treated) - mean(s.against))
			fine := s.against.assigned > 0 && (!told || ratio >= 0.001)
			w["revenue_lift"], w["revenue_lift_low"], w["revenue_lift_high"] = orNil(fine, lift), nil, nil
			if e, df, enough := welch(s.treated, s.against); enough && fine && even(s.treated, s.against) {
				half := s.treated.assigned * studentPoint(df) * e
				w["revenue_lift_low"], w["revenue_lift_high"] = lift-half, lift+half
			}
			w["orders"], w["average_order_value"] = s.treated.orders, perOrder(s.treated)
			messages, cost, known := o.spent(c, s.variant, whole, true)
			_, paid, allKnown := o.spent(c, s.variant, whole, false)
			w["former"] = s.treated.former + s.against.former
			w["messages"], w["cost"], w["cost_per_buyer"] = messages, orNil(known, cost), orNil(known && s.treated.converted > 0, cost/s.treated.converted)
			attributed := 0.0
			if sum := o.attributed[[2]string{c.Name, g.Event}]; sum != nil {
				attributed, _ = sum.Float64()
			}
			w["attributed_revenue"], w["attributed_cost"] = orNil(whole, attributed), orNil(whole && allKnown, paid)
			w["attributed_roas"] = orNil(whole && allKnown && paid > 0, attributed/paid)
			w["roas"], w["roi"], w["margin"] = orNil(known && fine && cost > 0, lift/cost), nil, nil
			if margin, ok := map[string]float64{"0.4": 0.4, "0.25": 0.25}[c.Margin]; ok {
				w["margin"], w["roi"] = margin, orNil(known && fine && cost > 0, (lift*margin-cost)/cost)
			}
			want = append(want, w)
		}
	}
	agree(t, d, "kpi_campaign_return", []string{"campaign", "goal", "variant"}, want)
}

// spent is what a campaign, or one of its variants, has cost: each message by the price of
// the variant of whom it went to, else by the campaign's; and what is fixed, of which a
// variant has its own and, by its share, a part of the campaign's. To compare, messages to
// customers who are left out of the comparison are left out, too.
func (o *campaignOracle) spent(c *sinktest.Campaign, variant string, whole, toCompare bool) (messages int, cost float64, known bool) {
	add := func(text, currency string, at instant.Instant, share float64) {
		value, _ := decimal.Parse([]byte(text))
		if value == 0 {
			return
		}
		worth, ok := o.worth(value, currency, at)
		f, _ := worth.Float64()
		known, cost = known && ok, cost+share*f
	}
	known = c.Cost.Currency != ""
	shares := 0.0
	for _, v := range c.Variants {
		known = known || v.Cost != nil
		shares += v.Share
	}
	start := instant.Of(time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC))
	for _, v := range c.Variants {
		if v.Cost != nil && (whole || v.Name == variant) {
			add(v.Cost.Fixed, v.Cost.Currency, start, 1)
		}
		if !whole && v.Name == variant {
			add(c.Cost.Fixed, c.Cost.Currency, start, v.Share/shares)
		}
	}
	if whole {
		add(c.Cost.Fixed, c.Cost.Currency, start, 1)
	}
	for customer, touches := range o.touches {
		given := ""
		if all := o.assigned[c.Name][customer]; len(all) > 0 {
			given = all[0].Variant
		}
		price := c.Cost
		for _, v := range c.Variants {
			if v.Name == given && v.Cost != nil && v.Cost.Per != "" {
				price = *v.Cost
			}
		}
		for _, x := range touches {
			if x.Campaign == c.Name && price.Per != "" && x.Step == price.Per && (whole || given == variant) && (!toCompare || !o.former(c, o.assigned[c.Name][customer])) {
				messages++
				add(price.Amount, price.Currency, x.at, 1)
			}
		}
	}
	return messages, cost, known
}
