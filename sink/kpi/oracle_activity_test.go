// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"maps"
	"slices"
	"time"

	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/sink/sinktest"
)

// occurrence is one event of one message, as it arrived.
type occurrence struct {
	*record.Activity
	record.Occurrence
	arrived int
}

// occurrences of some events, or of all, in the order of arrival; refunds are none.
func (o *oracle) occurrences(events ...string) []occurrence {
	var all []occurrence
	for i := range o.h.Activity {
		for _, one := range o.h.Activity[i].Occurrence {
			if !one.Refund && (len(events) == 0 || slices.Contains(events, one.Event)) {
				all = append(all, occurrence{&o.h.Activity[i], one, i})
			}
		}
	}
	return all
}

// times are the instants of an event per customer, in order.
func (o *oracle) times(event string) map[string][]instant.Instant {
	all := map[string][]instant.Instant{}
	for _, one := range o.occurrences(event) {
		all[one.CustomerID] = append(all[one.CustomerID], one.At)
	}
	for _, at := range all {
		slices.Sort(at)
	}
	return all
}

// place is a period.
type place struct {
	grain record.Grain
	span  span
}

// places are the periods that hold an instant.
func (o *oracle) places(t instant.Instant) []place {
	var all []place
	for _, g := range grains {
		all = append(all, place{g, o.periods[g][o.at(g, t)]})
	}
	return all
}

func (o *oracle) passed(t instant.Instant, days int) bool {
	return t.Add(time.Duration(days)*24*time.Hour) <= o.clock
}

// within reports whether an instant lies after a start and at most so many days later.
func within(start, t instant.Instant, days int) bool {
	return t > start && t <= start.Add(time.Duration(days)*24*time.Hour)
}

// visit is a session: the messages of a customer with one session_start, by arrival.
type visit struct {
	customer string
	start    instant.Instant
}

func (o *oracle) visits() map[visit][]*record.Activity {
	all := map[visit][]*record.Activity{}
	for i := range o.h.Activity {
		a := &o.h.Activity[i]
		if sinktest.Received(a) {
			continue
		}
		v := visit{a.CustomerID, a.SessionStart}
		all[v] = append(all[v], a)
	}
	return all
}

type stagePlace struct {
	model string
	place
	stage string
}

func (o *oracle) stagePlaces(t instant.Instant, stages []record.StageAt) []stagePlace {
	var all []stagePlace
	for _, m := range o.h.Models {
		for _, p := range o.places(t) {
			all = append(all, stagePlace{m.Name, p, stageOf(stages, m.Name)})
		}
	}
	return all
}

func (o *oracle) sessions() string {
	type cell struct {
		stagePlace
		platform string
	}
	count, total := map[cell]int{}, map[stagePlace]int{}
	for _, messages := range o.visits() {
		first := messages[0]
		for _, p := range o.stagePlaces(first.EventTime, first.SessionStages) {
			count[cell{p, first.Platform}]++
			p.stage = ""
			total[p]++
		}
	}
	var out lines
	for c, n := range count {
		all := c.stagePlace
		all.stage = ""
		out.add(c.model, string(c.grain), o.date(c.span.start), null(c.stage), c.platform, n, ratio(n, total[all]), o.closed(c.span))
	}
	return out.text()
}

func (o *oracle) sessionsBegun() map[stagePlace]int {
	begun := map[stagePlace]int{}
	for _, messages := range o.visits() {
		for _, p := range o.stagePlaces(messages[0].EventTime, messages[0].SessionStages) {
			begun[p]++
		}
	}
	return begun
}

func (o *oracle) sessionEvents() string {
	type cell struct {
		stagePlace
		event, platform string
	}
	count, begun := map[cell]int{}, o.sessionsBegun()
	for _, one := range o.occurrences() {
		for _, p := range o.stagePlaces(one.At, one.SessionStages) {
			count[cell{p, one.Occurrence.Event, one.Platform}]++
		}
	}
	var out lines
	for c, n := range count {
		out.add(c.model, string(c.grain), o.date(c.span.start), c.event, null(c.stage), c.platform, n, begun[c.stagePlace], ratio(n, begun[c.stagePlace]), o.closed(c.span))
	}
	return out.text()
}

func (o *oracle) eventsPerOrder(event, order string) string {
	events, orders := map[stagePlace]int{}, map[stagePlace]int{}
	for _, one := range o.occurrences(event, order) {
		for _, p := range o.stagePlaces(one.At, one.SessionStages) {
			if one.Occurrence.Event == event {
				events[p]++
			} else {
				orders[p]++
			}
			events[p] += 0 // a row even without any
		}
	}
	var out lines
	for p, n := range events {
		out.add(p.model, string(p.grain), o.date(p.span.start), null(p.stage), n, orders[p], ratio(n, orders[p]), o.closed(p.span))
	}
	return out.text()
}

func (o *oracle) engagement() string {
	type sum struct {
		sessions, pages, messages int
		length                    instant.Instant
		who                       map[string]bool
	}
	sums := map[stagePlace]*sum{}
	for v, messages := range o.visits() {
		first, last, pages := instant.Max, instant.None, 0
		for _, a := range messages {
			first, last = min(first, a.EventTime), max(last, a.EventTime)
			if a.Type == "page" || a.Type == "screen" {
				pages++
			}
		}
		for _, p := range o.stagePlaces(first, messages[0].SessionStages) {
			if sums[p] == nil {
				sums[p] = &sum{who: map[string]bool{}}
			}
			s := sums[p]
			s.sessions++
			s.pages += pages
			s.messages += len(messages)
			s.length += last - first
			s.who[v.customer] = true
		}
	}
	var out lines
	for p, s := range sums {
		n := float64(s.sessions)
		out.add(p.model, string(p.grain), o.date(p.span.start), null(p.stage), s.sessions, len(s.who), float64(s.length)/n/60_000, float64(s.pages)/n, float64(s.messages)/n)
	}
	return out.text()
}

func (o *oracle) visitsWithoutOrder(view, order string) string {
	type cell struct {
		place
		platform string
	}
	visits, without := map[cell]int{}, map[cell]int{}
	of := map[visit][]occurrence{}
	for _, one := range o.occurrences(view, order) {
		v := visit{one.CustomerID, one.SessionStart}
		of[v] = append(of[v], one)
	}
	for _, all := range of {
		slices.SortStableFunc(all, func(a, b occurrence) int { return int(a.At - b.At) })
		viewed, ordered, platform := false, false, ""
		for _, one := range all {
			viewed, ordered = viewed || one.Occurrence.Event == view, ordered || one.Occurrence.Event == order
			if platform == "" {
				platform = one.Platform
			}
		}
		if !viewed {
			continue
		}
		for _, p := range o.places(all[0].At) {
			visits[cell{p, platform}]++
			if !ordered {
				without[cell{p, platform}]++
			}
		}
	}
	var out lines
	for c, n := range visits {
		out.add(string(c.grain), o.date(c.span.start), c.platform, n, without[c], ratio(without[c], n))
	}
	return out.text()
}

func (o *oracle) stageVisits(event string) string {
	var out lines
	times := o.times(event)
	for i := range o.h.Models {
		m := &o.h.Models[i]
		for _, g := range grains {
			for _, p := range o.periods[g] {
				start, visited := map[string]int{}, map[string]int{}
				for customer, changes := range o.people[m.Name] {
					stage := before(changes, p.start)
					start[stage]++
					if slices.ContainsFunc(times[customer], func(t instant.Instant) bool { return t >= p.start && t < p.end }) {
						visited[stage]++
					}
				}
				for stage, n := range start {
					if stage != "" {
						out.add(m.Name, string(g), o.date(p.start), stage, n, visited[stage], ratio(visited[stage], n), o.closed(p))
					}
				}
			}
		}
	}
	return out.text()
}

func (o *oracle) eventCustomers(event string) string {
	with, seen, count := map[stagePlace]map[string]bool{}, map[stagePlace]map[string]bool{}, map[stagePlace]int{}
	for _, one := range o.occurrences() {
		for _, p := range o.stagePlaces(one.At, one.SessionStages) {
			if seen[p] == nil {
				seen[p], with[p] = map[string]bool{}, map[string]bool{}
			}
			seen[p][one.CustomerID] = true
			if one.Occurrence.Event == event {
				with[p][one.CustomerID] = true
				count[p]++
			}
		}
	}
	var out lines
	for p, all := range seen {
		out.add(p.model, string(p.grain), o.date(p.span.start), null(p.stage), len(with[p]), count[p], len(all), ratio(len(with[p]), len(all)))
	}
	return out.text()
}

// middle is the median of some times in days, by linear interpolation; nil of none.
func middle(all []instant.Instant) any {
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	low, high := all[(len(all)-1)/2], all[len(all)/2]
	return (float64(low) + 0.5*float64(high-low)) / 86_400_000
}

func (o *oracle) followed(first, then string, days int) string {
	type sum struct {
		all, closed int
		gaps        []instant.Instant
	}
	sums := map[place]*sum{}
	later := o.times(then)
	for _, one := range o.occurrences(first) {
		next := slices.IndexFunc(later[one.CustomerID], func(t instant.Instant) bool { return within(one.At, t, days) })
		for _, p := range o.places(one.At) {
			if sums[p] == nil {
				sums[p] = &sum{}
			}
			s := sums[p]
			s.all++
			if !o.passed(one.At, days) {
				continue
			}
			s.closed++
			if next >= 0 {
				s.gaps = append(s.gaps, later[one.CustomerID][next]-one.At)
			}
		}
	}
	var out lines
	for p, s := range sums {
		out.add(string(p.grain), o.date(p.span.start), s.all, s.closed, len(s.gaps), ratio(len(s.gaps), s.closed), middle(s.gaps))
	}
	return out.text()
}

func (o *oracle) timeToOrder(event, order string) string {
	type sum struct {
		orders int
		total  instant.Instant
		gaps   []instant.Instant
	}
	sums := map[place]*sum{}
	events := o.times(event)
	for customer, orders := range o.times(order) {
		since := instant.None
		for _, at := range orders {
			first := slices.IndexFunc(events[customer], func(t instant.Instant) bool { return t > since && t <= at })
			for _, p := range o.places(at) {
				if sums[p] == nil {
					sums[p] = &sum{}
				}
				sums[p].orders++
				if first >= 0 {
					gap := at - events[customer][first]
					sums[p].gaps, sums[p].total = append(sums[p].gaps, gap), sums[p].total+gap
				}
			}
			since = at
		}
	}
	var out lines
	for p, s := range sums {
		var mean any
		if len(s.gaps) > 0 {
			mean = float64(s.total) / float64(len(s.gaps)) / 86_400_000
		}
		out.add(string(p.grain), o.date(p.span.start), s.orders, len(s.gaps), middle(s.gaps), mean)
	}
	return out.text()
}

func (o *oracle) onboarding(start string, events []string, days int) string {
	type sum struct{ all, closed, some, each, used int }
	sums := map[place]*sum{}
	for customer, starts := range o.times(start) {
		used := map[string]bool{}
		for _, one := range o.occurrences(events...) {
			if one.CustomerID == customer && within(starts[0], one.At, days) {
				used[one.Occurrence.Event] = true
			}
		}
		for _, p := range o.places(starts[0]) {
			if sums[p] == nil {
				sums[p] = &sum{}
			}
			s := sums[p]
			s.all++
			if !o.passed(starts[0], days) {
				continue
			}
			s.closed++
			s.used += len(used)
			if len(used) > 0 {
				s.some++
			}
			if len(used) == len(events) {
				s.each++
			}
		}
	}
	var out lines
	for p, s := range sums {
		out.add(string(p.grain), o.date(p.span.start), s.all, s.closed, s.some, s.each, ratio(s.some, s.closed), ratio(s.each, s.closed), ratio(s.used, s.closed*len(events)))
	}
	return out.text()
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
