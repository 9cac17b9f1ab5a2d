// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/sink/kpi"
	"lapwing/sink/sinktest"
)

func sorted(text string) string { return lines(strings.Split(text, "\n")).text() }

// TestKeep: what is kept is what was computed, for every KPI; it is not what is computed
// after more has come, and it does not count with other parameters, under another
// generation or definition, or once it is old. A fast KPI is not kept.
func TestKeep(t *testing.T) {
	ctx := context.Background()
	d := sinktest.NewDatabase(t, embeddedtest.ClickHouseForTest(t).Options(), "keeping")
	h := sinktest.NewBusy(11, time.UTC, sinktest.Size{Customers: 8, Changes: 5, Orders: 3}, 20)
	insert := func(generation uint16, h *sinktest.History) {
		t.Helper()
		if err := d.Insert(ctx, h.Records(generation)); err != nil {
			t.Fatal(err)
		}
	}
	exec := func(query string) {
		t.Helper()
		if err := d.Conn.Exec(ctx, query); err != nil {
			t.Fatal(err)
		}
	}
	keep := func(slow time.Duration) (kept, all int) {
		t.Helper()
		if err := kpi.Keep(ctx, d.Conn, kpi.Keeping{Database: d.Name, Slow: slow, Threads: 1, Timeout: time.Minute, Done: func(one kpi.Kept, err error) error {
			all++
			if one.Kept {
				kept++
			}
			return err
		}}); err != nil {
			t.Fatal(err)
		}
		return kept, all
	}
	show := func(name string, o kpi.Options) (text string, kept bool) {
		t.Helper()
		k, ok := kpi.Find(name)
		if !ok {
			t.Fatal(name)
		}
		o.Database = d.Name
		r, err := kpi.Run(ctx, d.Conn, k, o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var out bytes.Buffer
		if err := kpi.Render(&out, r, kpi.FormatJSON); err != nil {
			t.Fatal(err)
		}
		return out.String(), r.Kept != nil
	}
	insert(1, h)
	if kept, all := keep(0); kept != all || all < 25 {
		t.Fatalf("%d of %d kept", kept, all)
	}
	views := map[string]bool{}
	for _, k := range kpi.Catalogue() {
		if k.Group == "data" || views[k.View] && len(k.Params) == 0 {
			continue // never kept; or from the same table as one before
		}
		views[k.View] = true
		fresh, kept := show(k.Name, kpi.Options{Fresh: true})
		if kept {
			t.Errorf("%s is not computed anew", k.Name)
		}
		if text, kept := show(k.Name, kpi.Options{}); !kept || text != fresh {
			t.Errorf("%s (kept: %v; - as kept, + as computed):\n%s", k.Name, kept, difference(sorted(text), sorted(fresh)))
		}
	}

	more := sinktest.NewBusy(12, time.UTC, sinktest.Size{Customers: 30, Changes: 5, Orders: 6}, 5)
	before, _ := show("totals", kpi.Options{})
	records := more.Records(1)
	for i := range records {
		records[i].Offset += 1_000_000
	}
	if err := d.Insert(ctx, records); err != nil {
		t.Fatal(err)
	}
	if after, kept := show("totals", kpi.Options{}); !kept || after != before {
		t.Error("what is kept has changed by itself")
	}
	if after, _ := show("totals", kpi.Options{Fresh: true}); after == before {
		t.Error("more orders change nothing: nothing was compared")
	}
	if _, kept := show("carts", kpi.Options{Params: map[string]string{"rest_minutes": "61"}}); kept {
		t.Error("kept under other parameters")
	}
	if _, kept := show("product-views", kpi.Options{Params: map[string]string{"stage": "other"}}); !kept {
		t.Error("a parameter that only chooses rows is computed anew")
	}

	exec("INSERT INTO keeping.generations_log VALUES (2, now64(3))")
	insert(2, h)
	if _, kept := show("totals", kpi.Options{}); kept {
		t.Error("kept of another generation")
	}
	exec("INSERT INTO keeping.generations_log VALUES (1, now64(3) + INTERVAL 1 SECOND)")
	exec("ALTER TABLE keeping.kept_log UPDATE definition_version = 7 WHERE name = 'kpi_totals' SETTINGS mutations_sync = 1")
	if _, kept := show("totals", kpi.Options{}); kept {
		t.Error("kept of another version of the definition")
	}
	if _, kept := show("repeat-rate", kpi.Options{}); !kept {
		t.Error("kept once more, and not used")
	}
	exec("INSERT INTO keeping.kept_log SELECT * REPLACE (taken_at - INTERVAL 25 HOUR AS taken_at) FROM keeping.kept_log FINAL WHERE name = 'kpi_repeat_rate'")
	exec("ALTER TABLE keeping.kept_log DELETE WHERE name = 'kpi_repeat_rate' AND taken_at > now64(3) - INTERVAL 1 HOUR SETTINGS mutations_sync = 1")
	if _, kept := show("repeat-rate", kpi.Options{}); kept {
		t.Error("kept for more than a day")
	}

	enough, all := errors.New("enough"), 0
	err := kpi.Keep(ctx, d.Conn, kpi.Keeping{Database: d.Name, Slow: time.Hour, Done: func(one kpi.Kept, err error) error {
		if err != nil || one.Kept || one.Rows == 0 {
			t.Errorf("%+v: a fast one is kept, or %v", one, err)
		}
		if all++; all == 3 {
			return enough
		}
		return nil
	}})
	if !errors.Is(err, enough) || all != 3 {
		t.Errorf("%d KPIs, and %v", all, err)
	}
	if _, kept := show("flow", kpi.Options{}); kept {
		t.Error("a fast one is kept")
	}
	exec("ALTER TABLE keeping.kept_log UPDATE source = 'another' WHERE name = 'kpi_retention' SETTINGS mutations_sync = 1")
	if _, kept := show("retention", kpi.Options{}); kept {
		t.Error("kept by another release")
	}

	large := 0
	if err := kpi.Keep(ctx, d.Conn, kpi.Keeping{Database: d.Name, MostRows: 5, Done: func(one kpi.Kept, err error) error {
		if one.Kept != (one.Rows <= 5) {
			t.Errorf("%+v: is kept, or not, with at most 5 rows", one)
		}
		if one.Rows > 5 {
			large++
		}
		return err
	}}); err != nil || large == 0 {
		t.Errorf("%d KPIs with more than 5 rows, and %v", large, err)
	}
}

// between does something once, before the first query with the text.
type between struct {
	driver.Conn
	text string
	do   func()
}

func (b *between) Query(ctx context.Context, query string, args ...any) (driver.Rows, error) {
	if b.do != nil && strings.Contains(query, b.text) {
		do := b.do
		b.do = nil
		do()
	}
	return b.Conn.Query(ctx, query, args...) //nolint:wrapcheck // it is the connection's
}

// TestKeptIsReplacedAmidARun: rows that are replaced after it was asked what is kept, and
// before they are read, are not taken for a KPI without rows.
func TestKeptIsReplacedAmidARun(t *testing.T) {
	ctx := context.Background()
	d := sinktest.NewDatabase(t, embeddedtest.ClickHouseForTest(t).Options(), "replaced")
	if err := d.Insert(ctx, sinktest.New(3, time.UTC, sinktest.Size{Customers: 5, Changes: 3, Orders: 3}).Records(1)); err != nil {
		t.Fatal(err)
	}
	if err := kpi.Keep(ctx, d.Conn, kpi.Keeping{Database: d.Name, Done: func(_ kpi.Kept, err error) error { return err }}); err != nil {
		t.Fatal(err)
	}
	replaced := false
	conn := &between{Conn: d.Conn, text: "ARRAY JOIN rows AS _kept", do: func() {
		replaced = true
		for _, query := range []string{
			"INSERT INTO replaced.kept_log SELECT * REPLACE (taken_at + INTERVAL 1 MILLISECOND AS taken_at) FROM replaced.kept_log FINAL",
			"OPTIMIZE TABLE replaced.kept_log FINAL",
		} {
			if err := d.Conn.Exec(ctx, query); err != nil {
				t.Error(err)
			}
		}
	}}
	k, _ := kpi.Find("totals")
	r, err := kpi.Run(ctx, conn, k, kpi.Options{Database: d.Name})
	if err != nil || !replaced || r.Kept == nil || len(r.Rows) == 0 {
		t.Errorf("replaced: %v, kept: %v, %d rows, %v", replaced, r.Kept, len(r.Rows), err)
	}
}
