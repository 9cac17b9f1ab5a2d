// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/schemas/topics"
)

const settingsShop = `lapwing: 1
name: shop
version: 1
sessions: {gap: 10m}
aggregates: {close_after: 7d}
events:
  purchase: {match: Order Completed}
segments:
  - {name: buyers, when: "seen('purchase', '1d')"}
messages:
  - {match: Email Opened, channel: email, step: opened, campaign: properties.campaign_id}
`

// told are the settings that lane 0 has told of, in order.
func (w *world) told() (all []record.Settings) {
	w.t.Helper()
	for _, r := range w.all(topics.Aggregates) {
		if !record.IsSettings(r.Value) {
			continue
		}
		s, err := record.DecodeSettings(r.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		if string(r.Key) != string(s.Key()) {
			w.t.Errorf("settings since %s under the key %q", s.Since, r.Key)
		}
		all = append(all, s)
	}
	return all
}

// TestAggregatesAreTold: lanes tell, too, from when on totals are not kept, and again when
// they are.
func TestAggregatesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []byte(settingsShop), func(c *Config) { c.Lanes = 1 })
		at := day0
		var before []instant.Instant
		for i, kept := range []bool{true, true, false, false, true} {
			before = append(before, at)
			cfg := w.cfg
			cfg.Aggregates = kept
			r := w.start(cfg)
			at = at.Add(time.Minute)
			w.produce("events", message{customer: "ana", event: "Order Completed", id: fmt.Sprint(i), at: at})
			at = at.Add(time.Hour)
			w.end(at)
			w.wait(r, at)
			r.stop(t)
		}
		told := w.told()
		if len(told) != 3 || !told[0].Aggregates || told[1].Aggregates || !told[2].Aggregates {
			t.Fatalf("told of %+v, want kept, not kept and kept again", told)
		}
		if told[0].Since != instant.None || told[1].Since < before[2] || told[1].Since > before[3] || told[2].Since < before[4] {
			t.Errorf("told of %s, %s and %s; the clock stood at %s when they changed", told[0].Since, told[1].Since, told[2].Since, before)
		}
	})
}

// TestActivityByMode: all accepted messages are activity, or those that count as an event
// or an exposure, or none; sessions are counted in each mode. Lanes tell once by which
// settings they count, and again, with the clock at which, when these have changed.
func TestActivityByMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []byte(settingsShop), func(c *Config) { c.Lanes = 1 })
		at := day0
		send := func(mode ActivityMode) {
			cfg := w.cfg
			cfg.Activity = mode
			r := w.start(cfg)
			var now []message
			for i, name := range []string{"Other", "Email Opened", "Order Completed", "Other"} {
				at = at.Add(time.Minute)
				now = append(now, message{customer: "ana", event: name, id: fmt.Sprint(mode, i, at), at: at})
			}
			at = at.Add(time.Hour)
			w.produce("events", now...)
			w.end(at)
			w.wait(r, at)
			r.stop(t)
		}
		send(ActivityAll)
		send(ActivityAll)
		send(ActivityReferenced)
		before := at
		send(ActivityOff)

		var got []string
		for _, r := range w.all(topics.Activity) {
			a, err := record.DecodeActivity(r.Value)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, a.Event)
		}
		all := []string{"Other", "Email Opened", "Order Completed", "Other"}
		want := slices.Concat(all, all, []string{"Email Opened", "Order Completed"})
		if !slices.Equal(got, want) {
			t.Errorf("activity is %v, want %v", got, want)
		}
		sessions := 0.0
		for key, n := range w.totals() {
			if strings.HasPrefix(key, "session month ") {
				sessions += n[0]
			}
		}
		if sessions != 4 {
			t.Errorf("%v sessions, want 4", sessions)
		}
		told := w.told()
		if len(told) != 3 {
			t.Fatalf("told of %+v, want three settings", told)
		}
		for i, mode := range []ActivityMode{ActivityAll, ActivityReferenced, ActivityOff} {
			s := told[i]
			if s.Activity != string(mode) || s.SessionGap != 10*time.Minute || s.CloseAfter != 7*24*time.Hour || s.Lane != 0 {
				t.Errorf("told of %+v, want activity %s", s, mode)
			}
			if i == 0 && s.Since != instant.None {
				t.Errorf("a lane that has begun with them has them since %s", s.Since)
			}
		}
		if told[2].Since < before || told[2].Since > at || told[2].Closed != told[2].Since.Add(-7*24*time.Hour) && told[2].Closed != before.Add(-7*24*time.Hour) {
			t.Errorf("off since %s, closed %s; the clock stood at %s", told[2].Since, told[2].Closed, before)
		}
	})
}
