// SPDX-License-Identifier: Apache-2.0

package migrate_test

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"lapwing/deploy/embedded/embeddedtest"
	schema "lapwing/schemas/clickhouse"
	"lapwing/sink/batch"
	"lapwing/sink/migrate"
	"lapwing/sink/sinktest"
)

// TestEngineReadsAll: every statement for a cluster and every role is one that the
// engine's parser reads, and writes down in a form that it reads as the same. It has no
// Keeper and no users, so it cannot carry them out.
func TestEngineReadsAll(t *testing.T) {
	ctx := context.Background()
	conn := sinktest.NewDatabase(t, embeddedtest.ClickHouseForTest(t).Options(), "lapwing_ready").Conn
	var all []string
	for _, l := range []schema.Layout{{Database: "lapwing"}, {Database: "lapwing", Cluster: "main"}} {
		m, err := migrate.New(conn, l, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		plan, err := m.Plan(ctx)
		if err != nil {
			t.Fatal(err)
		}
		roles, err := migrate.Roles(l)
		if err != nil {
			t.Fatal(err)
		}
		all = append(append(all, plan...), roles...)
	}
	clustered := 0
	for _, statement := range all {
		if strings.Contains(statement, " ON CLUSTER 'main'") {
			clustered++
		}
		if before, _, ok := strings.Cut(statement, " VALUES "); ok { // rows are not part of a formatted query
			statement = before + " VALUES"
		}
		var once, twice string
		if err := conn.QueryRow(ctx, `SELECT formatQuery(?) AS once, formatQuery(once)`, statement).Scan(&once, &twice); err != nil {
			t.Errorf("%v:\n%s", err, statement)
		}
		if once != twice || len(once) < 20 {
			t.Errorf("formatted again it differs:\n%s\n%s", once, twice)
		}
	}
	if clustered < 60 {
		t.Errorf("%d statements for a cluster, want some 70", clustered)
	}
}

// TestShards: rows that lie on two shards by the hash of their customer (or lane) give,
// through the views made for a cluster, what they give on one server. A Merge table over
// two databases stands in for the Distributed one over two shards: both read each
// shard's table with FINAL and join the rows.
func TestShards(t *testing.T) {
	ctx := context.Background()
	one := sinktest.NewDatabase(t, embeddedtest.ClickHouseForTest(t).Options(), "one")
	records := sinktest.New(1, time.UTC, sinktest.Size{Customers: 40, Changes: 12, Orders: 6}).Records(1)
	for _, some := range [][]batch.Record{records, records[:len(records)/2]} { // half of them twice
		if err := one.Insert(ctx, some); err != nil {
			t.Fatal(err)
		}
	}
	shards := []string{"shard_1", "shard_2"}
	run := func(statement string) {
		t.Helper()
		if err := one.Conn.Exec(ctx, statement); err != nil {
			t.Fatalf("%v:\n%s", err, statement)
		}
	}

	// What the cluster's DDL says, with the parts that need one taken out.
	replicated := regexp.MustCompile(`Replicated(\w+)\('[^']*', '[^']*'(?:, )?`)
	distributed := regexp.MustCompile(`ENGINE = Distributed\('main', '\w+', '(\w+)', cityHash64\((\w+)\)\)`)
	objects, err := schema.Objects()
	if err != nil {
		t.Fatal(err)
	}
	cluster := schema.Layout{Database: "many", Cluster: "main"}
	for _, database := range append([]string{"many"}, shards...) {
		run("CREATE DATABASE " + database)
	}
	split := 0
	for i := range objects {
		o := &objects[i]
		for _, statement := range cluster.Statements(o) {
			statement = replicated.ReplaceAllString(strings.ReplaceAll(statement, cluster.OnCluster(), ""), "$1(")
			local, key := "", ""
			if found := distributed.FindStringSubmatch(statement); found != nil {
				local, key = found[1], found[2]
			}
			switch {
			case local != "":
				run(distributed.ReplaceAllString(statement, "ENGINE = Merge(REGEXP('^shard_[12]$$'), '^$1$$')"))
				for n, shard := range shards {
					run("INSERT INTO " + shard + "." + local + " SELECT * FROM one." + o.Name + " WHERE cityHash64(" + key + ") % 2 = " + strconv.Itoa(n))
				}
				split++
			case o.Kind == schema.Table && cluster.Storage(o) != o.Name:
				for _, shard := range shards {
					run(strings.Replace(statement, "many.", shard+".", 1))
				}
			case o.Kind == schema.Table:
				run(statement)
				run("INSERT INTO many." + o.Name + " SELECT * FROM one." + o.Name)
			default:
				run(statement)
			}
		}
	}
	if split < 7 {
		t.Errorf("%d tables were spread over shards", split)
	}
	for i := range objects {
		o := &objects[i]
		if o.Kind != schema.View || len(o.Columns) == 0 { // no columns: a view with parameters
			continue
		}
		rows := func(database string) []string {
			text, err := one.Text(ctx, "SELECT * FROM "+database+"."+o.Name)
			if err != nil {
				t.Fatalf("%s.%s: %v", database, o.Name, err)
			}
			lines := strings.Split(text, "\n")
			slices.Sort(lines)
			return lines
		}
		if server, many := rows("one"), rows("many"); !slices.Equal(server, many) {
			t.Errorf("%s: %d rows on one server, %d other ones on two shards", o.Name, len(server), len(many))
		}
	}
	for _, shard := range shards {
		if text, err := one.Text(ctx, "SELECT count() > 20 FROM "+shard+".stage_changes_log_local"); err != nil || text != "(1)\n" {
			t.Errorf("%s has hardly any rows, so nothing was shown: %q, %v", shard, text, err)
		}
	}
}

// TestRolesAreExact: the sink's role may write the tables that the sink's code writes,
// and read those that it reads, and no others; a reader writes nothing.
func TestRolesAreExact(t *testing.T) {
	inserts, reads := sqlOf(t, "..")
	reads = below(t, reads)
	for _, l := range []schema.Layout{{Database: "lapwing"}, {Database: "lapwing", Cluster: "main"}} {
		all, err := migrate.Roles(l)
		if err != nil {
			t.Fatal(err)
		}
		grants := regexp.MustCompile(`^GRANT(?: ON CLUSTER 'main')? (.+) ON (\S+) TO (\w+)$`)
		var mayInsert, mayRead []string
		for _, statement := range all {
			g := grants.FindStringSubmatch(statement)
			if g == nil {
				continue
			}
			name := strings.TrimSuffix(strings.TrimPrefix(g[2], "lapwing."), schema.LocalSuffix)
			switch {
			case g[3] == migrate.RoleWriter && strings.Contains(g[1], "INSERT"):
				mayInsert = append(mayInsert, name)
			case g[3] == migrate.RoleWriter && g[1] == "SELECT":
				mayRead = append(mayRead, name)
			case g[3] == migrate.RoleWriter:
				t.Errorf("the sink needs no %s", statement)
			case g[3] == migrate.RoleReader && g[1] != "SELECT":
				t.Errorf("a reader needs no %s", statement)
			}
		}
		slices.Sort(mayInsert)
		mayInsert = slices.Compact(mayInsert)
		if !slices.Equal(mayInsert, inserts) {
			t.Errorf("the sink may write\n%v, its code writes\n%v", mayInsert, inserts)
		}
		needs := slices.DeleteFunc(slices.Clone(reads), func(name string) bool { return slices.Contains(mayInsert, name) })
		slices.Sort(mayRead)
		if !slices.Equal(mayRead, needs) {
			t.Errorf("beside these the sink may read\n%v, its code reads\n%v", mayRead, needs)
		}
	}
}

// below adds what views read to the views themselves, with all that these read.
func below(t *testing.T, names []string) []string {
	t.Helper()
	objects, err := schema.Objects()
	if err != nil {
		t.Fatal(err)
	}
	for before := -1; before < len(names); {
		before = len(names)
		for i := range objects {
			if !slices.Contains(names, objects[i].Name) || objects[i].Kind != schema.View {
				continue
			}
			_, text, _ := strings.Cut(schema.Layout{Database: "no_alias"}.Statements(&objects[i])[0], "\n")
			for j := range objects {
				if regexp.MustCompile(`\bno_alias\.`+objects[j].Name+`\b`).MatchString(text) && !slices.Contains(names, objects[j].Name) {
					names = append(names, objects[j].Name)
				}
			}
		}
	}
	slices.Sort(names)
	return names
}

// sqlOf finds the tables and views that the text of SQL in the sink's packages names:
// behind INSERT INTO, and anywhere. What is kept of KPIs is for readers.
func sqlOf(t *testing.T, root string) (inserts, names []string) {
	t.Helper()
	objects, err := schema.Objects()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for i := range objects {
		known[objects[i].Name] = true
	}
	into, word := regexp.MustCompile(`INSERT INTO \S*?\.?(\w+_log)\b`), regexp.MustCompile(`(?:\.|(?:FROM|INTO|JOIN|IN) )(\w+)`)
	for _, table := range batch.Tables() { // of these the writer makes its INSERT
		inserts = append(inserts, table.Name())
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && slices.Contains([]string{"sinktest", "testdata"}, d.Name()) {
			if err == nil {
				err = fs.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "roles.go") || strings.HasSuffix(path, "kept.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil || !strings.ContainsAny(text, ".") && !strings.Contains(text, "INSERT") || strings.HasPrefix(text, "stream.") { // table.go names tables alone; the last is a setting
				return true
			}
			for _, found := range into.FindAllStringSubmatch(text, -1) {
				inserts = append(inserts, found[1])
			}
			for _, found := range word.FindAllStringSubmatch(text, -1) {
				if known[found[1]] {
					names = append(names, found[1])
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(inserts)
	slices.Sort(names)
	return slices.Compact(inserts), slices.Compact(names)
}
