// SPDX-License-Identifier: Apache-2.0

package clock

import (
	"cmp"
	"slices"
	"time"

	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
)

// Stalls tells which sources stand still and thereby hold back a clock. Each is told
// once when that begins and once when it ends:
//
//	s := clock.NewStalls(5*time.Minute, true)
//	began, ended := s.Look(lane.Sources(), now) // again and again
//
// A source that moves is in no stall, however far behind it is: that is lag. One that
// is in a stall leaves it only when it has really gone on, so that one which moves a
// little now and then is not told again and again.
//
// A Stalls belongs to one goroutine at a time.
type Stalls struct {
	after   time.Duration
	wall    bool
	sources map[mailbox.Source]*standing
}

// Stall is a source that stands still.
type Stall struct {
	Source mailbox.Source
	Clock  instant.Instant // where it stands; instant.None: it was never heard from
	Since  instant.Instant // by the wall clock: when it was first seen there
}

// standing is what is known of one source.
type standing struct {
	Stall
	told  bool
	until instant.Instant // the clock that ends the stall, once told
}

// NewStalls tells of sources that have stood still for after. wall says what a source
// holds back if it does: deadlines by the wall clock; else those by the newest clock
// of all sources that are looked at.
func NewStalls(after time.Duration, wall bool) *Stalls {
	return &Stalls{after: after, wall: wall, sources: map[mailbox.Source]*standing{}}
}

// Look takes in where the sources stand at now, the wall clock, and returns the stalls
// that began or ended since the last look, each list by topic and partition. A source
// that has ended, or is not among them any more, holds back nothing. One may be there
// several times, for several lanes: the least of its clocks counts.
func (s *Stalls) Look(sources []mailbox.SourceState, now instant.Instant) (began, ended []Stall) {
	open, newest := map[mailbox.Source]instant.Instant{}, instant.None
	for i := range sources {
		newest = max(newest, sources[i].Clock)
		if sources[i].Ended {
			continue
		}
		at, twice := open[sources[i].Source]
		if !twice || sources[i].Clock < at {
			open[sources[i].Source] = sources[i].Clock
		}
	}
	for src, st := range s.sources {
		if _, there := open[src]; !there {
			if st.told {
				ended = append(ended, st.Stall)
			}
			delete(s.sources, src)
		}
	}
	for src, at := range open {
		st := s.sources[src]
		if st == nil {
			st = &standing{Stall: Stall{Source: src, Clock: at, Since: now}}
			s.sources[src] = st
		}
		if st.told {
			if at >= st.until || s.close(at, now, newest) {
				ended = append(ended, st.Stall)
				st.told = false
			}
		}
		if st.told {
			continue // Clock and Since are those it was told with
		}
		if at != st.Clock {
			st.Clock, st.Since = at, now
		}
		if now >= st.Since.Add(s.after) && s.holds(at, now, newest) {
			st.told, st.until = true, s.gone(at, newest)
			began = append(began, st.Stall)
		}
	}
	slices.SortFunc(began, bySource)
	slices.SortFunc(ended, bySource)
	return began, ended
}

// Standing are the stalls that have been told and not ended, by topic and partition.
func (s *Stalls) Standing() []Stall {
	var now []Stall
	for _, st := range s.sources {
		if st.told {
			now = append(now, st.Stall)
		}
	}
	slices.SortFunc(now, bySource)
	return now
}

// holds reports whether something waits for a source that stands at at.
func (s *Stalls) holds(at, now, newest instant.Instant) bool {
	if s.wall {
		return at == instant.None || now >= at.Add(s.after)
	}
	return at < newest
}

// close reports whether a source has caught up with what waits for it.
func (s *Stalls) close(at, now, newest instant.Instant) bool {
	if s.wall {
		return at != instant.None && now <= at.Add(s.after/2)
	}
	return at >= newest
}

// gone is the clock at which a source that stood at at has really gone on.
func (s *Stalls) gone(at, newest instant.Instant) instant.Instant {
	switch {
	case !s.wall:
		return newest
	case at == instant.None: // the first word is the news
		return instant.None + 1
	}
	return at.Add(s.after)
}

func bySource(a, b Stall) int { return compareSources(a.Source, b.Source) }

func compareSources(a, b mailbox.Source) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
}
