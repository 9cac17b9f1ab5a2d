// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
)

const campaignsShop = `lapwing: 1
name: shop
version: 2
currency: EUR
global_holdout: 5%
events: {purchase: {match: Order Completed, value: properties.total}}
models: [{name: value, stages: [{stage: at_risk, when: "idle('purchase', '90d')"}, {stage: new, when: "true"}]}]
campaigns:
  - name: winback
    audience: in_stage('value', 'at_risk')
    salt: pepper
    holdout: 10%
    variants: {short: {share: 45%, length: short, tone: kind}, long: {share: 45%, cost: {per: opened, amount: 0.01, fixed: 20, currency: USD}}}
    goals:
      - {name: bought, event: purchase, within: 14d, value: total, baseline: true}
      - {name: moved, when: "in_stage('value', 'new')", within: 1s}
    every: 30d
    start: 1997-02-01
    exclude: [spring]
    consent: email
    max: 3
    journey: back
    step: one
    cost: {per: delivered, amount: 0.002, fixed: 500}
    margin: 40%
  - name: spring
    assigned: {match: Campaign Assigned, variant: properties.variant}
    goals: [{name: bought, event: purchase, within: 1d}]
`

// TestCampaignsInTheDefinitionsTopic: what an activation says of campaigns is the file that
// the test of ClickHouse's views reads, too; the contract between both is this text.
func TestCampaignsInTheDefinitionsTopic(t *testing.T) {
	got, err := json.MarshalIndent(newActivation(parse(t, []byte(campaignsShop)), day0), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const file = "../schemas/topics/testdata/definition.json"
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; the record is\n%s", err, got)
	}
	if !bytes.Equal(bytes.TrimSpace(want), got) {
		t.Errorf("%s holds\n%s\nthe record is\n%s", file, want, got)
	}
}
