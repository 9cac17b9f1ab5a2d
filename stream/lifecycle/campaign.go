// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
)

// campaignDef is what a rule that is a campaign has beside its name.
type campaignDef struct {
	index    int             // of the enrolment in a state
	audience func(*eval) tri // nil: customers are assigned by messages
	written  *written
	reads    bitset            // what the audience, excluded campaigns and consent read
	excluded []int             // rules: who is assigned in one of them is no part of the audience
	consent  func(*eval) value // nil: none is needed
	assigned *assignedDef

	salt     string
	holdout  int
	variants []definition.Variant
	every    int64 // 0: once
	start    int64 // math.MinInt64: none
	end      int64 // never: none
	most     int64 // rounds; 0: no bound
	goals    []goalDef
	open     int  // rounds that can be open at once
	shown    bool // a model reads it, so that a profile depends on its deadlines
}

// assignedDef tells by which messages another system assigns.
type assignedDef struct {
	bit     int
	match   []definition.Match
	where   func(*eval) tri // nil: any
	variant func(*eval) value
	holdout func(*eval) value
}

// goalDef is one goal of a campaign.
type goalDef struct {
	name     string
	event    *eventDef       // nil: when
	when     func(*eval) tri // nil: event
	written  *written
	text     string
	within   int64
	value    definition.GoalValue
	baseline bool
	meaning  string
}

// settles reports whether the goal's outcome is known when the window closes.
func (g *goalDef) settles() bool { return g.value == definition.TotalValue || g.baseline }

// corrected reports whether a refund can correct the outcome after the close.
func (g *goalDef) corrected() bool {
	return g.value == definition.TotalValue && g.event != nil && g.event.refund != nil
}

// maxCorrected is how many rounds of a campaign whose windows have closed are kept for
// refunds that may correct them.
const maxCorrected = 64

// maxOpen is how many rounds of a campaign may be open at once.
const maxOpen = 1000

// globalSalt is what customers are hashed with to be kept out of every campaign.
const globalSalt = "global"

// bucketOf is the customer's bucket by the salt: the first 8 bytes, big endian, of
// SHA-256(salt, 0x00, customer id) mod 10,000.
func bucketOf(salt, customer string) int {
	var room [128]byte
	sum := sha256.Sum256(append(append(append(room[:0], salt...), 0), customer...))
	return int(binary.BigEndian.Uint64(sum[:8]) % definition.Buckets)
}

// arm is the arm of a bucket: from 0 on the holdout, then the variants in the order of
// the file.
func (c *campaignDef) arm(bucket int) (variant string, holdout bool) {
	if bucket < c.holdout {
		return "", true
	}
	bucket -= c.holdout
	for i := range c.variants {
		if bucket < c.variants[i].Share {
			return c.variants[i].Name.Value, false
		}
		bucket -= c.variants[i].Share
	}
	return "", false // not reached: the shares sum to all buckets
}

func (c *compiler) declareCampaigns() {
	for i := range c.def.Campaigns {
		src := &c.def.Campaigns[i]
		def := &campaignDef{
			index: i, salt: src.Salt.Value, holdout: src.Holdout, variants: src.Variants,
			every: src.Every.Milliseconds(), start: math.MinInt64, end: never, most: src.Max,
		}
		if src.Start != instant.None {
			def.start = int64(src.Start)
		}
		if src.End != instant.None {
			def.end = int64(src.End)
		}
		for k := range src.Goals {
			g := &src.Goals[k]
			def.goals = append(def.goals, goalDef{
				name: g.Name.Value, text: strings.TrimSpace(g.When.Value), within: g.Within.Milliseconds(), value: g.Value, baseline: g.Baseline,
			})
		}
		if src.Assigned != nil {
			def.assigned = &assignedDef{bit: c.nextBit(), match: src.Assigned.Match}
			c.assignedBy = true
		}
		c.campaignByName[src.Name.Value] = len(c.rules)
		c.campaigns = append(c.campaigns, len(c.rules))
		c.rules = append(c.rules, rule{name: src.Name.Value, bit: c.nextBit(), campaign: def, text: strings.TrimSpace(src.Audience.Value)})
	}
}

// compileCampaigns compiles what campaigns read; deps are by rule.
func (c *compiler) compileCampaigns(deps []map[int]bool) {
	for k, i := range c.campaigns {
		src, r := &c.def.Campaigns[k], &c.rules[i]
		def := r.campaign
		if def.assigned != nil {
			c.compileAssigned(src.Assigned, def.assigned)
			def.reads.set(def.assigned.bit)
		} else {
			def.audience = c.condition(src.Audience, scopeCondition, &def.reads, deps[i])
			def.written, r.written = c.compiled, c.compiled
		}
		for _, x := range src.Exclude {
			if other, ok := c.campaignByName[x.Value]; ok {
				def.excluded = append(def.excluded, other)
				deps[i][other] = true
				def.reads.set(c.rules[other].bit)
			}
		}
		if !src.Consent.IsZero() {
			trait := "consent_" + src.Consent.Value
			def.reads.set(c.traitBit(trait))
			def.consent = func(ev *eval) value { return ev.s.trait(trait) }
		}
		r.reads = def.reads
		longest := int64(0)
		for g := range def.goals {
			c.compileGoal(&src.Goals[g], &def.goals[g], &r.reads, deps[i])
			longest = max(longest, def.goals[g].within)
		}
		def.open = 1
		if def.every > 0 {
			def.open += int(min(longest/def.every, maxOpen))
		}
		if def.most > 0 {
			def.open = int(min(int64(def.open), def.most))
		}
		if def.open > maxOpen {
			c.problem(src.Name.Pos, "campaign %s can have more than %d rounds open at once: its goals' windows are that much longer than `every`; shorten them, lengthen `every` or set `max`",
				src.Name.Value, maxOpen)
		}
	}
}

func (c *compiler) compileAssigned(src *definition.Assigned, a *assignedDef) {
	var reads bitset
	if !src.Where.IsZero() {
		a.where = c.condition(src.Where, scopeMessage, &reads, nil)
	}
	if !src.Variant.IsZero() {
		a.variant = c.expression(src.Variant, exprCompiler{scope: scopeMessage, reads: &reads})
	}
	if !src.Holdout.IsZero() {
		a.holdout = c.expression(src.Holdout, exprCompiler{scope: scopeMessage, reads: &reads})
	}
}

func (c *compiler) compileGoal(src *definition.Goal, g *goalDef, reads *bitset, deps map[int]bool) {
	if !src.When.IsZero() {
		g.when = c.condition(src.When, scopeCondition, reads, deps)
		g.written = c.compiled
		return
	}
	e := c.eventByName[src.Event.Value]
	if e == nil {
		return // the parser has said so
	}
	g.event = e
	e.pursued = true
	reads.set(e.bit)
	if g.baseline {
		e.retain(maxKept, g.within)
		e.needsValues = e.needsValues || g.value == definition.TotalValue
	}
	if g.value != definition.NoValue && c.currencyPath < 0 {
		c.currencyPath = c.project([]string{"properties", "currency"})
		c.productsPath = c.project([]string{"properties", "products"})
	}
	if g.value == definition.TotalValue && c.def.Currency != "" {
		e.priced = true
		e.risen = e.risen || g.baseline && e.source == nil
	}
}

// findGoalMeanings settles by what a goal is told from another of its name.
func (c *compiler) findGoalMeanings() {
	for k, i := range c.campaigns {
		for g := range c.rules[i].campaign.goals {
			goal := &c.rules[i].campaign.goals[g]
			goal.meaning = fmt.Sprint(goal.within, " ", goal.value, " ", goal.baseline, " ")
			if goal.value == definition.TotalValue {
				goal.meaning += c.def.Currency + " "
			}
			switch {
			case goal.event != nil:
				goal.meaning += fmt.Sprintf("event %s %q", goal.event.name, goal.event.meaning)
			case goal.written != nil:
				goal.meaning += "when " + structure(goal.written.ast.Expr())
			default:
				goal.meaning += c.def.Campaigns[k].Goals[g].When.Value
			}
		}
	}
	for _, i := range c.modelRules {
		for _, j := range c.rules[i].closure {
			if campaign := c.rules[j].campaign; campaign != nil {
				campaign.shown = true
			}
		}
	}
}

// goal is the index of a goal of that name; -1 without.
func (c *campaignDef) goal(name string) int {
	for i := range c.goals {
		if c.goals[i].name == name {
			return i
		}
	}
	return -1
}
