// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"slices"

	"lapwing/schemas/record"
	"lapwing/sink/sinktest"
)

func (o *oracle) stageMoves() string {
	var out lines
	o.each(func(m *sinktest.Model, g record.Grain, p span) {
		type move struct{ from, to string }
		count := map[move]int{}
		for _, changes := range o.people[m.Name] {
			if v := (move{before(changes, p.start), before(changes, p.end)}); v != (move{}) {
				count[v]++
			}
		}
		for v, n := range count {
			out.add(m.Name, string(g), o.date(p.start), null(v.from), null(v.to), n)
		}
	})
	return out.text()
}

func (o *oracle) stageRetention() string {
	var out lines
	for i := range o.h.Models {
		m := &o.h.Models[i]
		kept := func(stage string) bool {
			return stage != "" && stage != m.Order[0] && !slices.Contains(m.Churned, stage)
		}
		for _, g := range []record.Grain{record.Week, record.Month} {
			for i, p := range o.periods[g] {
				var cohort [][]record.Record
				for _, changes := range o.people[m.Name] {
					first := slices.IndexFunc(changes, func(c record.Record) bool { return kept(c.To) })
					if first >= 0 && o.at(g, changes[first].EffectiveAt) == i {
						cohort = append(cohort, changes)
					}
				}
				if len(cohort) == 0 {
					continue
				}
				for n, later := range o.periods[g][i:] {
					retained := 0
					for _, changes := range cohort {
						if kept(before(changes, later.end)) {
							retained++
						}
					}
					out.add(m.Name, string(g), o.date(p.start), n, len(cohort), retained, ratio(retained, len(cohort)), o.closed(later))
				}
			}
		}
	}
	return out.text()
}

func (o *oracle) segmentPopulation() string {
	var out lines
	people := map[string]map[string][]record.Record{} // segment, customer
	for _, c := range o.h.Changes {
		if c.Kind != record.SegmentChange {
			continue
		}
		if people[c.Segment] == nil {
			people[c.Segment] = map[string][]record.Record{}
		}
		people[c.Segment][c.CustomerID] = append(people[c.Segment][c.CustomerID], c)
	}
	for segment, customers := range people {
		for _, g := range grains {
			for _, p := range o.periods[g] {
				standing, entered, left := 0, 0, 0
				for _, changes := range customers {
					inside := false
					for _, c := range changes {
						if c.EffectiveAt < p.end {
							inside = c.Entered
						}
					}
					if inside {
						standing++
					}
					for _, c := range in(changes, p) {
						if c.Entered {
							entered++
						} else {
							left++
						}
					}
				}
				out.add(segment, string(g), o.date(p.start), standing, entered, left, o.closed(p))
			}
		}
	}
	return out.text()
}
