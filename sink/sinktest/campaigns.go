// SPDX-License-Identifier: Apache-2.0

package sinktest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"lapwing/schemas/decimal"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/schemas/topics"
	"lapwing/sink/batch"
)

// Campaign is a campaign of a definition, as its record holds it.
type Campaign struct {
	Name     string    `json:"name"`
	Holdout  float64   `json:"holdout"`
	Variants []Variant `json:"variants"`
	Goals    []Goal    `json:"goals"`
	End      string    `json:"end"`
	Journey  string    `json:"journey"`
	Step     string    `json:"step"`
	Cost     Cost      `json:"cost"`
	Margin   string    `json:"margin"`
}

// Variant is one arm of a campaign.
type Variant struct {
	Name       string     `json:"name"`
	Share      float64    `json:"share"`
	Properties []Property `json:"properties"`
	Cost       *Cost      `json:"cost,omitempty"` // its own
}

// Property is one factor of a variant.
type Property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Goal is one goal of a campaign.
type Goal struct {
	Name     string `json:"name"`
	Event    string `json:"event"`
	When     string `json:"when"`
	WithinMS int64  `json:"within_ms"`
	Value    string `json:"value"`
	Baseline bool   `json:"baseline"`
}

// Within is the length of the goal's window.
func (g *Goal) Within() time.Duration { return time.Duration(g.WithinMS) * time.Millisecond }

// Cost is what a campaign costs.
type Cost struct {
	Per      string `json:"per"`
	Amount   string `json:"amount"`
	Fixed    string `json:"fixed"`
	Currency string `json:"currency"`
}

// Rate is a row of the table of rates.
type Rate struct {
	Currency, Day string
	Rate          string
}

// CampaignHistory is what campaigns did: records, and the facts behind them.
type CampaignHistory struct {
	Definition string
	Zone       *time.Location
	Former     []Campaign // of version 1, with other shares
	Campaigns  []Campaign // of version 2, the live one
	Clock      instant.Instant
	Records    []record.Record // assignments and conversions, in order per customer
	Merges     []record.Record // stage changes: customers who turned out to be another
	Activity   []record.Activity
	Orders     []Order
	Currency   []string // of the orders
	Rates      []Rate
}

// NewCampaigns makes the history of a seed over so many customers. Few instants, so that
// windows that close exactly at the clock are frequent. Of the campaigns, welcome has no
// holdout, again has rounds, elsewhere is assigned by another system, broken gives its
// arms other shares than planned, and winback and again had other shares in version 1.
func NewCampaigns(seed uint64, zone *time.Location, customers int) *CampaignHistory {
	rng := rand.New(rand.NewPCG(seed, 11)) //nolint:gosec // a test wants the same numbers again
	const days = 24 * 3_600_000
	bought := Goal{Name: "bought", Event: "purchase", WithinMS: 14 * days, Value: "total"}
	first := Goal{Name: "first", Event: "purchase", WithinMS: 7 * days, Value: "first"}
	moved := Goal{Name: "moved_up", When: "in_stage('value', 'active')", WithinMS: 30 * days}
	booked := Goal{Name: "booked", Event: "booking", WithinMS: 7 * days, Value: "first"}
	sessions := Goal{Name: "sessions", Event: "session", WithinMS: 14 * days, Baseline: true}
	factors := func(values ...string) (all []Property) {
		for pair := range slices.Chunk(values, 2) {
			all = append(all, Property{pair[0], pair[len(pair)-1]})
		}
		return all
	}
	h := &CampaignHistory{
		Definition: "shop", Zone: zone, Clock: instant.Of(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)),
		Rates: []Rate{{"USD", "2026-01-20", "0.91234567"}, {"USD", "2026-02-03", "0.9"}, {"SEK", "2026-01-20", "0.08765432"}, {"USD", "2026-01-05", "0.95"}},
	}
	h.Campaigns = []Campaign{
		{
			Name: "winback", Holdout: 0.2, Goals: []Goal{bought, moved, sessions}, Margin: "0.4", Journey: "back", Step: "one",
			Variants: []Variant{{"long", 0.4, factors("length", "long", "tone", "kind"), nil}, {"short", 0.4, factors("length", "short", "tone", "kind"), &Cost{Per: "opened", Amount: "0.03", Fixed: "2.5", Currency: "EUR"}}},
			Cost:     Cost{Per: "delivered", Amount: "0.002", Fixed: "5", Currency: "EUR"}, End: "2026-02-01T00:00:00Z",
		},
		{
			Name: "welcome", Goals: []Goal{first, booked, moved}, Margin: "", Journey: "back", Step: "two", Cost: Cost{Per: "sent", Amount: "0.1", Fixed: "1", Currency: "USD"},
			Variants: []Variant{{"only", 1, []Property{}, nil}},
		},
		{
			Name: "again", Holdout: 0.3, Goals: []Goal{first, bought}, Margin: "0.25",
			Variants: []Variant{{"a", 0.3, factors("tone", "kind"), nil}, {"b", 0.2, factors("tone", "stern"), nil}, {"c", 0.2, factors("tone", "none"), &Cost{Fixed: "7", Currency: "EUR"}}},
		},
		{Name: "elsewhere", Goals: []Goal{moved}, Variants: []Variant{}},
		{Name: "broken", Holdout: 0.1, Goals: []Goal{first}, Variants: []Variant{{"x", 0.9, []Property{}, nil}}, Cost: Cost{Fixed: "3", Currency: "EUR"}},
	}
	h.Former = []Campaign{h.Campaigns[0], h.Campaigns[2]}
	h.Former[0].Holdout, h.Former[0].Variants = 0.5, []Variant{{"long", 0.5, []Property{}, nil}}
	h.Former[1].Holdout, h.Former[1].Variants = 0.7, []Variant{{"b", 0.3, []Property{}, nil}}
	for c := range customers {
		h.customer(rng, fmt.Sprintf("customer-%d", c))
		if c%5 == 4 {
			h.merge(fmt.Sprintf("customer-%d", c), fmt.Sprintf("customer-%d", c-1-c%2))
		}
	}
	return h
}

// merge makes a customer one with another, in two models.
func (h *CampaignHistory) merge(customer, into string) {
	for _, model := range []string{"value", "engagement"} {
		r := record.Record{
			Kind: record.StageChange, CustomerID: customer, Definition: h.Definition, DefinitionVersion: 2, Model: model, From: "lost", Sequence: 2, MergedInto: into,
			EffectiveAt: h.Clock, DetectedAt: h.Clock, Since: h.Clock, NextDeadline: instant.None, Cause: record.Cause{Type: record.CauseIdentity, EventTime: instant.None},
		}
		r.SetID()
		h.Merges = append(h.Merges, r)
	}
}

// instant is one of few: now and then exactly a window before the clock, or next to it.
func (h *CampaignHistory) instant(rng *rand.Rand) instant.Instant {
	if rng.IntN(4) == 0 {
		window := []time.Duration{7 * day, 14 * day, 30 * day}[rng.IntN(3)]
		return h.Clock.Add(-window).Add(time.Duration(rng.IntN(3)-1) * time.Millisecond)
	}
	return instant.Of(time.Date(2026, time.Month(1+rng.IntN(2)), []int{1, 4, 5, 20, 28}[rng.IntN(5)], []int{0, 22, 23}[rng.IntN(3)], 30*rng.IntN(2), 0, 0, time.UTC))
}

func (h *CampaignHistory) customer(rng *rand.Rand, customer string) {
	for i := range h.Campaigns {
		c := &h.Campaigns[i]
		if rng.IntN(3) == 0 {
			continue
		}
		h.assign(rng, customer, c)
	}
	for i := range rng.IntN(4) {
		at := h.instant(rng)
		currency := []string{"EUR", "EUR", "USD", "SEK", ""}[rng.IntN(5)]
		o := Order{Customer: customer, Event: []string{"purchase", "purchase", "booking"}[rng.IntN(3)], Key: fmt.Sprint("o", i), At: at, Value: decimal.Decimal(rng.Int64N(9_000_000))}
		h.Orders, h.Currency = append(h.Orders, o), append(h.Currency, currency)
		h.Activity = append(h.Activity, record.Activity{
			CustomerID: customer, EventTime: at, Type: "track", Event: "Order Completed", Currency: currency, SessionStart: at,
			Occurrence: []record.Occurrence{{Event: o.Event, At: at, Value: o.Value, HasValue: true, Key: o.Key}},
		})
	}
}

func (h *CampaignHistory) assign(rng *rand.Rand, customer string, c *Campaign) {
	holdout, variant := false, ""
	share := rng.Float64()
	switch c.Name {
	case "elsewhere":
		holdout = share < 0.3
		if !holdout {
			variant = []string{"outside", ""}[rng.IntN(2)] // or it names none
		}
	case "broken":
		holdout = share < 0.5
		if !holdout {
			variant = "x"
		}
	default:
		holdout = share < c.Holdout
		for _, v := range c.Variants {
			if share -= v.Share; !holdout && variant == "" && share < c.Holdout+1e-9 {
				variant = v.Name
			}
		}
	}
	rounds := 1
	if c.Name == "again" {
		rounds += rng.IntN(3)
	}
	var times []instant.Instant
	ends, ended := instant.Parse(c.End)
	for len(times) < rounds {
		if at := h.instant(rng); !ended || at < ends { // from its end on nobody is assigned
			times = append(times, at)
		}
	}
	slices.Sort(times)
	times = slices.Compact(times)
	sequence := map[string]int64{}
	version := int64(2)
	if (c.Name == "winback" || c.Name == "again") && rng.IntN(4) == 0 {
		version = 1
	}
	for round, at := range times {
		if round > 0 && rng.IntN(2) == 0 {
			version = 2 // what the first round said of the shares stays
		}
		stages := []record.StageAt{{Model: "value", Stage: []string{"at_risk", "lost"}[rng.IntN(2)]}}
		if rng.IntN(2) == 0 {
			stages = append(stages, record.StageAt{Model: "engagement", Stage: "idle"})
		}
		var segments []string
		for _, s := range []string{"big", "city=L'Aquila", `odd "\ ( ] , name`} {
			if rng.IntN(3) == 0 {
				segments = append(segments, s)
			}
		}
		a := record.Record{
			Kind: record.Assignment, CustomerID: customer, Definition: h.Definition, DefinitionVersion: version, Campaign: c.Name,
			Variant: variant, Holdout: holdout, Round: int64(round + 1), Sequence: int64(round + 1), EffectiveAt: at, DetectedAt: at,
			Stages: stages, Segments: segments, Backfill: rng.IntN(9) == 0, Cause: record.Cause{Type: record.CauseEvent, EventTime: at},
			Since: instant.None, NextDeadline: instant.None,
		}
		a.SetID()
		h.Records = append(h.Records, a)
		for i := range c.Goals {
			h.convert(rng, &a, &c.Goals[i], sequence)
		}
		h.expose(rng, &a)
	}
}

func (h *CampaignHistory) convert(rng *rand.Rand, a *record.Record, g *Goal, sequence map[string]int64) {
	closes := a.EffectiveAt.Add(g.Within())
	odds := 0.35
	if !a.Holdout {
		odds = 0.5
	}
	switch { // effects that are seen at once, one up and one down
	case a.Campaign == "winback" && g.Name == "bought":
		odds = map[bool]float64{true: 0.03, false: 0.97}[a.Holdout]
	case a.Campaign == "again" && g.Name == "first":
		odds = map[bool]float64{true: 0.95, false: 0.05}[a.Holdout]
	}
	if !g.Baseline && rng.Float64() >= odds {
		return
	}
	c := *a
	c.Kind, c.Goal, c.AssignedAt = record.Conversion, g.Name, a.EffectiveAt
	emit := func(at instant.Instant) {
		if at > h.Clock {
			return
		}
		sequence[g.Name]++
		c.Sequence, c.EffectiveAt, c.DetectedAt = sequence[g.Name], at, at
		c.SetID()
		h.Records = append(h.Records, c)
	}
	money := func() {
		c.Value, c.HasValue, c.Occurrences = decimal.Decimal(rng.Int64N(5_000_000)), true, 1
		if g.Value == "total" {
			c.Occurrences += rng.Int64N(3)
			c.Unpriced = max(0, rng.Int64N(6)-4) + max(0, rng.Int64N(6)-4) // now and then, one or two
		}
		c.Currency = []string{"EUR", "EUR", "USD", ""}[rng.IntN(4)]
		if a.Campaign == "again" && rng.IntN(30) == 0 {
			c.Value *= 100 // so few large ones that means are no fair comparison
		}
	}
	switch {
	case g.Baseline:
		c.Value, c.HasValue = decimal.Decimal(10_000*(rng.Int64N(9)-4)), true
		emit(closes)
	case g.Value == "total":
		money()
		emit(closes)
		if rng.IntN(4) == 0 && len(h.Records) > 0 {
			c.Value /= 2 // a refund corrects it
			emit(closes.Add(time.Hour))
		}
	case g.Value == "first":
		money()
		emit(a.EffectiveAt.Add(time.Duration(1+rng.Int64N(g.WithinMS)) * time.Millisecond))
	default:
		emit(a.EffectiveAt.Add(time.Duration(1+rng.Int64N(g.WithinMS)) * time.Millisecond))
	}
}

func (h *CampaignHistory) expose(rng *rand.Rand, a *record.Record) {
	if a.Holdout && rng.IntN(8) > 0 {
		return
	}
	for range rng.IntN(4) {
		at := a.EffectiveAt.Add([]time.Duration{-time.Millisecond, 0, time.Hour, 5 * day}[rng.IntN(4)])
		if at > h.Clock {
			continue
		}
		h.Activity = append(h.Activity, record.Activity{
			CustomerID: a.CustomerID, EventTime: at, Type: "track", Event: "Email", SessionStart: at,
			Exposures: []record.Exposure{{
				Campaign: a.Campaign, Channel: []string{"email", "push"}[rng.IntN(2)],
				Step: []string{"sent", "delivered", "opened", "clicked", "bounced"}[rng.IntN(5)], Machine: rng.IntN(4) == 0,
			}},
		})
	}
}

// Batch are the records of Kafka, per topic and partition in order. A stage change at
// the clock sets it.
func (h *CampaignHistory) Batch(generation uint16) []batch.Record {
	var all []batch.Record
	offsets := batch.Offsets{}
	add := func(name string, partition int32, key string, value []byte) {
		topic := Prefix + name
		offset := offsets[topic][partition]
		offsets.Set(topic, partition, offset+1)
		all = append(all, batch.Record{Topic: topic, Name: name, Partition: partition, Offset: offset, Generation: generation, Key: []byte(key), Value: value})
	}
	for i, campaigns := range [][]Campaign{h.Former, h.Campaigns} {
		definition, err := json.Marshal(map[string]any{
			"name": h.Definition, "version": i + 1, "hash": "00", "timezone": h.Zone.String(), "currency": "EUR",
			"activated_at": []string{"2026-01-01T00:00:00Z", "2026-01-05T00:00:00Z"}[i], "models": []Model{}, "segments": []string{}, "source": "", "campaigns": campaigns,
		})
		if err != nil {
			panic(fmt.Sprintf("broken invariant: a definition is JSON: %v", err))
		}
		add(topics.Definitions, 0, h.Definition, definition)
	}
	last := record.Record{
		Kind: record.StageChange, CustomerID: "clock", Definition: h.Definition, DefinitionVersion: 2, Model: "value", To: "lost", Sequence: 1,
		EffectiveAt: h.Clock, DetectedAt: h.Clock, Since: instant.None, NextDeadline: instant.None, Cause: record.Cause{Type: record.CauseEvent, EventTime: h.Clock},
	}
	last.SetID()
	add(topics.StageChanges, lane("clock"), "clock", last.AppendJSON(nil))
	for i := range h.Merges {
		r := &h.Merges[i]
		add(topics.StageChanges, lane(r.CustomerID), r.CustomerID, r.AppendJSON(nil))
	}
	for i := range h.Records {
		r := &h.Records[i]
		name := topics.Assignments
		switch {
		case r.Backfill:
			name = topics.History
		case r.Kind == record.Conversion:
			name = topics.Conversions
		}
		add(name, lane(r.CustomerID), r.CustomerID, r.AppendJSON(nil))
	}
	for i := range h.Activity {
		a := &h.Activity[i]
		add(topics.Activity, lane(a.CustomerID), a.CustomerID, a.AppendJSON(nil))
	}
	return all
}
