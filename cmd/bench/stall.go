// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// stallPatience bounds how long a round waits for the stream to go on.
const stallPatience = time.Minute

// killTries is how often a worker is killed in a round until one held an open transaction.
const killTries = 5

// stall kills a worker that holds a transaction, under live load, and measures for how
// long a reader of committed transactions sees nothing.
func (b *bench) stall(ctx context.Context, l load) error {
	for round := 1; round <= b.rounds; round++ {
		var res result
		for try := 1; ; try++ {
			c := lapwing{label: plainLapwing}
			p, err := b.livePlace(ctx, c, round*killTries+try)
			if err != nil {
				return err
			}
			var held bool
			res, held, err = b.stallOnce(ctx, c, p, l, round)
			if err := errors.Join(err, b.leave(ctx, p)); err != nil {
				return err
			}
			if held {
				break
			}
			if try == killTries {
				return fmt.Errorf("kill a worker that holds a transaction: %d held none; a higher --rate makes it likelier", killTries)
			}
			b.say("the worker held no transaction when it was killed: once more")
		}
		b.tell(res, "stall_ms", "worst_partition_ms", "usual_ms")
		if err := b.report.add(res); err != nil {
			return err
		}
	}
	return b.report.finish(b.stdout, []string{"stall_ms", "worst_partition_ms", "usual_ms"}, nil)
}

func (b *bench) stallOnce(ctx context.Context, c lapwing, p place, l load, round int) (res result, held bool, err error) {
	ctx, cancel := b.limited(ctx)
	defer cancel()
	worker, err := c.start(ctx, b, p)
	if err != nil {
		return result{}, false, err
	}
	defer func() { worker.stop() }()
	if err := pause(ctx, l.settle); err != nil {
		return result{}, false, err
	}
	var seen sightings
	var killed time.Time
	begin := time.Now()
	err = b.underLoad(ctx, c.output(p), p.input, l.rate, uint64(round), seen.add, func(ctx context.Context) error {
		if err := pause(ctx, l.warm); err != nil {
			return err
		}
		if err := worker.alive(); err != nil {
			return err
		}
		if len(seen.all()) == 0 {
			return fmt.Errorf("no change was visible in %s:\n%s", l.warm, worker.lastWords())
		}
		killed = time.Now()
		worker.kill()
		// Whatever is open now was open when it died: nobody is there to end it.
		if held, err = b.holdsTransaction(ctx, c.group(p)); err != nil || !held {
			return err
		}
		if worker, err = c.start(ctx, b, p); err != nil {
			return err
		}
		for wentOn := false; !wentOn; {
			if time.Since(killed) > stallPatience {
				return fmt.Errorf("the stream did not go on within %s:\n%s", stallPatience, worker.lastWords())
			}
			if err := errors.Join(worker.alive(), pause(ctx, 10*time.Millisecond)); err != nil {
				return err
			}
			wentOn = len(lastGaps(seen.all(), killed)) == len(partitionsOf(seen.all(), killed))
		}
		return pause(ctx, l.length)
	})
	if err != nil || !held {
		return result{}, false, err
	}
	all := seen.all()
	res = result{contender: c.label, round: round}
	res.add("rate", float64(l.rate))
	res.add("stall_ms", longestGap(all, killed, time.Now()))
	worst := 0.0
	for _, gap := range lastGaps(all, killed) {
		worst = max(worst, gap)
	}
	res.add("worst_partition_ms", worst)
	res.add("usual_ms", longestGap(all, begin.Add(l.warm/2), killed))
	return res, true, nil
}

// holdsTransaction tells whether a worker of the group has a transaction open. Its
// transactional ids begin with the group's name.
func (b *bench) holdsTransaction(ctx context.Context, group string) (bool, error) {
	open, err := b.adm.ListTransactions(ctx, nil, []string{"Ongoing"})
	if err != nil {
		return false, fmt.Errorf("list open transactions: %w", err)
	}
	for id := range open {
		if strings.HasPrefix(id, group+"-") {
			return true, nil
		}
	}
	return false, nil
}

// longestGap is the longest time, in milliseconds, in which nothing was seen, of those
// that reach into [from, until].
func longestGap(all []sighting, from, until time.Time) (ms float64) {
	for i := 1; i < len(all); i++ {
		if a, b := all[i-1].seen, all[i].seen; !b.Before(from) && !a.After(until) {
			ms = max(ms, b.Sub(a).Seconds()*1000)
		}
	}
	return ms
}

// partitionsOf are the partitions in which something was seen before an instant.
func partitionsOf(all []sighting, before time.Time) map[int32]bool {
	found := map[int32]bool{}
	for _, s := range all {
		if s.seen.Before(before) {
			found[s.partition] = true
		}
	}
	return found
}

// lastGaps is, for each partition that goes on, the milliseconds between the last change
// seen of before a kill and the first that was created after it. A change that was
// created before the kill may still become visible later: that is no sign of a successor.
func lastGaps(all []sighting, killed time.Time) map[int32]float64 {
	last := map[int32]time.Time{}
	gaps := map[int32]float64{}
	for _, s := range all {
		before, known := last[s.partition]
		_, done := gaps[s.partition]
		switch {
		case done:
		case s.seen.Before(killed) || s.effective.Before(killed):
			if s.seen.Before(killed) {
				last[s.partition] = s.seen
			}
		case known:
			gaps[s.partition] = s.seen.Sub(before).Seconds() * 1000
		}
	}
	return gaps
}
