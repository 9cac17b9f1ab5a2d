// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/sink/compare"
)

// scope is what is compared: of each partition what the log still has and the sink has
// committed.
type scope struct {
	facts  []compare.Span
	latest []latestSpan
	// unread names partitions of which the sink has committed nothing yet.
	unread []string
}

// read is all that is in reach of the log.
func (s *scope) read() []compare.Span {
	all := slices.Clone(s.facts)
	for _, l := range s.latest {
		all = append(all, compare.Span{Topic: l.Topic, Partition: l.Partition, From: l.From, To: l.Known})
	}
	return all
}

// latestSpan is a partition of a topic whose records replace each other. It is compared
// up to To; read further, to Known, because a later record may be why an earlier one is
// not in a compacted log any more.
type latestSpan struct {
	compare.Span
	Known int64
}

// place is a partition of the log.
type place struct {
	topic     string
	partition int32
}

// kafka is where Kafka is.
func (r *Reconciler) kafka() []kgo.Opt {
	return append([]kgo.Opt{kgo.SeedBrokers(r.cfg.Brokers...)}, r.deps.KafkaOpts...)
}

// findScope asks where each partition begins and ends, and how far the sink is.
func (r *Reconciler) findScope(ctx context.Context) (*scope, error) {
	client, err := kgo.NewClient(r.kafka()...)
	if err != nil {
		return nil, fmt.Errorf("create Kafka client: %w", err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	var names []string
	for _, name := range r.cfg.Topics {
		names = append(names, r.cfg.Prefix+name)
	}
	known, err := admin.ListTopics(ctx, names...)
	if err != nil {
		return nil, failed("list topics", err)
	}
	names = names[:0]
	for _, t := range known {
		if t.Err == nil {
			names = append(names, t.Topic)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("there are no topics with the prefix %s", r.cfg.Prefix)
	}
	// The group's positions first: they only rise, and so do the ends behind them.
	committed, err := admin.FetchOffsets(ctx, r.cfg.Group)
	if err == nil {
		err = committed.Error()
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, failed("fetch the positions of group "+r.cfg.Group, err)
	}
	starts, err := admin.ListStartOffsets(ctx, names...)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, failed("list start offsets", err)
	}
	ends, err := admin.ListCommittedOffsets(ctx, names...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, failed("list end offsets", err)
	}
	return r.cut(starts, ends, committed)
}

// cut is the scope, from what Kafka has answered.
func (r *Reconciler) cut(starts, ends kadm.ListedOffsets, committed kadm.OffsetResponses) (*scope, error) {
	s := &scope{}
	var beyond []string
	ends.Each(func(end kadm.ListedOffset) {
		start, ok := starts.Lookup(end.Topic, end.Partition)
		if !ok || start.Offset >= end.Offset {
			return // nothing in it
		}
		at, ok := committed.Lookup(end.Topic, end.Partition)
		switch {
		case !ok || at.At < 0:
			s.unread = append(s.unread, fmt.Sprintf("%s/%d", end.Topic, end.Partition))
			return
		case at.At > end.Offset:
			beyond = append(beyond, fmt.Sprintf("%s, partition %d: the sink has committed %d, the log ends at %d", end.Topic, end.Partition, at.At, end.Offset))
			return
		case at.At <= start.Offset:
			return // all of it was removed before the sink came
		}
		span := compare.Span{Topic: end.Topic, Partition: end.Partition, From: start.Offset, To: at.At}
		if _, replace := valueTables[strings.TrimPrefix(end.Topic, r.cfg.Prefix)]; replace {
			s.latest = append(s.latest, latestSpan{span, end.Offset})
		} else {
			s.facts = append(s.facts, span)
		}
	})
	if len(beyond) > 0 {
		slices.Sort(beyond)
		return nil, fmt.Errorf("the log is not the one that the sink has read; was a topic made anew? %s", strings.Join(beyond, "; "))
	}
	slices.Sort(s.unread)
	order := func(a, b compare.Span) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	}
	slices.SortFunc(s.facts, order)
	slices.SortFunc(s.latest, func(a, b latestSpan) int { return order(a.Span, b.Span) })
	return s, nil
}
