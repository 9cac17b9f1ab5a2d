// SPDX-License-Identifier: Apache-2.0

package writer_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"lapwing/deploy/embedded"
	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/sink/batch"
	"lapwing/sink/sinktest"
	"lapwing/sink/writer"
)

func TestMain(m *testing.M) {
	embedded.RunChild()
	os.Exit(m.Run())
}

// TestClassify: by code, and what is not known is tried again.
func TestClassify(t *testing.T) {
	for code, want := range map[int32]writer.Class{
		252: writer.Retry, // TOO_MANY_PARTS
		241: writer.Retry, // MEMORY_LIMIT_EXCEEDED
		159: writer.Retry, // TIMEOUT_EXCEEDED
		319: writer.Retry, // UNKNOWN_STATUS_OF_INSERT
		999: writer.Retry, // KEEPER_EXCEPTION
		1:   writer.Retry, // nobody knows
		407: writer.Skip,
		469: writer.Skip,
		60:  writer.Halt,
		16:  writer.Halt,
		516: writer.Halt,
		115: writer.Halt,
	} {
		if got := writer.Classify(fmt.Errorf("send: %w", &ch.Exception{Code: code})); got != want {
			t.Errorf("code %d is %v, want %v", code, got, want)
		}
	}
	if got := writer.Classify(errors.New("connection reset by peer")); got != writer.Retry {
		t.Errorf("an error without a code is %v", got)
	}
	if got := writer.Classify(fmt.Errorf("x: %w", writer.Fatal(errors.New("y")))); got != writer.Halt {
		t.Errorf("a fatal error is %v", got)
	}
}

// TestRefusedRows: rows that ClickHouse refuses are found, kept as unreadable and
// warned of, and all the others are written.
func TestRefusedRows(t *testing.T) {
	ctx := context.Background()
	server := embeddedtest.ClickHouseForTest(t)
	d := sinktest.NewDatabase(t, server.Options(), "refused")
	if err := d.Conn.Exec(ctx, "ALTER TABLE refused.activity_log ADD CONSTRAINT nobody CHECK customer_id NOT IN ('customer-1', 'customer-4')"); err != nil {
		t.Fatal(err)
	}
	h := sinktest.New(5, time.UTC, sinktest.Size{Customers: 8, Changes: 4, Orders: 6})
	core, logs := observer.New(zapcore.WarnLevel)
	skipped := 0
	w := writer.New(d.Conn, sinktest.WriterConfig(d.Name), zap.New(core), writer.Hooks{Skipped: func(_ batch.Table, n int) { skipped += n }})
	d.Writer = w
	if err := d.Insert(ctx, h.Records(1)); err != nil {
		t.Fatal(err)
	}
	bad := 0
	for _, a := range h.Activity {
		if a.CustomerID == "customer-1" || a.CustomerID == "customer-4" {
			bad++
		}
	}
	got, err := d.Text(ctx, "SELECT (SELECT count() FROM refused.activity), (SELECT count() FROM refused.unreadable)")
	if want := fmt.Sprintf("(%d,%d)\n", len(h.Activity)-bad, bad); err != nil || got != want {
		t.Errorf("written and kept: got %q, %v, want %q", got, err, want)
	}
	if n := logs.FilterMessage("row refused by ClickHouse").Len(); bad == 0 || n != bad || skipped != bad {
		t.Errorf("%d rows refused, %d warnings, %d counted", bad, n, skipped)
	}
}

// TestServerRemembersNoInsert: a repeat of the very same insert is written again: killed
// between noting an insert and keeping its rows, a server that remembers would drop the
// repeat that brings them. The views show each row once.
func TestServerRemembersNoInsert(t *testing.T) {
	ctx := context.Background()
	server := embeddedtest.ClickHouseForTest(t)
	d := sinktest.NewDatabase(t, server.Options(), "repeats")
	if err := d.Conn.Exec(ctx, "SYSTEM STOP MERGES repeats.order_items_log"); err != nil {
		t.Fatal(err)
	}
	records := sinktest.New(6, time.UTC, sinktest.Size{Customers: 5, Changes: 6, Orders: 4}).Records(1)
	for range 3 {
		if err := d.Insert(ctx, records); err != nil {
			t.Fatal(err)
		}
	}
	got, err := d.Text(ctx, "SELECT count() > 0, count() = 3 * (SELECT count() FROM repeats.order_items) FROM repeats.order_items_log")
	if err != nil || got != "(1,1)\n" {
		t.Errorf("after three inserts (rows, three times as many as are shown): %q, %v", got, err)
	}
}

// TestEnds: an insert that cannot succeed goes on until its context ends, which gives
// the cause of that, and a missing table is not tried again.
func TestEnds(t *testing.T) {
	conn, err := ch.Open(&ch.Options{Addr: []string{"127.0.0.1:1"}, DialTimeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	in := batch.Insert{Table: batch.Unreadable, Rows: []batch.Row{{"r", "v", "t", uint32(0), uint64(0), uint16(1)}}}
	ctx, cancel := context.WithCancelCause(context.Background())
	stop := errors.New("partitions are gone")
	failures := 0
	w := writer.New(conn, sinktest.WriterConfig("x"), zap.NewNop(), writer.Hooks{Failed: func(batch.Table, writer.Class, int32) {
		if failures++; failures == 3 {
			cancel(stop)
		}
	}})
	if err := w.Insert(ctx, in); !errors.Is(err, stop) || failures != 3 || w.Retrying() != 0 {
		t.Errorf("after %d failures: %v; %d are tried again", failures, err, w.Retrying())
	}

	server := embeddedtest.ClickHouseForTest(t)
	there, err := ch.Open(server.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = there.Close() }()
	err = writer.New(there, sinktest.WriterConfig("no_such_database"), zap.NewNop(), writer.Hooks{}).Insert(context.Background(), in)
	if writer.Classify(err) != writer.Halt {
		t.Errorf("a missing database gave %v", err)
	}
}

func TestConnectionIsChecked(t *testing.T) {
	if _, err := writer.Open(writer.Connection{}); err == nil {
		t.Error("an empty connection was taken")
	}
	if err := writer.DefaultConnection().Validate(); err != nil {
		t.Errorf("the default is refused: %v", err)
	}
}
