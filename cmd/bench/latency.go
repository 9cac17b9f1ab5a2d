// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

// load is events that happen now.
type load struct {
	rate   int           // per second
	settle time.Duration // between the program's start and the first event
	warm   time.Duration // before the measured time
	length time.Duration // of the measured time
}

func (l load) check() error {
	var problems []error
	if l.rate < 1 {
		problems = append(problems, fmt.Errorf("--rate is %d: want at least 1", l.rate))
	}
	if l.settle < 0 || l.warm < 0 || l.length <= 0 {
		problems = append(problems, fmt.Errorf("--settle, --warm and --for are %s, %s and %s: want times", l.settle, l.warm, l.length))
	}
	return errors.Join(problems...)
}

// straggle is how long after the measured time its last changes may become visible.
const straggle = 3 * time.Second

// sighting is a stage change in the hands of a reader of committed transactions.
type sighting struct {
	partition int32
	seen      time.Time
	effective time.Time // of the event that caused it: when it was created
	byEvent   bool      // not by a deadline, nor late
}

// watch hands every stage change of a topic over as it becomes visible, until ctx ends.
func watch(ctx context.Context, bootstrap, topic string, fn func(sighting)) error {
	reader, err := newClient(bootstrap, kgo.ConsumeTopics(topic), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(time.Second))
	if err != nil {
		return err
	}
	defer reader.Close()
	for {
		fetches := reader.PollFetches(ctx)
		seen := time.Now()
		if ctx.Err() != nil {
			return nil
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read topic %s: %w", topic, err)
		}
		for record := range fetches.RecordsAll() {
			var change struct {
				Effective time.Time `json:"effective_at"`
				Cause     struct {
					Type string `json:"type"`
				} `json:"cause"`
			}
			if err := json.Unmarshal(record.Value, &change); err != nil {
				return fmt.Errorf("read a stage change: %w", err)
			}
			fn(sighting{record.Partition, seen, change.Effective, change.Cause.Type == "event"})
		}
	}
}

// sightings are what a watch has seen so far. Safe for concurrent use.
type sightings struct {
	mu   sync.Mutex
	list []sighting
}

func (s *sightings) add(one sighting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, one)
}

func (s *sightings) all() []sighting {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

// latencies are the milliseconds from created to visible of the changes that events of
// [from, until) caused, sorted.
func latencies(seen []sighting, from, until time.Time) []float64 {
	var ms []float64
	for _, s := range seen {
		if s.byEvent && !s.effective.Before(from) && s.effective.Before(until) {
			ms = append(ms, s.seen.Sub(s.effective).Seconds()*1000)
		}
	}
	slices.Sort(ms)
	return ms
}

// latency measures every contender in turns under live load.
func (b *bench) latency(ctx context.Context, contenders []contender, l load) error {
	for round := 1; round <= b.rounds; round++ {
		for _, c := range contenders {
			p, err := b.livePlace(ctx, c, round)
			if err != nil {
				return err
			}
			res, err := b.latencyOnce(ctx, c, p, l, round)
			if err := errors.Join(err, b.leave(ctx, p)); err != nil {
				return err
			}
			b.tell(res, "samples", "p50_ms", "p99_ms", "cpu_s", "others_share")
			if err := b.report.add(res); err != nil {
				return err
			}
		}
	}
	var comparisons []comparison
	for _, other := range []string{peerInMemory, peerOnDisk} {
		for _, figure := range []string{"p50_ms", "p99_ms", "cpu_s"} {
			comparisons = append(comparisons, comparison{figure, plainLapwing, other})
		}
	}
	return b.report.finish(b.stdout, []string{"p50_ms", "p90_ms", "p99_ms", "max_ms", "cpu_s", "rss_peak_mb", "others_share"}, comparisons)
}

// livePlace is a place with an input of its own: events of another run are not now.
func (b *bench) livePlace(ctx context.Context, c contender, round int) (place, error) {
	p, err := b.newPlace(fmt.Sprintf("%s-%d", c.name(), round), "", true)
	if err != nil {
		return place{}, err
	}
	p.input = p.id + "-in"
	if err := createTopic(ctx, b.adm, p.input, nil); err != nil {
		return place{}, err
	}
	return p, c.prepare(ctx, b, p)
}

func (b *bench) latencyOnce(ctx context.Context, c contender, p place, l load, round int) (result, error) {
	program, err := c.start(ctx, b, p)
	if err != nil {
		return result{}, err
	}
	defer program.stop()
	if err := pause(ctx, l.settle); err != nil {
		return result{}, err
	}
	var seen sightings
	var u usage
	from := time.Now().Add(l.warm)
	until := from.Add(l.length)
	err = b.underLoad(ctx, c.output(p), p.input, l.rate, uint64(round), seen.add, func(ctx context.Context) error {
		if err := pause(ctx, time.Until(from)); err != nil {
			return err
		}
		m := beginMeter(b.brokerPID, program.tree)
		if err := pause(ctx, time.Until(until)); err != nil {
			return err
		}
		u = m.read()
		return pause(ctx, straggle)
	})
	if err := errors.Join(err, program.alive()); err != nil {
		return result{}, err
	}
	ms := latencies(seen.all(), from, until)
	if len(ms) == 0 {
		return result{}, fmt.Errorf("%s made no change visible in %s:\n%s", c.name(), l.length, program.lastWords())
	}
	res := result{contender: c.name(), round: round}
	res.add("rate", float64(l.rate))
	res.add("seconds", u.seconds)
	res.add("samples", float64(len(ms)))
	res.add("p50_ms", percentile(ms, 0.5))
	res.add("p90_ms", percentile(ms, 0.9))
	res.add("p99_ms", percentile(ms, 0.99))
	res.add("max_ms", percentile(ms, 1))
	res.addUsage(u)
	return res, nil
}

// underLoad runs act while events are written and the output is watched; both end with it.
func (b *bench) underLoad(ctx context.Context, output, input string, rate int, salt uint64, fn func(sighting), act func(context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group.Go(func() error { return watch(ctx, b.bootstrap, output, fn) })
	group.Go(func() error {
		return writeLive(ctx, b.bootstrap, input, newTraffic(b.seed+salt, b.customers), rate)
	})
	group.Go(func() error {
		defer stop()
		return act(ctx)
	})
	return group.Wait()
}
