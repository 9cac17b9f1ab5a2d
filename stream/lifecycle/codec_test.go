// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"lapwing/schemas/definition"
	"lapwing/schemas/event"
	"lapwing/schemas/instant"
)

// everything is a definition whose states use every part of the encoding.
const everything = `lapwing: 1
name: everything
version: 3
lateness: 2h
events:
  purchase:
    match: Order Completed
    value: properties.total
    key: properties.order_id
    refund: {match: Order Refunded, value: properties.total, key: properties.order_id}
  visit: {match: [{type: page}]}
  session: {from: visit, gap: 30m}
  ping: {match: Ping, resolution: 1h}
models:
  - {name: value, stages: [{stage: quiet, when: "idle('visit', '90d')"}, {stage: busy, when: "count('session', '7d') > 2"}, {stage: rest, when: "true"}]}
segments:
  - {name: rich, when: "sum('purchase', '365d') > 100"}
  - {name: pinging, when: "count('ping', '90m') > 3"}
  - {name: reader, when: "unique('session', 'path', '30d') >= 2"}
  - {name: country, by: trait('country')}
`

func randomMessage(r *rand.Rand, clock int64) []byte {
	at := instant.Instant(clock - r.Int64N(4)*3600_000).String()
	id := r.IntN(40)
	switch r.IntN(5) {
	case 0:
		return fmt.Appendf(nil, `{"type":"track","event":"Order Completed","messageId":"m%d","anonymousId":"a","timestamp":%q,"properties":{"total":%d.5,"order_id":%d}}`, r.IntN(1000), at, r.IntN(90), id)
	case 1:
		return fmt.Appendf(nil, `{"type":"track","event":"Order Refunded","messageId":"m%d","anonymousId":"a","timestamp":%q,"properties":{"total":%d,"order_id":%d}}`, r.IntN(1000), at, r.IntN(9), id)
	case 2:
		return fmt.Appendf(nil, `{"type":"page","messageId":"m%d","anonymousId":"a","timestamp":%q,"properties":{"path":"/%d"}}`, r.IntN(1000), at, id)
	case 3:
		return fmt.Appendf(nil, `{"type":"identify","anonymousId":"a","timestamp":%q,"traits":{"country":%q,"n":null}}`, at, []string{"FR", "DE", ""}[r.IntN(3)])
	default:
		return fmt.Appendf(nil, `{"type":"track","event":"Ping","anonymousId":"a","timestamp":%q}`, at)
	}
}

// A state that is encoded and decoded after each step goes on exactly as one that never was.
func TestStateSurvivesItsEncoding(t *testing.T) {
	m, problems := compileText(t, everything)
	if m == nil {
		t.Fatal(problems)
	}
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		decoder := event.NewDecoder(m.Projection(), event.DefaultLimits())
		var kept, coded State
		var keptOut, codedOut Output
		clock := int64(1_700_000_000_000)
		for step := range 300 {
			clock += r.Int64N(20 * hourMillis)
			if r.IntN(60) == 0 {
				clock += 91 * dayMillis
			}
			raw := randomMessage(r, clock)
			var msg event.Message
			if cause := decoder.Decode(raw, instant.None, &msg); cause != "" {
				t.Fatalf("%s: %s", cause, raw)
			}
			m.Accept(&kept, "a", &msg, instant.Instant(clock), &keptOut)
			m.Advance(&kept, "a", kept.Clock(), instant.Instant(clock), &keptOut)
			m.Accept(&coded, "a", &msg, instant.Instant(clock), &codedOut)
			m.Advance(&coded, "a", coded.Clock(), instant.Instant(clock), &codedOut)
			b := m.AppendState(nil, &coded)
			if want := m.AppendState(nil, &kept); !bytes.Equal(b, want) {
				t.Fatalf("seed %d step %d: the encodings differ", seed, step)
			}
			coded = State{}
			if err := m.DecodeState(b, &coded); err != nil {
				t.Fatalf("seed %d step %d: %v", seed, step, err)
			}
			if again := m.AppendState(nil, &coded); !bytes.Equal(b, again) {
				t.Fatalf("seed %d step %d: decoding and encoding again gives other bytes", seed, step)
			}
		}
		if len(keptOut.Records) < 20 {
			t.Fatalf("seed %d: only %d records, the test shows too little", seed, len(keptOut.Records))
		}
		for i := range keptOut.Records {
			if keptOut.Records[i] != codedOut.Records[i] {
				t.Fatalf("seed %d record %d: %+v, want %+v", seed, i, codedOut.Records[i], keptOut.Records[i])
			}
		}
	}
}

func TestStateOfAnotherVersionIsRefused(t *testing.T) {
	m, _ := compileText(t, everything)
	other := *m
	def := *m.def
	def.Version++
	other.def = &def
	var s State
	if err := other.DecodeState(m.AppendState(nil, &State{}), &s); !errors.Is(err, ErrState) {
		t.Fatalf("error %v, want ErrState", err)
	}
}

func FuzzDecodeState(f *testing.F) {
	d, _ := definition.Parse("everything.yaml", []byte(everything))
	m, problems := Compile(d)
	if m == nil {
		f.Fatal(problems)
	}
	var s State
	var out Output
	decoder := event.NewDecoder(m.Projection(), event.DefaultLimits())
	r := rand.New(rand.NewPCG(1, 2))
	clock := int64(1_700_000_000_000)
	for range 40 {
		var msg event.Message
		clock += 3 * hourMillis
		if cause := decoder.Decode(randomMessage(r, clock), instant.None, &msg); cause != "" {
			f.Fatal(cause)
		}
		m.Accept(&s, "a", &msg, instant.Instant(clock), &out)
		m.Advance(&s, "a", s.Clock(), instant.Instant(clock), &out)
		f.Add(m.AppendState(nil, &s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s State
		if err := m.DecodeState(b, &s); err != nil {
			if !errors.Is(err, ErrState) {
				t.Fatalf("error %v is no ErrState", err)
			}
			return
		}
		var again State
		if err := m.DecodeState(m.AppendState(nil, &s), &again); err != nil {
			t.Fatalf("what was decoded is encoded so that it cannot be: %v", err)
		}
	})
}
