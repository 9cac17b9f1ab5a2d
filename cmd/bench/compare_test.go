// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"lapwing/schemas/instant"
)

// histories are written one change a line: CUSTOMER SEQUENCE FROM TO SECOND, with - for
// no stage.
func parseHistory(t *testing.T, text string, until instant.Instant) *history {
	t.Helper()
	h := &history{changes: map[string][]change{}}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		stage := func(s string) string {
			if s == "-" {
				return "null"
			}
			return `"` + s + `"`
		}
		var second int64
		if _, err := fmt.Sscan(f[4], &second); err != nil {
			t.Fatal(err)
		}
		value := fmt.Sprintf(`{"customer_id":%q,"model":"value","sequence":%s,"from":%s,"to":%s,"effective_at":%q}`,
			f[0], f[1], stage(f[2]), stage(f[3]), time.Unix(second, 0).UTC().Format(time.RFC3339))
		if err := h.add([]byte(f[0]), []byte(value), until); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

const story = `
ana 1 - prospect 10
bob 1 - prospect 11
ana 2 prospect new 20
ana 3 new at_risk 90
bob 2 prospect new 30`

func TestEqualWhateverTheOrderBetweenCustomers(t *testing.T) {
	other := `
bob 1 - prospect 11
bob 2 prospect new 30
ana 1 - prospect 10
ana 2 prospect new 20
ana 3 new at_risk 90`
	var out bytes.Buffer
	if !verdict(&out, "a", "b", parseHistory(t, story, instant.None), parseHistory(t, other, instant.None)) {
		t.Error(out.String())
	}
	if want := "a and b are equal: 5 changes of 2 customers"; !strings.Contains(out.String(), want) {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

func TestEachKindOfDifferenceIsFound(t *testing.T) {
	for name, c := range map[string]struct{ old, changed, want string }{
		"stage":        {"ana 3 new at_risk 90", "ana 3 new lost 90", "customer ana, change 3: a has new to at_risk at 1970-01-01T00:01:30Z, b has new to lost at 1970-01-01T00:01:30Z"},
		"left stage":   {"bob 2 prospect new 30", "bob 2 lost new 30", "customer bob, change 2"},
		"time":         {"bob 2 prospect new 30", "bob 2 prospect new 31", "customer bob, change 2"},
		"missing":      {"ana 3 new at_risk 90", "", "b has nothing more"},
		"one too many": {"ana 3 new at_risk 90", "ana 3 new at_risk 90\nana 4 at_risk lost 95", "customer ana, change 4: a has nothing more"},
		"a customer":   {"bob 2 prospect new 30", "bob 2 prospect new 30\ncid 1 - prospect 5", "customer cid, change 1: a has nothing more, b has nothing to prospect"},
		"order":        {"ana 2 prospect new 20\nana 3 new at_risk 90", "ana 2 new at_risk 90\nana 3 prospect new 20", "customer ana, change 2"},
		"sequence":     {"ana 3 new at_risk 90", "ana 4 new at_risk 90", "b: 1 records break the sequence"},
		"twice":        {"bob 2 prospect new 30", "bob 2 prospect new 30\nbob 2 prospect new 30", "b: 1 records break the sequence"},
	} {
		changed := strings.Replace(story, c.old, c.changed, 1)
		if changed == story {
			t.Fatalf("%s: nothing was changed", name)
		}
		var out bytes.Buffer
		if verdict(&out, "a", "b", parseHistory(t, story, instant.None), parseHistory(t, changed, instant.None)) {
			t.Errorf("%s: equal", name)
		}
		if !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: %q, want %q", name, out.String(), c.want)
		}
	}
}

func TestFirstDifferencesOnly(t *testing.T) {
	var many strings.Builder
	for i := range 50 {
		fmt.Fprintf(&many, "c%02d 1 - prospect 10\n", i)
	}
	var out bytes.Buffer
	verdict(&out, "a", "b", parseHistory(t, many.String(), instant.None), parseHistory(t, story, instant.None))
	if got := strings.Count(out.String(), "customer "); got != shownDifferences {
		t.Errorf("%d differences are printed:\n%s", got, out.String())
	}
	if !strings.Contains(out.String(), "52 customers of 50 and 2") {
		t.Error(out.String())
	}
}

func TestRecordsOfOtherModelsAndKeys(t *testing.T) {
	h := &history{changes: map[string][]change{}}
	record := `{"customer_id":"ana","model":"%s","sequence":1,"from":null,"to":"x","effective_at":"2024-01-01T00:00:00Z"}`
	for _, model := range []string{"value", "other"} {
		if err := h.add([]byte("bob"), fmt.Appendf(nil, record, model), instant.None); err != nil {
			t.Fatal(err)
		}
	}
	if h.records != 1 || h.broken != 1 {
		t.Errorf("%d records, %d broken; want the one of the model value, under a wrong key", h.records, h.broken)
	}
	if err := h.add(nil, []byte("{"), instant.None); err == nil {
		t.Error("what is no record was taken")
	}
}

// Bounding a whole history and reading only up to the bound come to the same.
func TestUpTo(t *testing.T) {
	for second := int64(5); second < 100; second += 5 {
		until := instant.Of(time.Unix(second, 0))
		early, read := parseHistory(t, story, instant.None).upTo(until), parseHistory(t, story, until)
		if d := compare(early, read); len(d) > 0 || early.records != read.records {
			t.Errorf("up to %d: %v, %d and %d records", second, d, early.records, read.records)
		}
	}
	if h := parseHistory(t, story, instant.Of(time.Unix(20, 0))); h.records != 3 {
		t.Errorf("%d records up to 20, itself included; want 3", h.records)
	}
}
