// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

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
		if err := kpi.Keep(ctx, d.Conn, d.Name, slow, func(one kpi.Kept) {
			all++
			if one.Kept {
				kept++
			}
		}); err != nil {
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
	exec("ALTER TABLE keeping.kept_log UPDATE definition_version = 7 WHERE name = 'kept_kpi_totals' SETTINGS mutations_sync = 1")
	if _, kept := show("totals", kpi.Options{}); kept {
		t.Error("kept of another version of the definition")
	}
	if _, kept := show("repeat-rate", kpi.Options{}); !kept {
		t.Error("kept once more, and not used")
	}
	exec("INSERT INTO keeping.kept_log SELECT name, taken_at - INTERVAL 25 HOUR, kept, clock, took_ms, generation, definition, definition_version FROM keeping.kept_log FINAL WHERE name = 'kept_kpi_repeat_rate'")
	exec("ALTER TABLE keeping.kept_log DELETE WHERE name = 'kept_kpi_repeat_rate' AND taken_at > now64(3) - INTERVAL 1 HOUR SETTINGS mutations_sync = 1")
	if _, kept := show("repeat-rate", kpi.Options{}); kept {
		t.Error("kept for more than a day")
	}

	if kept, all := keep(time.Hour); kept != 0 || all < 25 {
		t.Errorf("%d of %d fast ones kept", kept, all)
	}
	if text, err := d.Text(ctx, "SELECT name FROM system.tables WHERE database = 'keeping' AND name LIKE 'kept\\_kpi%'"); err != nil || text != "" {
		t.Errorf("tables that nothing reads: %s, %v", text, err)
	}
	if _, kept := show("flow", kpi.Options{}); kept {
		t.Error("a fast one is kept")
	}
}
