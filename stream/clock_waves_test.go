// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/record"
	"lapwing/schemas/topics"
)

// "Deadlines come in waves (all customers of a day at midnight): fire them in bounded
// steps, interleaved with live events." Thousands are due at one instant: no transaction
// fires more than a wave of them, events that come meanwhile do not wait for the rest,
// and after a crash in the middle each has fired once.
func TestWavesOfDeadlines(t *testing.T) {
	const (
		many = 3000
		wave = 50
	)
	for _, crash := range []bool{false, true} {
		t.Run(fmt.Sprintf("crash %v", crash), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, customerValue(t), func(c *Config) {
					c.Lanes, c.Slots, c.Wave = 1, 1, wave
				})
				var messages []message
				for i := range many {
					messages = append(messages, bought(fmt.Sprint("c", i), fmt.Sprint("o", i), day0))
				}
				w.produce("events", messages...)
				r := w.start(w.cfg)
				w.wait(r, day0)
				midnight := day0.Add(90 * dayLength)
				live := func(i int) {
					m := bought(fmt.Sprint("live", i), fmt.Sprint("l", i), midnight.Add(time.Duration(i+1)*time.Millisecond))
					w.produce("events", m)
					messages = append(messages, m)
				}
				sent := map[string]time.Time{}
				for i := range 20 {
					sent[fmt.Sprint("live", i)] = time.Now()
					live(i)
					time.Sleep(50 * time.Millisecond)
					if crash && i == 7 {
						r.kill()
						r = w.start(w.cfg)
					}
				}
				last := midnight.Add(time.Second)
				w.end(last)
				w.wait(r, last)
				r.stop(t)
				w.judged(messages, last)
				transactions := w.transactions(topics.StageChanges, 0)
				fired, after := 0, map[string]int{} // live events: how many had fired before
				for _, records := range transactions {
					n := 0
					for _, rec := range records {
						c, err := record.DecodeRecord(rec.Value)
						if err != nil {
							t.Fatal(err)
						}
						if c.Cause.Type == record.CauseDeadline {
							n++
							continue
						}
						if came, ok := sent[c.CustomerID]; ok {
							after[c.CustomerID] = fired
							if took := rec.Timestamp.Sub(came); !crash && took > time.Second {
								t.Errorf("%s waited for %s while deadlines fired", c.CustomerID, took)
							}
						}
					}
					if n > wave {
						t.Errorf("a transaction fires %d deadlines, a wave is %d", n, wave)
					}
					fired += n
				}
				if fired != many || len(after) != 20 {
					t.Fatalf("%d deadlines fired, %d live events came; want %d and 20", fired, len(after), many)
				}
				between := 0
				for _, before := range after {
					if before > 0 && before < many {
						between++
					}
				}
				if between < 5 {
					t.Errorf("%d of 20 live events came between the deadlines of the wave: %v", between, after)
				}
			})
		})
	}
}

// transactions are the committed records of a partition by the transaction that wrote
// them.
func (w *world) transactions(topic string, partition int32) (all [][]*kgo.Record) {
	w.t.Helper()
	name := w.cfg.topic(topic)
	client := w.client(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{name: {partition: kgo.NewOffset().AtStart()}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
	)
	end := int64(0)
	for _, p := range w.cluster.PartitionInfos(name) {
		if p.Partition == partition {
			end = p.HighWatermark
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var now []*kgo.Record
	for next := int64(0); next < end; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			w.t.Fatalf("read the transactions of %s: %v", name, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			if !r.Attrs.IsControl() {
				now = append(now, r)
				return
			}
			if len(now) > 0 {
				all = append(all, now)
				now = nil
			}
		})
	}
	return all
}
