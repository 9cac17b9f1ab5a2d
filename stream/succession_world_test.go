// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/schemas/record"
	"lapwing/schemas/topics"
	"lapwing/stream/lifecycle"
	"lapwing/stream/oracle"
)

// The definitions that follow each other below. What the later ones read, the states of the
// earlier ones hold, but for promo, which is new and starts empty. Of the campaigns one stays,
// with a goal that changes, one changes its audience, its arms and a goal, one goes and comes back
// with the rollback, and one is new.
const (
	followEvents = `events:
  purchase: {match: Order Completed, value: properties.total, key: properties.order_id}
`
	followFirst      = followFirstAlone + followFirstCampaigns
	followSecond     = followSecondAlone + followSecondCampaigns
	followFirstAlone = "lapwing: 1\nname: shop\nversion: 1\n" + followEvents + `models:
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
	followFirstCampaigns = `campaigns:
  - name: winback
    audience: "in_stage('value', 'at_risk') || idle('purchase', '15d')"
    holdout: 20%
    variants: {short: 40%, long: 40%}
    every: 25d
    goals:
      - {name: bought, event: purchase, within: 60d, value: total}
      - {name: first, event: purchase, within: 60d, value: first}
      - {name: up, when: "seen('purchase', '30d')", within: 60d}
      - {name: more, event: purchase, within: 40d, baseline: true}
      - {name: again, event: purchase, within: 10d, value: total}
  - name: buyers
    audience: "count('purchase') >= 1"
    variants: {a: 50%, b: 50%}
    goals:
      - {name: again, event: purchase, within: 100d, value: total}
      - {name: soon, event: purchase, within: 50d, value: total}
  - name: leaving
    audience: "seen('purchase', '30d')"
    holdout: 50%
    variants: {a: 50%}
    every: 40d
    goals: [{name: spent, event: purchase, within: 20d, value: total, baseline: true}]
`
	followSecondAlone = "lapwing: 1\nname: shop\nversion: 2\n" + followEvents + `  promo: {match: Order Completed, where: properties.total > 20}
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
	followSecondCampaigns = `campaigns:
  - name: promoted
    audience: in_stage('promo', 'some')
    variants: {mail: 50%, push: 50%}
    goals:
      - {name: bought, event: promo, within: 90d}
      - {name: gone, when: "in_stage('value', 'at_risk')", within: 90d}
  - name: winback
    audience: "in_stage('value', 'at_risk') || idle('purchase', '15d')"
    holdout: 20%
    variants: {short: 40%, long: 40%}
    every: 25d
    goals:
      - {name: up, when: "seen('purchase', '30d')", within: 60d}
      - {name: first, event: purchase, within: 60d, value: first}
      - {name: more, event: purchase, within: 40d, baseline: true}
      - {name: bought, event: purchase, within: 60d, value: total}
      - {name: again, event: purchase, within: 15d, value: total}
  - name: buyers
    audience: "count('purchase') >= 2"
    holdout: 30%
    variants: {b: 70%}
    goals:
      - {name: soon, event: purchase, within: 50d, value: total}
      - {name: again, event: purchase, within: 80d, value: total}
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
		everything[e.Name.Value] = oracle.Held{Newest: math.MaxInt, Values: true, Money: true}
	}
	j, profiles := newJudgement(), map[string]string{}
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
			j.add(&r, describeUnder(&r))
		}
		if result.Profile != nil {
			profiles[id] = string(result.Profile.AppendJSON(nil))
		}
	}
	compare(w.t, "stage changes by the versioned oracle", w.changesUnder(topics.StageChanges), j.stages)
	compare(w.t, "segment changes by the versioned oracle", w.changesUnder(topics.SegmentChanges), j.segments)
	compare(w.t, "assignments by the versioned oracle", w.changesUnder(topics.Assignments), j.assignments)
	compare(w.t, "conversions by the versioned oracle", w.changesUnder(topics.Conversions), j.conversions)
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
		k := key{rec.CustomerID, rec.Name()}
		if rec.EffectiveAt < effective[k] {
			w.t.Errorf("%s: %s takes effect before %s", rec.CustomerID, describe(&rec), effective[k])
		}
		version[rec.CustomerID], effective[k] = rec.DefinitionVersion, rec.EffectiveAt
		c.add(rec.CustomerID, rec.ID.String(), describeUnder(&rec))
	}
	return c
}

// campaignsFollowed checks that the history reached what definitions can do to campaigns:
// go on, change, go, come back and begin. Else the comparison says nothing of it.
func (w *world) campaignsFollowed() {
	w.t.Helper()
	told, open := map[string]int{}, map[string]bool{}
	for _, topic := range []string{topics.Assignments, topics.Conversions} {
		assigned := map[string]int64{} // by round: the version that assigned
		for _, r := range slices.Concat(w.all(topics.Assignments), w.all(topic)) {
			rec, err := record.DecodeRecord(r.Value)
			if err != nil {
				w.t.Fatal(err)
			}
			round := fmt.Sprint(rec.CustomerID, " ", rec.Campaign, " ", rec.Round)
			if rec.Kind == record.Assignment {
				assigned[round] = rec.DefinitionVersion
			} else if assigned[round] < rec.DefinitionVersion {
				open[rec.Name()] = true
			}
			told[fmt.Sprintf("v%d %s", rec.DefinitionVersion, rec.Name())]++
		}
	}
	for _, want := range []string{
		"v1 winback", "v2 winback", "v3 winback", "v1 buyers", "v2 buyers", "v1 leaving", "v3 leaving", "v2 promoted",
		"v1 winback/again", "v2 winback/again", "v1 leaving/spent", "v3 leaving/spent", "v2 promoted/bought", "v2 promoted/gone",
	} {
		if told[want] == 0 {
			w.t.Errorf("nothing is told of %s: %v", want, told)
		}
	}
	for _, name := range []string{"winback/bought", "winback/first", "winback/up", "winback/more", "buyers/soon"} {
		if !open[name] {
			w.t.Errorf("no round that an earlier definition began converts in %s", name)
		}
	}
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
