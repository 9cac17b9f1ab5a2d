// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"testing"

	"lapwing/schemas/definition"
	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/presets"
	"lapwing/schemas/samples"
)

// benchmarkEvents are decoded purchases of CDNOW's first customers, in time order,
// each with the index of its customer.
func benchmarkEvents(b testing.TB, m *Model) (messages []event.Message, customer []int, names []string) {
	purchases, err := samples.CDNOW()
	if err != nil {
		b.Fatal(err)
	}
	index := map[string]int{}
	for i := range purchases {
		p := &purchases[i]
		id, ok := index[p.Customer]
		if !ok {
			if len(index) == 2000 {
				continue
			}
			id = len(index)
			index[p.Customer] = id
			names = append(names, p.Customer)
		}
		var msg event.Message
		decoder := event.NewDecoder(m.Projection(), event.DefaultLimits()) // each its own: a message is a view
		if cause := decoder.Decode(p.AppendEvent(nil), instant.None, &msg); cause != "" {
			b.Fatal(cause)
		}
		messages, customer = append(messages, msg), append(customer, id)
	}
	return messages, customer, names
}

func customerValue(b testing.TB) *Model {
	source, ok := presets.Get("customer-value")
	if !ok {
		b.Fatal("no preset customer-value")
	}
	d, _ := definition.Parse("customer-value.yaml", source)
	m, problems := Compile(d)
	if m == nil {
		b.Fatal(problems)
	}
	return m
}

// BenchmarkAcceptShop is one event of a shop's traffic, of which 4 % are purchases,
// with the customer-value definition and decoding excluded. The bar is 0.5 µs and 2
// allocations an event.
func BenchmarkAcceptShop(b *testing.B) {
	m := customerValue(b)
	messages, customer, names := benchmarkEvents(b, m)
	var view event.Message
	decoder := event.NewDecoder(m.Projection(), event.DefaultLimits())
	raw := []byte(`{"type":"track","event":"Product Viewed","userId":"u","timestamp":"1997-01-01T00:00:00Z","properties":{"product_id":"p1"}}`)
	if cause := decoder.Decode(raw, instant.None, &view); cause != "" {
		b.Fatal(cause)
	}
	states := make([]State, len(names))
	var out Output
	next := 0
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if next == len(messages) {
			clear(states)
			next = 0
		}
		out.Reset()
		c := customer[next]
		if i%25 == 0 {
			m.Accept(&states[c], names[c], &messages[next], messages[next].Time, &out)
			next++
			continue
		}
		view.Time = messages[next].Time
		m.Accept(&states[c], names[c], &view, view.Time, &out)
	}
}

// BenchmarkAccept is the worst case: nothing but real purchases, three by a customer,
// with the 1.3 changes that each causes.
func BenchmarkAccept(b *testing.B) {
	m := customerValue(b)
	messages, customer, names := benchmarkEvents(b, m)
	states := make([]State, len(names))
	var out Output
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i == len(messages) {
			b.StopTimer()
			clear(states)
			i = 0
			b.StartTimer()
		}
		msg := &messages[i]
		out.Reset()
		m.Accept(&states[customer[i]], names[customer[i]], msg, msg.Time, &out)
	}
}

// BenchmarkAcceptUnmatched is one event that no condition reads: what most of a
// shop's traffic is.
func BenchmarkAcceptUnmatched(b *testing.B) {
	m := customerValue(b)
	messages, customer, names := benchmarkEvents(b, m)
	states := make([]State, len(names))
	var out Output
	for i := range messages {
		m.Accept(&states[customer[i]], names[customer[i]], &messages[i], messages[i].Time, &out)
	}
	var msg event.Message
	decoder := event.NewDecoder(m.Projection(), event.DefaultLimits())
	raw := []byte(`{"type":"track","event":"Product Viewed","userId":"00001","timestamp":"1998-06-30T12:00:00Z","properties":{"product_id":"p1"}}`)
	if cause := decoder.Decode(raw, instant.None, &msg); cause != "" {
		b.Fatal(cause)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		out.Reset()
		m.Accept(&states[i%len(states)], names[i%len(names)], &msg, msg.Time, &out)
	}
}

// BenchmarkAppendState and BenchmarkDecodeState are what a commit and a restore
// cost per customer.
func BenchmarkAppendState(b *testing.B) {
	m := customerValue(b)
	messages, customer, names := benchmarkEvents(b, m)
	states := make([]State, len(names))
	var out Output
	for i := range messages {
		m.Accept(&states[customer[i]], names[customer[i]], &messages[i], messages[i].Time, &out)
	}
	var buf []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		buf = m.AppendState(buf[:0], &states[i%len(states)])
	}
	b.SetBytes(int64(len(buf)))
}
