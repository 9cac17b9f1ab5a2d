// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestMigrationsAreNumberedAndSplit(t *testing.T) {
	all, err := Migrations()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		for i, s := range m.Statements("some_db") {
			if !strings.HasPrefix(s, "CREATE TABLE IF NOT EXISTS some_db.") && !strings.HasPrefix(s, "CREATE OR REPLACE VIEW some_db.") {
				t.Errorf("statement %d of %04d_%s may not be repeated, or names no database: %.60s…", i+1, m.Version, m.Name, s)
			}
			if strings.Contains(s, Placeholder) || strings.HasSuffix(s, ";") {
				t.Errorf("statement %d of %04d_%s is not ready to be sent", i+1, m.Version, m.Name)
			}
			if open, closed := strings.Count(s, "("), strings.Count(s, ")"); open != closed {
				t.Errorf("statement %d of %04d_%s has %d ( and %d ): cut at the wrong place", i+1, m.Version, m.Name, open, closed)
			}
		}
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

func TestStatements(t *testing.T) {
	m := Migration{Text: "-- a comment;\nCREATE TABLE {{db}}.a\n-- inside;\n(x Int8 DEFAULT ';');\n\nCREATE TABLE {{db}}.b (y Int8)\n"}
	got := m.Statements("d")
	want := []string{"CREATE TABLE d.a\n(x Int8 DEFAULT ';')", "CREATE TABLE d.b (y Int8)"}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %q, want %q", got, want)
	}
}
