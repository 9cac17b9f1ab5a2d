// SPDX-License-Identifier: Apache-2.0

// Package clock is pure: it turns what is known of the sources of a lane into the
// lane's watermark, the clock by which the deadlines of silent customers fire.
//
// A source is one partition of one input. Its clock is either told directly (a
// partition that the lane reads itself) or travels through the mailbox behind the
// events it vouches for. A lane's watermark is the least clock of all configured
// sources that can reach it, heard from or not, and never goes back:
//
//	l := clock.NewLane(sources, nil)
//	l.Heard(a, 1000) // a source that was never heard from still holds the watermark
//	l.Heard(b, 2000)
//	l.Watermark()    // 1000
//
// A Lane belongs to one goroutine at a time.
package clock

import (
	"slices"

	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
)

// Lane holds the clocks of the sources that can reach one lane.
type Lane struct {
	sources   []mailbox.SourceState
	index     map[mailbox.Source]int
	watermark instant.Instant
}

// NewLane is a lane's clock over the configured sources, each going on from where it
// stood in restored (nil: a lane that never ran). A source that is no longer
// configured is forgotten; a new one holds the watermark until it is heard from.
func NewLane(configured []mailbox.Source, restored *mailbox.Lane) *Lane {
	l := &Lane{index: make(map[mailbox.Source]int, len(configured)), watermark: instant.None}
	for _, s := range configured {
		if _, twice := l.index[s]; twice {
			continue
		}
		l.index[s] = len(l.sources)
		l.sources = append(l.sources, mailbox.SourceState{Source: s, Clock: instant.None, EndAt: instant.None})
	}
	if restored != nil {
		l.watermark = restored.Watermark
		for _, s := range restored.Sources {
			if i, ok := l.index[s.Source]; ok {
				l.sources[i] = s
			}
		}
	}
	return l
}

// Add makes one more source known, as if it had been configured from the beginning: it
// holds the watermark where it stands until it is heard from. One that is known
// already stays as it is.
func (l *Lane) Add(s mailbox.Source) {
	if _, known := l.index[s]; known {
		return
	}
	l.Watermark() // what the others have reached by now stays reached
	l.index[s] = len(l.sources)
	l.sources = append(l.sources, mailbox.SourceState{Source: s, Clock: instant.None, EndAt: instant.None})
}

// Has reports whether s is one of the sources.
func (l *Lane) Has(s mailbox.Source) bool {
	_, ok := l.index[s]
	return ok
}

// Heard says that the source's clock stands at at; an earlier instant changes
// nothing. A source that had ended and moves on is no longer ended.
func (l *Lane) Heard(s mailbox.Source, at instant.Instant) {
	i, ok := l.index[s]
	if !ok || at == instant.None {
		return
	}
	if st := &l.sources[i]; at > st.Clock { // None is less than every instant
		st.Clock = at
		st.Ended = false
	}
}

// Reached says that everything of the source below nextOffset has come to the lane
// (or to its mailbox, ahead of this word). An end that waited for it takes effect.
func (l *Lane) Reached(s mailbox.Source, nextOffset int64) {
	i, ok := l.index[s]
	if !ok {
		return
	}
	st := &l.sources[i]
	st.Position = max(st.Position, nextOffset)
	l.settle(st)
}

// End announces that the source ends at at, once everything below position has come:
// the word may travel faster than what it speaks of.
func (l *Lane) End(s mailbox.Source, at instant.Instant, position int64) {
	i, ok := l.index[s]
	if !ok {
		return
	}
	st := &l.sources[i]
	if st.EndAt == instant.None || at > st.EndAt {
		st.EndAt = at
	}
	st.EndPosition = max(st.EndPosition, position)
	l.settle(st)
}

func (l *Lane) settle(st *mailbox.SourceState) {
	if st.EndAt == instant.None || st.Position < st.EndPosition {
		return
	}
	st.Clock = max(st.Clock, st.EndAt)
	st.Ended = true
	st.EndAt, st.EndPosition = instant.None, 0
}

// Watermark is the lane's clock; instant.None while a source that has not ended was
// never heard from. Once all sources have ended it is where the last one ended.
func (l *Lane) Watermark() instant.Instant {
	least, last, open := instant.Max, instant.None, false
	for i := range l.sources {
		s := &l.sources[i]
		last = max(last, s.Clock)
		if !s.Ended {
			open = true
			least = min(least, s.Clock)
		}
	}
	if !open {
		least = last
	}
	l.watermark = max(l.watermark, least)
	return l.watermark
}

// Holding is the source that holds the watermark back, and how far it has come; ok
// is false if no source is open.
func (l *Lane) Holding() (s mailbox.SourceState, ok bool) {
	for i := range l.sources {
		if l.sources[i].Ended {
			continue
		}
		if !ok || l.sources[i].Clock < s.Clock {
			s, ok = l.sources[i], true
		}
	}
	return s, ok
}

// Sources are the states of the sources, as a lane's changelog keeps them.
func (l *Lane) Sources() []mailbox.SourceState { return slices.Clone(l.sources) }

// Wall finds the clock of a source that is read directly, by the wall clock: the
// instant read *before* asking for the source's end, once all below that end was
// consumed. The zero Wall has no question open.
type Wall struct {
	asked instant.Instant
	end   int64
	open  bool
}

// Ask notes an answered question: at was read, then the end of the source was found
// to be end. While an earlier question waits for its end to be reached, a later one
// is dropped: under load the later end might never be reached.
func (w *Wall) Ask(at instant.Instant, end int64) {
	if !w.open {
		w.asked, w.end, w.open = at, end, true
	}
}

// Reached says how far the source was consumed; it returns the source's clock if
// that answers the open question, else instant.None. nextOffset counts transaction
// markers: the last record's offset is not the end.
func (w *Wall) Reached(nextOffset int64) instant.Instant {
	if !w.open || nextOffset < w.end {
		return instant.None
	}
	w.open = false
	return w.asked
}
