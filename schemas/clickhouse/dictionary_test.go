// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"strings"
	"testing"
)

// TestDictionary: the data dictionary is what the SQL says now, and has every column.
func TestDictionary(t *testing.T) {
	text, err := Dictionary()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "README.md", text)
	objects, err := Objects()
	if err != nil {
		t.Fatal(err)
	}
	for i := range objects {
		o := &objects[i]
		_, section, ok := strings.Cut(text, "\n### "+o.Name+"\n")
		if !ok {
			t.Errorf("%s is missing", o.Name)
			continue
		}
		section, _, _ = strings.Cut(section, "\n### ")
		for _, c := range o.Columns {
			if !strings.Contains(section, "\n| `"+c.Name+"` | `"+c.Type+"` | ") {
				t.Errorf("%s.%s is missing", o.Name, c.Name)
			}
		}
		if o.Kind == View && strings.Count(section, "```sql\n") != 1 {
			t.Errorf("%s has no example", o.Name)
		}
	}
}

func TestExamples(t *testing.T) {
	all, err := readExamples("-- A file.\n-- kpi_a: What is: this?\nSELECT 1\nFROM {{db}}.kpi_a;\n\n-- b: B?\nSELECT 2;\n")
	if err != nil || len(all) != 2 || all["kpi_a"] != (Example{"What is: this?", "SELECT 1\nFROM {{db}}.kpi_a"}) || all["b"].Query != "SELECT 2" {
		t.Errorf("got %+v, %v", all, err)
	}
	for _, text := range []string{"-- a: A?\nSELECT 1\n", "-- a: A?\nSELECT 1;\n-- a: A?\nSELECT 1;\n", "-- a: A?\nSELECT 1; SELECT 2;\n", "-- a: A?\n"} {
		if _, err := readExamples(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
