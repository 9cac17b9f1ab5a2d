// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"lapwing/deploy/embedded"
	schema "lapwing/schemas/clickhouse"
)

var updateRows = flag.Bool("update-rows", false, "write testdata/rows_read.txt anew")

// granule is how many rows ClickHouse reads at least where a table holds as many: how
// far two readings of the same data may lie apart.
const granule = 8192

// TestRowsRead: over a year of the same data each KPI view reads as many rows as
// testdata/rows_read.txt says, and no more; the file says why it may.
func TestRowsRead(t *testing.T) {
	const path = "testdata/rows_read.txt"
	_, server := large(t, 20_000, 2)
	for _, table := range []string{"stage_changes_log", "activity_log", "order_items_log", "refunds_log", "aggregates_log"} {
		ask(t, server, "OPTIMIZE TABLE large."+table+" FINAL") // so that the number of parts does not count
	}
	objects, err := schema.Objects()
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]int{}
	for i := range objects {
		o := &objects[i]
		if o.Kind == schema.Table && strings.HasSuffix(o.Name, "_log") {
			if n, _ := ask(t, server, "SELECT count() FROM large."+o.Name+" FORMAT TSV"); n != "0" {
				rows, err := strconv.Atoi(n)
				if err != nil {
					t.Fatal(err)
				}
				read["rows of "+o.Name] = rows
			}
		}
		if o.Kind != schema.View || !strings.HasPrefix(o.Name, "kpi_") || len(o.Columns) == 0 {
			continue
		}
		grain := slices.ContainsFunc(o.Columns, func(c schema.Column) bool { return c.Name == "grain" })
		dated := slices.ContainsFunc(o.Columns, func(c schema.Column) bool { return c.Name == "period" })
		where := ""
		if grain {
			where = " WHERE grain = 'day'"
		}
		_, read[o.Name] = ask(t, server, "SELECT * FROM large."+o.Name+where+" FORMAT Null")
		if grain && dated {
			_, read[o.Name+", last month"] = ask(t, server, "SELECT * FROM large."+o.Name+where+" AND period >= '1997-12-01' FORMAT Null")
		}
	}
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, _, ok := strings.Cut(string(old), "\n\n")
	if !ok {
		t.Fatalf("%s has no head", path)
	}
	if *updateRows {
		text := head + "\n\n"
		for _, name := range slices.Sorted(maps.Keys(read)) {
			text += fmt.Sprintf("%9d  %s\n", read[name], name)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	allowed := map[string]int{}
	for line := range strings.Lines(string(old)[len(head):]) {
		number, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if n, err := strconv.Atoi(number); err == nil {
			allowed[name] = n
		}
	}
	for _, name := range slices.Sorted(maps.Keys(read)) {
		want, ok := allowed[name]
		switch n := read[name]; {
		case !ok:
			t.Logf("%s reads %d rows; %s does not say how many it may (go test ./sink/kpi -run TestRowsRead -update-rows)", name, n, path)
		case n > want+2*granule || n < want/2-2*granule:
			t.Errorf("%s reads %d rows, %s says %d", name, n, path, want)
		}
	}
	if len(allowed) < 20 {
		t.Errorf("%s has only %d lines", path, len(allowed))
	}
}

// ask is the answer over HTTP, and how many rows were read for it.
func ask(t *testing.T, server *embedded.ClickHouse, query string) (string, int) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+server.HTTPAddr+"/", strings.NewReader(query))
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(server.User, server.Password)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close() // it was read
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s, %v", query, response.Status, body, err)
	}
	var summary struct {
		Rows string `json:"read_rows"`
	}
	header := response.Header.Get("X-ClickHouse-Summary")
	if header == "" { // of a statement that reads nothing
		return strings.TrimSpace(string(body)), 0
	}
	if err := json.Unmarshal([]byte(header), &summary); err != nil {
		t.Fatal(err)
	}
	rows, err := strconv.Atoi(summary.Rows)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(body)), rows
}
