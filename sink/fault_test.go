// SPDX-License-Identifier: Apache-2.0

package sink_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"lapwing/deploy/embedded"
	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/sink"
	"lapwing/sink/sinktest"
)

var size = sinktest.Size{Customers: 40, Changes: 12, Orders: 8} //nolint:gochecknoglobals // a constant of these tests

// TestTotalsAgreeWithTheLog: what was committed is in ClickHouse exactly once, what
// was aborted never, the last value of absolute values and profiles counts, and a
// second run that reads everything again changes nothing.
func TestTotalsAgreeWithTheLog(t *testing.T) {
	server := embeddedtest.ClickHouseForTest(t)
	d := sinktest.NewDatabase(t, server.Options(), "log")
	c := broker(t)
	h := sinktest.New(11, time.UTC, size)
	produce(t, c, h.Records(1))

	first := start(t, config(c, d.Name), connect(t, server), logger(t))
	finish(t, first)
	check(t, d, totals(h))
	if !first.Ready() {
		t.Error("a sink that has written everything is not ready")
	}
	if lint, err := testutil.GatherAndLint(first.registry); err != nil || len(lint) > 0 {
		t.Errorf("metrics: %v %v", err, lint)
	}
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}

	again := config(c, d.Name)
	again.Group = "another" // begins at the beginning, with other edges of batches
	again.Batch.Rows = 77
	finish(t, start(t, again, connect(t, server), logger(t)))
	check(t, d, totals(h))
}

// TestKilledBetweenInsertAndCommit: rows that are in ClickHouse while their offsets
// are not committed are inserted again by the next sink and count once.
func TestKilledBetweenInsertAndCommit(t *testing.T) {
	server := embeddedtest.ClickHouseForTest(t)
	d := sinktest.NewDatabase(t, server.Options(), "killed")
	c := broker(t)
	h := sinktest.New(12, time.UTC, size)
	records := h.Records(1)
	produce(t, c, records[:len(records)/2])

	// The broker hears of the commit, and the process is gone before an answer.
	var armed atomic.Bool
	armed.Store(true)
	dying := make(chan struct{})
	c.ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if !armed.Load() {
			return nil, nil, false
		}
		select {
		case <-dying:
		default:
			close(dying)
		}
		return nil, errors.New("connection cut"), true
	})
	cfg := config(c, d.Name)
	doomed := start(t, cfg, connect(t, server), zap.NewNop())
	select {
	case <-dying:
	case <-time.After(patience):
		t.Fatal("the sink never tried to commit")
	}
	if err := doomed.stop(); err != nil {
		t.Fatal(err)
	}
	if got := committed(t, c, cfg.GroupName()); len(got) > 0 {
		t.Fatalf("offsets are committed although no commit got through: %v", got)
	}
	rows, err := d.Text(context.Background(), "SELECT count() > 0 FROM "+d.Name+".order_items_log")
	if err != nil || rows != "(1)\n" {
		t.Fatalf("no row was inserted before the commit (%q, %v): the test shows nothing", rows, err)
	}

	armed.Store(false)
	produce(t, c, records[len(records)/2:])
	cfg.Batch.Rows = 50 // other edges
	finish(t, start(t, cfg, connect(t, server), logger(t)))
	check(t, d, totals(h))
}

// TestClickHouseAway: ClickHouse is killed in the middle and comes back; the sink
// stops reading meanwhile, catches up by itself, and every total is right.
func TestClickHouseAway(t *testing.T) {
	embeddedtest.RequireLibrary(t)
	dir := t.TempDir()
	open := func(native string) *embedded.ClickHouse {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		ch, err := embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{Dir: dir, NativeAddr: native, Password: "secret", Log: zap.NewNop(), MaxMemoryBytes: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		return ch
	}
	server := open("")
	native := server.NativeAddr
	d := sinktest.NewDatabase(t, server.Options(), "away")
	c := broker(t)
	h := sinktest.New(13, time.UTC, size)
	records := h.Records(1)
	third := len(records) / 3
	produce(t, c, records[:third])
	cfg := config(c, d.Name)
	cfg.Batch.Rows = 100
	r := start(t, cfg, connect(t, server), zap.NewNop())
	finish(t, r)

	server.Kill()
	<-server.Done()
	produce(t, c, records[third:])
	failed := func() float64 { return sum(t, r.registry, "lapwing_sink_insert_failures_total") }
	eventually(t, "an insert fails", func() bool { return failed() > 2 })
	read, before := -1.0, 0.0
	eventually(t, "the sink reads no more", func() bool {
		if failed() < before+5 {
			return false
		}
		was := read
		read, before = sum(t, r.registry, "lapwing_sink_records_total"), failed()
		return read == was
	})
	if read == float64(len(records)) {
		t.Error("the sink has read everything while ClickHouse was away: the test shows nothing")
	}
	for name, bounds := range map[string][2]float64{
		"in_flight_batches": {float64(cfg.Batch.InFlight), float64(cfg.Batch.InFlight)},
		"in_flight_rows":    {float64(cfg.Batch.InFlight * cfg.Batch.Rows), float64(2 * len(records))},
		"retrying_inserts":  {1, 100},
		"oldest_seconds":    {1e-9, patience.Seconds()},
	} {
		if n := sum(t, r.registry, "lapwing_sink_"+name); n < bounds[0] || n > bounds[1] {
			t.Errorf("lapwing_sink_%s is %v while ClickHouse is away, want %v", name, n, bounds)
		}
	}

	server = open(native)
	t.Cleanup(func() { _ = server.Close() })
	finish(t, r)
	check(t, d, totals(h))
	eventually(t, "nothing is on its way", func() bool {
		return sum(t, r.registry, "lapwing_sink_in_flight_batches")+sum(t, r.registry, "lapwing_sink_in_flight_bytes")+sum(t, r.registry, "lapwing_sink_retrying_inserts") == 0
	})
	if n := sum(t, r.registry, "lapwing_sink_last_error_timestamp_seconds"); n < 1e9 {
		t.Errorf("the last error was at %v", n)
	}
}

// TestRebalance: members come and go in the middle; nothing is lost or doubled.
func TestRebalance(t *testing.T) {
	server := embeddedtest.ClickHouseForTest(t)
	d := sinktest.NewDatabase(t, server.Options(), "rebalance")
	c := broker(t)
	h := sinktest.New(14, time.UTC, size)
	records := h.Records(1)
	cfg := config(c, d.Name)
	cfg.Batch.Rows = 60
	var members []*running
	for i := range 4 {
		quarter := len(records) / 4
		part := records[i*quarter:]
		if i < 3 {
			part = part[:quarter]
		}
		members = append(members, start(t, cfg, connect(t, server), zap.NewNop()))
		produce(t, c, part)
		if i == 2 { // one leaves while others come
			if err := members[0].stop(); err != nil {
				t.Fatal(err)
			}
		}
	}
	ends, err := members[3].EndOffsets(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the group has committed everything", func() bool { return committed(t, c, cfg.GroupName()).Reached(ends) })
	check(t, d, totals(h))
}

// TestUnreadableAndForeignRecords: a record that cannot be read is kept, counted and
// warned of once, and those beside it are written; another generation is passed over.
func TestUnreadableAndForeignRecords(t *testing.T) {
	server := embeddedtest.ClickHouseForTest(t)
	d := sinktest.NewDatabase(t, server.Options(), "unreadable")
	c := broker(t)
	h := sinktest.New(15, time.UTC, sinktest.Size{Customers: 5, Changes: 8, Orders: 5})
	records := h.Records(1)
	foreign := h.Records(2)
	bad := records[1] // a change: a fact, which no later record replaces
	bad.Value = []byte("\x00not JSON")
	produce(t, c, append(append(foreign, bad), records...))

	warned := make(chan string, 100)
	log := zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel), zaptest.WrapOptions(zap.Hooks(hook(warned))))
	r := start(t, config(c, d.Name), connect(t, server), log)
	finish(t, r)
	want := totals(h)
	want[len(want)-1].want = "(1)"
	check(t, d, want)
	got, err := d.Text(context.Background(), "SELECT value FROM "+d.Name+".unreadable")
	if err != nil || !strings.Contains(got, "not JSON") {
		t.Errorf("the bytes of the unreadable record: %q, %v", got, err)
	}
	if n := sum(t, r.registry, "lapwing_sink_other_generation_total"); n != float64(len(foreign)) {
		t.Errorf("%v records of another generation counted, want %d", n, len(foreign))
	}
	if n := len(warned); n != 1 {
		t.Errorf("%d warnings, want one", n)
	}
}

// TestSchemaMissing: without leave to migrate, the sink says what to do and ends.
func TestSchemaMissing(t *testing.T) {
	server := embeddedtest.ClickHouseForTest(t)
	c := broker(t)
	cfg := config(c, "nothing_here")
	cfg.Migrate = false
	s, err := sink.New(cfg, sink.Deps{Log: zap.NewNop(), Registerer: prometheus.NewRegistry(), ClickHouse: connect(t, server)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Run(ctx); err == nil || !strings.Contains(err.Error(), "lapwing migrate --apply") {
		t.Errorf("got %v, want the command that helps", err)
	}
}

// TestNoBrokerEnds: Run returns at once when its context ends while nothing answers.
func TestNoBrokerEnds(t *testing.T) {
	server := embeddedtest.ClickHouseForTest(t)
	cfg := sink.Default()
	cfg.Brokers, cfg.Database = []string{"127.0.0.1:1"}, "no_broker"
	r := start(t, cfg, connect(t, server), zap.NewNop(), kgo.DialTimeout(time.Second))
	eventually(t, "the schema is there", func() bool {
		conn := connect(t, server)
		defer func() { _ = conn.Close() }()
		return conn.Exec(context.Background(), "SELECT 1 FROM no_broker.stage_changes LIMIT 1") == nil
	})
	if err := r.stop(); err != nil {
		t.Errorf("stopped with %v", err)
	}
}
