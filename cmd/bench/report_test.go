// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestReportPairsRoundsAndPrintsBothWays(t *testing.T) {
	var lines, table bytes.Buffer
	r := &report{mode: "drain", jsonl: &lines}
	for round, rates := range [][2]float64{{300, 100}, {500, 250}, {480, 120}} {
		for i, name := range []string{"lapwing", "peer-mem"} {
			res := result{contender: name, round: round + 1}
			res.add("events_per_s", rates[i])
			if name == "lapwing" {
				res.add("dead_letters", 0)
			}
			if err := r.add(res); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := r.finish(&table, []string{"events_per_s", "dead_letters"}, []comparison{{"events_per_s", "lapwing", "peer-mem"}, {"events_per_s", "lapwing", "parse"}}); err != nil {
		t.Fatal(err)
	}
	type line struct {
		Mode, Contender, Ratio, Figure string
		Round, Pairs                   int
		Summary                        bool
		Rate                           json.RawMessage `json:"events_per_s"`
		Value                          spread
	}
	var got []line
	for text := range strings.Lines(lines.String()) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil || l.Mode != "drain" {
			t.Fatalf("%s: %v", text, err)
		}
		got = append(got, l)
	}
	if len(got) != 6+2+1 {
		t.Fatalf("%d lines, want a result each, two summaries and one ratio:\n%s", len(got), lines.String())
	}
	if string(got[2].Rate) != "500" || got[2].Round != 2 || got[2].Contender != "lapwing" {
		t.Errorf("third line: %+v", got[2])
	}
	if want := `{"median":480,"min":300,"max":500}`; !got[6].Summary || string(got[6].Rate) != want {
		t.Errorf("summary of lapwing: %s, want %s", got[6].Rate, want)
	}
	// 3, 2 and 4: round by round, not median by median (which would be 4).
	if want := (spread{3, 2, 4}); got[8].Value != want || got[8].Ratio != "lapwing / peer-mem" || got[8].Pairs != 3 {
		t.Errorf("ratio: %+v, want %+v", got[8], want)
	}
	for _, want := range []string{"480 (300–500)", "120 (100–250)", "3 (2–4)"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, table.String())
		}
	}
	if strings.Contains(table.String(), "parse") {
		t.Errorf("a ratio to what did not run:\n%s", table.String())
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestFiguresThatCannotBeWrittenAreAnError(t *testing.T) {
	r := &report{mode: "drain", jsonl: fullDisk{}}
	if err := r.add(result{contender: "lapwing"}); err == nil {
		t.Error("lost without a word")
	}
}
