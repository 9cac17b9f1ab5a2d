// SPDX-License-Identifier: Apache-2.0

package chfront

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		sql  string
		want statement // bare "" stands for the statement itself
	}{
		{"SELECT 1", statement{kind: kindSelect}},
		{" (select 1) union all (select 2)", statement{kind: kindSelect}},
		{"WITH 1 AS x SELECT x", statement{kind: kindSelect}},
		{"WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", statement{kind: kindOther}},
		{"-- SELECT\n/* SELECT */ # SELECT\nDROP TABLE t", statement{kind: kindOther}},
		{"SELECT 1 FORMAT JSON", statement{kind: kindSelect, format: "JSON", bare: "SELECT 1 "}},
		{"SELECT 1 FORMAT JSON SETTINGS a = 1", statement{kind: kindSelect, format: "JSON", bare: "SELECT 1  SETTINGS a = 1"}},
		{"SELECT 'FORMAT JSON', format(a), `FORMAT` FROM t", statement{kind: kindSelect}},
		{"SELECT 'it''s \\' FORMAT', 1 /* FORMAT CSV */", statement{kind: kindSelect}},
		{"SHOW TABLES format TSV", statement{kind: kindOther, format: "TSV", bare: "SHOW TABLES "}},
		{"set max_threads = 1", statement{kind: kindSet}},
		{"INSERT INTO t", statement{kind: kindInsert, format: "Values", head: "INSERT INTO t"}},
		{"INSERT INTO t (a, `VALUES`) values (1, 2)", statement{kind: kindInsert, format: "Values", head: "INSERT INTO t (a, `VALUES`) ", data: " (1, 2)"}},
		{"INSERT INTO values VALUES (1)", statement{kind: kindInsert, format: "Values", head: "INSERT INTO values ", data: " (1)"}},
		{"INSERT INTO t SETTINGS a = 1 VALUES (1)", statement{kind: kindInsert, format: "Values", head: "INSERT INTO t SETTINGS a = 1 ", data: " (1)"}},
		{"INSERT INTO t FORMAT Native\n\x00'\n", statement{kind: kindInsert, format: "Native", head: "INSERT INTO t ", data: "\x00'\n"}},
		{"INSERT INTO t FORMAT CSV \r\n1\n", statement{kind: kindInsert, format: "CSV", head: "INSERT INTO t ", data: "1\n"}},
		{"INSERT INTO t FORMAT Values (1)", statement{kind: kindInsert, format: "Values", head: "INSERT INTO t ", data: "(1)"}},
		{"INSERT INTO t FORMAT CSV;\n\n1", statement{kind: kindInsert, format: "CSV", head: "INSERT INTO t ", data: "\n1"}},
		{"INSERT INTO t SELECT * FROM u", statement{kind: kindOther}},
		{"INSERT INTO t SELECT input FROM u", statement{kind: kindOther}},
		{"INSERT INTO t SELECT * FROM input('a Int8') FORMAT CSV 1", statement{kind: kindLossy}},
		{"INSERT INTO t (SELECT * FROM (SELECT 1, * FROM\ninput /* x */ ('a Int8')))", statement{kind: kindInsert, format: "Values", head: "INSERT INTO t (SELECT * FROM (SELECT 1, * FROM\ninput /* x */ ('a Int8')))"}},
		{"INSERT INTO t FROM INFILE 'x' FORMAT CSV", statement{kind: kindOther}},
	} {
		if c.want.bare == "" {
			c.want.bare = c.sql
		}
		if got := parse(c.sql); got != c.want {
			t.Errorf("%q:\nhave %+v\nwant %+v", c.sql, got, c.want)
		}
	}
	for _, nothing := range []string{"", " \n", "-- x", "/* x", "# SELECT 1"} {
		if got := parse(nothing); got != (statement{}) {
			t.Errorf("%q: %+v", nothing, got)
		}
	}
}

func TestInsertTarget(t *testing.T) {
	for head, want := range map[string]string{
		"INSERT INTO t":                               "(SELECT * FROM t)",
		"INSERT INTO t (a, `b c`) ":                   "(SELECT a, `b c` FROM t)",
		"insert into table `my db`.t SETTINGS a = 1 ": "(SELECT * FROM `my db`.t)",
		"INSERT INTO d.t(* EXCEPT(b)) SETTINGS a = 1": "(SELECT * EXCEPT(b) FROM d.t)",
		"INSERT INTO":                                 "(SELECT * FROM )",
	} {
		if got := insertTarget(head); got != want {
			t.Errorf("%q: have %q, want %q", head, got, want)
		}
	}
}

func TestQuoting(t *testing.T) {
	if got := quote("it's \\ \x00"); got != `'it\'s \\ \0'` {
		t.Error(got)
	}
	if got := identifier("a`b\\"); got != "`a\\`b\\\\`" {
		t.Error(got)
	}
}

// FuzzParse holds for any text: no panic, no endless loop, and of an insert
// nothing between the head, the FORMAT clause and the data gets lost or doubled.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"INSERT INTO t (a) FORMAT CSV\n1", "SELECT 'a\\", "/*", "INSERT INTO t VALUES ('", "SELECT 1 FORMAT", "INSERT INTO t SELECT * FROM input('x')", "((((", "`"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		st := parse(sql)
		if st.kind == kindInsert && (!strings.HasPrefix(sql, st.head) || !strings.HasSuffix(sql, st.data) || len(st.head)+len(st.data) > len(sql)) {
			t.Errorf("%q: %+v", sql, st)
		}
		insertTarget(sql)
	})
}
