// SPDX-License-Identifier: Apache-2.0

package sink_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/sink/batch"
	"lapwing/sink/sinktest"
)

// TestOutageOfAnHour: ClickHouse refuses connections for an hour by the clock, while
// events come in every second. All of them are taken by Kafka, the sink keeps its place
// in the group, holds no more than it may, commits nothing, and afterwards catches up by
// itself to the very totals.
func TestOutageOfAnHour(t *testing.T) {
	server := embeddedtest.ClickHouseForTest(t)
	d := sinktest.NewDatabase(t, server.Options(), "outage")
	h := sinktest.New(28, time.UTC, sinktest.Size{Customers: 150, Changes: 10, Orders: 8})
	records := h.Records(1)
	if len(records) < 3600 {
		t.Fatalf("%d records are too few for one a second", len(records))
	}
	synctest.Test(t, func(t *testing.T) {
		var network kfake.VirtualNetwork
		var topics []string
		for _, name := range batch.Topics() {
			topics = append(topics, sinktest.Prefix+name)
		}
		c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.ListenFn(network.Listen), kfake.SeedTopics(sinktest.Lanes, topics...))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		dial := kgo.Dialer(network.DialContext)

		var away atomic.Bool
		var refused atomic.Int64
		o := server.Options()
		o.DialContext = func(ctx context.Context, addr string) (net.Conn, error) {
			if away.Load() {
				refused.Add(1)
				return nil, errors.New("connection refused")
			}
			return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		}
		o.ConnMaxLifetime = time.Second // a connection of before the outage is not used after it
		conn, err := clickhouse.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()

		cfg := config(c, d.Name)
		cfg.Batch.Rows, cfg.Batch.Bytes, cfg.Batch.InFlight = 100, 64<<10, 2
		cfg.Batch.Age = time.Minute // of the bubble's clock, as all times here
		cfg.Retry.Initial, cfg.Retry.Max = 100*time.Millisecond, 10*time.Second
		r, _ := launch(t, cfg, conn, zap.NewNop(), dial)
		defer func() {
			if err := r.stop(); err != nil {
				t.Errorf("the sink ended with: %v", err)
			}
		}()
		producer, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), dial, kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			t.Fatal(err)
		}
		defer producer.Close()
		write := func(r *batch.Record) {
			err := producer.ProduceSync(t.Context(), &kgo.Record{
				Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value,
				Headers: []kgo.RecordHeader{{Key: "generation", Value: []byte(strconv.Itoa(int(r.Generation)))}},
			}).FirstErr()
			if err != nil {
				t.Fatalf("Kafka does not take what comes in: %v", err)
			}
		}
		wait := func() {
			ends, err := r.EndOffsets(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := r.WaitUntil(t.Context(), ends); err != nil {
				t.Fatal(err)
			}
		}
		before := records[:len(records)-3600]
		for i := range before {
			write(&before[i])
		}
		wait()

		time.Sleep(2 * time.Second) // of the bubble's clock: the idle connections are too old now
		away.Store(true)
		read, commits := sum(t, r.registry, "lapwing_sink_records_total"), sum(t, r.registry, "lapwing_sink_last_commit_timestamp_seconds")
		most := 0.0
		for i := range 3600 {
			write(&records[len(before)+i])
			time.Sleep(time.Second)
			most = max(most, sum(t, r.registry, "lapwing_sink_in_flight_bytes"))
		}
		if n := sum(t, r.registry, "lapwing_sink_last_commit_timestamp_seconds"); n != commits {
			t.Error("offsets were committed while nothing could be written")
		}
		// Two batches on their way, the one that is read into, and what the last poll
		// brought beyond its limits.
		held := sum(t, r.registry, "lapwing_sink_records_total") - read
		if limit := 3*2*float64(cfg.Batch.Rows) + 1; held > limit || held < 100 {
			t.Errorf("the sink holds %v records of 3600, want at most %v, and as many as it may", held, limit)
		}
		if limit := 2 * 2 * float64(cfg.Batch.Bytes); most > limit || most == 0 {
			t.Errorf("the sink held %v bytes, want at most %v", most, limit)
		}
		if n := sum(t, r.registry, "lapwing_sink_oldest_seconds"); n < 3500 || n > 3700 {
			t.Errorf("the oldest record is said to wait for %v s, want an hour", n)
		}
		if n := sum(t, r.registry, "lapwing_sink_retrying_inserts"); n == 0 {
			t.Error("nothing is tried again")
		}
		if n := refused.Load(); n < 300 || n > 5000 {
			t.Errorf("%d attempts to connect in an hour: want one in 10 s and insert", n)
		}
		away.Store(false)
		wait()
		if n := sum(t, r.registry, "lapwing_sink_commit_errors_total"); n != 0 {
			t.Errorf("%v commits were refused: the sink has lost its place", n)
		}
	})
	check(t, d, totals(h))
}
