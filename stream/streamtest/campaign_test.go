// SPDX-License-Identifier: Apache-2.0

package streamtest_test

import (
	"strings"
	"testing"

	"lapwing/stream/streamtest"
)

const campaignHead = `# A rule.
definition:
  lapwing: 1
  name: c
  version: 1
  currency: EUR
  events: {purchase: {match: Order Completed, value: properties.total}}
  segments: [{name: here, when: "true"}]
  campaigns:
    - {name: win, audience: "seen('purchase', '1d')", variants: {a: 100%}, goals: [{name: more, event: purchase, within: 2d, value: first}, {name: any, event: purchase, within: 2d}]}
    - {name: held, audience: "seen('purchase', '1d')", holdout: 100%, variants: {a: 0%}}
on 1997-01-01 ana buys 40
on 1997-01-02 ana buys 9.5
`

// Each form of a line about campaigns has a story in which it comes true and one in which it
// does not.
func TestEveryExpectationOfCampaignsCanFail(t *testing.T) {
	for _, c := range []struct{ holds, fails, words string }{
		{"expect ana assigned win", "expect ana assigned win\nexpect ana assigned win", "no further change of win"},
		{"expect ana assigned win as a round 1 at 1997-01-01 because event", "expect ana assigned win as holdout", "but came  ana assigned win as a round 1 at 1997-01-01T00:00:00Z because event"},
		{"expect ana assigned held as holdout", "expect ana assigned held as a", "but came  ana assigned held as holdout"},
		{"expect ana assigned win round 1", "expect ana assigned win round 2", "expected ana assigned win round 2"},
		{"expect ana converted win/more worth 9.5 EUR as a round 1 at 1997-01-02 because event", "expect ana converted win/more worth 9.4", "but came  ana converted win/more worth 9.5 EUR as a round 1"},
		{"expect ana converted win/more worth 9.5", "expect ana converted win/more worth 9.5 USD", "but came  ana converted win/more worth 9.5 EUR"},
		{"expect ana converted win/any worth nothing", "expect ana converted win/any worth 0", "but came  ana converted win/any worth nothing as a"},
		{"expect ana converted win/more", "expect ana converted win/more worth nothing", "expected ana converted win/more worth nothing"},
		{"expect ana assigned win", "expect ana enters here\nexpect ana assigned win\nexpect ana assigned held\nexpect nothing else", "but came ana converted win/more worth 9.5 EUR as a round 1"},
	} {
		if result := streamtest.Run("s.txt", []byte(campaignHead+c.holds), noFiles); !result.OK() {
			t.Errorf("does not come true:\n%s\n%s", c.holds, result.Explain())
		}
		if text := streamtest.Run("s.txt", []byte(campaignHead+c.fails), noFiles).Explain(); !strings.Contains(text, c.words) {
			t.Errorf("%s\nshould say %q; got\n%s", c.fails, c.words, text)
		}
	}
}

func TestWhatIsNotUnderstoodOfCampaigns(t *testing.T) {
	for _, c := range []struct{ line, words string }{
		{"expect ana assigned winn", `there is no campaign "winn"; there is: win, held`},
		{"expect ana converted win", "behind converted comes CAMPAIGN/GOAL"},
		{"expect ana converted win/less", `campaign win has no goal "less"`},
		{"expect ana assigned win as b", `campaign win has no variant "b"`},
		{"expect ana assigned win round 0", "a number from 1"},
		{"expect ana converted win/more worth much", "a number, or nothing"},
		{"expect ana assigned win worth 1", `"worth" is not understood`},
		{"expect ana assigned win as", "write `expect CUSTOMER assigned CAMPAIGN"},
		{"expect ana assigned win on 1997-01-01", `"on" is not understood`},
	} {
		if text := streamtest.Run("s.txt", []byte(campaignHead+c.line), noFiles).Explain(); !strings.HasPrefix(text, "s.txt:14: ") || !strings.Contains(text, c.words) {
			t.Errorf("%s\nshould say s.txt:14 and %q; got\n%s", c.line, c.words, text)
		}
	}
}
