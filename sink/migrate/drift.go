// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	schema "lapwing/schemas/clickhouse"
)

// Difference is one way in which a table is not what this lapwing made it: somebody has
// changed it by hand.
type Difference struct {
	Table, Column string // Column is empty if it is about the whole table
	Is, Want      string // empty: not there
	Fix           string // what brings it back
	// Harmless is true of what does not stand in the way of inserts: a further column,
	// which they leave to its default.
	Harmless bool
}

// String says what differs and what to do, on one line.
func (d Difference) String() string {
	what := d.Table
	if d.Column != "" {
		what += "." + d.Column
	}
	switch {
	case d.Is == "":
		what += " is missing, want " + d.Want
	case d.Want == "":
		what += " is " + d.Is + ", which this lapwing does not know"
	default:
		what += " is " + d.Is + ", want " + d.Want
	}
	if d.Fix == "" {
		return what
	}
	return what + ": " + d.Fix
}

// Written reports whether the sink writes the table, or that behind a Distributed one.
func Written(table string) bool {
	return slices.Contains(sinkInserts(), strings.TrimSuffix(table, schema.LocalSuffix))
}

// Drift compares the tables with the schema of this binary, by what the server itself
// says of their columns, engines and keys. It looks at migrated tables only: what is
// pending is for Check to say. Views are not looked at: a migration makes them anew.
func (m *Migrator) Drift(ctx context.Context) ([]Difference, error) {
	objects, err := schema.Objects()
	if err != nil {
		return nil, err
	}
	is, err := m.tables(ctx)
	if err != nil {
		return nil, err
	}
	var all []Difference
	for i := range objects {
		s := &objects[i]
		if s.Kind != schema.Table {
			continue
		}
		storage := m.layout.Storage(s)
		all = append(all, m.compare(s, storage, is[storage], true)...)
		if storage != s.Name { // the Distributed one before it
			all = append(all, m.compare(s, s.Name, is[s.Name], false)...)
		}
	}
	return all, nil
}

// table is one as the server has it.
type table struct {
	engine, sorting, partition string
	columns                    []schema.Column
}

func (m *Migrator) tables(ctx context.Context) (map[string]*table, error) {
	all := map[string]*table{}
	rows, err := m.conn.Query(ctx, `SELECT name, engine_full, sorting_key, partition_key FROM system.tables WHERE database = ?`, m.layout.Database)
	if err != nil {
		return nil, fmt.Errorf("read the server's tables: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		var t table
		if err := rows.Scan(&name, &t.engine, &t.sorting, &t.partition); err != nil {
			return nil, fmt.Errorf("read the server's tables: %w", err)
		}
		all[name] = &t
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the server's tables: %w", err)
	}
	columns, err := m.conn.Query(ctx, `SELECT table, name, type, default_kind FROM system.columns WHERE database = ? ORDER BY table, position`, m.layout.Database)
	if err != nil {
		return nil, fmt.Errorf("read the server's columns: %w", err)
	}
	defer func() { _ = columns.Close() }()
	for columns.Next() {
		var name string
		var c schema.Column
		if err := columns.Scan(&name, &c.Name, &c.Type, &c.Default); err != nil {
			return nil, fmt.Errorf("read the server's columns: %w", err)
		}
		if t := all[name]; t != nil {
			t.columns = append(t.columns, c)
		}
	}
	if err := columns.Err(); err != nil {
		return nil, fmt.Errorf("read the server's columns: %w", err)
	}
	return all, nil
}

// compare is one table against the statement that makes it. stored: it holds the rows.
func (m *Migrator) compare(s *schema.Statement, name string, is *table, stored bool) []Difference {
	if is == nil {
		return []Difference{{Table: name, Want: "a table", Fix: "bring it back from a backup, or begin anew in another database: its rows are not in this one"}}
	}
	var all []Difference
	alter := "ALTER TABLE " + m.layout.Database + "." + name + m.layout.OnCluster() + " "
	further := slices.DeleteFunc(slices.Clone(is.columns), func(c schema.Column) bool { return column(s.Columns, c.Name) != nil })
	for _, want := range s.Columns {
		kind, _, _ := strings.Cut(want.Default, " ")
		has := column(is.columns, want.Name)
		switch {
		case has == nil:
			d := Difference{Table: name, Column: want.Name, Want: want.Type, Fix: alter + "ADD COLUMN `" + want.Name + "` " + strings.TrimSpace(want.Type+" "+want.Default)}
			for _, other := range further {
				if other.Type == want.Type && other.Default == kind {
					d.Fix = alter + "RENAME COLUMN `" + other.Name + "` TO `" + want.Name + "` if it was renamed, else " + d.Fix
				}
			}
			all = append(all, d)
		case has.Type != want.Type:
			all = append(all, Difference{Table: name, Column: want.Name, Is: has.Type, Want: want.Type, Fix: alter + "MODIFY COLUMN `" + want.Name + "` " + want.Type})
		case stored && has.Default != kind:
			all = append(all, Difference{
				Table: name, Column: want.Name, Is: orPlain(has.Default), Want: orPlain(want.Default),
				Fix: alter + "MODIFY COLUMN `" + want.Name + "` " + strings.TrimSpace(want.Type+" "+want.Default),
			})
		}
	}
	for _, c := range further {
		all = append(all, Difference{Table: name, Column: c.Name, Is: c.Type, Harmless: true})
	}
	if !stored {
		return all
	}
	const anew = "make a table beside it that has it, copy the rows with INSERT … SELECT, and EXCHANGE TABLES"
	for _, one := range []struct{ what, is, want string }{
		{"ENGINE", engine(is.engine), engine(s.Clause("ENGINE ="))},
		{"ORDER BY", key(is.sorting), key(s.Clause("ORDER BY"))},
		{"PARTITION BY", key(is.partition), key(s.Clause("PARTITION BY"))},
	} {
		if one.is != one.want {
			all = append(all, Difference{Table: name, Is: orNone(one.what, one.is), Want: orNone(one.what, one.want), Fix: anew})
		}
	}
	return all
}

func column(all []schema.Column, name string) *schema.Column {
	for i := range all {
		if all[i].Name == name {
			return &all[i]
		}
	}
	return nil
}

func orPlain(kind string) string {
	if kind == "" {
		return "a column that is written"
	}
	return kind
}

func orNone(what, value string) string {
	if value == "" {
		return "without " + what
	}
	return what + " " + value
}

// engine is an engine as on one server: without what a cluster or a cloud adds.
func engine(full string) string {
	name, rest, ok := strings.Cut(full, "(")
	if first, _, more := strings.Cut(full, " "); more && !strings.Contains(first, "(") {
		name, rest, ok = first, "", false
	}
	var arguments []string
	if ok {
		rest, _, _ = strings.Cut(rest, ")")
		for one := range strings.SplitSeq(rest, ",") {
			if one = strings.TrimSpace(one); one != "" && !strings.HasPrefix(one, "'") { // the path, the replica
				arguments = append(arguments, one)
			}
		}
	}
	name = strings.TrimPrefix(strings.TrimPrefix(name, "Replicated"), "Shared")
	if len(arguments) == 0 {
		return name
	}
	return name + "(" + strings.Join(arguments, ", ") + ")"
}

// key is a list of expressions without the brackets around it and the quotes in it,
// which the server sets as it likes.
func key(list string) string {
	if strings.HasPrefix(list, "(") && strings.HasSuffix(list, ")") {
		list = list[1 : len(list)-1]
	}
	return strings.Join(strings.Fields(strings.ReplaceAll(list, "`", "")), " ")
}
