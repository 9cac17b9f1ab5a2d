// SPDX-License-Identifier: Apache-2.0

package kpi

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	schema "lapwing/schemas/clickhouse"
)

// Options narrow a KPI.
type Options struct {
	Database string
	Grain    string // day, week or month; empty: month
	Model    string // empty: all models
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
}

// Run queries one KPI.
func Run(ctx context.Context, conn driver.Conn, k KPI, o Options) (*Result, error) {
	if err := schema.CheckDatabase(o.Database); err != nil {
		return nil, err
	}
	switch o.Grain {
	case "":
		o.Grain = "month"
	case "day", "week", "month":
	default:
		return nil, fmt.Errorf("period %q: want day, week or month", o.Grain)
	}
	var args []any
	if strings.Contains(k.Query, "@grain") {
		args = append(args, ch.Named("grain", o.Grain), ch.Named("model", o.Model))
	}
	rows, err := conn.Query(ctx, schema.For(o.Database, k.Query), args...)
	if err != nil {
		return nil, fmt.Errorf("query KPI %s: %w", k.Name, err)
	}
	defer func() { _ = rows.Close() }() // the error that counts is rows.Err
	out := &Result{KPI: k, Options: o}
	types := rows.ColumnTypes()
	for _, t := range types {
		out.Columns = append(out.Columns, Column{t.Name(), t.DatabaseTypeName()})
	}
	for rows.Next() {
		into := make([]any, len(types))
		for i, t := range types {
			into[i] = reflect.New(t.ScanType()).Interface()
		}
		if err := rows.Scan(into...); err != nil {
			return nil, fmt.Errorf("read KPI %s: %w", k.Name, err)
		}
		for i := range into {
			into[i] = plain(reflect.ValueOf(into[i]).Elem())
		}
		out.Rows = append(out.Rows, into)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read KPI %s: %w", k.Name, err)
	}
	return out, nil
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
