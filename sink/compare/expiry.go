// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Expiry is when a table forgets its rows: some time after the instant in a column. The
// zero Expiry is never.
type Expiry struct {
	Column string
	n      int
	unit   string
}

var (
	ttlClause = regexp.MustCompile(`(?s)\bTTL (.*?)(?: SETTINGS .*)?$`)
	ttlTerm   = regexp.MustCompile("^(?:toDateTime\\()?`?([A-Za-z_]+)`?\\)? \\+ (?:toInterval(Second|Minute|Hour|Day|Week|Month|Quarter|Year)\\((\\d+)\\)|INTERVAL (\\d+) (SECOND|MINUTE|HOUR|DAY|WEEK|MONTH|QUARTER|YEAR))(?: DELETE)?$")
	ttlMoves  = regexp.MustCompile(` (TO DISK|TO VOLUME|RECOMPRESS)\b`)
)

// ParseExpiry reads the TTL of a table out of its engine, as the server describes it.
// Rows that only move to another disk are not forgotten.
func ParseExpiry(engine string) (Expiry, error) {
	clause := ttlClause.FindStringSubmatch(engine)
	if clause == nil {
		return Expiry{}, nil
	}
	var e Expiry
	for _, term := range split(clause[1]) {
		if ttlMoves.MatchString(term) {
			continue
		}
		m := ttlTerm.FindStringSubmatch(term)
		if m == nil || e.Column != "" {
			return Expiry{}, fmt.Errorf("TTL %q is not of the form column + INTERVAL n DAY", clause[1])
		}
		n, err := strconv.Atoi(m[3] + m[4])
		if err != nil {
			return Expiry{}, fmt.Errorf("TTL %q: %w", clause[1], err)
		}
		e = Expiry{m[1], n, strings.ToLower(m[2] + m[5])}
	}
	return e, nil
}

// Kept is the instant from which on rows are certain to be kept until some hours after
// now: those before it may be gone, or go while they are looked at.
func (e Expiry) Kept(now time.Time) time.Time {
	const day = 24 * time.Hour
	switch e.unit {
	case "second":
		return now.Add(-time.Duration(e.n)*time.Second + day)
	case "minute":
		return now.Add(-time.Duration(e.n)*time.Minute + day)
	case "hour":
		return now.Add(-time.Duration(e.n)*time.Hour + day)
	case "day":
		return now.AddDate(0, 0, 1-e.n)
	case "week":
		return now.AddDate(0, 0, 1-7*e.n)
	case "quarter":
		return now.AddDate(0, -3*e.n, 5) // calendars differ about 31 days before 30 September
	case "year":
		return now.AddDate(-e.n, 0, 5)
	default: // month
		return now.AddDate(0, -e.n, 5)
	}
}
