// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"lapwing/schemas/instant"
)

// tries is how often a run that others disturbed is made at most.
const tries = 3

// The figures of a drain that its table shows.
func drainShown() []string {
	return []string{"events_per_s", "drain_events_per_s", "cpu_s", "rss_peak_mb", "output_records", "others_share"}
}

// drain measures every contender in turns on one backlog. With compare, the stage changes
// of all runs have to be those of the first.
func (b *bench) drain(ctx context.Context, contenders []contender, compare bool) error {
	input, err := b.backlog(ctx)
	if err != nil {
		return err
	}
	judge := &judge{}
	if compare {
		if judge.until, err = b.commonClock(ctx, input); err != nil {
			return err
		}
	}
	for round := 1; round <= b.rounds; round++ {
		for _, c := range contenders {
			for try := 1; ; try++ {
				p, err := b.newPlace(fmt.Sprintf("%s-%d-%d", c.name(), round, try), input, false)
				if err != nil {
					return err
				}
				if err := c.prepare(ctx, b, p); err != nil {
					return err
				}
				res, err := b.drainOnce(ctx, c, p)
				if err != nil {
					return errors.Join(err, b.leave(ctx, p))
				}
				res.round = round
				if compare {
					if err := b.judge(ctx, judge, c, p); err != nil {
						return err
					}
				}
				if err := b.leave(ctx, p); err != nil {
					return err
				}
				b.tell(res, "events_per_s", "cpu_s", "others_share")
				if share, _ := res.value("others_share"); b.maxOthers > 0 && share > b.maxOthers && try < tries {
					b.say("others disturbed that run: once more")
					continue
				}
				if err := b.report.add(res); err != nil {
					return err
				}
				break
			}
		}
	}
	if err := b.report.finish(b.stdout, drainShown(), drainComparisons()); err != nil {
		return err
	}
	return judge.verdict(b.stdout)
}

// tell prints some of a result's figures as progress.
func (b *bench) tell(res result, names ...string) {
	text := fmt.Sprintf("%s, round %d:", res.contender, res.round)
	for _, name := range names {
		if value, ok := res.value(name); ok {
			text += fmt.Sprintf(" %s %s", name, digits(value))
		}
	}
	b.say("%s", text)
}

// drainOnce runs a program from its start until it has committed the whole input, then
// stops it. What is counted afterwards is outside of the measured time.
func (b *bench) drainOnce(ctx context.Context, c contender, p place) (result, error) {
	ctx, cancel := b.limited(ctx)
	defer cancel()
	goals, err := c.goals(ctx, b, p)
	if err != nil {
		return result{}, err
	}
	end, err := goals[0].end(ctx)
	if err != nil {
		return result{}, err
	}
	begin, err := groupOffsets(ctx, b.adm, goals[0].group, goals[0].topic)
	if err != nil {
		begin = offsets{} // no group yet
	}
	events := float64(end.sum() - begin.sum())

	m := beginMeter(b.brokerPID, nil)
	program, err := c.start(ctx, b, p)
	if err != nil {
		return result{}, err
	}
	defer program.stop()
	m.follow(program.tree)
	seen, err := b.reach(ctx, program, goals)
	if err != nil {
		return result{}, err
	}
	u := m.read()

	res := result{contender: c.name()}
	res.add("events", events)
	res.add("seconds", u.seconds)
	res.add("events_per_s", events/u.seconds)
	if started := seen.first.Sub(m.at).Seconds(); !seen.first.IsZero() {
		res.add("first_commit_s", started)
		if rest := events - float64(seen.firstSeen); rest > 0 {
			res.add("drain_events_per_s", rest/(u.seconds-started))
		}
	}
	res.addUsage(u)
	if output := c.output(p); output != "" {
		late, err := b.settle(ctx, program, goals[len(goals)-1], output)
		if err != nil {
			return result{}, err
		}
		res.add("changes_after_s", late)
		n, err := countRecords(ctx, b.bootstrap, output)
		if err != nil {
			return result{}, err
		}
		res.add("output_records", float64(n))
	}
	return res, nil
}

// calm is how long nothing may have come for a stream to count as settled: several times
// what a router takes to forward clocks.
const calm = 2 * time.Second

// settle waits until nothing has come to the output for a while, nor to what is read, and
// tells how long things came: deadlines that fire only after the last event's position was
// committed, behind a router because the clocks come behind the events.
func (b *bench) settle(ctx context.Context, program *child, last goal, output string) (seconds float64, err error) {
	begin := time.Now()
	newest := begin
	for before := int64(-1); time.Since(newest) < calm; {
		if _, err := b.reach(ctx, program, []goal{last}); err != nil {
			return 0, err
		}
		sum := int64(0)
		for _, topic := range []string{last.topic, output} {
			now, err := stableOffsets(ctx, b.adm, topic)
			if err != nil {
				return 0, err
			}
			sum += now.sum()
		}
		if sum != before {
			if before >= 0 {
				newest = time.Now()
			}
			before = sum
		}
		if err := pause(ctx, pollInterval); err != nil {
			return 0, err
		}
	}
	return newest.Sub(begin).Seconds(), nil
}

// commonClock is the event time that every partition of a backlog has come to: behind a
// router the clock of all customers stops there, and later deadlines do not fire.
func (b *bench) commonClock(ctx context.Context, input string) (instant.Instant, error) {
	newest, err := newestTimes(ctx, b.bootstrap, b.adm, input)
	if err != nil {
		return instant.None, err
	}
	if len(newest) == 0 {
		return instant.None, nil
	}
	return slices.Min(slices.Collect(maps.Values(newest))), nil
}
