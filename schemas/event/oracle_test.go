// SPDX-License-Identifier: Apache-2.0

package event_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"pgregory.net/rapid"

	"lapwing/schemas/event"
	"lapwing/schemas/instant"
)

// The oracle reads a message with encoding/json, as naively as the contract's words
// allow, and says what Decode has to give.

var oraclePaths = [][]string{
	{"properties"},
	{"properties", "total"},
	{"properties", "a", "b"},
	{"properties", "a"},
	{"properties", "a", "b", "c"},
	{"traits", "country"},
	{"context", "traits"},
	{"context", "device", "type"},
	{"properties", ""},
	{"properties", "total"}, // twice
	{"type", "x"},           // begins elsewhere: nothing
}

type object map[string]json.RawMessage

func objectOf(raw []byte) object {
	var o object
	if json.Unmarshal(raw, &o) != nil {
		return nil
	}
	return o
}

// get is the last value of a key, nil for null.
func (o object) get(key string) []byte {
	if raw := o[key]; raw != nil && string(raw) != "null" {
		return raw
	}
	return nil
}

func stringOf(raw []byte) (string, bool) {
	var s string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", false
	}
	return s, true
}

func idOf(raw []byte) string {
	if s, ok := stringOf(raw); ok {
		return s
	}
	var n json.Number
	if json.Unmarshal(raw, &n) == nil {
		return n.String()
	}
	return ""
}

// levels is how deep the objects and lists of valid JSON are nested.
func levels(b []byte) (most int) {
	depth := 0
	for tokens := json.NewDecoder(bytes.NewReader(b)); ; {
		token, err := tokens.Token()
		if err != nil {
			return most
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
			most = max(most, depth)
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
}

// isText reports whether valid JSON is UTF-8 without NUL and lone surrogates.
func isText(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	rest := strings.ReplaceAll(string(b), `\\`, "__")
	for {
		_, after, found := strings.Cut(rest, `\u`)
		if !found {
			return true
		}
		unit, _ := strconv.ParseUint(after[:4], 16, 32)
		rest = after[4:]
		if unit == 0 {
			return false
		}
		if utf16.IsSurrogate(rune(unit)) {
			if !strings.HasPrefix(rest, `\u`) {
				return false
			}
			low, _ := strconv.ParseUint(rest[2:6], 16, 32)
			if utf16.DecodeRune(rune(unit), rune(low)) == utf8.RuneError {
				return false
			}
			rest = rest[6:]
		}
	}
}

// rfc3339 is the grammar, which package time takes less seriously.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

func timeOf(s string) instant.Instant {
	if len(s) == len("2006-01-02") {
		s += "T00:00:00Z"
	}
	t, err := time.Parse(time.RFC3339Nano, strings.ToUpper(s))
	if t = t.UTC(); err != nil || !rfc3339.MatchString(s) || t.Year() < 1970 || t.Year() > 2200 {
		return instant.None
	}
	return instant.Instant(t.UnixMilli())
}

type want struct {
	cause                                    event.Cause
	typ, event, name, zone                   string
	messageID, user, anonymous, previous, gr string
	customer                                 string
	time                                     instant.Instant
	traits                                   []byte
	values                                   [][]byte
}

func oracle(b []byte, l event.Limits, recordTime instant.Instant) (w want) {
	top := objectOf(b)
	if !json.Valid(b) || top == nil {
		return want{cause: event.InvalidJSON}
	}
	switch {
	case len(b) > l.MaxBytes:
		return want{cause: event.TooLarge}
	case levels(b) > l.MaxDepth:
		return want{cause: event.TooDeep}
	case !isText(b):
		return want{cause: event.InvalidUTF8}
	}
	context := objectOf(top.get("context"))
	w.typ, _ = stringOf(top.get("type"))
	w.event, _ = stringOf(top.get("event"))
	w.name, _ = stringOf(top.get("name"))
	w.zone, _ = stringOf(context.get("timezone"))
	w.messageID, w.user, w.anonymous = idOf(top.get("messageId")), idOf(top.get("userId")), idOf(top.get("anonymousId"))
	w.previous, w.gr = idOf(top.get("previousId")), idOf(top.get("groupId"))
	if w.customer = w.user; w.customer == "" {
		w.customer = w.anonymous
	}
	w.traits = context.get("traits")
	if w.typ == "identify" {
		w.traits = top.get("traits")
	}
	if objectOf(w.traits) == nil {
		w.traits = nil
	}
	for _, path := range oraclePaths {
		raw, isObject := b, true
		for i, key := range path {
			raw = objectOf(raw).get(key)
			if i == 0 {
				isObject = objectOf(raw) != nil
			}
		}
		if !isObject || path[0] == "type" {
			raw = nil
		}
		w.values = append(w.values, raw)
	}
	switch {
	case w.typ == "":
		w.cause = event.MissingType
		return w
	case w.customer == "":
		w.cause = event.MissingCustomer
		return w
	}
	for _, id := range []string{w.messageID, w.user, w.anonymous, w.previous, w.gr} {
		if len(id) > 256 {
			w.cause = event.InvalidID
			return w
		}
	}
	w.time = recordTime
	if s, ok := stringOf(top.get("originalTimestamp")); ok {
		w.time = timeOf(s)
	}
	if raw := top.get("timestamp"); raw != nil {
		s, _ := stringOf(raw)
		w.time = timeOf(s)
	}
	switch {
	case w.time == instant.None:
		w.cause = event.InvalidTime
	case recordTime != instant.None && w.time > recordTime.Add(l.MaxFuture):
		w.cause = event.FutureTime
	}
	return w
}

// checkAgainstOracle returns what is wrong, or "".
func checkAgainstOracle(d *event.Decoder, b []byte, l event.Limits, recordTime instant.Instant, m *event.Message) string {
	w := oracle(b, l, recordTime)
	source := bytes.Clone(b)
	if cause := d.Decode(b, recordTime, m); cause != w.cause {
		return fmt.Sprintf("cause %q, want %q", cause, w.cause)
	}
	if !bytes.Equal(source, b) {
		return "Decode changed the message"
	}
	if w.cause != "" {
		return ""
	}
	for _, f := range []struct {
		name string
		got  []byte
		want string
	}{
		{"type", m.Type, w.typ},
		{"event", m.Event, w.event},
		{"name", m.Name, w.name},
		{"messageId", m.MessageID, w.messageID},
		{"userId", m.UserID, w.user},
		{"anonymousId", m.AnonymousID, w.anonymous},
		{"previousId", m.PreviousID, w.previous},
		{"groupId", m.GroupID, w.gr},
		{"customer", m.Customer, w.customer},
		{"zone", m.Zone, w.zone},
		{"traits", m.Traits, string(w.traits)},
	} {
		if string(f.got) != f.want {
			return fmt.Sprintf("%s is %q, want %q", f.name, f.got, f.want)
		}
	}
	if m.Time != w.time {
		return fmt.Sprintf("time is %v, want %v", m.Time, w.time)
	}
	for i, path := range oraclePaths {
		if got := m.Raw(i); !bytes.Equal(got, w.values[i]) || (got == nil) != (w.values[i] == nil) {
			return fmt.Sprintf("raw value of %q is %q, want %q", path, got, w.values[i])
		}
	}
	return ""
}

// Small limits, so that random messages meet them.
var oracleLimits = event.Limits{MaxBytes: 400, MaxDepth: 5, MaxFuture: 24 * time.Hour}

const oracleRecordTime instant.Instant = 1_000_000_000_000 // 2001-09-09T01:46:40Z

func TestDecodeAgainstEncodingJSON(t *testing.T) {
	d := event.NewDecoder(event.NewProjection(oraclePaths...), oracleLimits)
	var m event.Message
	seen := map[event.Cause]int{}
	rapid.Check(t, func(rt *rapid.T) {
		b := drawMessage(rt)
		recordTime := rapid.SampledFrom([]instant.Instant{instant.None, oracleRecordTime}).Draw(rt, "record time")
		if wrong := checkAgainstOracle(d, b, oracleLimits, recordTime, &m); wrong != "" {
			rt.Fatalf("%s\nmessage %q\nrecord time %v", wrong, b, recordTime)
		}
		seen[oracle(b, oracleLimits, recordTime).cause]++
	})
	t.Logf("causes met: %v", seen)
	if seen[""] == 0 || seen[event.InvalidJSON] == 0 {
		t.Errorf("random messages are all of one sort: %v", seen)
	}
}

// drawMessage draws what is a message more often than not.
func drawMessage(t *rapid.T) []byte {
	var b []byte
	blank := func() {
		b = append(b, rapid.SampledFrom([]string{"", "", "", " ", "\n\t", "\r"}).Draw(t, "blank")...)
	}
	var value func(depth int)
	members := func(depth int, keys []string, n int) {
		b = append(b, '{')
		for i := range n {
			if i > 0 {
				b = append(b, ',')
			}
			blank()
			b = append(b, escapeSome(t, rapid.SampledFrom(keys).Draw(t, "key"))...)
			blank()
			b = append(b, ':')
			blank()
			value(depth + 1)
			blank()
		}
		b = append(b, '}')
	}
	scalars := []string{
		`null`, `true`, `false`, `0`, `-0.5`, `12.50e+3`, `""`, `"x"`, `"track"`, `"identify"`, `"group"`, `"2001-09-09"`, `"2001-09-09T01:46:40.1239+02:00"`,
		`"2001-09-10T01:46:40.000Z"`, `"2001-09-10T01:46:40.001Z"`, `"10000-01-01"`, `"é😀"`, `"\u00e9\ud83d\ude00\/"`, `"` + strings.Repeat("y", 257) + `"`, `"` + strings.Repeat("y", 256) + `"`,
	}
	rare := []string{`"\u0000"`, `"\ud800"`, `"\udc00\ud800"`, "\"\xff\"", "\"\x00\"", `01`, `1.`, `"\x"`, `tru`, `[1,]`, `{"a":1,}`, `"\ud83d\u0041"`, `.5`, `-`, `1e`, `"\u00g0"`}
	inner := []string{"total", "a", "b", "c", "", "country", "traits", "timezone", "device", "type", "é"}
	value = func(depth int) {
		switch k := rapid.IntRange(0, 60).Draw(t, "kind"); {
		case k == 0:
			b = append(b, rapid.SampledFrom(rare).Draw(t, "rare")...)
		case k < 18 && depth < 7:
			members(depth, inner, rapid.IntRange(0, 4).Draw(t, "members"))
		case k < 22 && depth < 7:
			b = append(b, '[')
			for i := range rapid.IntRange(0, 3).Draw(t, "elements") {
				if i > 0 {
					b = append(b, ',')
				}
				blank()
				value(depth + 1)
			}
			b = append(b, ']')
		default:
			b = append(b, rapid.SampledFrom(scalars).Draw(t, "scalar")...)
		}
	}
	blank()
	b = append(b, '{')
	sound := rapid.Bool().Draw(t, "sound")
	if sound {
		b = append(b, `"type":"track","userId":"u","timestamp":"2001-09-09T01:46:40Z",`...)
	}
	fields := []string{
		"type", "event", "name", "messageId", "userId", "anonymousId", "previousId", "groupId", "timestamp", "originalTimestamp",
		"properties", "properties", "properties", "traits", "traits", "context", "context", "Type", "other",
	}
	if sound {
		fields = fields[10:]
	}
	for i := range rapid.IntRange(1, 6).Draw(t, "fields") {
		if i > 0 {
			b = append(b, ',')
		}
		blank()
		b = append(b, escapeSome(t, rapid.SampledFrom(fields).Draw(t, "field"))...)
		b = append(b, ':')
		blank()
		value(1)
	}
	b = append(b, '}')
	blank()
	if rapid.IntRange(0, 9).Draw(t, "broken") == 0 {
		i := rapid.IntRange(0, len(b)-1).Draw(t, "at")
		b[i] = rapid.SampledFrom([]byte("\"\\{}[],: 0n\x00\x1f\x7f\x80\xc3\xf0a")).Draw(t, "byte")
	}
	return b
}

// escapeSome is s as a JSON string, now and then with one of its letters escaped.
func escapeSome(t *rapid.T, s string) string {
	if s == "" || s[0] >= utf8.RuneSelf || rapid.IntRange(0, 9).Draw(t, "escape") > 0 {
		return `"` + s + `"`
	}
	return fmt.Sprintf(`"\u%04x%s"`, s[0], s[1:])
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		order, ``, ` `, `{`, `{}`, `[]`, `null`, `{"type":"track"}`, `{"type":"track","userId":1}`,
		`{"type":"identify","userId":"u","traits":{"country":"FR"},"timestamp":"2001-01-01"}`,
		`{"type":"page","anonymousId":"a","context":{"traits":{"x":[{}]},"timezone":"UTC"},"timestamp":null}`,
		`{"type":"track","userId":"u","properties":{"a":{"b":{"c":1}},"a":{"b":2}}}`,
		`{"type":"track","userId":"\ud83d\ude00","properties":{"total":1,"total":null}}`,
		`{"type":"track","userId":"\u0000"}`, "{\"type\":\"track\",\"userId\":\"\xff\"}", `{"a":[[[[[[]]]]]]}`, `{"type":1e5,"userId":-0}x`,
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	d := event.NewDecoder(event.NewProjection(oraclePaths...), oracleLimits)
	f.Fuzz(func(t *testing.T, b []byte, recorded bool) {
		if bytes.Count(b, []byte("["))+bytes.Count(b, []byte("{")) >= 10_000 {
			return // encoding/json gives up at that depth
		}
		recordTime := instant.None
		if recorded {
			recordTime = oracleRecordTime
		}
		var m event.Message
		if wrong := checkAgainstOracle(d, b, oracleLimits, recordTime, &m); wrong != "" {
			t.Fatalf("%s\nmessage %q\nrecord time %v", wrong, b, recordTime)
		}
	})
}
