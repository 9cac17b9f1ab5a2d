// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/deploy/embedded"
	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/deploy/embedded/kafkatest"
)

// patience bounds the waiting for other processes.
const patience = time.Minute

// TestServiceScripts runs the commands that need servers, each script with a broker of
// its own: testdata/service/*.txtar. sink.txtar and reconcile.txtar need ClickHouse, too.
func TestServiceScripts(t *testing.T) {
	runServiceScripts(t, "testdata/service")
}

// TestRebuildOnKafka runs the script of lapwing rebuild once more, on Apache Kafka.
func TestRebuildOnKafka(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Apache Kafka")
	}
	kafka := kafkatest.Start(t)
	runServiceScripts(t, "testdata/service/rebuild.txtar", kafka.Addr())
}

// TestApplyOnKafka runs the script of lapwing plan and apply once more, on Apache Kafka.
func TestApplyOnKafka(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Apache Kafka")
	}
	kafka := kafkatest.Start(t)
	runServiceScripts(t, "testdata/service/apply.txtar", kafka.Addr())
}

// runServiceScripts runs a folder's scripts, or one; on a broker that is given, or each
// on one of its own.
func runServiceScripts(t *testing.T, what string, given ...string) {
	t.Helper()
	_, missing := embedded.EnsureLibrary(t.Context(), os.Stderr)
	if missing != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the embedded ClickHouse is not to be had: %v", missing)
		}
		t.Logf("scripts that need ClickHouse are skipped: %v", missing)
	}
	params := testscript.Params{
		Setup: func(e *testscript.Env) error {
			if len(given) > 0 {
				e.Setenv("LAPWING_KAFKA_BROKERS", given[0])
				e.Setenv("HTTP", freeAddress(t))
				e.Setenv("HTTP2", freeAddress(t))
				return nil
			}
			broker, err := embedded.StartBroker(embedded.BrokerConfig{})
			if err != nil {
				return err
			}
			e.Defer(func() { _ = broker.Close() }) // nothing is kept
			e.Setenv("LAPWING_KAFKA_BROKERS", broker.Addrs()[0])
			e.Setenv("HTTP", freeAddress(t))
			e.Setenv("HTTP2", freeAddress(t)) // of a second instance
			if missing == nil && (strings.HasSuffix(e.WorkDir, "sink") || strings.HasSuffix(e.WorkDir, "reconcile")) {
				ch := embeddedtest.ClickHouseForTest(t)
				e.Setenv("LAPWING_CLICKHOUSE", fmt.Sprintf("clickhouse://%s:%s@%s/%s", ch.User, ch.Password, ch.NativeAddr, ch.Database))
			}
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name == "clickhouse" {
				return missing == nil, nil
			}
			return false, fmt.Errorf("unknown condition %s", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":      exits,
			"expand":     expand,
			"answers":    answers,
			"eventually": eventually,
			"sql":        statement,
			"produce":    produce,
		},
		RequireExplicitExec: true,
	}
	if strings.HasSuffix(what, ".txtar") {
		params.Files = []string{what}
	} else {
		params.Dir = what
	}
	testscript.Run(t, params)
}

// freeAddress is a loopback address that nobody listened on a moment ago.
func freeAddress(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// expand replaces ${VARIABLES} in a file.
func expand(ts *testscript.TestScript, _ bool, args []string) {
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// answers waits until the service answers a path with 200 and a text: answers PATH TEXT.
func answers(ts *testscript.TestScript, _ bool, args []string) {
	url := "http://" + ts.Getenv("HTTP") + args[0]
	last := "nothing"
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		response, err := http.Get(url)
		if err != nil {
			last = err.Error()
			continue
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close() // read to its end
		if last = string(body); err == nil && response.StatusCode == http.StatusOK && strings.Contains(last, args[1]) {
			return
		}
	}
	ts.Fatalf("%s did not answer %q within %v; last: %s", url, args[1], patience, last)
}

// eventually repeats a command until its output matches: eventually PATTERN COMMAND…
func eventually(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile(args[0])
	last := ""
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		if last = ts.ReadFile("stdout"); err == nil && pattern.MatchString(last) {
			return
		}
	}
	ts.Fatalf("%s did not print %s within %v; last:\n%s", strings.Join(args[1:], " "), args[0], patience, last)
}

// statement runs SQL on the script's ClickHouse: sql STATEMENT.
func statement(ts *testscript.TestScript, _ bool, args []string) {
	o, err := clickhouse.ParseDSN(ts.Getenv("LAPWING_CLICKHOUSE"))
	ts.Check(err)
	conn, err := clickhouse.Open(o)
	ts.Check(err)
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ts.Check(conn.Exec(ctx, args[0]))
}

// produce writes a record without a key, whatever it is: produce TOPIC VALUE.
func produce(ts *testscript.TestScript, _ bool, args []string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(ts.Getenv("LAPWING_KAFKA_BROKERS")))
	ts.Check(err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ts.Check(client.ProduceSync(ctx, &kgo.Record{Topic: args[0], Value: []byte(args[1])}).FirstErr())
}

// watched is output that a test reads while it is written.
type watched struct {
	lines chan string
	rest  []byte
}

func (w *watched) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		i := bytes.IndexByte(w.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		w.lines <- string(w.rest[:i])
		w.rest = w.rest[i+1:]
	}
}

// TestDemoAndItsWalk runs demo --keep, checks what it prints, and takes the walk that it
// proposes: send an order, see the change and the new total.
func TestDemoAndItsWalk(t *testing.T) {
	embeddedtest.RequireLibrary(t)
	ctx, interrupt := context.WithCancelCause(t.Context())
	defer interrupt(nil)
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	out := &watched{lines: make(chan string, 10_000)}
	var stderr bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"demo", "--keep"}, noEnv, strings.NewReader(""), out, &stderr)
		close(out.lines)
	}()

	var printed strings.Builder
	environment := map[string]string{}
	for line := range out.lines {
		printed.WriteString(line + "\n")
		if name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "="); ok {
			environment[name] = strings.Trim(value, "'")
		}
		if strings.Contains(line, "clickhouse-client") {
			break // the last line
		}
	}
	for _, want := range []string{
		`69,659 purchases by 23,570 customers for 2,500,315\.63 USD`, `as of 30 June 1998`,
		`(?m)^ *1998-06 .*15,238`, `new +at_risk +down +16,513`, `purchase +23,570 +11,662 +49\.5 %`,
	} {
		if !regexp.MustCompile(want).MatchString(printed.String()) {
			t.Errorf("the demo does not print %s", want)
		}
	}
	if t.Failed() || environment[brokersVariable] == "" || environment[clickHouseVariable] == "" {
		t.Fatalf("printed:\n%s\nstandard error:\n%s", printed.String(), stderr.String())
	}

	env := func(name string) string { return environment[name] }
	lapwing := func(args ...string) string {
		t.Helper()
		bounded, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		var stdout, stderr bytes.Buffer
		if code := run(bounded, args, env, strings.NewReader(""), &stdout, &stderr); code != 0 {
			t.Fatalf("lapwing %s ended with %d\n%s%s", strings.Join(args, " "), code, stdout.String(), stderr.String())
		}
		return stdout.String()
	}
	lapwing("send", "00001", "Order Completed", "--at", "1998-07-01T09:00:00Z", "order_id=mine-1", "total=24.90")
	changes := lapwing("tail", "--from-beginning", "--customer", "00001", "-n", "4", "--format", "text")
	if !strings.Contains(changes, "1998-07-01 09:00:00  00001  value: lost → occasional (by Order Completed") {
		t.Errorf("the order's change is not among\n%s", changes)
	}
	total := ""
	for deadline := time.Now().Add(patience); !strings.Contains(total, "2500340.53") && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		total = lapwing("kpi", "totals", "--format", "json")
	}
	if !strings.Contains(total, "2500340.53") {
		t.Errorf("the order is not in the total: %s", total)
	}

	interrupt(errInterrupt)
	for range out.lines { // what it still says
	}
	if code := <-ended; code != exitInterrupted {
		t.Errorf("after Ctrl-C the demo ends with %d, not %d\n%s", code, exitInterrupted, stderr.String())
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("the demo leaves %v behind (%v)", left, err)
	}
}
