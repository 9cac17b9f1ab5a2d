// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"lapwing/schemas/definition"
	"lapwing/schemas/event"
	"lapwing/schemas/instant"
)

// everything is a definition whose states use every part of the encoding.
func everything(t testing.TB) *Model { return compiled(t, golden(t, "definition.yaml")) }

func compiled(t testing.TB, source []byte) *Model {
	t.Helper()
	d, problems := definition.Parse("definition.yaml", source)
	m, more := Compile(d)
	if m == nil {
		t.Fatal(problems, more)
	}
	return m
}

func randomMessage(r *rand.Rand, clock int64) []byte {
	at := instant.Instant(clock - r.Int64N(4)*3600_000).String()
	id := r.IntN(40)
	track := func(name, properties string) []byte {
		return fmt.Appendf(nil, `{"type":"track","event":%q,"messageId":"m%d","anonymousId":"a","timestamp":%q,"properties":{%s}}`, name, r.IntN(1000), at, properties)
	}
	switch r.IntN(9) {
	case 0:
		return track("Order Completed", fmt.Sprintf(`"total":%d.5,"order_id":%d,"currency":"EUR","products":[{"sku":"p"}]`, r.IntN(90), id))
	case 1:
		return track("Order Refunded", fmt.Sprintf(`"total":%d,"order_id":%d`, r.IntN(9), id))
	case 2:
		return track("Order Refunded", fmt.Sprintf(`"order_id":%d`, id))
	case 3:
		return fmt.Appendf(nil, `{"type":"page","messageId":"m%d","anonymousId":"a","timestamp":%q,"properties":{"path":"/%d"}}`, r.IntN(1000), at, id)
	case 4:
		return fmt.Appendf(nil, `{"type":"identify","anonymousId":"a","timestamp":%q,"traits":{"country":%q,"n":null,"consent_email":%t}}`, at, []string{"FR", "DE", ""}[r.IntN(3)], r.IntN(2) == 0)
	case 5:
		return track("Donated", fmt.Sprintf(`"total":%d,"id":"d%d"`, r.IntN(30), id))
	case 6:
		return track("Signed Up", fmt.Sprintf(`"variant":"v%d","control":%t`, r.IntN(2), r.IntN(4) == 0))
	case 7:
		return fmt.Appendf(nil, `{"type":"group","anonymousId":"a","groupId":"g%d","timestamp":%q}`, id, at)
	default:
		return fmt.Appendf(nil, `{"type":"track","event":"Ping","anonymousId":"a","timestamp":%q}`, at)
	}
}

// A state that is encoded and decoded after each step goes on exactly as one that never was.
func TestStateSurvivesItsEncoding(t *testing.T) {
	for _, name := range []string{"definition.yaml", "campaigns.yaml"} {
		t.Run(name, func(t *testing.T) { testStateSurvivesItsEncoding(t, compiled(t, golden(t, name))) })
	}
}

func testStateSurvivesItsEncoding(t *testing.T, m *Model) {
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
			if !reflect.DeepEqual(keptOut.Records[i], codedOut.Records[i]) {
				t.Fatalf("seed %d record %d: %+v, want %+v", seed, i, codedOut.Records[i], keptOut.Records[i])
			}
		}
	}
}

func TestStateOfAnotherVersionIsRefused(t *testing.T) {
	m := everything(t)
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
	m := everything(f)
	texts := compiled(f, golden(f, "favourites.yaml"))
	f.Add(golden(f, "favourites.format3"))
	f.Add(golden(f, "campaigns.format4"))
	campaigns := compiled(f, golden(f, "campaigns.yaml"))
	f.Add(golden(f, "everything.format1"))
	f.Add(golden(f, "everything.format2"))
	f.Add(golden(f, "everything.format3"))
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
		m := m
		if len(b) > 1 {
			switch int64(b[1]) {
			case texts.def.Version:
				m = texts
			case campaigns.def.Version:
				m = campaigns
			}
		}
		var s State
		if err := m.DecodeState(b, &s); err != nil {
			if !errors.Is(err, ErrState) {
				t.Fatalf("error %v is no ErrState", err)
			}
			return
		}
		var again State
		encoded := m.AppendState(nil, &s)
		if err := m.DecodeState(encoded, &again); err != nil {
			t.Fatalf("what was decoded is encoded so that it cannot be: %v", err)
		}
		if got, want := describe(m, &again), describe(m, &s); got != want {
			t.Fatalf("encoded and decoded it is another state: %s", firstDifference(got, want))
		}
		if twice := m.AppendState(nil, &again); !bytes.Equal(encoded, twice) {
			t.Fatal("encoded and decoded it is encoded otherwise")
		}
		if size, most := again.Size(), 200*len(b)+4096; size > most {
			t.Fatalf("a state of %d bytes takes %d in memory", len(b), size)
		}
	})
}
