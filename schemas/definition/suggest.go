// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"lapwing/schemas/decimal"
)

// longestWord is the longest that suggestions are made for, in bytes, that of a name:
// beyond, it is no slip of the finger, and the cost is quadratic.
const longestWord = 63

// Suggest is "; did you mean `x`?" for the one of known that word was most likely
// meant to be, else empty.
func Suggest(word string, known []string) string {
	if len(word) > longestWord {
		return ""
	}
	word = strings.ToLower(word)
	best, least := "", 3
	for _, k := range known {
		// A third of a short word may differ: "to" is no misspelt "by".
		if d := distance(word, k); d < least && d <= (max(len(word), len(k))+1)/3 {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean `" + best + "`?"
}

// distance is the number of insertions, deletions, substitutions and swaps of
// neighbours between a and b (optimal string alignment), in bytes.
func distance(a, b string) int {
	before, last, now := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}

// suggestKey is Suggest, or all there are if none is near.
func suggestKey(word string, known []string) string {
	if hint := Suggest(word, known); hint != "" || len(known) == 0 {
		return hint
	}
	return "; there are: " + strings.Join(known, ", ")
}

func didYouMean(what string) string { return "; did you mean `" + what + "`?" }

// suggestName is the name that comes nearest to word; empty if none does.
func suggestName(word string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(strings.TrimSpace(word)) {
		switch {
		case r >= 'a' && r <= 'z' || r == '_' || r == '-' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case r == ' ' || r == '.' || r == '/':
			b.WriteByte('_')
		default:
			return ""
		}
	}
	name := strings.TrimLeft(b.String(), "0123456789_-")
	if !namePattern.MatchString(name) {
		return ""
	}
	return didYouMean(name)
}

// currencies are what people call some of them.
var currencies = map[string]string{
	"euro": "EUR", "euros": "EUR", "€": "EUR", "dollar": "USD", "dollars": "USD", "us dollar": "USD", "us$": "USD", "$": "USD",
	"pound": "GBP", "pounds": "GBP", "£": "GBP", "yen": "JPY", "¥": "JPY", "franc": "CHF", "francs": "CHF",
}

func suggestCurrency(word string) string {
	code, ok := currencies[strings.ToLower(word)]
	if !ok {
		code = strings.ToUpper(word)
	}
	if !currencyCode.MatchString(code) {
		return ""
	}
	return didYouMean(code)
}

// suggestZone finds a time zone whose name was written in other letters, or with blanks.
func suggestZone(word string) string {
	if len(word) > longestWord {
		return ""
	}
	tidy := strings.ReplaceAll(strings.TrimSpace(word), " ", "_")
	var b strings.Builder
	begins := true
	for _, r := range strings.ToLower(tidy) {
		if begins {
			r = unicode.ToUpper(r)
		}
		b.WriteRune(r)
		begins = r == '/' || r == '_' || r == '-'
	}
	for _, name := range []string{b.String(), strings.ToUpper(tidy)} {
		if zone, err := time.LoadLocation(name); err == nil && name != word && name != "" && name != "Local" {
			return didYouMean(zone.String())
		}
	}
	return ""
}

// suggestNumber is the number that word is with its separators taken out, or the
// duration it may be.
func suggestNumber(word string) string {
	plain := strings.NewReplacer("_", "", ",", "", "'", "", " ", "").Replace(word)
	if _, ok := decimal.Parse(plain); !ok || plain == word {
		return suggestDuration(word)
	}
	return didYouMean(plain)
}

// units are what people call the units of a duration, in seconds. Months and years
// differ in length; 30 and 365 days are what is mostly meant.
var units = map[string]int64{
	"s": 1, "sec": 1, "secs": 1, "second": 1, "seconds": 1,
	"m": 60, "min": 60, "mins": 60, "minute": 60, "minutes": 60,
	"h": 3600, "hr": 3600, "hrs": 3600, "hour": 3600, "hours": 3600,
	"": 86400, "d": 86400, "day": 86400, "days": 86400,
	"w": 7 * 86400, "wk": 7 * 86400, "week": 7 * 86400, "weeks": 7 * 86400,
	"mo": 30 * 86400, "mon": 30 * 86400, "month": 30 * 86400, "months": 30 * 86400,
	"y": 365 * 86400, "yr": 365 * 86400, "year": 365 * 86400, "years": 365 * 86400,
}

var looseDuration = regexp.MustCompile(`^p?t?([0-9]{1,6})(?:\.([0-9]{1,3}))?[ _]*([a-z]*)$`)

// suggestDuration is the duration that is mostly meant by "90 days", "1.5h", "3mo",
// "7" or "P90D"; empty if none is near.
func suggestDuration(word string) string {
	m := looseDuration.FindStringSubmatch(strings.ToLower(strings.TrimSpace(word)))
	if m == nil {
		return ""
	}
	word = strings.ToLower(strings.TrimSpace(word))
	if strings.HasPrefix(word, "p") && !strings.HasPrefix(word, "pt") && m[3] == "m" {
		m[3] = "mo" // as ISO 8601 has it
	}
	unit, known := units[m[3]]
	if !known {
		return ""
	}
	n, _ := strconv.ParseInt(m[1], 10, 64) // digits
	seconds := n * unit
	if m[2] != "" {
		fraction, _ := strconv.ParseInt(m[2]+strings.Repeat("0", 3-len(m[2])), 10, 64) // digits
		if fraction*unit%1000 != 0 {
			return ""
		}
		seconds += fraction * unit / 1000
	}
	for _, u := range durationUnits[1:] { // days before weeks: they are read more easily
		if size := int64(u.unit / time.Second); seconds%size == 0 {
			if time.Duration(seconds)*time.Second > MaxWindow || seconds == 0 {
				return ""
			}
			return didYouMean(strconv.FormatInt(seconds/size, 10) + u.suffix)
		}
	}
	return ""
}
