// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"fmt"
	"math/big"
	"slices"
	"time"

	"lapwing/schemas/decimal"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/sink/sinktest"
)

// ordersOf are the orders per event and customer, in order of time.
func (o *oracle) ordersOf() map[string]map[string][]sinktest.Order {
	all := map[string]map[string][]sinktest.Order{}
	for _, order := range o.h.Orders {
		if all[order.Event] == nil {
			all[order.Event] = map[string][]sinktest.Order{}
		}
		all[order.Event][order.Customer] = append(all[order.Event][order.Customer], order)
	}
	return all
}

// score is 1 + the number of quintile edges (20, 40, 60, 80 %, linear interpolation)
// strictly below the value, in fractions.
func score(all []int64, value int64) int {
	sorted := slices.Sorted(slices.Values(all))
	score := 1
	for k := range int64(4) {
		position := big.NewRat(int64(len(sorted)-1)*(k+1), 5)
		at := new(big.Int).Quo(position.Num(), position.Denom()).Int64()
		edge := new(big.Rat).SetInt64(sorted[at])
		if rest := position.Sub(position, new(big.Rat).SetInt64(at)); rest.Sign() > 0 {
			edge.Add(edge, rest.Mul(rest, new(big.Rat).SetInt64(sorted[at+1]-sorted[at])))
		}
		if edge.Cmp(new(big.Rat).SetInt64(value)) < 0 {
			score++
		}
	}
	return score
}

type scored struct {
	event, customer              string
	orders                       int
	revenue                      decimal.Decimal
	silence                      int64 // ms
	recency, frequency, monetary int
}

func (o *oracle) scored() []scored {
	var all []scored
	for event, people := range o.ordersOf() {
		var some []scored
		var silences, counts, moneys []int64
		for customer, orders := range people {
			s := scored{event: event, customer: customer, orders: len(orders), silence: int64(o.clock - orders[len(orders)-1].At)}
			for i := range orders {
				s.revenue += orders[i].Net()
			}
			some = append(some, s)
			silences, counts, moneys = append(silences, s.silence), append(counts, int64(s.orders)), append(moneys, int64(s.revenue))
		}
		for _, s := range some {
			s.recency, s.frequency, s.monetary = 6-score(silences, s.silence), score(counts, int64(s.orders)), score(moneys, int64(s.revenue))
			all = append(all, s)
		}
	}
	return all
}

func (o *oracle) customerRFM() string {
	var out lines
	for _, s := range o.scored() {
		out.add(s.event, s.customer, s.orders, s.revenue, float64(s.silence)/86_400_000, s.recency, s.frequency, s.monetary, fmt.Sprintf("%d%d%d", s.recency, s.frequency, s.monetary))
	}
	return out.text()
}

func (o *oracle) rfm() string {
	type cell struct {
		event   string
		r, f, m int
	}
	type sum struct {
		customers, orders int
		revenue           decimal.Decimal
		silence           int64
	}
	cells, total := map[cell]*sum{}, map[string]int{}
	for _, s := range o.scored() {
		c := cell{s.event, s.recency, s.frequency, s.monetary}
		if cells[c] == nil {
			cells[c] = &sum{}
		}
		cells[c].customers++
		cells[c].orders += s.orders
		cells[c].revenue += s.revenue
		cells[c].silence += s.silence
		total[s.event]++
	}
	var out lines
	for c, s := range cells {
		out.add(c.event, c.r, c.f, c.m, s.customers, ratio(s.customers, total[c.event]), s.orders, s.revenue, float64(s.silence)/float64(s.customers)/86_400_000)
	}
	return out.text()
}

func (o *oracle) lifetimeValue() string {
	var out lines
	for event, people := range o.ordersOf() {
		for _, p := range o.periods[record.Month] {
			buyers, sums := 0, map[int]decimal.Decimal{}
			windows := []int{30, 90, 365}
			for _, orders := range people {
				first := orders[0].At
				if first < p.start || first >= p.end {
					continue
				}
				buyers++
				for i := range orders {
					for _, w := range windows {
						if orders[i].At <= first.Add(time.Duration(w)*24*time.Hour) {
							sums[w] += orders[i].Net()
						}
					}
				}
			}
			if buyers == 0 {
				continue
			}
			row := []any{event, o.date(p.start), buyers}
			for _, w := range windows {
				if p.end.Add(time.Duration(w)*24*time.Hour) <= o.clock {
					row = append(row, sums[w], money(sums[w])/float64(buyers))
				} else {
					row = append(row, nil, nil)
				}
			}
			out.add(append(row, 0, "EUR")...)
		}
	}
	return out.text()
}

// at is the number of the period that holds an instant.
func (o *oracle) at(g record.Grain, t instant.Instant) int {
	return slices.IndexFunc(o.periods[g], func(p span) bool { return t >= p.start && t < p.end })
}

func (o *oracle) retention() string {
	var out lines
	for event, people := range o.byCustomer() {
		for _, g := range []record.Grain{record.Week, record.Month} {
			for i, p := range o.periods[g] {
				var cohort [][]instant.Instant
				for _, at := range people {
					if o.at(g, at[0]) == i {
						cohort = append(cohort, at)
					}
				}
				if len(cohort) == 0 {
					continue
				}
				for n, later := range o.periods[g][i:] {
					buyers := 0
					for _, at := range cohort {
						if slices.ContainsFunc(at, func(t instant.Instant) bool { return t >= later.start && t < later.end }) {
							buyers++
						}
					}
					out.add(event, string(g), o.date(p.start), n, len(cohort), buyers, ratio(buyers, len(cohort)), o.closed(later))
				}
			}
		}
	}
	return out.text()
}

func (o *oracle) boughtTogether() string {
	var out lines
	for event, people := range o.ordersOf() {
		baskets := map[string][]map[string]bool{}
		for _, orders := range people {
			all := map[string]bool{}
			for i := range orders {
				one := map[string]bool{}
				for p := range orders[i].Products {
					one[fmt.Sprint("p", p)], all[fmt.Sprint("p", p)] = true, true
				}
				if len(one) > 0 {
					baskets["order"] = append(baskets["order"], one)
				}
			}
			if len(all) > 0 {
				baskets["customer"] = append(baskets["customer"], all)
			}
		}
		for kind, list := range baskets {
			for x := range 4 {
				for y := range 4 {
					both, withX, withY := 0, 0, 0
					for _, b := range list {
						hasX, hasY := b[fmt.Sprint("p", x)], b[fmt.Sprint("p", y)]
						if hasX {
							withX++
						}
						if hasY {
							withY++
						}
						if hasX && hasY {
							both++
						}
					}
					if x == y || both == 0 {
						continue
					}
					out.add(event, kind, fmt.Sprint("p", x), fmt.Sprint("p", y), both, withX, withY, len(list),
						float64(both)/float64(len(list)), float64(both)/float64(withX), float64(both)/float64(withX)/(float64(withY)/float64(len(list))))
				}
			}
		}
	}
	return out.text()
}
