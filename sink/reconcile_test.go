// SPDX-License-Identifier: Apache-2.0

package sink_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/sink/sinktest"
)

// TestComparesBySetting: of two members one compares the tables with the log, again and
// again: it says when they agreed last, and how many rows differ once some do. When it
// leaves, the other takes over. Neither inserts anything again.
func TestComparesBySetting(t *testing.T) {
	server := embeddedtest.ClickHouseForTest(t)
	d := sinktest.NewDatabase(t, server.Options(), "often")
	c := broker(t)
	h := sinktest.New(41, time.UTC, sinktest.Size{Customers: 10, Changes: 8, Orders: 6})
	produce(t, c, h.Records(1))
	cfg := config(c, d.Name)
	cfg.Reconcile.Every, cfg.Reconcile.RowsPerSecond = 10*time.Millisecond, 1_000_000
	core, logs := observer.New(zap.ErrorLevel)
	members := []*running{start(t, cfg, connect(t, server), zap.New(core)), start(t, cfg, connect(t, server), zap.New(core))}
	const agreed, differing = "lapwing_sink_reconcile_agreed_timestamp_seconds", "lapwing_sink_reconcile_differing_rows"
	began := float64(time.Now().Unix())
	eventually(t, "all is compared and agrees", func() bool {
		return sum(t, members[0].registry, agreed)+sum(t, members[1].registry, agreed) >= began && rowsOf(t, d, "profiles") == len(h.Profiles)
	})
	if err := connect(t, server).Exec(context.Background(), "DELETE FROM "+d.Name+".activity_log WHERE _partition = 1"); err != nil {
		t.Fatal(err)
	}
	if rowsOf(t, d, "activity") == len(h.Activity) {
		t.Fatal("nothing was deleted: the test shows nothing")
	}
	one := 0
	eventually(t, "somebody finds that rows are missing", func() bool {
		for i, m := range members {
			if sum(t, m.registry, differing) > 0 {
				one = i
				return true
			}
		}
		return false
	})
	if sum(t, members[1-one].registry, differing) > 0 {
		t.Error("two members compare")
	}
	if all := logs.FilterMessageSnippet("does not have what the log has").All(); len(all) == 0 || all[0].ContextMap()["table"] != "activity_log" || all[0].ContextMap()["missing"] == "" {
		t.Errorf("logged: %v", all)
	}
	if err := members[one].stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other one compares", func() bool { return sum(t, members[1-one].registry, differing) > 0 })
	if rowsOf(t, d, "activity") == len(h.Activity) {
		t.Error("the rows are back: a comparison inserts nothing")
	}
}

func rowsOf(t *testing.T, d *sinktest.Database, view string) int {
	t.Helper()
	got, err := d.Text(context.Background(), "SELECT repeat('.', count()) FROM "+d.Name+"."+view)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(got, ".")
}
