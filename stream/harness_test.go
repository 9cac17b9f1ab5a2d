// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"lapwing/schemas/definition"
	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/presets"
	"lapwing/schemas/record"
	"lapwing/schemas/samples"
	"lapwing/schemas/topics"
	"lapwing/stream/lifecycle"
)

func TestMain(m *testing.M) {
	if runWorkerChild() {
		return
	}
	inBubbleBuild()
	goleak.VerifyTestMain(m)
}

// day0 is where the tests' own histories begin.
const day0 = instant.Instant(852_076_800_000) // 1997-01-01

const dayLength = 24 * time.Hour

// world is a fake broker in the test's bubble and what the tests do to it.
type world struct {
	t       *testing.T
	cluster *kfake.Cluster
	network kfake.VirtualNetwork
	cfg     Config
	def     *definition.Definition
	now     func() time.Time
	log     *zap.Logger
	dial    func(ctx context.Context, network, host string) (net.Conn, error)

	assignments, conversions changes // what alone has found
}

// newWorld must be called inside a bubble. The input "events" is keyed, "other" routed.
// opts come after the broker's own.
func newWorld(t *testing.T, source []byte, change func(*Config), opts ...kfake.Opt) *world {
	t.Helper()
	w := &world{t: t, now: time.Now, log: zap.NewNop()}
	w.dial = w.network.DialContext
	if os.Getenv("LAPWING_TEST_LOG") != "" {
		w.log = zaptest.NewLogger(t)
	}
	cluster, err := kfake.NewCluster(append([]kfake.Opt{
		kfake.NumBrokers(1), kfake.ListenFn(w.network.Listen),
		kfake.BrokerConfigs(map[string]string{"message.max.bytes": "16777216", "group.initial.rebalance.delay.ms": "0", "log.retention.ms": "-1"}),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	w.cluster = cluster
	w.cfg = testConfig(cluster.ListenAddrs())
	if change != nil {
		change(&w.cfg)
	}
	w.def = parse(t, source)
	for _, in := range w.cfg.Inputs {
		n := w.cfg.Lanes
		if !in.Keyed {
			n = 3
		}
		if err := cluster.CreateTopic(in.Topic, n, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := EnsureTopics(t.Context(), w.client(), &w.cfg); err != nil {
		t.Fatal(err)
	}
	return w
}

func testConfig(brokers []string) Config {
	cfg := Default()
	cfg.Brokers, cfg.Instance = brokers, "one"
	cfg.Lanes, cfg.Slots = 4, 2
	cfg.Inputs = []Input{{Topic: "events", Keyed: true}}
	cfg.Clock, cfg.PublishFrom = ClockEvent, PublishAll
	return cfg
}

func parse(t testing.TB, source []byte) *definition.Definition {
	t.Helper()
	def, problems := definition.Parse("test.yaml", source)
	for _, p := range problems {
		if !p.Warning {
			t.Fatalf("definition: %+v", p)
		}
	}
	return def
}

func customerValue(t testing.TB) []byte {
	t.Helper()
	source, ok := presets.Get("customer-value")
	if !ok {
		t.Fatal("no preset customer-value")
	}
	return source
}

// plug is a way to the broker that can be cut: what is left of a process that was
// killed can neither read nor write.
type plug struct {
	w     *world
	mu    sync.Mutex
	dead  bool
	conns []net.Conn
}

var errCut = errors.New("the line is cut")

func (p *plug) dial(ctx context.Context, network, host string) (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return nil, errCut
	}
	c, err := p.w.dial(ctx, network, host)
	if err == nil {
		p.conns = append(p.conns, c)
	}
	return c, err
}

func (p *plug) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = true
	for _, c := range p.conns {
		_ = c.Close()
	}
}

func (w *world) deps(p *plug) Deps {
	return Deps{Log: w.log, Now: w.now, KafkaOpts: []kgo.Opt{kgo.Dialer(p.dial)}}
}

func (w *world) client(opts ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(w.cfg.Brokers...), kgo.Dialer(w.dial)}, opts...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

// running is a worker or router that a test has started.
type running struct {
	*Worker
	plug   *plug
	cancel context.CancelFunc
	done   chan error // closed by the runner after the result
}

func (w *world) start(cfg Config) *running {
	w.t.Helper()
	p := &plug{w: w}
	worker, err := NewWorker(cfg, w.def, w.deps(p))
	if err != nil {
		w.t.Fatal(err)
	}
	r := w.run(p, worker.Run)
	r.Worker = worker
	return r
}

func (w *world) startRouter(cfg Config) *running {
	w.t.Helper()
	p := &plug{w: w}
	router, err := NewRouter(cfg, w.deps(p))
	if err != nil {
		w.t.Fatal(err)
	}
	return w.run(p, router.Run)
}

func (w *world) run(p *plug, run func(context.Context) error) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{plug: p, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- run(ctx); close(r.done) }()
	w.t.Cleanup(func() {
		cancel()
		for range r.done {
		}
	})
	return r
}

func (r *running) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	if err := <-r.done; err != nil {
		t.Errorf("stopping: %v", err)
	}
}

// kill cuts the line in the middle of whatever is going on, then lets go.
func (r *running) kill() {
	r.plug.cut()
	r.cancel()
	for range r.done {
	}
}

func (w *world) wait(r *running, at instant.Instant) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := r.WaitUntil(ctx, at); err != nil {
		select {
		case ended := <-r.done:
			w.t.Fatalf("the worker ended: %v", ended)
		default:
		}
		w.t.Fatalf("waiting for %s: %v; clocks %v", at, err, r.Watermarks())
	}
}

// message is one event of a test.
type message struct {
	customer, event, id string
	at                  instant.Instant
	total               string
	raw                 string // instead of all of the above but customer and at
}

func (m message) bytes() []byte {
	if m.raw != "" {
		return []byte(m.raw)
	}
	total := m.total
	if total == "" {
		total = "10"
	}
	return fmt.Appendf(nil, `{"type":"track","event":%q,"messageId":%q,"userId":%q,"timestamp":%q,"properties":{"order_id":%q,"total":%s}}`,
		m.event, m.id, m.customer, m.at, m.id, total)
}

func (w *world) record(m message, topic string) *kgo.Record {
	return &kgo.Record{Topic: topic, Key: []byte(m.customer), Value: m.bytes(), Timestamp: m.at.Time()}
}

// produce writes messages in their order; the client's default partitioner finds the homes.
func (w *world) produce(topic string, messages ...message) {
	w.t.Helper()
	client := w.client()
	records := make([]*kgo.Record, 0, len(messages))
	for _, m := range messages {
		records = append(records, w.record(m, topic))
	}
	if err := client.ProduceSync(w.t.Context(), records...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) end(at instant.Instant) {
	w.t.Helper()
	if err := EndSources(w.t.Context(), w.client(), w.cfg, at); err != nil {
		w.t.Fatal(err)
	}
}

// all reads what is committed in a topic.
func (w *world) all(topic string) []*kgo.Record {
	w.t.Helper()
	var rs []*kgo.Record
	p := &plug{w: w}
	deps := w.deps(p)
	deps.fill()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := readToEnd(ctx, &w.cfg, &deps, w.cfg.topic(topic), nil, func(r *kgo.Record) error {
		rs = append(rs, r)
		return nil
	})
	if err != nil {
		w.t.Fatalf("reading %s: %v", topic, err)
	}
	return rs
}

// changes are the ids of a topic's records, per customer in order.
type changes map[string][]string

func (c changes) add(customer, id, what string) {
	c[customer] = append(c[customer], id+" "+what)
}

func (w *world) changes(topic string) changes {
	w.t.Helper()
	c := changes{}
	homes := newHomes(w.cfg.Lanes)
	for _, r := range w.all(topic) {
		rec, err := record.DecodeRecord(r.Value)
		if err != nil {
			w.t.Fatalf("%s: %v: %s", topic, err, r.Value)
		}
		if string(r.Key) != rec.CustomerID || homes.of(r.Key) != r.Partition {
			w.t.Errorf("%s: record of %s has key %q in partition %d", topic, rec.CustomerID, r.Key, r.Partition)
		}
		c.add(rec.CustomerID, rec.ID.String(), describe(&rec))
	}
	return c
}

func describe(r *record.Record) string {
	switch r.Kind {
	case record.StageChange:
		return fmt.Sprintf("%s#%d %s→%s %s %s", r.Model, r.Sequence, r.From, r.To, r.EffectiveAt, r.Cause.Type)
	case record.Assignment, record.Conversion:
		return fmt.Sprintf("%s#%d round %d %s %v %s %s worth %s %s in %v %v", r.Name(), r.Sequence, r.Round, r.Variant, r.Holdout, r.EffectiveAt, r.Cause.Type, r.Value, r.Currency, r.Stages, r.Segments)
	default:
	}
	return fmt.Sprintf("%s#%d %v %s %s", r.Segment, r.Sequence, r.Entered, r.EffectiveAt, r.Cause.Type)
}

// alone is what the pure fold makes of the messages, customer by customer; assignments
// and conversions are left in w.
func (w *world) alone(messages []message, until instant.Instant) (stages, segments changes, profiles map[string]string) {
	w.t.Helper()
	model, problems := lifecycle.Compile(w.def)
	if model == nil {
		w.t.Fatal(problems)
	}
	model = model.PublishingFrom(instant.None)
	stages, segments, profiles = changes{}, changes{}, map[string]string{}
	w.assignments, w.conversions = changes{}, changes{}
	states := map[string]*lifecycle.State{}
	var out lifecycle.Output
	take := func() {
		for i := range out.Records {
			r := &out.Records[i]
			to := map[record.Kind]changes{
				record.StageChange: stages, record.SegmentChange: segments, record.Assignment: w.assignments, record.Conversion: w.conversions,
			}
			to[r.Kind].add(r.CustomerID, r.ID.String(), describe(r))
		}
		out.Reset()
	}
	dec := event.NewDecoder(model.Projection(), event.DefaultLimits())
	var msg event.Message
	for _, m := range messages {
		if cause := dec.Decode(m.bytes(), m.at, &msg); cause != "" {
			continue
		}
		id := string(msg.Customer)
		if states[id] == nil {
			states[id] = new(lifecycle.State)
		}
		model.Accept(states[id], id, &msg, msg.Time, &out)
		take()
	}
	for id, s := range states {
		model.Finish(s, id, until, &out)
		take()
		if s.Begun() {
			p := model.Profile(s, id)
			profiles[id] = string(p.AppendJSON(nil))
		}
	}
	return stages, segments, profiles
}

// same compares what was committed with what the pure fold says.
func (w *world) same(messages []message, until instant.Instant) {
	w.t.Helper()
	stages, segments, profiles := w.alone(messages, until)
	compare(w.t, "stage changes", w.changes(topics.StageChanges), stages)
	compare(w.t, "segment changes", w.changes(topics.SegmentChanges), segments)
	compare(w.t, "assignments", w.changes(topics.Assignments), w.assignments)
	compare(w.t, "conversions", w.changes(topics.Conversions), w.conversions)
	got := map[string]string{}
	for _, r := range w.all(topics.Profiles) {
		if r.Value == nil {
			delete(got, string(r.Key))
			continue
		}
		got[string(r.Key)] = string(r.Value)
	}
	for id, want := range profiles {
		if got[id] != want {
			w.t.Fatalf("profile of %s\n got %s\nwant %s", id, got[id], want)
		}
	}
	if len(got) != len(profiles) {
		w.t.Errorf("%d profiles, want %d", len(got), len(profiles))
	}
}

func compare(t *testing.T, what string, got, want changes) {
	t.Helper()
	ids := make([]string, 0, len(want))
	n := 0
	for id, rs := range want {
		ids = append(ids, id)
		n += len(rs)
	}
	slices.Sort(ids)
	for _, id := range ids {
		if !slices.Equal(got[id], want[id]) {
			t.Fatalf("%s of customer %s\n got %s\nwant %s", what, id, strings.Join(got[id], "\n     "), strings.Join(want[id], "\n     "))
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s of %d customers, want %d", what, len(got), len(want))
	}
	t.Logf("%s: %d of %d customers agree", what, n, len(want))
}

// history is the part of CDNOW that belongs to every nth customer.
func history(t testing.TB, nth int) (messages []message, last instant.Instant) {
	t.Helper()
	purchases, err := samples.CDNOW()
	if err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(purchases, func(a, b samples.Purchase) int { return int(a.At - b.At) })
	chosen := map[string]bool{}
	for _, p := range purchases {
		pick, seen := chosen[p.Customer]
		if !seen {
			pick = len(chosen)%nth == 0
			chosen[p.Customer] = pick
		}
		if pick {
			messages = append(messages, message{customer: p.Customer, at: p.At, raw: string(p.AppendEvent(nil))})
			last = max(last, p.At)
		}
	}
	return messages, last
}

// totals are the last value of each aggregate, summed over lanes.
func (w *world) totals() map[string][2]float64 {
	w.t.Helper()
	type key struct {
		lane int32
		key  string
	}
	last := map[key]record.Aggregate{}
	for _, r := range w.all(topics.Aggregates) {
		if record.IsSettings(r.Value) {
			continue
		}
		a, err := record.DecodeAggregate(r.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		last[key{r.Partition, string(r.Key)}] = a
	}
	sums := map[string][2]float64{}
	for _, a := range last {
		k := strings.Join([]string{string(a.Measure), string(a.Grain), a.Event, a.Model, a.Stage, a.From, a.To, a.Period.String()}, " ")
		s := sums[k]
		sums[k] = [2]float64{s[0] + float64(a.Count), s[1] + float64(a.Sum)/10_000}
	}
	return sums
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func mustJSON(t *testing.T, b []byte) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return v
}
