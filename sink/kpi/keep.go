// SPDX-License-Identifier: Apache-2.0

package kpi

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	schema "lapwing/schemas/clickhouse"
)

// Slow is from when on a KPI is worth keeping. Faster ones are always computed.
const Slow = 100 * time.Millisecond

// mostKept is how many rows of a KPI are kept at most, unless told otherwise: reading more
// than that takes as long as computing them. All KPIs of a table for people have far fewer.
const mostKept = 500_000

// Keeping says how KPIs are kept.
type Keeping struct {
	Database string
	Slow     time.Duration // KPIs that take less are not kept
	Threads  int           // of the server, for one KPI; 0: as the server likes
	Memory   int64         // of the server at most, in bytes, for one KPI; 0: as the server likes
	Timeout  time.Duration // for one KPI; 0: none
	MostRows int           // KPIs that have more are not kept; 0: 500,000
	// Done is called after each KPI, with what went wrong with it, if anything; an error
	// of its own ends it all.
	Done func(Kept, error) error
}

// Kept says what is kept of a KPI.
type Kept struct {
	Name    string    // of the KPI, or of the view, if it has no parameters
	TakenAt time.Time // as of when the rows are
	Took    time.Duration
	Rows    uint64
	Kept    bool // false if it was fast, or has too many rows

	columns, types []string
}

// spill has groups and sorts go to the disk in good time: what is kept may take long, but
// not the memory of who asks.
func spill() ch.Settings {
	return ch.Settings{"max_bytes_before_external_group_by": 512 << 20, "max_bytes_before_external_sort": 512 << 20}
}

// Keep computes every KPI of the catalogue as it is by default, and keeps the rows of the
// slow ones for Run to read. A KPI is written by one INSERT of one row, so nobody sees a
// part of it; of two the newer one counts. Several that keep at the same time do double
// work, and no harm. What is kept has no customers in it.
//
// It needs no more rights than to read the views and to insert into kept_log.
func Keep(ctx context.Context, conn driver.Conn, o Keeping) error {
	if err := schema.CheckDatabase(o.Database); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, k := range Catalogue() {
		name := k.keptAs()
		if seen[name] || k.Group == aboutData { // where the data stands is asked of the data
			continue
		}
		seen[name] = true
		if err := k.tellable(ctx, conn, o.Database); errors.Is(err, ErrNotKept) {
			continue
		} else if err != nil {
			return err
		}
		if err := o.Done(k.keep(ctx, conn, o)); err != nil {
			return err
		}
	}
	return nil
}

// LastKept is when a KPI of this release was last computed to be kept; zero if none was.
func LastKept(ctx context.Context, conn driver.Conn, database string) (time.Time, error) {
	sources := []string{}
	for _, k := range Catalogue() {
		hash, err := k.hash()
		if err != nil {
			return time.Time{}, err
		}
		sources = append(sources, hash)
	}
	var at time.Time
	if err := conn.QueryRow(ctx, schema.For(database, `SELECT max(taken_at) FROM {{db}}.kept_log WHERE has(?, source)`), sources).Scan(&at); err != nil {
		return at, fmt.Errorf("ask when KPIs were last kept: %w", err)
	}
	if at.Unix() == 0 { // none
		return time.Time{}, nil
	}
	return at, nil
}

// keepStatement writes one row: what was live is read before the rows, so that nothing
// counts as kept should it change meanwhile. nowInBlock64 is asked for the one block that
// is left at the end, now64 when the query begins.
const keepStatement = `INSERT INTO {{db}}.kept_log (name, taken_at, kept, took_ms, clock, generation, definition, definition_version, source, row_count, columns, types, rows)
SELECT @name, now64(3, 'UTC'), took >= @slow AND n <= @most, took,
    (SELECT clock FROM {{db}}.kpi_clock), (SELECT generation FROM {{db}}.current_generation),
    (SELECT toString(name) FROM {{db}}.live_definition), (SELECT version FROM {{db}}.live_definition),
    @source, n, @columns, @types, if(took >= @slow AND n <= @most, all_rows, [])
FROM (SELECT count() AS n, groupArray(@most)(_kept) AS all_rows, toUInt32(dateDiff('millisecond', now64(3), nowInBlock64(3))) AS took
    FROM (SELECT [%s] AS _kept FROM (SELECT * FROM %s)))`

func (k *KPI) keep(ctx context.Context, conn driver.Conn, o Keeping) (Kept, error) {
	one := Kept{Name: k.keptAs()}
	wrap := func(err error) error { return fmt.Errorf("keep KPI %s: %w", k.Name, err) }
	if o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Timeout)
		defer cancel()
	}
	settings := spill()
	settings["async_insert"] = 0
	if o.Threads > 0 {
		settings["max_threads"] = o.Threads
	}
	if o.Memory > 0 {
		settings["max_memory_usage"] = o.Memory
	}
	ctx = ch.Context(ctx, ch.WithSettings(settings))
	source := k.filled(k.source()) + k.Keep
	if err := k.describe(ctx, conn, schema.For(o.Database, source), &one); err != nil {
		return one, wrap(err)
	}
	values := make([]string, len(one.columns))
	for i, name := range one.columns {
		values[i] = asText(name, one.types[i])
	}
	hash, err := k.hash()
	if err != nil {
		return one, wrap(err)
	}
	statement := fmt.Sprintf(keepStatement, strings.Join(values, ", "), source)
	err = conn.Exec(ctx, schema.For(o.Database, statement), ch.Named("name", one.Name), ch.Named("slow", uint32(o.Slow.Milliseconds())), ch.Named("most", cmp.Or(o.MostRows, mostKept)),
		ch.Named("source", hash), ch.Named("columns", one.columns), ch.Named("types", one.types))
	if err != nil {
		return one, wrap(err)
	}
	// It was written with this name last by us, or by somebody who did the same.
	var took uint32
	err = conn.QueryRow(ctx, schema.For(o.Database, `SELECT taken_at, kept, took_ms, row_count FROM {{db}}.kept_log FINAL WHERE name = ?`), one.Name).
		Scan(&one.TakenAt, &one.Kept, &took, &one.Rows)
	if err != nil {
		return one, wrap(err)
	}
	one.Took = time.Duration(took) * time.Millisecond
	return one, nil
}

// describe asks for the columns of the source.
func (k *KPI) describe(ctx context.Context, conn driver.Conn, source string, one *Kept) error {
	rows, err := conn.Query(ctx, "DESCRIBE TABLE (SELECT * FROM "+source+")")
	if err != nil {
		return err //nolint:wrapcheck // keep says what it was doing
	}
	defer func() { _ = rows.Close() }() // the error that counts is rows.Err
	for rows.Next() {
		column := make([]string, len(rows.Columns())) // name, type, and what views have not
		into := make([]any, len(column))
		for i := range column {
			into[i] = &column[i]
		}
		if err := rows.Scan(into...); err != nil {
			return err //nolint:wrapcheck // as above
		}
		one.columns, one.types = append(one.columns, column[0]), append(one.types, column[1])
	}
	return rows.Err() //nolint:wrapcheck // as above
}

// floating are the types whose text would not be exact enough.
var floating = regexp.MustCompile(`^(?:LowCardinality\()?(Nullable\()?Float64\)*$`)

// asText is a column as text that fromText makes the same value of.
func asText(name, typ string) string {
	name = "`" + name + "`"
	if floating.MatchString(typ) {
		name = "reinterpretAsUInt64(" + name + ")"
	}
	return "CAST(toString(" + name + ") AS Nullable(String))"
}

// fromText is the value that asText made text of.
func fromText(text, typ string) string {
	switch {
	case floating.MatchString(typ):
		return "CAST(reinterpretAsFloat64(CAST(" + text + " AS Nullable(UInt64))) AS " + typ + ")"
	case strings.Contains(typ, "Nullable("):
		return "CAST(" + text + " AS " + typ + ")"
	}
	return "CAST(assumeNotNull(" + text + ") AS " + typ + ")"
}

// source is the view in the query, with its parameters.
func (k *KPI) source() string {
	return regexp.MustCompile(`\{\{db\}\}\.` + k.View + `\b(\([^)]*\))?`).FindString(k.Query)
}

// keptAs is under which name it is kept. KPIs of a view without parameters share it.
func (k *KPI) keptAs() string {
	if strings.HasSuffix(k.source(), ")") || k.Keep != "" {
		return k.Name
	}
	return k.View
}

// hash changes with the schema, and with what is selected.
func (k *KPI) hash() (string, error) {
	migrations, err := schema.Migrations()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, m := range migrations {
		_, _ = io.WriteString(h, m.Checksum) // a hash takes everything
	}
	_, _ = io.WriteString(h, k.filled(k.source())+k.Keep)
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}
