// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"maps"
	"time"

	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// lookahead is how far next_stage is looked for.
const lookahead = 3660 * 24 * time.Hour

// standing is where a customer stands: what the meaning itself carries on.
type standing struct {
	stage map[string]string          // by model
	since map[string]instant.Instant // by model
	in    map[string]string          // by segment of the definition: its full name, "" if not in it
	named map[string][]string        // by `by:` segment: the values that have named one

	customer  string
	campaigns map[string]membership
	reached   map[string]bool // campaign/goal: there has been a conversion
}

func (s standing) clone() standing {
	return standing{
		stage: maps.Clone(s.stage), since: maps.Clone(s.since), in: maps.Clone(s.in), named: maps.Clone(s.named),
		customer: s.customer, campaigns: cloneCampaigns(s.campaigns), reached: maps.Clone(s.reached),
	}
}

func (s standing) equal(t standing) bool {
	return maps.Equal(s.stage, t.stage) && maps.Equal(s.since, t.since) && maps.Equal(s.in, t.in) && maps.EqualFunc(s.campaigns, t.campaigns, membership.equal)
}

func (v view) scope() scope { return scope{params: v.oracle.params, call: v.call} }

// evaluate evaluates everything at now, after standing s: what was just evaluated
// is what in_stage, stage_for and in_segment see.
func (o *Oracle) evaluate(h *history, s standing, now instant.Instant) standing {
	s, _ = o.evaluateWith(nil, h, s, now)
	return s
}

// evaluateWith is evaluate when a message has just come; it tells what came of campaigns.
func (o *Oracle) evaluateWith(m *applied, h *history, s standing, now instant.Instant) (standing, []told) {
	var all []told
	v := view{oracle: o, history: h, standing: s.clone(), now: now, message: m, told: &all}
	for _, it := range o.items {
		switch {
		case it.campaign != nil:
			v.campaign(it.campaign)
		case it.model != nil:
			for i, when := range it.whens {
				if !v.scope().eval(when).holds() {
					continue
				}
				if stage := it.model.Stages[i].Name.Value; stage != v.standing.stage[it.name] {
					v.standing.stage[it.name] = stage
					v.standing.since[it.name] = now
				}
				break
			}
		case it.by != nil:
			v.standing.in[it.name] = ""
			if s, ok := v.scope().eval(it.by).jsonText(); ok && len(s) <= 256 && o.mayName(v.standing.named, it.name, s) {
				v.standing.in[it.name] = it.name + "=" + s
			}
		default:
			v.standing.in[it.name] = ""
			if v.scope().eval(it.whens[0]).holds() {
				v.standing.in[it.name] = it.name
			}
		}
	}
	for _, t := range all { // the stages and segments of an assignment are those after the evaluation
		if t.goal < 0 {
			r := &v.standing.campaigns[t.campaign.def.Name.Value].rounds[t.round]
			for _, m := range o.def.Models {
				r.stages = append(r.stages, record.StageAt{Model: m.Name.Value, Stage: v.standing.stage[m.Name.Value]})
			}
			r.segments = v.standing.segments()
		}
	}
	return v.standing, all
}

// stillHolds reports whether the condition of a stage holds at now.
func (o *Oracle) stillHolds(h *history, s standing, now instant.Instant, model item, stage string) bool {
	v := view{oracle: o, history: h, standing: s, now: now}
	for i, st := range model.model.Stages {
		if st.Name.Value == stage {
			return v.scope().eval(model.whens[i]).holds()
		}
	}
	return false
}

// after is the next instant that could matter; ok is false if there is none.
func (o *Oracle) after(h *history, s standing, now instant.Instant) (instant.Instant, bool) {
	best, ok := instant.None, false
	consider := func(at instant.Instant) {
		if at > now && (!ok || at < best) {
			best, ok = at, true
		}
	}
	for _, at := range h.instants {
		if at > now {
			consider(at)
			break // they are sorted
		}
	}
	for _, it := range o.items {
		if it.campaign == nil {
			continue
		}
		if it.campaign.def.Start != instant.None {
			consider(it.campaign.def.Start)
		}
		for _, r := range s.campaigns[it.name].rounds {
			for _, g := range it.campaign.def.Goals {
				consider(r.at.Add(g.Within))
			}
		}
	}
	for _, since := range s.since {
		for _, d := range o.durations {
			consider(since.Add(d))
		}
	}
	return best, ok
}

// change is the next stage of a model and when it comes.
type change struct {
	stage string
	at    instant.Instant
}

// next plays on without messages and says how each model changes first.
func (o *Oracle) next(h *history, s standing, now instant.Instant) map[string]change {
	found := map[string]change{}
	for at := now; len(found) < len(o.def.Models); {
		var ok bool
		if at, ok = o.after(h, s, at); !ok || at > now.Add(lookahead) {
			break
		}
		t := o.evaluate(h, s, at)
		for model, stage := range t.stage {
			if _, have := found[model]; !have && stage != s.stage[model] {
				found[model] = change{stage, at}
			}
		}
		s = t
	}
	return found
}
