// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

const sessionsOf = `lapwing: 1
name: shop
version: %d
lateness: %s
sessions: {gap: 20m}
events:
  purchase: {match: Order Completed, value: properties.total}
models:
  - {name: value, stages: [{stage: prospect, when: never('purchase')}, {stage: idle, when: "idle('purchase', '1h')"}, {stage: buyer, when: "true"}]}
  - {name: calm, stages: [{stage: noisy, when: "seen('purchase', '10m')"}, {stage: quiet, when: "true"}]}
segments:
  - {name: buyers, when: "seen('purchase', '30d')"}
messages:
  - {match: Email Opened, channel: email, step: opened, campaign: properties.campaign_id, machine: properties.machine == true}
  - {match: Link Clicked, channel: email, step: clicked, campaign: "'all'", machine: properties.machine == true}
  - {match: [Email Opened, {type: screen, name: Push}], channel: any, step: seen, campaign: "'all'"}
`

// line is a message of a customer: when it happened, and what it is.
type happened struct {
	at   int64
	body string
}

// life is a random life in time order, of messages that are minutes apart, so that
// sessions end and go on, often at the very instant.
func life(r *rand.Rand, n int) []happened {
	all := make([]happened, n)
	at := int64(1_772_000_000_000)
	for i := range all {
		at += []int64{0, 1, 60_000, 600_000, 1_199_999, 1_200_000, 1_200_001, 7_200_000}[r.IntN(8)]
		body := []string{
			`"type":"page"`, `"type":"screen"`, `"type":"identify"`, `"type":"track","event":"Other"`,
			`"type":"track","event":"Order Completed","properties":{"total":5}`,
			`"type":"track","event":"Email Opened"`, `"type":"track","event":"Link Clicked"`,
			`"type":"track","event":"Link Clicked","properties":{"machine":true}`,
		}[r.IntN(8)]
		all[i] = happened{at, body}
	}
	return all
}

func (h *happened) message(t testing.TB, m *Model) event.Message {
	t.Helper()
	raw := fmt.Sprintf(`{"userId":"u","timestamp":"%s",%s}`, instant.Instant(h.at), h.body)
	var msg event.Message
	if c := event.NewDecoder(m.Projection(), event.DefaultLimits()).Decode([]byte(raw), instant.None, &msg); c != "" {
		t.Fatalf("%s: %s", raw, c)
	}
	return msg
}

// visitLines are activity records' times and sessions, one line each.
func visitLines(all []record.Activity) []string {
	out := make([]string, len(all))
	for i := range all {
		a := &all[i]
		var stages strings.Builder
		for _, s := range a.SessionStages {
			stages.WriteString(" " + s.Model + "=" + s.Stage)
		}
		out[i] = fmt.Sprintf("%d in %d begins %v%s", a.EventTime, a.SessionStart, a.SessionBegins, stages.String())
	}
	return out
}

// fold takes a life in, in the order given, and gives its activity. coded: the state is
// written and read after each message.
func foldLife(t testing.TB, m *Model, lives []happened, coded bool) []record.Activity {
	t.Helper()
	var s State
	out := Output{WantActivity: WantAll}
	for i := range lives {
		msg := lives[i].message(t, m)
		m.Accept(&s, "u", &msg, msg.Time, &out)
		if coded {
			var again State
			if err := m.DecodeState(m.AppendState(nil, &s), &again); err != nil {
				t.Fatal(err)
			}
			s = again
		}
	}
	m.Finish(&s, "u", s.Clock(), &out)
	return slices.Clone(out.Activity)
}

// sessionsByTheWords: a session ends with a gap of 20 minutes or more; its stages are
// those just before its first message. What was only received is in none: not the mail
// that was opened, nor what a machine clicked. Messages come in time order. The stages
// just before each message are told by its own activity record.
func sessionsByTheWords(all []record.Activity) []string {
	sorted := make([]record.Activity, len(all))
	first, last := -1, instant.None
	for i := range all {
		a := &all[i]
		if a.Event == "Email Opened" || a.Event == "Link Clicked" && a.Exposures[0].Machine {
			sorted[i] = record.Activity{EventTime: a.EventTime, SessionStart: a.EventTime, SessionStages: a.Stages}
			continue
		}
		begins := first < 0 || a.EventTime-last >= instant.Instant((20*time.Minute).Milliseconds())
		if begins {
			first = i
		}
		last = a.EventTime
		sorted[i] = record.Activity{EventTime: a.EventTime, SessionStart: all[first].EventTime, SessionStages: all[first].Stages, SessionBegins: begins}
	}
	return visitLines(sorted)
}

// TestSessionsInOrder: for messages in time order sessions are what the words say, also
// through the state's encoding; and, within the lateness, in whatever order they come.
func TestSessionsInOrder(t *testing.T) {
	atOnce := compiled(t, fmt.Appendf(nil, sessionsOf, 1, "0s"))
	late := compiled(t, fmt.Appendf(nil, sessionsOf, 1, "100d"))
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		lives := life(r, 1+r.IntN(25))
		want := foldLife(t, atOnce, lives, seed%2 == 0)
		if got := visitLines(want); !slices.Equal(got, sessionsByTheWords(want)) {
			t.Fatalf("seed %d: got\n%s\nwant\n%s", seed, strings.Join(got, "\n"), strings.Join(sessionsByTheWords(want), "\n"))
		}
		shuffled := slices.Clone(lives)
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if got := foldLife(t, late, shuffled, seed%2 == 1); !slices.Equal(visitLines(got), sessionsByTheWords(got)) {
			t.Fatalf("seed %d, within the lateness: got\n%s\nwant\n%s", seed, strings.Join(visitLines(got), "\n"), strings.Join(sessionsByTheWords(got), "\n"))
		}
	}
}

// TestSessionsOfLateMessages: what comes late belongs to the current session, if less
// than the gap before it; else to one session before it, that of what comes with it; and
// never changes what the current session is.
func TestSessionsOfLateMessages(t *testing.T) {
	m := compiled(t, fmt.Appendf(nil, sessionsOf, 1, "0s"))
	minute := func(n int64) int64 { return 1_772_000_000_000 + n*60_000 }
	buy := `"type":"track","event":"Order Completed","properties":{"total":5}`
	page := `"type":"page"`
	got := visitLines(foldLife(t, m, []happened{
		{minute(300), page}, {minute(301), buy}, // now
		{minute(281), page},                     // 19 minutes before the session
		{minute(280), page},                     // 20: another one
		{minute(270), page},                     // within 20 minutes of that
		{minute(100), page}, {minute(110), buy}, // a third, whose place the one before gives up
		{minute(280), page}, // so this begins anew
		{minute(320), page}, // less than 20 minutes after the last
		{minute(340), page}, // not less
	}, true))
	want := []string{}
	for _, w := range []struct {
		at, in int64
		begins bool
		stages string
	}{
		{300, 300, true, ""},
		{301, 300, false, ""},
		{281, 300, false, ""},
		{280, 280, true, " value=buyer calm=noisy"},
		{270, 280, false, " value=buyer calm=noisy"},
		{100, 100, true, " value=buyer calm=noisy"},
		{110, 100, false, " value=buyer calm=noisy"},
		{280, 280, true, " value=buyer calm=noisy"},
		{320, 300, false, ""},
		{340, 340, true, " value=buyer calm=quiet"},
	} {
		want = append(want, fmt.Sprintf("%d in %d begins %v%s", minute(w.at), minute(w.in), w.begins, w.stages))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestWanted: all applied messages, or only those that count as an event, tell of an
// exposure or begin a session, or none.
func TestWanted(t *testing.T) {
	m := compiled(t, fmt.Appendf(nil, sessionsOf, 1, "0s"))
	for want, names := range map[Want]string{WantNone: "", WantCounted: "page,Email Opened,Order Completed", WantAll: "page,Other,Email Opened,Other,Order Completed"} {
		var s State
		out := Output{WantActivity: want}
		at := int64(1_772_000_000_000)
		for i, body := range []string{
			`"type":"page"`, `"type":"track","event":"Other"`, `"type":"track","event":"Email Opened"`,
			`"type":"track","event":"Other"`, `"type":"track","event":"Order Completed"`,
		} {
			h := happened{at + int64(i), body}
			msg := h.message(t, m)
			m.Accept(&s, "u", &msg, msg.Time, &out)
		}
		var got []string
		for i := range out.Activity {
			got = append(got, out.Activity[i].Event)
		}
		if strings.Join(got, ",") != names {
			t.Errorf("wanted %d: got %v, want %s", want, got, names)
		}
	}
}

// TestExposures: each of `messages` that a message fits tells of one, with the campaign
// as text, and whether a machine did it; also after waiting in an encoded state.
func TestExposures(t *testing.T) {
	at := int64(1_772_000_000_000)
	for _, c := range []struct {
		body string
		want []record.Exposure
	}{
		{`"type":"track","event":"Email Opened","properties":{"campaign_id":"spring"}`, []record.Exposure{{Campaign: "spring", Channel: "email", Step: "opened"}, {Campaign: "all", Channel: "any", Step: "seen"}}},
		{`"type":"track","event":"Email Opened","properties":{"campaign_id":17,"machine":true}`, []record.Exposure{{Campaign: "17", Channel: "email", Step: "opened", Machine: true}, {Campaign: "all", Channel: "any", Step: "seen"}}},
		{`"type":"track","event":"Email Opened","properties":{"machine":"true"}`, []record.Exposure{{Channel: "email", Step: "opened"}, {Campaign: "all", Channel: "any", Step: "seen"}}},
		{`"type":"screen","name":"Push"`, []record.Exposure{{Campaign: "all", Channel: "any", Step: "seen"}}},
		{`"type":"screen","name":"Other"`, nil},
		{`"type":"page","event":"Email Opened"`, nil},
	} {
		for _, lateness := range []string{"0s", "1h"} {
			m := compiled(t, fmt.Appendf(nil, sessionsOf, 1, lateness))
			all := foldLife(t, m, []happened{{at, c.body}}, true)
			if len(all) != 1 || !slices.Equal(all[0].Exposures, c.want) {
				t.Errorf("%s, lateness %s: got %+v, want %+v", c.body, lateness, all, c.want)
			}
		}
	}
}

// TestPlatforms: by the type, else by what SDKs put into the context.
func TestPlatforms(t *testing.T) {
	m := compiled(t, fmt.Appendf(nil, sessionsOf, 1, "1h"))
	for body, want := range map[string]string{
		`"type":"screen"`:            "app",
		`"type":"page"`:              "site",
		`"type":"track","event":"E"`: "",
		`"type":"track","event":"E","context":{"app":{"name":"Shop"}}`:                              "app",
		`"type":"track","event":"E","context":{"page":{"path":"/"}}`:                                "site",
		`"type":"track","event":"E","context":{"app":{"name":"JavaScript SDK"},"page":{"path":""}}`: "site",
		`"type":"track","event":"E","context":{"app":"x","page":null}`:                              "",
	} {
		if all := foldLife(t, m, []happened{{1_772_000_000_000, body}}, true); all[0].Platform != want {
			t.Errorf("%s: %q, want %q", body, all[0].Platform, want)
		}
	}
}

// TestSessionsAreCarried: another definition goes on with the session; a stage that it
// lacks is as if there had been none.
func TestSessionsAreCarried(t *testing.T) {
	from := compiled(t, fmt.Appendf(nil, sessionsOf, 1, "0s"))
	to := compiled(t, []byte(strings.NewReplacer("stage: noisy", "stage: loud", "name: value", "name: worth").Replace(fmt.Sprintf(sessionsOf, 2, "0s"))+""))
	var s State
	out := Output{WantActivity: WantAll}
	accept := func(m *Model, s *State, h happened) {
		msg := h.message(t, m)
		m.Accept(s, "u", &msg, msg.Time, &out)
	}
	at := int64(1_772_000_000_000)
	buy := `"type":"track","event":"Order Completed","properties":{"total":5}`
	accept(from, &s, happened{at, buy})
	accept(from, &s, happened{at + 3_600_000, buy}) // quiet before, noisy since
	accept(from, &s, happened{at + 1_200_000, buy}) // late, when noisy
	next := NewCarrier(from, to).Carry(&s, "u", instant.None, instant.None, &out)
	out.Reset()
	accept(to, next, happened{at + 3_600_001, buy})
	accept(to, next, happened{at + 1_200_001, buy})
	want := []string{
		fmt.Sprintf("%d in %d begins false calm=quiet", at+3_600_001, at+3_600_000),
		fmt.Sprintf("%d in %d begins false", at+1_200_001, at+1_200_000),
	}
	if got := visitLines(out.Activity); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
