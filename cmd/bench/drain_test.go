// SPDX-License-Identifier: Apache-2.0

//go:build !noembedded

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"lapwing/deploy/embedded"
	"lapwing/schemas/instant"
)

// A whole drain in small, on the embedded broker: every contender reads every event, the
// stage changes of all are the same, and there is one history for each customer.
func TestDrainTotalsAgree(t *testing.T) {
	const events, customers = 20_000, 2_000
	broker, err := embedded.StartBroker(embedded.BrokerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	address := broker.Addrs()[0]
	work := t.TempDir()
	figures := filepath.Join(work, "figures.jsonl")
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), strings.Fields("drain --compare --keep --n 20000 --customers 2000 --rounds 1 --only lapwing,lapwing-routed,parse --limit 2m"+
		" --bootstrap "+address+" --work "+work+" --json "+figures), &stdout, &stderr)
	if code != exitFine {
		t.Fatalf("exit %d\n%s\n%s", code, stderr.String(), stdout.String())
	}

	occur := map[string]bool{}
	traffic := newTraffic(1, customers)
	for range events {
		key, _ := traffic.anyone(time.UnixMilli(0))
		occur[string(key)] = true
	}
	text, err := os.ReadFile(figures)
	if err != nil {
		t.Fatal(err)
	}
	results := map[string]map[string]float64{}
	for line := range strings.Lines(string(text)) {
		var head struct {
			Contender string
			Round     int
		}
		if err := json.Unmarshal([]byte(line), &head); err != nil {
			t.Fatal(err)
		}
		if head.Round != 1 {
			continue
		}
		var all map[string]any
		if err := json.Unmarshal([]byte(line), &all); err != nil {
			t.Fatal(err)
		}
		results[head.Contender] = map[string]float64{}
		for name, value := range all {
			if number, ok := value.(float64); ok {
				results[head.Contender][name] = number
			}
		}
	}
	client, err := newClient(address)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	listed, err := kadm.NewClient(client).ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, contender := range []string{plainLapwing, throughRouter, consumeAndParse} {
		r := results[contender]
		if r["events"] != events {
			t.Errorf("%s: %v events, want %d", contender, r["events"], events)
		}
		if rate := r["events"] / r["seconds"]; r["events_per_s"] < rate*0.98 || r["events_per_s"] > rate*1.02 {
			t.Errorf("%s: %v events/s in %v s", contender, r["events_per_s"], r["seconds"])
		}
		if contender == consumeAndParse {
			continue
		}
		var topic string
		for _, name := range listed.Names() {
			if strings.HasSuffix(name, "-"+contender+"-1-1-stage-changes") {
				topic = name
			}
		}
		h, err := readHistory(t.Context(), address, topic, instant.None)
		if err != nil {
			t.Fatalf("%s: %v", contender, err)
		}
		if float64(h.records) != r["output_records"] || h.broken != 0 {
			t.Errorf("%s: %d records, %d of them out of order; %v were counted", contender, h.records, h.broken, r["output_records"])
		}
		if len(h.changes) != len(occur) {
			t.Errorf("%s: histories of %d customers; the events are of %d", contender, len(h.changes), len(occur))
		}
		for customer := range h.changes {
			if !occur[customer] {
				t.Fatalf("%s: customer %s is made up", contender, customer)
			}
		}
	}
	if !strings.Contains(stdout.String(), "the stage changes of all runs are equal") {
		t.Error(stdout.String())
	}
}
