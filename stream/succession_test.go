// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/schemas/record"
	"lapwing/schemas/topics"
	"lapwing/stream/lifecycle"
	"lapwing/stream/oracle"
)

// The definitions that follow each other below. What the later ones read, the states of the
// earlier ones hold, but for promo, which is new and starts empty.
const (
	followEvents = `events:
  purchase: {match: Order Completed, value: properties.total, key: properties.order_id}
`
	followFirst = "lapwing: 1\nname: shop\nversion: 1\n" + followEvents + `models:
  - name: value
    stages:
      - {stage: prospect, when: never('purchase')}
      - {stage: lost,     when: "idle('purchase', '365d')"}
      - {stage: at_risk,  when: "idle('purchase', '90d')"}
      - {stage: active,   when: "count('purchase', '365d') >= 2"}
      - {stage: new,      when: "true"}
  - {name: old, stages: [{stage: small, when: "sum('purchase', '365d') < 50"}, {stage: large, when: "true"}]}
segments:
  - {name: spenders, when: "sum('purchase', '365d') >= 100"}
`
	followSecond = "lapwing: 1\nname: shop\nversion: 2\n" + followEvents + `  promo: {match: Order Completed, where: properties.total > 20}
models:
  - name: value
    stages:
      - {stage: prospect, when: never('purchase')}
      - {stage: gone,     when: "idle('purchase', '300d')"}
      - {stage: at_risk,  when: "idle('purchase', '60d')"}
      - {stage: active,   when: "count('purchase', '365d') >= 2"}
      - {stage: new,      when: "true"}
  - {name: promo, stages: [{stage: none, when: never('promo')}, {stage: some, when: "true"}]}
segments:
  - {name: spenders, when: "sum('purchase', '365d') >= 60"}
  - {name: band, by: "sum('purchase', '90d') >= 40 ? 'high' : 'low'"}
`
)

// followThird is the first content with a greater version: a rollback.
func followThird() string { return strings.Replace(followFirst, "\nversion: 1", "\nversion: 3", 1) }

// followed is a definition that a test applied behind so many of the messages.
type followed struct {
	def   *definition.Definition
	after int
}

// apply has a definition follow.
func (w *world) apply(source string, at instant.Instant) *Application {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	a, err := Apply(ctx, w.cfg, parse(w.t, []byte(source)), w.deps(&plug{w: w}), at)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// awaitFollowing waits until all lanes follow, or, with done, have brought all over.
func (w *world) awaitFollowing(a *Application, done bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	for {
		if err := a.live.refresh(ctx); err != nil {
			w.t.Fatal(err)
		}
		now := a.progress()
		if now.Followed == now.Lanes && (!done || now.Done == now.Lanes) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// since are the clocks, by lane, from which a version was live: they stand in the lanes'
// records while customers were brought over to it.
func (w *world) since(version int64) map[int32]instant.Instant {
	w.t.Helper()
	at := map[int32]instant.Instant{}
	for _, r := range w.all(topics.State) {
		kind, _, _, err := mailbox.DecodeStateKey(r.Key)
		if err != nil || kind != mailbox.StateLane {
			continue
		}
		rec, err := mailbox.DecodeLane(r.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		all := append(rec.Former, mailbox.Succession{Version: rec.Version, Since: rec.Since})
		for _, s := range all[1:] { // since when the first of them is not said
			if s.Version != version {
				continue
			}
			if was, known := at[r.Partition]; known && was != s.Since {
				w.t.Errorf("lane %d has version %d since %s, and since %s", r.Partition, version, was, s.Since)
			}
			at[r.Partition] = s.Since
		}
	}
	return at
}

// judgedUnder compares the committed changes and profiles with the oracle of definitions
// that follow each other; the first is w.def.
func (w *world) judgedUnder(messages []message, follow []followed, until instant.Instant) {
	w.t.Helper()
	judge := func(def *definition.Definition) *oracle.Oracle {
		o, err := oracle.New(def)
		if err != nil {
			w.t.Fatal(err)
		}
		return o
	}
	customers, after := map[string][]oracle.Message{}, make([]map[string]int, len(follow))
	for i, m := range messages {
		for k, f := range follow {
			if f.after == i {
				after[k] = map[string]int{}
				for id, ms := range customers {
					after[k][id] = len(ms)
				}
			}
		}
		if decoded, ok := oracle.Decode(m.bytes()); ok {
			customers[decoded.Customer] = append(customers[decoded.Customer], decoded)
		}
	}
	everything := map[string]oracle.Held{}
	for _, e := range w.def.Events {
		everything[e.Name.Value] = oracle.Held{Newest: math.MaxInt, Values: true}
	}
	stages, segments, profiles := changes{}, changes{}, map[string]string{}
	for id, ms := range customers {
		var switches []oracle.Switch
		for k, f := range follow {
			n := after[k][id]
			if n == 0 {
				continue // it began under that definition, or a later one
			}
			clock := w.since(f.def.Version)[Home(id, w.cfg.Lanes)]
			switches = append(switches, oracle.Switch{After: n, Clock: clock, To: judge(f.def), Held: everything})
		}
		first := w.def
		for k, f := range follow {
			if after[k] != nil && after[k][id] == 0 {
				first = f.def
			}
		}
		result := judge(first).CustomerUnder(id, ms, switches, until)
		for _, r := range result.Records {
			if r.Kind == record.StageChange {
				stages.add(id, r.ID.String(), describeUnder(&r))
			} else {
				segments.add(id, r.ID.String(), describeUnder(&r))
			}
		}
		if result.Profile != nil {
			profiles[id] = string(result.Profile.AppendJSON(nil))
		}
	}
	compare(w.t, "stage changes by the versioned oracle", w.changesUnder(topics.StageChanges), stages)
	compare(w.t, "segment changes by the versioned oracle", w.changesUnder(topics.SegmentChanges), segments)
	got := map[string]string{}
	for _, r := range w.all(topics.Profiles) {
		got[string(r.Key)] = string(r.Value)
	}
	for id, want := range profiles {
		if got[id] != want {
			w.t.Fatalf("profile of %s\n got %s\nwant %s", id, got[id], want)
		}
	}
}

func describeUnder(r *record.Record) string {
	return fmt.Sprintf("v%d %s", r.DefinitionVersion, describe(r))
}

// changesUnder are the changes of a topic with their versions, which never fall within a
// customer, and neither do the instants at which they take effect.
func (w *world) changesUnder(topic string) changes {
	w.t.Helper()
	c := changes{}
	type key struct{ customer, name string }
	version, effective := map[string]int64{}, map[key]instant.Instant{}
	for _, r := range w.all(topic) {
		rec, err := record.DecodeRecord(r.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		if rec.DefinitionVersion < version[rec.CustomerID] {
			w.t.Errorf("%s has a change of version %d after one of %d", rec.CustomerID, rec.DefinitionVersion, version[rec.CustomerID])
		}
		k := key{rec.CustomerID, rec.Model + rec.Segment}
		if rec.EffectiveAt < effective[k] {
			w.t.Errorf("%s: %s takes effect before %s", rec.CustomerID, describe(&rec), effective[k])
		}
		version[rec.CustomerID], effective[k] = rec.DefinitionVersion, rec.EffectiveAt
		c.add(rec.CustomerID, rec.ID.String(), describeUnder(&rec))
	}
	return c
}

// settledLanes checks what a finished sweep leaves behind: one definition, by which every
// customer is made.
func (w *world) settledLanes(version int64) {
	w.t.Helper()
	last := map[string]*kgo.Record{}
	for _, r := range w.all(topics.State) {
		last[fmt.Sprint(r.Partition)+string(r.Key)] = r
	}
	lanes, kept := 0, 0
	for _, r := range last {
		kind, _, id, err := mailbox.DecodeStateKey(r.Key)
		if err != nil {
			w.t.Fatal(err)
		}
		switch {
		case r.Value == nil:
		case kind == mailbox.StateLane:
			rec, err := mailbox.DecodeLane(r.Value)
			if err != nil || rec.Version != version || len(rec.Former) > 0 || rec.Left != 0 {
				w.t.Errorf("lane %d has %+v, %v", r.Partition, rec, err)
			}
			lanes++
		case kind == mailbox.StateDefinition && string(id) != fmt.Sprint(version):
			w.t.Errorf("lane %d still keeps version %s", r.Partition, id)
		case kind == mailbox.StateDefinition:
			kept++
		case kind == mailbox.StateCustomer:
			_, state, err := mailbox.DecodeCustomer(r.Value)
			if err != nil {
				w.t.Fatal(err)
			}
			if made, err := lifecycle.VersionOf(state); err != nil || made != version {
				w.t.Errorf("a customer of lane %d is of version %d, %v", r.Partition, made, err)
			}
		}
	}
	if lanes != int(w.cfg.Lanes) || kept != lanes {
		w.t.Errorf("%d lanes have a record, and %d keep the definition; want %d", lanes, kept, w.cfg.Lanes)
	}
}

// follow cuts a history in thirds, with times at which the first two end.
func followStory(t testing.TB, nth int) (messages []message, cuts [2]int, at [2]instant.Instant, last instant.Instant) {
	t.Helper()
	messages, last = story(t, nth)
	cuts = [2]int{len(messages) / 3, 2 * len(messages) / 3}
	for i, cut := range cuts {
		at[i] = messages[cut-1].at
	}
	return messages, cuts, at, last
}

// A definition follows the live one, and is rolled back: the changes and profiles are those
// of the oracle that knows when. Each change names its version. Copies of what was told to
// the lanes change nothing, nor does applying the same again.
func TestDefinitionFollows(t *testing.T) {
	messages, cuts, at, last := followStory(t, 400)
	for _, routed := range []bool{false, true} {
		t.Run(fmt.Sprintf("routed %v", routed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, []byte(followFirst), func(c *Config) {
					small(c)
					c.Wave = 3
					c.Inputs = []Input{{Topic: "events", Keyed: !routed}}
				})
				r := w.start(w.cfg)
				if routed {
					w.startRouter(w.cfg)
				}
				two, three := parse(t, []byte(followSecond)), parse(t, []byte(followThird()))
				w.produce("events", messages[:cuts[0]]...)
				w.end(at[0])
				w.wait(r, at[0])
				a := w.apply(followSecond, instant.None)
				w.again(topics.Mailbox)
				w.awaitFollowing(a, false)
				w.produce("events", messages[cuts[0]:cuts[1]]...)
				if err := a.Wait(t.Context(), func(Succeeding) {}); err != nil {
					t.Fatal(err)
				}
				if again := w.apply(followSecond, instant.None); again.Former != 2 || again.Version != 2 {
					t.Errorf("applied again: %+v", again)
				}
				w.end(at[1])
				w.wait(r, at[1])
				w.settledLanes(2)
				b := w.apply(followThird(), instant.None)
				w.again(topics.Mailbox)
				w.awaitFollowing(b, false)
				w.produce("events", messages[cuts[1]:]...)
				w.end(last)
				w.wait(r, last)
				r.stop(t)
				w.settledLanes(3)
				w.judgedUnder(messages, []followed{{two, cuts[0]}, {three, cuts[1]}}, last)
			})
		})
	}
}

// A definition may follow before all customers have been brought over to the one before: they
// go through each. So do lanes that were away and read of both at once, also if the state is
// restored in between, on another disk.
func TestDefinitionsFollowEachOther(t *testing.T) {
	messages, cuts, at, last := followStory(t, 500)
	for _, away := range []bool{false, true} {
		t.Run(fmt.Sprintf("away %v", away), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, []byte(followFirst), func(c *Config) {
					small(c)
					c.Wave = 1
				})
				r := w.start(w.cfg)
				w.produce("events", messages[:cuts[0]]...)
				w.end(at[0])
				w.wait(r, at[0])
				if away {
					r.stop(t)
				}
				a := w.apply(followSecond, instant.None)
				if !away {
					w.awaitFollowing(a, false)
				}
				b := w.apply(followThird(), instant.None)
				if away {
					r = w.start(w.cfg)
				}
				w.awaitFollowing(b, false)
				r.kill()
				r = w.start(w.cfg)
				w.produce("events", messages[cuts[0]:]...)
				w.end(last)
				w.wait(r, last)
				r.stop(t)
				w.settledLanes(3)
				two, three := parse(t, []byte(followSecond)), parse(t, []byte(followThird()))
				w.judgedUnder(messages, []followed{{two, cuts[0]}, {three, cuts[0]}}, last)
			})
		})
	}
}

// Messages that wait under lateness wait on under the definition that follows, for as long as
// that says, or not at all.
func TestDefinitionFollowsWithLateness(t *testing.T) {
	messages, cuts, at, last := followStory(t, 500)
	late := func(source, lateness string) string {
		return strings.Replace(source, "\nevents:", "\nlateness: "+lateness+"\nevents:", 1)
	}
	synctest.Test(t, func(t *testing.T) {
		first, second, third := late(followFirst, "10d"), late(followSecond, "4d"), late(followThird(), "0s")
		w := newWorld(t, []byte(first), func(c *Config) {
			small(c)
			c.Wave = 3
		})
		r := w.start(w.cfg)
		follow := []followed{{parse(t, []byte(second)), cuts[0]}, {parse(t, []byte(third)), cuts[1]}}
		w.produce("events", messages[:cuts[0]]...)
		w.end(at[0])
		w.wait(r, at[0])
		a := w.apply(second, instant.None)
		w.awaitFollowing(a, false)
		w.produce("events", messages[cuts[0]:cuts[1]]...)
		w.awaitFollowing(a, true)
		w.end(at[1])
		w.wait(r, at[1])
		a = w.apply(third, instant.None)
		w.awaitFollowing(a, false)
		w.produce("events", messages[cuts[1]:]...)
		w.end(last)
		w.wait(r, last)
		r.stop(t)
		w.settledLanes(3)
		w.judgedUnder(messages, follow, last)
	})
}

// again produces the definitions of the mailbox once more.
func (w *world) again(topic string) {
	w.t.Helper()
	client := w.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for _, r := range w.all(topic) {
		e, err := mailbox.DecodeEnvelope([]byte(header(r, mailbox.Header)))
		if err != nil || e.Kind != mailbox.Definition {
			continue
		}
		again := &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers}
		if err := client.ProduceSync(w.t.Context(), again).FirstErr(); err != nil {
			w.t.Fatal(err)
		}
	}
}

// With an instant a lane follows when its clock comes there, also if that is after a
// restart, and the deadlines up to it are of the definition before.
func TestDefinitionFollowsAtAnInstant(t *testing.T) {
	messages, cuts, at, last := followStory(t, 700)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []byte(followFirst), small)
		r := w.start(w.cfg)
		w.produce("events", messages[:cuts[0]]...)
		w.end(at[0])
		w.wait(r, at[0])
		then := at[0].Add(20 * dayLength)
		a := w.apply(followSecond, then)
		time.Sleep(10 * time.Second)
		if err := a.live.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if now := a.progress(); now.Followed != 0 {
			t.Errorf("%d lanes follow before the time", now.Followed)
		}
		r.kill()
		r = w.start(w.cfg)
		w.end(then)
		w.wait(r, then)
		w.awaitFollowing(a, true)
		for lane, since := range w.since(2) {
			if since != then {
				t.Errorf("lane %d follows since %s, want %s", lane, since, then)
			}
		}
		w.produce("events", messages[cuts[1]:]...)
		w.end(last)
		w.wait(r, last)
		r.stop(t)
		told := slices.Concat(messages[:cuts[0]], messages[cuts[1]:])
		w.judgedUnder(told, []followed{{parse(t, []byte(followSecond)), cuts[0]}}, last)
	})
}

// A worker goes on with the live definition whatever its file says, and says so once: with
// an older file, with a newer one, and with nothing of the state on its disk.
func TestWorkersWithOtherFiles(t *testing.T) {
	messages, cuts, at, last := followStory(t, 700)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []byte(followFirst), small)
		first := w.def
		r := w.start(w.cfg)
		w.produce("events", messages[:cuts[0]]...)
		w.end(at[0])
		w.wait(r, at[0])
		a := w.apply(followSecond, instant.None)
		w.awaitFollowing(a, true)
		r.stop(t)
		for i, source := range []string{followFirst, followThird()} {
			logs := w.observe(zap.WarnLevel)
			w.def = parse(t, []byte(source))
			r = w.start(w.cfg)
			if i == 0 {
				w.produce("events", messages[cuts[0]:cuts[1]]...)
				w.end(at[1])
				w.wait(r, at[1])
			} else {
				w.produce("events", messages[cuts[1]:]...)
				w.end(last)
				w.wait(r, last)
			}
			r.stop(t)
			said := logs.FilterMessageSnippet("not the live definition").All()
			if len(said) != 1 || said[0].ContextMap()["definition_version"] != int64(2) || said[0].ContextMap()["file_version"] != w.def.Version {
				t.Errorf("version %d said %v", w.def.Version, said)
			}
		}
		w.def = first
		w.judgedUnder(messages, []followed{{parse(t, []byte(followSecond)), cuts[0]}}, last)
		w.def = parse(t, []byte(strings.Replace(followFirst, "name: shop", "name: other", 1)))
		if err := <-w.start(w.cfg).done; !errors.Is(err, ErrOtherDefinition) {
			t.Errorf("a file of another name: %v, want ErrOtherDefinition", err)
		}
	})
}

// What cannot follow is refused, with what to do, and nothing is written.
func TestApplyIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []byte(followSecond), nil)
		try := func(source string) error {
			_, err := Apply(t.Context(), w.cfg, parse(t, []byte(source)), w.deps(&plug{w: w}), instant.None)
			return err
		}
		if err := try(followSecond); !errors.Is(err, ErrNeverRan) {
			t.Errorf("nothing has run: %v", err)
		}
		r := w.start(w.cfg)
		time.Sleep(5 * time.Second)
		for _, c := range []struct {
			source string
			want   error
			says   string
		}{
			{strings.Replace(followSecond, "'60d'", "'61d'", 1), ErrDefinitionChanged, "give it version 3"},
			{followFirst, ErrOlderVersion, "give it version 3"},
			{strings.Replace(followThird(), "name: shop", "name: other", 1), ErrOtherDefinition, "computes shop, this is other"},
		} {
			if err := try(c.source); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v: %s", err, c.want, c.says)
			}
		}
		for _, rec := range w.all(topics.Mailbox) {
			t.Errorf("the mailbox has %s", rec.Value)
		}
		r.stop(t)
	})
}
