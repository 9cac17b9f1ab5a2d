// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"lapwing/schemas/mailbox"
	"lapwing/schemas/topics"
)

// ErrLanes says that the number of lanes is not the one a generation was computed with.
var ErrLanes = errors.New("the number of lanes of a generation is fixed")

// watchInterval is how often the topics are looked at. A partition that somebody adds
// is found within it, and within as long again by the router.
const watchInterval = 30 * time.Second

// inputs is how many partitions the routed inputs have. A lane's clock follows every
// one of them, so lanes learn of a new one from here: whoever finds it first, the
// watch or a lane that is told its clock, notes it. Safe for concurrent use.
type inputs struct {
	cfg *Config

	mu     sync.Mutex
	counts map[string]int32 // by topic, only the routed ones; replaced, never changed
}

func newInputs(cfg *Config) *inputs { return &inputs{cfg: cfg, counts: map[string]int32{}} }

// learn takes in how many partitions topics have and reports which have more than was
// known. Fewer is what a broker says that has not heard of the newest yet.
func (i *inputs) learn(counts map[string]int32) (grown []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for topic, n := range counts {
		if n > i.counts[topic] {
			grown = append(grown, topic)
		}
	}
	if len(grown) > 0 {
		now := maps.Clone(i.counts)
		for _, topic := range grown {
			now[topic] = counts[topic]
		}
		i.counts = now
	}
	return grown
}

// sources are all sources that can reach the lane and hold its clock.
func (i *inputs) sources(lane int32) []mailbox.Source {
	i.mu.Lock()
	counts := i.counts
	i.mu.Unlock()
	return i.cfg.sources(lane, counts)
}

// size is how many sources a lane has; the same for each.
func (i *inputs) size() (n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, in := range i.cfg.Inputs {
		switch {
		case in.IgnoreClock:
		case in.Keyed:
			n++
		default:
			n += int(i.counts[in.Topic])
		}
	}
	return n
}

// adopt adds to the lanes' clocks the sources that have come since. Until a new one is
// heard from, it holds the clock where it stands. The lanes' holder calls it.
func (i *inputs) adopt(lanes map[int32]*lane) {
	n := i.size()
	for _, l := range lanes {
		if len(l.configured) < n {
			l.configure(i.sources(l.id.Lane))
		}
	}
}

// meet makes a source known whose clock came before the watch had found it: a clock
// that is told once must not be missed.
func (i *inputs) meet(l *lane, src mailbox.Source) {
	if l.clock.Has(src) {
		return
	}
	i.mu.Lock()
	_, routed := i.counts[src.Topic]
	i.mu.Unlock()
	if routed { // else an input that was taken out
		i.learn(map[string]int32{src.Topic: src.Partition + 1})
		l.configure(i.sources(l.id.Lane))
	}
}

func (l *lane) configure(sources []mailbox.Source) {
	l.configured = sources
	for _, s := range sources {
		l.clock.Add(s)
	}
}

// watch looks at the topics until ctx ends (nil) or lanes would be torn.
func (w *Worker) watch(ctx context.Context) error {
	client, err := kgo.NewClient(clientOpts(&w.cfg, &w.deps, w.cfg.member("", 0)+"-watch")...)
	if err != nil {
		return fmt.Errorf("create client to watch topics: %w", err)
	}
	defer client.Close()
	w.report(ctx, client)
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := w.look(ctx, client)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrLanes):
			return err
		case err != nil:
			w.deps.Log.Warn("topics could not be looked at; new partitions are found later", zap.Error(err))
		}
	}
}

// report logs once what an audit finds.
func (w *Worker) report(ctx context.Context, client *kgo.Client) {
	audit, err := AuditTopics(ctx, client, &w.cfg)
	if err != nil {
		if ctx.Err() == nil {
			w.deps.Log.Warn("the settings of topics and brokers could not be checked", zap.Error(err))
		}
		return
	}
	say := func(topic string, problems []Problem) {
		for _, p := range problems {
			w.deps.Log.Warn("a setting is not as it should be", zap.String("topic", topic), zap.String("setting", p.Setting),
				zap.String("is", p.Is), zap.String("should_be", p.Want), zap.String("why", p.Why), zap.String("change", p.Change))
		}
	}
	for _, t := range audit.Topics {
		say(t.Name, t.Problems)
	}
	say("", audit.Cluster)
}

// look finds partitions that came since the start.
func (w *Worker) look(ctx context.Context, client *kgo.Client) error {
	have, err := describeTopics(ctx, client, &w.cfg)
	if err != nil {
		return err
	}
	fixed := w.cfg.keyed()
	for _, t := range topics.All() {
		if t.Lanes {
			fixed = append(fixed, t.Full(w.cfg.Prefix))
		}
	}
	for _, topic := range fixed {
		// Fewer than before is what a broker says that has not heard of all yet.
		if d := have[topic]; d.err == nil && d.partitions > w.cfg.Lanes {
			return raised(&w.cfg, topic, d.partitions)
		}
	}
	counts := map[string]int32{}
	for _, topic := range w.cfg.routed() {
		if d := have[topic]; d.err == nil {
			counts[topic] = d.partitions
		}
	}
	for _, topic := range w.inputs.learn(counts) {
		w.deps.Log.Info("an input has more partitions; the lanes' clocks follow them from now on",
			zap.String("topic", topic), zap.Int32("partitions", counts[topic]))
	}
	return nil
}

// raised says what to do about a topic that somebody gave more partitions than there
// are lanes. Going on would compute a customer in two lanes, or leave events unread.
func raised(cfg *Config, topic string, partitions int32) error {
	return fmt.Errorf("topic %s has %d partitions, generation %d was computed with %d lanes: %w: %s",
		topic, partitions, cfg.Generation, cfg.Lanes, ErrLanes, otherLanes)
}

// otherLanes is the way to another number of lanes, or of partitions of a keyed input.
const otherLanes = "run another generation with `lapwing rebuild`, which computes from the beginning: " +
	"from a configuration with the next generation and keyed: false for an input that has other partitions, " +
	"or with other lanes, another kafka.prefix, and stream.from naming the prefix, group and generation that run now"
