// SPDX-License-Identifier: Apache-2.0

package clock

import (
	"maps"
	"slices"
	"time"

	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
)

// Holds tells which sources hold back the clocks of lanes, moving or not:
//
//	h := clock.NewHolds(time.Minute, true)
//	holding := h.Look(map[int32][]mailbox.SourceState{0: lane.Sources()}, now) // again and again
//
// Of a lane it is the source that stands least far, if that is further behind what the
// lane could have reached than it may be, and stays so as long again: every lane has a
// source that is the last one by a moment.
//
// A Holds belongs to one goroutine at a time.
type Holds struct {
	after   time.Duration
	wall    bool
	sources map[mailbox.Source]*holding
}

// Hold is a source that holds back clocks.
type Hold struct {
	Source mailbox.Source
	Clock  instant.Instant // where it stands; instant.None: it was never heard from
	Since  instant.Instant // by the wall clock: when it was first seen to
	Lanes  []int32         // whose clocks it holds back, in order
}

type holding struct {
	Hold
	told bool
}

// NewHolds tells of sources that have held back clocks by after, for as long as that.
// wall: a lane could have reached the wall clock; else the newest of its own sources.
func NewHolds(after time.Duration, wall bool) *Holds {
	return &Holds{after: after, wall: wall, sources: map[mailbox.Source]*holding{}}
}

// Look takes in where the sources of each lane stand at now, the wall clock, and
// returns those that hold back clocks, by topic and partition. One that was returned
// before is returned until it holds back no lane by half as much.
func (h *Holds) Look(lanes map[int32][]mailbox.SourceState, now instant.Instant) []Hold {
	for _, s := range h.sources {
		s.Lanes = nil
	}
	for _, lane := range slices.Sorted(maps.Keys(lanes)) {
		last, could := least(lanes[lane])
		if h.wall {
			could = now
		}
		if last == nil || could == instant.None {
			continue
		}
		s := h.sources[last.Source]
		limit := h.after
		if s != nil && s.told {
			limit = h.after / 2
		}
		if last.Clock != instant.None && could < last.Clock.Add(limit) {
			continue
		}
		if s == nil {
			s = &holding{Hold: Hold{Source: last.Source, Clock: last.Clock, Since: now}}
			h.sources[last.Source] = s
		}
		if len(s.Lanes) == 0 || last.Clock < s.Clock {
			s.Clock = last.Clock
		}
		s.Lanes = append(s.Lanes, lane)
	}
	var holding []Hold
	for source, s := range h.sources {
		if len(s.Lanes) == 0 {
			delete(h.sources, source)
			continue
		}
		if s.told = s.told || now >= s.Since.Add(h.after); s.told {
			holding = append(holding, s.Hold)
		}
	}
	slices.SortFunc(holding, func(a, b Hold) int { return compareSources(a.Source, b.Source) })
	return holding
}

// Waiting are the lanes whose clocks a source held back at the last Look, in order, for
// however short a time.
func (h *Holds) Waiting(source mailbox.Source) []int32 {
	if s := h.sources[source]; s != nil {
		return s.Lanes
	}
	return nil
}

// least is the open source that stands least far, nil if none is open, and where the
// one furthest on stands.
func least(sources []mailbox.SourceState) (last *mailbox.SourceState, newest instant.Instant) {
	newest = instant.None
	for i := range sources {
		s := &sources[i]
		newest = max(newest, s.Clock)
		if !s.Ended && (last == nil || s.Clock < last.Clock) {
			last = s
		}
	}
	return last, newest
}
