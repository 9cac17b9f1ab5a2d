// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"testing"

	"lapwing/schemas/definition"
	"lapwing/schemas/event"
	"lapwing/schemas/instant"
)

// hostile drives one customer of a definition.
type hostile struct {
	t       testing.TB
	model   *Model
	decoder *event.Decoder
	state   State
	out     Output
	over    Overflow
	records int
}

func newHostile(t testing.TB, source string) *hostile {
	t.Helper()
	d, problems := definition.Parse("hostile.yaml", []byte(source))
	if d == nil {
		t.Fatal(problems)
	}
	m, problems := Compile(d)
	if m == nil {
		t.Fatal(problems)
	}
	return &hostile{t: t, model: m, decoder: event.NewDecoder(m.Projection(), event.DefaultLimits())}
}

// send takes in a message as the stream does.
func (h *hostile) send(format string, args ...any) Verdict {
	h.t.Helper()
	msg := h.decode(format, args...)
	verdict := h.model.Accept(&h.state, "u", &msg, msg.Time, &h.out)
	h.drain()
	return verdict
}

func (h *hostile) decode(format string, args ...any) event.Message {
	h.t.Helper()
	var msg event.Message
	raw := fmt.Appendf(nil, format, args...)
	if cause := h.decoder.Decode(raw, instant.None, &msg); cause != "" {
		h.t.Fatalf("%s: %.300s", cause, raw)
	}
	return msg
}

func (h *hostile) drain() {
	h.over.Add(&h.out.Overflow)
	h.records += len(h.out.Records)
	h.out.Reset()
}

// size is what the state takes; it must not be above the bound.
func (h *hostile) size() int {
	h.t.Helper()
	n := len(h.model.AppendState(nil, &h.state))
	if n > h.model.MaxStateBytes() {
		h.t.Fatalf("the state takes %d bytes, and its bound is %d", n, h.model.MaxStateBytes())
	}
	return n
}
