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

// clauses are the TTL as ClickHouse prints it, the better one first. ClickHouse takes an
// instant of milliseconds since 25.7. Before, it wants one of whole seconds, which ends in
// 2106: a later one is taken for one 136 years before, and its row goes at once.
func (r *Retention) clauses() []string {
	after := fmt.Sprintf(" + toIntervalDay(%d)", int64(r.Keep/(24*time.Hour)))
	return []string{r.Column + after, "toDateTime(" + r.Column + ")" + after}
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
		want, err := m.expire(ctx, table, has, r.clauses())
		if err != nil {
			return fmt.Errorf("set the TTL of %s: %w", table, err)
		}
		if want != has {
			m.log.Info("retention changed", zap.String("table", table), zap.String("ttl", want), zap.String("before", has))
		}
	}
	return nil
}

// expire sets the first of the TTLs that the server takes, unless that is there already.
func (m *Migrator) expire(ctx context.Context, table, has string, ttls []string) (set string, err error) {
	for _, ttl := range ttls {
		if ttl == has {
			return ttl, nil
		}
		err = m.conn.Exec(ctx, "ALTER TABLE "+m.layout.Database+"."+table+m.layout.OnCluster()+" MODIFY TTL "+ttl)
		if !hasCode(err, codeBadTTL) {
			return ttl, err //nolint:wrapcheck // the caller says what it was doing
		}
	}
	return "", err //nolint:wrapcheck // as above
}
