// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"lapwing/schemas/event"
	"lapwing/schemas/instant"
)

// shopMessage is what a shop sends: mostly pages and events no condition reads.
func shopMessage(r *rand.Rand, clock int64) []byte {
	at := instant.Instant(clock).String()
	switch n := r.IntN(100); {
	case n < 50:
		return fmt.Appendf(nil, `{"type":"page","messageId":"%x","userId":"u","timestamp":%q}`, r.Uint64(), at)
	case n < 60:
		return fmt.Appendf(nil, `{"type":"track","event":"Order Completed","messageId":"%x","userId":"u","timestamp":%q,"properties":{"total":%d.5,"order_id":"%x"}}`, r.Uint64(), at, r.IntN(90), r.Uint32())
	case n < 65:
		return fmt.Appendf(nil, `{"type":"identify","messageId":"%x","userId":"u","timestamp":%q,"traits":{"country":%q,"email":"customer-%d@example.com"}}`, r.Uint64(), at, []string{"FR", "DE"}[r.IntN(2)], r.IntN(1000))
	default:
		return fmt.Appendf(nil, `{"type":"track","event":"Product Viewed","messageId":"%x","userId":"u","timestamp":%q}`, r.Uint64(), at)
	}
}

// lookMessage is a look at one of many products, with properties whose favourites are kept.
func lookMessage(r *rand.Rand, clock int64) []byte {
	return fmt.Appendf(nil, `{"type":"track","event":"Product Viewed","anonymousId":"a","timestamp":%q,"properties":{"category":"category %d","path":"/products/of/category/%d","brand":"b"}}`,
		instant.Instant(clock).String(), r.IntN(9), r.IntN(40))
}

// fold makes the state of a customer who sent so many random messages.
func fold(t testing.TB, m *Model, message func(*rand.Rand, int64) []byte, r *rand.Rand, messages int, pause int64) *State {
	s := new(State)
	var out Output
	decoder := event.NewDecoder(m.Projection(), event.DefaultLimits())
	clock := int64(1_700_000_000_000)
	for range messages {
		clock += r.Int64N(pause)
		var msg event.Message
		raw := message(r, clock)
		if cause := decoder.Decode(raw, instant.None, &msg); cause != "" {
			t.Fatalf("%s: %s", cause, raw)
		}
		m.Accept(s, "a", &msg, instant.Instant(clock), &out)
		m.Advance(s, "a", s.Clock(), instant.Instant(clock), &out)
		out.Reset()
	}
	return s
}

// heap is the memory in use after a collection.
func heap() int {
	runtime.GC()
	runtime.GC() // the first may only have found what the second frees
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// Size is within a quarter of the memory that states take, whether they have been
// folded since or have just been read; by definition and by how busy customers are.
func TestSizeIsTheMemoryOfAState(t *testing.T) {
	const seed = 3
	for _, c := range []struct {
		name    string
		model   *Model
		message func(*rand.Rand, int64) []byte
		busiest int
	}{
		{"shop, few messages", customerValue(t), shopMessage, 8},
		{"shop, many messages", customerValue(t), shopMessage, 60},
		{"favourites", compiled(t, golden(t, "favourites.yaml")), lookMessage, 60},
		{"everything, few messages", everything(t), randomMessage, 8},
		{"everything, many messages", everything(t), randomMessage, 60},
	} {
		for _, how := range []string{"folded", "read", "read, then folded"} {
			t.Run(c.name+", "+how, func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 5))
				encodings := make([][]byte, 10_000)
				var out Output
				var later event.Message
				decoder := event.NewDecoder(c.model.Projection(), event.DefaultLimits())
				if cause := decoder.Decode(c.message(r, 1_701_000_000_000), instant.None, &later); cause != "" {
					t.Fatal(cause)
				}
				states := make([]*State, 10_000)
				fill := func(i int) {
					states[i] = fold(t, c.model, c.message, r, 1+r.IntN(c.busiest), 10*hourMillis)
				}
				if how != "folded" {
					for i := range states {
						fill(i)
						encodings[i] = c.model.AppendState(nil, states[i])
						states[i] = nil
					}
					fill = func(i int) {
						states[i] = new(State)
						if err := c.model.DecodeState(encodings[i], states[i]); err != nil {
							t.Fatal(err)
						}
						if how == "read, then folded" {
							c.model.Accept(states[i], "a", &later, later.Time, &out)
							out.Reset()
						}
					}
				}
				before := heap()
				for i := range states {
					fill(i)
				}
				measured, estimated := heap()-before, 0
				for _, s := range states {
					estimated += s.Size()
				}
				t.Logf("%d bytes a state, estimated %d", measured/len(states), estimated/len(states))
				if d := estimated - measured; max(d, -d) > measured/4 {
					t.Errorf("%d bytes are estimated at %d (seed %d)", measured, estimated, seed)
				}
				runtime.KeepAlive(encodings)
			})
		}
	}
}
