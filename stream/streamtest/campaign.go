// SPDX-License-Identifier: Apache-2.0

package streamtest

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"lapwing/schemas/decimal"
	"lapwing/schemas/definition"
	"lapwing/schemas/record"
)

// expectedArm is what a line says of an assignment or a conversion beyond its name.
type expectedArm struct {
	arm      string // a variant, or holdout; empty: any
	round    int64  // 0: any
	worth    bool   // whether the value is compared
	nothing  bool   // it has none
	value    decimal.Decimal
	currency string // empty: any
}

const holdoutArm = "holdout"

const campaignForms = "write `expect CUSTOMER assigned CAMPAIGN as VARIANT round 1 at TIME because event`, `… as holdout …`, " +
	"or `expect CUSTOMER converted CAMPAIGN/GOAL worth 9.99 EUR …`; all behind the name may be left out"

// aboutCampaign reads what stands behind the customer of a line that says assigned or converted.
func (s *scenario) aboutCampaign(customer string, words []string) (func(*stage) error, error) {
	e := expected{customer: customer, kind: record.Assignment, name: words[1]}
	campaign, goal := words[1], ""
	if words[0] == "converted" {
		var ok bool
		e.kind = record.Conversion
		if campaign, goal, ok = strings.Cut(words[1], "/"); !ok {
			return nil, fmt.Errorf("behind converted comes CAMPAIGN/GOAL, not %q; %s", words[1], campaignForms)
		}
	}
	c, err := s.campaignNamed(campaign)
	if err != nil {
		return nil, err
	}
	if goal != "" && !slices.ContainsFunc(c.Goals, func(g definition.Goal) bool { return g.Name.Value == goal }) {
		return nil, fmt.Errorf("campaign %s has no goal %q", campaign, goal)
	}
	words, err = e.part.read(c, words[2:], e.kind == record.Conversion)
	if err != nil {
		return nil, err
	}
	return e.whenAndWhy(words)
}

var currencyWord = regexp.MustCompile(`^[A-Z]{3}$`)

func (a *expectedArm) read(c *definition.Campaign, words []string, converted bool) (rest []string, err error) {
	for len(words) > 1 {
		switch word := words[1]; {
		case words[0] == "as":
			a.arm = word
			declared := slices.ContainsFunc(c.Variants, func(v definition.Variant) bool { return v.Name.Value == word })
			if word != holdoutArm && !declared && len(c.Variants) > 0 {
				return nil, fmt.Errorf("campaign %s has no variant %q", c.Name.Value, word)
			}
			words = words[2:]
		case words[0] == "round":
			if a.round, err = strconv.ParseInt(word, 10, 64); err != nil || a.round < 1 {
				return nil, fmt.Errorf("behind round comes a number from 1, not %q", word)
			}
			words = words[2:]
		case words[0] == "worth" && converted:
			a.worth, a.nothing = true, word == "nothing"
			if !a.nothing {
				var ok bool
				if a.value, ok = decimal.Parse(word); !ok {
					return nil, fmt.Errorf("behind worth comes a number, or nothing, not %q", word)
				}
			}
			if words = words[2:]; len(words) > 0 && currencyWord.MatchString(words[0]) {
				a.currency, words = words[0], words[1:]
			}
		case words[0] == "at", words[0] == "because":
			return words, nil
		default:
			return nil, fmt.Errorf("%q is not understood; %s", words[0], campaignForms)
		}
	}
	if len(words) > 0 {
		return nil, errors.New(campaignForms)
	}
	return words, nil
}

func (s *scenario) campaignNamed(name string) (*definition.Campaign, error) {
	names := make([]string, len(s.def.Campaigns))
	for i := range s.def.Campaigns {
		if names[i] = s.def.Campaigns[i].Name.Value; names[i] == name {
			return &s.def.Campaigns[i], nil
		}
	}
	return nil, fmt.Errorf("there is no campaign %q; there is: %s", name, strings.Join(names, ", "))
}

// same reports whether the record is the expected one.
func (a *expectedArm) same(r *record.Record) bool {
	switch {
	case a.arm == holdoutArm && !r.Holdout, a.arm != "" && a.arm != holdoutArm && (r.Holdout || r.Variant != a.arm):
		return false
	case a.round > 0 && a.round != r.Round:
		return false
	case !a.worth:
		return true
	default:
		return a.nothing != r.HasValue && a.value == r.Value && (a.currency == "" || a.currency == r.Currency)
	}
}

// armOf is a record in the words of an expectation.
func armOf(r *record.Record) expectedArm {
	a := expectedArm{arm: r.Variant, round: r.Round, worth: r.Kind == record.Conversion, nothing: r.Kind == record.Conversion && !r.HasValue, value: r.Value, currency: r.Currency}
	if r.Holdout {
		a.arm = holdoutArm
	}
	return a
}

// String is what stands behind the name, with a blank before each part.
func (a *expectedArm) String() string {
	var b strings.Builder
	switch {
	case a.nothing:
		b.WriteString(" worth nothing")
	case a.worth:
		b.WriteString(strings.TrimRight(fmt.Sprintf(" worth %s %s", a.value, a.currency), " "))
	}
	if a.arm != "" {
		b.WriteString(" as " + a.arm)
	}
	if a.round > 0 {
		fmt.Fprintf(&b, " round %d", a.round)
	}
	return b.String()
}

// campaignWord is the word of a kind of campaigns' records.
func campaignWord(kind record.Kind) string {
	if kind == record.Conversion {
		return "converted"
	}
	return "assigned"
}
