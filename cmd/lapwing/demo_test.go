// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"

	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/stream"
	"lapwing/stream/generate"
)

// detected is the one field that may differ: the stream's clock is the lane's, that of
// a replay the customer's.
var detected = regexp.MustCompile(`"detected_at":"[^"]*",`)

// story is a customer's records of one kind, in order, without detected_at.
type story map[string][]string

func (s story) add(t *testing.T, line []byte) {
	var r struct {
		Kind       record.Kind
		CustomerID string `json:"customer_id"`
	}
	if err := json.Unmarshal(line, &r); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	key := string(r.Kind) + " of " + r.CustomerID
	s[key] = append(s[key], string(detected.ReplaceAll(line, nil)))
}

// TestDemoPathGivesTheRecordsOfReplay: the real purchases, and a made-up base with all that
// is late and double in it, through broker and stream, and through replay: the same records,
// for each customer in the same order.
func TestDemoPathGivesTheRecordsOfReplay(t *testing.T) {
	for _, c := range []struct {
		preset    string
		customers int // of a made-up base
		least     int // records
	}{{"customer-value", 0, 100_000}, {"travel", 500, 5_000}} {
		t.Run(c.preset, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
			defer cancel()
			base, err := realBase()
			if c.customers > 0 {
				settings := generate.DefaultSettings() // some come late, some twice
				settings.Preset, settings.Customers = c.preset, c.customers
				base, err = madeUpBase(settings)
			}
			if err != nil {
				t.Fatal(err)
			}
			want, total := replayOf(ctx, t, base)
			got := story{}
			read := 0
			for _, r := range throughTheBroker(ctx, t, base) {
				got.add(t, r.Value)
				read++
			}
			if read != total || total < c.least {
				t.Errorf("%d records through the broker, %d by replay", read, total)
			}
			wrong := 0
			for key, records := range want {
				for i, r := range records {
					if i >= len(got[key]) || got[key][i] != r {
						if wrong++; wrong <= 3 {
							other := "nothing"
							if i < len(got[key]) {
								other = got[key][i]
							}
							t.Errorf("%s, number %d:\nreplay %s\nbroker %s", key, i+1, r, other)
						}
						break
					}
				}
			}
			if wrong > 0 || len(got) != len(want) {
				t.Errorf("%d of %d stories differ, and there are %d through the broker", wrong, len(want), len(got))
			}
		})
	}
}

// replayOf is what replay tells of a base.
func replayOf(ctx context.Context, t *testing.T, base *demoBase) (told story, total int) {
	t.Helper()
	folder := t.TempDir()
	file, events := filepath.Join(folder, "base.yaml"), filepath.Join(folder, "base.jsonl")
	var text []byte
	latest, err := base.each(ctx, func(_ string, value []byte, _ instant.Instant) { text = append(append(text, value...), '\n') })
	if err == nil {
		err = errors.Join(os.WriteFile(file, base.source, 0o600), os.WriteFile(events, text, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	var out, stderr bytes.Buffer
	if code := run(ctx, []string{"replay", "-d", file, "--until", latest.String(), events}, noEnv, bytes.NewReader(nil), &out, &stderr); code != 0 || stderr.Len() > 0 {
		t.Fatalf("replay ended with %d: %s", code, &stderr)
	}
	told = story{}
	lines := bufio.NewScanner(&out)
	lines.Buffer(nil, 1<<20)
	for ; lines.Scan(); total++ {
		told.add(t, lines.Bytes())
	}
	return told, total
}

func noEnv(string) string { return "" }

// throughTheBroker runs the demo's stream over the purchases and gives all changes that
// were published.
func throughTheBroker(ctx context.Context, t *testing.T, base *demoBase) []*kgo.Record {
	t.Helper()
	log := zaptest.NewLogger(t, zaptest.Level(zapcore.WarnLevel))
	a := &app{env: noEnv, stdout: io.Discard, stderr: io.Discard}
	d := &demo{app: a, base: base, show: newDemoScreen(a)}
	var err error
	if d.def, err = base.definition(); err != nil {
		t.Fatal(err)
	}
	if err := d.startBroker(log); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	}()
	if err := d.produce(ctx); err != nil {
		t.Fatal(err)
	}
	worker, err := stream.NewWorker(d.config, d.def, stream.Deps{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	stopped := make(chan error, 1)
	go func() { stopped <- worker.Run(running) }()
	defer func() {
		stop()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	}()
	if err := worker.WaitUntil(ctx, d.latest.Add(d.def.Lateness)); err != nil {
		t.Fatal(err)
	}
	return readAll(ctx, t, d.config.Brokers, d.config.Prefix+"stage-changes", d.config.Prefix+"segment-changes", d.config.Prefix+"assignments", d.config.Prefix+"conversions")
}

// readAll reads topics as far as they are committed now.
func readAll(ctx context.Context, t *testing.T, brokers []string, topics ...string) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topics...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListCommittedOffsets(ctx, topics...)
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[fmt.Sprint(o.Topic, o.Partition)] = o.Offset
		}
	})
	var records []*kgo.Record
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			key := fmt.Sprint(r.Topic, r.Partition)
			if r.Offset+1 >= left[key] {
				delete(left, key)
			}
			if !r.Attrs.IsControl() {
				records = append(records, r)
			}
		})
	}
	return records
}
