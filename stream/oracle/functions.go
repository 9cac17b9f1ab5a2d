// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"math/big"
	"regexp"
	"strconv"
	"time"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
)

var durationText = regexp.MustCompile(`^(-?[0-9]+)(ms|s|m|h|d|w)$`)

// parseDuration reads 15m, 24h, 90d, 2w, exactly that long; a sign is for offsets.
func parseDuration(s string) (time.Duration, bool) {
	parts := durationText.FindStringSubmatch(s)
	if parts == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(parts[1], 10, 32)
	if err != nil {
		return 0, false
	}
	unit := map[string]time.Duration{
		"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour,
		"d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
	}[parts[2]]
	return time.Duration(n) * unit, true
}

// view is one moment of evaluation: everything a condition can see.
type view struct {
	oracle   *Oracle
	history  *history
	standing standing
	now      instant.Instant
	message  *applied // the one that has just come; nil at a deadline
	told     *[]told  // what came of campaigns
}

// window are the occurrences of event in (now-w, now], or with a resolution of an
// hour those whose first full hour at or after t+w is still to come. All of them
// if there is no window.
func (v view) window(event string, args []value, at int, newestOnly bool) []occurrence {
	all := v.history.occurrences[event]
	if len(args) <= at && !newestOnly {
		return all
	}
	var w time.Duration
	if len(args) > at {
		w, _ = parseDuration(args[at].text)
	}
	coarse := false
	for _, e := range v.oracle.events {
		coarse = coarse || e.name == event && e.def.Resolution > 0
	}
	var occs []occurrence
	for _, occ := range all {
		if coarse && !newestOnly && occ.isCounted(w%time.Hour) || (!coarse || newestOnly) && !occ.lost {
			occs = append(occs, occ)
		}
	}
	if newestOnly {
		occs = lastOf(occs)
	}
	if len(args) <= at {
		return occs
	}
	var inside []occurrence
	for _, occ := range occs {
		end := occ.at.Add(w)
		if coarse {
			end = fullHour(end)
		}
		if occ.at <= v.now && v.now < end {
			inside = append(inside, occ)
		}
	}
	return inside
}

// firstAndLast are the first and last instants ever; ok is false if there is none.
func (v view) firstAndLast(event string) (first, last instant.Instant, ok bool) {
	occs := v.history.occurrences[event]
	if len(occs) == 0 {
		return instant.None, instant.None, false
	}
	return occs[0].at, occs[len(occs)-1].at, true
}

// call evaluates a function of the contract; ok is false for any other name.
func (v view) call(name string, args []value) (result value, ok bool) {
	arg := func(i int) string {
		if i < len(args) {
			return args[i].text
		}
		return ""
	}
	length := func(i int) time.Duration { d, _ := parseDuration(arg(i)); return d }
	first, last, happened := v.firstAndLast(arg(0))
	switch name {
	case "never":
		return ofBool(!happened), true
	case "count":
		return ofInt(len(v.window(arg(0), args, 1, false))), true
	case "sum", "avg", "min", "max":
		return fold(name, v.window(arg(0), args, 1, true)), true
	case "days":
		days := map[string]bool{}
		for _, occ := range v.window(arg(0), args, 1, true) {
			days[occ.at.Time().In(v.oracle.def.Zone).Format(time.DateOnly)] = true
		}
		return ofInt(len(days)), true
	case "unique":
		texts := map[string]bool{}
		for _, occ := range v.window(arg(0), args, 2, true) {
			if s, ok := occ.message.uniqueText(arg(1)); ok && (occ.properties == nil || occ.properties[arg(1)]) {
				texts[s] = true
			}
		}
		return ofInt(len(texts)), true
	case "first": // exact whatever the resolution, as seen and idle are
		return ofBool(happened && first > v.now.Add(-length(1)) && first <= v.now), true
	case "seen", "idle":
		w := length(1)
		switch args[1].kind {
		case unknown:
			return value{}, true
		case span:
			w = asWindow(args[1].span)
		default:
		}
		lately := last > v.now.Add(-w)
		return ofBool(happened && lately == (name == "seen")), true
	case "after":
		_, lastB, happenedB := v.firstAndLast(arg(1))
		return ofBool(happened && (!happenedB || last > lastB)), true
	case "count_from":
		n := 0
		for _, occ := range v.history.occurrences[arg(1)] {
			if happened && !occ.lost && occ.at > first && occ.at <= first.Add(length(2)) {
				n++
			}
		}
		return ofInt(n), true
	case "count_since":
		_, lastB, happenedB := v.firstAndLast(arg(1))
		n := 0
		for _, occ := range v.history.newestOf(arg(0)) {
			if !happenedB || occ.at > lastB {
				n++
			}
		}
		return ofInt(n), true
	case "favourite":
		halfLife := 30 * 24 * time.Hour
		if len(args) > 2 {
			halfLife = length(2)
		}
		return v.favourite(arg(0), arg(1), halfLife), true
	case "rhythm":
		return v.history.rhythm(arg(0)), true
	case "trait":
		return v.trait(arg(0)), true
	case "known":
		return ofBool(v.trait(arg(0)).kind != unknown), true
	case "anonymous":
		return ofBool(!v.history.known), true
	case "due":
		s, _ := v.history.traits[arg(0)].value.(string)
		at, ok := parseTime(s)
		if !ok {
			return value{}, true
		}
		return ofBool(at.Add(length(1)) <= v.now), true
	case "in_stage":
		return ofBool(v.standing.stage[arg(0)] == arg(1)), true
	case "stage_for":
		return ofBool(v.standing.stage[arg(0)] == arg(1) && v.standing.since[arg(0)] <= v.now.Add(-length(2))), true
	case "assigned":
		rounds := v.standing.campaigns[arg(0)].rounds
		return ofBool(len(rounds) > 0 && (len(args) < 2 || rounds[0].arm.variant == arg(1))), true
	case "converted":
		return ofBool(v.standing.reached[arg(0)+"/"+arg(1)]), true
	case "in_segment":
		for _, in := range v.standing.in {
			if in == arg(0) {
				return ofBool(true), true
			}
		}
		return ofBool(false), true
	default:
		return value{}, false
	}
}

// trait is the value of a trait: if its type is declared, of that or unknown.
func (v view) trait(name string) value {
	is := ofJSON(v.history.traits[name].value)
	for _, t := range v.oracle.def.Traits {
		if t.Name.Value == name {
			return typed(is, t.Type, v.oracle.def.Zone)
		}
	}
	return is
}

func typed(v value, want definition.TraitType, zone *time.Location) value {
	if at, ok := parseTime(v.text); ok && v.kind == text && want == definition.TraitTime {
		return value{kind: moment, moment: at.Time().In(zone)}
	}
	if r := v.numeric(); r != nil && want == definition.TraitNumber {
		return value{kind: number, number: r, text: v.text}
	}
	kinds := map[definition.TraitType]kind{definition.TraitText: text, definition.TraitBool: boolean, definition.TraitList: list}
	if k, ok := kinds[want]; ok && v.kind == k {
		return v
	}
	return value{}
}

// fold is sum, avg, min or max of the numeric values; unknown of nothing, but for
// a sum, which is 0.
func fold(name string, occs []occurrence) value {
	sum, n := new(big.Rat), 0
	var least, most *big.Rat
	for _, occ := range occs {
		if occ.amount == nil {
			continue
		}
		n++
		sum.Add(sum, occ.amount)
		if least == nil || occ.amount.Cmp(least) < 0 {
			least = occ.amount
		}
		if most == nil || occ.amount.Cmp(most) > 0 {
			most = occ.amount
		}
	}
	switch {
	case name == "sum":
		return ofNumber(sum)
	case n == 0:
		return value{}
	case name == "avg":
		return ofNumber(sum.Quo(sum, new(big.Rat).SetInt64(int64(n))))
	case name == "min":
		return ofNumber(least)
	default:
		return ofNumber(most)
	}
}
