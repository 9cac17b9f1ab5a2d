// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func newClient(bootstrap string, opts ...kgo.Opt) (*kgo.Client, error) {
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(bootstrap), kgo.MetadataMinAge(50 * time.Millisecond)}, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("create a Kafka client: %w", err)
	}
	return client, nil
}

// createTopic makes a topic whose records are kept; one that is there already is fine.
func createTopic(ctx context.Context, adm *kadm.Client, topic string, config map[string]string) error {
	configs := map[string]*string{"retention.ms": kadm.StringPtr("-1")}
	for key, value := range config {
		configs[key] = kadm.StringPtr(value)
	}
	_, err := adm.CreateTopic(ctx, lanes, 1, configs, topic)
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	return nil
}

// offsets is a position in each partition of a topic.
type offsets map[int32]int64

func (o offsets) sum() int64 {
	var sum int64
	for _, offset := range o {
		sum += offset
	}
	return sum
}

// listed turns a broker's answer about one topic into offsets.
func listed(all kadm.ListedOffsets, topic string, err error) (offsets, error) {
	if err == nil {
		err = all.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("ask for offsets of topic %s: %w", topic, err)
	}
	if len(all[topic]) == 0 {
		return nil, fmt.Errorf("ask for offsets of topic %s: there is no such topic", topic)
	}
	o := offsets{}
	for partition, l := range all[topic] {
		o[partition] = l.Offset
	}
	return o, nil
}

func endOffsets(ctx context.Context, adm *kadm.Client, topic string) (offsets, error) {
	all, err := adm.ListEndOffsets(ctx, topic)
	return listed(all, topic, err)
}

// stableOffsets are the ends that a reader of committed transactions sees.
func stableOffsets(ctx context.Context, adm *kadm.Client, topic string) (offsets, error) {
	all, err := adm.ListCommittedOffsets(ctx, topic)
	return listed(all, topic, err)
}

// groupOffsets is where a group has committed to be, a partition that it has not reached
// yet being absent; empty while there is no group.
func groupOffsets(ctx context.Context, adm *kadm.Client, group, topic string) (offsets, error) {
	all, err := adm.FetchOffsets(ctx, group)
	if err != nil {
		return nil, fmt.Errorf("ask for offsets of group %s: %w", group, err)
	}
	o := offsets{}
	for partition, committed := range all[topic] {
		if committed.Err == nil && committed.At >= 0 {
			o[partition] = committed.At
		}
	}
	return o, nil
}

// readTopic hands over what a reader of committed transactions sees of a topic, from some
// offsets up to its present end, each partition in order.
func readTopic(ctx context.Context, bootstrap, topic string, from offsets, fn func(*kgo.Record) error) error {
	client, err := newClient(bootstrap)
	if err != nil {
		return err
	}
	defer client.Close()
	ends, err := stableOffsets(ctx, kadm.NewClient(client), topic)
	if err != nil {
		return err
	}
	start := map[int32]kgo.Offset{}
	for partition, end := range ends {
		if begin := from[partition]; begin < end {
			start[partition] = kgo.NewOffset().At(begin)
		} else {
			delete(ends, partition)
		}
	}
	if len(start) == 0 {
		return nil
	}
	// Markers are kept: a partition may end with one, and only then is it known to be read.
	reader, err := newClient(bootstrap, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: start}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(32<<20), kgo.FetchMaxPartitionBytes(4<<20))
	if err != nil {
		return err
	}
	defer reader.Close()
	for len(ends) > 0 {
		fetches := reader.PollFetches(ctx)
		if err := errors.Join(context.Cause(ctx), fetches.Err()); err != nil {
			return fmt.Errorf("read topic %s: %w", topic, err)
		}
		for record := range fetches.RecordsAll() {
			end, open := ends[record.Partition]
			if !open || record.Offset >= end {
				continue
			}
			if !record.Attrs.IsControl() {
				if err := fn(record); err != nil {
					return err
				}
			}
			if record.Offset == end-1 {
				delete(ends, record.Partition)
			}
		}
	}
	return nil
}

// countRecords is how many records a reader of committed transactions sees.
func countRecords(ctx context.Context, bootstrap, topic string) (n int, err error) {
	err = readTopic(ctx, bootstrap, topic, nil, func(*kgo.Record) error { n++; return nil })
	return n, err
}

// lastRecords are the ends of a topic without the transaction markers behind the last
// record: how far a group can be.
func lastRecords(ctx context.Context, bootstrap string, adm *kadm.Client, topic string) (offsets, error) {
	ends, err := stableOffsets(ctx, adm, topic)
	if err != nil {
		return nil, err
	}
	// Each transaction leaves a marker in a partition that it wrote to, so behind the last
	// record there is one, and after aborted transactions there are some more.
	const enough = 1000
	from := offsets{}
	for partition, end := range ends {
		from[partition] = max(0, end-enough)
	}
	last := offsets{}
	for partition := range ends {
		last[partition] = 0
	}
	err = readTopic(ctx, bootstrap, topic, from, func(r *kgo.Record) error {
		last[r.Partition] = r.Offset + 1
		return nil
	})
	return last, err
}

// deleteAll removes the topics and groups whose names begin with prefix.
func deleteAll(ctx context.Context, adm *kadm.Client, prefix string) error {
	topics, err := adm.ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	ours := slices.DeleteFunc(slices.Collect(maps.Keys(topics)), func(name string) bool { return !strings.HasPrefix(name, prefix) })
	if len(ours) > 0 {
		if _, err := adm.DeleteTopics(ctx, ours...); err != nil {
			return fmt.Errorf("delete topics %s…: %w", prefix, err)
		}
	}
	groups, err := adm.ListGroups(ctx)
	if err != nil {
		return fmt.Errorf("list groups: %w", err)
	}
	names := slices.DeleteFunc(groups.Groups(), func(name string) bool { return !strings.HasPrefix(name, prefix) })
	if len(names) > 0 {
		// A group with members that are not yet gone stays; its topics are not there any more.
		if _, err := adm.DeleteGroups(ctx, names...); err != nil {
			return fmt.Errorf("delete groups %s…: %w", prefix, err)
		}
	}
	return nil
}
