// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"lapwing/deploy/embedded"
	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/sink"
	"lapwing/sink/batch"
	"lapwing/sink/reconcile"
	"lapwing/sink/sinktest"
)

func TestMain(m *testing.M) {
	embedded.RunChild()
	goleak.VerifyTestMain(closing{m})
}

// engine is one ClickHouse for all tests, started by the first that needs it.
var engine struct { //nolint:gochecknoglobals // closed when all tests have ended
	once   sync.Once
	server *embedded.ClickHouse
	dir    string
}

// closing runs the tests, and then closes the engine.
type closing struct{ *testing.M }

func (c closing) Run() int {
	code := c.M.Run()
	if engine.server != nil {
		if err := errors.Join(engine.server.Close(), os.RemoveAll(engine.dir)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

func clickHouse(t *testing.T) *embedded.ClickHouse {
	t.Helper()
	embeddedtest.RequireLibrary(t)
	engine.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		var err error
		if engine.dir, err = os.MkdirTemp("", "reconcile"); err != nil { //nolint:usetesting // it outlives this test
			t.Fatal(err)
		}
		engine.server, err = embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{Dir: engine.dir, Log: zap.NewNop(), MaxMemoryBytes: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
	})
	if engine.server == nil {
		t.Fatal("ClickHouse did not start; see the first test")
	}
	return engine.server
}

const patience = 60 * time.Second

// world is a broker and a database with the rows of a history, put there by the sink.
type world struct {
	t       *testing.T
	broker  *kfake.Cluster
	db      *sinktest.Database
	conn    driver.Conn
	history *sinktest.History
	cfg     sink.Config
}

var size = sinktest.Size{Customers: 25, Changes: 16, Orders: 8} //nolint:gochecknoglobals // read only

func newWorld(t *testing.T, name string, seed uint64, brokerOpts ...kfake.Opt) *world {
	t.Helper()
	server := clickHouse(t)
	w := &world{t: t, broker: sinktest.NewBroker(t, brokerOpts...), db: sinktest.NewDatabase(t, server.Options(), name), history: sinktest.New(seed, time.UTC, size)}
	var err error
	if w.conn, err = clickhouse.Open(server.Options()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.conn.Close() })
	w.cfg = sink.Default()
	w.cfg.Brokers, w.cfg.Database = w.broker.ListenAddrs(), name
	w.cfg.Batch.Age = 20 * time.Millisecond
	w.cfg.Retry.Initial, w.cfg.Retry.Max = 10*time.Millisecond, 100*time.Millisecond
	return w
}

// write produces the records and lets the sink write them.
func (w *world) write(records []batch.Record) *world {
	w.t.Helper()
	sinktest.Produce(w.t, w.broker.ListenAddrs(), records)
	w.sink()
	return w
}

// sink runs the sink until all is written.
func (w *world) sink() {
	w.t.Helper()
	s, err := sink.New(w.cfg, sink.Deps{Log: zap.NewNop(), Registerer: prometheus.NewRegistry(), ClickHouse: w.conn})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	ended := make(chan error, 1)
	running, stop := context.WithCancel(ctx)
	go func() { ended <- s.Run(running) }()
	ends, err := s.EndOffsets(ctx)
	if err == nil {
		err = s.WaitUntil(ctx, ends)
	}
	stop()
	if e := <-ended; err != nil || e != nil {
		w.t.Fatal(err, e)
	}
}

func (w *world) reconciler(change ...func(*reconcile.Config, *reconcile.Deps)) *reconcile.Reconciler {
	w.t.Helper()
	cfg := reconcile.Config{
		Brokers: w.cfg.Brokers, Prefix: w.cfg.Prefix, Group: w.cfg.GroupName(), Generation: uint16(w.cfg.Generation), Database: w.cfg.Database,
	}
	deps := reconcile.Deps{ClickHouse: w.conn, Writer: w.db.Writer}
	for _, f := range change {
		f(&cfg, &deps)
	}
	r, err := reconcile.New(cfg, deps)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) compare(change ...func(*reconcile.Config, *reconcile.Deps)) *reconcile.Report {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	report, err := w.reconciler(change...).Compare(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	return report
}

// equal wants no difference.
func (w *world) equal(change ...func(*reconcile.Config, *reconcile.Deps)) *reconcile.Report {
	w.t.Helper()
	report := w.compare(change...)
	if !report.Equal() {
		w.t.Fatalf("the tables have what the log has, and yet:\n%s", text(report))
	}
	return report
}

// exec runs a statement, {} being the database, and waits for mutations.
func (w *world) exec(statement string) {
	w.t.Helper()
	ctx := clickhouse.Context(w.t.Context(), clickhouse.WithSettings(clickhouse.Settings{"mutations_sync": 2, "lightweight_deletes_sync": 2, "insert_deduplicate": 0}))
	if err := w.conn.Exec(ctx, strings.ReplaceAll(statement, "{}", w.db.Name)); err != nil {
		w.t.Fatalf("%s: %v", statement, err)
	}
}

// ask is the answer to a query as text.
func (w *world) ask(query string) string {
	w.t.Helper()
	got, err := w.db.Text(w.t.Context(), strings.ReplaceAll(query, "{}", w.db.Name))
	if err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
	return got
}

func text(r *reconcile.Report) string {
	var b strings.Builder
	for _, e := range r.Entries {
		if e.Differing > 0 {
			fmt.Fprintf(&b, "%s %s/%d [%d, %d): expected %d, found %d, differing %d; missing %s; altered %s; stale %s; surplus %s\n", e.Table, e.Topic, e.Partition,
				e.From, e.To, e.Expected, e.Found, e.Differing, e.Missing.Text(20), e.Altered.Text(20), e.Stale.Text(20), e.Surplus.Text(20))
		}
	}
	return b.String()
}
