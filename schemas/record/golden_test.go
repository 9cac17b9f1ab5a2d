// SPDX-License-Identifier: Apache-2.0

package record_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"lapwing/schemas/decimal"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

func at(t testing.TB, text string) instant.Instant {
	t.Helper()
	i, ok := instant.ParseAny(text)
	if !ok {
		t.Fatalf("%q is no time", text)
	}
	return i
}

type appender interface{ AppendJSON(dst []byte) []byte }

type golden struct {
	file   string
	value  appender
	decode func(b []byte) (any, error)
	public bool // described by the JSON Schema
}

func decodeWith[T any](decode func([]byte) (T, error)) func([]byte) (any, error) {
	return func(b []byte) (any, error) {
		v, err := decode(b)
		return &v, err
	}
}

func goldens(t testing.TB) []golden {
	change := func(r record.Record) *record.Record {
		r.CustomerID, r.Definition, r.DefinitionVersion = "u1", "customer-value", 1
		r.SetID()
		return &r
	}
	asRecord, asAggregate := decodeWith(record.DecodeRecord), decodeWith(record.DecodeAggregate)
	return []golden{
		{"stage_change.json", change(record.Record{
			Kind: record.StageChange, Model: "value", Sequence: 3, From: "new", To: "at_risk",
			EffectiveAt: at(t, "1997-04-01T00:00:00Z"), DetectedAt: at(t, "1997-04-01T00:00:01.250Z"), Since: at(t, "1997-01-01T00:00:00Z"),
			NextStage: "lost", NextDeadline: at(t, "1998-01-01T00:00:00Z"),
			Cause: record.Cause{Type: record.CauseDeadline, Condition: "idle('purchase', '90d')", Left: "first('purchase', '90d')", EventTime: instant.None},
		}), asRecord, true},
		{"stage_change_first.json", change(record.Record{
			Kind: record.StageChange, Model: "value", Sequence: 1, To: "new", Backfill: true,
			EffectiveAt: at(t, "1997-01-01T12:00:00.001Z"), DetectedAt: at(t, "1997-01-01T12:00:00.001Z"), Since: instant.None, NextDeadline: instant.None,
			Cause: record.Cause{Type: record.CauseEvent, Condition: "first('purchase', '90d')", Event: "Order \"Completed\"\n", MessageID: "m-1", EventTime: at(t, "1997-01-01T12:00:00.001Z")},
		}), asRecord, true},
		{"stage_change_merged.json", change(record.Record{
			Kind: record.StageChange, Model: "value", Sequence: 2, From: "prospect", MergedInto: "jürgen@example.org",
			EffectiveAt: at(t, "2200-12-31T23:59:59.999Z"), DetectedAt: at(t, "2200-12-31T23:59:59.999Z"), Since: at(t, "1970-01-01T00:00:00Z"), NextDeadline: instant.None,
			Cause: record.Cause{Type: record.CauseIdentity, EventTime: instant.None},
		}), asRecord, true},
		{"segment_change.json", change(record.Record{
			Kind: record.SegmentChange, Segment: "country=FR", Sequence: 2,
			EffectiveAt: at(t, "1997-02-01T00:00:00Z"), DetectedAt: at(t, "1997-02-02T00:00:00Z"),
			Cause: record.Cause{Type: record.CauseLateEvent, Left: "trait('country')", Event: "identify", MessageID: "m-2", EventTime: at(t, "1997-01-15T00:00:00Z")},
		}), asRecord, true},
		{"assignment.json", change(record.Record{
			Kind: record.Assignment, Campaign: "winback", Sequence: 1, Variant: "short", Round: 1,
			EffectiveAt: at(t, "1997-04-01T00:00:00Z"), DetectedAt: at(t, "1997-04-01T00:00:01.250Z"),
			Stages: []record.StageAt{{Model: "value", Stage: "at_risk"}}, Segments: []string{"big_spenders", "country=FR"},
			Cause: record.Cause{Type: record.CauseDeadline, Condition: "in_stage('value', 'at_risk')", EventTime: instant.None},
		}), asRecord, true},
		{"assignment_holdout.json", change(record.Record{
			Kind: record.Assignment, Campaign: "spring-mail", Sequence: 2, Holdout: true, Round: 2, Backfill: true,
			EffectiveAt: at(t, "1997-04-01T00:00:00Z"), DetectedAt: at(t, "1997-04-01T00:00:00Z"),
			Cause: record.Cause{Type: record.CauseEvent, Event: "Campaign Assigned", MessageID: "m-3", EventTime: at(t, "1997-04-01T00:00:00Z")},
		}), asRecord, true},
		{"conversion.json", change(record.Record{
			Kind: record.Conversion, Campaign: "winback", Goal: "bought", Sequence: 2, Variant: "short", Round: 1,
			EffectiveAt: at(t, "1997-04-15T00:00:00Z"), DetectedAt: at(t, "1997-04-15T00:00:01Z"), AssignedAt: at(t, "1997-04-01T00:00:00Z"),
			Value: 293_300, HasValue: true, Currency: "USD",
			Stages: []record.StageAt{{Model: "value", Stage: "at_risk"}}, Segments: []string{"big_spenders", "country=FR"},
			Cause: record.Cause{Type: record.CauseDeadline, EventTime: instant.None},
		}), asRecord, true},
		{"conversion_orders.json", change(record.Record{
			Kind: record.Conversion, Campaign: "winback", Goal: "bought", Sequence: 2, Variant: "short", Round: 1,
			EffectiveAt: at(t, "1997-04-15T00:00:00Z"), DetectedAt: at(t, "1997-04-15T00:00:01Z"), AssignedAt: at(t, "1997-04-01T00:00:00Z"),
			Value: 293_300, HasValue: true, Currency: "USD", Occurrences: 3,
			Cause: record.Cause{Type: record.CauseDeadline, EventTime: instant.None},
		}), asRecord, true},
		{"conversion_holdout.json", change(record.Record{
			Kind: record.Conversion, Campaign: "winback", Goal: "moved_up", Sequence: 1, Holdout: true, Round: 3,
			EffectiveAt: at(t, "1997-04-02T00:00:00Z"), DetectedAt: at(t, "1997-04-02T00:00:00Z"), AssignedAt: at(t, "1997-04-01T00:00:00Z"),
			Cause: record.Cause{Type: record.CauseEvent, Condition: "in_stage('value', 'active')", Event: "Order Completed", MessageID: "m-4", EventTime: at(t, "1997-04-02T00:00:00Z")},
		}), asRecord, true},
		{"profile.json", &record.Profile{
			CustomerID: "u1",
			Stages: []record.ProfileStage{
				{Model: "value", Stage: "at_risk", Since: at(t, "1997-04-01T00:00:00Z"), Sequence: 3, NextStage: "lost", NextDeadline: at(t, "2210-01-01T00:00:00Z")},
				{Model: "activity", Stage: "inactive", Since: at(t, "1997-04-01T00:00:00Z"), Sequence: 1, NextDeadline: instant.None},
			},
			Segments: []string{"big_spenders", "country=FR"},
			Traits:   json.RawMessage(`{"country":"FR","email":"u1@example.org"}`),
		}, decodeWith(record.DecodeProfile), true},
		{"aggregate_event.json", &record.Aggregate{
			Definition: "customer-value", Lane: 7, Measure: record.MeasureEvent, Grain: record.Month, Period: at(t, "1997-01-01T00:00:00Z"),
			Event: "purchase", Model: "value", Stage: "new", Count: 12, Sum: 3_456_700,
		}, asAggregate, true},
		{"aggregate_transition.json", &record.Aggregate{
			Definition: "customer-value", Lane: 0, Measure: record.MeasureTransition, Grain: record.Hour, Period: at(t, "1997-04-01T00:00:00Z"),
			Model: "value", From: "new", To: "at_risk", Cause: record.CauseDeadline, Count: 4,
		}, asAggregate, true},
		{"activity.json", &record.Activity{
			CustomerID: "u1", EventTime: at(t, "1997-01-01T12:00:00Z"), MessageID: "m-1", Type: "track", Event: "Order Completed",
			Occurrence: []record.Occurrence{
				{Event: "purchase", At: at(t, "1997-01-01T12:00:00Z"), Value: 293_300, HasValue: true, Key: "o-1"},
				{Event: "visit", At: at(t, "1997-01-01T12:00:00Z")},
				{Event: "purchase", At: at(t, "1996-12-01T12:00:00Z"), Value: -5_000, HasValue: true, Key: "o-0", Refund: true},
			},
			Stages:   []record.StageAt{{Model: "value", Stage: "prospect"}, {Model: "activity", Stage: "never"}},
			Segments: []string{"country=FR"}, Currency: "USD", Products: json.RawMessage(`[{"product_id":"cd-1","quantity":2,"price":14.50}]`),
			SessionStart: instant.None,
		}, decodeWith(record.DecodeActivity), false},
		{"activity_session.json", &record.Activity{
			CustomerID: "u1", EventTime: at(t, "1997-01-01T12:00:00Z"), Type: "track", Event: "Email Opened",
			Stages:        []record.StageAt{{Model: "value", Stage: "at_risk"}},
			SessionStart:  at(t, "1997-01-01T11:45:00Z"),
			SessionStages: []record.StageAt{{Model: "value", Stage: "lost"}, {Model: "activity", Stage: "never"}},
			Exposures:     []record.Exposure{{Campaign: "winback", Channel: "email", Step: "opened", Machine: true}, {Channel: "email", Step: "opened"}},
			Platform:      "app",
		}, decodeWith(record.DecodeActivity), false},
		{"aggregate_session.json", &record.Aggregate{
			Definition: "customer-value", Lane: 7, Measure: record.MeasureSessionEvent, Grain: record.Week, Period: at(t, "1996-12-30T00:00:00Z"),
			Event: "purchase", Model: "value", Stage: "new", Segment: "country=FR", Platform: "site", Count: 12, Sum: 3_456_700, SumSquares: decimal.SquareOf(3_456_700),
		}, asAggregate, false},
		{"settings.json", &record.Settings{
			Lane: 7, Since: at(t, "1997-01-01T00:00:00Z"), Activity: "referenced", Aggregates: true, SessionGap: 30 * time.Minute, CloseAfter: 840 * time.Hour, Closed: at(t, "1996-11-27T00:00:00Z"),
		}, decodeWith(record.DecodeSettings), false},
		{"settings_aggregates.json", &record.Settings{
			Lane: 7, Since: instant.None, Activity: "all", SessionGap: 30 * time.Minute, CloseAfter: 840 * time.Hour, Closed: instant.None,
		}, decodeWith(record.DecodeSettings), false},
	}
}

// The golden bytes are what was once published: they are never changed, only
// added to.
func TestGolden(t *testing.T) {
	covered := map[string]bool{}
	for _, g := range goldens(t) {
		covered[g.file] = true
		written := g.value.AppendJSON(nil)
		path := filepath.Join("testdata", g.file)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Errorf("%s: %v; the record is\n%s", g.file, err, written)
			continue
		}
		if b = bytes.TrimSuffix(b, []byte("\n")); !bytes.Equal(b, written) {
			t.Errorf("%s:\n  golden %s\n written %s", g.file, b, written)
		}
		decoded, err := g.decode(b)
		if err != nil {
			t.Errorf("%s: %v", g.file, err)
		} else if !reflect.DeepEqual(decoded, g.value) {
			t.Errorf("%s:\n decoded %+v\nexpected %+v", g.file, decoded, g.value)
		}
	}
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !covered[filepath.Base(file)] {
			t.Errorf("%s is not tested", file)
		}
	}
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	b, err := os.ReadFile("records.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("records.schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("records.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func validate(t *testing.T, schema *jsonschema.Schema, b []byte) error {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("%s is no JSON: %v", b, err)
	}
	return schema.Validate(v)
}

func TestSchemaDescribesTheRecords(t *testing.T) {
	schema := compileSchema(t)
	for _, g := range goldens(t) {
		if !g.public {
			continue
		}
		b := g.value.AppendJSON(nil)
		if err := validate(t, schema, b); err != nil {
			t.Errorf("%s: %v", g.file, err)
		}
		// Each field that is written is described and must be there, but for two.
		fields := map[string]json.RawMessage{}
		if err := json.Unmarshal(b, &fields); err != nil {
			t.Fatal(err)
		}
		for name, value := range fields {
			delete(fields, name)
			without, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			if err := validate(t, schema, without); err == nil && name != "merged_into" && name != "occurrences" {
				t.Errorf("%s: the schema allows it without %q", g.file, name)
			}
			fields[name] = json.RawMessage(`[[]]`)
			wrong, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			if err := validate(t, schema, wrong); err == nil {
				t.Errorf("%s: the schema allows a list of lists as %q", g.file, name)
			}
			fields[name] = value
		}
		more := append(bytes.TrimSuffix(b, []byte("}")), `,"of_a_later_version":1}`...)
		if err := validate(t, schema, more); err != nil {
			t.Errorf("%s: records may grow: %v", g.file, err)
		}
	}
	for why, b := range map[string]string{
		"another kind":       `{"kind":"other"}`,
		"no kind":            `{}`,
		"a time with a zone": strings.Replace(string(goldens(t)[0].value.AppendJSON(nil)), "1997-04-01T00:00:00Z", "1997-04-01T00:00:00+00:00", 1),
	} {
		if validate(t, schema, []byte(b)) == nil {
			t.Errorf("the schema allows %s: %s", why, b)
		}
	}
}
