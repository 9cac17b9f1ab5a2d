// SPDX-License-Identifier: Apache-2.0

package mailbox_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
)

var envelopes = map[string]mailbox.Envelope{
	"event.hex":       {Kind: mailbox.Event, Source: mailbox.Source{Topic: "shop.events", Partition: 3}, Position: 1_234_567, At: 852_076_800_000},
	"clock.hex":       {Kind: mailbox.Clock, Source: mailbox.Source{Topic: "shop.events", Partition: 0}, Position: 0, At: instant.None},
	"definition.hex":  {Kind: mailbox.Definition, Position: 7, At: 852_076_800_000},
	"clock_ended.hex": {Kind: mailbox.Clock, Source: mailbox.Source{Topic: "e", Partition: 11}, Position: 69_659, At: 899_164_800_000, Ended: true},
}

var lane = mailbox.Lane{
	Definition: "customer-value", Version: 2, Hash: strings.Repeat("ab", 32),
	PublishFrom: instant.None, Watermark: 852_076_800_000, ClosedUntil: 849_052_800_000, TooLate: 7, Customers: 200_000,
	Sources: []mailbox.SourceState{
		{Source: mailbox.Source{Topic: "a", Partition: 1}, Clock: instant.None, EndAt: 5, EndPosition: 9},
		{Source: mailbox.Source{Topic: "a", Partition: 2}, Clock: 852_076_800_001, Position: 12, Ended: true, EndAt: instant.None},
	},
	Positions: []mailbox.Position{{Topic: "a", NextOffset: 4}, {Topic: "lapwing.mailbox", NextOffset: 0}},
}

// Bytes that an earlier version wrote must decode for ever.
func TestGoldenBytes(t *testing.T) {
	for name, want := range envelopes {
		golden := readHex(t, name, want.Append(nil))
		got, err := mailbox.DecodeEnvelope(golden)
		if err != nil || got != want {
			t.Errorf("%s decodes to %+v, %v; want %+v", name, got, err, want)
		}
	}
	first := lane
	first.Customers = -1
	swept := lane
	swept.Since, swept.Left, swept.SweptTo = 852_076_700_000, 1_234, "u 17"
	swept.Former = []mailbox.Succession{
		{Version: 0, Hash: strings.Repeat("01", 32), Since: instant.None}, {Version: 1, Hash: strings.Repeat("cd", 32), Since: 852_076_600_000},
	}
	swept.Waiting = []mailbox.Succession{{Version: 3, Hash: strings.Repeat("ef", 32), Since: 852_076_900_000}}
	for name, want := range map[string]mailbox.Lane{"lane.hex": first, "lane_2.hex": lane, "lane_3.hex": swept} {
		golden := readHex(t, name, want.Append(nil))
		got, err := mailbox.DecodeLane(golden)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s decodes to %+v, %v; want %+v", name, got, err, want)
		}
	}
	customer := append(mailbox.AppendCustomer(nil, 852_076_800_000), "state"...)
	source, err := mailbox.DecodeDefinition(readHex(t, "state_definition.hex", mailbox.AppendDefinition(nil, []byte("lapwing: 1\n"))))
	if err != nil || string(source) != "lapwing: 1\n" {
		t.Errorf("state_definition.hex decodes to %q, %v", source, err)
	}
	golden := readHex(t, "customer.hex", customer)
	due, state, err := mailbox.DecodeCustomer(golden)
	if err != nil || due != 852_076_800_000 || string(state) != "state" {
		t.Errorf("customer.hex decodes to %d, %q, %v", due, state, err)
	}
}

func readHex(t *testing.T, name string, encoded []byte) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatalf("%v\nwe would write %x", err, encoded)
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, encoded) {
		t.Errorf("%s: we now write %x, the golden bytes are %x; a new format needs a new version and keeps reading these", name, encoded, b)
	}
	return b
}

func TestStateKeys(t *testing.T) {
	for _, c := range []struct {
		kind mailbox.StateKind
		gen  uint32
		id   string
	}{{mailbox.StateCustomer, 1, "u1"}, {mailbox.StateAggregate, 1 << 31, "\x00x"}, {mailbox.StateLane, 3, ""}, {mailbox.StateTakeover, 3, ""}, {mailbox.StateSettings, 3, ""}, {mailbox.StateDefinition, 3, "12"}} {
		kind, gen, id, err := mailbox.DecodeStateKey(mailbox.AppendStateKey(nil, c.kind, c.gen, c.id))
		if kind != c.kind || gen != c.gen || string(id) != c.id || err != nil {
			t.Errorf("%+v comes back as %q, %d, %q, %v", c, kind, gen, id, err)
		}
	}
	for _, bad := range []string{"", "c\x00\x00\x00", "c\x00\x00\x00\x01", "m\x00\x00\x00\x01x", "z\x00\x00\x00\x01x"} {
		if _, _, _, err := mailbox.DecodeStateKey([]byte(bad)); !errors.Is(err, mailbox.ErrFormat) {
			t.Errorf("key %q: error %v, want ErrFormat", bad, err)
		}
	}
}

func TestCutAndChangedBytesAreRefused(t *testing.T) {
	whole := lane.Append(nil)
	if _, err := mailbox.DecodeLane(append([]byte{4}, whole[1:]...)); !errors.Is(err, mailbox.ErrFormat) {
		t.Errorf("a lane of a later version: error %v, want ErrFormat", err)
	}
	for n := range whole {
		if _, err := mailbox.DecodeLane(whole[:n]); !errors.Is(err, mailbox.ErrFormat) {
			t.Errorf("first %d bytes of a lane: error %v, want ErrFormat", n, err)
		}
	}
	e := envelopes["event.hex"]
	enc := e.Append(nil)
	for n := range enc {
		if _, err := mailbox.DecodeEnvelope(enc[:n]); !errors.Is(err, mailbox.ErrFormat) {
			t.Errorf("first %d bytes of an envelope: error %v, want ErrFormat", n, err)
		}
	}
	for name, b := range map[string][]byte{
		"a later version":         append([]byte{2}, enc[1:]...),
		"bytes behind it":         append(append([]byte{}, enc...), 0),
		"an event that ended":     append(append([]byte{}, enc[:len(enc)-1]...), 1),
		"a definition that ended": append(append([]byte{1, 'd'}, enc[2:len(enc)-1]...), 1),
		"another kind":            append([]byte{1, 'x'}, enc[2:]...),
	} {
		if _, err := mailbox.DecodeEnvelope(b); !errors.Is(err, mailbox.ErrFormat) {
			t.Errorf("%s: error %v, want ErrFormat", name, err)
		}
	}
}

func FuzzDecodeEnvelope(f *testing.F) {
	for _, e := range envelopes {
		f.Add(e.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := mailbox.DecodeEnvelope(b)
		if err != nil {
			if !errors.Is(err, mailbox.ErrFormat) {
				t.Fatalf("error %v does not wrap ErrFormat", err)
			}
			return
		}
		if again := e.Append(nil); !bytes.Equal(again, b) {
			t.Fatalf("%x decodes to %+v, which encodes to %x", b, e, again)
		}
	})
}

func FuzzDecodeLane(f *testing.F) {
	f.Add(lane.Append(nil))
	f.Add((&mailbox.Lane{Customers: -1}).Append(nil))
	f.Add((&mailbox.Lane{Former: []mailbox.Succession{{Version: 1, Hash: "h"}}, Left: 3, SweptTo: "u"}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := mailbox.DecodeLane(b)
		if err != nil {
			return
		}
		if again := l.Append(nil); !bytes.Equal(again, b) {
			t.Fatalf("%x decodes to %+v, which encodes to %x", b, l, again)
		}
	})
}
