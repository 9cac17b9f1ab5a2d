// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"lapwing/deploy/embedded"
	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/sink/sinktest"
)

// TestStreamGoesOnWhileClickHouseHangs: in one process with all roles, ClickHouse takes
// inserts and never answers. What customers do becomes stage changes all the same, one
// after the other; and when ClickHouse answers again, it has all of it. Then a table is
// changed by hand, which ends the sink: the stream goes on.
func TestStreamGoesOnWhileClickHouseHangs(t *testing.T) {
	server := embeddedtest.ClickHouseForTest(t)
	broker, err := embedded.StartBroker(embedded.BrokerConfig{Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	proxy := sinktest.NewProxy(t, server.NativeAddr, nil)
	dir := t.TempDir()
	config := filepath.Join(dir, "lapwing.yaml")
	if err := os.WriteFile(config, []byte(`definition: preset:customer-value
http: 127.0.0.1:0
stream:
  lanes: 2
  publish_from: all
  state_dir: `+filepath.Join(dir, "state")+`
  inputs: [{topic: events, keyed: true}]
sink:
  batch: {age: 20ms}
  retry: {timeout: 1m}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	env := func(address string) func(string) string {
		return func(name string) string {
			switch name {
			case brokersVariable:
				return broker.Addrs()[0]
			case clickHouseVariable:
				return "clickhouse://" + server.User + ":" + server.Password + "@" + address + "/hang"
			}
			return ""
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan string, 1)
	go func() {
		var out, bad bytes.Buffer
		code := run(ctx, []string{"run", "-c", config}, env(proxy.Addr), strings.NewReader(""), &out, &bad)
		ended <- fmt.Sprintf("exit %d\n%s%s", code, out.String(), bad.String())
	}()
	said := sync.OnceValue(func() string {
		stop()
		return <-ended
	})
	t.Cleanup(func() {
		if text := said(); t.Failed() {
			t.Log(text)
		}
	})
	lapwing := func(args ...string) (int, string) {
		t.Helper()
		bounded, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		var out, bad bytes.Buffer
		code := run(bounded, args, env(server.NativeAddr), strings.NewReader(""), &out, &bad)
		return code, out.String() + bad.String()
	}
	eventually := func(want string, args ...string) {
		t.Helper()
		said := ""
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
			if _, said = lapwing(args...); strings.Contains(said, want) {
				return
			}
		}
		t.Fatalf("lapwing %s never says %q, at last\n%s", strings.Join(args, " "), want, said)
	}
	buy := func(customer string) {
		t.Helper()
		if code, said := lapwing("send", customer, "Order Completed", "--at", "2020-01-01T00:00:00Z", "order_id="+customer, "total=1.00"); code != 0 {
			t.Fatalf("send ended with %d\n%s", code, said)
		}
		if code, said := lapwing("tail", "--from-beginning", "--customer", customer, "-n", "1", "--format", "text"); code != 0 || !strings.Contains(said, customer) {
			t.Fatalf("no stage change of %s: %d\n%s", customer, code, said)
		}
	}
	for deadline := time.Now().Add(patience); ; { // until the service has made the topics
		code, said := lapwing("send", "first", "Order Completed", "--at", "2020-01-01T00:00:00Z", "order_id=first", "total=1.00")
		if code == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("send ends with %d\n%s", code, said)
		}
	}
	eventually(`"orders": 1,`, "kpi", "totals", "--format", "json")

	proxy.Choose(func(string) (sinktest.Fault, int32) { return sinktest.HangBefore, 0 })
	for i := range 10 {
		buy(fmt.Sprintf("customer-%d", i))
	}
	if proxy.Seen()[sinktest.HangBefore] == 0 {
		t.Error("no insert hangs: the test shows nothing")
	}
	if _, said := lapwing("kpi", "totals", "--format", "json"); !strings.Contains(said, `"orders": 1,`) {
		t.Errorf("orders are in ClickHouse although it does not answer:\n%s", said)
	}
	proxy.Choose(nil)
	proxy.Cut()
	eventually(`"orders": 11,`, "kpi", "totals", "--format", "json")

	conn, err := clickhouse.Open(server.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.Exec(ctx, "ALTER TABLE hang.stage_changes_log RENAME COLUMN detected_at TO found_at"); err != nil {
		t.Fatal(err)
	}
	buy("before")
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Addrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for deadline := time.Now().Add(patience); ; { // until the sink has left its group
		groups, err := kadm.NewClient(client).DescribeGroups(ctx, "lapwing-sink.g1")
		if err == nil && len(groups["lapwing-sink.g1"].Members) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the sink goes on: %+v, %v", groups, err)
		}
	}
	buy("after")
	if text := said(); !strings.Contains(text, "the sink has ended") || !strings.HasPrefix(text, "exit 1\n") {
		t.Errorf("the sink wrote into a table that was changed, or nobody was told: %s", text)
	}
}
