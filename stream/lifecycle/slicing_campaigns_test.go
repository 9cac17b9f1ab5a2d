// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// However often the clock looks in between, and whether the state was written and read
// meanwhile: the same definition and the same events give the same records.
func TestCampaignsInAnySlicing(t *testing.T) {
	m := compiled(t, golden(t, "campaigns.yaml"))
	kinds := map[record.Kind]int{}
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 3))
		var whole, sliced State
		var wholeOut, slicedOut Output
		clock := int64(1_700_000_000_000)
		for range 120 {
			clock += r.Int64N(30 * hourMillis)
			raw := randomMessage(r, clock)
			var msg event.Message
			if cause := event.NewDecoder(m.Projection(), event.DefaultLimits()).Decode(raw, instant.None, &msg); cause != "" {
				t.Fatalf("%s: %s", cause, raw)
			}
			m.Accept(&whole, "a", &msg, msg.Time, &wholeOut)
			m.Advance(&whole, "a", whole.Clock(), whole.Clock(), &wholeOut)
			m.Accept(&sliced, "a", &msg, msg.Time, &slicedOut)
			for range r.IntN(4) { // looks at what is due by then, one instant after the other
				at := sliced.Clock() - instant.Instant(r.Int64N(3*hourMillis))
				m.Advance(&sliced, "a", at, at, &slicedOut)
			}
			m.Advance(&sliced, "a", sliced.Clock(), sliced.Clock(), &slicedOut)
			b := m.AppendState(nil, &sliced)
			sliced = State{}
			if err := m.DecodeState(b, &sliced); err != nil {
				t.Fatal(err)
			}
		}
		end := instant.Instant(clock + 40*dayMillis)
		for at := instant.Instant(clock); at < end; at += instant.Instant(1 + r.Int64N(2*dayMillis)) {
			m.Finish(&sliced, "a", at, &slicedOut)
		}
		m.Finish(&whole, "a", end, &wholeOut)
		m.Finish(&sliced, "a", end, &slicedOut)
		if len(wholeOut.Records) != len(slicedOut.Records) {
			t.Fatalf("seed %d: %d records at once, %d in slices", seed, len(wholeOut.Records), len(slicedOut.Records))
		}
		for i := range wholeOut.Records {
			w, s := wholeOut.Records[i], slicedOut.Records[i]
			w.DetectedAt, s.DetectedAt = 0, 0
			if !reflect.DeepEqual(w, s) {
				t.Fatalf("seed %d record %d: at once %+v, in slices %+v", seed, i, w, s)
			}
			kinds[w.Kind]++
		}
	}
	if kinds[record.Assignment] < 100 || kinds[record.Conversion] < 300 {
		t.Errorf("only %v: the test shows too little", kinds)
	}
}
