// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lapwing/schemas/instant"
	"lapwing/schemas/topics"
)

// testCampaigns is what withCampaigns adds.
const testCampaigns = `
campaigns:
  - name: test-winback
    audience: in_stage('value', 'at_risk') || in_stage('value', 'lost')
    holdout: 20%
    variants: {short: 40%, long: 40%}
    every: 60d
    goals:
      - {name: bought, event: purchase, within: 90d, value: total}
      - {name: first, event: purchase, within: 90d, value: first}
      - {name: up, when: "in_stage('value', 'active') || in_stage('value', 'occasional')", within: 120d}
      - {name: more, event: purchase, within: 60d, baseline: true}
  - name: test-welcome
    audience: "count('purchase') >= 1"
    variants: {a: 100%}
    goals: [{name: again, event: purchase, within: 30d, value: total}]
`

// withCampaigns is customer-value with campaigns over its stages: one with rounds and goals
// of each kind, and one for all who buy.
func withCampaigns(t testing.TB) []byte {
	return append(customerValue(t), testCampaigns...)
}

// "Without start, everyone already in the audience is assigned at activation", with cause
// definition; nobody is assigned out of the past.
func TestAudienceAtActivationIsAssignedThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, withCampaigns(t), func(c *Config) { c.PublishFrom, c.Lanes = "", 1 })
		began := instant.Of(time.Now()) // 2000-01-01 in a bubble
		w.produce("events", message{customer: "ana", event: "Order Completed", id: "o1", at: day0})
		r := w.start(w.cfg)
		w.wait(r, day0)
		r.stop(t)
		time.Sleep(time.Hour)
		recent := message{customer: "ana", event: "Order Completed", id: "o2", at: began.Add(time.Minute)}
		w.produce("events", recent)
		end := began.Add(91 * dayLength)
		w.end(end)
		r = w.start(w.cfg)
		w.wait(r, end)
		r.stop(t)
		var got []string
		for _, topic := range []string{topics.Assignments, topics.Conversions} {
			for _, what := range w.changes(topic)["ana"] {
				_, what, _ = strings.Cut(what, " ")
				got = append(got, what)
			}
		}
		// A lost customer at the moment of activation; she buys a minute later.
		for _, want := range []string{"test-winback#1 round 1 ", "test-winback/first#1 round 1 ", "test-winback/up#1 round 1 ", "test-winback/bought#1 round 1 ", "test-welcome/again#1 round 1 "} {
			found := false
			for _, what := range got {
				found = found || strings.HasPrefix(what, want)
			}
			if !found {
				t.Errorf("no %s among\n%s", want, strings.Join(got, "\n"))
			}
		}
		for _, what := range got {
			if strings.HasPrefix(what, "test-winback#1 ") || strings.HasPrefix(what, "test-welcome#1 ") {
				if !strings.Contains(what, " definition ") || !strings.Contains(what, began.String()[:16]) {
					t.Errorf("%s: want cause definition at the moment of activation", what)
				}
			}
		}
		if n := len(w.changes(topics.History)["ana"]); n != 3 {
			t.Errorf("%d changes in history, want the three of stages: nobody is assigned out of the past", n)
		}
	})
}
