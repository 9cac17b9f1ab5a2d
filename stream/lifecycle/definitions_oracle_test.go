// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"lapwing/schemas/instant"
)

// The random definitions below are kept small on purpose: few events, windows and
// names, so that they meet often.

// sampleEvent is one line of `events`.
type sampleEvent struct{ name, yaml string }

// sampleItem is a model (stages) or a segment (when or by).
type sampleItem struct {
	name   string
	stages []string // conditions, the last one true; stages are called s0, s1, …
	when   string
	by     string
}

// sampleCampaign is a campaign: its fields but for the name, and its goals.
type sampleCampaign struct {
	name          string
	fields, goals []string
}

// sampleDefinition is a definition that can be printed, and made smaller.
type sampleDefinition struct {
	head      []string // lines
	events    []sampleEvent
	models    []sampleItem
	segments  []sampleItem
	campaigns []sampleCampaign
}

func (d *sampleDefinition) yaml() string {
	var b strings.Builder
	b.WriteString("lapwing: 1\nname: sample\nversion: 3\ncurrency: EUR\n")
	for _, line := range d.head {
		b.WriteString(line + "\n")
	}
	b.WriteString("events:\n")
	for _, e := range d.events {
		fmt.Fprintf(&b, "  %s: %s\n", e.name, e.yaml)
	}
	b.WriteString("models:\n")
	for _, m := range d.models {
		fmt.Fprintf(&b, "  - name: %s\n    stages:\n", m.name)
		for i, when := range m.stages {
			fmt.Fprintf(&b, "      - {stage: s%d, when: %s}\n", i, strconv.Quote(when))
		}
	}
	if len(d.segments) > 0 {
		b.WriteString("segments:\n")
	}
	for _, s := range d.segments {
		if s.by != "" {
			fmt.Fprintf(&b, "  - {name: %s, by: %s}\n", s.name, strconv.Quote(s.by))
		} else {
			fmt.Fprintf(&b, "  - {name: %s, when: %s}\n", s.name, strconv.Quote(s.when))
		}
	}
	if len(d.campaigns) > 0 {
		b.WriteString("campaigns:\n")
	}
	for _, c := range d.campaigns {
		fmt.Fprintf(&b, "  - name: %s\n", c.name)
		for _, f := range c.fields {
			b.WriteString("    " + f + "\n")
		}
		if len(c.goals) > 0 {
			b.WriteString("    goals:\n")
		}
		for _, g := range c.goals {
			b.WriteString("      - " + g + "\n")
		}
	}
	return b.String()
}

// sampler draws definitions and messages from one seed.
type sampler struct {
	*rand.Rand
	events  []string // names defined so far
	amounts []string // those with a value
	models  []sampleItem
	named   []string // segments that in_segment may name
	reached []string // conditions on campaigns defined so far
	start   instant.Instant
	bias    int // a kind of message that is frequent
}

func newSampler(seed uint64) *sampler {
	s := &sampler{Rand: rand.New(rand.NewPCG(seed, 1997)), start: sampleStart}
	if s.chance(6) {
		s.start = pick(s, instant.Min, instant.Max.Add(-40*24*time.Hour))
	}
	return s
}

func pick[T any](s *sampler, from ...T) T { return from[s.IntN(len(from))] }

func (s *sampler) chance(percent int) bool { return s.IntN(100) < percent }

// sampleWindows are few and close to each other's sums; 59m is no multiple of an hour.
var sampleWindows = []string{"59m", "1h", "2h", "6h", "24h", "1d", "36h", "2d", "3d", "1w"}

func (s *sampler) window() string {
	if s.chance(3) {
		return "'3660d'" // the longest
	}
	return "'" + pick(s, sampleWindows...) + "'"
}

func (s *sampler) event() string { return "'" + pick(s, s.events...) + "'" }

func (s *sampler) definition() *sampleDefinition {
	d := &sampleDefinition{}
	d.head = append(d.head, "timezone: "+pick(s, "UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/New_York"))
	if s.chance(40) {
		d.head = append(d.head, "dedupe: "+pick(s, "0s", "1h", "1d", "2d"))
	}
	if s.chance(30) {
		d.head = append(d.head, "lateness: "+pick(s, "1h", "6h", "1d"))
	}
	if s.chance(40) {
		d.head = append(d.head, "retain: {anonymous: "+pick(s, "6h", "1d", "3d")+"}")
	}
	if s.chance(15) {
		d.head = append(d.head, "publish_from: "+pick(s, "2026-03-29", "2026-03-30T12:00:00Z"))
	}
	if s.chance(50) {
		d.head = append(d.head, "traits: {age: number, since: time, vip: bool, nick: text, tags: list}")
	}
	d.head = append(d.head, `params: {gap: 1d, enough: 2, floor: 12.34505, tier: "gold"}`)
	s.sampleEvents(d)
	for i := range 1 + s.IntN(3) {
		if s.chance(20) {
			s.campaign(d)
		}
		m := sampleItem{name: fmt.Sprintf("m%d", i)}
		for range 1 + s.IntN(4) {
			m.stages = append(m.stages, s.condition(2))
		}
		m.stages = append(m.stages, "true")
		d.models = append(d.models, m)
		s.models = append(s.models, m)
		if s.chance(40) {
			s.segment(d)
		}
	}
	for range s.IntN(3) {
		s.segment(d)
	}
	for range s.IntN(3) {
		s.campaign(d)
	}
	if s.chance(40) {
		s.segment(d)
	}
	if s.chance(15) {
		d.head = append(d.head, "global_holdout: "+pick(s, "5%", "50%", "99.99%"))
	}
	if s.chance(30) { // what is read stands behind its reader
		slices.Reverse(d.models)
		slices.Reverse(d.segments)
	}
	return d
}

func (s *sampler) segment(d *sampleDefinition) {
	g := sampleItem{name: fmt.Sprintf("g%d", len(d.segments))}
	if s.chance(25) {
		g.by = pick(s, "trait('country')", "trait('country')", "trait('tier')", "trait('group')",
			"known('tier') ? trait('tier') : 'none'", "in_stage('m0', 's0') ? 'gold' : trait('country')", "count('purchase', '2d') > 1",
			"sum('purchase', '1d') * 1.5", "seen('visit', '6h') ? 5 : 5.5", s.favourite(), s.favourite(),
			"trait('age')", "trait('since')", "trait('vip')", "trait('nick')")
		s.named = append(s.named, g.name+"=FR", g.name+"=gold", g.name+"=5")
	} else {
		g.when = s.condition(2)
		s.named = append(s.named, g.name)
	}
	d.segments = append(d.segments, g)
}

func (s *sampler) sampleEvents(d *sampleDefinition) {
	add := func(name, yaml string) {
		d.events = append(d.events, sampleEvent{name, yaml})
		s.events = append(s.events, name)
	}
	where := func(percent int) string {
		if !s.chance(percent) {
			return ""
		}
		return ", where: " + strconv.Quote(s.where())
	}
	coarse := func() string {
		if s.chance(25) {
			return ", resolution: 1h"
		}
		return ""
	}
	purchase := "{match: Order Completed, value: " + strconv.Quote(s.amount()) + where(15) + coarse()
	if s.chance(60) {
		purchase += ", key: properties.order_id"
		if s.chance(60) {
			purchase += ", refund: {match: [Order Refunded, Order Cancelled], key: properties.order_id"
			if s.chance(60) {
				purchase += ", value: properties.total"
			}
			purchase += "}"
		}
	}
	add("purchase", purchase+"}")
	s.amounts = []string{"purchase"}
	add("visit", "{match: [{type: page}, {type: screen, name: Home}]"+where(30)+coarse()+"}")
	if s.chance(50) {
		add("click", "{match: [Clicked, Order Completed], value: properties.n"+where(60)+coarse()+"}")
		s.amounts = append(s.amounts, "click")
	}
	if s.chance(30) {
		add("signup", pick(s, "{match: {type: identify}", "{match: [{type: group}, {type: identify}]",
			"{match: {type: identify}, where: has(traits.tier)", "{match: [{type: track, event: Clicked}, {type: alias}]")+"}")
	}
	if s.chance(60) {
		add("session", "{from: visit, gap: "+pick(s, "30m", "1h", "2h")+pick(s, "", ", first: false")+"}")
	}
	if s.chance(50) {
		add("returned", "{from: purchase, gap: "+pick(s, "1h", "1d")+", first: "+pick(s, "true", "false")+"}")
		if s.chance(40) {
			add("revived", "{from: returned, gap: "+pick(s, "2h", "1d")+pick(s, "", ", first: false")+"}")
		}
	}
	if s.chance(20) {
		slices.Reverse(d.events)
	}
}

// amount is a `value`.
func (s *sampler) amount() string {
	return pick(s, "properties.total", "properties.total", "properties.total",
		"properties.total * properties.n", "properties.total / 3", "properties.total - properties.n",
		"has(properties.n) ? properties.total * 1.19 : properties.total", "-properties.total",
		"(properties.total + 0.00005) / properties.n")
}

// where is a condition over a message.
func (s *sampler) where() string {
	if s.chance(20) {
		form := pick(s, "!(%s)", "(%s) || has(properties.coupon)", "(%s) && properties.n != 2", "properties.n > 1 ? (%s) : true")
		return fmt.Sprintf(form, s.where())
	}
	return pick(s,
		"properties.total > 10", "properties.total * 1.1 >= 11", "properties.n + 1 == 3", "properties.n in [1, 2]",
		"properties.channel == 'web'", "properties.channel != 'web'", "properties.channel in ['web', 'app']",
		"properties.channel.matches('^w')", "properties.channel.contains('e') && properties.channel.endsWith('b')",
		"has(properties.coupon)", "!has(properties.coupon)", "has(properties.coupon.code)",
		"properties.items.exists(i, i.price > 10)", "properties.items.exists(i, i.sku == 'a' && i.price > 6)", "!properties.items.exists(i, i.sku == 'a')", "properties.items.all(i, i.price > 5)",
		"properties.items.exists_one(i, has(i.sku))", "properties.items.exists_one(i, i.price > 10)",
		"size(properties.items.filter(i, i.price > 5)) == 1", "size(properties.items) > 1",
		"properties.items.filter(i, has(i.sku)).size() >= 1", "properties.items.map(i, i.price).exists(p, p < 6)",
		"at.getHours() < 12", "local.getHours() >= 12", "local.getHours() >= 5 && local.getHours() < 10", "!(local.getHours() >= 5)", "at.getDayOfWeek() == 0", "at.getDate() > 28 && at.getMonth() == 2",
		"local.getDayOfWeek() == at.getDayOfWeek()", "at.getMinutes() == 45 || at.getMilliseconds() == 999",
		"event in ['Clicked', 'Order Completed']", "name.startsWith('Ho')", "userId == 'ada'", "anonymousId == 'eve'",
		"context.locale.startsWith('de')", "context.app.beta", "traits.tier == 'gold'", "properties.total < properties.n",
		"properties.total >= params.floor", "properties.coupon == params.tier", "'x' in properties.tags",
	)
}

// condition is a `when`.
func (s *sampler) condition(depth int) string {
	if depth > 0 && s.chance(35) {
		switch s.IntN(5) {
		case 0:
			return "!(" + s.condition(depth-1) + ")"
		case 1, 2:
			return "(" + s.condition(depth-1) + ") && (" + s.condition(depth-1) + ")"
		case 3:
			return "(" + s.condition(depth-1) + ") || (" + s.condition(depth-1) + ")"
		default:
			return "(" + s.condition(depth-1) + ") ? (" + s.condition(0) + ") : (" + s.condition(0) + ")"
		}
	}
	if s.chance(25) && len(s.models)+len(s.named) > 0 {
		return s.reference()
	}
	if s.chance(15) && len(s.reached) > 0 {
		return pick(s, s.reached...)
	}
	switch s.IntN(23) {
	case 21, 22: // of traits that may be declared
		return pick(s, "trait('age') >= 18", "trait('age') + 0.5 > 18", "trait('age') in [17, 18]", "-trait('age') != -18", "known('age')",
			"trait('since') <= timestamp('2026-03-29')", "trait('since') > timestamp('2026-03-30T06:00:00Z')", "trait('since') == timestamp('2026-03-29')",
			"trait('since').getHours() < 12", "trait('since').getDayOfWeek() == 0", "due('since', '1d')", "known('since')",
			"trait('vip')", "!trait('vip')", "trait('vip') == true", "trait('vip') || known('vip')", "trait('vip') ? anonymous() : known('nick')",
			"trait('nick') == 'gold'", "trait('nick').startsWith('g')", "size(trait('nick')) > 3", "trait('nick') + '!' == 'gold!'", "trait('nick') < 'h'",
			"'a' in trait('tags')", "size(trait('tags')) == 2", "known('tags')", "trait('tags')[0] == 'a'")
	case 20:
		return fmt.Sprintf(pick(s, "%s == 'web'", "%s == 'web'", "%s != 'o1'", "%s in ['5', '2', 'app']", "%s.startsWith('w')", "%s < 'o2'", "!(%s > 'a')"), s.favourite())
	case 18:
		return pick(s, "idle", "idle", "seen") + "(" + s.event() + ", " + s.rhythm() + ")"
	case 19:
		return s.rhythm() + pick(s, " >= ", " > ", " < ", " <= ", " == ", " != ") + pick(s, s.rhythm(), s.window(), "'0s'", "params.gap")
	case 14:
		return s.number(0) + pick(s, " > ", " == ", " <= ") + s.number(0)
	case 15:
		return s.number(0) + pick(s, " in [1, 2.5, 3]", " in [0, 10.5, params.enough]")
	case 16:
		return pick(s, "known('tier')", "seen("+s.event()+", "+s.window()+")") + pick(s, " == ", " != ") + pick(s, "anonymous()", "trait('country') == 'FR'")
	case 17:
		return "idle(" + s.event() + ", " + s.window() + ")"
	case 0:
		return "never(" + s.event() + ")"
	case 1:
		return "idle(" + s.event() + ", " + pick(s, s.window(), s.window(), "params.gap") + ")"
	case 2:
		return "seen(" + s.event() + ", " + s.window() + ")"
	case 3:
		return "first(" + s.event() + ", " + s.window() + ")"
	case 4:
		return "after(" + s.event() + ", " + s.event() + ")"
	case 5:
		return pick(s, "trait('country') == 'FR'", "trait('tier') in ['gold', 5]", "trait('country') != 'DE'",
			"trait('score') >= 1.5", "known('country')", "known('group')", "!known('tier')", "trait('tier').startsWith('go')",
			"trait('score') * 2 > 3", "trait('country').contains('R')", "size(trait('tier')) == 4", "trait('score') > trait('tier')",
			"'5' in ['5', trait('country')]", "trait('country') + '!' == 'FR!'", "-trait('score') <= -1.5", "trait('tier') == params.tier", "trait('group') == 'acme'")
	case 6:
		return "anonymous()"
	case 7, 8:
		return "due('" + pick(s, "birthday", "renewal") + "', '" + pick(s, "0d", "-1d", "-36h", "2h", "1d") + "')"
	default:
		return s.number(depth) + pick(s, " >= ", " > ", " < ", " <= ", " == ", " != ") + s.literal()
	}
}

func (s *sampler) literal() string {
	return pick(s, "0", "1", "2", "2", "3", "4", "10.5", "20", "21.0001", "params.enough", "params.floor", "0.3333", "-1")
}

// number is a numeric expression.
func (s *sampler) number(depth int) string {
	if depth > 0 && s.chance(20) {
		return "(" + s.number(depth-1) + pick(s, " + ", " - ", " * ", " / ") + pick(s, s.number(depth-1), "3", "0.5") + ")"
	}
	value := "'" + pick(s, s.amounts...) + "'"
	switch s.IntN(11) {
	case 10:
		return "count_since(" + s.event() + ", " + s.event() + ")"
	case 0:
		return "count(" + s.event() + ")"
	case 1, 2:
		return "count(" + s.event() + ", " + s.window() + ")"
	case 3:
		return pick(s, "sum", "avg", "min", "max") + "(" + value + ")"
	case 4, 5:
		return pick(s, "sum", "avg", "min", "max") + "(" + value + ", " + s.window() + ")"
	case 6:
		return "days(" + s.event() + ", " + s.window() + ")"
	case 7:
		return "unique(" + s.event() + ", '" + pick(s, "channel", "order_id", "n", "tags", "total") + "', " + s.window() + ")"
	default:
		return "count_from(" + s.event() + ", " + s.event() + ", " + s.window() + ")"
	}
}

// favourite is the value of a property that an event has most.
func (s *sampler) favourite() string {
	call := "favourite(" + s.event() + ", '" + pick(s, "channel", "channel", "order_id", "n", "tags", "coupon") + "'"
	if s.chance(60) {
		call += ", " + s.window()
	}
	return call + ")"
}

// rhythm is a duration that is the customer's own.
func (s *sampler) rhythm() string {
	return fmt.Sprintf(pick(s, "rhythm(%s)", "rhythm(%s)", "2 * rhythm(%s)", "rhythm(%s) * 0.5", "0.3333 * rhythm(%s)", "params.enough * rhythm(%s)",
		"1000000 * rhythm(%s)", "rhythm(%s) * 0.0001"), s.event())
}

func (s *sampler) reference() string {
	if len(s.named) > 0 && (len(s.models) == 0 || s.chance(30)) {
		return "in_segment('" + pick(s, s.named...) + "')"
	}
	m := pick(s, s.models...)
	stage := fmt.Sprintf("s%d", s.IntN(len(m.stages)))
	if s.chance(40) {
		return "in_stage('" + m.name + "', '" + stage + "')"
	}
	return "stage_for('" + m.name + "', '" + stage + "', " + s.window() + ")"
}
