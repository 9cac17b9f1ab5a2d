// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"lapwing/schemas/decimal"
	"lapwing/schemas/instant"
)

// randomActivity has every field in every shape; hard: also what is left to encoding/json.
func randomActivity(rng *rand.Rand, hard bool) Activity {
	texts := []string{"", "a", "Order Completed", "長い", "x y/z", strings.Repeat("long", 30)}
	if hard {
		texts = append(texts, `quo"te`, `back\slash`, "new\nline", "\u2028", "<&>")
	}
	text := func() string { return texts[rng.IntN(len(texts))] }
	at := func() instant.Instant { return instant.Instant(rng.Int64N(7_000_000_000_000)) }
	a := Activity{
		CustomerID: "c" + text(), EventTime: at(), MessageID: text(), Type: text(), Event: text(), Currency: text(), SessionStart: instant.None,
	}
	for range rng.IntN(3) {
		o := Occurrence{Event: text(), At: at(), HasValue: rng.IntN(2) == 0, Key: text(), Refund: rng.IntN(2) == 0}
		if o.HasValue {
			o.Value = decimal.Decimal(rng.Int64N(1e18) - 5e17)
		}
		a.Occurrence = append(a.Occurrence, o)
	}
	for i := range rng.IntN(3) {
		a.Stages = append(a.Stages, StageAt{fmt.Sprint("m", i), text()})
		a.Segments = append(a.Segments, text())
	}
	if rng.IntN(2) == 0 {
		a.SessionStart, a.Platform = at(), text()
		for i := range rng.IntN(3) {
			a.Exposures = append(a.Exposures, Exposure{Campaign: text(), Channel: text(), Step: text(), Machine: rng.IntN(2) == 0})
			a.SessionStages = append(a.SessionStages, StageAt{fmt.Sprint("m", i), text()})
		}
	}
	if hard && rng.IntN(3) == 0 {
		a.Products = json.RawMessage(`[{"product_id":"p","name":",\"exposures\":["}]`)
	}
	return a
}

// TestFastActivity: what AppendJSON writes without escapes and products is read by
// position, and gives what encoding/json gives; so does all else that is taken.
func TestFastActivity(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	taken := 0
	for i := range 4000 {
		hard := i%2 == 1
		a := randomActivity(rng, hard)
		text := a.AppendJSON(nil)
		want, err := slowActivity(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		got, ok := fastActivity(text)
		if !ok && !hard {
			t.Fatalf("left to encoding/json: %s", text)
		}
		if ok && !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: got\n%+v, want\n%+v", text, got, want)
		}
		if ok && hard {
			taken++
		}
		for range 3 { // and whatever is broken in it
			broken := append([]byte(nil), text...)
			broken[rng.IntN(len(broken))] = ` "\{}[]:,x0-`[rng.IntN(12)]
			same(t, broken[:len(broken)-rng.IntN(2)])
		}
	}
	if taken == 0 {
		t.Error("no hard one was simple enough: the test shows less than it says")
	}
}

// same fails if a record that is taken is another one for encoding/json.
func same(t *testing.T, text []byte) {
	t.Helper()
	got, ok := fastActivity(text)
	if !ok {
		return
	}
	if want, err := slowActivity(text); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%q: got\n%+v, want\n%+v, %v", text, got, want, err)
	}
}

// FuzzFastActivity: whatever is taken is what encoding/json reads.
func FuzzFastActivity(f *testing.F) {
	rng := rand.New(rand.NewPCG(2, 2))
	for range 20 {
		a := randomActivity(rng, true)
		f.Add(a.AppendJSON(nil))
	}
	f.Fuzz(func(t *testing.T, text []byte) { same(t, text) })
}
