// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/topics"
	"lapwing/stream/lifecycle"
)

// A batch of a few kilobytes that unpacks to more than max_batch_bytes becomes one dead
// letter; what stands before and behind it in its partition goes on.
func TestABatchThatUnpacksToTooMuchIsADeadLetter(t *testing.T) {
	for _, routed := range []bool{false, true} {
		t.Run(fmt.Sprintf("routed %v", routed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, customerValue(t), func(c *Config) {
					c.Inputs = []Input{{Topic: "events", Keyed: !routed}}
					c.MaxBatchBytes = topics.LargeMessageBytes
				})
				before := message{customer: "u1", event: "Order Completed", id: "o1", at: day0}
				after := message{customer: "u1", event: "Order Completed", id: "o2", at: day0.Add(dayLength)}
				w.produce("events", before)
				large := w.client(
					kgo.ProducerBatchMaxBytes(15<<20), kgo.ProducerBatchCompression(kgo.GzipCompression()), kgo.ProducerLinger(time.Second),
				)
				var batch []*kgo.Record
				for range 12 {
					batch = append(batch, w.record(message{customer: "u1", at: day0, raw: strings.Repeat(" ", 1<<20)}, "events"))
				}
				if err := large.ProduceSync(t.Context(), batch...).FirstErr(); err != nil {
					t.Fatal(err)
				}
				w.produce("events", after)
				until := day0.Add(500 * dayLength)
				w.end(until)
				r := w.start(w.cfg)
				if routed {
					w.startRouter(w.cfg)
				}
				w.wait(r, until)
				r.stop(t)
				w.same([]message{before, after}, until)
				dead := w.all(topics.DeadLetters)
				if len(dead) != 1 {
					t.Fatalf("%d dead letters, want 1", len(dead))
				}
				if d := dead[0]; header(d, "cause") != string(event.TooLarge) || header(d, "source_offset") != "12" || len(d.Value) != 0 {
					t.Errorf("dead letter %v with %d bytes", d.Headers, len(d.Value))
				}
			})
		})
	}
}

// A tombstone on an input, and whatever else has no bytes, is no JSON, and not too large.
func TestATombstoneIsADeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), nil)
		good := message{customer: "u1", event: "Order Completed", id: "o1", at: day0}
		client := w.client()
		long := []byte(strings.Repeat("k", 64<<10))
		for _, r := range []*kgo.Record{
			{Topic: "events", Key: []byte("u1"), Timestamp: day0.Time()},
			{Topic: "events", Key: nil, Value: nil, Timestamp: day0.Time()},
			{Topic: "events", Key: long, Value: []byte{}, Timestamp: day0.Time()},
		} {
			if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		w.produce("events", good)
		until := day0.Add(100 * dayLength)
		w.end(until)
		r := w.start(w.cfg)
		w.wait(r, until)
		r.stop(t)
		w.same([]message{good}, until)
		dead := w.all(topics.DeadLetters)
		if len(dead) != 3 {
			t.Fatalf("%d dead letters, want 3", len(dead))
		}
		for _, d := range dead {
			if header(d, "cause") != string(event.InvalidJSON) || len(d.Key) > maxKeyBytes {
				t.Errorf("dead letter %v with a key of %d bytes", d.Headers, len(d.Key))
			}
		}
	})
}

// ofACustomer is an id or a value of the test below.
var ofACustomer = regexp.MustCompile(`\b[uv][0-9]+\b`)

// Values that customers bring are never labels: however many there are, the number of
// time series stays, and what goes beyond the limits of a customer is counted.
func TestValuesAreNeverLabels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []byte(`{lapwing: 1, name: values, version: 1, limits: {by_values: 2}, events: {e: {match: E}},
			models: [{name: m, stages: [{stage: only, when: "true"}]}], segments: [{name: c, by: trait('c')}]}`), nil)
		reg := prometheus.NewRegistry()
		deps := w.deps(&plug{w: w})
		deps.Registerer = reg
		series := func() (n int, exceeded float64) {
			families, err := reg.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				n += len(f.GetMetric())
				for _, m := range f.GetMetric() {
					for _, l := range m.GetLabel() {
						if ofACustomer.MatchString(l.GetValue()) {
							t.Errorf("%s has the label %s=%q", f.GetName(), l.GetName(), l.GetValue())
						}
					}
				}
				if f.GetName() != "lapwing_limit_exceeded_total" {
					continue
				}
				for _, m := range f.GetMetric() {
					if l := m.GetLabel(); len(l) == 1 && l[0].GetValue() == lifecycle.LimitByValues.String() {
						exceeded = m.GetCounter().GetValue()
					}
				}
			}
			return n, exceeded
		}
		cfg := w.cfg
		worker, err := NewWorker(cfg, w.def, deps)
		if err != nil {
			t.Fatal(err)
		}
		r := w.run(&plug{w: w}, worker.Run)
		r.Worker = worker
		// Each customer brings three values, of which two may name a segment.
		send := func(from, to int, at instant.Instant) {
			var messages []message
			for c := from; c < to; c++ {
				for v := range 3 {
					id := fmt.Sprint("u", c)
					at := at.Add(time.Duration(v) * time.Hour)
					messages = append(messages, message{customer: id, at: at, raw: fmt.Sprintf(`{"type":"identify","userId":%q,"timestamp":%q,"traits":{"c":"v%d-%d"}}`, id, at, c, v)})
				}
			}
			w.produce("events", messages...)
			w.end(at.Add(dayLength))
			w.wait(r, at.Add(dayLength))
		}
		send(0, 100, day0)
		before, _ := series()
		send(100, 1100, day0.Add(2*dayLength))
		after, exceeded := series()
		r.stop(t)
		// Partitions and requests that are heard of later have series of their own.
		if after > before+30 || exceeded != 1100 {
			t.Errorf("%d time series, then %d; by_values exceeded %v times, want 1100", before, after, exceeded)
		}
		if n := len(w.changes(topics.SegmentChanges)); n != 1100 {
			t.Errorf("changes of %d customers, want 1100", n)
		}
	})
}
