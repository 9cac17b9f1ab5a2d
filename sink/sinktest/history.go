// SPDX-License-Identifier: Apache-2.0

// Package sinktest makes random histories for tests of the sink and the KPIs: what a
// stream could have written, as records and as the facts behind them. A seed gives
// the same history again.
package sinktest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"lapwing/schemas/decimal"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// Model is a stage model with what its stages mean.
type Model struct {
	Name    string   `json:"name"`
	Stages  []string `json:"stages"`
	Order   []string `json:"order"`
	Churned []string `json:"churned"`
	AtRisk  []string `json:"at_risk"`
}

// Order is one order and what was refunded of it.
type Order struct {
	Customer, Event, Key string
	At                   instant.Instant
	Value                decimal.Decimal
	Refunds              []decimal.Decimal // positive
	Products             int
	Stages               []record.StageAt // just before; empty for a customer's first event
}

// Net is the order's value, refunds taken off.
func (o *Order) Net() decimal.Decimal {
	net := o.Value
	for _, r := range o.Refunds {
		net -= r
	}
	return net
}

// History is what happened.
type History struct {
	Definition string
	Zone       *time.Location
	Models     []Model
	Changes    []record.Record // stage and segment changes, in order per customer and model
	Campaigns  []record.Record // assignments, each followed by its conversions
	Orders     []Order
	Activity   []record.Activity
	Aggregates []record.Aggregate // the last values
	Settings   []record.Settings
	Profiles   []record.Profile
	Ended      []string // customers whose profile became a tombstone
}

// Size bounds a history.
type Size struct{ Customers, Changes, Orders int }

const day = 24 * time.Hour

// New makes the history of a seed: few customers and instants, so that ties, exact
// midnights and stays of no length are frequent.
func New(seed uint64, zone *time.Location, size Size) *History {
	rng := rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // a test wants the same numbers again
	h := &History{
		Definition: "test-definition", Zone: zone,
		Models: []Model{
			{Name: "value", Stages: []string{"prospect", "lost", "at_risk", "active", "new"}, Order: []string{"prospect", "lost", "at_risk", "new", "active"}, Churned: []string{"lost"}, AtRisk: []string{"at_risk"}},
			{Name: "engagement", Stages: []string{"never", "gone", "deleted", "idle", "loyal"}, Order: []string{"never", "deleted", "gone", "idle", "loyal"}, Churned: []string{"gone", "deleted"}, AtRisk: []string{"idle"}},
		},
	}
	for c := range size.Customers {
		customer := fmt.Sprintf("customer-%d", c)
		for i := range h.Models {
			h.changes(rng, customer, &h.Models[i], size.Changes)
		}
		h.segments(rng, customer, size.Changes)
		h.orders(rng, customer, size.Orders)
		h.campaigns(rng, customer, size.Changes)
		h.profile(rng, customer, c)
	}
	h.aggregate()
	h.aggregateChanges()
	for lane := range int32(Lanes) {
		h.Settings = append(h.Settings, record.Settings{
			Lane: lane, Since: instant.None, Activity: "all", Aggregates: true, SessionGap: 30 * time.Minute, CloseAfter: 35 * day, Closed: instant.None,
		})
	}
	return h
}

// instants are few: local midnights of a few dates around the ends of weeks and
// months, a millisecond before and after, and some odd hours.
func (h *History) instant(rng *rand.Rand) instant.Instant {
	date := time.Date(1997, time.Month(1+rng.IntN(9)), []int{1, 2, 5, 6, 12, 28, 30, 31}[rng.IntN(8)], 0, 0, 0, 0, h.Zone)
	switch rng.IntN(6) {
	case 0:
		date = date.Add(-time.Millisecond)
	case 1:
		date = date.Add(time.Millisecond)
	case 2:
		date = date.Add(time.Duration(rng.IntN(24)) * time.Hour)
	}
	return instant.Of(date)
}

func (h *History) instants(rng *rand.Rand, n int) []instant.Instant {
	all := make([]instant.Instant, rng.IntN(n+1))
	for i := range all {
		all[i] = h.instant(rng)
	}
	slices.Sort(all)
	return all
}

func (h *History) changes(rng *rand.Rand, customer string, m *Model, n int) {
	var stage string
	since := instant.None
	var sequence int64
	causes := []record.CauseType{
		record.CauseEvent, record.CauseEvent, record.CauseEvent, record.CauseDeadline, record.CauseDeadline,
		record.CauseLateEvent, record.CauseIdentity, record.CauseDefinition,
	}
	ended := instant.None
	for i, at := range h.instants(rng, n) {
		if at == ended {
			continue // who returns begins anew, and never at the same instant
		}
		r := record.Record{
			Kind: record.StageChange, CustomerID: customer, Definition: h.Definition, DefinitionVersion: 1, Model: m.Name,
			From: stage, EffectiveAt: at, DetectedAt: at.Add(time.Second), Since: since, NextDeadline: instant.None, Backfill: rng.IntN(3) == 0,
		}
		sequence++
		r.Sequence = sequence
		r.Cause = record.Cause{Type: causes[rng.IntN(len(causes))], EventTime: instant.None, Condition: "true"}
		for r.To == stage {
			r.To = m.Stages[rng.IntN(len(m.Stages))]
		}
		if stage == "" {
			r.Cause.Type = record.CauseEvent
		} else if rng.IntN(12) == 0 {
			r.To, r.Cause.Type = "", record.CauseExpired
			if rng.IntN(2) == 0 {
				r.Cause.Type, r.MergedInto = record.CauseIdentity, "somebody"
			}
		}
		if r.Cause.Type == record.CauseEvent {
			r.Cause.Event, r.Cause.MessageID, r.Cause.EventTime = "Order Completed", fmt.Sprint("m", i), at
		}
		if r.To != "" && rng.IntN(2) == 0 {
			r.NextStage, r.NextDeadline = m.Stages[rng.IntN(len(m.Stages))], at.Add(90*day)
		}
		r.SetID()
		h.Changes = append(h.Changes, r)
		stage, since = r.To, at
		if r.To == "" {
			since, sequence, ended = instant.None, 0, at
		}
	}
}

func (h *History) segments(rng *rand.Rand, customer string, n int) {
	for i, at := range h.instants(rng, n/2) {
		r := record.Record{
			Kind: record.SegmentChange, CustomerID: customer, Definition: h.Definition, DefinitionVersion: 1, Segment: "country=FR",
			Sequence: int64(i + 1), Entered: i%2 == 0, EffectiveAt: at, DetectedAt: at, Backfill: rng.IntN(3) == 0,
			Since: instant.None, NextDeadline: instant.None,
			Cause: record.Cause{Type: record.CauseEvent, Event: "identify", EventTime: at},
		}
		r.SetID()
		h.Changes = append(h.Changes, r)
	}
}

// campaigns assigns the customer in rounds, and has it convert after some of them, with a
// value that is corrected now and then.
func (h *History) campaigns(rng *rand.Rand, customer string, n int) {
	var converted int64
	holdout := rng.IntN(4) == 0
	for i, at := range h.instants(rng, n/2) {
		a := record.Record{
			Kind: record.Assignment, CustomerID: customer, Definition: h.Definition, DefinitionVersion: 1, Campaign: "winback",
			Sequence: int64(i + 1), Round: int64(i + 1), Holdout: holdout, EffectiveAt: at, DetectedAt: at, Backfill: rng.IntN(5) == 0,
			Since: instant.None, NextDeadline: instant.None, Segments: []string{"country=FR"},
			Cause: record.Cause{Type: record.CauseDeadline, Condition: "in_stage('value', 'lost')", EventTime: instant.None},
		}
		for _, m := range h.Models {
			a.Stages = append(a.Stages, record.StageAt{Model: m.Name, Stage: m.Stages[rng.IntN(len(m.Stages))]})
		}
		if !holdout {
			a.Variant = []string{"short", "long"}[len(customer)%2]
		}
		a.SetID()
		h.Campaigns = append(h.Campaigns, a)
		for correction := range max(0, rng.IntN(5)-1) {
			converted++
			c := a
			c.Kind, c.Goal, c.Sequence, c.AssignedAt = record.Conversion, "bought", converted, at
			c.EffectiveAt = at.Add(time.Duration(1+correction) * day)
			c.DetectedAt = c.EffectiveAt
			if c.HasValue = rng.IntN(3) > 0; c.HasValue {
				c.Value, c.Currency = decimal.Decimal(rng.Int64N(5_000_000)), "EUR"
			}
			c.SetID()
			h.Campaigns = append(h.Campaigns, c)
		}
	}
}

func (h *History) orders(rng *rand.Rand, customer string, n int) {
	for i, at := range h.instants(rng, n) {
		o := Order{
			Customer: customer, Event: []string{"purchase", "booking"}[rng.IntN(2)], Key: fmt.Sprintf("o-%d", i), At: at,
			Value: decimal.Decimal(rng.Int64N(5_000_000)), Products: rng.IntN(4),
		}
		if i > 0 {
			for _, m := range h.Models {
				o.Stages = append(o.Stages, record.StageAt{Model: m.Name, Stage: m.Stages[rng.IntN(len(m.Stages))]})
			}
		}
		a := record.Activity{
			CustomerID: customer, EventTime: at, MessageID: fmt.Sprintf("order-%s-%d", customer, i), Type: "track", Event: "Order Completed",
			Occurrence: []record.Occurrence{{Event: o.Event, At: at, Value: o.Value, HasValue: true, Key: o.Key}},
			Stages:     o.Stages, Segments: []string{"country=FR"}, Currency: "EUR",
			SessionStart: at.Add(-time.Duration(rng.IntN(3)) * 10 * time.Minute), SessionStages: o.Stages, Platform: []string{"", "app", "site"}[rng.IntN(3)],
		}
		for range max(0, rng.IntN(6)-3) {
			a.Exposures = append(a.Exposures, record.Exposure{
				Campaign: []string{"", "winback"}[rng.IntN(2)], Channel: []string{"email", "push"}[rng.IntN(2)],
				Step: []string{"delivered", "opened", "clicked"}[rng.IntN(3)], Machine: rng.IntN(4) == 0,
			})
		}
		if o.Products > 0 {
			type product struct {
				ID       string `json:"product_id"`
				Quantity int    `json:"quantity"`
				Price    string `json:"price"`
			}
			list := make([]product, o.Products)
			for p := range list {
				list[p] = product{ID: "p" + strconv.Itoa(p), Quantity: p + 1, Price: "1.25"}
			}
			a.Products, _ = json.Marshal(list) // plain strings and numbers: cannot fail
		}
		h.Activity = append(h.Activity, a)
		for range max(0, rng.IntN(5)-2) {
			part := decimal.Decimal(rng.Int64N(int64(o.Value)/3 + 1))
			o.Refunds = append(o.Refunds, part)
			h.Activity = append(h.Activity, record.Activity{
				CustomerID: customer, EventTime: at.Add(time.Hour), Type: "track", Event: "Order Refunded", Currency: "EUR", Stages: o.Stages, SessionStart: at.Add(time.Hour),
				Occurrence: []record.Occurrence{{Event: o.Event, At: at, Value: -part, HasValue: true, Key: o.Key, Refund: true}},
			})
		}
		h.Orders = append(h.Orders, o)
	}
}

func (h *History) profile(rng *rand.Rand, customer string, i int) {
	if i%7 == 3 {
		h.Ended = append(h.Ended, customer)
		return
	}
	p := record.Profile{CustomerID: customer, Segments: []string{"a", "b"}, Traits: json.RawMessage(`{"country":"FR","n":` + strconv.Itoa(i) + `}`)}
	for _, m := range h.Models {
		p.Stages = append(p.Stages, record.ProfileStage{
			Model: m.Name, Stage: m.Stages[rng.IntN(len(m.Stages))], Since: h.instant(rng), Sequence: int64(i + 1), NextStage: m.Stages[0], NextDeadline: h.instant(rng),
		})
	}
	h.Profiles = append(h.Profiles, p)
}

// Period is the start of the period of t in the history's zone.
func (h *History) Period(t instant.Instant, grain record.Grain) time.Time {
	local := t.Time().In(h.Zone)
	y, m, d := local.Date()
	switch grain {
	case record.Hour:
		into := time.Duration(local.Minute())*time.Minute + time.Duration(local.Second())*time.Second + time.Duration(local.Nanosecond())
		return local.Add(-into)
	case record.Week:
		d -= (int(local.Weekday()) + 6) % 7
	case record.Month:
		d = 1
	case record.Day:
	}
	return instant.StartOfDay(y, m, d, h.Zone)
}

// aggregate counts the orders as the stream would.
func (h *History) aggregate() {
	type key struct {
		lane                int32
		grain               record.Grain
		period              instant.Instant
		event, model, stage string
	}
	at := map[key]int{}
	for i := range h.Orders {
		o := &h.Orders[i]
		for _, grain := range []record.Grain{record.Hour, record.Day, record.Week, record.Month} {
			keys := []key{{}}
			for _, s := range o.Stages { // none at a customer's first event: the stream gives only the total
				keys = append(keys, key{model: s.Model, stage: s.Stage})
			}
			for _, k := range keys {
				k.lane, k.grain, k.period, k.event = lane(o.Customer), grain, instant.Of(h.Period(o.At, grain)), o.Event
				n, ok := at[k]
				if !ok {
					n = len(h.Aggregates)
					at[k] = n
					h.Aggregates = append(h.Aggregates, record.Aggregate{
						Definition: h.Definition, Lane: k.lane, Measure: record.MeasureEvent, Grain: grain, Period: k.period, Event: k.event, Model: k.model, Stage: k.stage,
					})
				}
				h.Aggregates[n].Count++
				h.Aggregates[n].Sum += o.Net()
			}
		}
	}
}

// aggregateChanges counts the stage changes as the stream would.
func (h *History) aggregateChanges() {
	at := map[record.Aggregate]int{} // by itself, without what is counted
	for i := range h.Changes {
		c := &h.Changes[i]
		if c.Kind != record.StageChange {
			continue
		}
		for _, grain := range []record.Grain{record.Hour, record.Day, record.Week, record.Month} {
			k := record.Aggregate{
				Definition: h.Definition, Lane: lane(c.CustomerID), Measure: record.MeasureTransition, Grain: grain, Period: instant.Of(h.Period(c.EffectiveAt, grain)),
				Model: c.Model, From: c.From, To: c.To, Cause: c.Cause.Type,
			}
			n, ok := at[k]
			if !ok {
				n = len(h.Aggregates)
				at[k] = n
				h.Aggregates = append(h.Aggregates, k)
			}
			h.Aggregates[n].Count++
		}
	}
}

// Lanes is the number of partitions of every topic of a history.
const Lanes = 3

func lane(customer string) int32 {
	n := 0
	for _, c := range []byte(customer) {
		n = n*31 + int(c)
	}
	return int32(n % Lanes)
}
