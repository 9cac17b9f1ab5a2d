// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// tail reads a topic up to where it ended when the tail was opened, as a
// read_uncommitted reader sees the end, but only what was committed: a commit may be
// answered, and its offsets be visible, while its marker is still on its way, and
// would be lost by who reads to the last stable offset. Markers count: a log that a
// transaction wrote ends in one.
type tail struct {
	client       *kgo.Client
	topic        string
	starts, ends kadm.ListedOffsets
}

// openTail finds out where the topic begins and ends. It must be closed.
func openTail(ctx context.Context, cfg *Config, deps *Deps, topic string, opts ...kgo.Opt) (*tail, error) {
	client, err := kgo.NewClient(append(clientOpts(cfg, deps, cfg.member("", 0)+"-reader"), opts...)...)
	if err != nil {
		return nil, fmt.Errorf("create reader: %w", err)
	}
	t := &tail{client: client, topic: topic}
	adm := kadm.NewClient(client)
	if t.starts, err = adm.ListStartOffsets(ctx, topic); err == nil {
		err = t.starts.Error()
	}
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("find the beginning of the log: %w", err)
	}
	if t.ends, err = adm.ListEndOffsets(ctx, topic); err == nil {
		err = t.ends.Error()
	}
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("find the end of the log: %w", err)
	}
	return t, nil
}

func (t *tail) close() { t.client.Close() }

// span is where a partition begins and ends.
func (t *tail) span(partition int32) (begins, ends int64, err error) {
	s, ok := t.starts.Lookup(t.topic, partition)
	e, also := t.ends.Lookup(t.topic, partition)
	if !ok || !also {
		return 0, 0, fmt.Errorf("find the ends of topic %s: there is no partition %d", t.topic, partition)
	}
	return s.Offset, e.Offset, nil
}

// read calls fn with what was committed in the partitions from the given offsets on
// (none given: all of the topic, from its beginning). With a client that has pools a
// record is valid only during the call.
func (t *tail) read(ctx context.Context, from map[int32]int64, fn func(*kgo.Record) error) error {
	all := len(from) == 0
	open := map[int32]int64{} // partition -> end
	consume := map[int32]kgo.Offset{}
	t.ends.Each(func(o kadm.ListedOffset) {
		next, wanted := from[o.Partition]
		if !all && !wanted {
			return
		}
		if s, ok := t.starts.Lookup(t.topic, o.Partition); ok {
			next = max(next, s.Offset)
		}
		if next < o.Offset {
			open[o.Partition] = o.Offset
			consume[o.Partition] = kgo.NewOffset().At(next)
		}
	})
	if len(open) == 0 {
		return nil
	}
	t.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{t.topic: consume})
	for len(open) > 0 {
		fetches := t.client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			end, wanted := open[r.Partition]
			if !wanted {
				r.Recycle()
				continue
			}
			// Behind the end, too: what stood before it may be of a transaction that was
			// open then and has been aborted since, and is not seen.
			if r.Offset+1 >= end {
				delete(open, r.Partition)
			}
			if !r.Attrs.IsControl() && r.Offset < end {
				if err := fn(r); err != nil {
					return err
				}
			}
			r.Recycle()
		}
	}
	return nil
}

// readToEnd reads partitions of a topic from the given offsets (none given: all of
// it) to where they end now.
func readToEnd(ctx context.Context, cfg *Config, deps *Deps, topic string, from map[int32]int64, fn func(*kgo.Record) error) error {
	t, err := openTail(ctx, cfg, deps, topic)
	if err != nil {
		return err
	}
	defer t.close()
	return t.read(ctx, from, fn)
}
