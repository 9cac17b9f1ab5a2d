// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func parsed(t *testing.T) [][]Statement {
	t.Helper()
	all, err := Migrations()
	if err != nil {
		t.Fatal(err)
	}
	statements, err := Parse(all)
	if err != nil {
		t.Fatal(err)
	}
	return statements
}

// TestFilesHaveTheForm: every statement of every file can be taken apart, and put
// together says what stands in the file: nothing was passed over.
func TestFilesHaveTheForm(t *testing.T) {
	squeeze := func(sql string) string {
		return strings.Join(strings.Fields(strings.NewReplacer("`", "", ",", " , ", "(", " ( ", ")", " ) ").Replace(sql)), " ")
	}
	for _, statements := range parsed(t) {
		for i := range statements {
			s := &statements[i]
			if strings.Count(s.text, Placeholder) == 0 || strings.HasSuffix(s.text, ";") {
				t.Errorf("%s is not ready to be sent", s.Name)
			}
			if s.Kind != Table {
				continue
			}
			again := *s
			again.text = ""
			if got, want := squeeze(again.sql()), squeeze(s.text); got != want {
				t.Errorf("%s put together differs:\n%s\nin the file:\n%s", s.Name, got, want)
			}
		}
	}
}

// TestVersionsMeet: what rows are spread by stands in the ordering key, and so does the
// partition, or two versions of a row would never be compared.
func TestVersionsMeet(t *testing.T) {
	objects, err := Objects()
	if err != nil {
		t.Fatal(err)
	}
	for i := range objects {
		s := &objects[i]
		if s.Kind != Table {
			continue
		}
		words := func(sql string) []string {
			return strings.FieldsFunc(sql, func(r rune) bool { return strings.ContainsRune("(), `", r) })
		}
		key, place := words(s.Clause("ORDER BY")), append(words(s.Clause("PARTITION BY")), s.shardBy())
		for _, c := range s.Columns {
			if slices.Contains(place, c.Name) && !slices.Contains(key, c.Name) {
				t.Errorf("%s: %q decides where a row lies, but is not in the ordering key %v", s.Name, c.Name, key)
			}
		}
	}
}

// TestRefusesOtherForms: what is not understood is an error that names it.
func TestRefusesOtherForms(t *testing.T) {
	const head = "CREATE TABLE IF NOT EXISTS {{db}}.a\n(\n    x Int8 COMMENT 'x'\n)\n"
	for _, text := range []string{
		"DROP TABLE {{db}}.a",
		"CREATE TABLE {{db}}.a\n(\n    x Int8 COMMENT 'x'\n)\nENGINE = MergeTree\nORDER BY x\nCOMMENT 'a'",
		"CREATE TABLE IF NOT EXISTS {{db}}.a ON CLUSTER c\n(\n    x Int8 COMMENT 'x'\n)\nENGINE = MergeTree\nORDER BY x\nCOMMENT 'a'",
		"CREATE TABLE IF NOT EXISTS other.a\n(\n    x Int8 COMMENT 'x'\n)\nENGINE = MergeTree\nORDER BY x\nCOMMENT 'a'",
		head + "ENGINE = MergeTree\nCOMMENT 'a'",                          // no ordering key
		head + "ENGINE = MergeTree\nORDER BY x",                           // no comment
		head + "ENGINE = MergeTree\nORDER BY x\nSAMPLE BY x\nCOMMENT 'a'", // a clause that is not known
		head + "ORDER BY x\nENGINE = MergeTree\nCOMMENT 'a'",              // another order
		head + "ENGINE = MergeTree\nORDER BY x\nCOMMENT 'a' || 'b'",       // no plain text
		"CREATE TABLE IF NOT EXISTS {{db}}.a\n(\n    x Int8\n)\nENGINE = M\nORDER BY x\nCOMMENT 'a'",
		"CREATE TABLE IF NOT EXISTS {{db}}.a\n(\n    x Int8 COMMENT 'x' TTL now()\n)\nENGINE = M\nORDER BY x\nCOMMENT 'a'",
		"CREATE OR REPLACE VIEW {{db}}.a\n(\n    x Int8 COMMENT 'x'\n)\nAS SELECT 1",
		"CREATE OR REPLACE VIEW {{db}}.a\nSELECT 1\nCOMMENT 'a'",
		"ALTER TABLE {{db}}.a\nDROP COLUMN x",
		"ALTER TABLE {{db}}.not_there\nADD COLUMN IF NOT EXISTS x Int8 COMMENT 'x'",
	} {
		if _, err := Parse([]Migration{{Version: 1, Name: "one", Text: text + ";\n"}}); err == nil || !strings.Contains(err.Error(), "0001_one, statement 1") {
			t.Errorf("%s\nwas taken, or refused with %v", text, err)
		}
	}
}

const evolving = `CREATE TABLE IF NOT EXISTS {{db}}.people_log
(
    customer_id String COMMENT 'It''s a customer, (one).' CODEC(ZSTD(1)),
    ` + "`from`" + ` LowCardinality(Nullable(String)) COMMENT 'From, where.',
    n Map(String, Tuple(a String, b DateTime64(3, 'UTC'))) COMMENT 'N.',
    _version UInt64 MATERIALIZED bitOr(1, 2) COMMENT 'Version.' CODEC(Delta, ZSTD(1)),
    PROJECTION p (SELECT max(n) GROUP BY customer_id)
)
ENGINE = ReplacingMergeTree(_version)
PARTITION BY n
ORDER BY (customer_id, n)
SETTINGS index_granularity = 8192
COMMENT 'People.';
CREATE TABLE IF NOT EXISTS {{db}}.small_log
(
    n Int8 COMMENT 'N.'
)
ENGINE = ReplacingMergeTree
ORDER BY n
COMMENT 'Small.';
CREATE OR REPLACE VIEW {{db}}.people
(
    n Int8 COMMENT 'N.'
)
AS SELECT n
FROM {{db}}.people_log FINAL
COMMENT 'People, once.';
-- later;
ALTER TABLE {{db}}.people_log
ADD COLUMN IF NOT EXISTS more String COMMENT 'More.' CODEC(ZSTD(3));
ALTER TABLE {{db}}.small_log
ADD COLUMN IF NOT EXISTS more String COMMENT 'More.';
`

// TestLayouts: the same file for one server, word for word, and for a cluster.
func TestLayouts(t *testing.T) {
	statements, err := Parse([]Migration{{Version: 1, Name: "one", Text: evolving}})
	if err != nil {
		t.Fatal(err)
	}
	var one, many []string
	for i := range statements[0] {
		one = append(one, Layout{Database: "d"}.Statements(&statements[0][i])...)
		many = append(many, Layout{Database: "d", Cluster: "c"}.Statements(&statements[0][i])...)
	}
	if got, want := strings.Join(one, ";\n")+";\n", strings.ReplaceAll(strings.ReplaceAll(evolving, "-- later;\n", ""), "{{db}}", "d"); got != want {
		t.Errorf("for one server:\n%s\nwant the file's text:\n%s", got, want)
	}
	golden(t, "testdata/layout.sql", strings.Join(many, ";\n\n")+";\n")

	final := objects(statements)
	var names []string
	for i := range final {
		s := &final[i]
		for _, c := range s.Columns {
			names = append(names, s.Name+"."+c.Name+" "+c.Type+" "+c.Default)
		}
	}
	for _, want := range []string{"people_log.from LowCardinality(Nullable(String)) ", "people_log.n Map(String, Tuple(a String, b DateTime64(3, 'UTC'))) ", "people_log._version UInt64 MATERIALIZED bitOr(1, 2)", "people_log.more String ", "small_log.more String "} {
		if !slices.Contains(names, want) {
			t.Errorf("no %q among %q", want, names)
		}
	}
	if c := final[1].Columns[0].Comment; c != "It's a customer, (one)." {
		t.Errorf("comment %q", c)
	}
}

// TestCluster is the DDL of a cluster to read: everything but the columns and the text
// of views, which are those of one server (TestLayouts; the engine reads all of it in
// sink/migrate).
func TestCluster(t *testing.T) {
	l := Layout{Database: "lapwing", Cluster: "main"}
	var b strings.Builder
	b.WriteString(l.CreateDatabase() + ";\n")
	statements := parsed(t)
	for _, text := range l.Bookkeeping() {
		b.WriteString("\n" + shorter(text) + ";\n")
	}
	for i := range statements {
		for n := range statements[i] {
			for _, text := range l.Statements(&statements[i][n]) {
				b.WriteString("\n" + shorter(text) + ";\n")
			}
		}
	}
	golden(t, "testdata/cluster.sql", b.String())
}

// selected is where that begins.
var selected = regexp.MustCompile(`(?m)^AS (SELECT|WITH)`)

// shorter leaves out columns, and what a view selects.
func shorter(sql string) string {
	if strings.HasPrefix(sql, "ALTER") {
		return sql
	}
	head, rest, _ := strings.Cut(sql, "\n")
	if columns, after, ok := strings.Cut(rest, "\n)\n"); ok && strings.HasPrefix(rest, "(\n") {
		var kept []string
		for line := range strings.SplitSeq(columns, "\n") {
			if strings.HasPrefix(line, "    PROJECTION") {
				kept = append(kept, line)
			}
		}
		rest = strings.Join(append([]string{"(", "    …"}, append(kept, ")\n"+after)...), "\n")
	}
	if at := selected.FindStringIndex(rest); at != nil {
		rest = rest[:at[0]] + "AS SELECT …"
	}
	return head + "\n" + rest
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; read the difference, then go test ./schemas/clickhouse -update:\n%s", path, got)
	}
}

func TestReadRefusesGapsAndNames(t *testing.T) {
	for _, names := range [][]string{{"0002_a.sql"}, {"0001_a.sql", "0003_b.sql"}, {"0001_a.sql", "0001_b.sql"}, {"1_a.sql"}, {"0001.sql"}, {"x_a.sql"}} {
		files := fstest.MapFS{}
		for _, name := range names {
			files[name] = &fstest.MapFile{Data: []byte("SELECT 1;\n")}
		}
		if _, err := read(files); err == nil {
			t.Errorf("%v was taken", names)
		}
	}
}

func TestSplit(t *testing.T) {
	m := Migration{Text: "-- a comment;\nCREATE TABLE {{db}}.a\n-- inside;\n(x Int8 DEFAULT ';');\n\nCREATE TABLE {{db}}.b (y Int8)\n"}
	got := m.split()
	want := []string{"CREATE TABLE {{db}}.a\n(x Int8 DEFAULT ';')", "CREATE TABLE {{db}}.b (y Int8)"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNames(t *testing.T) {
	for _, l := range []Layout{{}, {Database: "1a"}, {Database: "a b"}, {Database: "a;DROP"}, {Database: "a`"}, {Database: "ä"}, {Database: "a.b"}, {Database: "a", Cluster: "b'"}, {Database: "a", Cluster: "b c"}, {Database: "a", Cluster: strings.Repeat("c", 64)}} {
		if l.Check() == nil {
			t.Errorf("%+v was taken", l)
		}
	}
	if err := (Layout{Database: "lapwing", Cluster: "eu-1.main"}).Check(); err != nil {
		t.Error(err)
	}
	if got := fmt.Sprint(Layout{Database: "d"}.OnCluster(), Layout{Cluster: "c"}.OnCluster()); got != " ON CLUSTER 'c'" {
		t.Errorf("%q", got)
	}
}
