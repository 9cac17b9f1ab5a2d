// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/schemas/topics"
)

// watched starts a worker with a registry of its own.
func (w *world) watched(cfg Config) (*running, *prometheus.Registry) {
	w.t.Helper()
	registry := prometheus.NewRegistry()
	p := &plug{w: w}
	deps := w.deps(p)
	deps.Registerer = registry
	worker, err := NewWorker(cfg, w.def, deps)
	if err != nil {
		w.t.Fatal(err)
	}
	r := w.run(p, worker.Run)
	r.Worker = worker
	return r, registry
}

// series are the values of one of our metrics, by their labels' values in the order of
// the labels' names.
func series(t *testing.T, registry *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		if f.GetName() != namespace+"_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			values[strings.Join(labels, " ")] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}

// stranger leaves a transaction of a stranger open in one partition; the func ends it.
func (w *world) stranger(topic string, partition int32) (end func()) {
	w.t.Helper()
	stranger := w.client(kgo.TransactionalID("a-stranger-of-"+topic), kgo.TransactionTimeout(15*time.Minute), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := stranger.BeginTransaction(); err != nil {
		w.t.Fatal(err)
	}
	never := &kgo.Record{Topic: topic, Partition: partition, Key: []byte("x"), Value: []byte("never seen")}
	if err := stranger.ProduceSync(w.t.Context(), never).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
	return func() {
		if err := stranger.EndTransaction(w.t.Context(), kgo.TryAbort); err != nil {
			w.t.Fatal(err)
		}
	}
}

// "A source that stands still is named in metrics and logs: it holds back deadlines."
// Each is named once when that begins, with since when, whose clocks wait and what to
// do, and once when it ends.
func TestSourcesThatStandStillAreNamed(t *testing.T) {
	const long = 2 * time.Minute
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) {
			c.Clock = ClockWall
			c.Inputs = []Input{{Topic: "events", Keyed: true}, {Topic: "other"}, {Topic: "import", IgnoreClock: true}}
		})
		logs := w.observe(zap.InfoLevel)
		said := func(message string) (lines []observer.LoggedEntry) {
			all := logs.FilterMessageSnippet(message).All()
			logs.TakeAll()
			slices.SortFunc(all, func(a, b observer.LoggedEntry) int {
				return strings.Compare(fmt.Sprint(a.ContextMap()["topic"], a.ContextMap()["partition"]), fmt.Sprint(b.ContextMap()["topic"], b.ContextMap()["partition"]))
			})
			return all
		}
		began := time.Now()
		r, registry := w.watched(w.cfg)
		time.Sleep(long)
		// No router runs: nothing was ever heard from the input that is not keyed.
		still := said("a source stands still")
		if len(still) != 3 {
			t.Fatalf("%d sources are said to stand still, want the three of the input without a router: %v", len(still), still)
		}
		for p, line := range still {
			fields := line.ContextMap()
			since, err := time.Parse(time.RFC3339, fmt.Sprint(fields["since"]))
			waiting := map[int]string{0: "[0 1 2 3]", 1: "[]", 2: "[]"}[p] // of several that were never heard from the first counts
			if fields["topic"] != "other" || fields["partition"] != int32(p) || fields["clock"] != "none" || err != nil || since.Sub(began) > 15*time.Second ||
				fmt.Sprint(fields["lanes"]) != waiting || !strings.Contains(fmt.Sprint(fields["do"]), "router") {
				t.Errorf("said %v (%v), want other/%d, never heard from, since about %s", fields, err, p, began.UTC())
			}
		}
		want := []string{"0 stream other", "1 stream other", "2 stream other"} // partition, role, topic
		stalled := series(t, registry, "source_stalled_seconds")
		if got := slices.Sorted(maps.Keys(stalled)); !slices.Equal(got, want) {
			t.Errorf("metrics name %v, want %v", got, want)
		}
		for labels, seconds := range stalled {
			if seconds < 100 || seconds > long.Seconds() {
				t.Errorf("%s has stood still for %v s, want nearly two minutes", labels, seconds)
			}
		}
		if holds := series(t, registry, "source_holds_lanes"); len(holds) != 1 || holds["0 other"] != 4 {
			t.Errorf("lanes held back by source: %v, want four by the first partition", holds)
		}
		router := w.startRouter(w.cfg)
		time.Sleep(10 * time.Second)
		if on := said("the source goes on"); len(on) != 3 {
			t.Errorf("%d sources are said to go on, want 3: %v", len(on), on)
		}
		for _, name := range []string{"source_stalled_seconds", "source_holds_lanes"} {
			if left := series(t, registry, name); len(left) != 0 {
				t.Errorf("%s is still %v", name, left)
			}
		}
		// A stranger's transaction hangs in a partition of each input.
		before := series(t, registry, "source_clock_seconds")
		endKeyed := w.stranger("events", 2)
		time.Sleep(long)
		still = said("a source stands still")
		if len(still) != 1 {
			t.Fatalf("%d sources are said to stand still, want one: %v", len(still), still)
		}
		if f := still[0].ContextMap(); f["topic"] != "events" || f["partition"] != int32(2) || !strings.Contains(fmt.Sprint(f["do"]), "transaction") {
			t.Errorf("said %v, want events/2 and its open transaction", f)
		}
		if holds := series(t, registry, "source_holds_lanes"); len(holds) != 1 || holds["2 events"] != 1 {
			t.Errorf("lanes held back by source: %v, want one by events/2", holds)
		}
		lag, seconds := series(t, registry, "lag_records"), series(t, registry, "lag_seconds")
		for labels := range lag {
			hung := labels == "2 events"
			if (lag[labels] > 0) != hung || (seconds[labels] > 110 && seconds[labels] < 122) != hung {
				t.Errorf("lag of %s: %v records, %v s; only events/2 has any, of two minutes", labels, lag[labels], seconds[labels])
			}
		}
		if len(lag) != 8 { // four partitions of the keyed input, four of the mailbox
			t.Errorf("lag of %v, want eight partitions", slices.Sorted(maps.Keys(lag)))
		}
		after := series(t, registry, "source_clock_seconds")
		for labels, at := range after {
			moved := at - before[labels]
			if hung := labels == "2 events"; hung != (moved < 5) || !hung && moved < 115 {
				t.Errorf("the clock of %s went on by %v s within two minutes", labels, moved)
			}
		}
		if len(after) != 7 {
			t.Errorf("clocks of %v, want seven sources: an import holds none", slices.Sorted(maps.Keys(after)))
		}
		for lane, at := range series(t, registry, "clock_seconds") {
			behind := float64(time.Now().UnixMilli())/1000 - at
			if hung := lane == "2"; hung != (behind > 60) {
				t.Errorf("the clock of lane %s is %v s behind", lane, behind)
			}
		}
		endKeyed()
		time.Sleep(10 * time.Second)
		if on := said("the source goes on"); len(on) != 1 {
			t.Errorf("%d sources are said to go on, want 1: %v", len(on), on)
		}
		r.stop(t)
		router.stop(t)
		for _, name := range []string{"clock_seconds", "source_clock_seconds", "lag_records", "lag_seconds", "state_customers", "source_stalled_seconds"} {
			if left := series(t, registry, name); len(left) != 0 {
				t.Errorf("a worker that has stopped still tells %s: %v", name, left)
			}
		}
	})
}

// The router, too, names the sources that it cannot read on.
func TestRouterNamesWhatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) {
			c.Clock = ClockWall
			c.Inputs = []Input{{Topic: "other"}, {Topic: "import", IgnoreClock: true}}
		})
		logs := w.observe(zap.InfoLevel)
		registry := prometheus.NewRegistry()
		p := &plug{w: w}
		deps := w.deps(p)
		deps.Registerer = registry
		router, err := NewRouter(w.cfg, deps)
		if err != nil {
			t.Fatal(err)
		}
		r := w.run(p, router.Run)
		endOther := w.stranger("other", 1)
		endImport := w.stranger("import", 2) // holds back nothing: an import is in no clock
		time.Sleep(3 * time.Minute)
		still := logs.FilterMessageSnippet("a source stands still").All()
		if len(still) != 1 || still[0].LoggerName != "router" || still[0].ContextMap()["topic"] != "other" || still[0].ContextMap()["partition"] != int32(1) {
			t.Fatalf("said %v, want other/1 once", still)
		}
		if got := series(t, registry, "source_stalled_seconds"); len(got) != 1 || got["1 router other"] < 150 {
			t.Errorf("metrics say %v, want other/1 for three minutes", got)
		}
		if lag := series(t, registry, "lag_seconds"); len(lag) != 6 || lag["1 other"] < 150 || lag["0 other"] != 0 || lag["2 import"] < 150 {
			t.Errorf("lag %v, want six partitions, other/1 and import/2 three minutes behind", lag)
		}
		endOther()
		endImport()
		time.Sleep(5 * time.Second)
		if got := series(t, registry, "source_stalled_seconds"); len(got) != 0 {
			t.Errorf("metrics still say %v", got)
		}
		r.stop(t)
		if left := series(t, registry, "lag_seconds"); len(left) != 0 {
			t.Errorf("a router that has stopped still tells the lag of %v", left)
		}
	})
}

// What holds back a clock is named also while it moves, and is named anew if it then
// stands still: once per change.
func TestSourceThatIsBehindIsNamed(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	registry := prometheus.NewRegistry()
	cfg := testConfig([]string{"a:1"})
	cfg.Clock = ClockWall
	deps := Deps{Log: zap.New(core), Registerer: registry}
	deps.fill()
	r := newReporter("stream", &cfg, &deps, newMetrics(registry), nil)
	now := day0
	behind := func(at instant.Instant) {
		l := laneReport{clock: at, sources: []mailbox.SourceState{{Source: mailbox.Source{Topic: "events", Partition: 3}, Clock: at}}}
		r.take(0, snapshot{lanes: map[int32]laneReport{3: l}})
		r.report(now)
		now = now.Add(10 * time.Second)
	}
	var got []string
	said := func() {
		for _, l := range logs.TakeAll() {
			word, _, _ := strings.Cut(l.Message, ":")
			got = append(got, fmt.Sprintf("%s %v/%v %v", word, l.ContextMap()["topic"], l.ContextMap()["partition"], l.ContextMap()["lanes"]))
		}
	}
	for i := range 20 { // three minutes of a backlog of a day that is being read
		behind(now.Add(-dayLength + time.Duration(i)*time.Hour))
	}
	said()
	at := now.Add(-4 * time.Hour)
	for range 20 {
		behind(at)
	}
	said()
	for i := range 3 { // it is read again: no stall, but still behind
		behind(at.Add(time.Duration(i+1) * time.Hour))
	}
	said()
	for range 20 {
		behind(now)
	}
	said()
	want := []string{
		"a source is behind and holds back the clocks of lanes events/3 [3]",
		"a source stands still events/3 [3]",
		"a source is behind and holds back the clocks of lanes events/3 [3]",
		"the source goes on and holds back no clock any more events/3 <nil>",
	}
	if !slices.Equal(got, want) {
		t.Errorf("said\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A lane that moves away takes its series with it: nobody reads of two owners.
func TestSeriesMoveWithTheirLanes(t *testing.T) {
	messages, last := history(t, 700)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) { c.Slots = 1 })
		w.produce("events", messages...)
		second := w.cfg
		second.Instance = "two"
		a, one := w.watched(w.cfg)
		time.Sleep(10 * time.Second)
		names := map[string]int{"clock_seconds": 4, "state_customers": 4, "source_clock_seconds": 4, "lag_records": 8, "lag_seconds": 8}
		for name, n := range names {
			if got := series(t, one, name); len(got) != n {
				t.Errorf("alone: %s of %v, want %d", name, got, n)
			}
		}
		b, two := w.watched(second)
		time.Sleep(20 * time.Second)
		for name, n := range names {
			all := map[string]float64{}
			for _, registry := range []*prometheus.Registry{one, two} {
				got := series(t, registry, name)
				if len(got) != n/2 {
					t.Errorf("of two: %s of %v, want %d", name, got, n/2)
				}
				maps.Copy(all, got)
			}
			if len(all) != n {
				t.Errorf("of two: %s of %v, want all %d", name, all, n)
			}
		}
		b.stop(t)
		time.Sleep(20 * time.Second)
		for name, n := range names {
			if got, gone := series(t, one, name), series(t, two, name); len(got) != n || len(gone) != 0 {
				t.Errorf("alone again: %s of %v and %v, want %d and none", name, got, gone, n)
			}
		}
		w.end(last)
		w.wait(a, last)
		a.stop(t)
	})
}

// The number of customers is part of the lane's state: it is right after crashes,
// restores and the end of anonymous customers, and where an earlier version had not
// counted them.
func TestCustomersAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) {
			c.MaxPollRecords, c.MaxTransactionRecords = 7, 20
			c.CommitInterval = Interval{Min: 5 * time.Millisecond, Max: 5 * time.Millisecond}
		})
		var messages []message
		for i := range 300 {
			at := day0.Add(time.Duration(i) * time.Minute)
			id := fmt.Sprint("c", i%100) // three times each
			m := message{customer: id, event: "Order Completed", id: fmt.Sprint("o", i), at: at}
			if i%2 == 1 { // every other one is anonymous
				m.raw = fmt.Sprintf(`{"type":"page","messageId":"o%d","anonymousId":%q,"timestamp":%q}`, i, id, at)
			}
			messages = append(messages, m)
		}
		r, registry := w.watched(w.cfg)
		for rest := messages; len(rest) > 0; rest = rest[30:] {
			w.produce("events", rest[:30]...)
			time.Sleep(13 * time.Millisecond)
			r.kill()
			r, registry = w.watched(w.cfg)
		}
		count := func(when string, want float64) {
			t.Helper()
			sum := 0.0
			customers := series(t, registry, "state_customers")
			for _, n := range customers {
				sum += n
			}
			if sum != want || len(customers) != 4 {
				t.Errorf("%s: customers by lane %v, want %v", when, customers, want)
			}
		}
		time.Sleep(10 * time.Second)
		count("all have come", 100)
		last := day0.Add(100 * dayLength)
		w.end(last)
		w.wait(r, last)
		time.Sleep(2 * time.Second)
		count("the anonymous ones are forgotten", 50)
		r.stop(t)
		r, registry = w.watched(w.cfg)
		time.Sleep(10 * time.Second)
		count("restored", 50)
		r.stop(t)
		w.forgetCounts()
		r, registry = w.watched(w.cfg)
		time.Sleep(10 * time.Second)
		count("restored from records of version 1", 50)
		r.stop(t)
	})
}

// forgetCounts writes the lanes' records as a version wrote them that did not count
// customers.
func (w *world) forgetCounts() {
	w.t.Helper()
	last := map[int32]*kgo.Record{}
	for _, r := range w.all(topics.State) {
		if kind, _, _, err := mailbox.DecodeStateKey(r.Key); err != nil {
			w.t.Fatal(err)
		} else if kind == mailbox.StateLane {
			last[r.Partition] = r
		}
	}
	client := w.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for p, r := range last {
		l, err := mailbox.DecodeLane(r.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		l.Customers = -1
		old := &kgo.Record{Topic: r.Topic, Partition: p, Key: r.Key, Value: l.Append(nil), Headers: r.Headers}
		if err := client.ProduceSync(w.t.Context(), old).FirstErr(); err != nil {
			w.t.Fatal(err)
		}
	}
	if len(last) != int(w.cfg.Lanes) {
		w.t.Fatalf("%d lanes have a record, want %d", len(last), w.cfg.Lanes)
	}
}

// Lag in seconds is how old what was read is, not how long a partition has been silent.
func TestLagInSeconds(t *testing.T) {
	at := func(s int) instant.Instant { return day0.Add(time.Duration(s) * time.Second) }
	r := newReading(at(0))
	want := func(when string, next int64, now, records, seconds int) {
		t.Helper()
		l := r.lag(next)
		if l.records != int64(records) || l.seconds(at(now)) != float64(seconds) {
			t.Errorf("%s: %d records and %v s, want %d and %d", when, l.records, l.seconds(at(now)), records, seconds)
		}
	}
	want("nothing is known", 0, 5, 0, 0)
	r.answered(0, 100, at(5))
	want("it cannot be read", 0, 65, 100, 65)
	r.batch(10, 100, at(-3600), at(70))
	want("a backlog of an hour", 10, 70, 90, 3670)
	r.batch(20, 90, at(-1800), at(71))
	want("an earlier fetch says an earlier end", 20, 71, 80, 1871)
	r.batch(100, 100, at(72), at(72))
	want("caught up", 100, 80, 0, 0)
	r.answered(100, 100, at(5000))
	r.answered(100, 101, at(5001))
	want("one more after a silence of an hour", 100, 5001, 1, 1)
	r.batch(101, 101, at(99_999), at(5002))
	r.answered(101, 102, at(5010))
	want("a timestamp in the future", 101, 5012, 1, 10)
}

// While a session is broken nobody holds its lanes, and nothing is told of them.
func TestNothingIsToldOfABrokenSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), alone)
		_, registry := w.watched(w.cfg)
		time.Sleep(10 * time.Second)
		if got := series(t, registry, "clock_seconds"); len(got) != 0 {
			t.Fatalf("clocks %v before any event", got)
		}
		if got := series(t, registry, "state_customers"); len(got) != 4 {
			t.Fatalf("customers by lane %v, want four lanes", got)
		}
		w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: w.cfg.topic(topics.StageChanges), Err: kerr.TopicAuthorizationFailed, Count: 1})
		away := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.TransactionalIDAuthorizationFailed, Count: -1, When: transactional})
		w.produce("events", message{customer: "ana", event: "Order Completed", id: "o1", at: day0})
		time.Sleep(time.Minute)
		for _, name := range []string{"state_customers", "clock_seconds", "lag_seconds"} {
			if left := series(t, registry, name); len(left) != 0 {
				t.Errorf("%s is told while nobody has the lanes: %v", name, left)
			}
		}
		away.Remove()
		time.Sleep(time.Minute)
		if got := series(t, registry, "state_customers"); len(got) != 4 {
			t.Errorf("customers by lane %v after a new session, want four lanes", got)
		}
	})
}

// What a restore says that was cancelled meanwhile is not heard: the process would wait
// for a lane for ever that is another's.
func TestProgressOfALaneThatWasTakenAway(t *testing.T) {
	s := newStatus(1)
	s.assigned(0)
	s.restoring(3)
	s.progress(3, 10, 100)
	if got := s.restores()[3]; got != (progress{10, 100}) {
		t.Errorf("progress %v", got)
	}
	s.lost(3)
	s.progress(3, 20, 100)
	if why := s.waiting(0); len(why) != 0 {
		t.Errorf("the process waits for %q", why)
	}
}
