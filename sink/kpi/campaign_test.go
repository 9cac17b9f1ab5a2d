// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	shop "github.com/shopspring/decimal"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/sink/kpi"
	"lapwing/sink/sinktest"
)

// row is a row of a view: what its columns must hold. nil is null.
type row map[string]any

// keyOf names a row by some of its columns.
func keyOf(r row, names []string) string {
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = fmt.Sprint(r[n])
	}
	return strings.Join(parts, " | ")
}

// read is a whole view.
func read(t *testing.T, d *sinktest.Database, view string) []row {
	t.Helper()
	r, err := kpi.Run(context.Background(), d.Conn, kpi.KPI{Name: view, Query: "SELECT * FROM " + source(d.Name, view)}, kpi.Options{Database: d.Name})
	if err != nil {
		t.Fatal(err)
	}
	out := make([]row, len(r.Rows))
	for i, cells := range r.Rows {
		out[i] = row{}
		for j, c := range r.Columns {
			out[i][c.Name] = cells[j]
			if at, ok := cells[j].(time.Time); ok {
				out[i][c.Name] = at.Format(time.DateOnly)
			}
		}
	}
	return out
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case uint64:
		return float64(v), true
	case int64:
		return float64(v), true
	case int:
		return float64(v), true
	case float64:
		return v, true
	case shop.Decimal:
		return v.InexactFloat64(), true
	case *big.Rat:
		f, _ := v.Float64()
		return f, true
	}
	return 0, false
}

// same compares two cells: numbers to 1e-9, others as they are.
func same(got, want any) bool {
	a, isA := number(got)
	b, isB := number(want)
	if isA && isB {
		return math.Abs(a-b) <= 1e-9*max(1, math.Abs(b))
	}
	return got == want
}

// agree compares a view's rows with those wanted: every row, and the columns wanted.
func agree(t *testing.T, d *sinktest.Database, view string, names []string, want []row) {
	t.Helper()
	if len(want) == 0 {
		t.Errorf("%s: the history gives no row, so nothing was compared", view)
	}
	have := map[string]row{}
	for _, r := range read(t, d, view) {
		k := keyOf(r, names)
		if have[k] != nil {
			t.Errorf("%s has two rows %s", view, k)
		}
		have[k] = r
	}
	wrong := 0
	for _, w := range want {
		k := keyOf(w, names)
		got := have[k]
		delete(have, k)
		if got == nil {
			t.Errorf("%s lacks the row %s", view, k)
			continue
		}
		for column, v := range w {
			if !same(got[column], v) && wrong < 12 {
				wrong++
				t.Errorf("%s, %s: %s is %v, want %v", view, k, column, got[column], v)
			}
		}
	}
	for k := range have {
		t.Errorf("%s has the row %s, which should not be", view, k)
	}
}

func orNil(ok bool, v any) any {
	if !ok {
		return nil
	}
	return v
}

func over(a, b float64) any { return orNil(b > 0, a/b) }

// TestCampaignViewsAgainstOracle: every campaign KPI equals a computation by its
// definition over the raw records, whatever the order in which they arrive, how they are
// cut into inserts, how often they come, and what another generation says.
func TestCampaignViewsAgainstOracle(t *testing.T) {
	server := embeddedtest.ClickHouseForTest(t)
	zones := []string{"Europe/Berlin", "Asia/Kathmandu"}
	for seed, size := range []int{440, 90} {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			zone, err := time.LoadLocation(zones[seed])
			if err != nil {
				t.Fatal(err)
			}
			h := sinktest.NewCampaigns(uint64(seed), zone, size)
			d := sinktest.NewDatabase(t, server.Options(), fmt.Sprintf("campaigns_%d", seed))
			all := h.Batch(1)
			for _, r := range sinktest.NewCampaigns(uint64(seed)+100, zone, size/2).Batch(2) { // not live: no view shows it
				r.Topic = "next." + r.Name
				all = append(all, r)
			}
			arrive(t, d, all, rand.New(rand.NewPCG(uint64(seed), 5)))
			for _, r := range h.Rates {
				if err := d.Conn.Exec(context.Background(), fmt.Sprintf("INSERT INTO %s.rates_log (currency, day, rate) VALUES ('%s', '%s', %s)", d.Name, r.Currency, r.Day, r.Rate)); err != nil {
					t.Fatal(err)
				}
			}
			o := newCampaignOracle(h)
			o.conversion(t, d)
			o.lift(t, d)
			o.means(t, d)
			o.timeToConvert(t, d)
			o.byPeriod(t, d)
			o.trust(t, d)
			o.observed(t, d)
			o.attribution(t, d)
			o.costs(t, d)
		})
	}
}

var byTarget = []string{"campaign", "goal", "by", "model", "target", "variant"}

func (k group) row(variant any) row {
	return row{"campaign": k.campaign, "goal": k.goal, "by": k.by, "model": k.model, "target": k.target, "variant": variant}
}

func (o *campaignOracle) conversion(t *testing.T, d *sinktest.Database) {
	all := o.groups(false, held)
	var want, funnel, journeys []row
	for _, k := range keys(all) {
		c, g := o.goal(k)
		if g.Baseline {
			continue
		}
		if k.by == "everyone" && c.Journey != "" {
			journeys = append(journeys, o.journey(c, k, all[k]))
		}
		for _, a := range all[k] {
			w := k.row(null(a.variant))
			w["holdout"], w["targeted"], w["open"], w["converted"] = a.holdout, a.assigned, a.open, a.converted
			w["reached"], w["opened"], w["machine_opened"], w["clicked"] = a.reached, a.opened, a.machine, a.clicks
			w["conversion_rate"] = over(a.converted, a.assigned)
			low, high := wilson(a.converted, a.assigned)
			w["rate_low"], w["rate_high"] = orNil(a.assigned > 0, max(0, low)), orNil(a.assigned > 0, min(1, high))
			w["leaked"] = 0
			if a.holdout {
				w["leaked"] = a.exposed
			}
			want = append(want, w)
			if k.by != "everyone" {
				continue
			}
			steps := []float64{a.assigned, float64(a.reached), float64(a.opened), float64(a.clicks), a.converted}
			for i, n := range steps {
				f := row{"campaign": k.campaign, "goal": k.goal, "variant": null(a.variant), "holdout": a.holdout, "position": i + 1, "customers": n, "share": over(n, a.assigned), "of_the_former_rate": nil}
				if i > 0 {
					f["of_the_former_rate"] = over(n, steps[i-1])
				}
				funnel = append(funnel, f)
			}
		}
	}
	agree(t, d, "kpi_campaign_conversion", append([]string{"holdout"}, byTarget...), want)
	agree(t, d, "kpi_campaign_journey", []string{"campaign", "goal"}, journeys)
	agree(t, d, "kpi_campaign_funnel", []string{"campaign", "goal", "variant", "holdout", "position"}, funnel)
}

// journey is what a step of a journey did: all variants together, and the holdout.
func (o *campaignOracle) journey(c *sinktest.Campaign, k group, arms []*arm) row {
	var in, out, reached, opened, clicked, converted, kept, open float64
	for _, a := range arms {
		open += a.open
		if a.holdout {
			out, kept = out+a.assigned, kept+a.converted
			continue
		}
		in, converted = in+a.assigned, converted+a.converted
		reached, opened, clicked = reached+float64(a.reached), opened+float64(a.opened), clicked+float64(a.clicks)
	}
	return row{
		"journey": c.Journey, "step": c.Step, "position": 1 + slices.IndexFunc(o.h.Campaigns, func(x sinktest.Campaign) bool { return x.Name == c.Name }),
		"campaign": k.campaign, "goal": k.goal, "targeted": in, "reached": reached, "opened": opened, "clicked": clicked, "converted": converted,
		"conversion_rate": over(converted, in), "holdout_targeted": out, "holdout_rate": over(kept, out), "open": open,
	}
}

func (o *campaignOracle) lift(t *testing.T, d *sinktest.Database) {
	all := o.groups(true, held)
	var lifts, effects []row
	families := map[string][]row{}
	verdicts := map[string]int{}
	former := 0.0
	for _, k := range keys(all) {
		c, g := o.goal(k)
		if g.Baseline {
			continue
		}
		ratio, told := o.ratioOf(k.campaign, all)
		open, out := 0.0, 0.0
		for _, a := range all[k] {
			open += a.open
			if a.holdout {
				out += a.assigned + a.open
			}
		}
		planned := c.End != "" && open == 0
		holdout, factors := o.compared(k, all[k])
		for i, s := range slices.Concat(holdout, factors) {
			if i >= len(holdout) && k.by != "everyone" {
				continue
			}
			former += s.treated.former
			n1, k1, n0, k0 := s.treated.assigned, s.treated.converted, s.against.assigned, s.against.converted
			w := k.row(null(s.variant))
			w["assigned"], w["converted"], w["conversion_rate"] = n1, k1, over(k1, n1)
			w["sample_ratio_p"], w["former"] = orNil(told, ratio), s.treated.former+s.against.former
			broken := told && ratio < 0.001
			fine := n1 > 0 && n0 > 0 && !broken
			p := (k1 + k0) / (n1 + n0)
			enough := n1+n0 > 0 && min(n1, n0)*min(p, 1-p) >= 5
			low, high := newcombe(k1, n1, k0, n0)
			w["difference"], w["difference_low"], w["difference_high"] = orNil(fine, k1/n1-k0/n0), orNil(fine, low), orNil(fine, high)
			ratioed := fine && k1 > 0 && k0 > 0
			spread := z95 * math.Sqrt(1/k1-1/n1+1/k0-1/n0)
			w["ratio"], w["ratio_low"], w["ratio_high"] = orNil(ratioed, k1/n1/(k0/n0)), orNil(ratioed, k1/n1/(k0/n0)*math.Exp(-spread)), orNil(ratioed, k1/n1/(k0/n0)*math.Exp(spread))
			w["minimum_detectable_effect"] = orNil(fine && p > 0, (z95+0.8416212335729143)*math.Sqrt(p*(1-p)*(1/n1+1/n0)))
			e := rateError(k1, n1, k0, n0)
			valid, point := sequential((k1/n1-k0/n0)/e, n1*n0/(n1+n0))
			tested := fine && enough
			w["always_valid_p"] = orNil(tested, valid)
			z := (k1/n1 - k0/n0) / math.Sqrt(p*(1-p)*(1/n1+1/n0))
			w["p_value"], w["p_value_holm"] = orNil(tested && planned, math.Erfc(math.Abs(z)/math.Sqrt2)), nil
			w["always_valid_p_holm"] = nil
			if i < len(holdout) {
				w["holdout_assigned"], w["holdout_converted"], w["holdout_rate"], w["open"] = n0, k0, over(k0, n0), open
				w["always_valid_low"], w["always_valid_high"] = orNil(tested, k1/n1-k0/n0-point*e), orNil(tested, k1/n1-k0/n0+point*e)
				w["verdict"] = verdict(broken, out == 0 && c.Holdout == 0, tested, "fewer than the holdout")
				lifts = append(lifts, w)
			} else {
				delete(w, "variant")
				w["factor"], w["level"], w["others_assigned"], w["others_converted"], w["others_rate"] = s.factor, s.level, n0, k0, over(k0, n0)
				w["verdict"] = verdict(broken, false, tested, "fewer than the others")
				if n0 == 0 && len(factors) > 0 && single(factors, s.factor) && !broken {
					w["verdict"] = "no other level"
				}
				delete(w, "by")
				delete(w, "model")
				delete(w, "target")
				effects = append(effects, w)
			}
			if tested {
				family := fmt.Sprint(k.campaign, k.goal, k.by, s.factor, s.variant == "" && s.factor == "")
				if s.factor != "" && count(factors, s.factor) == 2 {
					family += s.level // two levels of a factor are one test
				}
				families[family] = append(families[family], w)
			}
		}
	}
	if planned := correct(families); planned == 0 && len(o.h.Records) > 1_000 {
		t.Error("no campaign of the history has come to its planned size, so no fixed-horizon p-value was compared")
	}
	if former == 0 {
		t.Error("no customer of the history was assigned when the shares were others, so nobody was left out")
	}
	for _, w := range slices.Concat(lifts, effects) {
		verdicts[w["verdict"].(string)]++
	}
	for _, need := range []string{"assignment is broken", "no holdout", "not enough data yet", "no difference shown yet", "more than the holdout", "fewer than the holdout"} {
		if verdicts[need] == 0 && len(o.h.Records) > 1_000 { // the larger history
			t.Errorf("no row of the history has the verdict %q, so it was not compared: %v", need, verdicts)
		}
	}
	agree(t, d, "kpi_campaign_lift", byTarget, lifts)
	agree(t, d, "kpi_campaign_factors", []string{"campaign", "goal", "factor", "level"}, effects)
}

// correct fills in what Holm makes of the p-values of each family, and the verdicts; it
// returns how many have a fixed-horizon p-value.
func correct(families map[string][]row) (planned int) {
	for _, family := range families {
		ps, fixed := make([]float64, len(family)), make([]float64, 0, len(family))
		for i, w := range family {
			ps[i], _ = number(w["always_valid_p"])
			if p, ok := number(w["p_value"]); ok {
				fixed = append(fixed, p)
			}
		}
		for i, p := range holm(ps) {
			w := family[i]
			w["always_valid_p_holm"] = p
			_, than, _ := strings.Cut(w["verdict"].(string), " ")
			switch difference, _ := number(w["difference"]); {
			case p > 0.05:
				w["verdict"] = "no difference shown yet"
			case difference > 0:
				w["verdict"] = "more " + than
			}
		}
		if corrected := holm(fixed); len(fixed) > 0 {
			i := 0
			for _, w := range family {
				if w["p_value"] != nil {
					w["p_value_holm"] = corrected[i]
					i++
					planned++
				}
			}
		}
	}
	return planned
}

func count(factors []sides, name string) (n int) {
	for _, f := range factors {
		if f.factor == name {
			n++
		}
	}
	return n
}

func single(factors []sides, name string) bool { return count(factors, name) == 1 }

// verdict is the one before the p-value is looked at; for a difference shown, lower.
func verdict(broken, none, tested bool, lower string) string {
	switch {
	case broken:
		return "assignment is broken"
	case none:
		return "no holdout"
	case !tested:
		return "not enough data yet"
	}
	return lower
}

// source is a view of the database, or a query as it is.
func source(database, view string) string {
	if strings.HasPrefix(view, "(") {
		return view
	}
	return database + "." + view
}
