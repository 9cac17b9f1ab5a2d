// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/stream"
)

// TestResender: what is sent again, where to, with which key and record time, and why not.
func TestResender(t *testing.T) {
	dead := time.Date(2026, 1, 10, 12, 0, 0, 0, time.UTC)
	now := dead.Add(72 * time.Hour)
	c := stream.Default()
	c.Inputs = []stream.Input{{Topic: "events"}}
	good := `{"type":"track","event":"x","userId":"u1","messageId":"m"}`
	ahead := `{"type":"track","event":"x","userId":"u1","timestamp":"2026-01-12T12:00:00Z"}`
	for _, test := range []struct {
		name, topic, to, key, value string
		original                    int64
		why, wantTopic, wantKey     string
		at                          time.Time
		withoutID                   int64
	}{
		{name: "as it came", topic: "events", key: "k", value: good, wantTopic: "events", wantKey: "k", at: dead},
		{name: "no key: the customer", topic: "events", value: good, wantTopic: "events", wantKey: "u1", at: dead},
		{name: "the future has come", topic: "events", key: "k", value: ahead, wantTopic: "events", wantKey: "k", at: now, withoutID: 1},
		{name: "still bad", topic: "events", key: "k", value: `{"type":"track"}`, why: "it is still missing_customer"},
		{name: "cut", topic: "events", key: "k", value: good, original: 10_000_000, why: "only its beginning was kept"},
		{name: "cut, elsewhere", topic: "events", to: "other", key: "k", value: good, original: 10_000_000, why: "only its beginning was kept"},
		{name: "no input", topic: "gone", key: "k", value: good, why: "it came from gone, which is no input now; --to names another topic"},
		{name: "anything elsewhere", topic: "gone", to: "other", value: "\x00", wantTopic: "other", at: now},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newResender(&c, test.to, now)
			record := &kgo.Record{Value: []byte(test.value), Timestamp: dead}
			if test.key != "" {
				record.Key = []byte(test.key)
			}
			got, why := r.record(&letter{stream.DeadLetter{Cause: "x", SourceTopic: test.topic, OriginalBytes: test.original}, record})
			if why != test.why {
				t.Fatalf("not sent because %q, want %q", why, test.why)
			}
			if why != "" {
				return
			}
			if got.Topic != test.wantTopic || string(got.Key) != test.wantKey || string(got.Value) != test.value || !got.Timestamp.Equal(test.at) || r.done.WithoutID != test.withoutID {
				t.Errorf("sent %+v with %d without messageId", got, r.done.WithoutID)
			}
		})
	}
}

// TestNewestDeadLetters: of very many the newest are kept, newest first, and none of
// their bytes unless they are to be shown.
func TestNewestDeadLetters(t *testing.T) {
	for _, payload := range []bool{false, true} {
		l := newLetterList(&deadLetterFlags{count: 3, payload: payload, format: "table"})
		began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		for i := range 1000 {
			at := began.Add(time.Duration(i*7%1000) * time.Second) // in no order
			l.add(&letter{stream.DeadLetter{Cause: fmt.Sprint("cause", i%2), SourceTopic: "events"}, &kgo.Record{Timestamp: at, Value: []byte("secret")}})
			if len(l.newest) > 200 {
				t.Fatalf("%d are held", len(l.newest))
			}
		}
		if _, err := l.text(); err != nil {
			t.Fatal(err)
		}
		for i, one := range l.newest {
			if want := began.Add(time.Duration(999-i) * time.Second); !one.record.Timestamp.Equal(want) || one.size() != 6 || (one.record.Value != nil) != payload {
				t.Errorf("newest %d is of %v, want %v; %d bytes, %q", i, one.record.Timestamp, want, one.size(), one.record.Value)
			}
		}
		if c := l.causes["cause1"]; l.total != 1000 || len(l.newest) != 3 || c.Count != 500 || c.Bytes != 3000 {
			t.Errorf("%d in all, %d newest, %+v", l.total, len(l.newest), c)
		}
	}
}
