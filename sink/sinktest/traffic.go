// SPDX-License-Identifier: Apache-2.0

package sinktest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"lapwing/schemas/decimal"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// Events that the messages of NewBusy count as, beside the orders purchase and booking.
// A deposit has a value and no key.
var trafficEvents = []string{ //nolint:gochecknoglobals // a list of names
	"product_view", "product_view", "product_view", "cart_add", "cart_add", "email_click", "push_tap", "session",
	"trial_started", "subscription_started", "tutorial_completed", "key_1_used", "key_2_used",
	"invite_sent", "invite_accepted", "joined_by_invite", "deposit", "",
}

// sessionGap is the silence after which a session has ended.
const sessionGap = 30 * time.Minute

// NewBusy is a history with what customers do between their orders, too: messages of many
// events in sessions on app and site, exposures, and late ones among them. Activity is in
// the order of arrival per customer.
func NewBusy(seed uint64, zone *time.Location, size Size, messages int) *History {
	h := New(seed, zone, size)
	rng := rand.New(rand.NewPCG(seed, 8)) //nolint:gosec // a test wants the same numbers again
	of := map[string][]record.Activity{}
	for i := range h.Activity {
		of[h.Activity[i].CustomerID] = append(of[h.Activity[i].CustomerID], h.Activity[i])
	}
	h.Activity = nil
	for c := range size.Customers {
		customer := fmt.Sprintf("customer-%d", c)
		all := append(of[customer], h.messages(rng, customer, messages)...)
		arrival(rng, all)
		h.visit(rng, all)
		h.Activity = append(h.Activity, all...)
	}
	h.aggregateSessions()
	return h
}

// messages are some in each of a few visits.
func (h *History) messages(rng *rand.Rand, customer string, n int) []record.Activity {
	var all []record.Activity
	for len(all) < n {
		at := h.instant(rng)
		platform := []string{"", "app", "site"}[rng.IntN(3)]
		for range 1 + rng.IntN(5) {
			a := record.Activity{CustomerID: customer, EventTime: at, MessageID: fmt.Sprintf("%s-%d", customer, len(all)), Type: "track", Currency: "EUR", Platform: platform}
			name := trafficEvents[rng.IntN(len(trafficEvents))]
			a.Event = strings.ToUpper(name)
			switch name {
			case "":
				a.Type, a.Event = "page", "page"
			case "deposit":
				a.Occurrence = []record.Occurrence{{Event: name, At: at, Value: decimal.Decimal(rng.Int64N(3_000_000)), HasValue: true}}
			default:
				a.Occurrence = []record.Occurrence{{Event: name, At: at}}
			}
			if rng.IntN(3) == 0 {
				a.Exposures = []record.Exposure{{
					Campaign: []string{"", "winback"}[rng.IntN(2)], Channel: []string{"email", "push"}[rng.IntN(2)],
					Step: []string{"delivered", "delivered", "opened", "clicked"}[rng.IntN(4)], Machine: rng.IntN(3) == 0,
				}}
			}
			for _, m := range h.Models {
				a.Stages = append(a.Stages, record.StageAt{Model: m.Name, Stage: m.Stages[rng.IntN(len(m.Stages))]})
			}
			all = append(all, a)
			at = at.Add([]time.Duration{time.Millisecond, time.Minute, 29 * time.Minute, sessionGap, time.Hour, 7 * day}[rng.IntN(6)])
		}
	}
	return all
}

// arrival sorts by time, and has some come late.
func arrival(rng *rand.Rand, all []record.Activity) {
	for i := range all {
		for k := i; k > 0 && all[k].EventTime < all[k-1].EventTime; k-- {
			all[k], all[k-1] = all[k-1], all[k]
		}
	}
	for range len(all) / 8 {
		from := rng.IntN(len(all))
		late := all[from]
		to := from + rng.IntN(min(4, len(all)-from))
		copy(all[from:to], all[from+1:to+1])
		all[to] = late
	}
}

// visit gives the messages their sessions, as known in the order of arrival: one that came
// before the session under way is a session of its own. The first has no stages before it.
func (h *History) visit(rng *rand.Rand, all []record.Activity) {
	start, last := instant.None, instant.None
	stages := map[instant.Instant][]record.StageAt{}
	for i := range all {
		a := &all[i]
		if Received(a) {
			a.SessionStart, a.SessionStages = a.EventTime, a.Stages
			continue
		}
		begins := start.IsNone() || a.EventTime < start || a.EventTime >= last.Add(sessionGap)
		a.SessionStart = start
		if begins {
			a.SessionStart = a.EventTime
		}
		if start.IsNone() || a.EventTime >= start {
			start, last = a.SessionStart, max(last, a.EventTime)
		}
		held, known := stages[a.SessionStart]
		if !known {
			if len(stages) > 0 {
				for _, m := range h.Models {
					held = append(held, record.StageAt{Model: m.Name, Stage: m.Stages[rng.IntN(len(m.Stages))]})
				}
			}
			stages[a.SessionStart] = held
		}
		a.SessionStages, a.SessionBegins = held, !known
	}
}

// Received reports whether a message is no part of a visit: it tells of something sent to
// the customer, and neither of a page or screen nor of a click by a person.
func Received(a *record.Activity) bool {
	sent := false
	for _, e := range a.Exposures {
		if e.Step == "clicked" && !e.Machine {
			return false
		}
		sent = true
	}
	return sent && a.Type != "page" && a.Type != "screen"
}

// aggregateSessions counts sessions and the events in them as the stream would.
func (h *History) aggregateSessions() {
	type key struct {
		lane                          int32
		measure                       record.Measure
		grain                         record.Grain
		period                        instant.Instant
		event, model, stage, platform string
	}
	counts := map[key]int64{}
	var order []key
	add := func(a *record.Activity, measure record.Measure, event string, at instant.Instant) {
		for _, grain := range []record.Grain{record.Hour, record.Day, record.Week, record.Month} {
			k := key{lane: lane(a.CustomerID), measure: measure, grain: grain, period: instant.Of(h.Period(at, grain)), event: event, platform: a.Platform}
			keys := []key{k}
			for _, s := range a.SessionStages {
				k.model, k.stage = s.Model, s.Stage
				keys = append(keys, k)
			}
			for _, k := range keys {
				if counts[k] == 0 {
					order = append(order, k)
				}
				counts[k]++
			}
		}
	}
	for i := range h.Activity {
		a := &h.Activity[i]
		if a.SessionBegins {
			add(a, record.MeasureSession, "", a.EventTime)
		}
		for _, o := range a.Occurrence {
			if !o.Refund {
				add(a, record.MeasureSessionEvent, o.Event, o.At)
			}
		}
	}
	for _, k := range order {
		h.Aggregates = append(h.Aggregates, record.Aggregate{
			Definition: h.Definition, Lane: k.lane, Measure: k.measure, Grain: k.grain, Period: k.period, Event: k.event, Model: k.model, Stage: k.stage, Platform: k.platform, Count: counts[k],
		})
	}
}
