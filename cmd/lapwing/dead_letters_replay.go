// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/stream"
)

// resent is what became of the dead letters that were to be sent again.
type resent struct {
	Sent int64 `json:"sent"`
	// WithoutID of them have no messageId: sent once more, they count once more.
	WithoutID int64 `json:"without_message_id"`
	// Left were not sent, by why.
	Left map[string]int64 `json:"left"`
}

// resender chooses what is sent again, where to, and at which record time.
type resender struct {
	decoder *event.Decoder
	inputs  []stream.Input
	to      string // a topic for everything, unchecked; empty: where it came from
	now     time.Time
	message event.Message
	done    resent
}

func newResender(c *stream.Config, to string, now time.Time) *resender {
	limits := event.Limits{MaxBytes: c.MaxMessageBytes, MaxDepth: c.MaxDepth, MaxFuture: c.MaxFuture}
	return &resender{decoder: event.NewDecoder(event.NewProjection(), limits), inputs: c.Inputs, to: to, now: now, done: resent{Left: map[string]int64{}}}
}

// record is what to send for a dead letter, or why nothing is.
func (r *resender) record(l *letter) (again *kgo.Record, why string) {
	again = &kgo.Record{Topic: l.SourceTopic, Key: bytes.Clone(l.record.Key), Value: bytes.Clone(l.record.Value), Timestamp: r.now}
	if l.OriginalBytes > int64(len(l.record.Value)) {
		return nil, "only its beginning was kept"
	}
	if r.to != "" {
		again.Topic = r.to
		return again, ""
	}
	if !slices.ContainsFunc(r.inputs, func(in stream.Input) bool { return in.Topic == l.SourceTopic }) {
		return nil, "it came from " + l.SourceTopic + ", which is no input now; --to names another topic"
	}
	// What has no time of its own happened when it was sent first.
	for _, at := range []time.Time{l.record.Timestamp, r.now} {
		if why = string(r.decoder.Decode(again.Value, instant.Of(at), &r.message)); why == "" {
			if again.Timestamp = at; again.Key == nil {
				again.Key = bytes.Clone(r.message.Customer)
			}
			if len(r.message.MessageID) == 0 {
				r.done.WithoutID++
			}
			return again, ""
		}
	}
	return nil, "it is still " + why
}

// replayDeadLetters sends what the flags select again.
func (a *app) replayDeadLetters(ctx context.Context, c *config, opts []kgo.Opt, f *deadLetterFlags, progress *readProgress) error {
	client, err := kgo.NewClient(append(slices.Clone(opts), kgo.RecordDeliveryTimeout(reachTimeout), kgo.ProducerBatchMaxBytes(8<<20))...)
	if err != nil {
		return fmt.Errorf("create the Kafka client: %w", err)
	}
	defer client.Close()
	r := newResender(&c.Stream, f.to, time.Now())
	var broken atomic.Pointer[error]
	var sent atomic.Int64
	err = readDeadLetters(ctx, opts, c.Kafka.Prefix, f, progress, func(l *letter) error {
		again, why := r.record(l)
		if why != "" {
			r.done.Left[why]++
			return nil
		}
		if failed := broken.Load(); failed != nil {
			return *failed
		}
		client.Produce(ctx, again, func(p *kgo.Record, err error) {
			if err != nil {
				err = fmt.Errorf("send to topic %s: %w", p.Topic, err)
				broken.CompareAndSwap(nil, &err)
				return
			}
			sent.Add(1)
		})
		return nil
	})
	if err == nil {
		if err = client.Flush(ctx); err != nil {
			err = deadLetterError(ctx, err)
		}
	}
	if failed := broken.Load(); failed != nil && err == nil {
		err = *failed
	}
	r.done.Sent = sent.Load()
	progress.clear()
	if text := r.done.text(f.format); err == nil || r.done.Sent > 0 {
		if _, failed := a.stdout.Write(text); failed != nil {
			return fmt.Errorf("write what was done: %w", failed)
		}
	}
	if err != nil {
		return err
	}
	left := int64(0)
	for _, n := range r.done.Left {
		left += n
	}
	if left > 0 {
		return fmt.Errorf("%s of %s dead letters were not sent again", grouped(left), grouped(left+r.done.Sent))
	}
	return nil
}

func (r *resent) text(format string) []byte {
	if format == "json" {
		text, _ := json.MarshalIndent(r, "", "  ") // numbers and texts: cannot fail
		return append(text, '\n')
	}
	var b strings.Builder
	fmt.Fprintf(&b, "sent again: %s\n", grouped(r.Sent))
	if r.WithoutID > 0 {
		fmt.Fprintf(&b, "without a messageId: %s; sent once more, they count once more\n", grouped(r.WithoutID))
	}
	for _, why := range slices.Sorted(maps.Keys(r.Left)) {
		fmt.Fprintf(&b, "not sent: %s: %s\n", grouped(r.Left[why]), why)
	}
	return []byte(b.String())
}
