// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// carryModel compiles a definition of a version.
func carryModel(t *testing.T, version int, rest string) *Model {
	t.Helper()
	m, problems := compileText(t, fmt.Sprintf("lapwing: 1\nname: shop\nversion: %d\npublish_from: 1970-01-01\n", version)+rest)
	if m == nil {
		t.Fatal(problems)
	}
	return m
}

const carryEvents = `events:
  purchase: {match: Order Completed, value: properties.total, key: properties.order_id}
  visit: {match: {type: page}}
`

const carryValue = `models:
  - {name: value, stages: [{stage: prospect, when: never('purchase')}, {stage: lost, when: "idle('purchase', '20d')"}, {stage: buyer, when: "true"}]}
`

// carried folds lines under from, then carries the customer to each of the models, and
// prints what was told on the way.
func carried(t *testing.T, from *Model, lines []string, to ...*Model) (told []string, s *State) {
	t.Helper()
	s = succeedState(t, from, lines...)
	for _, m := range to {
		var out Output
		s = NewCarrier(from, m).Carry(s, "ana", instant.None, s.Clock(), &out)
		for i := range out.Records {
			told = append(told, carriedLine(&out.Records[i]))
		}
		from = m
	}
	return told, s
}

func carriedLine(r *record.Record) string {
	if r.Kind == record.StageChange {
		return fmt.Sprintf("v%d %s#%d %s→%s at %s since %s %s [%s|%s]", r.DefinitionVersion, r.Model, r.Sequence, r.From, r.To,
			day(r.EffectiveAt), day(r.Since), r.Cause.Type, r.Cause.Condition, r.Cause.Left)
	}
	return fmt.Sprintf("v%d %s#%d %v at %s %s [%s|%s]", r.DefinitionVersion, r.Segment, r.Sequence, r.Entered, day(r.EffectiveAt), r.Cause.Type, r.Cause.Condition, r.Cause.Left)
}

func day(at instant.Instant) string {
	if at == instant.None {
		return "-"
	}
	return fmt.Sprint("day ", int64(at)/dayMillis)
}

const (
	carryBought = `{"type":"track","event":"Order Completed","userId":"ana","messageId":"1","timestamp":"1970-01-11","properties":{"order_id":"1","total":5}}`
	carryAgain  = `{"type":"track","event":"Order Completed","userId":"ana","messageId":"3","timestamp":"1970-01-15","properties":{"order_id":"2","total":7}}`
	carryLives  = `{"type":"identify","userId":"ana","messageId":"2","timestamp":"1970-01-12","traits":{"country":"FR"}}`
)

// What a change of definition tells, and what goes on: models, stages and segments by their
// names, with since and sequence; cause definition, at the greatest instant applied; the
// version is the new one's.
func TestCarryTells(t *testing.T) {
	const segments = "segments:\n  - {name: buyers, when: count('purchase') >= 1}\n  - {name: country, by: trait('country')}\n"
	first := carryModel(t, 1, carryEvents+carryValue+segments)
	lines := []string{carryBought, carryLives}
	for _, c := range []struct {
		name string
		to   []*Model
		want []string
	}{
		{"the same", []*Model{carryModel(t, 2, carryEvents+carryValue+segments)}, nil},
		{
			"a threshold moves",
			[]*Model{carryModel(t, 2, carryEvents+strings.Replace(carryValue, "'20d'", "'1d'", 1)+segments)},
			[]string{"v2 value#2 buyer→lost at day 11 since day 10 definition [idle('purchase', '1d')|]"},
		},
		{
			"a stage is no more",
			[]*Model{carryModel(t, 2, carryEvents+strings.Replace(carryValue, "stage: buyer", "stage: customer", 1)+segments)},
			[]string{"v2 value#2 buyer→customer at day 11 since day 10 definition [true|]"},
		},
		{"a model is no more, another is new, and back", []*Model{
			carryModel(t, 2, carryEvents+strings.Replace(carryValue, "name: value", "name: worth", 1)+segments),
			carryModel(t, 3, carryEvents+carryValue+segments),
		}, []string{
			"v2 value#2 buyer→ at day 11 since day 10 definition [|]",
			"v2 worth#1 →buyer at day 11 since - definition [true|]",
			"v3 worth#2 buyer→ at day 11 since day 11 definition [|]",
			"v3 value#3 →buyer at day 11 since - definition [true|]",
		}},
		{"segments are no more, and back", []*Model{
			carryModel(t, 2, carryEvents+carryValue+"segments:\n  - {name: all, when: \"true\"}\n"),
			carryModel(t, 3, carryEvents+carryValue+segments),
		}, []string{
			"v2 all#1 true at day 11 definition [true|]",
			"v2 buyers#2 false at day 11 definition [|count('purchase') >= 1]",
			"v2 country=FR#2 false at day 11 definition [|trait('country')]",
			"v3 buyers#3 true at day 11 definition [count('purchase') >= 1|]",
			"v3 country=FR#3 true at day 11 definition [trait('country')|]",
			"v3 all#2 false at day 11 definition [|true]",
		}},
		{
			"a segment becomes one per value",
			[]*Model{carryModel(t, 2, carryEvents+carryValue+"segments:\n  - {name: buyers, by: trait('country')}\n  - {name: country, by: trait('country')}\n")},
			[]string{"v2 buyers=FR#1 true at day 11 definition [trait('country')|]", "v2 buyers#2 false at day 11 definition [|count('purchase') >= 1]"},
		},
		{
			"an event means something else",
			[]*Model{carryModel(t, 2, strings.Replace(carryEvents, "properties.total", "properties.net", 1)+carryValue+segments)},
			[]string{
				"v2 value#2 buyer→prospect at day 11 since day 10 definition [never('purchase')|]",
				"v2 buyers#2 false at day 11 definition [|count('purchase') >= 1]",
			},
		},
	} {
		got, _ := carried(t, first, lines, c.to...)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %s\nwant %s", c.name, strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
		}
	}
}

// What a customer has become by the switch is told at once and as a whole: not what it would
// have been in between, had the definition been another one before.
func TestCarriedAtTheSwitch(t *testing.T) {
	const passing = `segments:
  - {name: passing, when: "idle('purchase', '2d') && seen('purchase', '4d')"}
  - {name: cooling, when: "idle('purchase', '7d')"}
`
	first := carryModel(t, 1, carryEvents+carryValue)
	second := carryModel(t, 2, carryEvents+strings.Replace(carryValue, "'20d'", "'5d'", 1)+passing)
	s := succeedState(t, first, carryBought)
	var out Output
	clock := instant.Instant(18 * dayMillis)
	s = NewCarrier(first, second).Carry(s, "ana", clock, clock, &out)
	second.Advance(s, "ana", clock, clock, &out)
	var told []string
	for i := range out.Records {
		told = append(told, carriedLine(&out.Records[i]))
	}
	want := []string{
		"v2 value#2 buyer→lost at day 18 since day 10 definition [idle('purchase', '5d')|]",
		"v2 cooling#1 true at day 18 definition [idle('purchase', '7d')|]",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// Deadlines that were missed while a customer was carried are told afterwards, each at its
// own instant, as are those of conditions that are new.
func TestDeadlinesMissedWhileCarrying(t *testing.T) {
	first := carryModel(t, 1, carryEvents+carryValue)
	second := carryModel(t, 2, carryEvents+strings.Replace(carryValue, "'20d'", "'5d'", 1))
	told, s := carried(t, first, []string{carryBought}, second)
	if len(told) > 0 {
		t.Errorf("carrying told %q", told)
	}
	if due := second.Due(s); due != instant.Instant(15*dayMillis) {
		t.Fatalf("due at %s", due)
	}
	var out Output
	second.Advance(s, "ana", instant.Instant(18*dayMillis), instant.Instant(18*dayMillis), &out)
	if want := "v2 value#2 buyer→lost at day 15 since day 10 deadline [idle('purchase', '5d')|]"; len(out.Records) != 1 || carriedLine(&out.Records[0]) != want {
		t.Errorf("told %d records: %s, want %s", len(out.Records), carriedLine(&out.Records[0]), want)
	}
}

// Carried to the same content, or there and back, a customer is what it was, but for the
// version of the definition.
func TestCarryThereAndBack(t *testing.T) {
	first := carryModel(t, 1, carryEvents+carryValue)
	wider := carryModel(t, 2, carryEvents+strings.Replace(carryValue, "'20d'", "'1d'", 1)+
		"segments:\n  - {name: spent, when: \"sum('purchase', '90d') > 6\"}\n")
	same, back := carryModel(t, 3, carryEvents+carryValue), carryModel(t, 4, carryEvents+carryValue)
	lines := []string{carryBought, carryLives, carryAgain}
	_, was := carried(t, first, lines)
	want := first.AppendState(nil, was)
	_, s := carried(t, first, lines, same)
	if got := same.AppendState(nil, s); !bytes.Equal(got[2:], want[2:]) || got[1] != 3 { // format, version
		t.Errorf("carried to the same:\n got %x\nwant %x", got, want)
	}
	_, s = carried(t, first, lines, wider, back)
	now, before := back.Standing(s), first.Standing(was)
	if now.Models[0].Stage != before.Models[0].Stage || len(now.Segments) != 0 || back.Due(s) != first.Due(was) {
		t.Errorf("there and back: %+v, before %+v; due %s, before %s", now, before, back.Due(s), first.Due(was))
	}
}

// A shorter retention ends an anonymous customer, but not before what was told of it.
func TestCarriedToAShorterRetention(t *testing.T) {
	first := carryModel(t, 1, "retain: {anonymous: 90d}\n"+carryEvents+carryValue)
	second := carryModel(t, 2, "retain: {anonymous: 10d}\n"+carryEvents+carryValue)
	s := succeedState(t, first, strings.Replace(carryBought, "userId", "anonymousId", 1))
	var out Output
	clock := instant.Instant(40 * dayMillis)
	first.Advance(s, "ana", clock, clock, &out)
	s = NewCarrier(first, second).Carry(s, "ana", clock, clock, &out)
	second.Advance(s, "ana", clock+1, clock+1, &out) // an event of that very instant would keep it
	last := &out.Records[len(out.Records)-1]
	if s.Begun() || !out.Ended || carriedLine(last) != "v2 value#3 lost→ at day 40 since day 30 expired [|]" {
		t.Errorf("ended %v: %s", out.Ended, carriedLine(last))
	}
}

// Messages that wait under lateness stay; without lateness they are applied at once.
func TestCarryHeldMessages(t *testing.T) {
	first := carryModel(t, 1, "lateness: 1d\n"+carryEvents+carryValue)
	longer := carryModel(t, 2, "lateness: 3d\n"+"events:\n  visit: {match: {type: page}}\n  purchase: {match: Order Completed, value: properties.total, key: properties.order_id}\n"+carryValue)
	none := carryModel(t, 3, carryEvents+carryValue)
	told, s := carried(t, first, []string{carryBought, carryAgain}, longer)
	if len(told) > 0 || len(s.held) != 2 || longer.Due(s) != instant.Instant(13*dayMillis) {
		t.Fatalf("told %q, %d held, due %s", told, len(s.held), longer.Due(s))
	}
	told, s = carried(t, first, []string{carryBought, carryAgain}, longer, none)
	if want := []string{"v3 value#1 →buyer at day 10 since - event [true|]"}; !slices.Equal(told, want) || len(s.held) != 0 {
		t.Errorf("told %q, %d held; want %q", told, len(s.held), want)
	}
}

// What is missing, in words.
func TestMissingHistory(t *testing.T) {
	model := func(version int, events, condition string) *Model {
		return carryModel(t, version, "events:\n"+events+"models:\n  - {name: m, stages: [{stage: a, when: "+fmt.Sprintf("%q", condition)+"}, {stage: b, when: \"true\"}]}\n")
	}
	const purchase, visit = "  purchase: {match: Order Completed, value: properties.total}\n", "  visit: {match: {type: page}}\n"
	for _, c := range []struct {
		events, before, after, condition string
		want                             []string
	}{
		{purchase, "idle('purchase', '20d')", "", "idle('purchase', '10d') || first('purchase', '900d') || count('purchase') > 3", nil},
		{purchase, "count('purchase', '90d') >= 2", "", "count('purchase', '30d') >= 2", nil},
		{purchase, "count('purchase', '90d') >= 2", "", "count('purchase', '365d') >= 2", []string{"history of purchase older than 90d is not held"}},
		{purchase, "count('purchase', '90d') >= 2", "", "count('purchase', '90d') >= 3", []string{"of purchase the newest 2 occurrences of a customer are held, and conditions now read 3"}},
		{purchase, "never('purchase')", "", "sum('purchase', '90d') >= 3", []string{
			"the single occurrences of purchase are not held, only how many there were, the first and the last",
			"the values of the occurrences of purchase are not held",
		}},
		{purchase, "days('purchase', '90d') >= 2", "", "unique('purchase', 'sku', '90d') >= 3", []string{"property sku of the occurrences of purchase is not held"}},
		{purchase, "never('purchase')", strings.Replace(purchase, "properties.total", "properties.net", 1), "never('purchase')", []string{"event purchase has another value: it starts empty"}},
		{purchase, "never('purchase')", purchase + visit, "never('visit')", []string{"event visit is new: it starts empty"}},
		{visit, "days('visit', '30d') > 3", visit + "  session: {from: visit, gap: 30m}\n", "count('session', '30d') > 3", []string{
			"history of visit, from which session is derived, older than 30d is not held",
			"history of visit older than 30d is not held",
		}},
	} {
		if c.after == "" {
			c.after = c.events
		}
		var got []string
		for _, m := range NewCarrier(model(1, c.events, c.before), model(2, c.after, c.condition)).Missing() {
			got = append(got, m.Text)
		}
		slices.Sort(got)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s, then %s:\n got %q\nwant %q", c.before, c.condition, got, c.want)
		}
	}
}

// A customer that has filled limits which become lower keeps what it has: where that could
// not be written any more, the definition is refused.
func TestCarriedBeyondLowerLimits(t *testing.T) {
	model := func(version, traitBytes, events int) *Model {
		var b strings.Builder
		fmt.Fprintf(&b, "limits: {trait_bytes: %d}\nevents:\n", traitBytes)
		for i := range events {
			fmt.Fprintf(&b, "  e%d: {match: E%d, key: properties.id, refund: {match: R%d, key: properties.id}}\n", i, i, i)
		}
		return carryModel(t, version, b.String()+"models:\n  - {name: m, stages: [{stage: a, when: never('e0')}, {stage: b, when: \"true\"}]}\n")
	}
	large, small := model(1, 1<<20, 1), model(2, 1<<10, 1)
	if err := NewCarrier(large, small).Fits(); err != nil {
		t.Errorf("there is room, and yet: %v", err)
	}
	each := model(2, 1<<10, 2).MaxStateBytes() - small.MaxStateBytes()
	n := (maxRecordBytes - 1<<19) / each
	full := model(2, 1<<10, n)
	if err := NewCarrier(large, full).Fits(); err == nil || !strings.Contains(err.Error(), "can come to") {
		t.Errorf("%d events take %d bytes beside a mebibyte of traits: %v", n, full.MaxStateBytes(), err)
	}
}

// The sequences of what is no more stand behind the state; states without any are as they
// were before there were such.
func TestRetiredAreReadForEver(t *testing.T) {
	const format3 = "03027b80d0af8a070000018b59801662b521600001070400636f756e747279" +
		"2246522202" + "00000111010002010576616c756502000a636f756e7472793d465202"
	const golden = "04027b80d0af8a070000018b59801662b521600001070400636f756e747279" + // with the session
		"2246522202" + "000001110100" + "050000" + "02010576616c756502000a636f756e7472793d465202"
	first := carryModel(t, 1, carryEvents+carryValue+"segments:\n  - {name: country, by: trait('country')}\n")
	second := carryModel(t, 2, carryEvents+strings.Replace(carryValue, "name: value", "name: worth", 1))
	_, s := carried(t, first, []string{carryLives}, second)
	b := second.AppendState(nil, s)
	if got := hex.EncodeToString(b); got != golden {
		t.Errorf("we write %s, the golden bytes are %s", got, golden)
	}
	want := []retired{{kind: retiredModel, name: "value", sequence: 2}, {name: "country=FR", sequence: 2}}
	for _, text := range []string{format3, golden} {
		var err error
		if b, err = hex.DecodeString(text); err != nil {
			t.Fatal(err)
		}
		again := new(State)
		if err := second.DecodeState(b, again); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(again.retired, want) {
			t.Errorf("read %+v, want %+v", again.retired, want)
		}
	}
	for n := 1; n < 12; n++ {
		if err := second.DecodeState(b[:len(b)-n], new(State)); err == nil {
			t.Errorf("without its last %d bytes it is read", n)
		}
	}
	if version, err := VersionOf(b); version != 2 || err != nil {
		t.Errorf("version %d, %v", version, err)
	}
}

// What an event means does not depend on how its expressions are written, and does on the
// params they read, whatever these are called.
func TestMeaningIsOfWhatIsRead(t *testing.T) {
	meant := func(version, big, other int, where string) meaning {
		return carryModel(t, version, fmt.Sprintf("params: {big: %d, big_total: %d}\nevents:\n  purchase: {match: Order Completed, where: %q}\n", big, other, where)+carryValue).events[0].meaning
	}
	for _, big := range []string{"params.big", "params .big", "params. big", "params.\n    big", "params.big // a lot"} {
		where := "properties.total > " + big
		if meant(1, 10, 0, where).equal(meant(2, 1000, 0, where)) {
			t.Errorf("%q: another threshold means the same", where)
		}
		if !meant(1, 10, 0, where).equal(meant(2, 10, 5, "properties.total>params.big")) {
			t.Errorf("%q: the same condition means something else", where)
		}
	}
	if !meant(1, 10, 7, "properties.total > params.big_total").equal(meant(2, 11, 7, "properties.total > params.big_total")) {
		t.Error("a param that is not read changes what is meant")
	}
	const items = "properties.products.exists(p, p.price > params.big && p.name != 'a b')"
	if !meant(1, 10, 0, items).equal(meant(2, 10, 1, items)) || meant(1, 10, 0, items).equal(meant(2, 10, 0, strings.Replace(items, "a b", "ab", 1))) {
		t.Error("a search of a list is not told from another")
	}
}

// Sequences of what a definition no longer has survive a rebuild: what comes back goes on.
func TestRetiredSurviveARebuild(t *testing.T) {
	const segment = "segments:\n  - {name: buyers, when: count('purchase') >= 1}\n"
	first, second := carryModel(t, 1, carryEvents+carryValue+segment), carryModel(t, 2, carryEvents+carryValue)
	third := carryModel(t, 3, carryEvents+strings.Replace(carryValue, "name: value", "name: worth", 1)+segment)
	lines := []string{carryBought, carryLives}
	_, live := carried(t, first, lines, second)
	for _, c := range []struct {
		name string
		to   []*Model // rebuilt under the first, then carried to the others
		want string
	}{
		{"rebuilt with it", []*Model{third}, "v3 buyers#3 true at day 11 definition [count('purchase') >= 1|]"},
		{"rebuilt without it, then applied", []*Model{second, third}, "v3 buyers#3 true at day 11 definition [count('purchase') >= 1|]"},
	} {
		before := second.Standing(live)
		s, m := succeedState(t, c.to[0], lines...), c.to[0]
		var out Output
		m.Succeed(s, "ana", &before, s.Clock(), &out)
		for _, next := range c.to[1:] {
			s = NewCarrier(m, next).Carry(s, "ana", instant.None, s.Clock(), &out)
			m = next
		}
		var told []string
		for i := range out.Records {
			told = append(told, carriedLine(&out.Records[i]))
		}
		if !slices.Contains(told, c.want) {
			t.Errorf("%s: told %q, want %s", c.name, told, c.want)
		}
	}
}
