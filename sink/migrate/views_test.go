// SPDX-License-Identifier: Apache-2.0

package migrate_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"lapwing/deploy/embedded"
	"lapwing/deploy/embedded/embeddedtest"
	schema "lapwing/schemas/clickhouse"
	"lapwing/sink/sinktest"
)

// history is a database with a random history.
func history(t *testing.T, name string) (*sinktest.Database, *embedded.ClickHouse) {
	t.Helper()
	server := embeddedtest.ClickHouseForTest(t)
	d := sinktest.NewDatabase(t, server.Options(), name)
	if err := d.Insert(context.Background(), sinktest.New(1, time.UTC, sinktest.Size{Customers: 20, Changes: 8, Orders: 4}).Records(1)); err != nil {
		t.Fatal(err)
	}
	return d, server
}

// TestViewsAreOfTheirTypes: what a view selects has the types that its columns declare, as
// far as Nullable and LowCardinality go. Where they differ ClickHouse converts the values,
// but WHERE column IS NULL, and WHERE column = ”, fail with an unknown identifier: they
// ask for a part of the column that what is selected does not have.
func TestViewsAreOfTheirTypes(t *testing.T) {
	ctx := context.Background()
	d, _ := history(t, "typed")
	objects, err := schema.Objects()
	if err != nil {
		t.Fatal(err)
	}
	for i := range objects {
		o := &objects[i]
		if o.Kind != schema.View || len(o.Columns) == 0 {
			continue
		}
		rows, err := d.Conn.Query(ctx, "SELECT * FROM ("+schema.For(d.Name, o.Select())+") LIMIT 0")
		if err != nil {
			t.Errorf("%s: %v", o.Name, err)
			continue
		}
		selected := rows.ColumnTypes()
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		if len(selected) != len(o.Columns) {
			t.Errorf("%s selects %d columns, declares %d", o.Name, len(selected), len(o.Columns))
			continue
		}
		for n, c := range o.Columns {
			name, kind := selected[n].Name(), selected[n].DatabaseTypeName()
			if name != c.Name {
				t.Errorf("%s: column %d is %s, declared %s", o.Name, n+1, name, c.Name)
			}
			for _, part := range []string{"Nullable(", "LowCardinality(", "Array(", "Map("} {
				if strings.Count(kind, part) != strings.Count(c.Type, part) {
					t.Errorf("%s selects %s %s, declares %s", o.Name, name, kind, c.Type)
					break
				}
			}
		}
		// The filters themselves, on the first columns of each kind.
		var where []string
		for _, kind := range []string{"Nullable(", "String"} {
			for _, c := range o.Columns {
				if strings.HasPrefix(c.Type, kind) {
					where = append(where, map[string]string{"Nullable(": "`" + c.Name + "` IS NULL", "String": "`" + c.Name + "` = ''"}[kind])
					break
				}
			}
		}
		if len(where) > 0 {
			if _, err := d.Text(ctx, "SELECT count() AS rows FROM "+d.Name+"."+o.Name+" WHERE "+strings.Join(where, " OR ")); err != nil {
				t.Errorf("%s: %v", o.Name, err)
			}
		}
	}
}
