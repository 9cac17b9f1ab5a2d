// SPDX-License-Identifier: Apache-2.0

package record_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"lapwing/schemas/decimal"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// odd draws strings that JSON has to escape, and longer ones; never empty.
func odd() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"u1", "\"", "\\", "/", "\x00\x1f\x7f", "\n\r\t\b\f", "\u2028\u2029", "<&>", "é😀", "\ufffd", "null", strings.Repeat("x", 300)}),
		rapid.StringN(1, 20, -1),
	)
}

func maybe[T any](g *rapid.Generator[T], none T) *rapid.Generator[T] {
	return rapid.OneOf(rapid.Just(none), g)
}

func moments() *rapid.Generator[instant.Instant] {
	return rapid.Map(rapid.Int64Range(0, int64(instant.Max)+3660*86_400_000), func(ms int64) instant.Instant { return instant.Instant(ms) })
}

func decimals() *rapid.Generator[decimal.Decimal] {
	return rapid.Map(rapid.Int64Range(1-decimal.Limit, decimal.Limit-1), func(n int64) decimal.Decimal { return decimal.Decimal(n) })
}

func records() *rapid.Generator[record.Record] {
	return rapid.Custom(func(t *rapid.T) record.Record {
		text, none := odd(), maybe(odd(), "")
		when := maybe(moments(), instant.None)
		r := record.Record{
			Kind:              rapid.SampledFrom([]record.Kind{record.StageChange, record.SegmentChange, record.Assignment, record.Conversion}).Draw(t, "kind"),
			CustomerID:        text.Draw(t, "customer"),
			Definition:        text.Draw(t, "definition"),
			DefinitionVersion: rapid.Int64().Draw(t, "version"),
			Sequence:          rapid.Int64Min(1).Draw(t, "sequence"),
			EffectiveAt:       moments().Draw(t, "effective at"),
			DetectedAt:        moments().Draw(t, "detected at"),
			Backfill:          rapid.Bool().Draw(t, "backfill"),
			Cause: record.Cause{
				Type:      rapid.SampledFrom([]record.CauseType{record.CauseEvent, record.CauseExpired}).Draw(t, "cause"),
				Condition: none.Draw(t, "condition"),
				Left:      none.Draw(t, "left"),
				Event:     none.Draw(t, "event"),
				MessageID: none.Draw(t, "message id"),
				EventTime: when.Draw(t, "event time"),
			},
		}
		if r.Kind == record.StageChange {
			r.Model, r.From, r.To, r.NextStage, r.MergedInto = text.Draw(t, "model"), none.Draw(t, "from"), none.Draw(t, "to"), none.Draw(t, "next"), none.Draw(t, "into")
			r.Since, r.NextDeadline = when.Draw(t, "since"), when.Draw(t, "deadline")
		} else {
			r.Segment, r.Entered = text.Draw(t, "segment"), rapid.Bool().Draw(t, "entered")
		}
		if r.Kind == record.Assignment || r.Kind == record.Conversion {
			r.Segment, r.Entered = "", false
			r.Campaign, r.Variant, r.Holdout, r.Round = text.Draw(t, "campaign"), none.Draw(t, "variant"), rapid.Bool().Draw(t, "holdout"), rapid.Int64().Draw(t, "round")
			for i := range rapid.IntRange(0, 2).Draw(t, "stages") {
				r.Stages = append(r.Stages, record.StageAt{Model: fmt.Sprint("m", 3-i, text.Draw(t, "in")), Stage: text.Draw(t, "stage")})
			}
			for range rapid.IntRange(0, 2).Draw(t, "segments") {
				r.Segments = append(r.Segments, text.Draw(t, "member"))
			}
		}
		if r.Kind == record.Conversion {
			r.Goal, r.AssignedAt, r.Currency = text.Draw(t, "goal"), moments().Draw(t, "assigned at"), none.Draw(t, "currency")
			if r.HasValue = rapid.Bool().Draw(t, "has value"); r.HasValue {
				r.Value = decimals().Draw(t, "value")
				r.Occurrences = rapid.Int64Range(0, 5000).Draw(t, "occurrences")
			}
			r.Unpriced = rapid.Int64Range(0, 2).Draw(t, "unpriced")
		}
		r.SetID()
		return r
	})
}

func TestRecordsReadBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := records().Draw(rt, "record")
		b := want.AppendJSON(nil)
		if got, err := record.DecodeRecord(b); err != nil || !reflect.DeepEqual(got, want) {
			rt.Fatalf("%s\n reads as %+v, %v\nwant %+v", b, got, err, want)
		}
	})
}

func TestProfilesReadBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := record.Profile{CustomerID: odd().Draw(rt, "customer")}
		for i := range rapid.IntRange(0, 3).Draw(rt, "stages") {
			want.Stages = append(want.Stages, record.ProfileStage{
				Model: fmt.Sprint("m", 3-i, odd().Draw(rt, "model")), Stage: odd().Draw(rt, "stage"), Since: moments().Draw(rt, "since"), Sequence: rapid.Int64().Draw(rt, "sequence"),
				NextStage: maybe(odd(), "").Draw(rt, "next"), NextDeadline: maybe(moments(), instant.None).Draw(rt, "deadline"),
			})
		}
		for range rapid.IntRange(0, 3).Draw(rt, "segments") {
			want.Segments = append(want.Segments, odd().Draw(rt, "segment"))
		}
		if rapid.Bool().Draw(rt, "traits") {
			want.Traits = append(append([]byte(`{"a":`), record.AppendString(nil, odd().Draw(rt, "trait"))...), '}')
		}
		b := want.AppendJSON(nil)
		if got, err := record.DecodeProfile(b); err != nil || !reflect.DeepEqual(got, want) {
			rt.Fatalf("%s\n reads as %+v, %v\nwant %+v", b, got, err, want)
		}
	})
}

func TestAggregatesReadBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		none := maybe(odd(), "")
		want := record.Aggregate{
			Definition: odd().Draw(rt, "definition"), Lane: rapid.Int32().Draw(rt, "lane"), Measure: record.MeasureTransition, Grain: record.Week, Period: moments().Draw(rt, "period"),
			Event: none.Draw(rt, "event"), Model: none.Draw(rt, "model"), Stage: none.Draw(rt, "stage"), From: none.Draw(rt, "from"), To: none.Draw(rt, "to"),
			Cause: maybe(rapid.Just(record.CauseEvent), "").Draw(rt, "cause"), Count: rapid.Int64().Draw(rt, "count"), Sum: decimals().Draw(rt, "sum"),
			Segment: none.Draw(rt, "segment"), Platform: none.Draw(rt, "platform"), SumSquares: decimal.SquareOf(decimals().Draw(rt, "square")),
		}
		b := want.AppendJSON(nil)
		if got, err := record.DecodeAggregate(b); err != nil || !reflect.DeepEqual(got, want) {
			rt.Fatalf("%s\n reads as %+v, %v\nwant %+v", b, got, err, want)
		}
	})
}

func TestActivityReadsBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		none := maybe(odd(), "")
		want := record.Activity{
			CustomerID: odd().Draw(rt, "customer"), EventTime: moments().Draw(rt, "time"), MessageID: none.Draw(rt, "message id"),
			Type: odd().Draw(rt, "type"), Event: odd().Draw(rt, "event"), Currency: none.Draw(rt, "currency"),
		}
		for range rapid.IntRange(0, 3).Draw(rt, "occurrences") {
			o := record.Occurrence{
				Event: odd().Draw(rt, "name"), At: moments().Draw(rt, "at"), Key: none.Draw(rt, "key"),
				Refund: rapid.Bool().Draw(rt, "refund"), HasValue: rapid.Bool().Draw(rt, "has value"),
			}
			if o.HasValue {
				o.Value = decimals().Draw(rt, "value")
			}
			want.Occurrence = append(want.Occurrence, o)
		}
		for range rapid.IntRange(0, 3).Draw(rt, "stages") {
			want.Stages = append(want.Stages, record.StageAt{Model: odd().Draw(rt, "model"), Stage: odd().Draw(rt, "stage")})
		}
		if rapid.Bool().Draw(rt, "products") {
			want.Products = json.RawMessage(`[{"price":1.50}, 2]`)
		}
		want.SessionStart = maybe(moments(), instant.None).Draw(rt, "session")
		if !want.SessionStart.IsNone() {
			want.Platform, want.TooLate = none.Draw(rt, "platform"), rapid.Bool().Draw(rt, "too late")
			for range rapid.IntRange(0, 2).Draw(rt, "session stages") {
				want.SessionStages = append(want.SessionStages, record.StageAt{Model: odd().Draw(rt, "model"), Stage: odd().Draw(rt, "stage")})
			}
			for range rapid.IntRange(0, 2).Draw(rt, "exposures") {
				want.Exposures = append(want.Exposures, record.Exposure{
					Campaign: none.Draw(rt, "campaign"), Channel: odd().Draw(rt, "channel"), Step: odd().Draw(rt, "step"), Machine: rapid.Bool().Draw(rt, "machine"),
				})
			}
		}
		b := want.AppendJSON(nil)
		if got, err := record.DecodeActivity(b); err != nil || !reflect.DeepEqual(got, want) {
			rt.Fatalf("%s\n reads as %+v, %v\nwant %+v", b, got, err, want)
		}
	})
}

// What cannot be a record is refused, not half read.
func TestDecodersRefuse(t *testing.T) {
	sound := string(goldens(t)[0].value.AppendJSON(nil))
	if _, err := record.DecodeRecord([]byte(sound)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ why, old, new string }{
		{"another kind", `"stage_change"`, `"profile"`},
		{"a short id", `"id":"`, `"id":"","x":"`},
		{"an id that is no hex", `"id":"`, `"id":"zz`},
		{"no customer", `"customer_id":"u1"`, `"customer_id":""`},
		{"no model", `"model":"value"`, `"model":null`},
		{"a time that is none", `"1997-04-01T00:00:00Z"`, `"yesterday"`},
		{"no time", `"effective_at":"1997-04-01T00:00:00Z"`, `"effective_at":null`},
		{"a sequence that is text", `"sequence":3`, `"sequence":"3"`},
		{"something after it", `"event_time":null}}`, `"event_time":null}}x`},
	} {
		broken := strings.Replace(sound, c.old, c.new, 1)
		if broken == sound {
			t.Fatalf("%s: the record has no %s", c.why, c.old)
		}
		if r, err := record.DecodeRecord([]byte(broken)); err == nil {
			t.Errorf("%s: reads as %+v", c.why, r)
		}
	}
	for _, b := range []string{
		`{"kind":"assignment","id":"00000000000000000000000000000000","customer_id":"u","effective_at":"1997-01-01T00:00:00Z","detected_at":"1997-01-01T00:00:00Z"}`,
		`{"kind":"conversion","id":"00000000000000000000000000000000","customer_id":"u","campaign":"c","assigned_at":"1997-01-01T00:00:00Z","effective_at":"1997-01-01T00:00:00Z","detected_at":"1997-01-01T00:00:00Z"}`,
		`{"kind":"conversion","id":"00000000000000000000000000000000","customer_id":"u","campaign":"c","goal":"g","effective_at":"1997-01-01T00:00:00Z","detected_at":"1997-01-01T00:00:00Z"}`,
	} {
		if r, err := record.DecodeRecord([]byte(b)); err == nil {
			t.Errorf("%s: reads as %+v without its campaign, goal or assignment", b, r)
		}
	}
	grown := strings.Replace(sound, `{`, `{"of_a_later_version":[1],`, 1)
	if _, err := record.DecodeRecord([]byte(grown)); err != nil {
		t.Errorf("records may grow, but: %v", err)
	}
	_, recordErr := record.DecodeRecord([]byte(`{"kind":"profile"}`))
	_, profileErr := record.DecodeProfile([]byte(sound))
	_, aggregateErr := record.DecodeAggregate([]byte(sound))
	_, activityErr := record.DecodeActivity([]byte(sound))
	for name, err := range map[string]error{"DecodeRecord": recordErr, "DecodeProfile": profileErr, "DecodeAggregate": aggregateErr, "DecodeActivity": activityErr} {
		if !errors.Is(err, record.ErrKind) {
			t.Errorf("%s of another kind: %v, want ErrKind", name, err)
		}
	}
	for _, b := range []string{`{"kind":"profile","customer_id":"u","stages":[]}`, `{"kind":"profile","customer_id":"u","traits":[]}`, `{"kind":"profile"}`} {
		if p, err := record.DecodeProfile([]byte(b)); err == nil {
			t.Errorf("%s reads as %+v", b, p)
		}
	}
	if a, err := record.DecodeAggregate([]byte(`{"kind":"aggregate","period":"1997-01-01T00:00:00Z","sum":1e14}`)); err == nil {
		t.Errorf("a sum of 10^14 reads as %+v", a)
	}
	if a, err := record.DecodeAggregate([]byte(`{"kind":"aggregate","sum":1}`)); err == nil {
		t.Errorf("an aggregate without a period reads as %+v", a)
	}
	if a, err := record.DecodeActivity([]byte(`{"kind":"activity","customer_id":"u"}`)); err == nil {
		t.Errorf("an activity without a time reads as %+v", a)
	}
}

func TestAppendStringAgainstEncodingJSON(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := rapid.OneOf(odd(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(rt, "s")
		b := record.AppendString(nil, s)
		var got string
		if err := json.Unmarshal(b, &got); err != nil {
			rt.Fatalf("%q is written as %s: %v", s, b, err)
		}
		// encoding/json reads its own writing of s as what ours must read as.
		theirs, err := json.Marshal(s)
		if err != nil {
			rt.Fatal(err)
		}
		var want string
		if err := json.Unmarshal(theirs, &want); err != nil {
			rt.Fatal(err)
		}
		if got != want || !utf8.Valid(b) {
			rt.Fatalf("%q is written as %s and reads as %q, want %q", s, b, got, want)
		}
	})
}

func TestID(t *testing.T) {
	// From the contract's words: the first 16 bytes, lower hex, of SHA-256 over
	// definition name, kind, name, customer_id, sequence, from, to, effective_at (as
	// printed), each in UTF-8 followed by 0x00.
	byTheWords := func(parts ...string) string {
		sum := sha256.Sum256([]byte(strings.Join(parts, "\x00") + "\x00"))
		return hex.EncodeToString(sum[:])[:32]
	}
	rapid.Check(t, func(rt *rapid.T) {
		r := records().Draw(rt, "record")
		from, to := r.From, r.To
		name := r.Model
		if r.Kind == record.SegmentChange {
			name, from, to = r.Segment, "", "out"
			if r.Entered {
				to = "in"
			}
		}
		switch r.Kind {
		case record.Assignment:
			name, from, to = r.Campaign, "", ""
		case record.Conversion:
			name, from, to = r.Campaign+"/"+r.Goal, "", ""
		default:
		}
		want := byTheWords(r.Definition, string(r.Kind), name, r.CustomerID, fmt.Sprint(r.Sequence), from, to, r.EffectiveAt.String())
		if got := r.ID.String(); got != want {
			rt.Fatalf("id of %+v is %s, want %s", r, got, want)
		}
		same := r
		same.DetectedAt, same.Cause, same.Backfill, same.DefinitionVersion = 0, record.Cause{}, !r.Backfill, 99
		if same.SetID(); same.ID != r.ID {
			rt.Fatalf("when, why and by which version a change was found has a part in its id: %+v", r)
		}
		other := r
		other.Sequence++
		if other.SetID(); other.ID == r.ID {
			rt.Fatalf("two changes have one id: %+v", r)
		}
	})
	r := record.Record{
		Kind: record.StageChange, Definition: "customer-value", Model: "value", CustomerID: "u1", Sequence: 3, From: "new", To: "at_risk",
		EffectiveAt: at(t, "1997-04-01T00:00:00Z"),
	}
	r.SetID()
	// printf 'customer-value\0stage_change\0value\0u1\0003\0new\0at_risk\0001997-04-01T00:00:00Z\0' | sha256sum | cut -c 1-32
	if got, want := r.ID.String(), "4a47fe7e386978253e0b02e4019cb495"; got != want {
		t.Errorf("id is %s, want %s", got, want)
	}
}

func TestHeaders(t *testing.T) {
	r := record.Record{Kind: record.SegmentChange, EffectiveAt: at(t, "1997-04-01T00:00:00.500Z")}
	r.SetID()
	got := r.AppendHeaders([]record.Header{{Key: "mine", Value: "1"}}, "/lapwing/shop")
	want := []record.Header{
		{Key: "mine", Value: "1"},
		{Key: "ce_specversion", Value: "1.0"},
		{Key: "ce_id", Value: r.ID.String()},
		{Key: "ce_type", Value: "lapwing.segment_change.v1"},
		{Key: "ce_source", Value: "/lapwing/shop"},
		{Key: "ce_time", Value: "1997-04-01T00:00:00.500Z"},
		{Key: "content-type", Value: "application/json"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("headers are %q, want %q", got, want)
	}
}

// What reads must write, and read again as the same, but for what is written as it
// is: kinds of cause, measures and grains are words, traits and products raw JSON.
func FuzzDecode(f *testing.F) {
	for _, g := range goldens(f) {
		f.Add(g.value.AppendJSON(nil))
	}
	word := func(s string) bool { return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") == "" }
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := record.DecodeRecord(b); err == nil && word(string(r.Cause.Type)) {
			if again, err := record.DecodeRecord(r.AppendJSON(nil)); err != nil || !reflect.DeepEqual(again, r) {
				t.Errorf("%q reads as %+v, then as %+v, %v", b, r, again, err)
			}
		}
		if p, err := record.DecodeProfile(b); err == nil {
			if again, err := record.DecodeProfile(p.AppendJSON(nil)); err != nil || !reflect.DeepEqual(again, p) {
				t.Errorf("%q reads as %+v, then as %+v, %v", b, p, again, err)
			}
		}
		if a, err := record.DecodeAggregate(b); err == nil && word(string(a.Measure)+string(a.Grain)) {
			if again, err := record.DecodeAggregate(a.AppendJSON(nil)); err != nil || again != a {
				t.Errorf("%q reads as %+v, then as %+v, %v", b, a, again, err)
			}
		}
		if a, err := record.DecodeActivity(b); err == nil {
			if again, err := record.DecodeActivity(a.AppendJSON(nil)); err != nil || !reflect.DeepEqual(again, a) {
				t.Errorf("%q reads as %+v, then as %+v, %v", b, a, again, err)
			}
		}
	})
}
