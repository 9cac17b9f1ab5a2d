// SPDX-License-Identifier: Apache-2.0

package event_test

import (
	"bytes"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"lapwing/schemas/event"
	"lapwing/schemas/instant"
)

func at(t *testing.T, text string) instant.Instant {
	t.Helper()
	i, ok := instant.Parse(text)
	if !ok {
		t.Fatalf("%q is no time", text)
	}
	return i
}

// Every sentence of the contract about what cannot be used, in its order.
func TestCauses(t *testing.T) {
	const sound = `"type":"track","userId":"u","timestamp":"2001-01-01"`
	id256, id257 := strings.Repeat("i", 256), strings.Repeat("i", 257)
	nested := func(levels int) string {
		return `{` + sound + `,"x":` + strings.Repeat("[", levels-1) + strings.Repeat("]", levels-1) + `}`
	}
	sized := func(size int) string {
		s := `{` + sound + `,"x":"`
		return s + strings.Repeat("x", size-len(s)-2) + `"}`
	}
	for _, c := range []struct {
		why     string
		message string
		want    event.Cause
	}{
		{"a sound message", `{` + sound + `}`, ""},
		{"white space around it", " \t\r\n{" + sound + "}\n ", ""},

		{"nothing", ``, event.InvalidJSON},
		{"no JSON", `hello`, event.InvalidJSON},
		{"cut off", `{` + sound, event.InvalidJSON},
		{"garbage after it", `{` + sound + `}x`, event.InvalidJSON},
		{"two messages", `{` + sound + `}{` + sound + `}`, event.InvalidJSON},
		{"valid JSON that is no object: list", `[{` + sound + `}]`, event.InvalidJSON},
		{"valid JSON that is no object: string", `"track"`, event.InvalidJSON},
		{"valid JSON that is no object: null", `null`, event.InvalidJSON},
		{"a byte order mark", "\ufeff{" + sound + `}`, event.InvalidJSON},
		{"a raw NUL in a string", "{" + sound + ",\"x\":\"a\x00b\"}", event.InvalidJSON},
		{"a raw NUL between tokens", "{\x00" + sound + "}", event.InvalidJSON},
		{"a raw line feed in a string", "{" + sound + ",\"x\":\"a\nb\"}", event.InvalidJSON},
		{"an unknown escape", `{` + sound + `,"x":"\a"}`, event.InvalidJSON},
		{"an escape of three digits", `{` + sound + `,"x":"\u123"}`, event.InvalidJSON},
		{"a leading zero", `{` + sound + `,"x":01}`, event.InvalidJSON},
		{"a leading plus", `{` + sound + `,"x":+1}`, event.InvalidJSON},
		{"NaN", `{` + sound + `,"x":NaN}`, event.InvalidJSON},
		{"a comma too many", `{` + sound + `,}`, event.InvalidJSON},
		{"the wrong bracket", `{` + sound + `,"x":[1}}`, event.InvalidJSON},
		{"a key without quotes", `{` + sound + `,x:1}`, event.InvalidJSON},
		{"invalid UTF-8 outside strings", "{" + sound + "\xff}", event.InvalidJSON},
		{"too deep, but broken", strings.Repeat("[", 65), event.InvalidJSON},
		{"too large, but broken", strings.TrimSuffix(sized(1<<20+1), "}"), event.InvalidJSON},

		{"1 MiB", sized(1 << 20), ""},
		{"more than 1 MiB", sized(1<<20 + 1), event.TooLarge},
		{"too large by white space", sized(1<<20) + " ", event.TooLarge},
		{"too large and too deep", sized(1 << 20)[:1<<20-1] + `,"y":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, event.TooLarge},

		{"64 levels, the message being the first", nested(64), ""},
		{"65 levels", nested(65), event.TooDeep},
		{"65 levels of objects", `{` + sound + `,"x":` + strings.Repeat(`{"x":`, 64) + "1" + strings.Repeat("}", 64) + `}`, event.TooDeep},
		{"too deep and no UTF-8", strings.Replace(nested(65), "[]", "[\"\xff\"]", 1), event.TooDeep},

		{"invalid UTF-8 in a value", "{" + sound + ",\"x\":\"\xff\"}", event.InvalidUTF8},
		{"invalid UTF-8 in a key", "{" + sound + ",\"\xc3\":1}", event.InvalidUTF8},
		{"UTF-8 cut off by the quote", "{" + sound + ",\"x\":\"\xe2\x82\"}", event.InvalidUTF8},
		{"an overlong form", "{" + sound + ",\"x\":\"\xc0\xaf\"}", event.InvalidUTF8},
		{"a surrogate in UTF-8", "{" + sound + ",\"x\":\"\xed\xa0\x80\"}", event.InvalidUTF8},
		{"NUL in a value", `{` + sound + `,"x":"\u0000"}`, event.InvalidUTF8},
		{"NUL in a key", `{` + sound + `,"\u0000":1}`, event.InvalidUTF8},
		{"NUL in an id", `{"type":"track","userId":"a\u0000b","timestamp":"2001-01-01"}`, event.InvalidUTF8},
		{"a high surrogate alone", `{` + sound + `,"x":["\uD83D"]}`, event.InvalidUTF8},
		{"a low surrogate alone", `{` + sound + `,"x":"\ude00"}`, event.InvalidUTF8},
		{"surrogates the wrong way round", `{` + sound + `,"x":"\ude00\ud83d"}`, event.InvalidUTF8},
		{"two high surrogates, then a low one", `{` + sound + `,"x":"\ud83d\ud83d\ude00"}`, event.InvalidUTF8},
		{"a lone surrogate in an id, no type", `{"userId":"\ud83d"}`, event.InvalidUTF8},
		{"a pair of surrogates", `{` + sound + `,"x":"\ud83d\uDE00"}`, ""},
		{"a written backslash before u0000", `{` + sound + `,"x":"\\u0000"}`, ""},

		{"no type", `{"userId":"u","timestamp":"2001-01-01"}`, event.MissingType},
		{"an empty type", `{` + sound + `,"type":""}`, event.MissingType},
		{"a type that is null", `{` + sound + `,"type":null}`, event.MissingType},
		{"a type that is no string", `{` + sound + `,"type":1}`, event.MissingType},
		{"an unknown type is accepted", `{` + sound + `,"type":"screenshot"}`, ""},
		{"neither type nor customer", `{}`, event.MissingType},

		{"no id", `{"type":"track","timestamp":"2001-01-01"}`, event.MissingCustomer},
		{"an empty userId", `{` + sound + `,"userId":""}`, event.MissingCustomer},
		{"a userId that is an object", `{` + sound + `,"userId":{}}`, event.MissingCustomer},
		{"a userId that is a boolean", `{` + sound + `,"userId":true}`, event.MissingCustomer},
		{"a userId that is a list", `{` + sound + `,"userId":["u"]}`, event.MissingCustomer},
		{"a userId that is null", `{` + sound + `,"userId":null}`, event.MissingCustomer},
		{"a previousId alone", `{"type":"alias","previousId":"p","timestamp":"2001-01-01"}`, event.MissingCustomer},
		{"an id with another case", `{"type":"track","userID":"u","timestamp":"2001-01-01"}`, event.MissingCustomer},
		{"no customer, and an id too long", `{"type":"track","messageId":"` + id257 + `"}`, event.MissingCustomer},

		{"an id of 256 bytes", `{` + sound + `,"userId":"` + id256 + `"}`, ""},
		{"an id of 257 bytes", `{` + sound + `,"userId":"` + id257 + `"}`, event.InvalidID},
		{"256 bytes, escaped", `{` + sound + `,"userId":"` + strings.Repeat(`\u0041`, 256) + `"}`, ""},
		{"129 letters of two bytes", `{` + sound + `,"userId":"` + strings.Repeat("é", 129) + `"}`, event.InvalidID},
		{"a number of 257 digits", `{` + sound + `,"userId":` + strings.Repeat("1", 257) + `}`, event.InvalidID},
		{"an anonymousId too long, beside a userId", `{` + sound + `,"anonymousId":"` + id257 + `"}`, event.InvalidID},
		{"a previousId too long", `{` + sound + `,"previousId":"` + id257 + `"}`, event.InvalidID},
		{"a groupId too long", `{` + sound + `,"groupId":"` + id257 + `"}`, event.InvalidID},
		{"a messageId too long", `{` + sound + `,"messageId":"` + id257 + `"}`, event.InvalidID},
		{"an id too long, and no time", `{"type":"track","userId":"` + id257 + `"}`, event.InvalidID},

		{"no time at all", `{"type":"track","userId":"u"}`, event.InvalidTime},
		{"an unreadable timestamp", `{` + sound + `,"timestamp":"yesterday"}`, event.InvalidTime},
		{"an unreadable timestamp, though the other is fine", `{` + sound + `,"timestamp":"","originalTimestamp":"2001-01-01"}`, event.InvalidTime},
		{"a timestamp that is a number", `{` + sound + `,"timestamp":978307200000}`, event.InvalidTime},
		{"a timestamp that is an object", `{` + sound + `,"timestamp":{}}`, event.InvalidTime},
		{"a timestamp in year 10000", `{` + sound + `,"timestamp":"10000-01-01T00:00:00Z"}`, event.InvalidTime},
		{"a timestamp in 1969", `{` + sound + `,"timestamp":"1969-12-31T23:59:59.999Z"}`, event.InvalidTime},
		{"second 60", `{` + sound + `,"timestamp":"1998-12-31T23:59:60Z"}`, event.InvalidTime},
		{"hour 24", `{` + sound + `,"timestamp":"1998-12-31T24:00:00Z"}`, event.InvalidTime},
		{"an unreadable originalTimestamp", `{"type":"track","userId":"u","originalTimestamp":"yesterday"}`, event.InvalidTime},
		{"a timestamp of null is missing", `{` + sound + `,"timestamp":null,"originalTimestamp":"2001-01-01"}`, ""},
		{"any future without a record's time", `{` + sound + `,"timestamp":"2200-12-31"}`, ""},
	} {
		d := event.NewDecoder(event.NewProjection([]string{"properties", "total"}), event.DefaultLimits())
		var m event.Message
		if got := d.Decode([]byte(c.message), instant.None, &m); got != c.want {
			t.Errorf("%s: cause %q, want %q\nmessage %.200q", c.why, got, c.want, c.message)
		}
	}
}

func TestCausesAreInTheContractsOrder(t *testing.T) {
	want := strings.Fields("invalid_json too_large too_deep invalid_utf8 missing_type missing_customer invalid_id invalid_time future_time")
	if !slices.EqualFunc(event.Causes, want, func(c event.Cause, s string) bool { return string(c) == s }) {
		t.Errorf("causes are %v, want %v", event.Causes, want)
	}
}

func TestTimeOfMessage(t *testing.T) {
	recorded := at(t, "2001-06-01T12:00:00Z")
	for _, c := range []struct {
		why, fields string
		recordTime  instant.Instant
		cause       event.Cause
		want        string
	}{
		{"timestamp first", `"timestamp":"2001-05-01","originalTimestamp":"2001-04-01"`, recorded, "", "2001-05-01T00:00:00Z"},
		{"else originalTimestamp", `"originalTimestamp":"2001-04-01"`, recorded, "", "2001-04-01T00:00:00Z"},
		{"else the record's time", `"sentAt":"2001-04-01"`, recorded, "", "2001-06-01T12:00:00Z"},
		{"null is missing", `"timestamp":null,"originalTimestamp":null`, recorded, "", "2001-06-01T12:00:00Z"},
		{"an originalTimestamp of a wrong type is missing", `"originalTimestamp":17`, recorded, "", "2001-06-01T12:00:00Z"},
		{"the last counts", `"timestamp":"bad","timestamp":"2001-05-01"`, recorded, "", "2001-05-01T00:00:00Z"},
		{"the last counts, and it is null", `"timestamp":"bad","timestamp":null`, recorded, "", "2001-06-01T12:00:00Z"},
		{"escapes", `"time\u0073tamp":"2001\u002d05-01"`, recorded, "", "2001-05-01T00:00:00Z"},
		{"24 hours ahead", `"timestamp":"2001-06-02T12:00:00Z"`, recorded, "", "2001-06-02T12:00:00Z"},
		{"a millisecond more", `"timestamp":"2001-06-02T12:00:00.001Z"`, recorded, event.FutureTime, ""},
		{"originalTimestamp too", `"originalTimestamp":"2001-06-02T12:00:00.001Z"`, recorded, event.FutureTime, ""},
		{"a record without a time of its own, and none", `"x":1`, -1, event.InvalidTime, ""},
		{"a record without a time of its own", `"timestamp":"2001-06-01"`, -1, "", "2001-06-01T00:00:00Z"},
		{"a record of an impossible time", `"timestamp":"2001-06-01"`, 1<<63 - 1, "", "2001-06-01T00:00:00Z"},
		{"a record of an impossible time, and none", `"x":1`, 1<<63 - 1, event.InvalidTime, ""},
	} {
		d := event.NewDecoder(nil, event.DefaultLimits())
		var m event.Message
		got := d.Decode([]byte(`{"type":"track","userId":"u",`+c.fields+`}`), c.recordTime, &m)
		if got != c.cause || got == "" && m.Time.String() != c.want {
			t.Errorf("%s: cause %q and time %v, want %q and %s", c.why, got, m.Time, c.cause, c.want)
		}
	}
}

func TestFields(t *testing.T) {
	type fields struct{ customer, messageID, zone, traits, total, b string }
	for _, c := range []struct {
		why, message string
		want         fields
	}{
		{"userId before anonymousId", `{"anonymousId":"a","userId":"u","type":"track"}`, fields{customer: "u"}},
		{"else anonymousId", `{"anonymousId":"a","userId":"","type":"track"}`, fields{customer: "a"}},
		{"an object as userId", `{"anonymousId":"a","userId":{"x":1},"type":"track"}`, fields{customer: "a"}},
		{"a number becomes its JSON text", `{"userId":1.50e1,"type":"track","messageId":7}`, fields{customer: "1.50e1", messageID: "7"}},
		{"text is unescaped", `{"userId":"\u00fc\"\\\/\b\f\n\r\t\ud83d\ude00","type":"track"}`, fields{customer: "ü\"\\/\b\f\n\r\t😀"}},
		{"an empty messageId is none", `{"userId":"u","type":"track","messageId":""}`, fields{customer: "u"}},
		{"the last of equal keys counts", `{"userId":"u","userId":"v","type":"track","messageId":"x","messageId":null}`, fields{customer: "v"}},
		{"also when one is escaped", `{"userId":"u","user\u0049d":"v","type":"track"}`, fields{customer: "v"}},
		{"traits of an identify, wherever type stands", `{"context":{"traits":{"c":1}},"traits":{"t":1},"userId":"u","type":"identify"}`, fields{customer: "u", traits: `{"t":1}`}},
		{"context.traits of another type", `{"context":{"traits":{"c":1},"timezone":"UTC"},"traits":{"t":1},"userId":"u","type":"track"}`, fields{customer: "u", traits: `{"c":1}`, zone: "UTC"}},
		{"a group's own traits are not the person's", `{"traits":{"t":1},"userId":"u","type":"group","groupId":"g"}`, fields{customer: "u"}},
		{"traits that are no object", `{"traits":[1],"userId":"u","type":"identify"}`, fields{customer: "u"}},
		{"raw values as they stand", `{"userId":"u","type":"track","properties":{"total": 1.50 ,"a":{ "b" : [1, {}] }}}`, fields{customer: "u", total: "1.50", b: "[1, {}]"}},
		{"a second properties forgets the first", `{"userId":"u","type":"track","properties":{"total":1,"a":{"b":2}},"properties":{"total":3}}`, fields{customer: "u", total: "3"}},
		{"a second properties that is no object", `{"userId":"u","type":"track","properties":{"total":1},"properties":7}`, fields{customer: "u"}},
		{"deeper too", `{"userId":"u","type":"track","properties":{"a":{"b":1},"a":{"c":2}}}`, fields{customer: "u"}},
		{"a path through a list finds nothing", `{"userId":"u","type":"track","properties":{"a":[{"b":1}]}}`, fields{customer: "u"}},
		{"null is nothing", `{"userId":"u","type":"track","properties":{"total":null}}`, fields{customer: "u"}},
	} {
		d := event.NewDecoder(event.NewProjection([]string{"properties", "total"}, []string{"properties", "a", "b"}), event.DefaultLimits())
		var m event.Message
		if cause := d.Decode([]byte(c.message), at(t, "2001-01-01"), &m); cause != "" {
			t.Errorf("%s: cause %q", c.why, cause)
			continue
		}
		got := fields{string(m.Customer), string(m.MessageID), string(m.Zone), string(m.Traits), string(m.Raw(0)), string(m.Raw(1))}
		if got != c.want {
			t.Errorf("%s:\n got %+v\nwant %+v", c.why, got, c.want)
		}
	}
}

// What an attacker or a broken device may send costs neither the process nor much memory.
func TestHugeMessages(t *testing.T) {
	const mib = 1 << 20
	deep := func(levels int, open, middle, end string) []byte {
		return slices.Concat([]byte(`{"type":"track","userId":"u","timestamp":"2001-01-01","properties":{"total":`), bytes.Repeat([]byte(open), levels), []byte(middle), bytes.Repeat([]byte(end), levels), []byte(`}}`))
	}
	for _, c := range []struct {
		why     string
		message []byte
		want    event.Cause
	}{
		{"10,000 lists", deep(10_000, "[", "", "]"), event.TooDeep},
		{"10,000 objects", deep(10_000, `{"a":`, "1", "}"), event.TooDeep},
		{"10,000 lists never closed", bytes.Repeat([]byte("["), 10_000), event.InvalidJSON},
		{"10,000 lists, the wrong one closed", deep(10_000, "[", "}", "]"), event.InvalidJSON},
		{"10,000,000 lists", deep(10_000_000, "[", "", "]"), event.TooLarge},
		{"lists and objects in turn", deep(1000, `[{"a":`, "1", "}]"), event.TooDeep},
		{"a string of 50 MB", slices.Concat([]byte(`{"type":"`), bytes.Repeat([]byte("x"), 50*mib), []byte(`"}`)), event.TooLarge},
		{"a key of 50 MB, all of it escapes", slices.Concat([]byte(`{"\"`), bytes.Repeat([]byte(`\\`), 25*mib), []byte(`":1}`)), event.TooLarge},
		{"50 MB of NUL", make([]byte, 50*mib), event.InvalidJSON},
	} {
		d := event.NewDecoder(orderProjection(), event.DefaultLimits())
		var m event.Message
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if got := d.Decode(c.message, instant.None, &m); got != c.want {
			t.Errorf("%s: cause %q, want %q", c.why, got, c.want)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > uint64(8*mib+4*len(c.message)) {
			t.Errorf("%s: %d MiB allocated for a message of %d MiB", c.why, used/mib, len(c.message)/mib)
		}
		if got := d.Decode([]byte(order), instant.None, &m); got != "" || string(m.Raw(0)) != "29.33" {
			t.Errorf("%s: the message after it has cause %q and total %q", c.why, got, m.Raw(0))
		}
	}
}

func TestLimitsAreSettings(t *testing.T) {
	d := event.NewDecoder(nil, event.Limits{MaxBytes: 100, MaxDepth: 1, MaxFuture: time.Minute})
	var m event.Message
	for message, want := range map[string]event.Cause{
		`{"type":"track","userId":"u"}`:                                    "",
		`{"type":"track","userId":"u","x":{}}`:                             event.TooDeep,
		`{"type":"track","userId":"u","x":"` + strings.Repeat("x", 100):    event.InvalidJSON,
		`{"type":"track","userId":"` + strings.Repeat("u", 100) + `"}`:     event.TooLarge,
		`{"type":"track","userId":"u","timestamp":"2001-01-01T00:01:01Z"}`: event.FutureTime,
	} {
		if got := d.Decode([]byte(message), at(t, "2001-01-01"), &m); got != want {
			t.Errorf("%s: cause %q, want %q", message, got, want)
		}
	}
}

// A message is read the same whatever messages came before it: the order of their
// keys, which a Decoder learns, is no more than a guess.
func TestTheOrderOfKeysDoesNotMatter(t *testing.T) {
	messages := []string{
		`{"type":"track","userId":"u","timestamp":"2001-01-01","properties":{"total":1,"b":2}}`,
		`{"properties":{"b":2,"total":1},"timestamp":"2001-01-01","userId":"u","type":"track"}`,
		`{"type":"track","properties":{"total":1,"x":{"b":3},"b":2},"userId":"u","timestamp":"2001-01-01"}`,
		`{ "type" : "track" , "userId":"u","userId" :"u","timestamp":"2001-01-01","properties": {"total": 1 ,"b":3,"b":2}}`,
		`{"type":"track","userId":"u","traits":{"total":9},"timestamp":"2001-01-01","properties":{"b":2,"b":2,"total":1},"context":{"total":8}}`,
		`{"other":{"type":"page","userId":"v"},"type":"track","user\u0049d":"u","timestamp":"2001-01-01","properties":{"\u0062":2,"total":1}}`,
	}
	broken := []string{`{"type":`, `{"type":"track","userId"`, `{"type":"track","userId":`, `{"type": `}
	d := event.NewDecoder(event.NewProjection([]string{"properties", "total"}, []string{"properties", "b"}), event.DefaultLimits())
	for i := range len(messages) * len(messages) {
		for _, text := range []string{messages[i/len(messages)], messages[i%len(messages)]} {
			var m event.Message
			if cause := d.Decode([]byte(text), instant.None, &m); cause != "" {
				t.Fatalf("%s: %s", cause, text)
			}
			if string(m.Type) != "track" || string(m.UserID) != "u" || string(m.Raw(0)) != "1" || string(m.Raw(1)) != "2" {
				t.Errorf("%s: type %q, userId %q, total %q, b %q", text, m.Type, m.UserID, m.Raw(0), m.Raw(1))
			}
			for _, b := range broken {
				if cause := d.Decode([]byte(b), instant.None, &m); cause != event.InvalidJSON {
					t.Errorf("%s: cause %q, want %q", b, cause, event.InvalidJSON)
				}
			}
		}
	}
}
