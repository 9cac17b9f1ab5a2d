// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"cmp"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"lapwing/schemas/decimal"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/sink/sinktest"
)

// oracle computes every KPI from a history by the words of its definition, over
// instants and one customer at a time: slow, and unlike the views.
type oracle struct {
	h       *sinktest.History
	clock   instant.Instant
	periods map[record.Grain][]span
	people  map[string]map[string][]record.Record // model, customer: stage changes in order
}

type span struct{ start, end instant.Instant }

var grains = []record.Grain{record.Day, record.Week, record.Month}

func newOracle(h *sinktest.History) *oracle {
	o := &oracle{h: h, clock: instant.None, periods: map[record.Grain][]span{}, people: map[string]map[string][]record.Record{}}
	first := instant.Max
	for _, m := range h.Models {
		o.people[m.Name] = map[string][]record.Record{}
	}
	for _, c := range h.Changes {
		o.clock, first = max(o.clock, c.EffectiveAt), min(first, c.EffectiveAt)
		if c.Kind == record.StageChange {
			o.people[c.Model][c.CustomerID] = append(o.people[c.Model][c.CustomerID], c)
		}
	}
	for _, a := range h.Activity {
		o.clock, first = max(o.clock, a.EventTime), min(first, a.EventTime)
	}
	for _, g := range grains {
		for at := h.Period(first, g); instant.Of(at) <= o.clock; at = next(at, g) {
			o.periods[g] = append(o.periods[g], span{instant.Of(at), instant.Of(next(at, g))})
		}
	}
	return o
}

func next(at time.Time, g record.Grain) time.Time {
	switch g {
	case record.Day:
		return instant.StartOfDay(at.Year(), at.Month(), at.Day()+1, at.Location())
	case record.Week:
		return instant.StartOfDay(at.Year(), at.Month(), at.Day()+7, at.Location())
	default:
		return instant.StartOfDay(at.Year(), at.Month()+1, 1, at.Location())
	}
}

// before is the stage just before an instant; "" for none.
func before(changes []record.Record, at instant.Instant) string {
	stage := ""
	for _, c := range changes {
		if c.EffectiveAt < at {
			stage = c.To
		}
	}
	return stage
}

func in(changes []record.Record, p span) []record.Record {
	var all []record.Record
	for _, c := range changes {
		if c.EffectiveAt >= p.start && c.EffectiveAt < p.end {
			all = append(all, c)
		}
	}
	return all
}

// lines are rows as ClickHouse prints tuples, sorted.
type lines []string

func (l *lines) add(values ...any) {
	parts := make([]string, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case nil:
			parts[i] = "NULL"
		case string:
			parts[i] = "'" + v + "'"
		case float64:
			parts[i] = strings.Replace(strconv.FormatFloat(v, 'g', -1, 64), "e-0", "e-", 1)
			if a := math.Abs(v); a >= 1e-6 && a < 1e-4 {
				parts[i] = strconv.FormatFloat(v, 'f', -1, 64)
			}
		default:
			parts[i] = fmt.Sprint(v)
		}
	}
	*l = append(*l, "("+strings.Join(parts, ",")+")")
}

func (l lines) text() string {
	slices.Sort(l)
	return strings.Join(l, "\n")
}

func (o *oracle) date(at instant.Instant) string {
	return at.Time().In(o.h.Zone).Format(time.DateOnly)
}

func stamp(at instant.Instant) any {
	if at.IsNone() {
		return nil
	}
	return at.Time().Format("2006-01-02 15:04:05.000")
}

func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func ratio(a, b int) any {
	if b == 0 {
		return nil
	}
	return float64(a) / float64(b)
}

// each calls fn for every model, grain and period.
func (o *oracle) each(fn func(m *sinktest.Model, g record.Grain, p span)) {
	for i := range o.h.Models {
		for _, g := range grains {
			for _, p := range o.periods[g] {
				fn(&o.h.Models[i], g, p)
			}
		}
	}
}

func (o *oracle) closed(p span) bool { return p.end <= o.clock }

func (o *oracle) population() string {
	var out lines
	o.each(func(m *sinktest.Model, g record.Grain, p span) {
		total, count := 0, map[string]int{}
		entered, left := map[string]int{}, map[string]int{}
		for _, changes := range o.people[m.Name] {
			if s := before(changes, p.end); s != "" {
				count[s]++
				total++
			}
			for _, c := range in(changes, p) {
				entered[c.To]++
				left[c.From]++
			}
		}
		for i, s := range m.Order {
			out.add(m.Name, string(g), o.date(p.start), s, i+1, count[s], ratio(count[s], total), entered[s], left[s], o.closed(p))
		}
	})
	return out.text()
}

func (o *oracle) flow() string {
	var out lines
	o.each(func(m *sinktest.Model, g record.Grain, p span) {
		type edge struct{ from, to string }
		by := map[edge]map[record.CauseType]int{}
		for _, changes := range o.people[m.Name] {
			for _, c := range in(changes, p) {
				e := edge{c.From, c.To}
				if by[e] == nil {
					by[e] = map[record.CauseType]int{}
				}
				by[e][c.Cause.Type]++
			}
		}
		for e, n := range by {
			direction := "down"
			switch {
			case e.from == "":
				direction = "begin"
			case e.to == "":
				direction = "end"
			case slices.Index(m.Order, e.to) > slices.Index(m.Order, e.from):
				direction = "up"
			}
			out.add(m.Name, string(g), o.date(p.start), null(e.from), null(e.to), direction, n[record.CauseEvent]+n[record.CauseDeadline],
				n[record.CauseEvent], n[record.CauseDeadline], n[record.CauseLateEvent], n[record.CauseIdentity], n[record.CauseDefinition],
				n[record.CauseExpired]+n[record.CauseErasure], o.closed(p))
		}
	})
	return out.text()
}

func (o *oracle) churn() string {
	var out lines
	o.each(func(m *sinktest.Model, g record.Grain, p span) {
		start, by := 0, map[record.CauseType]int{}
		for _, changes := range o.people[m.Name] {
			s := before(changes, p.start)
			if s == "" || s == m.Order[0] || slices.Contains(m.Churned, s) {
				continue
			}
			start++
			if !slices.Contains(m.Churned, before(changes, p.end)) {
				continue
			}
			var cause record.CauseType // of the last step from outside into a churned stage
			for _, c := range in(changes, p) {
				if slices.Contains(m.Churned, c.To) && !slices.Contains(m.Churned, c.From) {
					cause = c.Cause.Type
				}
			}
			by[cause]++
		}
		n := by[record.CauseEvent] + by[record.CauseDeadline]
		out.add(m.Name, string(g), o.date(p.start), start, n, ratio(n, start), by[record.CauseLateEvent], by[record.CauseIdentity], by[record.CauseDefinition], o.closed(p))
	})
	return out.text()
}

func (o *oracle) reactivation() string {
	var out lines
	o.each(func(m *sinktest.Model, g record.Grain, p span) {
		low := slices.Concat(m.Churned, m.AtRisk)
		start, by := 0, map[record.CauseType]int{}
		for _, changes := range o.people[m.Name] {
			if !slices.Contains(low, before(changes, p.start)) {
				continue
			}
			start++
			causes := map[record.CauseType]bool{}
			for _, c := range in(changes, p) {
				if c.To != "" && slices.Contains(low, c.From) && !slices.Contains(low, c.To) && slices.Index(m.Order, c.To) > slices.Index(m.Order, c.From) {
					causes[c.Cause.Type] = true
				}
			}
			for cause := range causes {
				if cause == record.CauseEvent || !causes[record.CauseEvent] {
					by[cause]++
				}
			}
		}
		n := by[record.CauseEvent]
		out.add(m.Name, string(g), o.date(p.start), start, n, ratio(n, start), by[record.CauseLateEvent], by[record.CauseIdentity], by[record.CauseDefinition], o.closed(p))
	})
	return out.text()
}

func (o *oracle) intervals() string {
	var out lines
	for model, people := range o.people {
		for customer, changes := range people {
			for i, c := range changes {
				switch {
				case c.To == "":
				case i+1 == len(changes):
					out.add(o.h.Definition, model, customer, c.To, stamp(c.EffectiveAt), nil, c.Sequence, string(c.Cause.Type), nil, nil)
				default:
					n := changes[i+1]
					out.add(o.h.Definition, model, customer, c.To, stamp(c.EffectiveAt), stamp(n.EffectiveAt), c.Sequence, string(c.Cause.Type), string(n.Cause.Type), null(n.To))
				}
			}
		}
	}
	return out.text()
}

func (o *oracle) timeInStage() string {
	var out lines
	natural := func(c record.CauseType) bool { return c == record.CauseEvent || c == record.CauseDeadline }
	type spell struct {
		length instant.Instant
		ended  bool
	}
	o.each(func(m *sinktest.Model, g record.Grain, p span) {
		for _, stage := range m.Stages {
			var spells []spell
			ended, open, others := 0, 0, map[record.CauseType]int{}
			for _, changes := range o.people[m.Name] {
				for i, c := range changes {
					if c.To != stage || c.EffectiveAt < p.start || c.EffectiveAt >= p.end {
						continue
					}
					if !natural(c.Cause.Type) {
						others[c.Cause.Type]++
						continue
					}
					s := spell{length: o.clock - c.EffectiveAt}
					if i+1 < len(changes) {
						s = spell{changes[i+1].EffectiveAt - c.EffectiveAt, natural(changes[i+1].Cause.Type)}
					} else {
						open++
					}
					if s.ended {
						ended++
					}
					spells = append(spells, s)
				}
			}
			if len(spells)+len(others) == 0 {
				continue
			}
			slices.SortFunc(spells, func(a, b spell) int { return cmp.Compare(a.length, b.length) })
			var median, words any = nil, "not reached"
			survival := big.NewRat(1, 1)
			for i := 0; i < len(spells) && median == nil; {
				j, ends := i, 0
				for ; j < len(spells) && spells[j].length == spells[i].length; j++ {
					if spells[j].ended {
						ends++
					}
				}
				survival.Mul(survival, big.NewRat(int64(len(spells)-i-ends), int64(len(spells)-i)))
				if survival.Cmp(big.NewRat(1, 2)) <= 0 {
					days := float64(spells[i].length) / 86_400_000
					median, words = days, strconv.FormatFloat(days, 'f', 1, 64)+" days"
				}
				i = j
			}
			out.add(m.Name, string(g), o.date(p.start), stage, len(spells), ended, open, len(spells)-ended-open, median, words,
				others[record.CauseLateEvent], others[record.CauseIdentity], others[record.CauseDefinition])
		}
	})
	return out.text()
}

// byCustomer are the times of the orders per event and customer, in order.
func (o *oracle) byCustomer() map[string]map[string][]instant.Instant {
	all := map[string]map[string][]instant.Instant{}
	for _, order := range o.h.Orders {
		if all[order.Event] == nil {
			all[order.Event] = map[string][]instant.Instant{}
		}
		all[order.Event][order.Customer] = append(all[order.Event][order.Customer], order.At)
	}
	return all
}

func (o *oracle) repeatRate() string {
	var out lines
	for event, people := range o.byCustomer() {
		repeat := 0
		for _, at := range people {
			if len(at) >= 2 {
				repeat++
			}
		}
		out.add(event, len(people), repeat, ratio(repeat, len(people)))
	}
	return out.text()
}

func (o *oracle) newToSecond() string {
	var out lines
	for event, people := range o.byCustomer() {
		for _, p := range o.periods[record.Month] {
			buyers, within := 0, map[int]int{}
			windows := []int{30, 60, 90, 180, 365}
			for _, at := range people {
				if at[0] < p.start || at[0] >= p.end {
					continue
				}
				buyers++
				for _, w := range windows {
					if len(at) > 1 && at[1] <= at[0].Add(time.Duration(w)*24*time.Hour) {
						within[w]++
					}
				}
			}
			if buyers == 0 {
				continue
			}
			row := []any{event, o.date(p.start), buyers}
			for _, w := range windows {
				if p.end.Add(time.Duration(w)*24*time.Hour) <= o.clock {
					row = append(row, within[w], ratio(within[w], buyers))
				} else {
					row = append(row, nil, nil)
				}
			}
			out.add(row...)
		}
	}
	return out.text()
}

func (o *oracle) totals() string {
	var out lines
	for event, people := range o.byCustomer() {
		var net, refunded decimal.Decimal
		orders, first, last := 0, instant.Max, instant.None
		for i := range o.h.Orders {
			if order := &o.h.Orders[i]; order.Event == event {
				orders++
				net += order.Net()
				refunded += order.Value - order.Net()
				first, last = min(first, order.At), max(last, order.At)
			}
		}
		out.add(event, orders, len(people), net, refunded, money(net)/float64(orders), "EUR", stamp(first), stamp(last))
	}
	return out.text()
}

func (o *oracle) revenueByStage() string {
	var out lines
	o.each(func(m *sinktest.Model, g record.Grain, p span) {
		type cell struct{ event, stage string }
		count, sum, total := map[cell]int{}, map[cell]decimal.Decimal{}, map[string]decimal.Decimal{}
		for i := range o.h.Orders {
			order := &o.h.Orders[i]
			if order.At < p.start || order.At >= p.end {
				continue
			}
			c := cell{event: order.Event}
			for _, s := range order.Stages {
				if s.Model == m.Name {
					c.stage = s.Stage
				}
			}
			count[c]++
			sum[c] += order.Net()
			total[c.event] += order.Net()
		}
		for c, n := range count {
			var share any
			if total[c.event] != 0 {
				share = money(sum[c]) / money(total[c.event])
			}
			out.add(m.Name, string(g), o.date(p.start), c.event, null(c.stage), n, sum[c], money(sum[c])/float64(n), share, "EUR", o.closed(p))
		}
	})
	return out.text()
}

// money is d as the nearest float, as ClickHouse converts a decimal: units / scale.
func money(d decimal.Decimal) float64 { return float64(d) / decimal.Scale }

func (o *oracle) now() string {
	var out lines
	out.add(stamp(o.clock))
	return out.text()
}
