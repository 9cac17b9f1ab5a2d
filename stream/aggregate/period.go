// SPDX-License-Identifier: Apache-2.0

package aggregate

import (
	"time"

	"lapwing/schemas/instant"
)

// quarter is what every zone's offset is a multiple of since 1972, so that all
// instants of a quarter of an hour lie in the same hour, day, week and month.
// (Liberia's offset was not until January 1972: an hour of 1970 or 1971 there may be
// cut up to 15 minutes off.)
const quarter = instant.Instant(15 * time.Minute / time.Millisecond)

// maxPeriods bounds the memo of periodsOf: two years of quarters.
const maxPeriods = 2 * 366 * 24 * 4

// periodsOf are the starts of the hour, day, Monday week and month of at, in the zone.
func (t *Totals) periodsOf(at instant.Instant) [len(grains)]instant.Instant {
	q := at - at%quarter
	if p, ok := t.periods[q]; ok {
		return p
	}
	if len(t.periods) >= maxPeriods {
		clear(t.periods)
	}
	local := q.Time().In(t.zone)
	y, m, d := local.Date()
	sinceMonday := (int(local.Weekday()) + 6) % 7
	intoHour := time.Duration(local.Minute())*time.Minute + time.Duration(local.Second())*time.Second
	p := [len(grains)]instant.Instant{
		instant.Of(local.Add(-intoHour)),
		instant.Of(instant.StartOfDay(y, m, d, t.zone)),
		instant.Of(instant.StartOfDay(y, m, d-sinceMonday, t.zone)),
		instant.Of(instant.StartOfDay(y, m, 1, t.zone)),
	}
	t.periods[q] = p
	return p
}
