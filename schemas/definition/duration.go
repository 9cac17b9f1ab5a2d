// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"fmt"
	"strings"
	"time"
)

// MaxWindow is the longest window: 3,660 days.
const MaxWindow = 3660 * 24 * time.Hour

// durationUnits are the units a duration may have, longest first.
var durationUnits = []struct {
	suffix string
	unit   time.Duration
}{
	{"w", 7 * 24 * time.Hour},
	{"d", 24 * time.Hour},
	{"h", time.Hour},
	{"m", time.Minute},
	{"s", time.Second},
}

// ParseDuration reads a whole number and a unit, such as 15m, 24h, 90d or 2w; it
// is at most MaxWindow and may be zero.
func ParseDuration(text string) (time.Duration, error) {
	for _, u := range durationUnits {
		digits, ok := strings.CutSuffix(text, u.suffix)
		if !ok || digits == "" || strings.Trim(digits, "0123456789") != "" {
			continue
		}
		n := time.Duration(0)
		for _, c := range []byte(digits) {
			n = n*10 + time.Duration(c-'0')
			if n > MaxWindow/u.unit {
				return 0, fmt.Errorf("%s is too long: at most 3660d", text)
			}
		}
		return n * u.unit, nil
	}
	return 0, fmt.Errorf("%q is no duration: write a whole number and s, m, h, d or w, such as 15m, 24h, 90d, 2w%s", text, suggestDuration(text))
}

// ParseWindow reads a duration longer than 0.
func ParseWindow(text string) (time.Duration, error) {
	d, err := ParseDuration(text)
	if err == nil && d == 0 {
		return 0, fmt.Errorf("%s is too short: a window is longer than 0", text)
	}
	return d, err
}

// ParseOffset reads a duration that may have a sign.
func ParseOffset(text string) (time.Duration, error) {
	digits, negative := strings.CutPrefix(text, "-")
	d, err := ParseDuration(digits)
	if negative {
		d = -d
	}
	return d, err
}
