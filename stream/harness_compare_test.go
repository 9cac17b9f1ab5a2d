// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/schemas/topics"
	"lapwing/stream/lifecycle"
)

// changes are the ids of a topic's records, per customer in order.
type changes map[string][]string

func (c changes) add(customer, id, what string) {
	c[customer] = append(c[customer], id+" "+what)
}

func (w *world) changes(topic string) changes {
	w.t.Helper()
	c := changes{}
	homes := newHomes(w.cfg.Lanes)
	for _, r := range w.all(topic) {
		rec, err := record.DecodeRecord(r.Value)
		if err != nil {
			w.t.Fatalf("%s: %v: %s", topic, err, r.Value)
		}
		if string(r.Key) != rec.CustomerID || homes.of(r.Key) != r.Partition {
			w.t.Errorf("%s: record of %s has key %q in partition %d", topic, rec.CustomerID, r.Key, r.Partition)
		}
		c.add(rec.CustomerID, rec.ID.String(), describe(&rec))
	}
	return c
}

func describe(r *record.Record) string {
	switch r.Kind {
	case record.StageChange:
		return fmt.Sprintf("%s#%d %s→%s %s %s", r.Model, r.Sequence, r.From, r.To, r.EffectiveAt, r.Cause.Type)
	case record.Assignment, record.Conversion:
		return fmt.Sprintf("%s#%d round %d %s %v %s %s worth %s %s in %v %v", r.Name(), r.Sequence, r.Round, r.Variant, r.Holdout, r.EffectiveAt, r.Cause.Type, r.Value, r.Currency, r.Stages, r.Segments)
	default:
	}
	return fmt.Sprintf("%s#%d %v %s %s", r.Segment, r.Sequence, r.Entered, r.EffectiveAt, r.Cause.Type)
}

// alone is what the pure fold makes of the messages, customer by customer.
func (w *world) alone(messages []message, until instant.Instant) (j judgement, profiles map[string]string) {
	w.t.Helper()
	model, problems := lifecycle.Compile(w.def)
	if model == nil {
		w.t.Fatal(problems)
	}
	model = model.PublishingFrom(instant.None)
	j, profiles = newJudgement(), map[string]string{}
	states := map[string]*lifecycle.State{}
	var out lifecycle.Output
	take := func() {
		for i := range out.Records {
			j.add(&out.Records[i], describe(&out.Records[i]))
		}
		out.Reset()
	}
	dec := event.NewDecoder(model.Projection(), event.DefaultLimits())
	var msg event.Message
	for _, m := range messages {
		if cause := dec.Decode(m.bytes(), m.at, &msg); cause != "" {
			continue
		}
		id := string(msg.Customer)
		if states[id] == nil {
			states[id] = new(lifecycle.State)
		}
		model.Accept(states[id], id, &msg, msg.Time, &out)
		take()
	}
	for id, s := range states {
		model.Finish(s, id, until, &out)
		take()
		if s.Begun() {
			p := model.Profile(s, id)
			profiles[id] = string(p.AppendJSON(nil))
		}
	}
	return j, profiles
}

// same compares what was committed with what the pure fold says.
func (w *world) same(messages []message, until instant.Instant) {
	w.t.Helper()
	j, profiles := w.alone(messages, until)
	j.compare(w.t, "", w.changes)
	got := map[string]string{}
	for _, r := range w.all(topics.Profiles) {
		if r.Value == nil {
			delete(got, string(r.Key))
			continue
		}
		got[string(r.Key)] = string(r.Value)
	}
	for id, want := range profiles {
		if got[id] != want {
			w.t.Fatalf("profile of %s\n got %s\nwant %s", id, got[id], want)
		}
	}
	if len(got) != len(profiles) {
		w.t.Errorf("%d profiles, want %d", len(got), len(profiles))
	}
}

func compare(t *testing.T, what string, got, want changes) {
	t.Helper()
	ids := make([]string, 0, len(want))
	n := 0
	for id, rs := range want {
		ids = append(ids, id)
		n += len(rs)
	}
	slices.Sort(ids)
	for _, id := range ids {
		if !slices.Equal(got[id], want[id]) {
			t.Fatalf("%s of customer %s\n got %s\nwant %s", what, id, strings.Join(got[id], "\n     "), strings.Join(want[id], "\n     "))
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s of %d customers, want %d", what, len(got), len(want))
	}
	t.Logf("%s: %d of %d customers agree", what, n, len(want))
}

// judgement is what comes of all customers' messages, by kind.
type judgement struct{ stages, segments, assignments, conversions changes }

func newJudgement() judgement { return judgement{changes{}, changes{}, changes{}, changes{}} }

func (j judgement) add(r *record.Record, what string) {
	to := map[record.Kind]changes{
		record.StageChange: j.stages, record.SegmentChange: j.segments, record.Assignment: j.assignments, record.Conversion: j.conversions,
	}
	to[r.Kind].add(r.CustomerID, r.ID.String(), what)
}

// compare compares what was committed to the topics with what by says.
func (j judgement) compare(t *testing.T, by string, committed func(topic string) changes) {
	t.Helper()
	compare(t, "stage changes"+by, committed(topics.StageChanges), j.stages)
	compare(t, "segment changes"+by, committed(topics.SegmentChanges), j.segments)
	compare(t, "assignments"+by, committed(topics.Assignments), j.assignments)
	compare(t, "conversions"+by, committed(topics.Conversions), j.conversions)
}

// totals are the last value of each aggregate, summed over lanes.
func (w *world) totals() map[string][2]float64 {
	w.t.Helper()
	type key struct {
		lane int32
		key  string
	}
	last := map[key]record.Aggregate{}
	for _, r := range w.all(topics.Aggregates) {
		if record.IsSettings(r.Value) {
			continue
		}
		a, err := record.DecodeAggregate(r.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		last[key{r.Partition, string(r.Key)}] = a
	}
	sums := map[string][2]float64{}
	for _, a := range last {
		k := strings.Join([]string{string(a.Measure), string(a.Grain), a.Event, a.Model, a.Stage, a.From, a.To, a.Period.String()}, " ")
		s := sums[k]
		sums[k] = [2]float64{s[0] + float64(a.Count), s[1] + float64(a.Sum)/10_000}
	}
	return sums
}

// sameTotals compares the aggregates with totals made of the pure fold's own records
// and, for the sum of all, with the messages.
func (w *world) sameTotals(messages []message, until instant.Instant) {
	w.t.Helper()
	j, _ := w.alone(messages, until)
	transitions := 0
	for _, rs := range j.stages {
		transitions += len(rs)
	}
	purchases, changed, byStage := 0.0, 0.0, 0.0
	for k, v := range w.totals() {
		switch f := strings.Split(k, " "); {
		case f[0] == string(record.MeasureEvent) && f[1] == "month" && f[2] == "purchase" && f[3] == "":
			purchases += v[0]
		case f[0] == string(record.MeasureEvent) && f[1] == "week" && f[2] == "purchase" && f[3] == "value":
			byStage += v[0]
		case f[0] == string(record.MeasureTransition) && f[1] == "day":
			changed += v[0]
		}
	}
	if int(purchases) != len(messages) || int(byStage) != len(messages) || int(changed) != transitions {
		w.t.Errorf("aggregates hold %v purchases by month, %v by week and stage, %v transitions; want %d, %d, %d",
			purchases, byStage, changed, len(messages), len(messages), transitions)
	}
}
