// SPDX-License-Identifier: Apache-2.0

package definition_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
)

const day = 24 * time.Hour

// contract is the example of the contract, campaigns and all.
func contract(t testing.TB) []byte {
	t.Helper()
	source, err := os.ReadFile("testdata/contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return source
}

// mustParse fails the test on any error; warnings pass.
func mustParse(t testing.TB, source string) *definition.Definition {
	t.Helper()
	d, problems := definition.Parse("def.yaml", []byte(source))
	if d == nil {
		t.Fatalf("refused:\n%s", report(problems))
	}
	return d
}

func report(problems []definition.Problem) string {
	var b strings.Builder
	for _, p := range problems {
		kind := ""
		if p.Warning {
			kind = "warning: "
		}
		fmt.Fprintf(&b, "%d:%d: %s%s\n", p.Pos.Line, p.Pos.Column, kind, p.Message)
	}
	return b.String()
}

func values(texts []definition.Text) []string {
	var out []string
	for _, t := range texts {
		out = append(out, t.Value)
	}
	return out
}

func TestTheContractsExampleFieldByField(t *testing.T) {
	source := contract(t)
	d := mustParse(t, string(source))
	check := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s = %#v, want %#v", what, got, want)
		}
	}
	sum := sha256.Sum256(source)
	check("File", d.File, "def.yaml")
	check("Source", string(d.Source), string(source))
	check("Hash", d.Hash, hex.EncodeToString(sum[:]))
	check("Name", d.Name.Value, "customer-value")
	check("Name.Pos", d.Name.Pos, definition.Pos{Line: 2, Column: 7})
	check("Version", d.Version, int64(1))
	check("Zone", d.Zone.String(), "UTC")
	check("Currency", d.Currency, "USD")
	check("Dedupe", d.Dedupe, 7*day)
	check("Lateness", d.Lateness, time.Duration(0))
	check("AnonymousRetention", d.AnonymousRetention, 90*day)
	check("PublishFrom", d.PublishFrom, instant.None)
	check("Params", len(d.Params), 0)

	if len(d.Events) != 4 || len(d.Models) != 1 || len(d.Segments) != 2 || len(d.Messages) != 1 {
		t.Fatalf("%d events, %d models, %d segments, %d messages; want 4, 1, 2, 1", len(d.Events), len(d.Models), len(d.Segments), len(d.Messages))
	}
	purchase, visit, session, returned := d.Events[0], d.Events[1], d.Events[2], d.Events[3]
	check("purchase.Name", purchase.Name.Value, "purchase")
	check("purchase.Match", purchase.Match, []definition.Match{{Type: "track", Event: "Order Completed"}})
	check("purchase.Value", purchase.Value.Value, "properties.total")
	check("purchase.Key", purchase.Key.Value, "properties.order_id")
	check("purchase.Where", purchase.Where.IsZero(), true)
	check("purchase.From", purchase.From.IsZero(), true)
	check("purchase.Refund", purchase.Refund == nil, true)
	check("purchase.Resolution", purchase.Resolution, time.Duration(0))
	check("visit.Name", visit.Name.Value, "visit")
	check("visit.Match", visit.Match, []definition.Match{{Type: "page"}, {Type: "screen"}})
	check("session.Name", session.Name.Value, "session")
	check("session.From", session.From.Value, "visit")
	check("session.Gap", session.Gap, 30*time.Minute)
	check("session.First", session.First, true)
	check("session.Match", len(session.Match), 0)
	check("returned.From", returned.From.Value, "purchase")
	check("returned.Gap", returned.Gap, 90*day)
	check("returned.First", returned.First, false)

	m := d.Models[0]
	check("model", m.Name.Value, "value")
	var stages [][2]string
	for _, s := range m.Stages {
		stages = append(stages, [2]string{s.Name.Value, s.When.Value})
	}
	check("stages", stages, [][2]string{
		{"prospect", "never('purchase')"},
		{"lost", "idle('purchase', '365d')"},
		{"at_risk", "idle('purchase', '90d')"},
		{"active", "count('purchase', '365d') >= 2"},
		{"new", "first('purchase', '90d')"},
		{"occasional", "true"},
	})
	check("prospect.When.Pos", m.Stages[0].When.Pos, definition.Pos{Line: 15, Column: 35})
	check("lost.When.Pos, after the quote", m.Stages[1].When.Pos, definition.Pos{Line: 16, Column: 36})
	check("order", values(m.Order), []string{"prospect", "lost", "at_risk", "occasional", "new", "active"})
	check("churned", values(m.Churned), []string{"lost"})
	check("at_risk", values(m.AtRisk), []string{"at_risk"})

	check("big_spenders", d.Segments[0].Name.Value, "big_spenders")
	check("big_spenders.When", d.Segments[0].When.Value, "sum('purchase', '365d') >= 500 && !in_stage('value', 'lost')")
	check("big_spenders.By", d.Segments[0].By.IsZero(), true)
	check("country", d.Segments[1].Name.Value, "country")
	check("country.By", d.Segments[1].By.Value, "trait('country')")
	check("country.When", d.Segments[1].When.IsZero(), true)

	message := d.Messages[0]
	check("message.Match", message.Match, []definition.Match{{Type: "track", Event: "Email Delivered"}})
	check("message.Channel", message.Channel.Value, "email")
	check("message.Step", message.Step.Value, "delivered")
	check("message.Campaign", message.Campaign.Value, "properties.campaign_id")
}

func TestTheContractsCampaignsFieldByField(t *testing.T) {
	d, problems := definition.Parse("def.yaml", contract(t))
	if got, want := report(problems), ""; got != want || d == nil {
		t.Fatalf("problems:\n%swant:\n%s", got, want)
	}
	if d.CampaignsPos != (definition.Pos{Line: 27, Column: 1}) {
		t.Errorf("CampaignsPos = %v", d.CampaignsPos)
	}
	want := []string{
		"winback: audience in_stage('value', 'at_risk'), salt winback, holdout 1000, short 4500 length=short, long 4500 length=long, " +
			"bought: event purchase within 336h0m0s value total, moved_up: when in_stage('value', 'active') within 720h0m0s",
		"spring-mail: assigned [{track Campaign Assigned }] where properties.campaign_id == 'spring-mail' variant properties.variant holdout properties.control, salt spring-mail, holdout 0, " +
			"visited: event visit within 336h0m0s",
	}
	for i, c := range d.Campaigns {
		if got := campaign(c); got != want[i] {
			t.Errorf("campaign %d:\n%s\nwant\n%s", i, got, want[i])
		}
	}
}

// campaign is a campaign as one line, of what was given.
func campaign(c definition.Campaign) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:", c.Name.Value)
	if !c.Audience.IsZero() {
		fmt.Fprintf(&b, " audience %s,", c.Audience.Value)
	}
	if a := c.Assigned; a != nil {
		fmt.Fprintf(&b, " assigned %v where %s variant %s holdout %s,", a.Match, a.Where.Value, a.Variant.Value, a.Holdout.Value)
	}
	fmt.Fprintf(&b, " salt %s, holdout %d", c.Salt.Value, c.Holdout)
	for _, v := range c.Variants {
		fmt.Fprintf(&b, ", %s %d", v.Name.Value, v.Share)
		for _, p := range v.Properties {
			fmt.Fprintf(&b, " %s=%s", p.Name.Value, p.Value.Value)
		}
		if v.Cost != nil {
			fmt.Fprintf(&b, " cost per %s %d, fixed %d, %s", v.Cost.Per.Value, v.Cost.Amount, v.Cost.Fixed, v.Cost.Currency)
		}
	}
	for _, g := range c.Goals {
		fmt.Fprintf(&b, ", %s:", g.Name.Value)
		if !g.Event.IsZero() {
			fmt.Fprintf(&b, " event %s", g.Event.Value)
		}
		if !g.When.IsZero() {
			fmt.Fprintf(&b, " when %s", g.When.Value)
		}
		fmt.Fprintf(&b, " within %s", g.Within)
		if g.Value != definition.NoValue {
			fmt.Fprintf(&b, " value %s", g.Value)
		}
		if g.Baseline {
			b.WriteString(" baseline")
		}
	}
	if c.Every > 0 {
		fmt.Fprintf(&b, ", every %s", c.Every)
	}
	if !c.Start.IsNone() {
		fmt.Fprintf(&b, ", start %s", c.Start)
	}
	if !c.End.IsNone() {
		fmt.Fprintf(&b, ", end %s", c.End)
	}
	if len(c.Exclude) > 0 {
		fmt.Fprintf(&b, ", exclude %s", values(c.Exclude))
	}
	for _, f := range []struct {
		what  string
		value definition.Text
	}{{"consent", c.Consent}, {"journey", c.Journey}, {"step", c.Step}} {
		if !f.value.IsZero() {
			fmt.Fprintf(&b, ", %s %s", f.what, f.value.Value)
		}
	}
	if c.Max > 0 {
		fmt.Fprintf(&b, ", max %d", c.Max)
	}
	if c.Cost != nil {
		fmt.Fprintf(&b, ", cost per %s %d, fixed %d, %s", c.Cost.Per.Value, c.Cost.Amount, c.Cost.Fixed, c.Cost.Currency)
	}
	if c.HasMargin {
		fmt.Fprintf(&b, ", margin %d", c.Margin)
	}
	return b.String()
}

// minimal is the least definition, to which tests add lines.
const minimal = `lapwing: 1
name: least
version: 1
segments:
  - {name: all, when: "true"}
`

func TestDefaults(t *testing.T) {
	d := mustParse(t, minimal)
	if d.Zone != time.UTC || d.Currency != "" || d.Dedupe != 7*day || d.Lateness != 0 || d.AnonymousRetention != 90*day || !d.PublishFrom.IsNone() {
		t.Errorf("zone %v, currency %q, dedupe %v, lateness %v, retain %v, publish_from %v", d.Zone, d.Currency, d.Dedupe, d.Lateness, d.AnonymousRetention, d.PublishFrom)
	}
	if d.Limits != definition.DefaultLimits() {
		t.Errorf("limits %+v, want %+v", d.Limits, definition.DefaultLimits())
	}
	if d := mustParse(t, minimal+"limits: {trait_bytes: 40}\n"); d.Limits.TraitBytes != 40 || d.Limits.Traits != 1000 {
		t.Errorf("limits %+v, want 40 bytes of traits and the other defaults", d.Limits)
	}
	d = mustParse(t, minimal+"models: [{name: m, stages: [{stage: a, when: known('x')}, {stage: b, when: true}]}]\n")
	if got := values(d.Models[0].Order); !reflect.DeepEqual(got, []string{"a", "b"}) {
		t.Errorf("order = %q, want that of the stages", got)
	}
	if got := d.Models[0].Stages[1].When.Value; got != "true" {
		t.Errorf("an unquoted true is read as %q", got)
	}
}

// everything uses all that may be left out, campaigns and messages aside.
const everything = minimal + `timezone: Europe/Berlin
currency: EUR
dedupe: 0s
lateness: 15m
retain: {anonymous: 2w}
limits: {traits: 50, trait_bytes: 64KiB, held: 100, held_bytes: 1MiB, by_values: 7, favourite_values: 9}
publish_from: 2026-03-01T01:00:00.1239+01:00
params: {big: 500, share: 0.25, low: -1e2, idle: 90d, word: "7", plain: some text, on: true}
events:
  purchase:
    match: [Order Completed, {type: track, event: Sale}, {name: Home}]
    where: properties.total > 0
    value: properties.total
    key: properties.order_id
    resolution: 1h
    refund: {match: [Order Refunded, Order Cancelled], value: properties.total, key: properties.order_id}
  whole: {match: 404, key: properties.id, refund: {match: {type: void}, key: properties.id}}
  again: {from: purchase, gap: 1h, resolution: 1h}
  later: {from: again, gap: 3660d, first: true}
`

// campaigns uses all that a campaign may leave out.
const campaigns = minimal + `currency: USD
global_holdout: 2.5%
events: {purchase: {match: Order Completed}, visit: {match: {type: page}}}
campaigns:
  - name: a
    audience: in_segment('all')
    salt: 7
    variants: {x: 33.33%, y: {share: 66.67%, tone: warm, length: 2, urgent: true}}
    goals:
      - {name: bought, event: purchase, within: 14d, value: first}
      - {name: more, event: visit, within: 2w, baseline: true}
      - {name: spent, event: purchase, within: 2w, value: total, baseline: true}
    every: 30d
    start: 2026-03-01
    end: 2026-04-01T00:00:00+02:00
    exclude: [b]
    consent: email
    max: 3
    journey: spring
    step: "1"
    cost: {per: delivered, amount: 0.002, fixed: 500, currency: EUR}
    margin: 40%
  - name: b
    assigned: {match: [Campaign Assigned, {type: group}]}
    variants: {x: {share: 50%, cost: {per: sent, amount: 0.06}}, y: {share: 50.0%, cost: cheap}}
    cost: {fixed: 1}
`

func TestAllThatACampaignMayHave(t *testing.T) {
	d := mustParse(t, campaigns)
	if d.GlobalHoldout != 250 || d.GlobalHoldoutPos != (definition.Pos{Line: 7, Column: 1}) {
		t.Errorf("global_holdout %d at %v", d.GlobalHoldout, d.GlobalHoldoutPos)
	}
	want := []string{
		"a: audience in_segment('all'), salt 7, holdout 0, x 3333, y 6667 tone=warm length=2 urgent=true, " +
			"bought: event purchase within 336h0m0s value first, more: event visit within 336h0m0s baseline, spent: event purchase within 336h0m0s value total baseline, " +
			"every 720h0m0s, start 2026-03-01T00:00:00Z, end 2026-03-31T22:00:00Z, exclude [b], consent email, journey spring, step 1, max 3, cost per delivered 20, fixed 5000000, EUR, margin 4000",
		"b: assigned [{track Campaign Assigned } {group  }] where  variant  holdout , salt b, holdout 0, x 5000 cost per sent 600, fixed 0, USD, y 5000 cost=cheap, cost per  0, fixed 10000, USD",
	}
	for i, c := range d.Campaigns {
		if got := campaign(c); got != want[i] {
			t.Errorf("campaign %d:\n%s\nwant\n%s", i, got, want[i])
		}
	}
}

// accepted are definitions that are fine.
var accepted = []string{
	minimal,
	everything,
	campaigns,
	minimal + "campaigns: [{name: c, audience: x, variants: {a: 100%}, cost: {per: sent, amount: 0}}]\n",
	minimal + "campaigns: [{name: c, audience: x, holdout: 100%, variants: {a: 0%}}]\n",
	minimal + "messages: [{match: A, channel: email, step: opened, campaign: properties.c, machine: properties.bot}]\n",
	minimal + "publish_from: 2026-03-01\n",
	minimal + "sessions: {gap: 1h}\naggregates: {by: [all], close_after: 7d}\n",
	minimal + "aggregates: {close_after: 1w}\n",
	minimal + "traits: {age: number, email: text, vip: bool, Renewal Date: time, tags: list}\n",
	minimal + "models: [{name: m, stages: [{stage: a, when: known('x')}, {stage: b, when: true}]}]\n",
}

func TestSessionsAndAggregates(t *testing.T) {
	d, problems := definition.Parse("def.yaml", []byte(minimal))
	if len(problems) > 0 || d.SessionGap != 30*time.Minute || d.Aggregates.CloseAfter != 35*24*time.Hour || d.Aggregates.By != nil {
		t.Errorf("by default: %s%v, %+v", report(problems), d.SessionGap, d.Aggregates)
	}
	d, problems = definition.Parse("def.yaml", []byte(minimal+"sessions: {gap: 1h}\naggregates: {by: [all], close_after: 7d}\n"))
	if len(problems) > 0 || d.SessionGap != time.Hour || d.Aggregates.CloseAfter != 7*24*time.Hour || len(d.Aggregates.By) != 1 || d.Aggregates.By[0].Value != "all" {
		t.Errorf("as set: %s%v, %+v", report(problems), d.SessionGap, d.Aggregates)
	}
}

func TestTypesOfTraits(t *testing.T) {
	d := mustParse(t, minimal+"traits: {age: number, email: text, vip: bool, Renewal Date: time, tags: list}\n")
	var got []string
	for _, trait := range d.Traits {
		got = append(got, fmt.Sprintf("%s %s %v", trait.Name.Value, trait.Type, trait.Name.Pos))
	}
	want := []string{"age number {6 10}", "email text {6 23}", "vip bool {6 36}", "Renewal Date time {6 47}", "tags list {6 67}"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("traits = %q, want %q", got, want)
	}
}

func TestEverythingOptional(t *testing.T) {
	d := mustParse(t, everything)
	if d.Zone.String() != "Europe/Berlin" || d.Currency != "EUR" || d.Dedupe != 0 || d.Lateness != 15*time.Minute || d.AnonymousRetention != 14*day {
		t.Errorf("zone %v, currency %q, dedupe %v, lateness %v, retain %v", d.Zone, d.Currency, d.Dedupe, d.Lateness, d.AnonymousRetention)
	}
	if want := (definition.Limits{Traits: 50, TraitBytes: 64 << 10, Held: 100, HeldBytes: 1 << 20, ByValues: 7, FavouriteValues: 9}); d.Limits != want || d.LimitsPos == (definition.Pos{}) {
		t.Errorf("limits %+v at %v, want %+v", d.Limits, d.LimitsPos, want)
	}
	if got := d.PublishFrom.String(); got != "2026-03-01T00:00:00.123Z" {
		t.Errorf("publish_from = %s: cut to the millisecond, in UTC", got)
	}
	var params []string
	for _, p := range d.Params {
		params = append(params, fmt.Sprintf("%s=%s %t", p.Name.Value, p.Value.Value, p.IsString))
	}
	if want := []string{"big=500 false", "share=0.25 false", "low=-1e2 false", "idle=90d true", "word=7 true", "plain=some text true", "on=true false"}; !reflect.DeepEqual(params, want) {
		t.Errorf("params = %q, want %q", params, want)
	}
	e := d.Events[0]
	if want := []definition.Match{{Type: "track", Event: "Order Completed"}, {Type: "track", Event: "Sale"}, {Name: "Home"}}; !reflect.DeepEqual(e.Match, want) {
		t.Errorf("match = %+v, want %+v", e.Match, want)
	}
	if e.Where.Value != "properties.total > 0" || e.Resolution != time.Hour {
		t.Errorf("where %q, resolution %v", e.Where.Value, e.Resolution)
	}
	if e.Refund == nil || e.Refund.Value.Value != "properties.total" || e.Refund.Key.Value != "properties.order_id" || len(e.Refund.Match) != 2 {
		t.Errorf("refund = %+v", e.Refund)
	}
	if w := d.Events[1]; w.Refund == nil || !w.Refund.Value.IsZero() || w.Match[0].Event != "404" || w.Refund.Match[0].Type != "void" {
		t.Errorf("whole = %+v", w)
	}
	if d.Events[2].Resolution != time.Hour || d.Events[3].Gap != 3660*day || !d.Events[3].First {
		t.Errorf("again = %+v, later = %+v", d.Events[2], d.Events[3])
	}
}

func TestDateAloneIsMidnightUTC(t *testing.T) {
	if got := mustParse(t, minimal+"publish_from: 2026-03-01\n").PublishFrom.String(); got != "2026-03-01T00:00:00Z" {
		t.Errorf("publish_from = %s", got)
	}
}

func TestByteOrderMarkAndLineEndsAreFine(t *testing.T) {
	source := string(contract(t))
	want := mustParse(t, source)
	for name, changed := range map[string]string{
		"BOM":          "\ufeff" + source,
		"CRLF":         strings.ReplaceAll(source, "\n", "\r\n"),
		"BOM and CRLF": "\ufeff" + strings.ReplaceAll(source, "\n", "\r\n"),
		"CR":           strings.ReplaceAll(source, "\n", "\r"),
		"no last line": strings.TrimRight(source, "\n"),
		"document":     source + "...\n",
	} {
		got := mustParse(t, changed)
		for i, s := range got.Models[0].Stages {
			w := want.Models[0].Stages[i]
			if s.When.Value != w.When.Value || s.When.Pos != w.When.Pos {
				t.Errorf("%s: stage %s: %q at %v, want %q at %v", name, w.Name.Value, s.When.Value, s.When.Pos, w.When.Value, w.When.Pos)
			}
		}
		if got.Hash == want.Hash && changed != source {
			t.Errorf("%s: the hash is that of other bytes", name)
		}
	}
}

// where finds the places of characters of a condition in the file.
func TestPlacesInConditions(t *testing.T) {
	for _, c := range []struct {
		name, written, value string
		marks                string // each of these characters of value must be found at its place
	}{
		{"plain", `when: seen(é, b) == Q`, "seen(é, b) == Q", "sbQ"},
		{"single quotes", `when: 'seen(''a'') == Q'`, "seen('a') == Q", "sQ"},
		{"double quotes", `when: "seen(\"a\", \x61\u00e9\U0001F600) == Q"`, "seen(\"a\", aé😀) == Q", "sQ"},
		{"surrogates", `when: "\uD83D\uDE00 == Q"`, "😀 == Q", "Q"},
		{"blanks", `when: "   seen == Q  "`, "seen == Q", "sQ"},
		{"folded plain", "when: seen(a)\n      && Q", "seen(a) && Q", "s&Q"},
		{"folded quoted", "when: \"seen(a)  \n\n      && Q\"", "seen(a)\n&& Q", "s&Q"},
		{"joined", "when: \"seen(a) \\\n      && Q\"", "seen(a) && Q", "s&Q"},
		{"literal", "when: |\n      seen(a)\n        && b\n      && Q\n", "seen(a)\n  && b\n&& Q", "sbQ"},
		{"literal after a blank line", "when: |-\n\n      seen(a)\n      Q", "seen(a)\nQ", "sQ"},
		{"folded block", "when: >-\n      seen(a)\n      && Q\n", "seen(a) && Q", "s&Q"},
		{"folded block, kept", "when: >+ # why\n      seen(a)\n\n      && Q\n\n", "seen(a)\n&& Q", "s&Q"},
	} {
		t.Run(c.name, func(t *testing.T) {
			source := "lapwing: 1\nname: n\nversion: 1\nsegments:\n  - name: s\n    " + c.written + "\n"
			d := mustParse(t, source)
			when := d.Segments[0].When
			if when.Value != c.value {
				t.Fatalf("value = %q, want %q", when.Value, c.value)
			}
			lines := strings.Split(source, "\n")
			for _, mark := range c.marks {
				offset := len([]rune(c.value[:strings.IndexRune(c.value, mark)]))
				pos := when.At(offset)
				line := []rune(lines[pos.Line-1])
				if pos.Column > len(line) || line[pos.Column-1] != mark {
					t.Errorf("%q, character %d, is said to stand at %v in\n%s", mark, offset, pos, source)
				}
			}
			runes := []rune(c.value)
			for offset := range runes {
				pos := when.At(offset)
				if offset > 0 && pos == when.At(offset-1) {
					continue // within a fold
				}
				if back, ok := when.Offset(pos); !ok || back != offset {
					t.Errorf("character %d stands at %v, where character %d is said to stand (%t)", offset, pos, back, ok)
				}
				from, width := when.Span(offset, len(runes))
				if line := []rune(lines[pos.Line-1]); from != pos || width < 1 && !strings.ContainsRune(" \n", runes[offset]) || pos.Column-1+width > len(line) {
					t.Errorf("from character %d on it is said to take %d characters at %v of\n%s", offset, width, from, string(line))
				}
			}
			if when.At(0) != when.Pos {
				t.Errorf("At(0) = %v, Pos = %v", when.At(0), when.Pos)
			}
			if end := when.At(1 << 20); end.Line < when.Pos.Line {
				t.Errorf("beyond the end: %v", end)
			}
		})
	}
	hand := definition.Text{Value: "abc", Pos: definition.Pos{Line: 2, Column: 5}}
	if got := hand.At(2); got != (definition.Pos{Line: 2, Column: 7}) {
		t.Errorf("a text made by hand: At(2) = %v", got)
	}
}
