// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/sink/sinktest"
)

// TestActivityViewsAgainstOracle: every KPI of what customers did equals a computation
// by its definition over the messages, in the order in which they arrived, late ones
// among them; whatever the order of the inserts, how they are cut, and how often they come.
func TestActivityViewsAgainstOracle(t *testing.T) {
	server := embeddedtest.ClickHouseForTest(t)
	for seed, zone := range []string{"Europe/Berlin", "UTC"} {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			ctx := context.Background()
			location, err := time.LoadLocation(zone)
			if err != nil {
				t.Fatal(err)
			}
			h := sinktest.NewBusy(uint64(seed), location, sinktest.Size{Customers: 25, Changes: 8, Orders: 4}, 40)
			d := sinktest.NewDatabase(t, server.Options(), fmt.Sprintf("did_%d", seed))
			arrive(t, d, h.Records(1), rand.New(rand.NewPCG(uint64(seed), 3)))
			o := newOracle(h)
			for _, c := range []struct{ view, want string }{
				{"kpi_sessions", o.sessions()},
				{"kpi_session_events", o.sessionEvents()},
				{"kpi_events_per_order(event = 'product_view', order = 'purchase')", o.eventsPerOrder("product_view", "purchase")},
				{"kpi_engagement", o.engagement()},
				{"kpi_visits_without_order(view = 'product_view', order = 'purchase')", o.visitsWithoutOrder("product_view", "purchase")},
				{"kpi_stage_visits(event = 'session')", o.stageVisits("session")},
				{"kpi_event_customers(event = 'invite_sent')", o.eventCustomers("invite_sent")},
				{"kpi_followed(first = 'trial_started', then = 'subscription_started', days = 30)", o.followed("trial_started", "subscription_started", 30)},
				{"kpi_followed(first = 'session', then = 'session', days = 7)", o.followed("session", "session", 7)},
				{"kpi_time_to_order(event = 'product_view', order = 'purchase')", o.timeToOrder("product_view", "purchase")},
				{"kpi_onboarding(start = 'trial_started', events = 'tutorial_completed,key_1_used,key_2_used', days = 7)", o.onboarding("trial_started", []string{"tutorial_completed", "key_1_used", "key_2_used"}, 7)},
				{
					"kpi_carts(add = 'cart_add', order = 'purchase', clicks = 'email_click=email,push_tap=push', rest_minutes = 60, forgotten_days = 30)",
					o.carts("cart_add", "purchase", map[string]string{"email_click": "email", "push_tap": "push"}, time.Hour, 30*24*time.Hour),
				},
				{"kpi_messages(order = 'purchase', days = 14)", o.messages("purchase", 14)},
				{"kpi_targeted_events(event = 'product_view', days = 14)", o.targeted("product_view", 14)},
				{"kpi_invitations(sent = 'invite_sent', accepted = 'invite_accepted', joined = 'joined_by_invite', order = 'purchase', days = 30)", o.invitations("invite_sent", "invite_accepted", "joined_by_invite", "purchase", 30)},
				{"kpi_thresholds", o.thresholds()},
			} {
				text, err := d.Text(ctx, "SELECT * FROM "+d.Name+"."+c.view)
				if err != nil {
					t.Errorf("%s: %v", c.view, err)
					continue
				}
				got := lines(strings.Split(strings.TrimSpace(text), "\n"))
				if diff := difference(got.text(), c.want); diff != "" {
					t.Errorf("%s differs from its definition (- the view has, + it should have; the seed is in the test's name):\n%s", c.view, diff)
				}
				if c.want == "" {
					t.Errorf("%s: the history gives no row, so nothing was compared", c.view)
				}
			}
		})
	}
}
