// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math/big"
	"slices"

	"github.com/google/cel-go/common/ast"

	"lapwing/schemas/decimal"
	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// campaign is a campaign with its expressions as trees; nil: left out.
type campaign struct {
	def                               *definition.Campaign
	audience, where, variant, holdout ast.Expr
	whens                             []ast.Expr // of the goals
}

// membership is a customer in a campaign.
type membership struct {
	in     bool // whether the audience held when it was last looked at
	looked bool // whether it was at the last evaluation
	rounds []assigned
}

// assigned is one assignment and what came of it.
type assigned struct {
	at       instant.Instant
	arm      arm
	stages   []record.StageAt
	segments []string
	goals    []progress // as the definition has them
}

// arm is what a customer is given: a variant, or none in the holdout.
type arm struct {
	variant string
	holdout bool
}

// progress is how far a round has come to a goal.
type progress struct {
	converted bool
	over      bool       // this round's goal no more
	holds     bool       // the goal's `when`, when it was last looked at
	within    []*Message // whose occurrences the window has
	before    []*Message // likewise the window before the assignment
	value     *big.Rat   // of the last record; nil: none
	currency  string     // likewise
	unpriced  int64      // of within: those with money of another currency
	worthOf   int        // likewise: occurrences in the value
}

// told is a conversion, or an assignment if goal is -1, of one evaluation.
type told struct {
	campaign    *campaign
	round, goal int
}

// equal compares with the standing before: what is not looked at is no change.
func (m membership) equal(before membership) bool {
	return (m.in == before.in || !m.looked) && slices.EqualFunc(m.rounds, before.rounds, func(a, b assigned) bool {
		return slices.EqualFunc(a.goals, b.goals, func(a, b progress) bool { return a.converted == b.converted && a.holds == b.holds })
	})
}

func (m membership) clone() membership {
	m.rounds = slices.Clone(m.rounds)
	for i := range m.rounds {
		m.rounds[i].goals = slices.Clone(m.rounds[i].goals)
	}
	return m
}

// bucket is the first 8 bytes, big endian, of SHA-256(salt, 0x00, customer id) mod 10,000.
func bucket(salt, customer string) int {
	sum := sha256.Sum256([]byte(salt + "\x00" + customer))
	return int(binary.BigEndian.Uint64(sum[:8]) % 10_000)
}

// armOf is the holdout from bucket 0 on, then the variants in the order of the file.
func (c *campaign) armOf(customer string) arm {
	salt := c.def.Salt.Value
	if salt == "" {
		salt = c.def.Name.Value
	}
	b := bucket(salt, customer)
	if b < c.def.Holdout {
		return arm{holdout: true}
	}
	b -= c.def.Holdout
	for _, v := range c.def.Variants {
		if b < v.Share {
			return arm{variant: v.Name.Value}
		}
		b -= v.Share
	}
	return arm{}
}

// campaign evaluates one campaign: its goals, then who is assigned.
func (v view) campaign(c *campaign) {
	name := c.def.Name.Value
	m := v.standing.campaigns[name]
	for r := range m.rounds {
		for g := range c.def.Goals {
			if v.goal(c, &m.rounds[r], g) {
				v.standing.reached[name+"/"+c.def.Goals[g].Name.Value] = true
				*v.told = append(*v.told, told{c, r, g})
			}
		}
	}
	v.standing.campaigns[name] = m // converted() is true from the record on
	if v.assigns(c, &m) {
		r := assigned{at: v.now, goals: make([]progress, len(c.def.Goals))}
		switch {
		case c.def.Assigned == nil && len(m.rounds) == 0:
			r.arm = c.armOf(v.standing.customer)
		case len(m.rounds) > 0: // the first arm stands
			r.arm = m.rounds[0].arm
		default:
			r.arm = v.message.assigned[name]
		}
		for g, when := range c.whens {
			r.goals[g].holds = when != nil && v.scope().eval(when).holds()
			if goal := &c.def.Goals[g]; goal.Baseline {
				r.goals[g].before = v.before(goal, &r, &r.goals[g])
			}
		}
		m.rounds = append(m.rounds, r)
		*v.told = append(*v.told, told{c, len(m.rounds) - 1, -1})
	}
	v.standing.campaigns[name] = m
}

// assigns reports whether the customer is assigned now, and remembers whether the
// audience holds, for as long as that may come to something.
func (v view) assigns(c *campaign, m *membership) bool {
	o, def := v.oracle, c.def
	m.looked = false
	if def.Assigned != nil {
		m.in = false // there is no audience to be in
	}
	switch {
	case def.Start != instant.None && v.now < def.Start, def.End != instant.None && v.now >= def.End,
		len(m.rounds) > 0 && def.Every == 0, def.Max > 0 && int64(len(m.rounds)) >= def.Max:
		m.in = false
		return false
	}
	comes := false
	if def.Assigned != nil {
		if v.message != nil {
			_, comes = v.message.assigned[def.Name.Value]
		}
	} else {
		in := v.scope().eval(c.audience).holds()
		for _, x := range def.Exclude {
			in = in && len(v.standing.campaigns[x.Value].rounds) == 0
		}
		if def.Consent.Value != "" {
			consents := v.trait("consent_" + def.Consent.Value)
			in = in && consents.kind == boolean && consents.truth
		}
		comes = in && !m.in
		m.in, m.looked = in, true
	}
	if o.def.PublishFrom != instant.None && v.now < o.def.PublishFrom {
		return false // nobody is assigned out of the past
	}
	if bucket("global", v.standing.customer) < o.def.GlobalHoldout {
		return false
	}
	return comes && (len(m.rounds) == 0 || v.now >= m.rounds[len(m.rounds)-1].at.Add(def.Every))
}

// assignedBy is the arm that a message says another system has assigned; ok is false if it
// says nothing of this campaign.
func (o *Oracle) assignedBy(c *campaign, m *Message) (by arm, ok bool) {
	over := o.over(m, false)
	if !m.matches(c.def.Assigned.Match) || c.where != nil && !over.eval(c.where).holds() {
		return arm{}, false
	}
	by.holdout = c.holdout != nil && over.eval(c.holdout).holds()
	if c.variant != nil && !by.holdout {
		if name, ok := over.eval(c.variant).jsonText(); ok && len(name) <= 256 {
			by.variant = name
		}
	}
	return by, true
}

// goal reports whether there is a conversion now.
func (v view) goal(c *campaign, r *assigned, g int) bool {
	def, p := &c.def.Goals[g], &r.goals[g]
	if p.over {
		return false
	}
	closes := r.at.Add(def.Within)
	inside := func(at instant.Instant) bool { return r.at < at && at <= closes }
	if c.whens[g] != nil {
		if p.converted || v.now > closes {
			return false
		}
		held := p.holds
		p.holds = v.scope().eval(c.whens[g]).holds()
		p.converted = p.holds && !held && inside(v.now) && (v.message == nil || inside(v.message.message.At))
		return p.converted
	}
	var within []occurrence
	for _, occ := range v.history.occurrences[def.Event.Value] {
		if inside(occ.at) {
			within = append(within, occ)
		}
	}
	if def.Value != definition.TotalValue && !def.Baseline {
		if p.converted || !inside(v.now) || len(within) == 0 {
			return false
		}
		p.converted = true
		if def.Value == definition.FirstValue && within[0].amount != nil {
			p.value, p.currency, p.worthOf = within[0].amount, v.oracle.currencyOf(within[0].message), 1
		}
		return true
	}
	grew := false
	if v.now <= closes { // a late event after its close changes nothing
		var before []*Message
		if def.Baseline {
			before = v.before(def, r, p)
		}
		grew = len(within) > len(p.within) || len(before) > len(p.before)
		p.within, p.before, p.unpriced = messagesOf(within), before, 0
		for _, occ := range within {
			if def.Value == definition.TotalValue && occ.worth != nil && v.oracle.isForeign(occ.message) {
				p.unpriced++
			}
		}
	}
	value := v.worth(def, p.within, false)
	if def.Baseline {
		value.Sub(value, v.worth(def, p.before, true))
	}
	value = round(value) // nil if it is too large to be a number
	same := value == nil && p.value == nil || value != nil && p.value != nil && value.Cmp(p.value) == 0
	switch {
	case v.now < closes:
		return false
	case v.now > closes && (!p.converted || same): // only a refund corrects it
		return false
	case v.now == closes && p.converted && !grew && same:
		return false
	case v.now == closes && !p.converted && !def.Baseline && len(p.within) == 0:
		return false
	}
	p.converted, p.value, p.currency, p.worthOf = true, value, "", 0
	if value != nil {
		p.worthOf = len(p.within) - int(p.unpriced)
	}
	if def.Value == definition.TotalValue && value != nil {
		p.currency = v.oracle.def.Currency
	}
	return true
}

// before are those whose occurrences the window before the assignment has: who is in it
// stays in it, and of the others those come to it that are known when they are looked at.
func (v view) before(def *definition.Goal, r *assigned, p *progress) (messages []*Message) {
	for _, occ := range v.history.occurrences[def.Event.Value] {
		unknown := occ.lost || def.Value == definition.TotalValue && occ.amount == nil && occ.worth != nil
		if r.at.Add(-def.Within) < occ.at && occ.at <= r.at && (!unknown || slices.Contains(p.before, occ.message)) {
			messages = append(messages, occ.message)
		}
	}
	return messages
}

// worth is the sum of the values of these occurrences of a goal's event as they now
// stand, or how many there are.
func (v view) worth(def *definition.Goal, messages []*Message, before bool) *big.Rat {
	total := new(big.Rat)
	for _, occ := range v.history.occurrences[def.Event.Value] {
		switch {
		case !slices.Contains(messages, occ.message):
		case def.Value != definition.TotalValue:
			total.Add(total, big.NewRat(1, 1))
		case occ.worth != nil && (before && occ.own || !v.oracle.isForeign(occ.message)):
			total.Add(total, occ.worth)
		}
	}
	return total
}

func messagesOf(occs []occurrence) []*Message {
	var out []*Message
	for _, occ := range occs {
		out = append(out, occ.message)
	}
	return out
}

// isForeign: money of another currency has no value in the definition's, since no event
// says the day's rate. Without a currency in the definition, values are numbers.
func (o *Oracle) isForeign(m *Message) bool {
	return o.def.Currency != "" && o.currencyOf(m) != o.def.Currency
}

func (o *Oracle) currencyOf(m *Message) string {
	if s, ok := m.at("properties", "currency").(string); ok && s != "" {
		return s
	}
	return o.def.Currency
}

// cloneCampaigns is a copy that may be changed.
func cloneCampaigns(all map[string]membership) map[string]membership {
	out := maps.Clone(all)
	for name, m := range out {
		out[name] = m.clone()
	}
	return out
}

// campaignsUnder is where a customer stands in campaigns under another definition: who was
// assigned stays so, by the campaign's name; rounds go on with the goals that mean the same.
func campaignsUnder(from, to *Oracle, all map[string]membership) map[string]membership {
	out := maps.Clone(all) // of those that are no more, too: they may come back
	for _, is := range to.def.Campaigns {
		m, ok := out[is.Name.Value]
		if !ok {
			continue
		}
		was := slices.IndexFunc(from.def.Campaigns, func(c definition.Campaign) bool { return c.Name.Value == is.Name.Value })
		m = m.clone()
		// Of whom nothing more could come nobody knows whether the audience held.
		if was < 0 || !again(&from.def.Campaigns[was], m) {
			m.in = false
		}
		for i := range m.rounds {
			goals := make([]progress, len(is.Goals))
			for g := range is.Goals {
				goals[g].over = true
				if was < 0 {
					continue
				}
				for k := range from.def.Campaigns[was].Goals {
					if from.goalMeans(&from.def.Campaigns[was].Goals[k]) == to.goalMeans(&is.Goals[g]) {
						goals[g] = m.rounds[i].goals[k]
					}
				}
			}
			m.rounds[i].goals = goals
		}
		out[is.Name.Value] = m
	}
	return out
}

// again reports whether a customer may be assigned once more, whenever that is.
func again(c *definition.Campaign, m membership) bool {
	n := int64(len(m.rounds))
	return n == 0 || c.Every > 0 && (c.Max == 0 || n < c.Max)
}

// goalMeans is everything by which a goal is told from others of its campaign.
func (o *Oracle) goalMeans(g *definition.Goal) string {
	currency := ""
	if g.Value == definition.TotalValue {
		currency = o.def.Currency
	}
	return fmt.Sprint(currency, g.Name.Value, g.Within, g.Value, g.Baseline, g.When.Value, o.eventMeans(g.Event.Value))
}

func (o *Oracle) eventMeans(name string) string {
	for _, e := range o.events {
		if e.name == name {
			return fmt.Sprint(name, o.means(e), e.def.From.Value, e.def.Gap, e.def.First, o.eventMeans(e.def.From.Value))
		}
	}
	return ""
}

// ofDecimal is r, which has four places, as records have it.
func ofDecimal(r *big.Rat) decimal.Decimal {
	scaled := new(big.Int).Quo(new(big.Int).Mul(r.Num(), big.NewInt(10_000)), r.Denom())
	return decimal.Decimal(scaled.Int64())
}
