// SPDX-License-Identifier: Apache-2.0

package batch

import "time"

// Pace makes batches larger while ClickHouse answers that it has too many parts: the
// only cure on our side are fewer, larger inserts. It goes up at once and comes back
// slowly, since a table that was full is so again soon. The zero Pace is that of a
// table with room. It is a value: each method returns the next.
type Pace struct {
	doublings int
	changed   time.Time // when doublings was
	refused   time.Time // when ClickHouse last had too many parts
}

const (
	maxDoublings = 4 // 16 times
	// upEvery lets a step show before the next: all tables, and all attempts to insert
	// one batch, fail at the same time.
	upEvery = 5 * time.Second
	// downEvery is how long nothing must have been refused for one step back.
	downEvery = time.Minute
)

// TooManyParts is the pace after ClickHouse has refused an insert at the processing
// time now, because merges do not keep up.
func (p Pace) TooManyParts(now time.Time) Pace {
	if p.doublings == 0 || p.doublings < maxDoublings && now.Sub(p.changed) >= upEvery {
		return Pace{p.doublings + 1, now, now}
	}
	return Pace{p.doublings, p.changed, now}
}

// Written is the pace after a batch was written at the processing time now.
func (p Pace) Written(now time.Time) Pace {
	if p.doublings > 0 && now.Sub(p.changed) >= downEvery && now.Sub(p.refused) >= downEvery {
		return Pace{p.doublings - 1, now, p.refused}
	}
	return p
}

// Factor is how many times larger than usual batches are.
func (p Pace) Factor() int { return 1 << p.doublings }

// Limits are those of the next batch, given the usual ones. Bytes grow to maxBytes at
// most, which is what the process may hold: then fewer batches are in flight instead.
func (p Pace) Limits(usual Limits, maxBytes int) Limits {
	n := p.Factor()
	return Limits{Rows: usual.Rows * n, Bytes: max(usual.Bytes, min(usual.Bytes*n, maxBytes)), Age: usual.Age * time.Duration(n)}
}
