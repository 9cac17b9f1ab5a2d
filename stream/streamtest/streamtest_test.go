// SPDX-License-Identifier: Apache-2.0

package streamtest_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lapwing/stream/streamtest"
)

func noFiles(name string) ([]byte, error) {
	return nil, fmt.Errorf("open %s: %w", name, os.ErrNotExist)
}

// play runs a story below the usual two lines, so that its first line is line 3.
func play(story string) *streamtest.Result {
	return streamtest.Run("s.txt", []byte("# A rule.\ndefinition: preset:customer-value\n"+story), noFiles)
}

// TestEveryExpectationCanFail has for each form of the manual a story in which it comes
// true and one in which it does not, with the line and the words of the failure.
func TestEveryExpectationCanFail(t *testing.T) {
	const buys = "on 1997-01-01 ana buys 40 order_id=1\n"
	for _, c := range []struct{ name, holds, fails, line, words string }{
		{"a change", buys + "expect ana value → new", buys + "expect ana value → active", "4", "but came  ana value: → new at 1997-01-01T00:00:00Z because event"},
		{"an arrow of two letters", buys + "expect ana -> new", buys + "expect ana -> active", "4", "expected ana value: → active"},
		{"from", buys + "until 1997-04-01\nexpect ana → new\nexpect ana new → at_risk", buys + "until 1997-04-01\nexpect ana → new\nexpect ana active → at_risk", "6", "but came  ana value: new → at_risk"},
		{"at", buys + "expect ana → new at 1997-01-01", buys + "expect ana → new at 1997-01-01+1ms", "4", "expected ana value: → new at 1997-01-01T00:00:00.001Z"},
		{"because", buys + "expect ana → new because event", buys + "expect ana → new because late event", "4", "because late event"},
		{"no further change", buys + "expect ana → new", buys + "expect ana → new\nexpect ana new → at_risk", "5", "but there is no further change of value"},
		{"a change left over", buys + "until 1997-04-01\nexpect ana → new\nexpect ana new → at_risk", buys + "until 1997-04-01\nexpect ana → new", "5", "but not this one that came too: ana value: new → at_risk"},
		{"enters", buys + "on 1997-01-02 ana has country=FR\nexpect ana enters country=FR", buys + "on 1997-01-02 ana has country=FR\nexpect ana enters country=DE", "5", "no further change of country=DE"},
		{"leaves", "on 1997-01-02 ana has country=FR\non 1997-01-03 ana has country=DE\nexpect ana enters country=FR\nexpect ana leaves country=FR", "on 1997-01-02 ana has country=FR\nexpect ana leaves country=FR", "4", "but came  ana enters country=FR"},
		{"is in", "on 1997-01-02 ana has country=FR\nexpect ana is in country=FR", buys + "expect ana is in big_spenders", "4", "ana is not in it: the segments are []"},
		{"is not in", buys + "expect ana is not in big_spenders", "on 1997-01-02 ana has country=FR\nexpect ana is not in country=FR", "4", "ana is in it: the segments are [country=FR]"},
		{"stage", buys + "expect ana value is new", buys + "expect ana value is active", "4", "ana is new in value, since 1997-01-01T00:00:00Z"},
		{"stage since", buys + "expect ana is new since 1997-01-01", buys + "expect ana is new since 1997-01-02", "4", "ana is new in value"},
		{"will be", buys + "expect ana value will be at_risk at 1997-04-01", buys + "expect ana value will be at_risk at 1997-04-02", "4", "if nothing happens, next is at_risk at 1997-04-01T00:00:00Z"},
		{"will stay", "on 1997-01-01 ana does visit\nexpect ana will stay", buys + "expect ana will stay", "4", "next is at_risk"},
		{"unknown", "expect ana is unknown", buys + "expect ana is unknown", "4", "expected ana to be unknown"},
		{"nothing", buys + "expect ana → new\nexpect nothing else", buys + "expect nothing", "4", "but came ana value: → new"},
		{"nothing for", buys + "on 1997-01-01 ben buys 1\nexpect ana → new\nexpect nothing for ana", buys + "on 1997-01-01 ben buys 1\nexpect nothing for ben", "5", "but came ben value: → new"},
		{"duplicate", "on 1997-01-01 ana buys 1 as m\non 1997-01-02 ana buys 1 as m\nexpect duplicate", buys + "expect duplicate", "4", "the message before is new"},
		{"dead letter", "on 1997-01-01 ana sends {\"type\":\"\"}\nexpect dead letter missing_type", buys + "expect dead letter missing_type", "4", "the message before can be used"},
		{"dead letter of another cause", "on 1997-01-01 ana sends {\"type\":\"\"}\nexpect dead letter missing_type", "on 1997-01-01 ana sends {\"type\":\"\"}\nexpect dead letter invalid_time", "4", "its cause is missing_type"},
		{"dead letter unexpected", "expect ana is unknown", "on 1997-01-01 ana sends {\"type\":\"\"}\nexpect ana is unknown", "3", "cannot be used (missing_type)"},
		{"duplicate unexpected", "expect ana is unknown", "on 1997-01-01 ana buys 1 as m\non 1997-01-02 ana buys 1 as m\nexpect ana is new", "4", "is a duplicate"},
		{"of nobody", buys + "expect ana is new", buys + "expect ann is new", "4", "nothing has happened to ann; there is: ana"},
		{"nothing expected", buys + "expect ana is new", buys, "3", "nothing can fail"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if result := play(c.holds); !result.OK() {
				t.Errorf("does not come true:\n%s\n%s", c.holds, result.Explain())
			}
			result := play(c.fails)
			if text := result.Explain(); !strings.Contains(text, "s.txt:"+c.line+": ") || !strings.Contains(text, c.words) {
				t.Errorf("of\n%s\nline %s should fail with %q; got\n%s", c.fails, c.line, c.words, text)
			}
		})
	}
}

// TestWhatIsNotUnderstood has a line for each mistake in writing.
func TestWhatIsNotUnderstood(t *testing.T) {
	for _, c := range []struct{ line, words string }{
		{"when ana buys", `a line begins with on, until, expect or #, not with "when"`},
		{"on monday ana buys 1", "monday is no time"},
		{"on 1969-12-31 ana buys 1", "is no time"},
		{"on 1970-01-01-1ms ana buys 1", "before 1970 or after 2200"},
		{"on 1997-02-30 ana buys 1", "is no time"},
		{"on 1997-01-01", "write `on TIME CUSTOMER does EVENT`"},
		{"on 1997-01-01 ana", "write `on TIME CUSTOMER does EVENT`"},
		{"on 1997-01-01 ana sings", `"sings" is no verb`},
		{"on 1997-01-01 ana does", "say what the customer does"},
		{"on 1997-01-01 ana does purchas", `no event "purchas"; it has purchase, visit`},
		{"on 1997-01-01 ana does session", "session is derived from visit"},
		{"on 1997-01-01 ana buys", "say for how much"},
		{"on 1997-01-01 ana buys much", `"much" is no amount`},
		{"on 1997-01-01 ana buys 1 order", `"order" is not understood; details are written key=value`},
		{"on 1997-01-01 ana has", "say what the customer has"},
		{`on 1997-01-01 ana sends {"type":`, "one JSON object"},
		{`on 1997-01-01 ana sends {"type":"page"} {}`, "more than one object"},
		{`on 1997-01-01 ana does "visit`, "is not closed"},
		{`on 1997-01-01 ana does visit a={"b":1`, "brackets do not match"},
		{`on 1997-01-01 ana does visit a={b}`, "is no JSON"},
		{"until soon", "soon is no time"},
		{"until 1997-01-01 please", "write `until TIME`"},
		{"expect", "write `expect CUSTOMER MODEL FROM"},
		{"expect ana", "write `expect CUSTOMER MODEL FROM"},
		{"expect ana value → neww", `model value has no stage "neww"; it has prospect, lost`},
		{"expect ana valu → new", `model value has no stage "valu"`},
		{"expect ana value is neww", `no stage "neww"`},
		{"expect ana value will be neww at 1997-01-01", `no stage "neww"`},
		{"expect ana in rich", `no segment "rich"; there is: big_spenders, country=VALUE`},
		{"expect ana in country", `no segment "country"`},
		{"expect ana enters rich", `no segment "rich"`},
		{"expect ana → new on 1997-01-01", "is not understood; after the change may come"},
		{"expect ana → new because magic", "after because comes event, deadline"},
		{"expect dead letter bored", `"bored" is no cause`},
		{"definition: preset:customer-value", "there is a definition already"},
	} {
		result := play("on 1997-01-01 ana does visit\n" + c.line)
		if text := result.Explain(); !strings.HasPrefix(text, "s.txt:4: ") || !strings.Contains(text, c.words) {
			t.Errorf("%s\nshould say s.txt:4 and %q; got\n%s", c.line, c.words, text)
		}
	}
	if result := streamtest.Run("s.txt", []byte("\x7fELF"), noFiles); result.OK() || result.Rule != "" {
		t.Errorf("of a file without a rule, %q became one", result.Rule)
	}
	for _, c := range []struct{ file, words string }{
		{"", "s.txt:1: the first line states the business rule"},
		{"definition: preset:customer-value", "s.txt:1: the first line states the business rule"},
		{"#\n", "s.txt:1: the first line states"},
		{"# Rule.\n", "s.txt:2: nothing happens here"},
		{"# Rule.\nexpect nothing", "s.txt:2: say first which definition"},
		{"# Rule.\ndefinition: preset:nosuch", `s.txt:2: there is no preset "nosuch"`},
		{"# Rule.\ndefinition: nosuch.yaml", "s.txt:2: read the definition"},
		{"# Rule.\ndefinition:\nexpect nothing", "s.txt:2: the definition must stand below"},
		{"# Rule.\ndefinition:\n  lapwing: 1\n  nam: x\nexpect nothing", "s.txt:4:3: "},
	} {
		if text := streamtest.Run("s.txt", []byte(c.file), noFiles).Explain(); !strings.Contains(text, c.words) {
			t.Errorf("%q\nshould say %q; got\n%s", c.file, c.words, text)
		}
	}
}

func TestTimesCanBeMoved(t *testing.T) {
	for _, c := range []struct{ written, means string }{
		{"1997-01-31", "1997-01-31T00:00:00Z"},
		{"1997-01-31 10:30", "1997-01-31T10:30:00Z"},
		{"1997-01-31 10:30:15", "1997-01-31T10:30:15Z"},
		{"1997-01-31 10:30:15.25", "1997-01-31T10:30:15.250Z"},
		{"1997-01-31T10:30:00+02:00", "1997-01-31T08:30:00Z"},
		{"1997-01-31+90d", "1997-05-01T00:00:00Z"},
		{"1997-01-31-1ms", "1997-01-30T23:59:59.999Z"},
		{"1997-01-31+1w-1d+1h-1m+1s-1ms", "1997-02-06T00:59:00.999Z"},
		{"1997-01-31 10:30+1d", "1997-02-01T10:30:00Z"},
		{"1997-01-31T10:30:00+02:00-30m", "1997-01-31T08:00:00Z"},
	} {
		if result := play(fmt.Sprintf("on %s ana buys 1\nexpect ana → new at %s\n", c.written, c.means)); !result.OK() {
			t.Errorf("%s should be %s:\n%s", c.written, c.means, result.Explain())
		}
	}
}

func TestDetailsReachTheMessage(t *testing.T) {
	const definition = `# Rule.
definition:
  lapwing: 1
  name: details
  version: 1
  events:
    hit: {match: [{type: page, name: Prices}], where: %q}
  models:
    - name: m
      stages:
        - {stage: seen, when: "seen('hit', '1d')"}
        - {stage: missed, when: "true"}
`
	for _, c := range []struct{ line, where string }{
		{`does hit total=4.50`, `properties.total == 4.5`},
		{`does hit total="4.50"`, `properties.total == '4.50'`},
		{`does hit plan=pro`, `properties.plan == 'pro'`},
		{`does hit plan="pro plus" # a comment`, `properties.plan == 'pro plus'`},
		{`does hit vip=true`, `properties.vip == true`},
		{`does hit vip=null`, `!has(properties.vip)`},
		{`does hit products=[{"id": 7}, {"id": 8}]`, `properties.products.exists(p, p.id == 8)`},
		{`does hit cart.size=3`, `properties.cart.size == 3`},
		{`does hit context.timezone=Europe/Paris`, `context.timezone == 'Europe/Paris'`},
		{`does hit properties.a=1 traits.b=2`, `properties.a == 1 && traits.b == 2`},
		{`sends {"type":"page","name":"Prices","properties":{"a":{"b":1.25}}}`, `properties.a.b == 1.25 && userId == 'ana'`},
	} {
		source := fmt.Sprintf(definition, c.where) + "on 2026-01-01 ana " + c.line + "\nexpect ana → seen\n"
		if result := streamtest.Run("s.txt", []byte(source), noFiles); !result.OK() {
			t.Errorf("%s\nshould satisfy %s:\n%s", c.line, c.where, result.Explain())
		}
	}
}

func TestDefinitionIsFoundBesideTheScenario(t *testing.T) {
	asked := ""
	read := func(name string) ([]byte, error) { asked = name; return nil, errors.New("stop") }
	for _, c := range []struct{ file, ref, want string }{
		{"a/b/s.txt", "d.yaml", "a/b/d.yaml"},
		{"a/b/s.txt", "../d.yaml", "a/d.yaml"},
		{"s.txt", "d.yaml", "d.yaml"},
		{"a/s.txt", "/etc/d.yaml", "/etc/d.yaml"},
	} {
		streamtest.Run(c.file, []byte("# Rule.\ndefinition: "+c.ref+"\nexpect nothing\n"), read)
		if asked != c.want {
			t.Errorf("%s names %s: asked for %s, not %s", c.file, c.ref, asked, c.want)
		}
	}
}

func TestWindowsLineEndsAndByteOrderMark(t *testing.T) {
	source := "\ufeff# Rule.\r\ndefinition: preset:customer-value\r\non 1997-01-01 ana buys 1\r\nexpect ana → new\r\n"
	if result := streamtest.Run("s.txt", []byte(source), noFiles); !result.OK() || result.Rule != "Rule." || result.Events != 1 || result.Expectations != 1 {
		t.Errorf("%+v\n%s", result, result.Explain())
	}
}

// FuzzRun: whatever a file holds, Run ends with a result and places inside the file.
func FuzzRun(f *testing.F) {
	files, err := filepath.Glob("../lifecycle/testdata/scenarios/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(source))
	}
	f.Add("# r\ndefinition: preset:customer-value\non 1997-01-01+999999999999w ana buys 1 as \nexpect  is unknown")
	f.Fuzz(func(t *testing.T, source string) {
		result := streamtest.Run("s.txt", []byte(source), noFiles)
		lines := strings.Count(source, "\n") + 1
		for _, failure := range result.Failures {
			if failure.Line < 0 || failure.Line > lines {
				t.Errorf("a failure at line %d of %d: %s", failure.Line, lines, failure.Text)
			}
		}
	})
}
