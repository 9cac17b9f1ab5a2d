// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"fmt"
	"strings"
)

// Layout says where the tables lie: in a database of one server, or of a cluster.
//
// In a cluster each table NAME is a Distributed one, over NAME_local on every shard,
// which is replicated; views and inserts name only NAME, so nothing else depends on
// the layout. Rows go to the shard of their customer's hash, those of all tables to
// the same one; totals that have no customer go by their lane. Both are part of the
// ordering keys, so all versions of a row meet on one shard, where FINAL finds them.
// Small tables with neither (definitions, generations, rates and such) are whole on
// every replica of every shard: subqueries on them stay local.
//
// The number and weights of the shards must stay while a generation lives: a row
// that is inserted again must meet its former self. To change them, change the
// cluster, then rebuild: the next generation's rows are all placed anew.
type Layout struct {
	Database string
	Cluster  string // ClickHouse's name of it, in remote_servers; empty: one server
}

// Check refuses names that would need quotes: they are put into SQL.
func (l Layout) Check() error {
	if err := CheckDatabase(l.Database); err != nil {
		return err
	}
	ok := len(l.Cluster) <= 63
	for i := range len(l.Cluster) {
		c := l.Cluster[i]
		ok = ok && (c == '_' || c == '-' || c == '.' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9')
	}
	if !ok {
		return fmt.Errorf("cluster %q: want letters, digits, underscores, dots and dashes, at most 63", l.Cluster)
	}
	return nil
}

// OnCluster is the clause that carries a statement out on every server, with a space
// before it; empty on one server.
func (l Layout) OnCluster() string {
	if l.Cluster == "" {
		return ""
	}
	return " ON CLUSTER '" + l.Cluster + "'"
}

// LocalSuffix ends the names of the tables behind Distributed ones.
const LocalSuffix = "_local"

// Bookkeeping makes the table of migrations.
func (l Layout) Bookkeeping() []string { return l.Statements(&migrationsTable) }

// migrationsTable is made before the first migration.
var migrationsTable = Statement{
	Kind: Table, Name: "migrations", Comment: "Migrations carried out in this database; lapwing migrate writes it.",
	Columns: []Column{
		{Name: "version", Type: "UInt32", Comment: "Number of the migration, from 1."},
		{Name: "name", Type: "String", Comment: "Name of its file, without the number."},
		{Name: "checksum", Type: "String", Comment: "SHA-256 of its file, lower hex."},
		{Name: "cluster", Type: "String", Comment: "The cluster that the database was laid out for; empty for one server."},
		{Name: "applied_at", Type: "DateTime64(3, 'UTC')", Default: "DEFAULT now64(3, 'UTC')", Comment: "When it was carried out (wall clock of the server, UTC)."},
	},
	clauses: []clause{{"ENGINE =", "ReplacingMergeTree"}, {"ORDER BY", "(version, checksum, cluster)"}, {"COMMENT", "'Migrations carried out in this database; lapwing migrate writes it.'"}},
}

// Storage is the table that holds the rows of a storage table, where partitions are
// dropped and rows deleted: the table itself, or in a cluster that behind it.
func (l Layout) Storage(s *Statement) string {
	if l.Cluster == "" || s.shardBy() == "" {
		return s.Name
	}
	return s.Name + LocalSuffix
}

// CreateDatabase makes the database.
func (l Layout) CreateDatabase() string {
	return "CREATE DATABASE IF NOT EXISTS " + l.Database + l.OnCluster()
}

// Statements are the statements that carry out s: one, or in a cluster up to two.
func (l Layout) Statements(s *Statement) []string {
	if l.Cluster == "" {
		return []string{For(l.Database, s.sql())}
	}
	var all []string
	switch s.Kind {
	case View:
		head, rest, _ := strings.Cut(s.text, "\n")
		all = append(all, head+l.OnCluster()+"\n"+rest)
	case AddColumn:
		all = append(all, l.addColumn(s, l.Storage(s.table), true))
		if l.Storage(s.table) != s.Name {
			all = append(all, l.addColumn(s, s.Name, false))
		}
	case Table:
		sharded := s.shardBy() != ""
		all = append(all, l.replicated(s, sharded))
		if sharded {
			all = append(all, l.distributed(s))
		}
	}
	for i := range all {
		all[i] = For(l.Database, all[i])
	}
	return all
}

// sql is the statement for one server: as it is written, or put together.
func (s *Statement) sql() string {
	if s.text != "" {
		return s.text
	}
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE IF NOT EXISTS %s.%s\n(\n", Placeholder, s.Name)
	s.writeColumns(&b, true)
	b.WriteString("\n)")
	for _, c := range s.clauses {
		fmt.Fprintf(&b, "\n%s %s", c.word, c.rest)
	}
	return b.String()
}

// shardBy is the column by whose hash a table's rows are spread over the shards;
// empty for a table that is whole on each.
func (s *Statement) shardBy() string {
	for _, name := range []string{"customer_id", "lane"} {
		for _, c := range s.Columns {
			if c.Name == name {
				return name
			}
		}
	}
	return ""
}

// replicated is a table with the rows of one shard, or of all.
func (l Layout) replicated(s *Statement, sharded bool) string {
	name, shard, replica := s.Name, "all", "{shard}-{replica}"
	if sharded {
		name, shard, replica = s.Name+LocalSuffix, "{shard}", "{replica}"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE IF NOT EXISTS %s.%s%s\n(\n", Placeholder, name, l.OnCluster())
	s.writeColumns(&b, true)
	b.WriteString("\n)")
	for _, c := range s.clauses {
		rest := c.rest
		if c.word == "ENGINE =" {
			engine, args, _ := strings.Cut(strings.TrimSuffix(c.rest, ")"), "(")
			if args != "" {
				args = ", " + args
			}
			// The path is fixed, not the table's UUID: a replica that joins later makes the
			// same table, not another of that name.
			rest = fmt.Sprintf("Replicated%s('/clickhouse/tables/%s/%s/%s', '%s'%s)", engine, shard, Placeholder, name, replica, args)
		}
		fmt.Fprintf(&b, "\n%s %s", c.word, rest)
	}
	return b.String()
}

func (l Layout) distributed(s *Statement) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE IF NOT EXISTS %s.%s%s\n(\n", Placeholder, s.Name, l.OnCluster())
	s.writeColumns(&b, false)
	fmt.Fprintf(&b, "\n)\nENGINE = Distributed('%s', '%s', '%s', cityHash64(%s))\nCOMMENT %s",
		l.Cluster, Placeholder, s.Name+LocalSuffix, s.shardBy(), quote(s.Comment))
	return b.String()
}

func (l Layout) addColumn(s *Statement, name string, stored bool) string {
	return fmt.Sprintf("ALTER TABLE %s.%s%s\n%s%s", Placeholder, name, l.OnCluster(), addColumn, s.Columns[0].sql(stored))
}

// writeColumns writes the columns; for a table that stores them with their codecs,
// projections and indexes.
func (s *Statement) writeColumns(b *strings.Builder, stored bool) {
	for i, c := range s.Columns {
		if i > 0 {
			b.WriteString(",\n")
		}
		b.WriteString("    " + c.sql(stored))
	}
	if stored {
		for _, e := range s.extra {
			b.WriteString(",\n    " + e)
		}
	}
}

func (c *Column) sql(stored bool) string {
	text := "`" + c.Name + "` " + c.Type
	if c.Default != "" {
		text += " " + c.Default
	}
	text += " COMMENT " + quote(c.Comment)
	if stored && c.codec != "" {
		text += " CODEC" + c.codec
	}
	return text
}
