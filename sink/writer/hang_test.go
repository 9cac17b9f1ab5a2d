// SPDX-License-Identifier: Apache-2.0

package writer_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.uber.org/zap"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/sink/batch"
	"lapwing/sink/sinktest"
	"lapwing/sink/writer"
)

// two is a pool of two connections, so that one that is not given back is missed.
func two(t *testing.T, o *ch.Options, addr string) driver.Conn {
	t.Helper()
	o.Addr, o.MaxOpenConns, o.MaxIdleConns, o.DialTimeout = []string{addr}, 2, 2, 5*time.Second
	conn, err := ch.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func anUnreadable() batch.Insert {
	return batch.Insert{Table: batch.Unreadable, Rows: []batch.Row{{"r", "v", "t", uint32(0), uint64(0), uint16(1)}}}
}

// TestHangsAreEndedAndForgotten: an attempt that hangs, before or behind the rows, ends
// with its context at once, whatever its own time limit; and as often as it happens, the
// pool has its connections back.
func TestHangsAreEndedAndForgotten(t *testing.T) {
	server := embeddedtest.ClickHouseForTest(t)
	d := sinktest.NewDatabase(t, server.Options(), "hangs")
	for _, fault := range []sinktest.Fault{sinktest.HangBefore, sinktest.HangAfter} {
		began := make(chan struct{}, 1)
		p := sinktest.NewProxy(t, server.NativeAddr, func(string) (sinktest.Fault, int32) {
			began <- struct{}{}
			return fault, 0
		})
		cfg := sinktest.WriterConfig(d.Name)
		cfg.Timeout = time.Hour
		w := writer.New(two(t, server.Options(), p.Addr), cfg, zap.NewNop(), writer.Hooks{})
		cause := errors.New("enough")
		for range 5 {
			ctx, cancel := context.WithCancelCause(context.Background())
			go func() {
				<-began
				cancel(cause)
			}()
			if err := w.Insert(ctx, anUnreadable()); !errors.Is(err, cause) {
				t.Fatalf("%v: got %v, want the context's cause", fault, err)
			}
		}
		p.Choose(nil)
		if err := w.Insert(context.Background(), anUnreadable()); err != nil {
			t.Fatalf("after hangs: %v", err)
		}
	}
}

// TestTimeoutIsARetry: an attempt that takes longer than it may is one whose outcome is
// not known: it is sent again, and succeeds once somebody answers.
func TestTimeoutIsARetry(t *testing.T) {
	server := embeddedtest.ClickHouseForTest(t)
	d := sinktest.NewDatabase(t, server.Options(), "late")
	var hangs atomic.Int64
	p := sinktest.NewProxy(t, server.NativeAddr, func(string) (sinktest.Fault, int32) {
		if hangs.Add(1) <= 2 {
			return sinktest.HangAfter, 0
		}
		return sinktest.None, 0
	})
	cfg := sinktest.WriterConfig(d.Name)
	cfg.Timeout = time.Second
	var classes []writer.Class
	w := writer.New(two(t, server.Options(), p.Addr), cfg, zap.NewNop(), writer.Hooks{Failed: func(_ batch.Table, c writer.Class, _ int32) { classes = append(classes, c) }})
	if err := w.Insert(context.Background(), anUnreadable()); err != nil {
		t.Fatal(err)
	}
	if len(classes) != 2 || classes[0] != writer.Retry || classes[1] != writer.Retry {
		t.Errorf("failures: %v, want two that are tried again", classes)
	}
	if got, err := d.Text(context.Background(), "SELECT count() FROM late.unreadable"); err != nil || got != "(1)\n" {
		t.Errorf("after three inserts of one row there are %q, %v", got, err)
	}
}

// TestNothingIsSaid: who takes the connection and never says a word, not even hello,
// cannot hold an insert either.
func TestNothingIsSaid(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	taken := make(chan struct{}, 100)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			taken <- struct{}{}
			go func() {
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}()
		}
	}()
	cfg := sinktest.WriterConfig("x")
	cfg.Timeout = time.Second
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("enough")
	failed := 0
	w := writer.New(two(t, &ch.Options{}, listener.Addr().String()), cfg, zap.NewNop(), writer.Hooks{Failed: func(batch.Table, writer.Class, int32) {
		if failed++; failed == 2 {
			cancel(cause)
		}
	}})
	if err := w.Insert(ctx, anUnreadable()); !errors.Is(err, cause) || failed != 2 || len(taken) == 0 {
		t.Errorf("%v after %d failures and %d connections", err, failed, len(taken))
	}
}

// TestFailedFillGivesBack: rows that do not fit the table end the insert, not the pool.
func TestFailedFillGivesBack(t *testing.T) {
	server := embeddedtest.ClickHouseForTest(t)
	d := sinktest.NewDatabase(t, server.Options(), "unfit")
	w := writer.New(two(t, server.Options(), server.NativeAddr), sinktest.WriterConfig(d.Name), zap.NewNop(), writer.Hooks{})
	unfit := anUnreadable()
	unfit.Rows = append(unfit.Rows, batch.Row{"r", 1, "t", uint32(0), uint64(0), uint16(1)})
	for range 5 {
		if err := w.Insert(context.Background(), unfit); writer.Classify(err) != writer.Halt {
			t.Fatalf("got %v, want an end", err)
		}
	}
	if got, err := d.Text(context.Background(), "SELECT count() FROM unfit.unreadable_log"); err != nil || got != "(0)\n" {
		t.Errorf("of inserts that do not fit there are rows: %q, %v", got, err)
	}
	if err := w.Insert(context.Background(), anUnreadable()); err != nil {
		t.Fatalf("after them: %v", err)
	}
}
