// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// contender is a program to measure.
type contender interface {
	name() string
	// prepare makes what the program finds there when it starts.
	prepare(ctx context.Context, b *bench, p place) error
	start(ctx context.Context, b *bench, p place) (*child, error)
	// goals are what has to be reached, one after the other, for a backlog to be done.
	goals(ctx context.Context, b *bench, p place) ([]goal, error)
	// output is the topic of stage changes; empty if there is none.
	output(p place) string
}

// The names of the contenders.
const (
	plainLapwing    = "lapwing"
	withAggregates  = "lapwing-aggregates"
	withAll         = "lapwing-aggregates-activity"
	throughRouter   = "lapwing-routed"
	peerOnDisk      = "peer-rocksdb"
	peerInMemory    = "peer-mem"
	consumeAndParse = "parse"
)

// drainContenders are all of a drain, in the order of their turns. Those that are to be
// compared closely stand next to each other.
func drainContenders(peerThere bool) []contender {
	all := []contender{lapwing{label: plainLapwing}}
	if peerThere {
		all = append(all, peer{label: peerOnDisk, store: "rocksdb"}, peer{label: peerInMemory, store: "mem"})
	}
	return append(all,
		lapwing{label: withAggregates, aggregates: true},
		lapwing{label: withAll, aggregates: true, activity: true},
		lapwing{label: throughRouter, routed: true},
		parser{label: consumeAndParse},
	)
}

// latencyContenders are those that live load is given to.
func latencyContenders(peerThere bool) []contender {
	all := []contender{lapwing{label: plainLapwing}}
	if peerThere {
		all = append(all, peer{label: peerInMemory, store: "mem"}, peer{label: peerOnDisk, store: "rocksdb"})
	}
	return all
}

// chosen keeps the named ones; no names: all.
func chosen(all []contender, names []string) ([]contender, error) {
	if len(names) == 0 {
		return all, nil
	}
	var known []string
	for _, c := range all {
		known = append(known, c.name())
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("--only %q is not among %s (with --peer there are more)", name, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(all, func(c contender) bool { return !slices.Contains(names, c.name()) }), nil
}

// drainComparisons are the ratios that are worth reading; those of contenders that did
// not run are left out later.
func drainComparisons() []comparison {
	var all []comparison
	for _, c := range []string{plainLapwing, withAggregates, withAll, throughRouter} {
		for _, other := range []string{peerOnDisk, peerInMemory} {
			all = append(all, comparison{"events_per_s", c, other}, comparison{"cpu_s", c, other})
		}
	}
	all = append(all, comparison{"events_per_s", plainLapwing, consumeAndParse})
	for _, c := range []string{withAggregates, withAll, throughRouter} {
		all = append(all, comparison{"events_per_s", c, plainLapwing})
	}
	return all
}

// goal is a group's position in a topic that has to be reached. end is asked for once,
// when the goals before it have been.
type goal struct {
	group string
	topic string
	end   func(ctx context.Context) (offsets, error)
}

// pollInterval is how exactly the end of a run is known.
const pollInterval = 40 * time.Millisecond

// progress is what was seen of a backlog.
type progress struct {
	first     time.Time // when a committed position was seen first
	firstSeen int64     // and how many records it covered
}

// reach waits until the program has reached every goal.
func (b *bench) reach(ctx context.Context, c *child, goals []goal) (progress, error) {
	var seen progress
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for i, g := range goals {
		end, err := g.end(ctx)
		if err != nil {
			return seen, err
		}
		begin, err := groupOffsets(ctx, b.adm, g.group, g.topic)
		if err != nil {
			begin = offsets{} // no group yet
		}
		for last := begin; ; {
			if err := c.alive(); err != nil {
				return seen, err
			}
			at, err := groupOffsets(ctx, b.adm, g.group, g.topic)
			if err == nil { // while its coordinator is made there may be none
				last = at
				if covered := at.sum() - begin.sum(); i == 0 && covered > 0 && seen.first.IsZero() {
					seen = progress{first: time.Now(), firstSeen: covered}
				}
				if reached(at, end) {
					break
				}
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return seen, fmt.Errorf("wait for %s, which has read %d of %d of topic %s: %w\n%s", c.name, last.sum(), end.sum(), g.topic, context.Cause(ctx), c.lastWords())
			}
		}
	}
	return seen, nil
}

// reached tells whether every partition has come to its end.
func reached(at, end offsets) bool {
	for partition, offset := range end {
		if at[partition] < offset {
			return false
		}
	}
	return true
}
