// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"math/rand/v2"
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
func BenchmarkAcceptShop(b *testing.B) { acceptShop(b, customerValue(b)) }

func acceptShop(b *testing.B, m *Model) {
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

// folded are the states of CDNOW's first customers after all their purchases, and
// their names.
func folded(b testing.TB, m *Model) ([]State, []string) {
	messages, customer, names := benchmarkEvents(b, m)
	states := make([]State, len(names))
	var out Output
	for i := range messages {
		out.Reset()
		m.Accept(&states[customer[i]], names[customer[i]], &messages[i], messages[i].Time, &out)
	}
	return states, names
}

// BenchmarkAdvance is one deadline that has come and moves a customer to another stage.
func BenchmarkAdvance(b *testing.B) {
	m := customerValue(b)
	states, names := folded(b, m)
	var s State
	var rules []membership
	var out Output
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		k := i % len(states)
		s = states[k] // a deadline changes nothing behind its pointers but the rules
		s.rules = append(rules[:0], s.rules...)
		rules = s.rules
		out.Reset()
		m.Advance(&s, names[k], m.Due(&s)+1, instant.None, &out)
		if !out.Changed {
			b.Fatalf("nothing was due for customer %s", names[k])
		}
	}
}

// BenchmarkProfile is a customer's public profile, once per customer and commit.
func BenchmarkProfile(b *testing.B) {
	m := customerValue(b)
	states, names := folded(b, m)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		k := i % len(states)
		if p := m.Profile(&states[k], names[k]); len(p.Stages) != 1 {
			b.Fatalf("%d stages", len(p.Stages))
		}
	}
}

// BenchmarkAppendState and BenchmarkDecodeState are what a commit, and what a customer
// who is not at hand, cost: CDNOW's customers have no visits and no messageIds but
// three purchases, busy ones 60 messages of a shop with a messageId each.
func BenchmarkAppendState(b *testing.B) {
	benchmarkCodec(b, func(b *testing.B, m *Model, states []State, _ [][]byte) {
		var buf []byte
		bytes := 0
		for i := 0; b.Loop(); i++ {
			buf = m.AppendState(buf[:0], &states[i%len(states)])
			bytes += len(buf)
		}
		b.ReportMetric(float64(bytes)/float64(b.N), "bytes/state")
	})
}

func BenchmarkDecodeState(b *testing.B) {
	benchmarkCodec(b, func(b *testing.B, m *Model, _ []State, encodings [][]byte) {
		size := 0
		for i := 0; b.Loop(); i++ {
			var s State
			if err := m.DecodeState(encodings[i%len(encodings)], &s); err != nil {
				b.Fatal(err)
			}
			size += s.Size()
		}
		b.ReportMetric(float64(size)/float64(b.N), "memory/state")
	})
}

func benchmarkCodec(b *testing.B, run func(*testing.B, *Model, []State, [][]byte)) {
	m := customerValue(b)
	cdnow, _ := folded(b, m)
	busy := make([]State, 1000)
	for i := range busy {
		busy[i] = *fold(b, m, shopMessage, rand.New(rand.NewPCG(uint64(i), 1)), 60, 2*hourMillis)
	}
	for _, c := range []struct {
		name   string
		states []State
	}{{"CDNOW", cdnow}, {"Busy", busy}} {
		encodings := make([][]byte, len(c.states))
		for i := range encodings {
			encodings[i] = m.AppendState(nil, &c.states[i])
		}
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			run(b, m, c.states, encodings)
		})
	}
}

// What happens for every event, and for every customer of a commit, does not allocate.
func TestHotPathsDoNotAllocate(t *testing.T) {
	m := customerValue(t)
	states, names := folded(t, m)
	var msg event.Message
	decoder := event.NewDecoder(m.Projection(), event.DefaultLimits())
	raw := []byte(`{"type":"track","event":"Product Viewed","userId":"00001","timestamp":"1998-06-30T12:00:00Z","properties":{"product_id":"p1"}}`)
	if cause := decoder.Decode(raw, instant.None, &msg); cause != "" {
		t.Fatal(cause)
	}
	var out Output
	buf := make([]byte, 0, 4096)
	encoding := m.AppendState(nil, &states[0])
	for _, c := range []struct {
		name string
		most float64
		run  func()
	}{
		{"Accept of an event that no condition reads", 0, func() { m.Accept(&states[0], names[0], &msg, msg.Time, &out) }},
		{"Advance of a customer for whom nothing is due", 0, func() { m.Advance(&states[0], names[0], msg.Time, msg.Time, &out) }},
		{"AppendState into a buffer that is large enough", 0, func() { buf = m.AppendState(buf[:0], &states[0]) }},
		{"Size", 0, func() { _ = states[0].Size() }},
		{"Due", 0, func() { _ = m.Due(&states[0]) }},
		// The list of series, two series, the short lists and the rules.
		{"DecodeState", 5, func() {
			var s State
			if err := m.DecodeState(encoding, &s); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		out.Reset()
		if allocs := testing.AllocsPerRun(100, c.run); allocs > c.most {
			t.Errorf("%s makes %v allocations, want %v", c.name, allocs, c.most)
		}
	}
}
