// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"lapwing/schemas/definition"
	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

func at(ms int64) string { return instant.Instant(1_767_225_600_000 + ms).String() }

// One customer sends without end: each message brings traits that are new, and all of
// them wait. Neither memory nor the record of the customer grows, and nothing is lost.
func TestHostileCustomerStaysBounded(t *testing.T) {
	t.Parallel()
	messages := 200_000
	if testing.Short() {
		messages = 10_000
	}
	h := newHostile(t, `lapwing: 1
name: hostile
version: 1
lateness: 30d
events:
  said: {match: {type: identify}}
models:
  - {name: m, stages: [{stage: only, when: "true"}]}
segments:
  - {name: said, by: "count('said')"}
`)
	if bound := h.model.MaxStateBytes(); bound > 2<<20 {
		t.Errorf("the bound is %d bytes: more than a customer should take by the default limits", bound)
	}
	largest := 0
	var b strings.Builder
	for i := range messages {
		b.Reset()
		for j := range 100 {
			fmt.Fprintf(&b, `,"t%d":%d`, i*100+j, j)
		}
		h.send(`{"type":"identify","userId":"u","messageId":"m%d","timestamp":%q,"traits":{%s}}`, i, at(int64(i)), b.String()[1:])
		if i%(messages/50) == 0 {
			largest = max(largest, h.size())
		}
		if held := len(h.state.held); held > 10_000 {
			t.Fatalf("%d messages wait", held)
		}
	}
	h.model.Finish(&h.state, "u", h.state.Clock(), &h.out)
	h.drain()
	h.size()
	if got := h.state.series[0].total(h.model.events[0]); got != int64(messages) {
		t.Errorf("%d of %d messages were counted", got, messages)
	}
	if got := len(h.state.traits); got != 1000 {
		t.Errorf("%d traits are kept, want 1000", got)
	}
	if want := int64(messages*100 - 1000); h.over[LimitTraits] != want {
		t.Errorf("%d traits were counted as not taken, want %d", h.over[LimitTraits], want)
	}
	if h.over[LimitHeldBytes] == 0 {
		t.Error("no message was applied before its time")
	}
	if largest < h.model.MaxStateBytes()/4 {
		t.Errorf("the largest state took %d bytes, and the bound is %d: the test shows too little", largest, h.model.MaxStateBytes())
	}
	t.Logf("largest state %d bytes, bound %d; exceeded: %s", largest, h.model.MaxStateBytes(), h.over.String())
}

// What fills every part of a state at once stays below the bound, which is not far above.
func TestFullStateIsBelowItsBound(t *testing.T) {
	t.Parallel()
	h := newHostile(t, `lapwing: 1
name: full
version: 1
lateness: 1d
limits: {by_values: 500}
events:
  purchase:
    match: Order Completed
    value: properties.total
    key: properties.order_id
    refund: {match: Order Refunded, key: properties.order_id, value: properties.total}
  session: {from: purchase, gap: 1s}
  ping: {match: Order Completed, resolution: 1h}
models:
  - {name: m, stages: [{stage: some, when: "known('x') && sum('purchase', '3660d') > 100"}, {stage: none, when: "true"}]}
segments:
  - {name: unique, when: "known('x') && unique('session', 'order_id', '3660d') > 100"}
  - {name: pings, when: "known('x') && count('ping', '300d') > 100 && count('ping', '90m') > 1"}
  - {name: nick, by: trait('nick')}
  - {name: coupon, by: "favourite('session', 'coupon')"}
campaigns:
  - {name: c, every: 1h, assigned: {match: Order Completed}, goals: [{name: g, event: purchase, within: 1h, value: total}]}
`)
	const hour = 3600_000
	long := strings.Repeat("k", 300)
	for i := range 5000 {
		when := at(int64(i) * hour)
		h.send(`{"type":"track","event":"Order Completed","userId":"u","messageId":"m%d","timestamp":%q,"properties":{"order_id":"%s%d","total":-9999999999%d.9999,"currency":"EUR","coupon":"%0256d"},
			"context":{"traits":{"nick":"%0250d","t%d":"%060d"}}}`, i, when, long, i, i%10, i, i, i, i)
		h.send(`{"type":"track","event":"Order Refunded","userId":"u","timestamp":%q,"properties":{"order_id":"%sx%d","total":9999999999%d.9999}}`, when, long, i, i%10)
		h.model.Advance(&h.state, "u", h.state.Clock(), h.state.Clock(), &h.out)
		h.drain()
	}
	// A last instant with more than can wait.
	for i := range 3000 {
		h.send(`{"type":"track","event":"Order Completed","userId":"u","messageId":"l%d","timestamp":%q,"properties":{"order_id":"%sl%d"}}`, i, at(5000*hour), long, i)
	}
	got, bound := h.size(), h.model.MaxStateBytes()
	if got < bound/4 {
		t.Errorf("the state takes %d bytes, and its bound is %d: too much is refused", got, bound)
	}
	for l := range numLimits {
		if l != LimitTraits && l != LimitHeld && l != LimitExpression && h.over[l] == 0 {
			t.Errorf("%s was not exceeded", l)
		}
	}
	t.Logf("%d of %d bytes; exceeded: %s", got, bound, h.over.String())
	var again State
	if err := h.model.DecodeState(h.model.AppendState(nil, &h.state), &again); err != nil {
		t.Error(err)
	}
	p := h.model.Profile(&h.state, "u")
	if n := len(p.AppendJSON(nil)); n > maxRecordBytes {
		t.Errorf("the profile takes %d bytes", n)
	}
}

// A definition under which a customer could become too large for a record is refused
// where the most of it comes from.
func TestDefinitionThatAllowsTooMuchIsRefused(t *testing.T) {
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	const head = "lapwing: 1\nname: large\nversion: 1\n"
	const model = "models: [{name: m, stages: [{stage: only, when: \"true\"}]}]\n"
	for _, c := range []struct{ name, source, want string }{
		{
			"hours of an event", head + "events:\n  ok: {match: A}\n  ping: {match: P, resolution: 1h}\nsegments:\n" +
				many(60, "  - {name: s%[1]d, when: \"count('ping', '3660d') > 1 && count('ping', '1%02[1]dm') > 2\"}\n"),
			"6:3: a customer's state can come to",
		},
		{
			"values of a by: segment", head + "limits: {by_values: 10000}\n" + model + "segments:\n" + many(4, "  - {name: s%d, by: trait('a')}\n"),
			"7:12: a customer's state can come to",
		},
		{
			"texts of favourites", head + "limits: {favourite_values: 4096}\nevents:\n  ok: {match: A}\n  view: {match: P}\nsegments:\n" +
				many(8, "  - {name: s%[1]d, by: \"favourite('view', 'p%[1]d')\"}\n"),
			"7:3: a customer's state can come to 10.8 MiB, and a record holds 7.9 MiB: the favourites of event \"view\" alone can take 8.3 MiB; lower `favourite_values` in `limits`",
		},
		{
			"what waits", head + "lateness: 1d\nlimits: {held_bytes: 4MiB, trait_bytes: 1MiB, by_values: 10000}\n" + model + "segments:\n  - {name: s, by: trait('a')}\n  - {name: t, by: trait('a')}\n",
			"5:1: a customer's state can come to",
		},
		{
			"activity", head + "events:\n" + many(1500, "  e%d: {match: A, key: properties.id, refund: {match: A, key: properties.id}}\n") + model,
			"5:3: a customer's state can come to",
		},
		{
			"a long condition", head + "segments:\n  - name: s\n    when: trait('a') == '" + strings.Repeat("x", 300<<10) + "'\n",
			"6:11: this condition takes 301 KiB, and every record of its changes carries it: at most 256 KiB are allowed",
		},
		{"much, but not too much", head + "limits: {traits: 10000, trait_bytes: 1MiB, by_values: 2000}\nlateness: 1d\n" + model + "segments:\n" + many(5, "  - {name: s%d, by: trait('a')}\n"), "fine"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, problems := definition.Parse("large.yaml", []byte(c.source))
			if d == nil {
				t.Fatal(problems)
			}
			m, problems := Compile(d)
			var got []string
			for _, p := range problems {
				if !p.Warning {
					got = append(got, fmt.Sprintf("%d:%d: %s", p.Pos.Line, p.Pos.Column, p.Message))
				}
			}
			all := strings.Join(got, "\n")
			switch {
			case c.want == "fine":
				if m == nil {
					t.Errorf("refused: %s", all)
				} else if m.MaxStateBytes() > maxRecordBytes {
					t.Errorf("accepted with a bound of %d", m.MaxStateBytes())
				}
			case m != nil || !strings.Contains(all, c.want):
				t.Errorf("problems\n%s\nwant %s", all, c.want)
			}
		})
	}
}

// What of a message stands in records is bounded, whatever the message is: the topics
// of changes have Kafka's default limit of 1 MiB.
func TestLongTextsOfAMessageAreCut(t *testing.T) {
	h := newHostile(t, header+`models:
  - {name: m, stages: [{stage: buyer, when: "seen('purchase', '90d')"}, {stage: other, when: "true"}]}
segments: [{name: any, when: "true"}]
`)
	h.out.WantActivity = WantCounted
	decode := func(raw string) (Output, Verdict) {
		var msg event.Message
		if cause := h.decoder.Decode([]byte(raw), instant.None, &msg); cause != "" {
			t.Fatal(cause)
		}
		h.out = Output{WantActivity: WantCounted}
		v := h.model.Accept(&h.state, "u", &msg, msg.Time, &h.out)
		return h.out, v
	}
	long := strings.Repeat(`é\u0001`, 40<<10)
	out, _ := decode(`{"type":"t` + long + `","userId":"u","event":"e` + long + `","timestamp":"2026-01-01"}`)
	if len(out.Records) != 2 {
		t.Fatalf("%d records", len(out.Records))
	}
	for i := range out.Records {
		r := &out.Records[i]
		if n := len(r.AppendJSON(nil)); n > 8<<10 {
			t.Errorf("a %s takes %d bytes", r.Kind, n)
		}
		if e := r.Cause.Event; len(e) > 256 || !strings.HasPrefix(e, "eé\x01é") || !strings.HasSuffix(e, "…") || strings.ContainsRune(e, '\ufffd') {
			t.Errorf("cause.event is %q", e)
		}
	}
	order := `{"type":"track","userId":"u","event":"Order Completed","timestamp":"2026-01-02","properties":{"order_id":"` + long + `%s","currency":"` + long + `"}}`
	out, _ = decode(fmt.Sprintf(order, "1"))
	if len(out.Activity) != 1 {
		t.Fatalf("%d entries of activity", len(out.Activity))
	}
	if a := &out.Activity[0]; len(a.AppendJSON(nil)) > 8<<10 || a.Currency != "" || len(a.Occurrence[0].Key) > 256 {
		t.Errorf("activity takes %d bytes, its key %d, its currency is %.20q", len(a.AppendJSON(nil)), len(a.Occurrence[0].Key), a.Currency)
	}
	// Keys that differ only at their ends are still two, and the same is still one.
	decode(fmt.Sprintf(order, "2"))
	decode(fmt.Sprintf(order, "1"))
	if got := h.state.series[0].total(h.model.events[0]); got != 2 {
		t.Errorf("%d purchases, want 2", got)
	}
}

// An expression over lists within lists, as long as messages may be, ends soon and
// with little memory; what it would have said is unknown, and that is counted.
func TestExpressionsOverAMessageAreBounded(t *testing.T) {
	for _, c := range []struct{ name, where, properties string }{
		{"a list for each member of a list", "properties.l.all(i, properties.l.exists(j, j == i))", `"l":[` + strings.Repeat("1,", 400_000) + `1]`},
		{"the end of a long list for each member", "properties.l.all(i, properties.l[300000] == 1)", `"l":[` + strings.Repeat("1,", 400_000) + `1]`},
		{"a long text for each member", "properties.l.exists(i, properties.t.contains('y'))", `"l":[` + strings.Repeat("1,", 9000) + `1],"t":"` + strings.Repeat("x", 900_000) + `"`},
		{"texts that are made for each member", "size(properties.l.map(i, properties.t + properties.t)) > 1", `"l":[` + strings.Repeat("1,", 9000) + `1],"t":"` + strings.Repeat("x", 900_000) + `"`},
		{"the event's name for each member", "properties.l.exists(i, event.startsWith('B'))", `"l":[` + strings.Repeat("1,", 400_000) + `1]`},
		{"objects compared for each member", "properties.l.all(i, properties.o == properties.o)", `"l":[` + strings.Repeat("1,", 9000) + `1],"o":{` + strings.Repeat(`"a":1,`, 100_000) + `"b":1}`},
		{"a long list", "properties.l == properties.l || 5 in properties.l || size(properties.l) == 5", `"l":[` + strings.Repeat("1,", 400_000) + `1]`},
		{"a long list, taken apart", "size(properties.l + properties.l) == 5", `"l":[` + strings.Repeat("1,", 400_000) + `1]`},
		{"a pattern for each member", "properties.l.exists(i, properties.t.matches('^(x+x+)+y'))", `"l":[` + strings.Repeat("1,", 9000) + `1],"t":"` + strings.Repeat("x", 900_000) + `"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHostile(t, fmt.Sprintf("lapwing: 1\nname: dear\nversion: 1\nevents:\n  e: {match: A, where: %q}\nsegments: [{name: s, when: \"seen('e', '1d')\"}]\n", c.where))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			h.send(`{"type":"track","event":"A","userId":"u","timestamp":"2026-01-01","properties":{%s}}`, c.properties)
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 128<<20 {
				t.Errorf("%d MiB were allocated", used>>20)
			}
			if h.over[LimitExpression] != 1 || h.records != 0 {
				t.Errorf("counted %d times, %d records", h.over[LimitExpression], h.records)
			}
		})
	}
	h := newHostile(t, `{lapwing: 1, name: cheap, version: 1, events: {e: {match: A, where: "properties.items.exists(i, i.sku in properties.wanted)"}}, segments: [{name: s, when: "seen('e', '1d')"}]}`)
	h.send(`{"type":"track","event":"A","userId":"u","timestamp":"2026-01-01","properties":{"wanted":["z"],"items":[%s{"sku":"z"}]}}`, strings.Repeat(`{"sku":"a","n":"`+strings.Repeat("x", 80)+`"},`, 5000))
	if h.records != 1 || h.over != (Overflow{}) {
		t.Errorf("an order of 5,000 items: %d records, exceeded: %s", h.records, h.over.String())
	}
}

// A jump of the clock over years plays a customer's deadlines in portions: what one
// step makes is bounded, and nothing of it is left out or comes twice.
func TestAdvancePlaysInPortions(t *testing.T) {
	const source = `{lapwing: 1, name: wave, version: 1, events: {e: {match: A}}, segments: [{name: n, by: "count('e', '365d')"}, {name: m, by: "sum('e', '100d') + count('e', '100d')"}]}`
	h, whole := newHostile(t, source), newHostile(t, source)
	for i := range 4000 {
		for _, c := range []*hostile{h, whole} {
			c.send(`{"type":"track","event":"A","userId":"u","timestamp":%q}`, at(int64(i)*1000))
		}
	}
	end := h.state.Clock() + 1000*instant.Instant(dayMillis)
	whole.model.Finish(&whole.state, "u", end, &whole.out)
	var got []record.Record
	calls := 0
	for more := true; more; calls++ {
		h.out.Reset()
		more = h.model.Advance(&h.state, "u", end, end, &h.out)
		if due := h.model.Due(&h.state); more != (due != instant.None && due <= end) {
			t.Fatalf("more is %t, due %v", more, due)
		}
		if len(h.out.Records) > 4*maxPlayed {
			t.Fatalf("one step made %d records", len(h.out.Records))
		}
		got = append(got, h.out.Records...)
	}
	if calls < 8 || len(got) != len(whole.out.Records) {
		t.Fatalf("%d records in %d calls, want %d", len(got), calls, len(whole.out.Records))
	}
	for i := range got {
		if got[i].ID != whole.out.Records[i].ID {
			t.Fatalf("record %d is %s, want %s", i, got[i].AppendJSON(nil), whole.out.Records[i].AppendJSON(nil))
		}
	}
}

// Portions do not let a customer expire while messages of it still wait.
func TestAdvanceInPortionsKeepsWhoStillWaits(t *testing.T) {
	h := newHostile(t, `{lapwing: 1, name: wave, version: 1, lateness: 1d, retain: {anonymous: 1h}, events: {e: {match: A}}, segments: [{name: n, by: "count('e')"}]}`)
	for i := range 3000 {
		h.send(`{"type":"track","event":"A","anonymousId":"u","timestamp":%q}`, at(int64(i)*10_000))
	}
	end := h.state.Clock() + instant.Instant(dayMillis)
	for more := true; more; h.drain() {
		more = h.model.Advance(&h.state, "u", end, end, &h.out)
		if h.out.Ended {
			t.Fatalf("the customer ended, with %d messages left", len(h.state.held))
		}
	}
	if got := h.state.series[0].total(h.model.events[0]); got != 3000 || len(h.state.held) > 0 {
		t.Errorf("%d events were counted, %d wait", got, len(h.state.held))
	}
}

// A visitor whose trait is another one with every message names as many segments as
// the limit says, in its life, and comes back to them as often as it likes.
func TestFlappingByValueIsBounded(t *testing.T) {
	h := newHostile(t, `{lapwing: 1, name: flap, version: 1, limits: {by_values: 3}, segments: [{name: c, by: trait('c')}]}`)
	for i, c := range []struct {
		value    string
		segments string
		over     int64
	}{
		{"a", "c=a", 0},
		{"b", "c=b", 0},
		{"c", "c=c", 0},
		{"d", "", 1},
		{"a", "c=a", 1},
		{"e", "", 2},
		{"c", "c=c", 2},
	} {
		h.send(`{"type":"identify","userId":"u","timestamp":%q,"traits":{"c":%q}}`, at(int64(i)), c.value)
		p := h.model.Profile(&h.state, "u")
		if got := strings.Join(p.Segments, " "); got != c.segments || h.over[LimitByValues] != c.over {
			t.Errorf("%d: in %q, counted %d; want %q, %d", i, got, h.over[LimitByValues], c.segments, c.over)
		}
	}
}

// What the customer's own clock lets go of makes room first: it is not counted as
// applied before its time, although the clock of the lane may be behind.
func TestWhatIsDueMakesRoomFirst(t *testing.T) {
	h := newHostile(t, `{lapwing: 1, name: room, version: 1, lateness: 1h, limits: {held: 2}, segments: [{name: s, when: "true"}]}`)
	for _, ms := range []int64{0, 1, 2 * hourMillis} {
		h.send(`{"type":"page","userId":"u","timestamp":%q}`, at(ms))
	}
	if h.over != (Overflow{}) || len(h.state.held) != 1 {
		t.Errorf("%d messages wait, exceeded: %q; want 1, and nothing", len(h.state.held), h.over.String())
	}
	h.send(`{"type":"page","userId":"u","timestamp":%q}`, at(2*hourMillis))
	h.send(`{"type":"page","userId":"u","timestamp":%q}`, at(2*hourMillis))
	if h.over[LimitHeld] != 1 || len(h.state.held) != 2 {
		t.Errorf("%d messages wait, exceeded: %q; want 2, and one", len(h.state.held), h.over.String())
	}
}

// next_stage knows of the values that will have named segments by then.
func TestNextStageKnowsTheLimitOfValues(t *testing.T) {
	for limit, want := range map[int]string{2: "", 3: "x"} {
		h := newHostile(t, fmt.Sprintf(`{lapwing: 1, name: ahead, version: 1, limits: {by_values: %d}, events: {e: {match: A}},
			models: [{name: m, stages: [{stage: x, when: in_segment('g=c')}, {stage: y, when: "true"}]}],
			segments: [{name: g, by: "seen('e', '1d') ? 'a' : (seen('e', '2d') ? 'b' : 'c')"}]}`, limit))
		h.send(`{"type":"track","event":"A","userId":"u","timestamp":%q}`, at(0))
		p := h.model.Profile(&h.state, "u")
		if got := p.Stages[0].NextStage; got != want {
			t.Errorf("with %d values next is %q, want %q", limit, got, want)
		}
		end := h.state.Clock() + 10*instant.Instant(dayMillis)
		h.model.Finish(&h.state, "u", end, &h.out)
		stage := "y"
		if want != "" {
			stage = want
		}
		if p := h.model.Profile(&h.state, "u"); p.Stages[0].Stage != stage {
			t.Errorf("with %d values it becomes %q, want %q", limit, p.Stages[0].Stage, stage)
		}
	}
}

// The keys of an event and those that wait for their order are the most of such a state.
func TestKeysAreBounded(t *testing.T) {
	h := newHostile(t, `{lapwing: 1, name: keys, version: 1, limits: {traits: 1, trait_bytes: 1},
		events: {e: {match: A, key: properties.id, value: properties.v, refund: {match: R, key: properties.id, value: properties.v}}}, segments: [{name: s, when: never('e')}]}`)
	for i := range 4200 {
		h.send(`{"type":"track","event":"A","userId":"u","timestamp":%q,"properties":{"id":%d,"v":99999999999999}}`, at(int64(i)), i)
		h.send(`{"type":"track","event":"R","userId":"u","timestamp":%q,"properties":{"id":"r%d","v":99999999999999}}`, at(int64(i)), i)
	}
	if got, bound := h.size(), h.model.MaxStateBytes(); got < bound/2 || h.over[LimitKeys] != 104 || h.over[LimitRefunds] != 104 {
		t.Errorf("%d of %d bytes; exceeded: %s", got, bound, h.over.String())
	}
}
