// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/mailbox"
	"lapwing/schemas/record"
	"lapwing/schemas/topics"
	"lapwing/stream/store"
)

// run runs a generation to an instant and stops it.
func (w *world) runTo(cfg Config, messages []message) {
	w.t.Helper()
	r := w.start(cfg)
	last := messages[len(messages)-1].at
	w.end(last)
	w.wait(r, last)
	r.stop(w.t)
}

// shadowed computes the next generation until it has caught up.
func (w *world) shadowed(cfg Config) {
	w.t.Helper()
	r, _ := w.rebuild(cfg)
	if err := r.Run(w.t.Context(), quiet); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) compared(cfg Config, sample int) *Comparison {
	w.t.Helper()
	r, _ := w.rebuild(cfg)
	c, err := r.Compare(w.t.Context(), "", sample, func(int32, int32) {})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// While the live generation has members there is no switch, and it says who they are
// and what to do; what waits in its mailbox stops it, too.
func TestSwitchIsRefused(t *testing.T) {
	messages, _ := history(t, 1000)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), nil)
		first, second := w.cfg, w.next()
		refused := func(want error, words ...string) {
			t.Helper()
			r, _ := w.rebuild(second)
			err := r.Switch(t.Context(), quiet)
			if !errors.Is(err, want) {
				t.Fatalf("switched with %v, want %v", err, want)
			}
			for _, word := range words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%v does not say %q", err, word)
				}
			}
		}
		refused(ErrNeverRan, "nothing to rebuild")
		w.produce("events", messages...)
		r := w.start(first)
		time.Sleep(5 * time.Second)
		refused(ErrMembers, "lapwing.g1-one-0", "stop its routers")
		r.kill()
		refused(ErrMembers, "session_timeout")
		time.Sleep(first.SessionTimeout + time.Second)
		// A stray that was carried to its lane and has not been taken in there.
		stray := w.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
		e := mailbox.Envelope{Kind: mailbox.Event, Source: mailbox.Source{Topic: "events"}, At: messages[0].at}
		err := stray.ProduceSync(t.Context(), &kgo.Record{
			Topic: first.topic(topics.Mailbox), Partition: Home(messages[0].customer, first.Lanes), Key: []byte(messages[0].customer), Value: messages[0].bytes(),
			Headers: []kgo.RecordHeader{{Key: generationHeader, Value: []byte("1")}, {Key: mailbox.Header, Value: e.Append(nil)}},
		}).FirstErr()
		if err != nil {
			t.Fatal(err)
		}
		refused(ErrUndelivered, "1 events that generation 1 has read", "--role stream")
		if n := w.public(2); n > 0 {
			t.Errorf("%d records of a generation that was not switched to", n)
		}
		r = w.start(first) // refused or not, it goes on as before
		time.Sleep(5 * time.Second)
		r.stop(t)
		w.switchTo(second, nil)
		refused(ErrLive)
		second.Generation = 1
		refused(ErrNotLive, "set generation: 2")
	})
}

// While it is being switched, nobody joins the generation that is to end.
func TestNobodyJoinsDuringTheSwitch(t *testing.T) {
	messages, _ := history(t, 1000)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), nil)
		w.produce("events", messages...)
		r := w.start(w.cfg)
		time.Sleep(5 * time.Second)
		r.stop(t)
		p := &plug{w: w}
		deps := w.deps(p)
		deps.fill()
		release, err := occupy(t.Context(), &w.cfg, &deps)
		if err != nil {
			t.Fatal(err)
		}
		late := w.start(w.cfg)
		time.Sleep(30 * time.Second)
		if late.Ready() {
			t.Error("a worker has joined")
		}
		release()
		time.Sleep(30 * time.Second)
		if !late.Ready() {
			t.Error("the worker has not joined afterwards")
		}
	})
}

// A worker of the generation that was live, started before the switch, that joins only
// after it, computes nothing.
func TestLatecomerOfTheGenerationBefore(t *testing.T) {
	messages, _ := history(t, 1000)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), nil)
		w.produce("events", messages...)
		r := w.start(w.cfg)
		time.Sleep(5 * time.Second)
		p := &plug{w: w}
		deps := w.deps(p)
		deps.fill()
		if err := writeGeneration(t.Context(), &w.cfg, &deps, generationRecord{Generation: 2, State: generationLive, TakenOver: true}); err != nil {
			t.Fatal(err)
		}
		// Its session breaks; the next one learns that its time is over.
		if _, err := kadm.NewClient(w.client()).LeaveGroup(t.Context(), kadm.LeaveGroup(w.cfg.workerGroup()).InstanceIDs(w.cfg.member("", 0), w.cfg.member("", 1))); err != nil {
			t.Fatal(err)
		}
		if err := r.ended(t, time.Minute); !errors.Is(err, ErrNotLive) {
			t.Errorf("it ended with %v, want ErrNotLive", err)
		}
	})
}

// Two computations of the same definition agree; with another one the comparison finds
// who differs and in what, and the switch tells exactly them.
func TestCompareFindsWhatDiffersAndTheSwitchTellsIt(t *testing.T) {
	messages, _ := history(t, 300)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), nil)
		first, second := w.cfg, w.next()
		w.produce("events", messages...)
		w.runTo(first, messages)
		w.shadowed(second)
		c := w.compared(second, 10)
		if !c.Equal() || c.Both == 0 || len(c.Sample) > 0 || c.Models[0].Agree != c.Both || !maps.Equal(c.Models[0].Live, c.Models[0].New) {
			t.Errorf("the same definition: %+v", c)
		}
		if ours, live := c.Progress.Behind(); ours != 0 || live != 0 {
			t.Errorf("behind by %d and %d at the end", ours, live)
		}
		// The lost of the other definition have been away for longer.
		changed := strings.Replace(strings.Replace(string(customerValue(t)), "idle('purchase', '365d')", "idle('purchase', '200d')", 1), "\nversion: 1\n", "\nversion: 2\n", 1)
		before := w.def
		w.def = parse(t, []byte(changed))
		third := second
		third.Generation = 3
		w.shadowed(third)
		c = w.compared(third, 3)
		m := c.Models[0]
		moved := m.New["lost"] - m.Live["lost"]
		if moved <= 0 || c.Differing != moved || c.OnlyLive+c.OnlyNew != 0 || len(c.Sample) != 3 || m.Agree != c.Both-moved {
			t.Fatalf("another definition: %+v", c)
		}
		if got := c.Sample[0].What; len(got) != 1 || got[0] != "value: at_risk, now lost" {
			t.Errorf("the sample says %q", got)
		}
		told := len(w.all(topics.StageChanges))
		w.switchTo(third, nil)
		changes := w.all(topics.StageChanges)[0:]
		if int64(len(changes)-told) != moved {
			t.Errorf("%d changes at the switch, %d customers differ", len(changes)-told, moved)
		}
		w.def = before
		sequences := map[string]int64{}
		for _, r := range changes {
			rec, err := record.DecodeRecord(r.Value)
			if err != nil {
				t.Fatal(err)
			}
			if rec.Sequence <= sequences[rec.CustomerID] {
				t.Errorf("%s: sequence %d after %d", rec.CustomerID, rec.Sequence, sequences[rec.CustomerID])
			}
			sequences[rec.CustomerID] = rec.Sequence
			if header(r, generationHeader) != "3" {
				continue
			}
			if rec.Cause.Type != record.CauseDefinition || rec.From != "at_risk" || rec.To != "lost" || rec.Backfill || rec.DefinitionVersion != 2 ||
				rec.Cause.Condition != "idle('purchase', '200d')" {
				t.Errorf("a change at the switch: %s", r.Value)
			}
		}
		if n := int64(len(w.profilesOf("3"))); n != c.Both {
			t.Errorf("%d profiles of the new generation, want %d", n, c.Both)
		}
	})
}

// Killed again and again while lanes take over: each customer that differs is told once,
// and nobody is left out.
func TestKilledWhileTakingOver(t *testing.T) {
	messages, _ := history(t, 300)
	synctest.Test(t, func(t *testing.T) {
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, 12))
		w := newWorld(t, customerValue(t), func(c *Config) {
			c.Wave, c.CommitInterval = 1, Interval{Min: 200 * time.Millisecond, Max: 200 * time.Millisecond}
		})
		first, second := w.cfg, w.next()
		first.Wave = 1000
		w.produce("events", messages...)
		w.runTo(first, messages)
		changed := strings.Replace(strings.Replace(string(customerValue(t)), "idle('purchase', '365d')", "idle('purchase', '200d')", 1), "\nversion: 1\n", "\nversion: 2\n", 1)
		w.def = parse(t, []byte(changed))
		w.shadowed(second)
		differing := w.compared(second, 0).Differing
		kills := 0
		for over := false; !over; {
			r, p := w.rebuild(second)
			ctx, cancel := context.WithCancel(t.Context())
			err := r.Switch(ctx, func(now Progress) {
				if now.TakingOver > 0 && kills < 6 {
					kills++
					time.Sleep(time.Duration(rng.IntN(1500)) * time.Millisecond)
					p.cut()
					cancel()
				}
			})
			killed := ctx.Err() != nil
			cancel()
			if over = err == nil; !over && !killed {
				t.Fatalf("seed %d: %v", seed, err)
			}
			w.forget(r.cfg)
		}
		told := map[string]int{}
		for _, r := range w.all(topics.StageChanges) {
			if header(r, generationHeader) == "2" {
				told[string(r.Key)]++
			}
		}
		for id, n := range told {
			if n != 1 {
				t.Errorf("seed %d: %s is told %d times", seed, id, n)
			}
		}
		if int64(len(told)) != differing || kills == 0 {
			t.Errorf("seed %d, killed %d times: %d customers are told, %d differ", seed, kills, len(told), differing)
		}
	})
}

func (w *world) profilesOf(generation string) map[string]bool {
	w.t.Helper()
	ids := map[string]bool{}
	for _, r := range w.all(topics.Profiles) {
		if header(r, generationHeader) == generation && r.Value != nil {
			ids[string(r.Key)] = true
		}
	}
	return ids
}

// Dropping the generation before removes all of it, and leaves the live one whole.
func TestDropRemovesOneAndLeavesTheOther(t *testing.T) {
	messages, last := history(t, 400)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), nil)
		first, second := w.cfg, w.next()
		second.StateDir = t.TempDir()
		half := len(messages) / 2
		w.produce("events", messages[:half]...)
		w.runTo(first, messages[:half])
		deps := w.deps(&plug{w: w})
		drop := func(generation uint32) error {
			_, err := Drop(context.Background(), w.cfg, deps, generation)
			return err
		}
		if err := drop(1); !errors.Is(err, ErrLive) {
			t.Errorf("dropping the live generation: %v, want ErrLive", err)
		}
		w.switchTo(second, nil)
		w.cfg = second
		r := w.start(second)
		time.Sleep(5 * time.Second)
		if err := drop(2); !errors.Is(err, ErrLive) {
			t.Errorf("dropping the live generation: %v, want ErrLive", err)
		}
		for range 2 { // once more does no harm
			if err := drop(1); err != nil {
				t.Fatal(err)
			}
		}
		alive := map[string]uint32{}
		for _, rec := range w.all(topics.State) {
			_, generation, _, err := mailbox.DecodeStateKey(rec.Key)
			if err != nil {
				t.Fatal(err)
			}
			alive[string(rec.Key)] = generation
			if rec.Value == nil {
				delete(alive, string(rec.Key))
			}
		}
		for key, generation := range alive {
			if generation != 2 {
				t.Fatalf("%q of generation %d is left", key, generation)
			}
		}
		groups, err := kadm.NewClient(w.client()).ListGroups(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if names := slices.Sorted(maps.Keys(groups)); slices.Contains(names, first.workerGroup()) || !slices.Contains(names, second.workerGroup()) {
			t.Errorf("groups %v", names)
		}
		if err := <-w.start(first).done; !errors.Is(err, ErrNotLive) {
			t.Errorf("a generation that was dropped starts: %v", err)
		}
		w.produce("events", messages[half:]...)
		w.end(last)
		w.wait(r, last)
		r.stop(t)
		w.same(messages, last)
	})
}

// The local store forgets a generation that was dropped.
func TestStoreForgetsWhatWasDropped(t *testing.T) {
	s, err := store.Open("", store.Options{Memory: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }() // in memory
	for generation := range uint32(3) {
		b := s.Batch(store.Lane{Generation: generation + 1})
		if err := b.Put('c', []byte("ana"), []byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := b.Commit(store.Mark{NextOffset: 1}); err != nil {
			t.Fatal(err)
		}
	}
	r := restorer{cfg: &Config{Generation: 3}, store: s, role: role{dropped: []uint32{2}}}
	if err := r.forget(); err != nil {
		t.Fatal(err)
	}
	for generation, want := range map[uint32]bool{1: true, 2: false, 3: true} {
		if _, ok, err := s.Get(store.Lane{Generation: generation}, 'c', []byte("ana"), nil); ok != want || err != nil {
			t.Errorf("generation %d is there: %v (%v), want %v", generation, ok, err, want)
		}
	}
}

// The way to another number of lanes: another prefix, over the same inputs through the
// router. The stages come out the same, the sequences go on, and the generation before
// starts no more.
func TestAnotherNumberOfLanes(t *testing.T) {
	messages, last := history(t, 400)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), nil)
		first := w.cfg
		half := len(messages) / 2
		w.produce("events", messages[:half]...)
		w.runTo(first, messages[:half])
		second := w.next()
		second.Prefix, second.Lanes, second.From = "seven.", 7, first.origin()
		second.Inputs = []Input{{Topic: "events"}}
		w.shadowed(second)
		if c := w.compared(second, 1); !c.Equal() || c.Both == 0 {
			t.Errorf("before the switch: %+v", c)
		}
		w.switchTo(second, nil)
		if err := <-w.start(first).done; !errors.Is(err, ErrNotLive) || !strings.Contains(err.Error(), `prefix "seven."`) {
			t.Errorf("the generation before starts: %v", err)
		}
		told := w.all(topics.StageChanges)
		w.cfg = second
		r := w.start(second)
		w.startRouter(second)
		w.produce("events", messages[half:]...)
		w.end(last)
		w.wait(r, last)
		r.stop(t)
		got := changes{}
		for _, rec := range append(told, w.all(topics.StageChanges)...) {
			c, err := record.DecodeRecord(rec.Value)
			if err != nil {
				t.Fatal(err)
			}
			got.add(c.CustomerID, c.ID.String(), describe(&c))
		}
		want, profiles := w.alone(messages, last)
		compare(t, "stage changes of both prefixes", got, want.stages)
		if n := len(w.profilesOf("2")); n != len(profiles) {
			t.Errorf("%d profiles under the new prefix, want %d", n, len(profiles))
		}
		if _, err := Drop(t.Context(), first, w.deps(&plug{w: w}), 1); err != nil {
			t.Errorf("dropping the generation before: %v", err)
		}
	})
}

// The way on for a keyed input that somebody gave more partitions: the next generation
// reads it through the router, under the same prefix, and nothing is lost or told twice.
func TestKeyedInputWithMorePartitions(t *testing.T) {
	messages, last := history(t, 400)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), nil)
		half := len(messages) / 2
		w.produce("events", messages[:half]...)
		w.runTo(w.cfg, messages[:half])
		w.grow("events", 6)
		w.produce("events", messages[half:]...)
		second := w.next()
		second.Inputs = []Input{{Topic: "events"}}
		w.shadowed(second)
		if n := w.public(2); n > 0 {
			t.Errorf("%d records of the shadow are public", n)
		}
		w.switchTo(second, nil)
		w.cfg = second
		r := w.start(second)
		w.startRouter(second)
		w.end(last)
		w.wait(r, last)
		r.stop(t)
		w.same(messages, last)
	})
}
