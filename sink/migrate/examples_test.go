// SPDX-License-Identifier: Apache-2.0

package migrate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"lapwing/deploy/embedded"
	schema "lapwing/schemas/clickhouse"
	"lapwing/sink/sinktest"
)

// answer is what a client made of a query.
type answer struct {
	Columns []string `json:"columns"`
	Rows    []string `json:"rows"`
}

// asked are the examples of the data dictionary as three clients are asked for them:
// each row as one text, that the server makes.
func asked(t *testing.T, d *sinktest.Database) (views, queries, plain []string) {
	t.Helper()
	examples, err := schema.Examples()
	if err != nil {
		t.Fatal(err)
	}
	views = slices.Sorted(maps.Keys(examples))
	for _, view := range views {
		query := schema.For(d.Name, examples[view].Query)
		plain = append(plain, query)
		queries = append(queries, "SELECT toString(tuple(*)) AS line FROM (\n"+query+"\n)")
	}
	return views, queries, plain
}

// TestExamplesInGo: every example of the data dictionary runs with the Go driver, as it
// stands there, and most of them show something of a history.
func TestExamplesInGo(t *testing.T) {
	d, _ := history(t, "examples")
	views, _, plain := asked(t, d)
	some := 0
	for i, query := range plain {
		rows, err := d.Conn.Query(context.Background(), query)
		if err != nil {
			t.Errorf("%s: %v", views[i], err)
			continue
		}
		if rows.Next() {
			some++
		}
		if err := rows.Err(); err != nil {
			t.Errorf("%s: %v", views[i], err)
		}
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	}
	if some < 25 {
		t.Errorf("only %d of %d examples show a row", some, len(plain))
	}
}

// TestExamplesOverHTTP: the same over HTTP, as curl asks, and with the Python client give
// the rows that the Go driver gives.
func TestExamplesOverHTTP(t *testing.T) {
	d, server := history(t, "examples")
	views, queries, _ := asked(t, d)
	clients := map[string][]answer{"HTTP": overHTTP(t, server, queries)}
	if python := pythonWithClient(t); python != "" {
		clients["Python"] = inPython(t, python, server, queries)
	}
	for name, answers := range clients {
		for i, query := range queries {
			text, err := d.Text(context.Background(), strings.TrimPrefix(query, "SELECT toString(tuple(*)) AS line FROM "))
			if err != nil {
				t.Errorf("%s: %v", views[i], err)
				continue
			}
			want := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
			if text == "" {
				want = nil
			}
			got := answers[i].Rows
			if strings.Contains(query, "LIMIT") { // which of equal rows is nobody's promise
				if len(got) != len(want) {
					t.Errorf("%s, %s: %d rows, with Go %d", name, views[i], len(got), len(want))
				}
				continue
			}
			slices.Sort(got)
			slices.Sort(want)
			named := len(want) == 0 || slices.Equal(answers[i].Columns, []string{"line"}) // without rows Python learns no names
			if !slices.Equal(got, want) || !named {
				t.Errorf("%s, %s: columns %v, rows\n%s\nwith Go\n%s", name, views[i], answers[i].Columns, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
}

func overHTTP(t *testing.T, server *embedded.ClickHouse, queries []string) []answer {
	t.Helper()
	var all []answer
	for _, query := range queries {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+server.HTTPAddr+"/?default_format=JSONCompact", strings.NewReader(query))
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
		var got struct {
			Meta []struct{ Name string }
			Data [][]string
		}
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		var one answer
		for _, column := range got.Meta {
			one.Columns = append(one.Columns, column.Name)
		}
		for _, row := range got.Data {
			one.Rows = append(one.Rows, row[0])
		}
		all = append(all, one)
	}
	return all
}

// connect is the version of ClickHouse's Python client that the examples run with.
const connect = "1.12.0"

// pythonWithClient is a Python that has ClickHouse's client, in an environment of its own
// in the user's cache, which is made once; "" if it is not to be had, which is a failure
// with CI=true.
func pythonWithClient(t *testing.T) string {
	t.Helper()
	python, err := makePython(t.Context())
	switch {
	case err == nil:
		return python
	case os.Getenv("CI") == "true":
		t.Errorf("make a Python with clickhouse-connect: %v", err)
	default:
		t.Logf("no Python with clickhouse-connect, so its queries are not tested: %v", err)
	}
	return ""
}

func makePython(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the user's cache: %w", err)
	}
	home := filepath.Join(cache, "lapwing", "python-clickhouse-connect-"+connect)
	python := filepath.Join(home, "bin", "python")
	run := func(name string, args ...string) error {
		if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
		}
		return nil
	}
	if run(python, "-c", "import clickhouse_connect") == nil {
		return python, nil
	}
	// What was left half made is made anew.
	if err := run("python3", "-m", "venv", "--clear", home); err != nil {
		return "", err
	}
	if err := run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "clickhouse-connect=="+connect); err != nil {
		return "", err
	}
	return python, run(python, "-c", "import clickhouse_connect")
}

func inPython(t *testing.T, python string, server *embedded.ClickHouse, queries []string) []answer {
	t.Helper()
	host, port, err := net.SplitHostPort(server.HTTPAddr)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	input, err := json.Marshal(map[string]any{"host": host, "port": number, "user": server.User, "password": server.Password, "database": server.Database, "queries": queries})
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), python, "testdata/examples.py")
	var bad bytes.Buffer
	command.Stdin, command.Stderr = bytes.NewReader(input), &bad
	output, err := command.Output()
	if err != nil {
		t.Fatalf("the Python client: %v\n%s", err, bad.Bytes())
	}
	var all []answer
	if err := json.Unmarshal(output, &all); err != nil || len(all) != len(queries) {
		t.Fatalf("the Python client answered %d of %d queries, %v", len(all), len(queries), err)
	}
	return all
}
