// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/stream/oracle"
)

// campaignCase is worked out by hand from a sentence of the contract. Steps are
// "HH:MM[:SS[.mmm]] VERB [NAME=VALUE…]" of customer u1 on 28 March 2026, or DDTHH:MM.
type campaignCase struct {
	name, head, campaigns, steps, until string
	want                                []string
}

const campaignCaseHead = `lapwing: 1
name: by-hand
version: 1
currency: EUR
%s
events:
  purchase: {match: Order Completed, value: properties.total, key: properties.order_id, refund: {match: Order Refunded, key: properties.order_id, value: properties.total}}
  visit: {match: {type: page}}
models:
  - name: value
    stages:
      - {stage: visiting, when: "seen('visit', '1h')"}
      - {stage: idle, when: "true"}
segments:
  - {name: target, when: "assigned('c')"}
campaigns:
%s
`

var campaignCases = []campaignCase{
	{
		name:      "assigned when it becomes true; once",
		campaigns: `  - {name: c, audience: "seen('visit', '1h')", variants: {a: 100%}}`,
		steps:     "00:00 page; 05:00 page; 09:00 page",
		want:      []string{"00:00:00 assigned c round 1 a by event"},
	},
	{
		name:      "again when the audience becomes true at least every after the last assignment",
		campaigns: `  - {name: c, every: 6h, audience: "seen('visit', '1h')", variants: {a: 100%}}`,
		steps:     "00:00 page; 05:00 page; 06:00 page; 11:59:59.999 page",
		want:      []string{"00:00:00 assigned c round 1 a by event", "06:00:00 assigned c round 2 a by event"},
	},
	{
		name:      "only when the audience turns true again, not when the time is over",
		campaigns: `  - {name: c, every: 6h, audience: "seen('visit', '7h')", variants: {a: 100%}}`,
		steps:     "00:00 page; 06:30 page; 14:00 page",
		want:      []string{"00:00:00 assigned c round 1 a by event", "14:00:00 assigned c round 2 a by event"},
	},
	{
		name:      "becomes true by time: cause deadline",
		campaigns: `  - {name: c, audience: "idle('visit', '1h')", variants: {a: 100%}}`,
		steps:     "00:00 page", until: "02:00",
		want: []string{"01:00:00 assigned c round 1 a by deadline"},
	},
	{
		name:      "at most max rounds",
		campaigns: `  - {name: c, every: 2h, max: 2, audience: "seen('visit', '1h')", variants: {a: 100%}}`,
		steps:     "00:00 page; 02:00 page; 04:00 page",
		want:      []string{"00:00:00 assigned c round 1 a by event", "02:00:00 assigned c round 2 a by event"},
	},
	{
		name:      "assigned_at < t: the event that caused the assignment never converts, nor one of its instant",
		campaigns: `  - {name: c, audience: "seen('purchase', '1h')", variants: {a: 100%}, goals: [{name: g, event: purchase, within: 1h}]}`,
		steps:     "00:00 order total=5; 00:00 order total=6",
		want:      []string{"00:00:00 assigned c round 1 a by event"},
	},
	{
		name:      "t <= assigned_at + within, with the converting event's value",
		campaigns: `  - {name: c, audience: "seen('visit', '1h')", variants: {a: 100%}, goals: [{name: g, event: purchase, within: 2h, value: first}]}`,
		steps:     "00:00 page; 02:00 order total=12.5; 02:00 order total=6",
		want:      []string{"00:00:00 assigned c round 1 a by event", "02:00:00 converted c/g round 1 a value 12.5 EUR sequence 1 by event"},
	},
	{
		name:      "a millisecond later is too late",
		campaigns: `  - {name: c, audience: "seen('visit', '1h')", variants: {a: 100%}, goals: [{name: g, event: purchase, within: 2h}]}`,
		steps:     "00:00 page; 02:00:00.001 order total=12.5",
		want:      []string{"00:00:00 assigned c round 1 a by event"},
	},
	{
		name:      "total: when the window closes, again at the instant of the close, again when a refund corrects it",
		campaigns: `  - {name: c, audience: "seen('visit', '1h')", variants: {a: 100%}, goals: [{name: g, event: purchase, within: 2h, value: total}]}`,
		steps:     "00:00 page; 01:00 order total=10 order_id=1; 01:30 order total=x order_id=2; 02:00 order total=5 order_id=3; 03:00 order total=7 order_id=4; 04:00 refund order_id=1 total=4; 05:00 refund order_id=4 total=4",
		want: []string{
			"00:00:00 assigned c round 1 a by event", "02:00:00 converted c/g round 1 a value 10 EUR of 2 sequence 1 by deadline",
			"02:00:00 converted c/g round 1 a value 15 EUR of 3 sequence 2 by event", "04:00:00 converted c/g round 1 a value 11 EUR of 3 sequence 3 by event",
		},
	},
	{
		name:      "total: each one at the instant of the close gives a record, also if the value stays; a refund before takes part",
		campaigns: `  - {name: c, audience: "seen('visit', '1h')", variants: {a: 100%}, goals: [{name: g, event: purchase, within: 2h, value: total}]}`,
		steps:     "00:00 page; 01:00 order total=10 order_id=1; 01:30 refund order_id=1; 02:00 order total=x order_id=2; 02:00 order total=3 order_id=3",
		want: []string{
			"00:00:00 assigned c round 1 a by event", "02:00:00 converted c/g round 1 a value 0 EUR sequence 1 by deadline",
			"02:00:00 converted c/g round 1 a value 0 EUR of 2 sequence 2 by event", "02:00:00 converted c/g round 1 a value 3 EUR of 3 sequence 3 by event",
		},
	},
	{
		name:      "total: no occurrence, no record",
		campaigns: `  - {name: c, audience: "seen('visit', '1h')", variants: {a: 100%}, goals: [{name: g, event: purchase, within: 2h, value: total}]}`,
		steps:     "00:00 page; 02:00:00.001 order total=10", until: "05:00",
		want: []string{"00:00:00 assigned c round 1 a by event"},
	},
	{
		name:      "total: a late event after the close changes nothing",
		campaigns: `  - {name: c, audience: "seen('visit', '1h')", variants: {a: 100%}, goals: [{name: g, event: purchase, within: 2h, value: total}]}`,
		steps:     "00:00 page; 01:00 order total=10; 03:00 page; 01:30 order total=10",
		want:      []string{"00:00:00 assigned c round 1 a by event", "02:00:00 converted c/g round 1 a value 10 EUR sequence 1 by deadline"},
	},
	{
		name:      "total: nor does a refund of what came late",
		campaigns: `  - {name: c, audience: "seen('visit', '1h')", variants: {a: 100%}, goals: [{name: g, event: purchase, within: 2h, value: total}]}`,
		steps:     "00:00 page; 01:00 order total=10 order_id=1; 03:00 page; 01:30 order total=7 order_id=2; 04:00 refund order_id=2 total=3; 05:00 refund order_id=1 total=1",
		want: []string{
			"00:00:00 assigned c round 1 a by event", "02:00:00 converted c/g round 1 a value 10 EUR sequence 1 by deadline",
			"05:00:00 converted c/g round 1 a value 9 EUR sequence 2 by event",
		},
	},
	{
		name:      "total: a late order after the close, then refunded as a whole, is in no record",
		campaigns: `  - {name: c, audience: "seen('visit', '1h')", variants: {a: 100%}, goals: [{name: g, event: purchase, within: 2h, value: total}]}`,
		steps:     "00:00 page; 01:00 order total=10 order_id=1; 03:00 page; 01:30 order total=7 order_id=2; 04:00 refund order_id=2; 05:00 refund order_id=1",
		want: []string{
			"00:00:00 assigned c round 1 a by event", "02:00:00 converted c/g round 1 a value 10 EUR sequence 1 by deadline",
			"05:00:00 converted c/g round 1 a value 0 EUR sequence 2 by event",
		},
	},
	{
		name:      "total: nor is one that alone came into the window, too late, and its refund",
		campaigns: `  - {name: c, audience: "seen('visit', '1h')", variants: {a: 100%}, goals: [{name: g, event: purchase, within: 2h, value: total}]}`,
		steps:     "00:00 page; 03:00 page; 01:30 order total=7 order_id=2; 04:00 refund order_id=2 total=3; 05:00 refund order_id=2",
		want:      []string{"00:00:00 assigned c round 1 a by event"},
	},
	{
		name:      "total: money of another currency has no value, and is counted",
		campaigns: `  - {name: c, audience: "seen('visit', '1h')", variants: {a: 100%}, goals: [{name: g, event: purchase, within: 2h, value: total}]}`,
		steps:     "00:00 page; 01:00 order total=10 currency=EUR; 01:10 order total=100 currency=USD; 01:20 order total=5; 01:30 order total=x currency=USD; 01:40 order total=3 currency=5",
		until:     "03:00",
		want: []string{
			"00:00:00 assigned c round 1 a by event", "02:00:00 converted c/g round 1 a value 18 EUR of 4 and 1 unpriced sequence 1 by deadline",
		},
	},
	{
		name:      "total: money of another currency alone is a conversion all the same",
		campaigns: `  - {name: c, audience: "seen('visit', '1h')", variants: {a: 100%}, goals: [{name: g, event: purchase, within: 2h, value: total}]}`,
		steps:     "00:00 page; 01:10 order total=100 currency=USD", until: "03:00",
		want: []string{
			"00:00:00 assigned c round 1 a by event", "02:00:00 converted c/g round 1 a value 0 EUR of 0 and 1 unpriced sequence 1 by deadline",
		},
	},
	{
		name:      "total: a refund of an order of another currency changes nothing, before the close or after it",
		campaigns: `  - {name: c, audience: "seen('visit', '1h')", variants: {a: 100%}, goals: [{name: g, event: purchase, within: 2h, value: total}]}`,
		steps:     "00:00 page; 01:00 order total=10 order_id=1; 01:10 order total=100 order_id=2 currency=USD; 01:20 order total=50 order_id=3 currency=USD; 01:30 refund order_id=2 total=30 currency=USD; 03:00 refund order_id=2 currency=USD; 03:10 refund order_id=3 total=1; 04:00 refund order_id=1 total=4 currency=USD",
		want: []string{
			"00:00:00 assigned c round 1 a by event", "02:00:00 converted c/g round 1 a value 10 EUR and 2 unpriced sequence 1 by deadline",
			"04:00:00 converted c/g round 1 a value 6 EUR and 2 unpriced sequence 2 by event",
		},
	},
	{
		name:      "first: the converting event's own currency",
		campaigns: `  - {name: c, audience: "seen('visit', '1h')", variants: {a: 100%}, goals: [{name: g, event: purchase, within: 2h, value: first}]}`,
		steps:     "00:00 page; 01:10 order total=100 currency=USD",
		want:      []string{"00:00:00 assigned c round 1 a by event", "01:10:00 converted c/g round 1 a value 100 USD sequence 1 by event"},
	},
	{
		name:      "a rise in money is in the definition's currency, before and after",
		campaigns: `  - {name: c, audience: "seen('visit', '1h')", variants: {a: 100%}, goals: [{name: g, event: purchase, within: 2h, value: total, baseline: true}]}`,
		steps:     "00:10 order total=5; 00:20 order total=40 order_id=1 currency=USD; 00:30 order total=2 currency=EUR; 02:00 page; 02:30 order total=9; 02:40 order total=80 currency=USD; 03:00 refund order_id=1 total=7", until: "05:00",
		want: []string{"02:00:00 assigned c round 1 a by event", "04:00:00 converted c/g round 1 a value 2 EUR and 1 unpriced sequence 1 by deadline"},
	},
	{
		name:      "when: true at assignment, it has to become false first",
		campaigns: `  - {name: c, audience: "seen('visit', '1h')", variants: {a: 100%}, goals: [{name: g, when: "seen('visit', '1h')", within: 3h}]}`,
		steps:     "00:00 page; 00:30 page; 02:00 page; 02:30 page",
		want:      []string{"00:00:00 assigned c round 1 a by event", "02:00:00 converted c/g round 1 a sequence 1 by event"},
	},
	{
		name:      "when: turning true at assigned_at itself is no conversion",
		campaigns: `  - {name: c, audience: "seen('visit', '1h')", variants: {a: 100%}, goals: [{name: g, when: "seen('purchase', '1h')", within: 3h}]}`,
		steps:     "00:00 page; 00:00 order total=1; 00:30 order total=1",
		want:      []string{"00:00:00 assigned c round 1 a by event"},
	},
	{
		name:      "when: by time, at the last instant of the window",
		campaigns: `  - {name: c, audience: "seen('visit', '1h')", variants: {a: 100%}, goals: [{name: g, when: "idle('visit', '1h')", within: 1h}, {name: h, when: "idle('visit', '1h')", within: 59m}]}`,
		steps:     "00:00 page", until: "03:00",
		want: []string{"00:00:00 assigned c round 1 a by event", "01:00:00 converted c/g round 1 a sequence 1 by deadline"},
	},
	{
		name:      "event time and effective_at must both lie in the window",
		campaigns: `  - {name: c, audience: "idle('visit', '1h')", variants: {a: 100%}, goals: [{name: g, event: purchase, within: 3h}, {name: h, when: "seen('purchase', '1d')", within: 3h}]}`,
		steps:     "00:00 page; 01:30 page; 00:30 order total=1; 02:00 order total=2",
		want:      []string{"01:00:00 assigned c round 1 a by deadline", "02:00:00 converted c/g round 1 a sequence 1 by event"},
	},
	{
		name:      "each open round converts by itself",
		campaigns: `  - {name: c, every: 1h, audience: "seen('visit', '1h')", variants: {a: 100%}, goals: [{name: g, event: purchase, within: 5h}]}`,
		steps:     "00:00 page; 01:00 page; 02:00 order total=1; 02:30 order total=1",
		want: []string{
			"00:00:00 assigned c round 1 a by event", "01:00:00 assigned c round 2 a by event",
			"02:00:00 converted c/g round 1 a sequence 1 by event", "02:00:00 converted c/g round 2 a sequence 2 by event",
		},
	},
	{
		name:      "the arms from bucket 0 on: the holdout, then the variants (u1 is in bucket 8376 of c)",
		campaigns: `  - {name: c, holdout: 83.76%, audience: "seen('visit', '1h')", variants: {b: 0.01%, a: 16.23%}}`,
		steps:     "00:00 page",
		want:      []string{"00:00:00 assigned c round 1 b by event"},
	},
	{
		name:      "in the holdout variant is null and assigned(c) is true",
		campaigns: `  - {name: c, holdout: 83.77%, audience: "seen('visit', '1h')", variants: {b: 0.01%, a: 16.22%}, goals: [{name: g, event: purchase, within: 5h}]}`,
		steps:     "00:00 page; 01:00 order total=1",
		want:      []string{"00:00:00 assigned c round 1 holdout in target by event", "01:00:00 converted c/g round 1 holdout in target sequence 1 by event"},
	},
	{
		name:      "the salt in place of the name (u1 is in bucket 3890 of x)",
		campaigns: `  - {name: c, salt: x, holdout: 38.91%, audience: "seen('visit', '1h')", variants: {a: 61.09%}}`,
		steps:     "00:00 page",
		want:      []string{"00:00:00 assigned c round 1 holdout in target by event"},
	},
	{
		name:      "global_holdout keeps out of every campaign (u1 is in bucket 6178 of global)",
		head:      "global_holdout: 61.79%",
		campaigns: `  - {name: c, audience: "seen('visit', '1h')", variants: {a: 100%}}`,
		steps:     "00:00 page; 05:00 page",
	},
	{
		name:      "global_holdout, one bucket less",
		head:      "global_holdout: 61.78%",
		campaigns: `  - {name: c, audience: "seen('visit', '1h')", variants: {a: 100%}}`,
		steps:     "00:00 page",
		want:      []string{"00:00:00 assigned c round 1 a by event"},
	},
	{
		name:      "who is in the audience at start is assigned then",
		campaigns: `  - {name: c, start: 2026-03-28T00:30:00Z, audience: "seen('visit', '1h')", variants: {a: 100%}}`,
		steps:     "00:00 page", until: "01:00",
		want: []string{"00:30:00 assigned c round 1 a by deadline"},
	},
	{
		name:      "from end on nobody is",
		campaigns: `  - {name: c, every: 1h, end: 2026-03-28T05:00:00Z, audience: "seen('visit', '1h')", variants: {a: 100%}}`,
		steps:     "00:00 page; 04:59:59.999 page; 06:00 page",
		want:      []string{"00:00:00 assigned c round 1 a by event", "04:59:59.999 assigned c round 2 a by event"},
	},
	{
		name:      "nobody is assigned out of the past",
		head:      "publish_from: 2026-03-28T02:00:00Z",
		campaigns: `  - {name: c, every: 1h, audience: "seen('visit', '1h')", variants: {a: 100%}}`,
		steps:     "00:00 page; 01:30 page; 02:00 page; 03:00 page",
		want:      []string{"03:00:00 assigned c round 1 a by event"},
	},
	{
		name: "exclude and consent are parts of the audience",
		campaigns: `  - {name: c, audience: "seen('visit', '1h')", variants: {a: 100%}}
  - {name: d, exclude: [c], audience: "seen('purchase', '1d')", variants: {a: 100%}}
  - {name: e, consent: email, audience: "seen('purchase', '1d')", variants: {a: 100%}}`,
		steps: "00:00 order total=1; 01:00 identify consent_email=true; 02:00 page",
		want: []string{
			"00:00:00 assigned d round 1 a by event", "01:00:00 assigned e round 1 a by event", "02:00:00 assigned c round 1 a by event",
		},
	},
	{
		name: "who was assigned in an excluded campaign is left out",
		campaigns: `  - {name: c, audience: "seen('visit', '1h')", variants: {a: 100%}}
  - {name: d, exclude: [c], audience: "seen('purchase', '1d')", variants: {a: 100%}}`,
		steps: "00:00 page; 02:00 order total=1",
		want:  []string{"00:00:00 assigned c round 1 a by event"},
	},
	{
		name:      "by another system's event: the first arm stands, a second one is ignored",
		campaigns: `  - {name: c, assigned: {match: Assigned, variant: properties.variant, holdout: properties.control}, goals: [{name: g, event: purchase, within: 5h}]}`,
		steps:     "00:00 Assigned variant=x; 01:00 Assigned variant=y; 02:00 order total=1",
		want:      []string{"00:00:00 assigned c round 1 x by event", "02:00:00 converted c/g round 1 x sequence 1 by event"},
	},
	{
		name:      "by another system's event with every: rounds, the first arm",
		campaigns: `  - {name: c, every: 1h, assigned: {match: Assigned, where: "properties.total > 1", variant: properties.variant, holdout: properties.control}}`,
		steps:     "00:00 Assigned variant=x total=1; 00:00 Assigned variant=y total=2; 00:59 Assigned variant=z total=2; 01:00 Assigned variant=z total=2 control=true",
		want:      []string{"00:00:00 assigned c round 1 y by event", "01:00:00 assigned c round 2 y by event"},
	},
	{
		name:      "only JSON true is a holdout",
		campaigns: `  - {name: c, assigned: {match: Assigned, variant: properties.variant, holdout: properties.control}}`,
		steps:     `00:00 Assigned variant=x control="true"`,
		want:      []string{"00:00:00 assigned c round 1 x by event"},
	},
	{
		name:      "in the holdout by another system's event",
		campaigns: `  - {name: c, assigned: {match: Assigned, variant: properties.variant, holdout: properties.control}}`,
		steps:     `00:00 Assigned variant=x control=true`,
		want:      []string{"00:00:00 assigned c round 1 holdout in target by event"},
	},
	{
		name:      "an outcome against the window before, when the window closes",
		campaigns: `  - {name: c, audience: "seen('purchase', '1h')", variants: {a: 100%}, goals: [{name: g, event: visit, within: 2h, baseline: true}, {name: h, event: purchase, within: 2h, value: total, baseline: true}]}`,
		steps:     "00:00 page; 01:00 page; 01:59 page; 02:00 order total=5; 02:30 page; 03:00 order total=7", until: "09:00",
		want: []string{
			"02:00:00 assigned c round 1 a by event",
			"04:00:00 converted c/g round 1 a value -1 sequence 1 by deadline", "04:00:00 converted c/h round 1 a value 2 EUR sequence 1 by deadline",
		},
	},
}

// TestCampaignsByHand holds the oracle and the fold to what was worked out by hand.
func TestCampaignsByHand(t *testing.T) {
	t.Parallel()
	for _, c := range campaignCases {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			var run session
			source := fmt.Sprintf(campaignCaseHead, c.head, c.campaigns)
			if problem := run.read(source); problem != "" {
				t.Fatalf("%s\n%s", problem, source)
			}
			lines, until := c.read(t)
			var messages []oracle.Message
			for _, line := range lines {
				m, ok := oracle.Decode(line)
				if !ok {
					t.Fatalf("the oracle cannot use %s", line)
				}
				messages = append(messages, m)
			}
			if got := ofCampaigns(run.judge.Customer("u1", messages, until)); !slices.Equal(got, c.want) {
				t.Errorf("oracle:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			folded, err := fold(run.model, "u1", lines, until)
			if err != nil {
				t.Fatal(err)
			}
			if got := ofCampaigns(folded); !slices.Equal(got, c.want) {
				t.Errorf("fold:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// read makes messages of the steps.
func (c campaignCase) read(t *testing.T) (lines [][]byte, until instant.Instant) {
	t.Helper()
	at := func(s string) instant.Instant {
		if strings.Count(s, ":") == 1 {
			s += ":00"
		}
		i, ok := instant.Parse("2026-03-28T" + s + "Z")
		if !ok {
			t.Fatalf("%q is no time", s)
		}
		return i
	}
	for n, step := range strings.Split(c.steps, ";") {
		words := strings.Fields(step)
		message := fmt.Sprintf(`"userId":"u1","messageId":"m%02d","timestamp":"%s"`, n, at(words[0]))
		var members []string
		for _, w := range words[2:] {
			name, value, _ := strings.Cut(w, "=")
			if strings.ContainsAny(value[:1], "xyzEU") {
				value = `"` + value + `"`
			}
			members = append(members, fmt.Sprintf("%q:%s", name, value))
		}
		object := "{" + strings.Join(members, ",") + "}"
		switch words[1] {
		case "page":
			message += `,"type":"page"`
		case "identify":
			message += `,"type":"identify","traits":` + object
		case "order":
			message += `,"type":"track","event":"Order Completed","properties":` + object
		case "refund":
			message += `,"type":"track","event":"Order Refunded","properties":` + object
		default:
			message += `,"type":"track","event":"` + words[1] + `","properties":` + object
		}
		lines = append(lines, []byte("{"+message+"}"))
		until = max(until, at(words[0]))
	}
	if c.until != "" {
		until = at(c.until)
	}
	return lines, until
}

// ofCampaigns prints the assignments and conversions.
func ofCampaigns(r oracle.Result) []string {
	var out []string
	for _, r := range r.Records {
		arm := r.Variant
		if r.Holdout {
			arm = strings.TrimSpace("holdout "+r.Variant) + " in " + strings.Join(r.Segments, ",")
		}
		at := strings.TrimSuffix(strings.TrimPrefix(r.EffectiveAt.String(), "2026-03-28T"), "Z")
		switch r.Kind {
		case record.Assignment:
			out = append(out, fmt.Sprintf("%s assigned %s round %d %s by %s", at, r.Campaign, r.Round, arm, r.Cause.Type))
		case record.Conversion:
			value := ""
			if r.HasValue {
				value = strings.TrimRight(fmt.Sprintf(" value %s %s", r.Value, r.Currency), " ")
				if r.Occurrences != 1 {
					value += fmt.Sprintf(" of %d", r.Occurrences)
				}
			}
			if r.Unpriced > 0 {
				value += fmt.Sprintf(" and %d unpriced", r.Unpriced)
			}
			out = append(out, fmt.Sprintf("%s converted %s/%s round %d %s%s sequence %d by %s", at, r.Campaign, r.Goal, r.Round, arm, value, r.Sequence, r.Cause.Type))
		default:
		}
	}
	return out
}
