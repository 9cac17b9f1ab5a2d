// SPDX-License-Identifier: Apache-2.0

package instant

import (
	"sort"
	"time"
)

// StartOfDay is the first instant of a local date. Where clocks are put forward at
// midnight a date has no 00:00: it begins at 01:00 then, and not an hour before, on the
// date before, which is what time.Date says in half of the world. Where they are put back
// a date may have 00:00 twice: it begins with the first. As for time.Date, the 0th of
// March is the last of February.
func StartOfDay(year int, month time.Month, day int, zone *time.Location) time.Time {
	date := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	year, month, day = date.Date()
	const most = 26 * 60 * 60 // no clock is further from that of Greenwich, in seconds
	from := date.Add(-most * time.Second)
	after := sort.Search(2*most, func(seconds int) bool {
		y, m, d := from.Add(time.Duration(seconds) * time.Second).In(zone).Date()
		return y > year || y == year && (m > month || m == month && d >= day)
	})
	return from.Add(time.Duration(after) * time.Second).In(zone)
}
