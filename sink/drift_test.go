// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"lapwing/deploy/embedded/embeddedtest"
	schema "lapwing/schemas/clickhouse"
	"lapwing/sink/migrate"
	"lapwing/sink/sinktest"
)

// TestOnlyWrittenTablesMatter: a table that the sink does not write may look as it likes,
// or not be seen at all, as with the rights of the sink's role alone, and nothing is said; of
// those that it writes, counts of customers among them, each difference ends the sink.
func TestOnlyWrittenTablesMatter(t *testing.T) {
	ctx := context.Background()
	d := sinktest.NewDatabase(t, embeddedtest.ClickHouseForTest(t).Options(), "unseen")
	core, logs := observer.New(zap.DebugLevel)
	s := &Sink{conn: d.Conn, cfg: Config{Database: d.Name}, log: zap.New(core)}
	m, err := migrate.New(d.Conn, schema.Layout{Database: d.Name}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	exec := func(statement string) {
		t.Helper()
		if err := d.Conn.Exec(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	exec("DROP TABLE unseen.rates_log SYNC")
	exec("ALTER TABLE unseen.migrations ADD COLUMN note String")
	if err := s.drift(ctx, m); err != nil || logs.Len() > 0 {
		t.Errorf("of tables that are not written: %v, %+v", err, logs.All())
	}
	exec("ALTER TABLE unseen.activity_log ADD COLUMN note String")
	if err := s.drift(ctx, m); err != nil || logs.Len() != 1 {
		t.Errorf("of a further column: %v, %+v", err, logs.All())
	}
	exec("ALTER TABLE unseen.customers_log RENAME COLUMN count TO counted")
	if err := s.drift(ctx, m); !errors.Is(err, ErrDrift) || !strings.Contains(err.Error(), "customers_log.count") || strings.Contains(err.Error(), "rates_log") {
		t.Errorf("without a column that counts of customers are written into: %v", err)
	}
}
