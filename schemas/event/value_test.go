// SPDX-License-Identifier: Apache-2.0

package event_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"lapwing/schemas/event"
)

func TestText(t *testing.T) {
	for _, c := range []struct {
		raw, want string
		ok        bool
	}{
		{`"1"`, "1", true},
		{`1`, "1", true}, // 1 and "1" are equal
		{` 1.50 `, "1.50", true},
		{`true`, "true", true},
		{`""`, "", true},
		{`"\u00e9\n"`, "é\n", true},
		{`{"a": 1}`, `{"a": 1}`, true},
		{`[1, 2]`, `[1, 2]`, true},
		{`null`, "", false},
		{``, "", false},
	} {
		if got, ok := event.Text([]byte(c.raw)); got != c.want || ok != c.ok {
			t.Errorf("Text(%s) = %q, %v, want %q, %v", c.raw, got, ok, c.want, c.ok)
		}
		got, ok := event.AppendText([]byte("x"), []byte(c.raw))
		if string(got) != "x"+c.want || ok != c.ok {
			t.Errorf("AppendText(x, %s) = %q, %v, want %q, %v", c.raw, got, ok, "x"+c.want, c.ok)
		}
	}
}

func TestUnquoteAgainstEncodingJSON(t *testing.T) {
	scratch := make([]byte, 0, 16)
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.String().Draw(rt, "text")
		raw, err := json.Marshal(text)
		if err != nil {
			rt.Fatal(err)
		}
		if rapid.Bool().Draw(rt, "all escaped") {
			raw = []byte{'"'}
			for _, r := range text {
				if r > 0xFFFF {
					raw = fmt.Appendf(raw, `\u%04x\u%04X`, 0xD800+(r-0x10000)>>10, 0xDC00+(r-0x10000)&0x3FF)
				} else {
					raw = fmt.Appendf(raw, `\u%04x`, r)
				}
			}
			raw = append(raw, '"')
		}
		if got, ok := event.Unquote(raw, scratch); string(got) != text || !ok {
			rt.Fatalf("Unquote(%s) = %q, %v, want %q", raw, got, ok, text)
		}
	})
	for _, raw := range []string{``, `"`, `1`, `null`, `{}`, `x"`} {
		if got, ok := event.Unquote([]byte(raw), nil); ok {
			t.Errorf("Unquote(%s) = %q, but that is no string", raw, got)
		}
	}
}

func TestFieldsAndElements(t *testing.T) {
	var got []string
	field := func(key string, value []byte) bool {
		got = append(got, key+"="+string(value))
		return key != "stop"
	}
	for raw, want := range map[string][]string{
		` { "a" : 1 , "b":{"c":[1,2]},"\u0061": null } `: {"a=1", `b={"c":[1,2]}`, "a=null"}, // equal keys in order
		`{"a":1,"stop":2,"b":3}`:                         {"a=1", "stop=2"},
		`{}`:                                             nil,
		`[1]`:                                            nil,
		`null`:                                           nil,
		``:                                               nil,
		`{"a":1,"b":}`:                                   {"a=1"},
	} {
		got = nil
		if event.Fields([]byte(raw), field); !slices.Equal(got, want) {
			t.Errorf("fields of %s are %q, want %q", raw, got, want)
		}
	}
	for raw, want := range map[string][]string{
		` [ 1 , "a,]" , {"b":[2]} , [] , null ] `: {"1", `"a,]"`, `{"b":[2]}`, "[]", "null"},
		`["stop",1]`: {`"stop"`},
		`[]`:         nil,
		`[ ]`:        nil,
		`{"a":1}`:    nil,
		``:           nil,
		`[1,`:        {"1"},
	} {
		got = nil
		event.Elements([]byte(raw), func(value []byte) bool {
			got = append(got, string(value))
			return string(value) != `"stop"`
		})
		if !slices.Equal(got, want) {
			t.Errorf("elements of %s are %q, want %q", raw, got, want)
		}
	}
}

// The functions on raw values take what a program makes up without panicking, and
// agree with encoding/json on what is valid.
func FuzzValues(f *testing.F) {
	for _, seed := range []string{`{"a":1,"b":[{}],"a":"\u0061"}`, `["\ud800",1e9,[[]]]`, `"\`, `"\u12`, `{"a`, `[`, ` null `, "\"\xff\""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var keys, elements int
		event.Fields(raw, func(string, []byte) bool { keys++; return true })
		event.Elements(raw, func([]byte) bool { elements++; return true })
		text, ok := event.Text(raw)
		if !json.Valid(raw) {
			return
		}
		var v any
		if err := json.Unmarshal(raw, &v); err != nil {
			return
		}
		switch v := v.(type) {
		case nil:
			if ok {
				t.Errorf("Text(%q) = %q, want none", raw, text)
			}
		case string:
			if utf8.Valid(raw) && text != v {
				t.Errorf("Text(%q) = %q, want %q", raw, text, v)
			}
		case map[string]any:
			if keys < len(v) {
				t.Errorf("Fields(%q) has %d keys, want %d or more", raw, keys, len(v))
			}
		case []any:
			if elements != len(v) {
				t.Errorf("Elements(%q) has %d elements, want %d", raw, elements, len(v))
			}
		}
	})
}
