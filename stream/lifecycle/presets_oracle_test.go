// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"regexp"
	"strconv"
	"testing"
	"time"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/presets"
	"lapwing/stream/lifecycle"
	"lapwing/stream/oracle"
)

// TestPresetsAgainstOracle compares the fold with the oracle for each preset, over
// customers who do at random what its events match, at distances that are its windows,
// a millisecond less or more, hours and days.
func TestPresetsAgainstOracle(t *testing.T) {
	t.Parallel()
	customers := uint64(10) // the oracle takes a tenth of a second for each; 300 agreed when this was written
	if testing.Short() {
		customers = 3
	}
	for _, name := range presets.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, _ := presets.Get(name)
			def, problems := definition.Parse(name, source)
			if def == nil {
				t.Fatalf("parse the preset: %v", problems)
			}
			model, problems := lifecycle.Compile(def)
			if model == nil {
				t.Fatalf("compile the preset: %v", problems)
			}
			judge, err := oracle.New(def)
			if err != nil {
				t.Fatal(err)
			}
			records := 0
			for seed := range customers {
				c := presetCustomer{Rand: rand.New(rand.NewPCG(seed, 5)), def: def, windows: windowsOf(t, source)}
				lines, until := c.messages()
				messages := make([]oracle.Message, len(lines))
				for i, line := range lines {
					var ok bool
					if messages[i], ok = oracle.Decode(line); !ok {
						t.Fatalf("the oracle cannot use the line %s", line)
					}
				}
				want := judge.Customer("c", messages, until)
				got, err := fold(model, "c", lines, until)
				if err != nil {
					t.Fatalf("customer %d: %v", seed, err)
				}
				if d := difference(want, got); d != "" {
					t.Fatalf("customer %d: %s\nevents:\n%s", seed, d, bytes.Join(lines, []byte("\n")))
				}
				records += len(want.Records)
			}
			if records < int(customers)*5 {
				t.Errorf("%d customers have only %d records: the generator has gone blind", customers, records)
			}
			t.Logf("%d customers, %d records agree", customers, records)
		})
	}
}

var writtenWindow = regexp.MustCompile(`\b\d+[smhdw]\b`) //nolint:gochecknoglobals // compiled once

// windowsOf are the durations that stand in a definition.
func windowsOf(t *testing.T, source []byte) []time.Duration {
	t.Helper()
	var out []time.Duration
	for _, text := range writtenWindow.FindAll(source, -1) {
		d, err := definition.ParseDuration(string(text))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, d)
	}
	return out
}

// presetCustomer does at random what a definition's events match.
type presetCustomer struct {
	*rand.Rand
	def     *definition.Definition
	windows []time.Duration
}

func anyOf[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

func (c *presetCustomer) messages() (lines [][]byte, until instant.Instant) {
	at := instant.Of(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	known := c.IntN(4) > 0
	for i := range 20 + c.IntN(40) {
		known = known || c.IntN(20) == 0
		at = at.Add(c.step())
		when := at
		if c.IntN(20) == 0 {
			when = at.Add(-c.step()) // late
		}
		lines = append(lines, c.message(i, when, known))
	}
	return lines, at.Add(c.step())
}

// step is mostly short, so that days and sessions come together.
func (c *presetCustomer) step() time.Duration {
	switch c.IntN(10) {
	case 0, 1:
		return anyOf(c.Rand, c.windows...) + time.Duration(c.IntN(3)-1)*time.Millisecond
	case 2:
		return 30*time.Minute + time.Duration(c.IntN(3)-1)*time.Millisecond
	case 3, 4, 5:
		return time.Duration(c.IntN(3*24)) * time.Hour
	case 6:
		return 0
	default:
		return time.Duration(c.IntN(120)) * time.Minute
	}
}

func (c *presetCustomer) message(i int, at instant.Instant, known bool) []byte {
	m := map[string]any{"messageId": "m" + strconv.Itoa(i), "timestamp": at.String(), "type": "identify"}
	m["anonymousId"] = "c"
	if known {
		m["userId"] = "c"
	}
	if c.IntN(12) == 0 {
		m["traits"] = map[string]any{
			"country": anyOf[any](c.Rand, "FR", "DE", nil), "loyalty_member": anyOf[any](c.Rand, true, false, "true"), "email": "c@example.com",
		}
	} else {
		var matches []definition.Match
		for _, e := range c.def.Events {
			matches = append(matches, e.Match...)
			if e.Refund != nil {
				matches = append(matches, e.Refund.Match...)
			}
		}
		match := anyOf(c.Rand, matches...)
		m["type"], m["event"] = match.Type, match.Event
		m["properties"] = c.properties()
	}
	m["context"] = anyOf[any](c.Rand, nil,
		map[string]any{"device": map[string]any{"type": "ios"}, "timezone": "America/New_York"},
		map[string]any{"page": map[string]any{"path": "/"}, "userAgent": "Mozilla/5.0 (iPhone) Mobile/15E148", "timezone": "Nowhere/Land"},
		map[string]any{"page": map[string]any{"path": "/"}, "userAgent": "Mozilla/5.0 (X11)", "campaign": map[string]any{"name": "spring-leads"}},
	)
	line, err := json.Marshal(m)
	if err != nil {
		panic(err) // only texts, numbers and maps
	}
	return line
}

func (c *presetCustomer) properties() map[string]any {
	p := map[string]any{}
	maybe := func(name string, values ...any) {
		if c.IntN(4) > 0 {
			p[name] = anyOf(c.Rand, values...)
		}
	}
	maybe("total", 50, 99.99, 100, 250.01, 499.99, 500, 2000, "20", nil)
	maybe("amount", 10000, 9999.99, 4000)
	maybe("order_id", "o1", "o2", "o3", "o4", 5)
	maybe("feature", "import", "report", "invite", "budget", "other")
	maybe("category", "shoes", "hats", "books", 7, nil)
	maybe("topic", "birds", "chess")
	maybe("place", "rome", "oslo", "lima")
	maybe("points_redeemed", 0, 100)
	maybe("deal_id", "d1", nil)
	maybe("machine_open", true, false, "true")
	maybe("campaign_id", "spring-leads", "other")
	maybe("journey", "welcome", "other")
	maybe("step", "second-mail", "first-mail")
	maybe("invited_by", "u1")
	return p
}
