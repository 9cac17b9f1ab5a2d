// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"strings"
	"testing"

	"lapwing/schemas/definition"
	"lapwing/schemas/presets"
)

// benchmarkCampaigns win back and greet, as a shop does: audiences of stages; goals of
// sales, of a rise in visits, and of another stage.
const benchmarkCampaigns = `
campaigns:
  - name: winback
    audience: in_stage('value', 'at_risk')
    holdout: 10%
    variants: {short: 45%, long: 45%}
    every: 90d
    goals:
      - {name: bought, event: purchase, within: 14d, value: total}
      - {name: moved_up, when: "in_stage('value', 'active')", within: 30d}
  - name: welcome
    audience: in_stage('value', 'new')
    holdout: 10%
    variants: {a: 90%}
    goals:
      - {name: again, event: purchase, within: 30d, value: first}
      - {name: visits, event: session, within: 14d, baseline: true}
`

// BenchmarkAcceptShopWithCampaigns is BenchmarkAcceptShop with campaigns. The bar is 15 %
// more time an event with one that wins back; the other assigns whoever buys for the
// first time, and so has as many records again, each of which costs what a change of
// stage does.
func BenchmarkAcceptShopWithCampaigns(b *testing.B) {
	source, _ := presets.Get("customer-value")
	winback, welcome, _ := strings.Cut(benchmarkCampaigns, "  - name: welcome")
	for _, c := range []struct{ name, campaigns string }{
		{"none", ""},
		{"winback", winback},
		{"both", winback + "  - name: welcome" + welcome},
	} {
		b.Run(c.name, func(b *testing.B) {
			d, problems := definition.Parse("shop.yaml", append(source[:len(source):len(source)], c.campaigns...))
			m, more := Compile(d)
			if m == nil {
				b.Fatal(problems, more)
			}
			acceptShop(b, m)
		})
	}
}
