// SPDX-License-Identifier: Apache-2.0

package kpi

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	schema "lapwing/schemas/clickhouse"
)

// keptFor is how old what is kept may be, in ClickHouse's own words: if nobody keeps KPIs
// any more, they are computed again.
const keptFor = "INTERVAL 1 DAY"

// kept is what is kept of the KPI with these parameters; nil if it has to be computed.
func (k *KPI) kept(ctx context.Context, conn driver.Conn, database string, params map[string]string) (*Kept, error) {
	for _, p := range k.Params {
		if v, given := params[p.Name]; given && v != p.Default && strings.Contains(k.source(), "@"+p.Name) {
			return nil, nil //nolint:nilnil // none is kept, and nothing went wrong
		}
	}
	wrap := func(err error) error { return fmt.Errorf("ask what is kept of KPI %s: %w", k.Name, err) }
	hash, err := k.hash()
	if err != nil {
		return nil, wrap(err)
	}
	rows, err := conn.Query(ctx, schema.For(database, `SELECT toString(name), taken_at, took_ms, row_count, columns, types FROM {{db}}.kept WHERE name = ? AND source = ? AND taken_at > now64(3) - `+keptFor), k.keptAs(), hash)
	if err != nil {
		return nil, wrap(err)
	}
	defer func() { _ = rows.Close() }() // the error that counts is rows.Err
	var one *Kept
	for rows.Next() {
		one = &Kept{Kept: true}
		var took uint32
		if err := rows.Scan(&one.Name, &one.TakenAt, &took, &one.Rows, &one.columns, &one.types); err != nil {
			return nil, wrap(err)
		}
		one.Took = time.Duration(took) * time.Millisecond
	}
	if err := rows.Err(); err != nil {
		return nil, wrap(err)
	}
	return one, nil
}

// from is a subquery that gives the rows which were kept, in the view's place. It gives
// none if they have been replaced in the meantime.
func (one *Kept) from() string {
	columns := make([]string, len(one.columns))
	for i, name := range one.columns {
		columns[i] = fromText(fmt.Sprintf("_kept[%d]", i+1), one.types[i]) + " AS `" + name + "`"
	}
	return fmt.Sprintf("(SELECT %s FROM (SELECT rows FROM %s.kept_log WHERE name = '%s' AND taken_at = fromUnixTimestamp64Milli(%d, 'UTC') LIMIT 1) ARRAY JOIN rows AS _kept)",
		strings.Join(columns, ", "), schema.Placeholder, one.Name, one.TakenAt.UnixMilli())
}
