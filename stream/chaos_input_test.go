// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"lapwing/schemas/event"
	"lapwing/schemas/topics"
	"lapwing/stream/lifecycle"
)

// observe keeps what the workers log from the level on.
func (w *world) observe(level zapcore.Level) *observer.ObservedLogs {
	core, logs := observer.New(level)
	w.log = zap.New(core)
	return logs
}

// Fault 14: a stranger's transaction in an input does not end. The process says which
// producer it is, and since when, in the log and as a metric; the other partitions go
// on, and once it is aborted everything behind it is there.
func TestChaos14HungTransactionOfAStranger(t *testing.T) {
	messages, last := story(t, 500)
	for _, routed := range []bool{false, true} {
		t.Run(fmt.Sprintf("routed %v", routed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, withCampaigns(t), func(c *Config) {
					small(c)
					c.Inputs = []Input{{Topic: "events", Keyed: !routed}}
				})
				logs := w.observe(zap.WarnLevel)
				registry := prometheus.NewRegistry()
				stuck := Home(messages[0].customer, w.cfg.Lanes) % 3
				stranger := w.client(kgo.TransactionalID("a-stranger"), kgo.TransactionTimeout(15*time.Minute), kgo.RecordPartitioner(kgo.ManualPartitioner()))
				if err := stranger.BeginTransaction(); err != nil {
					t.Fatal(err)
				}
				never := &kgo.Record{Topic: "events", Partition: stuck, Key: []byte("x"), Value: []byte("never seen")}
				if err := stranger.ProduceSync(t.Context(), never).FirstErr(); err != nil {
					t.Fatal(err)
				}
				p := &plug{w: w}
				deps := w.deps(p)
				deps.Registerer = registry
				worker, err := NewWorker(w.cfg, w.def, deps)
				if err != nil {
					t.Fatal(err)
				}
				r := w.run(p, worker.Run)
				r.Worker = worker
				if routed {
					router, err := NewRouter(w.cfg, deps)
					if err != nil {
						t.Fatal(err)
					}
					w.run(p, router.Run)
				}
				w.produce("events", messages...)
				time.Sleep(time.Minute)
				said := logs.FilterMessageSnippet("transaction in an input does not end").All()
				if len(said) != 1 {
					t.Fatalf("said %d times within a minute that a transaction hangs, want once: %v", len(said), said)
				}
				id, _, err := stranger.ProducerID(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				fields := said[0].ContextMap()
				if fields["transactional_id"] != "a-stranger" || fields["producer_id"] != id || fields["topic"] != "events" || fields["partition"] != stuck {
					t.Errorf("said %v; want producer %d, a-stranger, in partition %d", fields, id, stuck)
				}
				if n := blockedSeconds(t, registry, stuck); n < 30 || n > 60 {
					t.Errorf("lapwing_input_blocked_seconds is %v after a minute", n)
				}
				if n := len(w.all(topics.StageChanges)); n == 0 {
					t.Error("the other partitions stand still, too")
				}
				if err := stranger.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				if n := testutil.CollectAndCount(registry, "lapwing_input_blocked_seconds"); n != 0 {
					t.Errorf("%d partitions are still said to be held up", n)
				}
				w.end(last)
				w.wait(r, last)
				r.stop(t)
				w.judged(messages, last)
			})
		})
	}
}

// blockedSeconds is the metric's value of a partition of events; 0 if there is none.
func blockedSeconds(t *testing.T, registry *prometheus.Registry, partition int32) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "lapwing_input_blocked_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "partition" && l.GetValue() == strconv.Itoa(int(partition)) {
					return m.GetGauge().GetValue()
				}
			}
		}
	}
	return 0
}

// Fault 22, second half: an input gets more partitions. Of a keyed one that is refused
// with what to do about it, by a worker that runs and by one that is started: customers
// would have other lanes. (A routed one may grow: TestNewPartitionOfARoutedInput.)
func TestChaos22PartitionsOfTheInputRaised(t *testing.T) {
	messages, _ := story(t, 700)
	half := len(messages) / 2
	raised := func(t *testing.T, w *world, want string) {
		r := w.start(w.cfg)
		time.Sleep(5 * time.Second)
		if _, err := kadm.NewClient(w.client()).CreatePartitions(t.Context(), 2, "events"); err != nil {
			t.Fatal(err)
		}
		err := r.ended(t, time.Minute)
		if !errors.Is(err, ErrLanes) || !strings.Contains(err.Error(), want) {
			t.Errorf("the running worker stopped with %v; want %q", err, want)
		}
	}
	t.Run("keyed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, withCampaigns(t), nil)
			w.produce("events", messages[:half]...)
			raised(t, w, "topic events has 6 partitions, generation 1 was computed with 4 lanes: the number of lanes of a generation is fixed: "+
				"run another generation with `lapwing rebuild`, which computes from the beginning: from a configuration with the next generation and keyed: false")
			want := "topic events has 6 partitions, lanes is 4: a keyed input needs one partition per lane"
			if err := w.start(w.cfg).ended(t, time.Minute); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("a worker that is started stopped with %v; want %q", err, want)
			}
		})
	})
}

// Fault 29: poison of every kind, in the way of a customer's events, with the worker
// killed at any time: each is put aside once, byte for byte, with its cause and place,
// in the transaction that goes on behind it; nothing of it is in the logs.
func TestChaos29Poison(t *testing.T) {
	const secret = "payload-of-somebody"
	at := func(properties string) string {
		return `{"type":"track","event":"Order Completed","userId":"poison","timestamp":"1997-01-02T00:00:00Z","note":"` + secret + `","properties":` + properties + `}`
	}
	poison := []struct {
		name, value string
		cause       event.Cause // "": it is no poison at all
	}{
		{"bad JSON", `{"note":"` + secret, event.InvalidJSON},
		{"an array", `["` + secret + `"]`, event.InvalidJSON},
		{"deep", at(strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)), event.TooDeep},
		{"NaN", at(`{"total":NaN}`), event.InvalidJSON},
		{"infinity", at(`{"total":Infinity}`), event.InvalidJSON},
		{"invalid UTF-8", at("{\"total\":1,\"a\":\"\xff\xfe\"}"), event.InvalidUTF8},
		{"large", at(`{"a":"` + strings.Repeat("x", 2<<20) + `"}`), event.TooLarge},
		{"empty", "", event.InvalidJSON},
		{"no customer", `{"type":"track","event":"` + secret + `"}`, event.MissingCustomer},
		{"negative time", strings.Replace(at("{}"), "1997-01-02", "-001-01-02", 1), event.InvalidTime},
		{"time before 1970", strings.Replace(at("{}"), "1997-01-02", "1969-12-31", 1), event.InvalidTime},
		{"duplicate keys", `{"type":"track","event":"` + secret + `","type":"track","userId":"x","userId":"poison","timestamp":"1997-01-02T00:00:00Z"}`, ""},
	}
	for _, routed := range []bool{false, true} {
		t.Run(fmt.Sprintf("routed %v", routed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, withCampaigns(t), func(c *Config) {
					small(c)
					c.Inputs = []Input{{Topic: "events", Keyed: !routed}}
				})
				logs := w.observe(zap.DebugLevel)
				client := w.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(15<<20))
				home := Home("ana", w.cfg.Lanes) % 3
				good := func(i int) message {
					return message{customer: "ana", event: "Order Completed", id: fmt.Sprint("o", i), at: day0.Add(time.Duration(i) * dayLength)}
				}
				var (
					all  []message
					sent = map[string]event.Cause{} // what is to be put aside
				)
				put := func(key, value []byte, stamp time.Time) {
					rec := &kgo.Record{Topic: "events", Partition: home, Key: key, Value: value, Timestamp: stamp}
					if err := client.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
						t.Fatal(err)
					}
				}
				r := w.start(w.cfg)
				start := func() *running {
					if !routed {
						return nil
					}
					return w.startRouter(w.cfg)
				}
				router := start()
				for i, p := range poison {
					g := good(i)
					put([]byte("ana"), g.bytes(), g.at.Time())
					all = append(all, g)
					put([]byte("ana"), []byte(p.value), g.at.Time())
					if p.cause != "" {
						sent[p.value] = p.cause
					}
					if i%3 == 2 {
						time.Sleep(time.Duration(i*7) * time.Millisecond)
						r.kill()
						if routed {
							router.kill()
						}
						r, router = w.start(w.cfg), start()
					}
				}
				put(nil, nil, day0.Time()) // a tombstone without a key
				sent[""] = event.InvalidJSON
				put([]byte(strings.Repeat("k", 64<<10)), []byte(`{"a":"of a long key"`), day0.Time())
				sent[`{"a":"of a long key"`] = event.InvalidJSON
				g := good(len(poison))
				put(nil, g.bytes(), g.at.Time()) // a null key is no harm: the customer is in the message
				all = append(all, g)
				all = append(all, message{customer: "poison", at: day0.Add(dayLength), raw: poison[len(poison)-1].value})
				w.end(g.at)
				w.wait(r, g.at)
				r.stop(t)
				w.judged(all, g.at)
				seen := map[string]int{}
				for _, d := range w.all(topics.DeadLetters) {
					value := string(d.Value)
					seen[header(d, "source_partition")+"/"+header(d, "source_offset")]++
					if cause, ok := sent[value]; !ok || string(cause) != header(d, "cause") {
						t.Errorf("dead letter %.60q with cause %s, want %q", value, header(d, "cause"), cause)
					}
					if header(d, "source_topic") != "events" {
						t.Errorf("dead letter %.60q without its place: %v", value, d.Headers)
					}
				}
				for place, n := range seen {
					if n != 1 {
						t.Errorf("%d dead letters of %s, want one", n, place)
					}
				}
				if len(seen) != len(poison)+1 { // "duplicate keys" is none, the last two are
					t.Errorf("%d dead letters, want %d", len(seen), len(poison)+1)
				}
				for _, l := range logs.All() {
					if text := fmt.Sprint(l.Message, l.ContextMap()); strings.Contains(text, secret) {
						t.Errorf("a payload is in the log: %.200s", text)
					}
				}
			})
		})
	}
}

// Fault 30: a message must be put aside and the topic for it cannot be written. Whoever
// reads it, lane or router, stops there: it does not go on without it, and does not try
// again in a hurry. It says which topic it is. The process lives on, since what is
// wrong is put right elsewhere: once the topic can be written, everything is there.
func TestChaos30DeadLettersUnwritable(t *testing.T) {
	messages, last := story(t, 700)
	for _, routed := range []bool{false, true} {
		for _, failure := range []*kerr.Error{kerr.TopicAuthorizationFailed, kerr.MessageTooLarge} {
			t.Run(fmt.Sprintf("routed %v/%s", routed, failure.Message), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, withCampaigns(t), func(c *Config) {
						small(c)
						c.Slots = 1
						c.Inputs = []Input{{Topic: "events", Keyed: !routed}}
					})
					logs := w.observe(zap.WarnLevel)
					group, partitions := w.cfg.workerGroup(), w.cfg.Lanes
					r := w.start(w.cfg)
					if routed {
						group, partitions = w.cfg.routerGroup(), 3
						w.startRouter(w.cfg)
					}
					w.produce("events", messages[:10]...)
					time.Sleep(5 * time.Second)
					bad := message{customer: messages[0].customer, at: messages[0].at, raw: "{"}
					p := Home(bad.customer, partitions)
					at := func() int64 { return w.committedBy(group)["events"][p] }
					was := at()
					fault := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: w.cfg.topic(topics.DeadLetters), Err: failure, Count: -1})
					w.produce("events", bad)
					w.produce("events", messages[10:]...)
					time.Sleep(time.Minute)
					if n := len(w.all(topics.DeadLetters)); n != 0 {
						t.Errorf("%d dead letters though the topic cannot be written", n)
					}
					if now := at(); now != was {
						t.Errorf("the partition went on from %d to %d without the dead letter", was, now)
					}
					if !routed && r.Ready() {
						t.Error("it says that it is ready, with a lane that stands still")
					}
					// Pauses grow to ten seconds: within a minute there are about ten.
					if n := fault.Hits(); n == 0 || n > 30 {
						t.Errorf("tried %d times within a minute, want 1 to 30", n)
					}
					named := false
					for _, l := range logs.All() {
						named = named || strings.Contains(fmt.Sprint(l.ContextMap()), w.cfg.topic(topics.DeadLetters))
					}
					if !named {
						t.Error("no warning names the topic that cannot be written")
					}
					select {
					case err := <-r.done:
						t.Fatalf("the process ended: %v", err)
					default:
					}
					fault.Remove()
					w.end(last)
					w.wait(r, last)
					r.stop(t)
					w.judged(messages, last)
					if !routed {
						w.equal(messages, last)
					}
					if n := len(w.all(topics.DeadLetters)); n != 1 {
						t.Errorf("%d dead letters, want 1", n)
					}
				})
			})
		}
	}
}

// Fault 31: the number of tenants, here values of a segment by trait, is anybody's to
// choose. The metrics and the totals have as many series with many as with few, and
// every change is there.
func TestChaos31ManyTenants(t *testing.T) {
	totals := map[int]int{} // by tenants
	many := chaosRounds(3_000, 100_000)
	for _, tenants := range []int{10, many} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, withCampaigns(t), nil)
			var messages []message
			for i := range max(100, tenants) {
				id := fmt.Sprint("c", i)
				messages = append(messages, message{customer: id, at: day0, raw: fmt.Sprintf(
					`{"type":"identify","messageId":"m%d","userId":%q,"timestamp":%q,"traits":{"country":"tenant %d"}}`, i, id, day0, i%tenants)})
			}
			registry := prometheus.NewRegistry()
			deps := w.deps(&plug{w: w})
			deps.Registerer = registry
			worker, err := NewWorker(w.cfg, w.def, deps)
			if err != nil {
				t.Fatal(err)
			}
			r := w.run(&plug{w: w}, worker.Run)
			r.Worker = worker
			w.produce("events", messages...)
			until := day0.Add(time.Millisecond)
			w.end(until)
			w.wait(r, until)
			r.stop(t)
			w.judged(messages, until)
			families, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, f := range families {
				if strings.HasPrefix(f.GetName(), "lapwing_") && !strings.HasPrefix(f.GetName(), "lapwing_kafka_") {
					n += len(f.GetMetric())
				}
				for _, m := range f.GetMetric() {
					for _, l := range m.GetLabel() {
						if strings.Contains(l.GetValue(), "tenant") {
							t.Errorf("metric %s has the label %s=%s", f.GetName(), l.GetName(), l.GetValue())
						}
					}
				}
			}
			if n > 100 {
				t.Errorf("%d series of metrics with %d tenants", n, tenants)
			}
			totals[tenants] = len(w.totals())
		})
	}
	if totals[10] != totals[many] {
		t.Errorf("%d totals with 10 tenants, %d with %d", totals[10], totals[many], many)
	}
}

// Fault 31, the state: one customer names a million tenants, one after the other. Its
// state stops growing at the limit, which is reported; so do memory and metrics.
func TestChaos31OneCustomerManyTenants(t *testing.T) {
	many := chaosRounds(20_000, 1_000_000)
	source := []byte(`{lapwing: 1, name: tenants, version: 1, events: {e: {match: E}},
		models: [{name: m, stages: [{stage: only, when: "true"}]}], segments: [{name: tenant, by: trait('tenant')}]}`)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, source, func(c *Config) { c.Lanes, c.Slots = 1, 1 })
		registry := prometheus.NewRegistry()
		deps := w.deps(&plug{w: w})
		deps.Registerer = registry
		worker, err := NewWorker(w.cfg, w.def, deps)
		if err != nil {
			t.Fatal(err)
		}
		r := w.run(&plug{w: w}, worker.Run)
		r.Worker = worker
		client := w.client()
		for i := 0; i < many; {
			var records []*kgo.Record
			for range min(many-i, 20_000) {
				at := day0.Add(time.Duration(i) * time.Second)
				m := message{customer: "ana", at: at, raw: fmt.Sprintf(
					`{"type":"identify","messageId":"m%d","userId":"ana","timestamp":%q,"traits":{"tenant":"t%d"}}`, i, at, i)}
				records = append(records, w.record(m, "events"))
				i++
			}
			if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		until := day0.Add(time.Duration(many+1) * time.Second)
		w.end(until)
		w.wait(r, until)
		r.stop(t)
		limit := w.def.Limits.ByValues
		if n := testutil.ToFloat64(worker.metrics.exceeded.WithLabelValues(lifecycle.LimitByValues.String())); int(n) != many-limit {
			t.Errorf("%v tenants are reported to be beyond the limit, want %d", n, many-limit)
		}
		largest := 0
		for _, s := range w.all(topics.State) {
			if strings.HasSuffix(string(s.Key), "ana") {
				largest = max(largest, len(s.Value))
			}
		}
		if bound := limit*byValueAtMost + 256<<10; largest == 0 || largest > bound { // with what else a customer may have
			t.Errorf("the customer's state took %d bytes, want at most %d", largest, bound)
		}
		if n, err := testutil.GatherAndCount(registry); err != nil || n > 1_000 {
			t.Errorf("%d series of metrics, %v", n, err)
		}
	})
}

// byValueAtMost is what the state has of a segment that a value of a few bytes names.
const byValueAtMost = 64
