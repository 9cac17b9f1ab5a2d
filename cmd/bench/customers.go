// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
)

// customersMode measures the same backlog over many customers and over few, all of whom are in
// the store when it begins. Each round goes on where the last one ended, in event time too.
func (b *bench) customersMode(ctx context.Context, few int) (err error) {
	c := lapwing{label: plainLapwing}
	type base struct {
		label string
		count int
		place place
	}
	bases := []base{{label: baseLabel(b.customers), count: b.customers}, {label: baseLabel(few), count: few}}
	defer func() {
		for _, base := range bases {
			if base.place.id != "" {
				err = errors.Join(err, b.leave(ctx, base.place))
			}
		}
	}()
	for i := range bases {
		if bases[i].place, err = b.roster(ctx, c, bases[i].label, bases[i].count); err != nil {
			return err
		}
	}
	from := backlogStart()
	for round := 1; round <= b.rounds; round++ {
		for _, base := range bases {
			b.say("writing a backlog of %d events of %s", b.events, base.label)
			if err := writeBacklog(ctx, b.bootstrap, base.place.input, newTraffic(b.seed+uint64(round), base.count), b.events, from); err != nil {
				return err
			}
			res, err := b.drainOnce(ctx, c, base.place)
			if err != nil {
				return err
			}
			res.contender, res.round = base.label, round
			b.tell(res, "events_per_s", "cpu_s", "rss_peak_mb", "others_share")
			if err := b.report.add(res); err != nil {
				return err
			}
		}
		from = from.Add(backlogSpan)
	}
	return b.report.finish(b.stdout, []string{"events_per_s", "drain_events_per_s", "first_commit_s", "cpu_s", "rss_peak_mb", "others_share"},
		[]comparison{{"events_per_s", bases[0].label, bases[1].label}, {"drain_events_per_s", bases[0].label, bases[1].label}})
}

func baseLabel(customers int) string { return fmt.Sprintf("%d-customers", customers) }
