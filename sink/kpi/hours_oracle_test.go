// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"lapwing/schemas/decimal"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

func (o *oracle) flowByHour() string {
	var out lines
	type edge struct {
		model, from, to string
		hour            instant.Instant
	}
	by := map[edge][2]int{}
	for model, people := range o.people {
		for _, changes := range people {
			for _, c := range changes {
				e := edge{model, c.From, c.To, instant.Of(o.h.Period(c.EffectiveAt, record.Hour))}
				n := by[e]
				if c.Cause.Type == record.CauseEvent || c.Cause.Type == record.CauseDeadline {
					n[0]++
				} else {
					n[1]++
				}
				by[e] = n
			}
		}
	}
	for e, n := range by {
		out.add(e.model, stamp(e.hour), null(e.from), null(e.to), n[0], n[1])
	}
	return out.text()
}

func (o *oracle) eventsByHour() string {
	var out lines
	type place struct {
		event, model, stage string
		hour                instant.Instant
	}
	count, value := map[place]int{}, map[place]decimal.Decimal{}
	for i := range o.h.Orders {
		order := &o.h.Orders[i]
		hour := instant.Of(o.h.Period(order.At, record.Hour))
		places := []place{{order.Event, "", "", hour}}
		for _, s := range order.Stages {
			places = append(places, place{order.Event, s.Model, s.Stage, hour})
		}
		for _, p := range places {
			count[p]++
			value[p] += order.Net()
		}
	}
	for p, n := range count {
		out.add(p.event, null(p.model), null(p.stage), stamp(p.hour), n, value[p], "EUR")
	}
	return out.text()
}
