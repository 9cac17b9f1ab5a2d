// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"fmt"
	"regexp"
	"strconv"

	"lapwing/schemas/decimal"
	"lapwing/schemas/instant"
)

var percentPattern = regexp.MustCompile(`^([0-9]{1,3})(?:\.([0-9]{1,2}))?%$`)

// percent is a share in hundredths of a percent; 0 if n is nil or no share, which it reports.
func (r *fileReader) percent(n *node, what string) int {
	if n == nil {
		return 0
	}
	t, ok := r.text(n, what)
	if !ok {
		return 0
	}
	m := percentPattern.FindStringSubmatch(t.Value)
	if m == nil {
		r.add(t.Pos, "%s: %s is no share: write a percentage with at most 2 decimals, such as 10%% or 2.5%%", what, quote(t.Value))
		return 0
	}
	share, _ := strconv.Atoi(m[1] + (m[2] + "00")[:2])
	if share > Buckets {
		r.add(t.Pos, "%s: %s is more than all: a share is at most 100%%", what, t.Value)
		return 0
	}
	return share
}

// formatPercent is a share as it is written in a definition.
func formatPercent(share int) string {
	if share%100 == 0 {
		return fmt.Sprintf("%d%%", share/100)
	}
	return fmt.Sprintf("%d.%02d%%", share/100, share%100)
}

// money is a number that is not below 0; 0 if n is nil or none, which it reports.
func (r *fileReader) money(n *node, what string) decimal.Decimal {
	if n == nil {
		return 0
	}
	t, ok := r.text(n, what)
	if !ok {
		return 0
	}
	d, ok := decimal.Parse(t.Value)
	if !ok || d < 0 || t.style != plain {
		r.add(t.Pos, "%s: %s is no amount: write a number from 0, such as 500 or 0.002%s", what, quote(t.Value), suggestNumber(t.Value))
		return 0
	}
	return d
}

// currency is a currency's code; empty if n is none, which it reports.
func (r *fileReader) currency(n *node) string {
	t, ok := r.text(n, "`currency`")
	if !ok {
		return ""
	}
	if !currencyCode.MatchString(t.Value) {
		r.add(t.Pos, "currency %s is no ISO 4217 code: expected three capitals, such as EUR%s", quote(t.Value), suggestCurrency(t.Value))
		return ""
	}
	return t.Value
}

var currencyCode = regexp.MustCompile(`^[A-Z]{3}$`)

// time is an instant; None if n is nil or none, which it reports.
func (r *fileReader) time(n *node, what string) instant.Instant {
	if n == nil {
		return instant.None
	}
	t, ok := r.text(n, what)
	if !ok {
		return instant.None
	}
	at, ok := instant.Parse(t.Value)
	if !ok {
		r.add(t.Pos, "%s %s is no time from 1970 to 2200: expected RFC 3339, such as 2026-03-01T00:00:00Z, or a date", what, quote(t.Value))
		return instant.None
	}
	return at
}
