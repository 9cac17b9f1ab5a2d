// SPDX-License-Identifier: Apache-2.0

package kpi

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	schema "lapwing/schemas/clickhouse"
)

// Slow is from when on a KPI is worth keeping. Faster ones are always computed.
const Slow = 100 * time.Millisecond

// keptFor is how old what is kept may be, in ClickHouse's own words: if nobody keeps KPIs
// any more, they are computed again.
const keptFor = "INTERVAL 1 DAY"

// spill has groups and sorts go to the disk in good time: what is kept may take long, but
// not the memory of who asks.
var spill = ch.Settings{"max_bytes_before_external_group_by": 512 << 20, "max_bytes_before_external_sort": 512 << 20} //nolint:gochecknoglobals // a constant

// Kept says that rows were not computed now.
type Kept struct {
	Name    string // of the table
	TakenAt time.Time
	Clock   *time.Time // what was "now"; nil without data
	Took    time.Duration
	Kept    bool // false if the KPI was fast
}

// Keep computes every KPI of the catalogue as it is by default, and keeps the rows of
// those that took at least as long as slow, each in a table that is replaced at once, for
// Run to read. done is called after each. What is kept has no customers in it. Several
// that keep at the same time do double work, and no harm.
func Keep(ctx context.Context, conn driver.Conn, database string, slow time.Duration, done func(Kept)) error {
	if err := schema.CheckDatabase(database); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, k := range Catalogue() {
		table := k.table()
		if seen[table] || k.Group == aboutData { // where the data stands is asked of the data
			continue
		}
		seen[table] = true
		if err := k.tellable(ctx, conn, database); errors.Is(err, ErrActivity) {
			continue
		} else if err != nil {
			return err
		}
		one, err := k.keep(ctx, conn, database, slow)
		if err != nil {
			return err
		}
		done(one)
	}
	return nil
}

func (k *KPI) keep(ctx context.Context, conn driver.Conn, database string, slow time.Duration) (Kept, error) {
	one := Kept{Name: k.table()}
	exec := func(query string, args ...any) error {
		if err := conn.Exec(ctx, schema.For(database, query), args...); err != nil {
			return fmt.Errorf("keep KPI %s: %w", k.Name, err)
		}
		return nil
	}
	// What is live is asked first: should it change meanwhile, nothing counts as kept.
	var generation uint16
	var definition string
	var version uint32
	if err := conn.QueryRow(ctx, schema.For(database, `SELECT (SELECT generation FROM {{db}}.current_generation), name, version, (SELECT clock FROM {{db}}.kpi_clock) FROM {{db}}.live_definition`)).
		Scan(&generation, &definition, &version, &one.Clock); err != nil {
		return one, fmt.Errorf("keep KPI %s: ask what is live: %w", k.Name, err)
	}
	begun := time.Now()
	ctx = ch.Context(ctx, ch.WithSettings(spill))
	if err := exec(`CREATE OR REPLACE TABLE {{db}}.` + one.Name + ` ENGINE = MergeTree ORDER BY tuple() AS SELECT * FROM ` + k.filled(k.source())); err != nil {
		return one, err
	}
	one.Took = time.Since(begun)
	one.Kept = one.Took >= slow
	err := exec(`INSERT INTO {{db}}.kept_log (name, kept, clock, took_ms, generation, definition, definition_version) SETTINGS async_insert = 0 VALUES (?, ?, ?, ?, ?, ?, ?)`,
		one.Name, one.Kept, one.Clock, uint32(one.Took.Milliseconds()), generation, definition, version)
	if err != nil || one.Kept {
		return one, err
	}
	return one, exec(`DROP TABLE IF EXISTS {{db}}.` + one.Name)
}

// source is the view in the query, with its parameters.
func (k *KPI) source() string {
	return regexp.MustCompile(`\{\{db\}\}\.` + k.View + `\b(\([^)]*\))?`).FindString(k.Query)
}

// table is where the rows of source are kept. KPIs of a view without parameters share it.
func (k *KPI) table() string {
	if strings.HasSuffix(k.source(), ")") {
		return "kept_" + strings.ReplaceAll(k.Name, "-", "_")
	}
	return "kept_" + k.View
}

// kept is what is kept of the KPI with these parameters; nil if it has to be computed.
func (k *KPI) kept(ctx context.Context, conn driver.Conn, database string, params map[string]string) (*Kept, error) {
	for _, p := range k.Params {
		if v, given := params[p.Name]; given && v != p.Default && strings.Contains(k.source(), "@"+p.Name) {
			return nil, nil //nolint:nilnil // none is kept, and nothing went wrong
		}
	}
	rows, err := conn.Query(ctx, schema.For(database, `SELECT name, taken_at, clock, took_ms FROM {{db}}.kept WHERE name = ? AND taken_at > now64(3) - `+keptFor), k.table())
	if err != nil {
		return nil, fmt.Errorf("ask what is kept of KPI %s: %w", k.Name, err)
	}
	defer func() { _ = rows.Close() }() // the error that counts is rows.Err
	var one *Kept
	for rows.Next() {
		one = &Kept{Kept: true}
		var took uint32
		if err := rows.Scan(&one.Name, &one.TakenAt, &one.Clock, &took); err != nil {
			return nil, fmt.Errorf("ask what is kept of KPI %s: %w", k.Name, err)
		}
		one.Took = time.Duration(took) * time.Millisecond
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("ask what is kept of KPI %s: %w", k.Name, err)
	}
	return one, nil
}
