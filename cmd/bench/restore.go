// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/topics"
)

// The two ways to start again.
const (
	fromStore     = "from-local-store"
	fromChangelog = "from-changelog"
)

// restore measures how long an instance takes to be ready when it starts again: with its
// local store as it left it, and without.
func (b *bench) restore(ctx context.Context) error {
	c := lapwing{label: plainLapwing}
	p, err := b.roster(ctx, c, "restore", b.customers)
	if err != nil {
		return err
	}
	size, err := b.changelog(ctx, p)
	if err == nil {
		err = b.restarts(ctx, c, p, size)
	}
	if err := errors.Join(err, b.leave(ctx, p)); err != nil {
		return err
	}
	return b.report.finish(b.stdout, []string{"ready_s", "customers_per_s", "changelog_mb_per_s", "cpu_s", "rss_peak_mb", "others_share"}, nil)
}

// roster is a place in which each customer has had one event, which Lapwing has drained.
func (b *bench) roster(ctx context.Context, c lapwing, what string, customers int) (place, error) {
	p, err := b.newPlace(what, "", false)
	if err != nil {
		return place{}, err
	}
	return p, b.fill(ctx, c, &p, customers, backlogStart().AddDate(0, 0, -1))
}

// fill gives a place an input of its own, with an event of each customer at that time, and
// has Lapwing drain it.
func (b *bench) fill(ctx context.Context, c lapwing, p *place, customers int, at time.Time) error {
	p.input = p.id + "-in"
	if err := createTopic(ctx, b.adm, p.input, nil); err != nil {
		return err
	}
	b.say("writing an event of each of %d customers", customers)
	if err := writeRoster(ctx, b.bootstrap, p.input, newTraffic(b.seed, customers), at); err != nil {
		return err
	}
	if err := c.prepare(ctx, b, *p); err != nil {
		return err
	}
	b.say("draining them, which fills the store")
	res, err := b.drainOnce(ctx, c, *p)
	if err != nil {
		return err
	}
	b.tell(res, "seconds", "events_per_s", "rss_peak_mb")
	return nil
}

// changelogSize is what a restore has to read.
type changelogSize struct {
	customers int
	records   int
	megabytes float64 // of keys and values
	onDisk    float64 // megabytes of the topic, compressed
}

// changelog reads it as a restore does.
func (b *bench) changelog(ctx context.Context, p place) (changelogSize, error) {
	topic := p.id + "-" + topics.State
	size := changelogSize{customers: b.customers}
	err := readTopic(ctx, b.bootstrap, topic, nil, func(r *kgo.Record) error {
		size.records++
		size.megabytes += float64(len(r.Key)+len(r.Value)) / 1e6
		return nil
	})
	if err != nil {
		return size, err
	}
	dirs, err := b.adm.DescribeAllLogDirs(ctx, kadm.TopicsSet{topic: nil})
	if err != nil {
		return size, fmt.Errorf("ask for the size of topic %s: %w", topic, err)
	}
	dirs.Each(func(d kadm.DescribedLogDir) { size.onDisk += float64(d.Size()) / 1e6 })
	return size, nil
}

func (b *bench) restarts(ctx context.Context, c lapwing, p place, size changelogSize) error {
	for round := 1; round <= b.rounds; round++ {
		for _, way := range []string{fromStore, fromChangelog} {
			if way == fromChangelog {
				if err := os.RemoveAll(c.stateDir(p)); err != nil {
					return fmt.Errorf("remove the local store: %w", err)
				}
			}
			res, err := b.restartOnce(ctx, c, p)
			if err != nil {
				return err
			}
			res.contender, res.round = way, round
			seconds, _ := res.value("ready_s")
			res.add("customers", float64(size.customers))
			res.add("customers_per_s", float64(size.customers)/seconds)
			if way == fromChangelog {
				res.add("changelog_records", float64(size.records))
				res.add("changelog_mb", size.megabytes)
				res.add("changelog_disk_mb", size.onDisk)
				res.add("changelog_mb_per_s", size.megabytes/seconds)
			}
			b.tell(res, "ready_s", "customers_per_s", "changelog_mb_per_s", "others_share")
			if err := b.report.add(res); err != nil {
				return err
			}
		}
	}
	return nil
}

// restartOnce measures from a process's start until it says that it is ready.
func (b *bench) restartOnce(ctx context.Context, c lapwing, p place) (result, error) {
	ctx, cancel := b.limited(ctx)
	defer cancel()
	// The group forgets an instance that ended in good order at once, so nothing is
	// waited for that is not part of a start.
	m := beginMeter(b.brokerPID, nil)
	program, address, err := c.serve(ctx, b, p)
	if err != nil {
		return result{}, err
	}
	defer program.stop()
	m.follow(program.tree)
	if err := awaitReady(ctx, program, address); err != nil {
		return result{}, err
	}
	ready := time.Since(m.at)
	u := m.read()
	var res result
	res.add("ready_s", ready.Seconds())
	res.addUsage(u)
	return res, nil
}
