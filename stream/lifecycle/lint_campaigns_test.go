// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"strings"
	"testing"

	"lapwing/schemas/definition"
)

// What is most likely not meant of campaigns is said; what is fine is not.
func TestLintsOfCampaigns(t *testing.T) {
	const head = `lapwing: 1
name: lint
version: 1
traits: {consent_email: bool, consent_sms: text}
events:
  purchase: {match: Order Completed, value: properties.total}
  visit: {match: {type: page}}
  session: {from: visit, gap: 30m}
segments: [{name: all, when: "true"}]
messages: [{match: Email Delivered, channel: email, step: delivered, campaign: properties.campaign_id}]
campaigns:
`
	const goals = "goals: [{name: g, event: purchase, within: 1d, value: total}, {name: s, event: session, within: 1d}]"
	for _, c := range []struct{ campaign, want string }{
		{"  - {name: c, audience: in_segment('all'), holdout: 10%, consent: email, variants: {a: 90%}, " + goals + "}", ""},
		{"  - {name: c, audience: in_segment('all'), variants: {a: 50%, b: 50%}, " + goals + "}", ""},
		{"  - {name: c, assigned: {match: A}, " + goals + "}", ""},
		{"  - {name: c, audience: in_segment('all'), holdout: 10%, variants: {a: 90%}}", `campaign "c" has no goals`},
		{"  - {name: c, audience: in_segment('all'), variants: {a: 100%}, " + goals + "}", `campaign "c" has neither a holdout nor a second variant`},
		{"  - {name: c, audience: \"never('purchase') && seen('purchase', '1d')\", holdout: 10%, variants: {a: 90%}, " + goals + "}", `nobody can ever be in the audience of campaign "c"`},
		{"  - {name: c, audience: in_segment('all'), holdout: 10%, consent: sms, variants: {a: 90%}, " + goals + "}", `trait "consent_sms" is declared as text`},
		{"  - {name: c, audience: in_segment('all'), holdout: 10%, variants: {a: 90%}, goals: [{name: g, event: visit, within: 1d, value: first}]}", `event "visit" has no ` + "`value`"},
		{"  - {name: c, audience: \"sum('visit') > 1\", holdout: 10%, variants: {a: 90%}, " + goals + "}", `this sum is always 0`},
		{"  - {name: c, audience: in_segment('all'), holdout: 10%, variants: {a: {share: 90%, cost: {per: delivered, amount: 1, currency: USD}}}, cost: {per: delivered, amount: 1, currency: USD}, " + goals + "}", ""},
		{"  - {name: c, audience: in_segment('all'), holdout: 10%, variants: {a: 90%}, cost: {fixed: 100, currency: USD}, " + goals + "}", ""},
		{"  - {name: c, audience: in_segment('all'), holdout: 10%, variants: {a: 90%}, cost: {per: deliverd, amount: 1, currency: USD}, " + goals + "}", "has the step \"deliverd\", so that the campaign's messages cost nothing; did you mean `delivered`?"},
		{"  - {name: c, audience: in_segment('all'), holdout: 10%, variants: {a: {share: 90%, cost: {per: opened, amount: 1, currency: USD}}}, " + goals + "}", `has the step "opened"`},
	} {
		var said []string
		for _, p := range checkText(t, head+c.campaign+"\n") {
			said = append(said, p.Message)
		}
		text := strings.Join(said, "; ")
		if c.want == "" && text != "" || !strings.Contains(text, c.want) {
			t.Errorf("%s:\n%q, want %q", c.campaign, text, c.want)
		}
	}
	m, _ := Check(definition.ParsePartial("test.yaml", []byte(head+"  - {name: c, assigned: {match: A}, "+goals+"}\n")))
	if got := m.Unread(); len(got) > 0 {
		t.Errorf("nothing reads %q, and yet goals do", got)
	}
}
