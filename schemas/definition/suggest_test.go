// SPDX-License-Identifier: Apache-2.0

package definition_test

import (
	"strings"
	"testing"

	"lapwing/schemas/definition"
)

// What is written otherwise elsewhere is understood well enough to say what to write here.
func TestSuggestedDurations(t *testing.T) {
	for word, want := range map[string]string{
		"90 days": "90d", "90days": "90d", "1.5h": "90m", "0.5d": "12h", "3mo": "90d", "2 months": "60d", "1y": "365d", "1 year": "365d", "7": "7d",
		"P90D": "90d", "PT1H": "1h", "P3M": "90d", "PT3M": "3m", "15 min": "15m", "2 Weeks": "14d", "48 hrs": "2d", "30sec": "30s", "90_d": "90d",
		// What would be nothing, too long, or no whole number of seconds, and what is no duration.
		"0 days": "", "11y": "", "0.0001 days": "", "0.5s": "", "soon": "", "d": "", "90 d d": "", "-3 days": "", "9999999 days": "", "": "",
	} {
		_, err := definition.ParseDuration(word)
		if err == nil {
			t.Fatalf("%q is a duration", word)
		}
		_, hint, _ := strings.Cut(err.Error(), "; did you mean ")
		if want != "" {
			want = "`" + want + "`?"
		}
		if hint != want {
			t.Errorf("%q: %q is suggested, want %q", word, hint, want)
		}
	}
}

func TestSuggestedValues(t *testing.T) {
	for source, want := range map[string]string{
		"currency: eur":                "`EUR`",
		"currency: Euro":               "`EUR`",
		"currency: $":                  "`USD`",
		"currency: money":              "",
		"timezone: utc":                "`UTC`",
		"timezone: Europe/berlin":      "`Europe/Berlin`",
		"timezone: america/new york":   "`America/New_York`",
		"timezone: Middle/Earth":       "",
		"timezone: local":              "",
		"params: {much: 1'000}":        "`1000`",
		"params: {quiet: 3 months}":    "`90d`",
		"params: {Big Spenders: 1}":    "`big_spenders`",
		"params: {großes: 1}":          "",
		"events: {Order.Done: {}}":     "`order_done`",
		"events: {1st: {match: a}}":    "`st`",
		"retain: {anonimous: 90d}":     "`anonymous`",
		"limits: {trait_bites: 64KiB}": "`trait_bytes`",
	} {
		_, problems := definition.Parse("def.yaml", []byte(minimal+source+"\n"))
		found := false
		for _, p := range problems {
			_, hint, ok := strings.Cut(p.Message, "did you mean ")
			found = found || ok && strings.HasPrefix(hint, want+"?")
			if want == "" && ok {
				t.Errorf("%s: %q is suggested", source, hint)
			}
		}
		if len(problems) == 0 || want != "" && !found {
			t.Errorf("%s: %s is not suggested:\n%s", source, want, report(problems))
		}
	}
}
