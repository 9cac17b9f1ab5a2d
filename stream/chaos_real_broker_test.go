// SPDX-License-Identifier: Apache-2.0

//go:build linux

package stream

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/deploy/embedded/kafkatest"
	"lapwing/schemas/topics"
)

// Fault 12: the broker is stopped, or dies by SIGKILL, and comes back. Workers wait for
// it without a busy loop, and everything is there once.
func chaos12BrokerAway(t *testing.T, kafka *kafkatest.Kafka) {
	rounds := chaosRounds(1, 5)
	w := newRealWorld(t, kafka, "away", chaosRounds(400, 2000), nil)
	names := []string{"a", "b"}
	for _, name := range names {
		w.spawn(name)
	}
	w.owned("two workers to share the lanes")
	part := len(w.history) / (2*rounds + 1)
	busiest := 0.0
	for range rounds {
		for _, end := range []func(){kafka.Kill, kafka.Stop} {
			before := w.seen.count()
			fed := w.feed(part, 4*time.Second) // before, during and after
			w.until("work to go on", func() string {
				w.alive()
				if n := w.seen.count(); n <= before {
					return fmt.Sprintf("still %d stage changes", n)
				}
				return ""
			})
			w.pause(0, 500*time.Millisecond)
			w.between(names, end)
			for _, share := range w.busy(names, 2*time.Second) {
				busiest = max(busiest, share)
			}
			w.alive()
			kafka.Restart()
			fed()
		}
	}
	w.feed(len(w.history), 0)()
	w.finish()
	t.Logf("seed %d: while the broker was away, a worker used at most %.0f %% of a core", w.seed, 100*busiest)
	if busiest > 0.3 {
		t.Errorf("a worker used %.0f %% of a core while the broker was away, want at most 30 %%", 100*busiest)
	}
	w.retire(names...)
	w.equal()
}

// between ends the broker in the middle of transactions, but not in the middle of
// ending one. There Kafka itself is wrong: a broker that is alone, and comes back before
// its session is over, finds no leader for any partition while it reads its log of
// transactions, takes the topics for deleted and never writes the markers of a commit it
// has answered ("these partitions are likely deleted already and hence can be skipped").
// So the workers stand still until no transaction is being ended.
func (w *realWorld) between(names []string, end func()) {
	w.t.Helper()
	for _, name := range names {
		w.children[name].signal(w.t, sigstop)
	}
	quiet := 0 // looks in a row; what was sent before the stop may still be on its way
	w.until("transactions to be ended", func() string {
		ending, err := w.adm.ListTransactions(w.t.Context(), nil, []string{"PrepareCommit", "PrepareAbort"})
		if err != nil {
			return err.Error()
		}
		if quiet++; len(ending) > 0 {
			quiet = 0
		}
		if quiet < 10 {
			return fmt.Sprintf("%d are being ended", len(ending))
		}
		return ""
	})
	end()
	for _, name := range names {
		w.children[name].signal(w.t, sigcont)
	}
}

// busy is the share of a core that each worker uses during the time to come.
func (w *realWorld) busy(names []string, during time.Duration) (shares []float64) {
	w.t.Helper()
	begin := time.Now()
	var before []time.Duration
	for _, name := range names {
		used, err := w.children[name].cpu()
		if err != nil {
			w.t.Fatal(err)
		}
		before = append(before, used)
	}
	w.pause(during, during)
	for i, name := range names {
		used, err := w.children[name].cpu()
		if err != nil {
			w.t.Fatal(err)
		}
		shares = append(shares, float64(used-before[i])/float64(time.Since(begin)))
	}
	return shares
}

// Fault 16: the changelog is compacted under way, again and again, and has aborted
// transactions inside and at its end; a worker with nothing of its own restores from it.
func chaos16CompactedChangelog(t *testing.T, kafka *kafkatest.Kafka) {
	rounds := chaosRounds(2, 8)
	w := newRealWorld(t, kafka, "compacted", chaosRounds(400, 2000), func(c *Config) { c.Lanes = 2 })
	w.tightenChangelog()
	part := len(w.history)/(rounds+1) + 1
	gaps := 0
	for i := range rounds + 1 {
		w.spawn("a")
		w.feed(part, 0)()
		w.finish()
		w.retire("a")
		w.equal()
		if i == rounds {
			break
		}
		w.abandon()
		// What stands behind lets the cleaner come up to here, and is aborted too.
		gaps += w.compacted()
		w.abandon()
		w.lose("a")
	}
	t.Logf("seed %d: restored %d times from a changelog in which %d offsets were missing", w.seed, rounds, gaps)
}

// tightenChangelog has the cleaner at the state topic as soon as there is a duplicate.
func (w *realWorld) tightenChangelog() {
	w.t.Helper()
	value := func(s string) *string { return &s }
	results, err := w.adm.AlterTopicConfigs(w.t.Context(), []kadm.AlterConfig{
		{Name: "segment.ms", Value: value("100")},
		{Name: "min.cleanable.dirty.ratio", Value: value("0.01")},
		{Name: "max.compaction.lag.ms", Value: value("100")},
	}, w.cfg.topic(topics.State))
	if err == nil && len(results) == 1 {
		err = results[0].Err
	}
	if err != nil {
		w.t.Fatalf("tighten the changelog: %v", err)
	}
}

// compacted waits until something is missing in every partition of the changelog, and
// returns how many offsets are. An aborted transaction after each look opens a new
// segment: the cleaner leaves the last one alone.
func (w *realWorld) compacted() (gaps int) {
	w.t.Helper()
	topic := w.cfg.topic(topics.State)
	w.until("the changelog to be compacted", func() string {
		w.abandon()
		ends, err := w.adm.ListEndOffsets(w.t.Context(), topic)
		if err != nil {
			return err.Error()
		}
		have := w.raw(topic, ends)
		gaps = 0
		for lane := range w.cfg.Lanes {
			end, _ := ends.Lookup(topic, lane)
			missing := int(end.Offset) - have[lane]
			if missing*4 < int(end.Offset) {
				return fmt.Sprintf("%d of %d offsets of lane %d are missing", missing, end.Offset, lane)
			}
			gaps += missing
		}
		return ""
	})
	return gaps
}

// raw counts what a topic holds per partition, markers and aborted records included.
func (w *realWorld) raw(topic string, ends kadm.ListedOffsets) map[int32]int {
	w.t.Helper()
	consume := map[int32]kgo.Offset{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			consume[o.Partition] = kgo.NewOffset().At(0)
		}
	})
	client, err := kgo.NewClient(kgo.SeedBrokers(w.cfg.Brokers...), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: consume}))
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	have := map[int32]int{}
	for open := len(consume); open > 0; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			w.t.Fatalf("read %s: %v", topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			have[r.Partition]++
			if end, _ := ends.Lookup(topic, r.Partition); r.Offset == end.Offset-1 {
				open--
			}
		})
	}
	return have
}
