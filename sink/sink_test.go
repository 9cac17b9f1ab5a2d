// SPDX-License-Identifier: Apache-2.0

package sink_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"lapwing/deploy/embedded"
	"lapwing/schemas/decimal"
	"lapwing/schemas/record"
	"lapwing/sink"
	"lapwing/sink/batch"
	"lapwing/sink/sinktest"
)

func TestMain(m *testing.M) {
	embedded.RunChild()
	if runSinkChild() {
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

const patience = 60 * time.Second

// broker is a fake cluster with all topics of the sink.
func broker(t *testing.T) *kfake.Cluster {
	t.Helper()
	var topics []string
	for _, name := range batch.Topics() {
		topics = append(topics, sinktest.Prefix+name)
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(sinktest.Lanes, topics...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func client(t *testing.T, c *kfake.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// produce writes the records in transactions of a few hundred, as the stream does,
// and before each one that is aborted. It returns the offsets of what was committed.
func produce(t *testing.T, c *kfake.Cluster, records []batch.Record) places {
	t.Helper()
	var mu sync.Mutex
	at := places{}
	ctx := context.Background()
	cl := client(t, c, kgo.TransactionalID("stream"), kgo.TransactionTimeout(10*time.Second))
	for len(records) > 0 {
		n := min(len(records), 300)
		for _, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
			if err := cl.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			for i := range records[:n] {
				r := &records[i]
				if end == kgo.TryAbort && i > 20 {
					break
				}
				cl.Produce(ctx, &kgo.Record{
					Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value,
					Headers: []kgo.RecordHeader{{Key: "generation", Value: []byte(strconv.Itoa(int(r.Generation)))}},
				}, func(r *kgo.Record, err error) {
					if err != nil {
						t.Errorf("produce: %v", err)
					}
					if end == kgo.TryCommit {
						mu.Lock()
						at[place{r.Topic, r.Partition}] = append(at[place{r.Topic, r.Partition}], r.Offset)
						mu.Unlock()
					}
				})
			}
			if err := cl.Flush(ctx); err != nil {
				t.Fatal(err)
			}
			if err := cl.EndTransaction(ctx, end); err != nil {
				t.Fatal(err)
			}
		}
		records = records[n:]
	}
	return at
}

// place is one partition, places are offsets by partition.
type (
	place struct {
		topic     string
		partition int32
	}
	places map[place][]int64
)

// below is how many of the offsets of one partition lie below next.
func (p places) below(at place, next int64) (n int) {
	for _, offset := range p[at] {
		if offset < next {
			n++
		}
	}
	return n
}

func config(c *kfake.Cluster, database string) sink.Config {
	cfg := sink.Default()
	cfg.Brokers, cfg.Database = c.ListenAddrs(), database
	cfg.Batch.Age, cfg.KPI.Every = 50*time.Millisecond, 0
	cfg.Retry.Initial, cfg.Retry.Max = 10*time.Millisecond, 100*time.Millisecond
	return cfg
}

// running is a sink that runs until stop.
type running struct {
	*sink.Sink
	registry *prometheus.Registry
	stop     func() error // waits until Run has returned
}

// start runs a sink that has to end without an error.
func start(t *testing.T, cfg sink.Config, conn driver.Conn, log *zap.Logger, opts ...kgo.Opt) *running {
	t.Helper()
	r, _ := launch(t, cfg, conn, log, opts...)
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("the sink ended with: %v", err)
		}
	})
	return r
}

// run runs a sink, and gives the error with which it ends by itself.
func run(t *testing.T, cfg sink.Config, conn driver.Conn) (*running, <-chan error) {
	t.Helper()
	r, done := launch(t, cfg, conn, zap.NewNop())
	t.Cleanup(func() { _ = r.stop() }) // whoever wants its error reads it from done
	ended := make(chan error, 1)
	go func() {
		<-done
		ended <- r.stop()
	}()
	return r, ended
}

func launch(t *testing.T, cfg sink.Config, conn driver.Conn, log *zap.Logger, opts ...kgo.Opt) (*running, <-chan struct{}) {
	t.Helper()
	r := &running{registry: prometheus.NewPedanticRegistry()}
	var err error
	if r.Sink, err = sink.New(cfg, sink.Deps{Log: log, Registerer: r.registry, KafkaOpts: opts, ClickHouse: conn}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var result error
	go func() {
		defer close(done)
		result = r.Run(ctx)
	}()
	r.stop = func() error {
		cancel()
		<-done
		return result
	}
	return r, done
}

// finish waits until all that is in the topics now is in ClickHouse.
func finish(t *testing.T, r *running) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ends, err := r.EndOffsets(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.WaitUntil(ctx, ends); err != nil {
		t.Fatalf("%v; wanted %v", err, ends)
	}
}

func connect(t *testing.T, server *embedded.ClickHouse) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(server.Options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// total is one figure of a history: how to query it, and what it must be.
type total struct{ name, query, want string }

func totals(h *sinktest.History) []total {
	changes := map[record.Kind]int{}
	var backfill int
	for _, c := range h.Changes {
		changes[c.Kind]++
		if c.Backfill {
			backfill++
		}
	}
	var revenue, refunded, sums decimal.Decimal
	items, count := 0, int64(0)
	for i := range h.Orders {
		o := &h.Orders[i]
		items += max(1, o.Products)
		revenue += o.Net()
		refunded += o.Value - o.Net()
	}
	for _, a := range h.Aggregates {
		count += a.Count
		sums += a.Sum
	}
	return []total{
		{"stage changes", "SELECT count(), uniqExact(id) FROM {}.stage_changes", fmt.Sprintf("(%d,%d)", changes[record.StageChange], changes[record.StageChange])},
		{"segment changes", "SELECT count() FROM {}.segment_changes", fmt.Sprintf("(%d)", changes[record.SegmentChange])},
		{"history", "SELECT (SELECT count() FROM {}.stage_changes WHERE backfill) + (SELECT count() FROM {}.segment_changes WHERE backfill)", fmt.Sprintf("(%d)", backfill)},
		{"orders", "SELECT countIf(item = 1), count(), sum(order_value), sum(refunded) FROM {}.order_items", fmt.Sprintf("(%d,%d,%s,%s)", len(h.Orders), items, revenue, refunded)},
		{"activity", "SELECT count() FROM {}.activity", fmt.Sprintf("(%d)", len(h.Activity))},
		{"aggregates", "SELECT count(), sum(count), sum(sum) FROM {}.aggregates", fmt.Sprintf("(%d,%d,%s)", len(h.Aggregates), count, sums)},
		{"profiles", "SELECT count(), sum(length(segments)) FROM {}.profiles", fmt.Sprintf("(%d,%d)", len(h.Profiles), 2*len(h.Profiles))},
		{"definitions", "SELECT count() FROM {}.definitions", "(1)"},
		{"unreadable", "SELECT count() FROM {}.unreadable", "(0)"},
	}
}

func check(t *testing.T, d *sinktest.Database, all []total) {
	t.Helper()
	for _, one := range all {
		got, err := d.Text(context.Background(), strings.ReplaceAll(one.query, "{}", d.Name))
		if err != nil {
			t.Errorf("%s: %v", one.name, err)
		} else if got != one.want+"\n" {
			t.Errorf("%s: got %swant %s", one.name, got, one.want)
		}
	}
}

func logger(t *testing.T) *zap.Logger { return zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel)) }

// committed are the group's offsets.
func committed(t *testing.T, c *kfake.Cluster, group string) sink.Offsets {
	t.Helper()
	offsets, err := kadm.NewClient(client(t, c)).FetchOffsets(context.Background(), group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // nothing was committed yet
		t.Fatal(err)
	}
	next := sink.Offsets{}
	offsets.Each(func(o kadm.OffsetResponse) { next.Set(o.Topic, o.Partition, o.At) })
	return next
}

func TestConfigReportsEveryProblem(t *testing.T) {
	err := sink.Config{}.Validate()
	for _, field := range []string{"brokers", "group", "generation", "batch.rows", "batch.bytes", "batch.age", "retry.initial", "retry.timeout", "reconcile.rows_per_second", "database"} {
		if err == nil || !strings.Contains(err.Error(), "sink."+field) {
			t.Errorf("sink.%s is wrong and not named in: %v", field, err)
		}
	}
	if err := sink.Default().Validate(); err != nil {
		t.Errorf("the default is refused: %v", err)
	}
	for keep, fits := range map[time.Duration]bool{0: true, sink.MinActivity: true, sink.MinActivity - 24*time.Hour: false, -sink.MinActivity: false} {
		short := sink.Default()
		short.Retain.Activity = keep
		if err := short.Validate(); (err == nil) != fits {
			t.Errorf("activity kept for %s: %v", keep, err)
		}
	}
	if _, err := sink.New(sink.Default(), sink.Deps{}); err == nil {
		t.Error("a sink without dependencies was made")
	}
}

func TestWaitUntilEndsWithItsContext(t *testing.T) {
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{"127.0.0.1:1"}}) // connects to nothing yet
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	s, err := sink.New(sink.Default(), sink.Deps{Log: zap.NewNop(), Registerer: prometheus.NewRegistry(), ClickHouse: conn})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("enough")
	cancel(cause)
	if err := s.WaitUntil(ctx, sink.Offsets{"x": maps.Clone(map[int32]int64{0: 1})}); !errors.Is(err, cause) {
		t.Errorf("got %v, want the cause of the context's end", err)
	}
	if err := s.WaitUntil(context.Background(), sink.Offsets{"x": {0: 0}}); err != nil {
		t.Errorf("nothing to wait for, got %v", err)
	}
}
