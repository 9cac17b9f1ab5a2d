// SPDX-License-Identifier: Apache-2.0

package kpi

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	schema "lapwing/schemas/clickhouse"
)

// Options narrow a KPI.
type Options struct {
	Database string
	Grain    string            // day, week or month; empty: month
	Model    string            // empty: all models
	Fresh    bool              // compute it now, even if it is kept
	Params   map[string]string // of the KPI's parameters, those that are not as by default
}

// Column is one column of a result.
type Column struct {
	Name string
	Type string // ClickHouse's
}

// Result is what a query gave. Values are nil, string, bool, uint64, int64, float64,
// time.Time or decimal.Decimal.
type Result struct {
	KPI     KPI
	Options Options
	Columns []Column
	Rows    [][]any
	Kept    *Kept // nil if the rows were computed now
	Gap     *Gap  // nil if nothing is lacking in any period
}

// Run queries one KPI.
func Run(ctx context.Context, conn driver.Conn, k KPI, o Options) (*Result, error) {
	if err := schema.CheckDatabase(o.Database); err != nil {
		return nil, err
	}
	switch o.Grain {
	case "":
		o.Grain = cmp.Or(k.By, "month")
	case "day", "week", "month":
	default:
		return nil, fmt.Errorf("period %q: want day, week or month", o.Grain)
	}
	gap, err := k.gap(ctx, conn, o.Database)
	if err != nil {
		return nil, err
	}
	if err := k.knownNames(ctx, conn, o.Database, o); err != nil {
		return nil, err
	}
	args := []any{ch.Named("grain", o.Grain), ch.Named("model", o.Model)}
	open, err := k.arguments(o.Params)
	if err != nil {
		return nil, err
	}
	args = append(args, open...)
	for {
		out := &Result{KPI: k, Options: o, Gap: gap}
		query := k.Query
		if !o.Fresh {
			if out.Kept, err = k.kept(ctx, conn, o.Database, o.Params); err != nil {
				return nil, err
			}
		}
		if out.Kept != nil {
			query = strings.Replace(query, k.source(), out.Kept.from(), 1)
		}
		if err := out.read(ctx, conn, schema.For(o.Database, query), args); err != nil {
			return nil, err
		}
		if out.Kept == nil || len(out.Rows) > 0 || out.Kept.Rows == 0 {
			return out, nil
		}
		// No row of those kept is asked for, or others have taken their place just now.
		again, err := k.kept(ctx, conn, o.Database, o.Params)
		if err != nil {
			return nil, err
		}
		if again != nil && again.TakenAt.Equal(out.Kept.TakenAt) {
			return out, nil
		}
	}
}

// read fills the result with the query's.
func (r *Result) read(ctx context.Context, conn driver.Conn, query string, args []any) error {
	rows, err := conn.Query(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("query KPI %s: %w", r.KPI.Name, err)
	}
	defer func() { _ = rows.Close() }() // the error that counts is rows.Err
	types := rows.ColumnTypes()
	into := make([]any, len(types)) // one place per column, for all rows
	for i, t := range types {
		r.Columns = append(r.Columns, Column{t.Name(), t.DatabaseTypeName()})
		into[i] = reflect.New(t.ScanType()).Interface()
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return fmt.Errorf("read KPI %s: %w", r.KPI.Name, err)
		}
		row := make([]any, len(into))
		for i := range into {
			row[i] = plain(reflect.ValueOf(into[i]).Elem())
		}
		r.Rows = append(r.Rows, row)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read KPI %s: %w", r.KPI.Name, err)
	}
	return nil
}

// arguments are the KPI's parameters, with what is given in the place of the defaults.
func (k *KPI) arguments(given map[string]string) ([]any, error) {
	var args []any
	for name := range given {
		if !slices.ContainsFunc(k.Params, func(p Param) bool { return p.Name == name }) {
			return nil, fmt.Errorf("KPI %s has no parameter %q; `lapwing kpi describe %s` names those it has", k.Name, name, k.Name)
		}
	}
	for _, p := range k.Params {
		text, ok := given[p.Name]
		if !ok {
			text = p.Default
		}
		if p.Among != nil && !slices.Contains(p.Among, text) {
			return nil, fmt.Errorf("parameter %s of KPI %s is %q: want %s", p.Name, k.Name, text, strings.Join(p.Among, " or "))
		}
		if !p.Number {
			args = append(args, ch.Named(p.Name, text))
			continue
		}
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("parameter %s of KPI %s is %q: want a whole number", p.Name, k.Name, text)
		}
		args = append(args, ch.Named(p.Name, n))
	}
	return args, nil
}

// plain makes one of the few types of Result of what the driver scanned.
func plain(v reflect.Value) any {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return v.Uint()
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int()
	default:
		return v.Interface()
	}
}

// column is the index of a column; -1 if there is none of that name.
func (r *Result) column(name string) int {
	for i, c := range r.Columns {
		if c.Name == name {
			return i
		}
	}
	return -1
}
