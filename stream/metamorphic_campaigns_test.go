// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"strings"

	"lapwing/schemas/record"
)

// campaigns are of every kind: over a stage and over an event, assigned by another
// system, with rounds, holdouts, consent and exclusion; goals of every kind, over
// windows that are met as often as the others.
func (d *metaDraw) campaigns(line func(string, ...any)) {
	w := func() string { return one(d.Rand, "2h", "6h", "1d", "36h", "3d") }
	arms := func() {
		switch d.IntN(3) {
		case 0:
			line("    holdout: 30%%\n    variants: {a: 35%%, long: {share: 35%%, length: long}}")
		case 1:
			line("    holdout: 50%%\n    variants: {a: 50%%}\n    salt: %s", one(d.Rand, "x", "y", "z"))
		default:
			line("    variants: {b: 39.75%%, a: 60.25%%}")
		}
	}
	rounds := func() {
		if d.IntN(4) > 0 {
			line("    every: %s", one(d.Rand, "1h", "2h", "6h", "1d"))
		}
		if d.IntN(4) == 0 {
			line("    max: %d", 1+d.IntN(3))
		}
	}
	if d.plan.promise != metaLate {
		// Whether a segment is left depends on who was assigned on the way.
		line("  - {name: targeted, when: assigned('winback')}")
		line("  - {name: won, when: \"converted('visitors', 'bought') || assigned('winback', 'a')\"}")
	}
	line("campaigns:")
	line("  - name: winback\n    audience: \"in_stage('value', 'at_risk') || in_stage('value', 'lost')\"")
	arms()
	rounds()
	line("    goals:")
	line("      - {name: bought, event: purchase, within: %s, value: total}", w())
	line("      - {name: up, when: \"in_stage('value', 'active') || in_stage('value', 'occasional')\", within: %s}", w())
	line("      - {name: first, event: purchase, within: %s, value: first}", w())
	line("  - name: visitors\n    audience: \"seen('visit', '%s')\"", one(d.Rand, "30m", "2h", "6h"))
	arms()
	rounds()
	line("    goals:")
	line("      - {name: bought, event: purchase, within: %s, value: total}", w())
	line("      - {name: more, event: visit, within: %s, baseline: true}", w())
	line("      - {name: spent, event: purchase, within: %s, value: total, baseline: true}", w())
	line("      - {name: returned, event: session, within: %s}", w())
	if d.IntN(2) == 0 {
		line("  - name: letters\n    audience: \"seen('purchase', '%s')\"\n    consent: email\n    exclude: [winback]", w())
		arms()
		rounds()
		line("    goals: [{name: gone, when: \"in_stage('value', 'at_risk')\", within: %s}]", w())
	}
	if d.IntN(2) == 0 {
		line("  - name: mailed\n    assigned: {match: Clicked, where: properties.n > 1, variant: properties.arm, holdout: properties.control}")
		rounds()
		line("    goals: [{name: bought, event: purchase, within: %s, value: %s}]", w(), one(d.Rand, "first", "total"))
	}
	if d.IntN(5) == 0 {
		line("global_holdout: 20%%")
	}
}

// metaTold is what the plans of a run must have come to, so that a generator that has
// gone blind shows.
var metaTold = []string{
	"assignments", "of the holdout", "further rounds", "by deadline", "by another system",
	"conversions", "with a value", "corrected",
}

// tally adds what a history says of campaigns.
func (h metaHistory) tally(told map[string]int) {
	rounds := map[string]bool{}
	for key, lines := range h {
		kind, _, _ := strings.Cut(key, " ")
		if kind != "assignments" && kind != "conversions" {
			continue
		}
		for _, line := range lines {
			r, err := record.DecodeRecord([]byte(line))
			if err != nil {
				continue // the comparison has said so
			}
			told[kind]++
			round := fmt.Sprint(r.CustomerID, r.Campaign, "/", r.Goal, r.Round)
			for what, counts := range map[string]bool{
				"of the holdout": r.Kind == record.Assignment && r.Holdout, "further rounds": r.Kind == record.Assignment && r.Round > 1,
				"by deadline": r.Kind == record.Assignment && r.Cause.Type == record.CauseDeadline, "by another system": r.Campaign == "mailed",
				"with a value": r.HasValue, "corrected": r.Kind == record.Conversion && rounds[round],
			} {
				if counts {
					told[what]++
				}
			}
			rounds[round] = true
		}
	}
}
