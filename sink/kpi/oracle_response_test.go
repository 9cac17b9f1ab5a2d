// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"math/big"
	"slices"
	"time"

	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

func (o *oracle) carts(add, order string, clicks map[string]string, rest, forgotten time.Duration) string {
	type cell struct {
		place
		outcome, channel string
	}
	count, total := map[cell]int{}, map[place]int{}
	customers := map[string][]occurrence{}
	for _, one := range o.occurrences() {
		customers[one.CustomerID] = append(customers[one.CustomerID], one)
	}
	for _, customer := range sortedKeys(customers) {
		all := customers[customer]
		slices.SortStableFunc(all, func(a, b occurrence) int { return int(a.At - b.At) })
		full, abandoned, last := false, instant.None, instant.None // of the cart that is not yet bought
		close := func(outcome string, at instant.Instant) {
			if full && !abandoned.IsNone() {
				channel := ""
				if outcome == "recovered" {
					channel = "none"
					for _, one := range all {
						if c := clicks[one.Occurrence.Event]; c != "" && one.At >= abandoned && one.At <= at {
							channel = c
						}
					}
				}
				for _, p := range o.places(abandoned) {
					count[cell{p, outcome, channel}]++
					total[p]++
				}
			}
			full, abandoned, last = false, instant.None, instant.None
		}
		rested := func(until instant.Instant) { // nothing happened to the cart until then
			if full && abandoned.IsNone() && until >= last.Add(rest) {
				abandoned = last.Add(rest)
			}
		}
		for _, one := range all {
			switch one.Occurrence.Event {
			case add:
				rested(one.At)
				if full && one.At >= last.Add(forgotten) {
					close("lost", one.At)
				}
				full, last = true, one.At
			case order:
				rested(one.At)
				outcome := "recovered"
				if full && one.At >= last.Add(forgotten) {
					outcome = "lost"
				}
				close(outcome, one.At)
			}
		}
		rested(o.clock)
		if full && o.clock >= last.Add(forgotten) {
			close("lost", o.clock)
		}
		close("open", o.clock)
	}
	var out lines
	for c, n := range count {
		out.add(string(c.grain), o.date(c.span.start), c.outcome, c.channel, n, total[c.place], ratio(n, total[c.place]))
	}
	return out.text()
}

func (o *oracle) messages(order string, days int) string {
	type thread struct{ customer, campaign, channel string }
	type told struct {
		delivered, opened instant.Instant
		stages            []record.StageAt
		scanned, clicked  bool
	}
	all := map[thread]*told{}
	for i := range o.h.Activity {
		a := &o.h.Activity[i]
		for _, e := range a.Exposures {
			k := thread{a.CustomerID, e.Campaign, e.Channel}
			if all[k] == nil {
				all[k] = &told{delivered: instant.Max, opened: instant.Max}
			}
			t := all[k]
			switch {
			case e.Step == "delivered" && a.EventTime < t.delivered:
				t.delivered, t.stages = a.EventTime, a.Stages
			case e.Step == "opened" && e.Machine:
				t.scanned = true
			case e.Step == "opened":
				t.opened = min(t.opened, a.EventTime)
			case e.Step == "clicked" && !e.Machine:
				t.clicked = true
			}
		}
	}
	type cell struct {
		stagePlace
		campaign, channel string
	}
	type sum struct{ delivered, opened, machines, clicked, ordered int }
	sums := map[cell]*sum{}
	orders := o.times(order)
	for k, t := range all {
		if t.delivered == instant.Max {
			continue
		}
		for _, p := range o.stagePlaces(t.delivered, t.stages) {
			c := cell{p, k.campaign, k.channel}
			if sums[c] == nil {
				sums[c] = &sum{}
			}
			s := sums[c]
			s.delivered++
			if t.clicked {
				s.clicked++
			}
			switch {
			case t.opened < instant.Max:
				s.opened++
				if slices.ContainsFunc(orders[k.customer], func(at instant.Instant) bool { return within(t.opened, at, days) }) {
					s.ordered++
				}
			case t.scanned:
				s.machines++
			}
		}
	}
	var out lines
	for c, s := range sums {
		out.add(c.model, string(c.grain), o.date(c.span.start), null(c.stage), c.campaign, c.channel, s.delivered, s.opened, s.machines, s.clicked, s.ordered,
			ratio(s.opened, s.delivered), ratio(s.clicked, s.delivered), ratio(s.ordered, s.opened))
	}
	return out.text()
}

func (o *oracle) targeted(event string, days int) string {
	type cell struct {
		campaign, variant string
		holdout           bool
		by, model, target string
	}
	type sum struct{ assigned, open, customers, occurrences, app, site int }
	sums := map[cell]*sum{}
	for i := range o.h.Campaigns {
		a := &o.h.Campaigns[i]
		if a.Kind != record.Assignment {
			continue
		}
		cells := []cell{{a.Campaign, a.Variant, a.Holdout, "everyone", "", ""}}
		for _, s := range a.Stages {
			cells = append(cells, cell{a.Campaign, a.Variant, a.Holdout, "stage", s.Model, s.Stage})
		}
		for _, s := range a.Segments {
			cells = append(cells, cell{a.Campaign, a.Variant, a.Holdout, "segment", "", s})
		}
		for _, c := range cells {
			if sums[c] == nil {
				sums[c] = &sum{}
			}
			if !o.passed(a.EffectiveAt, days) {
				sums[c].open++
				continue
			}
			sums[c].assigned++
			n := 0
			for _, one := range o.occurrences(event) {
				if one.CustomerID != a.CustomerID || !within(a.EffectiveAt, one.At, days) {
					continue
				}
				n++
				switch one.Platform {
				case "app":
					sums[c].app++
				case "site":
					sums[c].site++
				}
			}
			sums[c].occurrences += n
			if n > 0 {
				sums[c].customers++
			}
		}
	}
	var out lines
	for c, s := range sums {
		out.add(c.campaign, null(c.variant), c.holdout, c.by, c.model, c.target, s.assigned, s.open, s.customers, s.occurrences, s.app, s.site, ratio(s.occurrences, s.assigned))
	}
	return out.text()
}

func (o *oracle) invitations(sent, accepted, joined, order string, days int) string {
	type sum struct {
		sent, accepted                               int
		inviters, advocates, joiners, closed, bought map[string]bool
	}
	sums := map[place]*sum{}
	orders := o.times(order)
	for _, one := range o.occurrences(sent, accepted, joined) {
		for _, p := range o.places(one.At) {
			if sums[p] == nil {
				sums[p] = &sum{0, 0, map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}}
			}
			s := sums[p]
			switch one.Occurrence.Event {
			case sent:
				s.sent++
				s.inviters[one.CustomerID] = true
			case accepted:
				s.accepted++
				s.advocates[one.CustomerID] = true
			case joined:
				s.joiners[one.CustomerID] = true
				if !o.passed(one.At, days) {
					continue
				}
				s.closed[one.CustomerID] = true
				if slices.ContainsFunc(orders[one.CustomerID], func(at instant.Instant) bool { return within(one.At, at, days) }) {
					s.bought[one.CustomerID] = true
				}
			}
		}
	}
	var out lines
	for p, s := range sums {
		out.add(string(p.grain), o.date(p.span.start), s.sent, len(s.inviters), s.accepted, len(s.advocates), len(s.joiners), len(s.closed), len(s.bought), ratio(len(s.bought), len(s.closed)))
	}
	return out.text()
}

// percentile is the 80th of some numbers, by linear interpolation, divided by a scale.
func percentile(all []int64, scale int64) float64 {
	slices.Sort(all)
	position := big.NewRat(int64(len(all)-1)*4, 5)
	at := new(big.Int).Quo(position.Num(), position.Denom()).Int64()
	value := new(big.Rat).SetInt64(all[at])
	if rest := position.Sub(position, new(big.Rat).SetInt64(at)); rest.Sign() > 0 {
		value.Add(value, rest.Mul(rest, new(big.Rat).SetInt64(all[at+1]-all[at])))
	}
	f, _ := value.Quo(value, new(big.Rat).SetInt64(scale)).Float64()
	return f
}

func (o *oracle) thresholds() string {
	type person struct{ event, customer string }
	spent, each := map[person]int64{}, map[person][]int64{}
	since := o.clock.Add(-365 * 24 * time.Hour)
	add := func(event, customer string, at instant.Instant, value int64) {
		if at > since {
			p := person{event, customer}
			spent[p] += value
			each[p] = append(each[p], value)
		}
	}
	for i := range o.h.Orders {
		order := &o.h.Orders[i]
		add(order.Event, order.Customer, order.At, int64(order.Net()))
	}
	for _, one := range o.occurrences("deposit") {
		add("deposit", one.CustomerID, one.At, int64(one.Value))
	}
	sums, singles, counts := map[string][]int64{}, map[string][]int64{}, map[string][]int64{}
	for p, n := range spent {
		sums[p.event] = append(sums[p.event], n)
		singles[p.event] = append(singles[p.event], each[p]...)
		counts[p.event] = append(counts[p.event], int64(len(each[p])))
	}
	var out lines
	for event := range sums {
		out.add(event, len(sums[event]), percentile(sums[event], 10_000), percentile(singles[event], 10_000), percentile(counts[event], 1))
	}
	return out.text()
}
