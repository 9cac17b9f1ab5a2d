// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"slices"
	"time"
)

// Aggregates is what the counts and sums of periods are kept by.
type Aggregates struct {
	// By are the segments by which events and sessions are counted, beside the stages.
	By []Text
	// CloseAfter is how far behind the clock counts still change; 35d by default.
	CloseAfter time.Duration
}

// Defaults of the keys `sessions` and `aggregates`.
const (
	DefaultSessionGap = 30 * time.Minute
	DefaultCloseAfter = 35 * day
)

// maxBy bounds the segments to count by: each takes as many counts as all customers do.
const maxBy = 20

func (r *fileReader) readSessions(top *fields) {
	r.d.SessionGap = DefaultSessionGap
	n := top.get("sessions")
	if n == nil {
		return
	}
	if f, ok := r.fields(n, "`sessions`", "gap"); ok {
		r.d.SessionGap = r.duration(f.require("gap"), "`gap`", aboveZero, DefaultSessionGap)
	}
}

func (r *fileReader) readAggregates(top *fields) {
	a := &r.d.Aggregates
	a.CloseAfter = DefaultCloseAfter
	n := top.get("aggregates")
	if n == nil {
		return
	}
	f, ok := r.fields(n, "`aggregates`", "by", "close_after")
	if !ok {
		return
	}
	if len(n.entries) == 0 {
		r.add(n.pos, "`aggregates` is empty: give it `by` or `close_after`, or take the key out")
	}
	a.CloseAfter = r.duration(f.get("close_after"), "`close_after`", aboveZero, DefaultCloseAfter)
	if by := f.get("by"); by != nil {
		r.readBy(by)
	}
}

// readBy reads the segments to count by.
func (r *fileReader) readBy(n *node) {
	names := make([]string, len(r.d.Segments))
	for i, s := range r.d.Segments {
		names[i] = s.Name.Value
	}
	seen := map[string]Pos{}
	for _, item := range r.items(n, "`by`") {
		t, ok := r.text(item, "a segment")
		if !ok {
			continue
		}
		if first, twice := seen[t.Value]; twice {
			r.add(t.Pos, "segment %s is listed on line %d already", quote(t.Value), first.Line)
			continue
		}
		seen[t.Value] = t.Pos
		switch {
		case !slices.Contains(names, t.Value):
			r.add(t.Pos, "there is no segment %s%s", quote(t.Value), suggestKey(t.Value, names))
		case len(r.d.Aggregates.By) == maxBy:
			r.add(t.Pos, "counts are kept by at most %d segments: take some out", maxBy)
			return
		default:
			r.d.Aggregates.By = append(r.d.Aggregates.By, t)
		}
	}
}
