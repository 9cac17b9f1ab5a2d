// SPDX-License-Identifier: Apache-2.0

package event_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"lapwing/schemas/event"
	"lapwing/schemas/instant"
)

// Poison, as it is found on the topics of others: each has its cause, and the message
// after it is read as if nothing had been.
func TestPoison(t *testing.T) {
	object := func(fields string) []byte {
		return []byte(`{"type":"track","userId":"u","timestamp":"2001-01-01",` + fields + `}`)
	}
	key64 := strings.Repeat("k", 64<<10)
	for _, c := range []struct {
		why     string
		message []byte
		want    event.Cause
	}{
		{"a tombstone", nil, event.InvalidJSON},
		{"an empty value", []byte{}, event.InvalidJSON},
		{"white space", []byte(" \n"), event.InvalidJSON},
		{"null", []byte("null"), event.InvalidJSON},
		{"a list", []byte("[]"), event.InvalidJSON},
		{"a byte order mark", append([]byte("\xef\xbb\xbf"), object(`"x":1`)...), event.InvalidJSON},
		{"Avro, or any other bytes", []byte("\x00\x00\x00\x00\x01\x02u"), event.InvalidJSON},
		{"gzip", []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00"), event.InvalidJSON},
		{"JSON of 10,000 levels", object(`"x":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)), event.TooDeep},
		{"10,000 levels below a wanted path", object(`"properties":{"total":` + strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_001)), event.TooDeep},
		{"10,000 levels never closed", object(`"x":` + strings.Repeat("[", 10_000)), event.InvalidJSON},
		{"50 MB", object(`"x":"` + strings.Repeat("x", 50_000_000) + `"`), event.TooLarge},
		{"50 MB of levels", object(`"x":` + strings.Repeat("[", 25_000_000) + strings.Repeat("]", 25_000_000)), event.TooLarge},
		{"50 MB that end too early", append(bytes.Repeat([]byte("["), 50_000_000), '{'), event.InvalidJSON},
		{"invalid UTF-8", object("\"x\":\"\xc3\x28\""), event.InvalidUTF8},
		{"Latin 1", object("\"x\":\"caf\xe9\""), event.InvalidUTF8},
		{"UTF-16", slices.Concat([]byte("\xff\xfe"), []byte("{\x00}\x00")), event.InvalidJSON},
		{"NaN", object(`"properties":{"total":NaN}`), event.InvalidJSON},
		{"minus infinity", object(`"properties":{"total":-Infinity}`), event.InvalidJSON},
		{"a number too large to be one", object(`"properties":{"total":1e999999}`), ""},
		{"a number of 100,000 digits", object(`"properties":{"total":` + strings.Repeat("9", 100_000) + `}`), ""},
		{"duplicate keys", object(`"userId":"v","properties":{"total":1},"properties":{"total":2}`), ""},
		{"a duplicate that is no id", object(`"userId":{}`), event.MissingCustomer},
		{"50,000 times the same key", object(strings.Repeat(`"userId":"w",`, 50_000) + `"x":1`), ""},
		{"a key of 64 KB", object(`"` + key64 + `":1`), ""},
		{"a key of 64 KB that is all escapes", object(`"` + strings.Repeat(`\u006b`, 64<<10) + `":1`), ""},
		{"a trait's name of 64 KB", object(`"context":{"traits":{"` + key64 + `":1}}`), ""},
		{"an id of 64 KB", object(`"userId":"` + key64 + `"`), event.InvalidID},
		{"an event's name of 64 KB", object(`"event":"` + key64 + `"`), ""},
	} {
		d := event.NewDecoder(orderProjection(), event.DefaultLimits())
		var m event.Message
		if got := d.Decode(c.message, instant.None, &m); got != c.want {
			t.Errorf("%s: cause %q, want %q", c.why, got, c.want)
		}
		if got := d.Decode([]byte(order), instant.None, &m); got != "" || string(m.Raw(0)) != "29.33" {
			t.Errorf("%s: the message after it has cause %q and total %q", c.why, got, m.Raw(0))
		}
	}
}
