// SPDX-License-Identifier: Apache-2.0

package oracle_test

import (
	"fmt"
	"strings"
	"testing"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/stream/oracle"
)

// The expectations below were computed by hand from the contract's words.

const customerValue = `lapwing: 1
name: customer-value
version: 1
timezone: UTC
events:
  purchase: {match: Order Completed, value: properties.total, key: properties.order_id}
  visit:    {match: [{type: page}, {type: screen}]}
  session:  {from: visit, gap: 30m}
  returned: {from: purchase, gap: 90d, first: false}
models:
  - name: value
    stages:
      - {stage: prospect,   when: never('purchase')}
      - {stage: lost,       when: "idle('purchase', '365d')"}
      - {stage: at_risk,    when: "idle('purchase', '90d')"}
      - {stage: active,     when: "count('purchase', '365d') >= 2"}
      - {stage: new,        when: "first('purchase', '90d')"}
      - {stage: occasional, when: "true"}
segments:
  - {name: big_spenders, when: "sum('purchase', '365d') >= 500 && !in_stage('value', 'lost')"}
  - {name: country, by: trait('country')}
`

// replay gives one customer's records in short form:
// SEQUENCE FROM>TO @EFFECTIVE since SINCE next STAGE DEADLINE CAUSE [CONDITION] left [LEFT].
func replay(t *testing.T, source, until string, lines ...string) []string {
	t.Helper()
	def, problems := definition.Parse("test.yaml", []byte(source))
	for _, p := range problems {
		if !p.Warning {
			t.Fatalf("definition: %+v", p)
		}
	}
	o, err := oracle.New(def)
	if err != nil {
		t.Fatal(err)
	}
	var messages []oracle.Message
	for _, line := range lines {
		m, ok := oracle.Decode([]byte(line))
		if !ok {
			t.Fatalf("unusable line %s", line)
		}
		messages = append(messages, m)
	}
	end, ok := instant.Parse(until)
	if !ok {
		t.Fatalf("bad until %s", until)
	}
	var out []string
	for _, r := range o.Customer(messages[0].Customer, messages, end).Records {
		out = append(out, short(r))
	}
	return out
}

func short(r record.Record) string {
	or := func(s string) string {
		if s == "" {
			return "-"
		}
		return s
	}
	s := fmt.Sprintf("%d ", r.Sequence)
	if r.Kind == record.StageChange {
		s += or(r.From) + ">" + or(r.To)
	} else {
		s += map[bool]string{true: "in ", false: "out "}[r.Entered] + r.Segment
	}
	s += " @" + r.EffectiveAt.String()
	if r.DetectedAt != r.EffectiveAt {
		s += " detected " + r.DetectedAt.String()
	}
	if r.Kind == record.StageChange {
		s += " since " + r.Since.String()
		if r.NextStage != "" {
			s += " next " + r.NextStage + " " + r.NextDeadline.String()
		}
	}
	s += " " + string(r.Cause.Type)
	if r.Cause.Condition != "" {
		s += " [" + r.Cause.Condition + "]"
	}
	if r.Cause.Left != "" {
		s += " left [" + r.Cause.Left + "]"
	}
	if r.Cause.EventTime != instant.None && r.Cause.EventTime != r.EffectiveAt {
		s += " of " + r.Cause.EventTime.String()
	}
	return s
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
}

func buy(at, order, total string) string {
	return fmt.Sprintf(`{"type":"track","event":"Order Completed","userId":"u1","messageId":"b-%s","timestamp":"%s","properties":{"order_id":"%s","total":%s}}`, at+order, at, order, total)
}

func visit(at string) string {
	return fmt.Sprintf(`{"type":"page","userId":"u1","messageId":"v-%s","timestamp":"%s"}`, at, at)
}

func identify(at, traits string) string {
	return fmt.Sprintf(`{"type":"identify","userId":"u1","messageId":"i-%s","timestamp":"%s","traits":%s}`, at, at, traits)
}

const (
	never  = "never('purchase')"
	lost   = "idle('purchase', '365d')"
	idle   = "idle('purchase', '90d')"
	active = "count('purchase', '365d') >= 2"
	first  = "first('purchase', '90d')"
	big    = "sum('purchase', '365d') >= 500 && !in_stage('value', 'lost')"
)

// The stages of the contract's example, one after the other: the third record is
// the contract's own.
func TestEveryStage(t *testing.T) {
	expect(t, replay(t, customerValue, "1999-06-01",
		visit("1996-12-31"), buy("1997-01-01", "1", "10"), buy("1998-01-02", "2", "20"), buy("1998-01-03", "3", "30")),
		"1 ->prospect @1996-12-31T00:00:00Z since none event ["+never+"]",
		"2 prospect>new @1997-01-01T00:00:00Z since 1996-12-31T00:00:00Z next at_risk 1997-04-01T00:00:00Z event ["+first+"] left ["+never+"]",
		"3 new>at_risk @1997-04-01T00:00:00Z detected 1998-01-02T00:00:00Z since 1997-01-01T00:00:00Z next lost 1998-01-01T00:00:00Z deadline ["+idle+"] left ["+first+"]",
		// idle 90d still holds, so nothing was left
		"4 at_risk>lost @1998-01-01T00:00:00Z detected 1998-01-02T00:00:00Z since 1997-04-01T00:00:00Z deadline ["+lost+"]",
		"5 lost>occasional @1998-01-02T00:00:00Z since 1998-01-01T00:00:00Z next at_risk 1998-04-02T00:00:00Z event [true] left ["+lost+"]",
		"6 occasional>active @1998-01-03T00:00:00Z since 1998-01-02T00:00:00Z next at_risk 1998-04-03T00:00:00Z event ["+active+"]",
		"7 active>at_risk @1998-04-03T00:00:00Z since 1998-01-03T00:00:00Z next lost 1999-01-03T00:00:00Z deadline ["+idle+"]",
		"8 at_risk>lost @1999-01-03T00:00:00Z since 1998-04-03T00:00:00Z deadline ["+lost+"]",
	)
}

// A purchase one millisecond before, at and after the 90th day: a deadline on the
// instant of an event fires before the event is applied.
func TestBoundary(t *testing.T) {
	start := []string{
		"1 ->new @1997-01-01T00:00:00Z since none next at_risk 1997-04-01T00:00:00Z event [" + first + "]",
	}
	until := "1997-04-01T00:00:00.001Z"
	expect(t, replay(t, customerValue, until, buy("1997-01-01", "1", "10"), buy("1997-03-31T23:59:59.999Z", "2", "10")),
		append(start,
			"2 new>active @1997-03-31T23:59:59.999Z since 1997-01-01T00:00:00Z next at_risk 1997-06-29T23:59:59.999Z event ["+active+"]")...)
	expect(t, replay(t, customerValue, until, buy("1997-01-01", "1", "10"), buy("1997-04-01", "2", "10")),
		append(start,
			"2 new>at_risk @1997-04-01T00:00:00Z since 1997-01-01T00:00:00Z next lost 1998-01-01T00:00:00Z deadline ["+idle+"] left ["+first+"]",
			"3 at_risk>active @1997-04-01T00:00:00Z since 1997-04-01T00:00:00Z next at_risk 1997-06-30T00:00:00Z event ["+active+"] left ["+idle+"]")...)
	expect(t, replay(t, customerValue, until, buy("1997-01-01", "1", "10"), buy("1997-04-01T00:00:00.001Z", "2", "10")),
		append(start,
			"2 new>at_risk @1997-04-01T00:00:00Z detected 1997-04-01T00:00:00.001Z since 1997-01-01T00:00:00Z next lost 1998-01-01T00:00:00Z deadline ["+idle+"] left ["+first+"]",
			"3 at_risk>active @1997-04-01T00:00:00.001Z since 1997-04-01T00:00:00Z next at_risk 1997-06-30T00:00:00.001Z event ["+active+"] left ["+idle+"]")...)
}

// until itself is included, and what is found there is detected at its own time.
func TestUntilIncludesItsInstant(t *testing.T) {
	if got := replay(t, customerValue, "1997-03-31T23:59:59.999Z", buy("1997-01-01", "1", "10")); len(got) != 1 {
		t.Errorf("one millisecond before: %v", got)
	}
	if got := replay(t, customerValue, "1997-04-01", buy("1997-01-01", "1", "10")); len(got) != 2 || strings.Contains(got[1], "detected") {
		t.Errorf("at the instant: %v", got)
	}
}

// Segments: by condition, and one per value of a trait.
func TestSegments(t *testing.T) {
	expect(t, replay(t, customerValue, "1997-02-01",
		identify("1997-01-01", `{"country":"FR"}`), buy("1997-01-02", "1", "499.99995"), buy("1997-01-03", "1", "5"),
		buy("1997-01-04", "2", "0.0001"), identify("1997-01-05", `{"country":"DE"}`), identify("1997-01-06", `{"country":null}`)),
		"1 ->prospect @1997-01-01T00:00:00Z since none event ["+never+"]",
		"1 in country=FR @1997-01-01T00:00:00Z event [trait('country')]",
		"2 prospect>new @1997-01-02T00:00:00Z since 1997-01-01T00:00:00Z next at_risk 1997-04-02T00:00:00Z event ["+first+"] left ["+never+"]",
		"1 in big_spenders @1997-01-02T00:00:00Z event ["+big+"]", // 499.99995 is 500 at four places, half to even
		"3 new>active @1997-01-04T00:00:00Z since 1997-01-02T00:00:00Z next at_risk 1997-04-04T00:00:00Z event ["+active+"]",
		"2 out country=FR @1997-01-05T00:00:00Z event left [trait('country')]",
		"1 in country=DE @1997-01-05T00:00:00Z event [trait('country')]",
		"2 out country=DE @1997-01-06T00:00:00Z event left [trait('country')]",
	)
}

// A late event is folded in and evaluated at the frontier.
func TestLateEvent(t *testing.T) {
	expect(t, replay(t, customerValue, "1997-03-01",
		buy("1997-02-01", "2", "10"), buy("1997-01-01", "1", "10")),
		"1 ->new @1997-02-01T00:00:00Z since none next at_risk 1997-05-02T00:00:00Z event ["+first+"]",
		"2 new>active @1997-02-01T00:00:00Z since 1997-02-01T00:00:00Z next at_risk 1997-05-02T00:00:00Z late_event ["+active+"] of 1997-01-01T00:00:00Z",
	)
}

// An anonymous customer is forgotten 90 days after its last event, first the
// deadlines of that instant; an event at that very instant keeps it.
func TestExpiry(t *testing.T) {
	anonymous := func(line string) string { return strings.Replace(line, `"userId"`, `"anonymousId"`, 1) }
	bought := anonymous(buy("1997-01-01", "1", "600"))
	expect(t, replay(t, customerValue, "1997-04-01", bought),
		"1 ->new @1997-01-01T00:00:00Z since none next at_risk 1997-04-01T00:00:00Z event ["+first+"]",
		"1 in big_spenders @1997-01-01T00:00:00Z event ["+big+"]",
		"2 new>at_risk @1997-04-01T00:00:00Z since 1997-01-01T00:00:00Z next lost 1998-01-01T00:00:00Z deadline ["+idle+"] left ["+first+"]",
		"3 at_risk>- @1997-04-01T00:00:00Z since 1997-04-01T00:00:00Z expired",
		"2 out big_spenders @1997-04-01T00:00:00Z expired",
	)
	if got := replay(t, customerValue, "1997-05-01", bought, anonymous(visit("1997-04-01"))); strings.Contains(strings.Join(got, "\n"), "expired") {
		t.Errorf("an event at that very instant did not keep the customer: %v", got)
	}
	got := replay(t, customerValue, "1997-05-01", bought, anonymous(visit("1997-04-01T00:00:00.001Z")))
	if last := got[len(got)-1]; last != "1 ->prospect @1997-04-01T00:00:00.001Z since none event ["+never+"]" {
		t.Errorf("who returned did not begin anew: %s", last)
	}
}

// Each line is a condition, whether it holds for the messages below, and the
// contract's words for it.
func TestConditions(t *testing.T) {
	lines := []string{
		identify("1997-01-01", `{"birthday":"1997-01-20","tier":"gold","score":"2"}`),
		visit("1997-01-01T10:00:00Z"), visit("1997-01-01T10:29:59.999Z"), visit("1997-01-01T11:00:00Z"), // sessions: 10:00, 11:00
		buy("1997-01-05", "1", `"10.5"`), buy("1997-01-05", "2", "null"), buy("1997-01-06", "1", "99"), // one key twice
		buy("1997-01-10", "3", "20"),
	}
	for condition, want := range map[string]bool{
		"count('purchase') == 3":                          true, // order 1 counts once, the one without a value too
		"sum('purchase') == 30.5":                         true,
		"avg('purchase') == 15.25":                        true,
		"min('purchase') == 10.5":                         true,
		"max('purchase', '1d') == 20":                     true, // the end of the window is in it
		"count('session') == 2":                           true,
		"count('returned') == 0":                          true,
		"days('visit', '30d') == 1":                       true,
		"unique('purchase', 'order_id', '6d') == 3":       true,
		"unique('purchase', 'order_id', '5d') == 1":       true, // 5 January is 5 days ago: out
		"seen('purchase', '5d')":                          true,
		"idle('visit', '216h')":                           false,
		"idle('visit', '8d')":                             true,
		"first('purchase', '5d')":                         false,
		"first('purchase', '6d')":                         true,
		"after('purchase', 'visit')":                      true,
		"after('visit', 'purchase')":                      false,
		"count_from('visit', 'visit', '1h') == 2":         true, // (10:00, 11:00]
		"trait('tier') == 'gold'":                         true,
		"trait('score') == 2":                             false, // a string
		"trait('score') < 3":                              false, // unknown
		"!(trait('score') < 3)":                           false, // unknown
		"trait('nothing') == 'x' || true":                 true,
		"known('nothing')":                                false,
		"due('birthday', '-10d')":                         true,
		"due('birthday', '-9d')":                          false,
		"due('tier', '-9d') || !due('tier', '-9d')":       false, // no time: unknown
		"anonymous()":                                     false,
		"10 / 3 == 3.3333":                                true,
		"1 / 0 == 1 || !(1 / 0 == 1)":                     false,
		"0.00005 == 0.0":                                  true, // half to even
		"0.00015 == 0.0002":                               true,
		"sum('purchase', '1d') / count('visit') > 6.6666": true,
	} {
		source := "lapwing: 1\nname: c\nversion: 1\n" + customerValue[strings.Index(customerValue, "events:"):strings.Index(customerValue, "models:")] +
			"models:\n  - name: m\n    stages:\n      - {stage: yes_, when: \"" + condition + "\"}\n      - {stage: no_, when: \"true\"}\n"
		source = strings.NewReplacer("yes_", "holds", "no_", "else").Replace(source)
		got := replay(t, source, "1997-01-10", lines...)
		if holds := strings.Contains(got[len(got)-1], ">holds"); holds != want {
			t.Errorf("%s: holds %v, want %v\n%s", condition, holds, want, strings.Join(got, "\n"))
		}
	}
}

// Replay leaves out what cannot be used, plays on to the latest time seen, and
// prints customers in the order of their first message.
func TestReplay(t *testing.T) {
	def, problems := definition.Parse("test.yaml", []byte(customerValue))
	if def == nil {
		t.Fatalf("definition: %v", problems)
	}
	lines := [][]byte{
		[]byte(`{"type":"track"`), []byte(`[]`), []byte(`{"userId":"x"}`), []byte(`{"type":"page","timestamp":"1997-01-01"}`),
		[]byte(`{"type":"page","userId":"x"}`), []byte(`{"type":"page","userId":"x","timestamp":"1997-01-01T24:00:00Z"}`),
		[]byte(buy("1997-01-01", "1", "10")),
		[]byte(strings.Replace(visit("1997-04-01"), `"u1"`, `17`, 1)),
	}
	out, err := oracle.Replay(def, lines, instant.None)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(out)) {
		_, rest, _ := strings.Cut(line, `"customer_id":"`)
		id, rest, _ := strings.Cut(rest, `"`)
		_, rest, _ = strings.Cut(rest, `"to":"`)
		to, _, _ := strings.Cut(rest, `"`)
		got = append(got, id+" "+to)
	}
	expect(t, got, "u1 new", "u1 at_risk", "17 prospect")
}
