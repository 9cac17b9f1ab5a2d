// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"lapwing/schemas/event"
	"lapwing/schemas/explanation"
	"lapwing/schemas/instant"
	"lapwing/schemas/topics"
	"lapwing/stream/lifecycle"
)

// asker asks the workers of a test as their HTTP sides do: any of them, and then the one
// that has the lane.
type asker struct {
	t       *testing.T
	workers map[string]*running // by what they advertise
	own     int                 // answers of the one asked first
	passed  int                 // answers of another
	notYet  int
	times   map[string]int64 // the most purchases of a customer that were told
}

// ask asks one worker once; nil: not yet.
func (k *asker) ask(first, customer string) *explanation.Explanation {
	k.t.Helper()
	began := time.Now()
	x, err := k.workers[first].Explain(context.Background(), customer)
	elsewhere, notYet := (*Elsewhere)(nil), (*NotYet)(nil)
	passed := errors.As(err, &elsewhere)
	if passed {
		other := k.workers[elsewhere.HTTP]
		if other == nil || elsewhere.Instance != other.cfg.Instance || elsewhere.HTTP == first {
			k.t.Fatalf("asked %s: it sends to %+v", first, elsewhere)
		}
		x, err = other.Explain(context.Background(), customer)
		if errors.As(err, &elsewhere) { // it has moved on meanwhile: not passed on a second time
			k.notYet++
			return nil
		}
	}
	if took := time.Since(began); took > 2*inquiryPatience {
		k.t.Errorf("asked %s: the answer took %v", first, took)
	}
	switch {
	case errors.As(err, &notYet):
		if notYet.Reason == "" || notYet.Retry <= 0 {
			k.t.Errorf("asked %s: %+v does not say why, or when to ask again", first, notYet)
		}
		k.notYet++
		return nil
	case errors.Is(err, ErrNoCustomer):
		if k.times[customer] > 0 {
			k.t.Errorf("asked %s: %s is not known any more", first, customer)
		}
		return nil
	case err != nil:
		k.t.Fatalf("asked %s: %v", first, err)
	}
	if passed {
		k.passed++
	} else {
		k.own++
	}
	n := int64(0)
	for _, e := range x.Events {
		n += e.Times
	}
	if n < k.times[customer] {
		k.t.Errorf("asked %s: %s has %d purchases, and had %d before: that was not committed", first, customer, n, k.times[customer])
	}
	k.times[customer] = n
	return x
}

// during asks all the time while something goes on.
func (k *asker) during(customers []string, something func()) {
	k.t.Helper()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			for first := range k.workers {
				k.ask(first, customers[i%len(customers)])
			}
			select {
			case <-stop:
				return
			case <-time.After(7 * time.Millisecond):
			}
		}
	}()
	something()
	close(stop)
	<-stopped
}

// stateOf is a customer's state as the pure fold has it at the end.
func (w *world) stateOf(customer string, messages []message, until instant.Instant) (*lifecycle.Model, *lifecycle.State) {
	w.t.Helper()
	model, problems := lifecycle.Compile(w.def)
	if model == nil {
		w.t.Fatal(problems)
	}
	s, out, msg := new(lifecycle.State), new(lifecycle.Output), new(event.Message)
	dec := event.NewDecoder(model.Projection(), event.DefaultLimits())
	for _, m := range messages {
		if m.customer != customer {
			continue
		}
		if cause := dec.Decode(m.bytes(), m.at, msg); cause != "" {
			w.t.Fatal(cause)
		}
		model.Accept(s, customer, msg, msg.Time, out)
		out.Reset()
	}
	model.Finish(s, customer, until, out)
	return model, s
}

// Any worker answers for any customer: with what was committed, also while lanes move to
// another process and back, and while one of them is killed.
func TestAnyWorkerAnswersForAnyCustomer(t *testing.T) {
	messages, last := history(t, 100)
	var customers []string
	for _, m := range messages {
		if !slices.Contains(customers, m.customer) {
			customers = append(customers, m.customer)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) {
			c.Slots, c.Lanes = 1, 6
			c.MaxPollRecords, c.MaxTransactionRecords = 10, 30
			c.CommitInterval = Interval{Min: 10 * time.Millisecond, Max: 10 * time.Millisecond}
			c.Advertise = "one:1"
		})
		second := w.cfg
		second.Instance, second.Slots, second.Advertise = "two", 2, "two:2"
		a := w.start(w.cfg)
		k := &asker{t: t, workers: map[string]*running{"one:1": a}, times: map[string]int64{}}
		third := len(messages) / 3
		k.during(customers, func() {
			w.produce("events", messages[:third]...)
			time.Sleep(2 * time.Second)
		})
		if k.own == 0 || k.passed > 0 {
			t.Fatalf("alone: %d answers of its own, %d of others", k.own, k.passed)
		}
		b := w.start(second)
		k.workers["two:2"] = b
		k.during(customers, func() {
			w.produce("events", messages[third:2*third]...)
			time.Sleep(5 * time.Second)
		})
		if k.passed == 0 || k.notYet == 0 {
			t.Errorf("with two: %d answers of its own, %d of the other, %d times not yet", k.own, k.passed, k.notYet)
		}
		w.produce("events", messages[2*third:]...)
		time.Sleep(15 * time.Millisecond)
		b.kill()
		if _, err := b.Explain(t.Context(), customers[0]); !errors.As(err, new(*NotYet)) {
			t.Errorf("a worker that has stopped answers %v", err)
		}
		before := k.passed
		k.during(customers, func() {
			w.end(last)
			w.wait(a, last)
		})
		k.passed = before
		for _, id := range customers {
			x := k.ask("one:1", id)
			if x == nil {
				t.Fatalf("no answer for %s though all lanes are here", id)
			}
			model, s := w.stateOf(id, messages, last)
			if want := model.Explain(s, id, x.At.Instant()); !sameJSON(t, x, want) {
				t.Fatalf("%s\n got %s\nwant %s", id, asJSON(t, x), asJSON(t, want))
			}
			p, err := a.Profile(t.Context(), id)
			if want := model.Profile(s, id); err != nil || string(p.AppendJSON(nil)) != string(want.AppendJSON(nil)) {
				t.Fatalf("profile of %s: %v\n got %s\nwant %s", id, err, p.AppendJSON(nil), want.AppendJSON(nil))
			}
		}
		if _, err := a.Explain(t.Context(), "nobody"); !errors.Is(err, ErrNoCustomer) {
			t.Errorf("a customer that nobody has heard of: %v", err)
		}
		a.stop(t)
		w.same(messages, last)
		t.Logf("%d answers of its own, %d of the other, %d times not yet", k.own, k.passed, k.notYet)
	})
}

// A question waits for the transaction to end: what it has in hand is not told.
func TestOnlyWhatIsCommittedIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) {
			c.Slots = 1
			c.CommitInterval = Interval{Min: 3 * time.Second, Max: 3 * time.Second}
		})
		a := w.start(w.cfg)
		w.produce("events", message{customer: "u1", event: "Order Completed", id: "m1", at: day0})
		time.Sleep(5 * time.Second)
		committed := func() (records int64) {
			ends, err := kadm.NewClient(w.client()).ListCommittedOffsets(t.Context(), w.cfg.topic(topics.State))
			if err != nil {
				t.Fatal(err)
			}
			ends.Each(func(o kadm.ListedOffset) { records += o.Offset })
			return records
		}
		// Several times: that one is answered amid a transaction is a matter of moments.
		for n := 2; n <= 8; n++ {
			w.produce("events", message{customer: "u1", event: "Order Completed", id: fmt.Sprintf("m%d", n), at: day0.Add(time.Duration(n) * dayLength)})
			time.Sleep(500 * time.Millisecond) // it is in the running transaction
			before := committed()
			x, err := a.Explain(t.Context(), "u1")
			if err != nil || x.Events[0].Times != int64(n) {
				t.Fatalf("%v: %+v", err, x)
			}
			if committed() == before {
				t.Errorf("purchase %d is told before it is committed", n)
			}
			time.Sleep(5 * time.Second)
		}
		a.stop(t)
	})
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func sameJSON(t *testing.T, a, b any) bool { t.Helper(); return asJSON(t, a) == asJSON(t, b) }
