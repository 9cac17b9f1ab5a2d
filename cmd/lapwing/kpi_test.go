// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/schemas/event"
	"lapwing/sink/kpi"
	"lapwing/stream"
)

// lapwing runs one command with an environment.
func lapwing(env map[string]string, args ...string) (code int, stdout, stderr string) {
	var out, bad bytes.Buffer
	code = run(context.Background(), args, func(name string) string { return env[name] }, strings.NewReader(""), &out, &bad)
	return code, out.String(), bad.String()
}

// TestKPIWithoutClickHouse: the catalogue needs no server, wrong words are usage
// errors, and a server that is not there is said to be so.
func TestKPIWithoutClickHouse(t *testing.T) {
	code, out, _ := lapwing(nil, "kpi", "list")
	for _, k := range kpi.Catalogue() {
		if code != exitFine || !strings.Contains(out, k.Name+" – "+k.Title+" (view "+k.View+")") {
			t.Errorf("kpi list: exit %d, without %s:\n%s", code, k.Name, out)
		}
	}
	var list []map[string]string
	code, out, _ = lapwing(nil, "kpi", "--format", "json")
	if err := json.Unmarshal([]byte(out), &list); code != exitFine || err != nil || len(list) != len(kpi.Catalogue()) {
		t.Errorf("kpi list as JSON: exit %d, %v", code, err)
	}
	for _, args := range [][]string{{"kpi", "Churn"}, {"kpi", "chrun"}, {"kpi", "describe", "churnn"}} {
		if code, _, bad := lapwing(nil, args...); code != exitUsage || !strings.Contains(bad, "`lapwing kpi list` lists them; did you mean `churn`?") {
			t.Errorf("%v: exit %d, %s", args, code, bad)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"kpi", "list", "churn"}, "want `lapwing kpi churn`, or `lapwing kpi describe churn`"},
		{[]string{"kpi", "describe", "churn", "--format", "json"}, "`lapwing kpi list --format json`"},
		{[]string{"kpi", "campaign-lift", "--by", "week"}, "campaign-lift is not by period"},
		{[]string{"kpi", "flow-by-hour", "--by", "day"}, "flow-by-hour is not by period"},
		{[]string{"dead-letters", "-c", "lapwing.yaml", "--cause", "too_large,foo"}, `--cause "foo" is no cause of dead letters: want future_time, invalid_envelope,`},
	} {
		if code, out, bad := lapwing(nil, c.args...); code != exitUsage || out != "" || !strings.Contains(bad, c.want) {
			t.Errorf("%v: exit %d, want it refused with %q\n%s%s", c.args, code, c.want, out, bad)
		}
	}
	for _, cause := range append(slices.Clone(event.Causes), stream.BadEnvelope) { // they pass, and the file is looked for
		if code, _, bad := lapwing(nil, "dead-letters", "-c", "no-such-file.yaml", "--cause", string(cause)); code != exitInput {
			t.Errorf("cause %s: exit %d, %s", cause, code, bad)
		}
	}
	for want, all := range map[int][][]string{
		exitUsage: {
			{"kpi", "nonsense"},
			{"kpi", "churn", "--format", "xml"},
			{"kpi", "churn", "--by", "year"},
			{"kpi", "churn", "flow"},
			{"kpi", "describe"},
			{"kpi", "describe", "nonsense"},
			{"kpi", "churn", "--database", "a;b"},
			{"kpi", "churn", "--clickhouse", "https://host"},
			{"migrate", "--apply", "--dry-run"},
			{"migrate", "--roles", "--apply"},
			{"migrate", "--dictionary", "--dry-run"},
			{"migrate", "--cluster", "a'b"},
			{"migrate", "now"},
		},
		exitUnreachable: {{"kpi", "churn", "--clickhouse", "127.0.0.1:1"}, {"migrate", "--clickhouse", "127.0.0.1:1"}},
		exitInput:       {{"kpi", "churn", "-c", "no-such-file.yaml"}},
	} {
		for _, args := range all {
			code, out, bad := lapwing(nil, args...)
			if code != want || out != "" || !strings.HasPrefix(bad, "lapwing: ") || strings.Count(bad, "\n") != 1 {
				t.Errorf("%v: exit %d, want %d\n%s%s", args, code, want, out, bad)
			}
		}
	}
}

// TestConnectionOrder: a flag counts before the environment, that before the file.
func TestConnectionOrder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lapwing.yaml")
	if err := os.WriteFile(file, []byte("clickhouse: {addresses: [\"file:1\"], database: d1, user: u1, password: p1}\nother: {a: 1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{clickHouseVariable: "clickhouse://u2:p2@env:2/d2?secure=true"}
	for name, c := range map[string]struct {
		flags clickHouseFlags
		env   map[string]string
		want  string
	}{
		"default":     {clickHouseFlags{}, nil, "127.0.0.1:9000 lapwing default  false"},
		"file":        {clickHouseFlags{config: file}, nil, "file:1 d1 u1 p1 false"},
		"environment": {clickHouseFlags{config: file}, env, "env:2 d2 u2 p2 true"},
		"flags":       {clickHouseFlags{config: file, address: "flag:3", user: "u3", password: "p3", database: "d3"}, nil, "flag:3 d3 u3 p3 false"},
		"some flags":  {clickHouseFlags{config: file, database: "d3"}, env, "env:2 d3 u2 p2 true"},
	} {
		got, err := c.flags.connection(func(name string) string { return c.env[name] })
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		tls := "false"
		if got.TLS {
			tls = "true"
		}
		if text := strings.Join([]string{got.Addresses[0], got.Database, got.User, got.Password, tls}, " "); text != c.want {
			t.Errorf("%s: got %q, want %q", name, text, c.want)
		}
	}
}

// TestMigrateAndKPI: migrate reports and changes nothing, --apply makes the tables,
// and then every KPI can be asked; before, kpi says what to do.
func TestMigrateAndKPI(t *testing.T) {
	server := embeddedtest.ClickHouseForTest(t)
	env := map[string]string{clickHouseVariable: "clickhouse://" + server.User + ":" + server.Password + "@" + server.NativeAddr + "/fresh"}
	for _, step := range []struct {
		args     []string
		code     int
		out, bad string
	}{
		{[]string{"kpi", "churn"}, exitInput, "", "lapwing migrate --apply"},
		{[]string{"migrate"}, exitInput, "0001_logs: pending", "lapwing migrate --apply"},
		{[]string{"migrate", "--dry-run"}, exitFine, "CREATE TABLE IF NOT EXISTS fresh.stage_changes_log\n", ""},
		{[]string{"migrate"}, exitInput, "0001_logs: pending", "lapwing migrate --apply"}, // it only said so
		{[]string{"migrate", "--apply"}, exitFine, "0001_logs: applied", ""},
		{[]string{"migrate", "--apply"}, exitFine, "up to date", ""},
		{[]string{"migrate"}, exitFine, "0001_logs: applied 2", ""},
		{[]string{"migrate", "--dry-run"}, exitFine, "-- database fresh is up to date", ""},
		{[]string{"migrate", "--cluster", "main"}, exitInput, "", "made for one server"},
		{[]string{"kpi", "churn"}, exitFine, "no data yet", ""},
		{[]string{"kpi", "kpi_churn", "--format", "json", "--by", "week"}, exitFine, "[]", ""},
		{[]string{"kpi", "totals", "--format", "csv"}, exitFine, "event,orders,customers,revenue", ""},
		{[]string{"kpi", "describe", "churn"}, exitFine, "\nDenominator  customers in a stage neither churned nor first at the start\n", ""},
		{[]string{"kpi", "carts", "--param", "rest_minutes=soon"}, exitInput, "", "want a whole number"},
		{[]string{"kpi", "carts", "--param", "rest=5"}, exitInput, "", "lapwing kpi describe carts"},
		{[]string{"kpi", "lapsing-visits"}, exitFine, "no data yet", ""},
		{[]string{"kpi", "keep"}, exitFine, "kpi_totals (", ""},
	} {
		code, out, bad := lapwing(env, step.args...)
		if code != step.code || !strings.Contains(out, step.out) || !strings.Contains(bad, step.bad) || step.bad == "" && bad != "" {
			t.Errorf("%v: exit %d, want %d, %q and %q\n%s%s", step.args, code, step.code, step.out, step.bad, out, bad)
		}
	}

	conn, err := clickhouse.Open(server.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()

	// What is kept is told to be, also beside what programs read.
	keeping := kpi.Keeping{Database: "fresh", Slow: 0, Done: func(_ kpi.Kept, err error) error { return err }}
	if err := kpi.Keep(t.Context(), conn, keeping); err != nil {
		t.Fatal(err)
	}
	for _, format := range []kpi.Format{kpi.FormatTable, kpi.FormatJSON, kpi.FormatCSV} {
		for _, fresh := range []bool{false, true} {
			_, out, bad := lapwing(env, "kpi", "totals", "--format", string(format), fmt.Sprintf("--fresh=%t", fresh))
			told, elsewhere := bad, out
			if format == kpi.FormatTable {
				told, elsewhere = out, bad
			}
			if strings.Contains(told, "when it was kept; --fresh computes it now") == fresh || strings.Contains(elsewhere, "kept") {
				t.Errorf("%s, --fresh=%t:\n%s%s", format, fresh, out, bad)
			}
		}
	}

	// Somebody changes the tables by hand.
	for _, step := range []struct {
		change, says string
		code         int
	}{
		{"ALTER TABLE fresh.activity_log ADD COLUMN note String", "activity_log.note is String, which this lapwing does not know", exitFine},
		{"ALTER TABLE fresh.activity_log DROP COLUMN currency", "ALTER TABLE fresh.activity_log ADD COLUMN `currency`", exitInput},
	} {
		if err := conn.Exec(t.Context(), step.change); err != nil {
			t.Fatal(err)
		}
		if code, out, bad := lapwing(env, "migrate"); code != step.code || !strings.Contains(out, step.says) || (code == exitInput) != strings.Contains(bad, "stand in the way") {
			t.Errorf("after %s: exit %d, want %d and %q\n%s%s", step.change, code, step.code, step.says, out, bad)
		}
	}
}
