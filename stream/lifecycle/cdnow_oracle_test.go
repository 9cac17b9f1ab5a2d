// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"bufio"
	"bytes"
	"testing"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/presets"
	"lapwing/schemas/samples"
	"lapwing/stream/lifecycle"
	"lapwing/stream/oracle"
)

// TestCDNOWAgainstOracle compares the fold with the oracle for each of the 23,570
// customers of the CDNOW sample, with the definition that ships.
func TestCDNOWAgainstOracle(t *testing.T) {
	t.Parallel()
	source, ok := presets.Get("customer-value")
	if !ok {
		t.Fatal("there is no preset customer-value")
	}
	def, problems := definition.Parse("customer-value.yaml", source)
	if def == nil || hasError(problems) {
		t.Fatalf("parse the preset: %v", problems)
	}
	model, problems := lifecycle.Compile(def)
	if model == nil || hasError(problems) {
		t.Fatalf("compile the preset: %v", problems)
	}
	judge, err := oracle.New(def)
	if err != nil {
		t.Fatal(err)
	}
	file, err := samples.Open("cdnow")
	if err != nil {
		t.Fatal(err)
	}
	var (
		customers []string
		until     = instant.None
	)
	messages, lines := map[string][]oracle.Message{}, map[string][][]byte{}
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		line := bytes.Clone(scanner.Bytes())
		m, ok := oracle.Decode(line)
		if !ok {
			t.Fatalf("the oracle cannot use the line %s", line)
		}
		if messages[m.Customer] == nil {
			customers = append(customers, m.Customer)
		}
		messages[m.Customer] = append(messages[m.Customer], m)
		lines[m.Customer] = append(lines[m.Customer], line)
		until = max(until, m.At)
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	if len(customers) != 23_570 {
		t.Fatalf("the sample has %d customers, want 23,570", len(customers))
	}
	if testing.Short() {
		customers = customers[:2000]
	}
	records := 0
	for _, id := range customers {
		want := judge.Customer(id, messages[id], until)
		got, err := fold(model, id, lines[id], until)
		if err != nil {
			t.Fatal(err)
		}
		records += len(want.Records)
		if d := difference(want, got); d != "" {
			t.Fatalf("customer %s: %s\nevents:\n%s", id, d, bytes.Join(lines[id], []byte("\n")))
		}
	}
	t.Logf("%d customers, %d records agree", len(customers), records)
}
