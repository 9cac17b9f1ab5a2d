// SPDX-License-Identifier: Apache-2.0

package instant_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lapwing/schemas/instant"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		why, text, want string // want "" : no time
	}{
		{"UTC", "1997-04-01T12:34:56Z", "1997-04-01T12:34:56Z"},
		{"a date alone is midnight UTC", "1997-04-01", "1997-04-01T00:00:00Z"},
		{"an offset is taken off", "1997-04-01T01:30:00+02:00", "1997-03-31T23:30:00Z"},
		{"an offset is added", "1997-12-31T23:30:00-00:45", "1998-01-01T00:15:00Z"},
		{"no offset known", "1997-04-01T00:00:00-00:00", "1997-04-01T00:00:00Z"},
		{"the greatest offset", "1997-04-01T00:00:00+23:59", "1997-03-31T00:01:00Z"},
		{"milliseconds", "1997-04-01T00:00:00.120Z", "1997-04-01T00:00:00.120Z"},
		{"one digit", "1997-04-01T00:00:00.1Z", "1997-04-01T00:00:00.100Z"},
		{"cut, not rounded", "1997-04-01T00:00:00.9999999999999999999999999Z", "1997-04-01T00:00:00.999Z"},
		{"less than a millisecond", "1997-04-01T00:00:00.000999Z", "1997-04-01T00:00:00Z"},
		{"small letters, as RFC 3339 allows", "1997-04-01t00:00:00z", "1997-04-01T00:00:00Z"},
		{"leap day", "2000-02-29", "2000-02-29T00:00:00Z"},
		{"the first instant", "1970-01-01", "1970-01-01T00:00:00Z"},
		{"the first instant, elsewhere", "1969-12-31T23:00:00-01:00", "1970-01-01T00:00:00Z"},
		{"the last instant", "2200-12-31T23:59:59.9999Z", "2200-12-31T23:59:59.999Z"},
		{"the last instant, elsewhere", "2201-01-01T00:59:59.999+01:00", "2200-12-31T23:59:59.999Z"},
		{"before the first", "1969-12-31T23:59:59.9999Z", ""},
		{"before the first by its offset", "1970-01-01T00:00:00+00:01", ""},
		{"2201", "2201-01-01", ""},
		{"2201 by its offset", "2200-12-31T23:59:00-00:01", ""},
		{"year 10000", "10000-01-01T00:00:00Z", ""},
		{"year 0", "0000-01-01T00:00:00Z", ""},
		{"second 60", "1998-12-31T23:59:60Z", ""},
		{"hour 24", "1998-12-31T24:00:00Z", ""},
		{"minute 60", "1998-12-31T23:60:00Z", ""},
		{"month 0", "1998-00-10", ""},
		{"month 13", "1998-13-10", ""},
		{"day 0", "1998-01-00", ""},
		{"no leap year", "1900-02-29", ""},
		{"no leap year either", "1999-02-29", ""},
		{"April has 30 days", "1999-04-31", ""},
		{"no zone", "1999-04-30T00:00:00", ""},
		{"no zone after a fraction", "1999-04-30T00:00:00.5", ""},
		{"no digit in the fraction", "1999-04-30T00:00:00.Z", ""},
		{"a comma", "1999-04-30T00:00:00,5Z", ""},
		{"no seconds", "1999-04-30T00:00Z", ""},
		{"a blank for the T", "1999-04-30 00:00:00Z", ""},
		{"something after it", "1999-04-30T00:00:00Z ", ""},
		{"something after the offset", "1999-04-30T00:00:00+01:00x", ""},
		{"an offset without a colon", "1999-04-30T00:00:00+0100", ""},
		{"an offset of a day", "1999-04-30T00:00:00+24:00", ""},
		{"an offset of 60 minutes", "1999-04-30T00:00:00+00:60", ""},
		{"a sign in the hour", "1999-04-30T-1:00:00Z", ""},
		{"one digit for the month", "1999-4-30", ""},
		{"a time alone", "00:00:00Z", ""},
		{"seconds since 1970", "925430400000", ""},
		{"nothing", "", ""},
	} {
		got, ok := instant.Parse(c.text)
		if !ok {
			if got != instant.None {
				t.Errorf("%s: Parse(%q) is no time, but gives %d, want None", c.why, c.text, got)
			}
			got = instant.None
		}
		text := got.String()
		if got == instant.None {
			text = ""
		}
		if text != c.want {
			t.Errorf("%s: Parse(%q) = %q, want %q", c.why, c.text, text, c.want)
		}
		if fromBytes, okBytes := instant.Parse([]byte(c.text)); fromBytes != got || okBytes != ok {
			t.Errorf("%s: Parse of the bytes of %q differs: %v, %v", c.why, c.text, fromBytes, okBytes)
		}
	}
}

// grammar is RFC 3339's, which package time takes less seriously.
var grammar = regexp.MustCompile(`^\d{4}-\d\d-\d\d([Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d))?$`)

// byPackageTime is Parse, written with package time.
func byPackageTime(s string) (instant.Instant, bool) {
	if !grammar.MatchString(s) {
		return instant.None, false
	}
	if len(s) == len(time.DateOnly) {
		s += "T00:00:00Z"
	}
	t, err := time.Parse(time.RFC3339Nano, strings.ToUpper(s))
	t = t.UTC()
	if err != nil || t.Year() < 1970 || t.Year() > 2200 {
		return instant.None, false
	}
	return instant.Instant(t.Unix()*1000 + int64(t.Nanosecond())/1_000_000), true
}

func TestParseEveryDay(t *testing.T) {
	for day := time.Date(1969, 12, 25, 0, 0, 0, 0, time.UTC); day.Year() < 2202; day = day.AddDate(0, 0, 1) {
		text := day.Format(time.DateOnly)
		got, ok := instant.Parse(text)
		if want, wantOK := byPackageTime(text); got != want || ok != wantOK {
			t.Fatalf("Parse(%q) = %d, %v, want %d, %v", text, got, ok, want, wantOK)
		}
	}
}

func TestParseAgainstPackageTime(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := func(label string, low, high int) int { return rapid.IntRange(low, high).Draw(rt, label) }
		text := fmt.Sprintf("%04d-%02d-%02d", n("year", 1968, 2202), n("month", 0, 13), n("day", 0, 32))
		if rapid.Bool().Draw(rt, "clock") {
			text += fmt.Sprintf("%c%02d:%02d:%02d", rapid.SampledFrom([]rune("TTTt ")).Draw(rt, "t"), n("hour", 0, 24), n("minute", 0, 60), n("second", 0, 60))
			text += rapid.StringMatching(`(\.[0-9]{0,12})?`).Draw(rt, "fraction")
			text += rapid.StringMatching(`Z|z|[+-][0-2][0-9]:[0-6][0-9]|`).Draw(rt, "zone")
		}
		got, ok := instant.Parse(text)
		if want, wantOK := byPackageTime(text); got != want || ok != wantOK {
			rt.Fatalf("Parse(%q) = %d, %v, want %d, %v", text, got, ok, want, wantOK)
		}
	})
}

func TestParseReadsWhatAppendWrites(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		i := instant.Instant(rapid.Int64Range(int64(instant.Min), int64(instant.Max)-1).Draw(rt, "instant"))
		text := i.AppendRFC3339(nil)
		if got, ok := instant.Parse(text); got != i || !ok {
			rt.Fatalf("Parse(%q) = %d, %v, want %d", text, got, ok, i)
		}
		layout := "2006-01-02T15:04:05Z"
		if i%1000 != 0 {
			layout = "2006-01-02T15:04:05.000Z"
		}
		if want := time.UnixMilli(int64(i)).UTC().Format(layout); string(text) != want {
			rt.Fatalf("%d prints as %q, want %q", int64(i), text, want)
		}
	})
}

func TestParseAny(t *testing.T) {
	for _, text := range []string{"0000-01-01T00:00:00Z", "0004-02-29T00:00:00Z", "1969-12-31T23:59:59.999Z", "1900-03-01T00:00:00Z", "2210-05-06T00:00:00Z", "9999-12-31T23:59:59.999Z"} {
		want, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := instant.ParseAny(text); got != instant.Of(want) || !ok {
			t.Errorf("ParseAny(%q) = %d, %v, want %d", text, got, ok, instant.Of(want))
		}
	}
	for _, text := range []string{"10000-01-01", "9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00+00:01", "2100-02-29", "-001-01-01", "2001-01-01T00:00:60Z"} {
		if got, ok := instant.ParseAny(text); ok || got != instant.None {
			t.Errorf("ParseAny(%q) = %d, %v, want none", text, got, ok)
		}
	}
}

func TestParseDoesNotAllocate(t *testing.T) {
	text := []byte("1997-04-01T01:30:00.123456+02:00")
	if allocs := testing.AllocsPerRun(100, func() { instant.Parse(text) }); allocs != 0 {
		t.Errorf("Parse makes %v allocations, want 0", allocs)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"1997-04-01", "1997-04-01T01:30:00.123456+02:00", "2200-12-31T23:59:59.999Z", "1997-04-01t00:00:00z", "1970-01-01T00:00:00-23:59", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := instant.Parse(text)
		if want, wantOK := byPackageTime(text); got != want || ok != wantOK {
			t.Fatalf("Parse(%q) = %d, %v, want %d, %v", text, got, ok, want, wantOK)
		}
	})
}

func TestInstant(t *testing.T) {
	at := instant.Of(time.Date(2001, 9, 9, 1, 46, 40, 1_999_999, time.UTC))
	if at != 1_000_000_000_001 {
		t.Errorf("Of cuts to %d, want 1000000000001", int64(at))
	}
	if got := at.Add(time.Second + 999*time.Microsecond); got != at+1000 {
		t.Errorf("Add moves by %d ms, want 1000", int64(got-at))
	}
	if got := instant.None.Add(time.Hour); !got.IsNone() {
		t.Errorf("None moved is %v, want None", got)
	}
	if got := instant.None.String(); got != "none" {
		t.Errorf("None prints as %q", got)
	}
	if got := instant.Max.String(); got != "2201-01-01T00:00:00Z" {
		t.Errorf("Max is %s", got)
	}
}
