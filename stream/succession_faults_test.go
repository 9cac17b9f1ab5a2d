// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/schemas/topics"
)

// Whoever watches sees how many customers are left to be brought over, lane by lane, and
// how many have been; Wait sees the same.
func TestFollowingIsWatched(t *testing.T) {
	messages, cuts, at, _ := followStory(t, 300)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []byte(followFirst), func(c *Config) { c.Wave = 1 })
		r, registry := w.watched(w.cfg)
		w.produce("events", messages[:cuts[0]]...)
		w.end(at[0])
		w.wait(r, at[0])
		customers := int64(len(w.places()))
		a := w.apply(followSecond, instant.None)
		most, said := int64(0), 0
		if err := a.Wait(t.Context(), func(now Succeeding) {
			said = max(said, testutil.CollectAndCount(registry, "lapwing_customers_to_bring_over"))
			most = max(most, now.Left)
			if now.Left > now.Customers || now.Customers > customers {
				t.Errorf("%+v, and there are %d customers", now, customers)
			}
		}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if most != customers || said != int(w.cfg.Lanes) {
			t.Errorf("at most %d customers in %d lanes were left, want all %d", most, said, customers)
		}
		if n := testutil.CollectAndCount(registry, "lapwing_customers_to_bring_over"); n != 0 {
			t.Errorf("%d lanes still say that customers are left", n)
		}
		if n := series(t, registry, "customers_brought_over_total")[""]; int64(n) != customers {
			t.Errorf("%v customers have been brought over, want %d", n, customers)
		}
		r.stop(t)
	})
}

// Two that apply at once: one is told that it is not its turn, or that the version is taken,
// and no lane reads anything else than the others.
func TestOneAppliesAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []byte(followFirst), nil)
		r := w.start(w.cfg)
		time.Sleep(5 * time.Second)
		other := strings.Replace(followSecond, "'60d'", "'61d'", 1)
		var all sync.WaitGroup
		errs := make([]error, 2)
		for i, source := range []string{followSecond, other} {
			def := parse(t, []byte(source))
			all.Add(1)
			go func() {
				defer all.Done()
				_, errs[i] = Apply(t.Context(), w.cfg, def, w.deps(&plug{w: w}), instant.None)
			}()
		}
		all.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Errorf("of two at once %v and %v came", errs[0], errs[1])
		}
		read := map[string]int{}
		for _, rec := range w.all(topics.Mailbox) {
			read[string(rec.Value)]++
		}
		if len(read) != 1 || read[followSecond]+read[other] != int(w.cfg.Lanes) {
			t.Errorf("the mailboxes have %d definitions, by the number of lanes %v", len(read), read)
		}
		r.stop(t)
	})
}

// A definition that this program cannot read stops its worker, with what to do, and the lane
// is where it was for one that can.
func TestDefinitionThatIsNotUnderstood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []byte(followFirst), nil)
		r := w.start(w.cfg)
		messages := []message{bought("ana", "o1", day0)}
		w.produce("events", messages...)
		w.end(day0)
		w.wait(r, day0)
		client := w.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
		e := mailbox.Envelope{Kind: mailbox.Definition, Position: 2, At: instant.None}
		future := strings.Replace(followSecond, "never('promo')", "loves('promo')", 1)
		rec := &kgo.Record{
			Topic: w.cfg.topic(topics.Mailbox), Partition: Home("ana", w.cfg.Lanes), Key: []byte("shop"), Value: []byte(future),
			Headers: []kgo.RecordHeader{{Key: generationHeader, Value: []byte("1")}, {Key: mailbox.Header, Value: e.Append(nil)}},
		}
		if err := client.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
			t.Fatal(err)
		}
		err := r.ended(t, time.Minute)
		if !errors.Is(err, ErrNotUnderstood) || !strings.Contains(fmt.Sprint(err), "start the Lapwing that has put it live") {
			t.Errorf("the worker ended with %v", err)
		}
		w.judged(messages, day0)
	})
}
