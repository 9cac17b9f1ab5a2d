// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	schema "lapwing/schemas/clickhouse"
	"lapwing/sink/batch"
	"lapwing/sink/compare"
)

// table is one table of the sink, as the server has it.
type table struct {
	of      batch.Table
	name    string
	compare *compare.Table
	// customer is the index of customer_id in a row of ours; -1 if there is none.
	customer int
	// placed says that the place in the log is part of the ordering key, so that no other
	// row can ever replace one.
	placed bool
	// expiry is the index of the column after which the table forgets rows; -1 if it keeps
	// them. Rows before kept are not compared.
	expiry  int
	expires string
	kept    time.Time
}

// distributed finds the table behind one of engine Distributed.
var distributed = regexp.MustCompile(`^Distributed\('[^']*', '([^']*)', '([^']*)'`)

// describe asks the server how the tables look.
func (r *run) describe(ctx context.Context) error {
	columns := map[string][]compare.Column{}
	err := r.query(ctx, "SELECT table, name, type, if(default_kind = 'MATERIALIZED', default_expression, '') FROM system.columns WHERE database = "+quote(r.cfg.Database), func(got rows) error {
		var table string
		var c compare.Column
		err := got.Scan(&table, &c.Name, &c.Type, &c.Of)
		columns[table] = append(columns[table], c)
		return err
	})
	if err != nil {
		return fmt.Errorf("ask for the tables' columns: %w", err)
	}
	engines, err := r.engines(ctx)
	if err != nil {
		return fmt.Errorf("ask for the tables' ordering keys: %w", err)
	}
	r.tables = map[batch.Table]*table{}
	for _, t := range batch.Tables() {
		if len(columns[t.Name()]) == 0 {
			return fmt.Errorf("table %s.%s is missing; `lapwing migrate --apply` creates it", r.cfg.Database, t.Name())
		}
		var ignored []string
		if t == batch.Unreadable {
			ignored = []string{"reason"} // its words may change from release to release
		}
		written := t.Columns()
		have := columns[t.Name()]
		if local := columns[t.Name()+schema.LocalSuffix]; len(local) > 0 { // which says how columns are made
			have = local
		}
		c, err := compare.NewTable(written, have, engines[t.Name()].key, ignored)
		if err != nil {
			return fmt.Errorf("table %s.%s is not the one this lapwing was built for: %w; `lapwing migrate` says what is wrong", r.cfg.Database, t.Name(), err)
		}
		expiry, err := compare.ParseExpiry(engines[t.Name()].full)
		at := slices.Index(written, expiry.Column)
		if err == nil && expiry.Column != "" && at < 0 {
			err = fmt.Errorf("TTL of column %s, which no row says", expiry.Column)
		}
		if err != nil {
			return fmt.Errorf("when table %s.%s forgets rows is not understood: %w", r.cfg.Database, t.Name(), err)
		}
		r.tables[t] = &table{
			of: t, name: t.Name(), compare: c, customer: slices.Index(written, "customer_id"),
			placed: placed.MatchString(engines[t.Name()].key), expiry: at, expires: expiry.Column, kept: expiry.Kept(r.pace.began),
		}
	}
	return nil
}

// placed finds the offset in an ordering key.
var placed = regexp.MustCompile(`\b_offset\b`)

// engine is how a table keeps its rows.
type engine struct{ key, full string }

// engines are those of all tables; on a cluster a table has that of the tables which it
// stands for.
func (r *run) engines(ctx context.Context) (map[string]engine, error) {
	all, behind := map[string]engine{}, map[string]string{}
	err := r.query(ctx, "SELECT name, sorting_key, engine_full FROM system.tables WHERE database = "+quote(r.cfg.Database), func(got rows) error {
		var name string
		var e engine
		err := got.Scan(&name, &e.key, &e.full)
		all[name] = e
		if m := distributed.FindStringSubmatch(e.full); m != nil && m[1] == r.cfg.Database {
			behind[name] = m[2]
		}
		return err
	})
	for name, local := range behind {
		all[name] = all[local]
	}
	return all, err
}

// quote is a text as an SQL literal.
func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// where is the condition for rows that are compared at all: of each partition one span.
func (r *run) where(t *table, spans []compare.Span) string {
	topics := map[string]*[3][]string{} // partitions, first offsets, ends
	var order []string
	for _, s := range spans {
		lists := topics[s.Topic]
		if lists == nil {
			lists = &[3][]string{}
			topics[s.Topic], order = lists, append(order, s.Topic)
		}
		for i, n := range []int64{int64(s.Partition), s.From, s.To} {
			lists[i] = append(lists[i], fmt.Sprint(n))
		}
	}
	var some []string
	for _, topic := range order {
		lists := topics[topic]
		bound := func(i int) string {
			return fmt.Sprintf("transform(_partition, [%s], [%s], toUInt64(0))", strings.Join(lists[0], ", "), strings.Join(lists[i], ", "))
		}
		some = append(some, fmt.Sprintf("_topic = %s AND _offset >= %s AND _offset < %s", quote(topic), bound(1), bound(2)))
	}
	return fmt.Sprintf("_generation = %d AND (%s)", r.cfg.Generation, strings.Join(some, " OR ")) + r.judged(t)
}

// judged leaves out what is compared on neither side.
func (r *run) judged(t *table) string {
	also := ""
	if t.customer >= 0 && len(r.erased) > 0 {
		names := make([]string, len(r.erased))
		for i, customer := range r.erased {
			names[i] = quote(customer)
		}
		also += " AND customer_id NOT IN (" + strings.Join(names, ", ") + ")"
	}
	if t.expiry >= 0 {
		also += fmt.Sprintf(" AND toUnixTimestamp64Milli(%s) >= %d", t.expires, t.kept.UnixMilli())
	}
	if t.of == batch.Unreadable {
		also += " AND NOT startsWith(reason, " + quote(batch.RefusedPrefix) + ")"
	}
	return also
}

// in is the condition for the offsets of cells.
func in(cells []compare.Cell, size int64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "(_topic, _partition, intDiv(toInt64(_offset), %d)) IN (", size)
	for i, c := range cells {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "(%s, %d, %d)", quote(c.Topic), c.Partition, c.Number)
	}
	b.WriteString(")")
	return b.String()
}

// query runs a comparison's query: with bounded speed, no bound of time, and with the
// one spelling of decimals that the hashes are made for.
func (r *run) query(ctx context.Context, sql string, scan func(rows) error) error {
	settings := ch.Settings{
		"output_format_decimal_trailing_zeros": 0, "max_query_size": 64 << 20, "max_execution_time": 0,
		"do_not_merge_across_partitions_select_final": 0,
		// Expressions of strings gain nothing by being compiled, and these are long.
		"compile_expressions": 0, "compile_aggregate_expressions": 0,
	}
	if r.cfg.RowsPerSecond > 0 {
		settings["max_execution_speed"], settings["timeout_before_checking_execution_speed"] = r.cfg.RowsPerSecond, 0
		settings["max_threads"] = 1
	}
	got, err := r.deps.ClickHouse.Query(ch.Context(ctx, ch.WithSettings(settings)), sql)
	if err != nil {
		return failed("query ClickHouse", err)
	}
	defer func() { _ = got.Close() }() // read to its end, or its error is returned
	for got.Next() {
		if err := scan(got); err != nil {
			return failed("read an answer of ClickHouse", err)
		}
	}
	if err := got.Err(); err != nil {
		return failed("read an answer of ClickHouse", err)
	}
	return nil
}

// rows is a row of an answer.
type rows interface{ Scan(dest ...any) error }

// digests are the counts and sums of what the table has, by cell.
func (r *run) digests(ctx context.Context, t *table, cell, condition string, into compare.Digests) error {
	return r.query(ctx, fmt.Sprintf("SELECT _topic, _partition, %s AS cell, count(), sum(%s) FROM %s.%s FINAL WHERE %s GROUP BY _topic, _partition, cell",
		cell, t.compare.HashSQL, r.cfg.Database, t.name, condition),
		func(row rows) error {
			c, d := compare.Cell{Table: t.name}, compare.Digest{}
			var partition uint32
			err := row.Scan(&c.Topic, &partition, &c.Number, &d.Rows, &d.Sum)
			c.Partition = int32(partition)
			into.Merge(compare.Digests{c: d})
			return err
		})
}

// shown are the rows that the table shows, with their places.
func (r *run) shown(ctx context.Context, t *table, condition string, err *error) iter.Seq2[place, compare.Row] {
	return func(yield func(place, compare.Row) bool) {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		ended := false
		*err = r.query(ctx, fmt.Sprintf("SELECT _topic, _partition, _offset, %s, %s, %s FROM %s.%s FINAL WHERE %s",
			t.compare.KeySQL[0], t.compare.KeySQL[1], t.compare.HashSQL, r.cfg.Database, t.name, condition),
			func(got rows) error {
				var at place
				var row compare.Row
				var partition uint32
				var offset uint64
				if err := got.Scan(&at.topic, &partition, &offset, &row.Key[0], &row.Key[1], &row.Hash); err != nil || ended {
					return err
				}
				at.partition, row.Offset = int32(partition), int64(offset)
				ended = !yield(at, row)
				return nil
			})
	}
}
