// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/instant"
)

// reading is how far one partition has been read, for those who watch: once per batch
// it is told, nothing is asked of it in between. It belongs to its slot's loop.
type reading struct {
	began    instant.Instant // by the wall clock, as all of these
	end      int64           // the partition's end, as far as it is known
	stamp    instant.Instant // the newest record that was read is of then
	caughtUp instant.Instant // nothing was left to read then
}

func newReading(now instant.Instant) *reading {
	return &reading{began: now, stamp: instant.None, caughtUp: instant.None}
}

// batch tells that a batch was read up to next, its last record being of stamp, while
// the partition ended at end.
func (r *reading) batch(next, end int64, stamp, now instant.Instant) {
	r.end = max(r.end, end)
	r.stamp = max(r.stamp, min(stamp, now)) // a record's timestamp may be anything
	if next >= r.end {
		r.caughtUp = max(r.caughtUp, now)
	}
}

// answered tells that the partition ended at end, which was asked for at asked.
func (r *reading) answered(next, end int64, asked instant.Instant) {
	r.end = max(r.end, end)
	if next >= r.end {
		r.caughtUp = max(r.caughtUp, asked)
	}
}

// lag is what is left to read behind next.
func (r *reading) lag(next int64) lag {
	l := lag{records: max(0, r.end-next), since: max(r.stamp, r.caughtUp)}
	if l.since == instant.None {
		l.since = r.began // at least as long
	}
	return l
}

// lag of one partition.
type lag struct {
	records int64
	since   instant.Instant // what was written before was read
}

func (l lag) seconds(now instant.Instant) float64 {
	if l.records == 0 {
		return 0
	}
	return max(0, float64(now-l.since)/1000)
}

// lastStamp is the timestamp of the last record; instant.None if there is none.
func lastStamp(records []*kgo.Record) instant.Instant {
	if len(records) == 0 {
		return instant.None
	}
	return instant.Of(records[len(records)-1].Timestamp)
}
