// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"lapwing/schemas/instant"
)

const boundaryDefinition = `lapwing: 1
name: boundary
version: 1
timezone: Europe/Berlin
events:
  a: {match: A, value: properties.v}
  b: {match: B}
models:
  - {name: m, stages: [{stage: busy, when: "seen('a', '1d')"}, {stage: calm, when: "true"}]}
segments:
  - {name: g, when: "seen('b', '1d')"}
  - {name: by, by: trait('by')}
  - {name: s, when: %q}
campaigns: # u is in bucket 3836 of c
  - name: c
    audience: seen('b', '1d')
    holdout: 1%%
    variants: {x: 37.36%%, y: 0.01%%, z: 61.63%%}
    goals: [{name: g, event: a, within: 2d}, {name: t, event: a, within: 2d, value: total}, {name: w, when: "in_stage('m', 'busy')", within: 2d}]
`

// Each function changes exactly at the instant that its meaning names: not a
// millisecond before it. The story is "event@time", from midnight UTC of 1 January;
// what is wanted are all changes, "+" for becoming true and "-" for the contrary.
func TestEveryFunctionAtItsBoundary(t *testing.T) {
	rows := []struct{ condition, story, want string }{
		{`never('a')`, "b@0 a@1h a@2h", "+0s -1h0m0s"},

		{`seen('a', '2d')`, "a@0 a@48h-1ms", "+0s -95h59m59.999s"},
		{`seen('a', '2d')`, "a@0 a@48h", "+0s -48h0m0s +48h0m0s -96h0m0s"},
		{`seen('a', '2d')`, "b@0", ""},

		{`idle('a', '2d')`, "a@0", "+48h0m0s"},
		{`idle('a', '2d')`, "a@0 a@48h-1ms", "+95h59m59.999s"},
		{`idle('a', '2d')`, "a@0 a@48h", "+48h0m0s -48h0m0s +96h0m0s"},
		{`idle('a', '2d')`, "b@0", ""},

		{`first('a', '2d')`, "a@0 a@1h", "+0s -48h0m0s"},
		{`first('a', '2d')`, "a@0 a@48h", "+0s -48h0m0s"}, // it does not come back
		{`first('a', '2d')`, "b@0 a@1h a@0", "+1h0m0s -48h0m0s"},

		{`after('a', 'b')`, "a@0 b@0 a@1ms", "+0s -0s +1ms"},
		{`after('a', 'b')`, "b@0 a@0", ""},

		{`count('a', '2d') >= 2`, "a@0 a@48h-1ms", "+47h59m59.999s -48h0m0s"},
		{`count('a', '2d') >= 2`, "a@0 a@48h", ""},
		{`count('a') >= 2`, "a@0 a@9000h", "+9000h0m0s"},

		{`count_since('a', 'b') >= 2`, "b@0 a@0 a@1ms a@2ms b@3ms", "+2ms -3ms"},
		{`count_since('a', 'b') >= 2`, "b@0 a@0 a@1ms", ""},
		{`count_since('a', 'b') >= 2`, "a@0 a@0", "+0s"},

		{`idle('a', rhythm('a'))`, "a@0 a@10h a@30h", "+45h0m0s"},
		{`idle('a', rhythm('a'))`, "a@0 a@10h a@30h a@45h", "+45h0m0s -45h0m0s +60h0m0s"},
		{`seen('a', 2 * rhythm('a'))`, "a@0 a@1h a@2h", "+2h0m0s -4h0m0s"},
		{`rhythm('a') <= '15h'`, "a@0 a@10h a@30h", "+30h0m0s"},
		{`rhythm('a') <= '15h'`, "a@0 a@10h a@30h+1ms", "+30h0m0.001s"}, // 15h and half a millisecond, which is cut
		{`rhythm('a') <= '15h'`, "a@0 a@10h a@30h+2ms", ""},
		{`rhythm('a') <= '15h'`, "a@0 a@1ms", ""}, // one gap is no rhythm

		{`sum('a', '2d') >= 10`, "a=4@0 a=6@48h-1ms", "+47h59m59.999s -48h0m0s"},
		{`sum('a', '2d') >= 10`, "a=4@0 a=6@48h", ""},
		{`sum('a', '2d') == 0`, "b@0 a@1h a=1@2h", "+0s -2h0m0s +50h0m0s"},
		{`avg('a', '2d') == 5`, "a=4@0 a@1h a=6@48h-1ms", "+47h59m59.999s -48h0m0s"},
		{`!(avg('a', '2d') > 0)`, "b@0", ""}, // of nothing it is unknown
		{`min('a', '2d') == 4`, "a=4@0 a=6@1h", "+0s -48h0m0s"},
		{`max('a', '2d') == 6`, "a=6@0 a=4@1h", "+0s -48h0m0s"},
		{`!(max('a', '2d') > 0)`, "b@0", ""},

		{`days('a', '2d') >= 2`, "a@22h+59m+59s+999ms a@23h", "+23h0m0s -70h59m59.999s"}, // 23:00 UTC is midnight in Berlin
		{`days('a', '2d') >= 2`, "a@21h a@22h+59m+59s+999ms", ""},

		{`unique('a', 'p', '2d') >= 2`, "a.x@0 a.y@48h-1ms", "+47h59m59.999s -48h0m0s"},
		{`unique('a', 'p', '2d') >= 2`, "a.x@0 a.x@1h a.y@48h", "+48h0m0s -49h0m0s"}, // the later x counts on
		{`unique('a', 'p', '2d') >= 2`, "a.x@0 a@1h", ""},

		{`favourite('a', 'p', '2d') == 'x'`, "a.x@0 a.x@0 a.y@48h", "+0s -48h0m0s"}, // two at half weight, and the one seen last
		{`favourite('a', 'p', '2d') == 'x'`, "a.x@3m a.x@3m a.y@48h", "+3m0s"},
		{`favourite('a', 'p') == 'x'`, "a.x@0 a.x@0 a.y@720h", "+0s -720h0m0s"},

		{`count_from('a', 'b', '2d') >= 1`, "a@0 b@0 b@1ms", "+1ms"},
		{`count_from('a', 'b', '2d') >= 1`, "a@0 b@48h", "+48h0m0s"},
		{`count_from('a', 'b', '2d') >= 1`, "a@0 b@48h+1ms", ""},
		{`count_from('a', 'b', '2d') >= 1`, "b@0 b@1h", ""},

		{`trait('by') == 'x'`, "by=x@0 by=y@1h", "+0s -1h0m0s"},
		{`known('by')`, "a@0 by=x@1h", "+1h0m0s"},
		{`anonymous()`, "?@0 b@1h", "+0s -1h0m0s"},

		{`due('until', '0d')`, "until@0", "+240h0m0s"},
		{`due('until', '-1d')`, "until@0", "+216h0m0s"},
		{`due('until', '1d')`, "until@0", "+264h0m0s"},
		{`!due('by', '0d')`, "by=x@0", ""}, // no time: unknown

		{`in_stage('m', 'busy')`, "a@0", "+0s -24h0m0s"},
		{`stage_for('m', 'busy', '20h')`, "a@0", "+20h0m0s -24h0m0s"},
		{`stage_for('m', 'busy', '20h')`, "a@0 a@24h", "+20h0m0s -24h0m0s +44h0m0s -48h0m0s"}, // it left at the very instant
		{`stage_for('m', 'busy', '1d')`, "a@0", ""},
		{`stage_for('m', 'busy', '1d')`, "a@0 a@24h-1ms", "+24h0m0s -47h59m59.999s"},
		{`in_segment('g')`, "b@0", "+0s -24h0m0s"},

		{`assigned('c')`, "a@0 b@1h b@90h", "+1h0m0s"}, // for ever
		{`assigned('c', 'y')`, "a@0 b@1h", "+1h0m0s"},
		{`assigned('c', 'x')`, "a@0 b@1h", ""},
		{`assigned('c', 'z')`, "a@0 b@1h", ""},
		{`converted('c', 'g')`, "b@0 a@0 a@1ms", "+1ms"}, // not at the instant of the assignment
		{`converted('c', 'g')`, "b@0 a@0 a@48h", "+48h0m0s"},
		{`converted('c', 'g')`, "b@0 a@48h+1ms", ""},
		{`converted('c', 't')`, "b@0 a=1@1h", "+48h0m0s"}, // the record comes when the window closes
		{`converted('c', 't')`, "b@0 a=1@48h", "+48h0m0s"},
		{`converted('c', 'w')`, "b@0 a@48h", "+48h0m0s"},
		{`converted('c', 'w')`, "b@0 a@0 a@23h", ""}, // true from the instant of the assignment on
		{`in_segment('by=x')`, "by=x@0 by=y@1h by=x@2h", "+0s -1h0m0s +2h0m0s"},
	}
	for _, f := range functions {
		used := false
		for _, r := range rows {
			used = used || strings.Contains(r.condition, f.name+"(")
		}
		if !used {
			t.Errorf("%s is not tried at its boundary", f.name)
		}
	}
	for _, r := range rows {
		if got := changesOf(t, r.condition, r.story); got != r.want {
			t.Errorf("%s with %s: %q, want %q", r.condition, r.story, got, r.want)
		}
	}
}

// changesOf plays a story and lists the changes of segment s.
func changesOf(t *testing.T, condition, story string) string {
	t.Helper()
	h := newHostile(t, fmt.Sprintf(boundaryDefinition, condition))
	var got []string
	take := func() {
		for i := range h.out.Records {
			r := &h.out.Records[i]
			if r.Segment != "s" {
				continue
			}
			sign := "-"
			if r.Entered {
				sign = "+"
			}
			start, _ := instant.Parse(at(0))
			got = append(got, sign+(time.Duration(r.EffectiveAt-start)*time.Millisecond).String())
		}
		h.out.Reset()
	}
	send := func(format string, args ...any) {
		msg := h.decode(format, args...)
		h.model.Accept(&h.state, "u", &msg, msg.Time, &h.out)
		take()
	}
	for _, step := range strings.Fields(story) {
		what, when, _ := strings.Cut(step, "@")
		stamp := at(moment(t, when))
		name, value, _ := strings.Cut(what, "=")
		switch {
		case name == "by":
			send(`{"type":"identify","userId":"u","timestamp":%q,"traits":{"by":%q}}`, stamp, value)
		case name == "until":
			send(`{"type":"identify","userId":"u","timestamp":%q,"traits":{"until":%q}}`, stamp, at(10*dayMillis))
		case name == "?":
			send(`{"type":"page","anonymousId":"u","timestamp":%q}`, stamp)
		case value != "":
			send(`{"type":"track","event":%q,"userId":"u","timestamp":%q,"properties":{"v":%s}}`, strings.ToUpper(name), stamp, value)
		default:
			event, p, _ := strings.Cut(name, ".")
			properties := "{}"
			if p != "" {
				properties = fmt.Sprintf(`{"p":%q}`, p)
			}
			send(`{"type":"track","event":%q,"userId":"u","timestamp":%q,"properties":%s}`, strings.ToUpper(event), stamp, properties)
		}
	}
	h.model.Finish(&h.state, "u", h.state.Clock()+instant.Instant(100*dayMillis), &h.out)
	take()
	return strings.Join(got, " ")
}

// moment reads durations that are added up: 48h-1ms.
func moment(t *testing.T, text string) int64 {
	t.Helper()
	sum := time.Duration(0)
	for _, part := range strings.Split(strings.ReplaceAll(text, "-", "+-"), "+") {
		if part == "0" {
			continue
		}
		d, err := time.ParseDuration(part)
		if err != nil {
			t.Fatal(err)
		}
		sum += d
	}
	return sum.Milliseconds()
}
