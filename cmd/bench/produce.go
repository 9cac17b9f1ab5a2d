// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// lanes is how many partitions every topic of a run has.
const lanes = 12

// backlogSpan is the event time that a backlog covers, so that every stage of the
// definition is reached, those by silence too; backlogStart is where the first begins.
const backlogSpan = 450 * 24 * time.Hour

func backlogStart() time.Time { return time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC) }

// spanned is the time of event i of n over a span: it rises evenly.
func spanned(from time.Time, span time.Duration, i, n int) time.Time {
	return from.Add(time.Duration(float64(span) * (float64(i) / float64(n)))).Truncate(time.Millisecond)
}

// writer produces messages and keeps the first error. Records go to the partitions that
// Kafka's default partitioner would choose, so the topic is keyed as Lapwing means it.
type writer struct {
	client *kgo.Client
	topic  string

	mu    sync.Mutex
	first error
}

func newWriter(bootstrap, topic string, linger time.Duration) (*writer, error) {
	client, err := newClient(bootstrap,
		kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.ProducerBatchMaxBytes(1_000_000),
		kgo.ProducerLinger(linger), kgo.MaxBufferedRecords(100_000))
	if err != nil {
		return nil, err
	}
	return &writer{client: client, topic: topic}, nil
}

func (w *writer) write(ctx context.Context, key, value []byte) {
	w.client.Produce(ctx, &kgo.Record{Key: key, Value: value}, func(_ *kgo.Record, err error) {
		if err == nil {
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.first == nil {
			w.first = err
		}
	})
}

// close waits until all is written.
func (w *writer) close(ctx context.Context) error {
	defer w.client.Close()
	err := w.client.Flush(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err = errors.Join(w.first, err); err != nil {
		return fmt.Errorf("write topic %s: %w", w.topic, err)
	}
	return nil
}

// backlogLinger fills batches; liveLinger is what a producer that is in a hurry sets.
const (
	backlogLinger = 5 * time.Millisecond
	liveLinger    = 2 * time.Millisecond
)

// writeBacklog writes n events of anyone, their times rising over backlogSpan.
func writeBacklog(ctx context.Context, bootstrap, topic string, t *traffic, n int, from time.Time) error {
	w, err := newWriter(bootstrap, topic, backlogLinger)
	if err != nil {
		return err
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		key, value := t.anyone(spanned(from, backlogSpan, i, n))
		w.write(ctx, key, value)
	}
	return w.close(ctx)
}

// writeRoster writes one event of each customer, their times rising over a day.
func writeRoster(ctx context.Context, bootstrap, topic string, t *traffic, from time.Time) error {
	w, err := newWriter(bootstrap, topic, backlogLinger)
	if err != nil {
		return err
	}
	n := int(t.customers)
	for i := 0; i < n && ctx.Err() == nil; i++ {
		key, value := t.of(uint64(i), spanned(from, 24*time.Hour, i, n))
		w.write(ctx, key, value)
	}
	return w.close(ctx)
}

// writeLive writes events that happen now, at a rate per second, until ctx ends, which
// is no error; what it has taken in hand is still written.
func writeLive(ctx context.Context, bootstrap, topic string, t *traffic, rate int) error {
	w, err := newWriter(bootstrap, topic, liveLinger)
	if err != nil {
		return err
	}
	begin := time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	own := context.WithoutCancel(ctx)
	for written := 0; ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			flush, cancel := context.WithTimeout(own, 10*time.Second)
			defer cancel()
			return w.close(flush)
		}
		for due := int(float64(rate) * time.Since(begin).Seconds()); written < due; written++ {
			key, value := t.anyone(time.Now())
			w.write(own, key, value)
		}
	}
}
