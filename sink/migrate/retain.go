// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	schema "lapwing/schemas/clickhouse"
)

// Retention says how long ClickHouse keeps the rows of a table, by one of its columns.
type Retention struct {
	Table  string
	Column string        // an instant
	Keep   time.Duration // whole days; 0: as the table says
}

// clause is the TTL as ClickHouse prints it.
func (r *Retention) clause() string {
	return fmt.Sprintf("toDateTime(%s) + toIntervalDay(%d)", r.Column, int64(r.Keep/(24*time.Hour)))
}

// Retain sets the tables' TTLs to what is wanted, and leaves alone those that have it.
func (m *Migrator) Retain(ctx context.Context, all []Retention) error {
	objects, err := schema.Objects()
	if err != nil {
		return err
	}
	for i := range all {
		r := &all[i]
		if r.Keep == 0 {
			continue
		}
		table := r.Table
		for j := range objects {
			if objects[j].Kind == schema.Table && objects[j].Name == r.Table {
				table = m.layout.Storage(&objects[j])
			}
		}
		var engine string
		if err := m.conn.QueryRow(ctx, `SELECT engine_full FROM system.tables WHERE database = ? AND name = ?`, m.layout.Database, table).Scan(&engine); err != nil {
			return fmt.Errorf("look for the TTL of %s: %w", table, err)
		}
		_, has, _ := strings.Cut(engine, " TTL ")
		has, _, _ = strings.Cut(has, " SETTINGS ")
		want := r.clause()
		if has == want {
			continue
		}
		if err := m.conn.Exec(ctx, "ALTER TABLE "+m.layout.Database+"."+table+m.layout.OnCluster()+" MODIFY TTL "+want); err != nil {
			return fmt.Errorf("set the TTL of %s: %w", table, err)
		}
		m.log.Info("retention changed", zap.String("table", table), zap.String("ttl", want), zap.String("before", has))
	}
	return nil
}
