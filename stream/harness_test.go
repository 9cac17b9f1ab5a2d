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
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/presets"
	"lapwing/schemas/samples"
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
