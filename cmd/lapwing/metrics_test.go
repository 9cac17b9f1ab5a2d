// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"lapwing/schemas/definition"
	"lapwing/schemas/presets"
	"lapwing/sink"
	"lapwing/sink/writer"
	"lapwing/stream"
)

// metric is what the code says of one metric.
type metric struct {
	name, kind, help string
	labels           []string
}

// recorder takes in what is registered, also what has no value yet.
type recorder struct {
	t       *testing.T
	all     map[string]metric
	visible *prometheus.Registry // the same, each with one value
}

var descText = regexp.MustCompile(`^Desc\{fqName: "([^"]*)", help: ("(?:[^"\\]|\\.)*"), (?:unit: "[^"]*", )?constLabels: \{\}, variableLabels: \{([^}]*)\}\}$`)

func (r *recorder) Register(c prometheus.Collector) error {
	if err := r.visible.Register(c); err != nil {
		return err
	}
	descs := make(chan *prometheus.Desc, 16)
	c.Describe(descs)
	close(descs)
	for d := range descs {
		parts := descText.FindStringSubmatch(d.String())
		if parts == nil {
			r.t.Fatalf("this is not how a description was: %s", d)
		}
		m := metric{name: parts[1], labels: strings.FieldsFunc(parts[3], func(c rune) bool { return c == ',' || c == ' ' })}
		if err := json.Unmarshal([]byte(parts[2]), &m.help); err != nil {
			r.t.Fatal(err)
		}
		values := make([]string, len(m.labels))
		for i := range values {
			values[i] = "0"
		}
		switch v := c.(type) {
		case *prometheus.CounterVec:
			m.kind = "counter"
			v.WithLabelValues(values...)
		case *prometheus.GaugeVec:
			m.kind = "gauge"
			v.WithLabelValues(values...)
		case *prometheus.HistogramVec:
			m.kind = "histogram"
			v.WithLabelValues(values...)
		case prometheus.Histogram: // Gauge and Counter have no Observe
			m.kind = "histogram"
		case prometheus.Gauge: // Counter has no Set
			m.kind = "gauge"
		case prometheus.Counter:
			m.kind = "counter"
		case prometheus.GaugeFunc: // which all the others are, too
			m.kind = "gauge"
		default:
			r.t.Fatalf("%s is a %T", m.name, c)
		}
		r.all[m.name] = m
	}
	return nil
}

func (r *recorder) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := r.Register(c); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *recorder) Unregister(c prometheus.Collector) bool { return r.visible.Unregister(c) }

// ourMetrics are the metrics of a process with all roles, but for the Kafka clients' and
// Go's own.
func ourMetrics(t *testing.T) *recorder {
	t.Helper()
	r := &recorder{t: t, all: map[string]metric{}, visible: prometheus.NewRegistry()}
	source, _ := presets.Get("customer-value")
	def, _ := definition.Parse("preset", source)
	cfg := stream.Default()
	cfg.Brokers, cfg.Instance, cfg.Inputs = []string{"127.0.0.1:1"}, "test", []stream.Input{{Topic: "events"}}
	deps := stream.Deps{Log: zap.NewNop(), Registerer: r}
	if _, err := stream.NewWorker(cfg, def, deps); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.NewRouter(cfg, deps); err != nil {
		t.Fatal(err)
	}
	conn, err := writer.Open(writer.DefaultConnection()) // connects when it is used
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // never used
	into := sink.Default()
	into.Brokers = cfg.Brokers
	if _, err := sink.New(into, sink.Deps{Log: zap.NewNop(), Registerer: r, ClickHouse: conn}); err != nil {
		t.Fatal(err)
	}
	return r
}

// "Prometheus metrics in base units": names, units, help texts, and labels of which
// none can have as many values as there are customers.
func TestMetricsKeepToTheRules(t *testing.T) {
	r := ourMetrics(t)
	problems, err := testutil.GatherAndLint(r.visible)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	few := []string{
		"role", "result", "cause", "kind", "backfill", "limit", "lane", "topic", "partition", "slot", "where", "table", "class", "code",
	}
	for _, m := range r.all {
		if !strings.HasPrefix(m.name, "lapwing_") || !strings.HasSuffix(m.help, ".") {
			t.Errorf("%s (%q): want the prefix lapwing_ and a help text that is a sentence", m.name, m.help)
		}
		for _, l := range m.labels {
			if !slices.Contains(few, l) {
				t.Errorf("%s has the label %s: if it can have few values only, add it to the list here", m.name, l)
			}
		}
	}
	if len(r.all) < 20 {
		t.Errorf("only %d metrics were found", len(r.all))
	}
}

// stream/METRICS.md is made of the code: UPDATE_METRICS=1 writes it anew.
func TestMetricsDocument(t *testing.T) {
	r := ourMetrics(t)
	var b strings.Builder
	b.WriteString("# Metrics\n\nServed at `/metrics`. Made of the code by `UPDATE_METRICS=1 go test ./cmd/lapwing -run TestMetricsDocument`. The alerts in\n" +
		"[deploy/alerts.yaml](../deploy/alerts.yaml) and the panels of [deploy/dashboard.json](../deploy/dashboard.json) are over these.\n\n" +
		"The Kafka clients' own are `lapwing_kafka_*` (by group and slot), Go's and the process's `go_*` and `process_*`.\n\n" +
		"| Metric | Kind | Labels | What it says |\n|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(r.all)) {
		m := r.all[name]
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.name, m.kind, strings.Join(m.labels, ", "), m.help)
	}
	file := filepath.Join("..", "..", "stream", "METRICS.md")
	if os.Getenv("UPDATE_METRICS") != "" {
		if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		t.Errorf("stream/METRICS.md is not what the code says; UPDATE_METRICS=1 go test ./cmd/lapwing -run TestMetricsDocument writes it. Want\n%s", b.String())
	}
}

var metricName = regexp.MustCompile(`\blapwing_[a-z0-9_]+`)

// known fails for every metric of an expression that the code does not have.
func (r *recorder) known(where, expression string) {
	r.t.Helper()
	names := metricName.FindAllString(expression, -1)
	if len(names) == 0 {
		r.t.Errorf("%s: %q names no metric of ours", where, expression)
	}
	for _, name := range names {
		base := name
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if cut, ok := strings.CutSuffix(name, suffix); ok && r.all[cut].kind == "histogram" {
				base = cut
			}
		}
		if _, ok := r.all[base]; !ok {
			r.t.Errorf("%s: there is no metric %s", where, name)
		}
		if r.all[base].kind == "histogram" && base == name {
			r.t.Errorf("%s: %s is a histogram: want its _bucket, _sum or _count", where, name)
		}
		if r.all[base].kind == "counter" && !regexp.MustCompile(`(rate|increase)\(`+name+`\b`).MatchString(expression) {
			r.t.Errorf("%s: %s is a counter: want its rate or increase", where, name)
		}
	}
	if strings.Count(expression, "(") != strings.Count(expression, ")") {
		r.t.Errorf("%s: %q has brackets without partners", where, expression)
	}
}

// Every alert is over metrics that exist, and says what to do.
func TestAlerts(t *testing.T) {
	r := ourMetrics(t)
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []struct {
				Alert       string            `yaml:"alert"`
				Expr        string            `yaml:"expr"`
				For         string            `yaml:"for"`
				Labels      map[string]string `yaml:"labels"`
				Annotations map[string]string `yaml:"annotations"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, g := range file.Groups {
		for _, a := range g.Rules {
			r.known(a.Alert, a.Expr)
			if seen[a.Alert] || !strings.HasPrefix(a.Alert, "Lapwing") {
				t.Errorf("alert %q: want a name of its own that begins with Lapwing", a.Alert)
			}
			seen[a.Alert] = true
			if s := a.Labels["severity"]; s != "page" && s != "ticket" {
				t.Errorf("%s has the severity %q: want page or ticket", a.Alert, s)
			}
			for _, must := range []string{"summary", "runbook"} {
				if len(a.Annotations[must]) < 20 {
					t.Errorf("%s has the %s %q: want a sentence", a.Alert, must, a.Annotations[must])
				}
			}
			if !regexp.MustCompile(`^[0-9]+[mh]$`).MatchString(a.For) {
				t.Errorf("%s holds for %q", a.Alert, a.For)
			}
		}
	}
	for _, must := range []string{"Lag", "ClockStandsStill", "SourceStandsStill", "ClockHeldBack", "RestoreTakesLong", "Aborts", "DeadLetters", "SinkBehind", "InputBlocked", "LimitExceeded"} {
		if !seen["Lapwing"+must] {
			t.Errorf("there is no alert Lapwing%s", must)
		}
	}
}

// Every panel is over metrics that exist; each metric that a person would look for has one.
func TestDashboard(t *testing.T) {
	r := ourMetrics(t)
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		UID    string `json:"uid"`
		Panels []struct {
			ID      int    `json:"id"`
			Title   string `json:"title"`
			Type    string `json:"type"`
			GridPos struct{ H, W, X, Y int }
			Targets []struct{ Expr, LegendFormat string }
		} `json:"panels"`
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	ids, all := map[int]bool{}, ""
	for _, p := range board.Panels {
		if p.Title == "" || ids[p.ID] {
			t.Errorf("panel %d %q: want a title and an id of its own", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.GridPos.X+p.GridPos.W > 24 || p.GridPos.W == 0 || p.GridPos.H == 0 {
			t.Errorf("panel %q is outside of the grid: %+v", p.Title, p.GridPos)
		}
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			r.known("panel "+p.Title, target.Expr)
			all += target.Expr + "\n"
		}
	}
	for _, must := range []string{
		"lapwing_events_total", "lapwing_changes_total", "lapwing_lag_records", "lapwing_lag_seconds", "lapwing_clock_seconds", "lapwing_source_clock_seconds",
		"lapwing_source_stalled_seconds", "lapwing_source_holds_lanes", "lapwing_input_blocked_seconds", "lapwing_state_customers",
		"lapwing_commit_seconds_bucket", "lapwing_restore_seconds_bucket", "lapwing_aborts_total", "lapwing_dead_letters_total", "lapwing_state_bytes",
	} {
		if !strings.Contains(all, must) {
			t.Errorf("no panel shows %s", must)
		}
	}
}
