// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"context"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/sink/batch"
)

// Offsets are next offsets per full topic name and partition.
type Offsets = batch.Offsets

// progress is how far everything is written, as this process knows it.
type progress struct {
	mu      sync.Mutex
	next    batch.Offsets
	changed chan struct{} // closed and replaced by raise, under mu
}

func (p *progress) init() {
	p.next = batch.Offsets{}
	p.changed = make(chan struct{})
}

func (p *progress) raise(next batch.Offsets) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for topic, partitions := range next {
		for partition, offset := range partitions {
			p.next.Set(topic, partition, offset)
		}
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// wait returns once next has reached want.
func (p *progress) wait(ctx context.Context, want batch.Offsets) error {
	for {
		p.mu.Lock()
		reached, changed := p.next.Reached(want), p.changed
		p.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// WaitUntil returns once everything below the given next offsets is in ClickHouse
// and committed, by this process or by an earlier run of the group. Partitions that
// another running instance owns are never seen here. Safe for concurrent use.
func (s *Sink) WaitUntil(ctx context.Context, want Offsets) error {
	if err := s.written.wait(ctx, want); err != nil {
		return fmt.Errorf("wait for the sink: %w", err)
	}
	return nil
}

// EndOffsets are the ends of all topics the sink reads, as a reader of committed
// records sees them; empty partitions and topics that do not exist are left out.
// With WaitUntil it says: all that was committed by now is in ClickHouse.
func (s *Sink) EndOffsets(ctx context.Context) (Offsets, error) {
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.cfg.Brokers...)}, s.kafkaOpts...)...)
	if err != nil {
		return nil, fmt.Errorf("create Kafka client: %w", err)
	}
	defer client.Close()
	var names []string
	for _, name := range batch.Topics() {
		names = append(names, s.cfg.Prefix+name)
	}
	admin := kadm.NewClient(client)
	known, err := admin.ListTopics(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	known.FilterInternal()
	names = names[:0]
	for _, t := range known {
		if t.Err == nil {
			names = append(names, t.Topic)
		}
	}
	if len(names) == 0 {
		return Offsets{}, nil
	}
	starts, err := admin.ListStartOffsets(ctx, names...)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("list start offsets: %w", err)
	}
	ends, err := admin.ListCommittedOffsets(ctx, names...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("list end offsets: %w", err)
	}
	next := Offsets{}
	ends.Each(func(o kadm.ListedOffset) {
		if start, ok := starts.Lookup(o.Topic, o.Partition); ok && start.Offset < o.Offset {
			next.Set(o.Topic, o.Partition, o.Offset)
		}
	})
	return next, nil
}
