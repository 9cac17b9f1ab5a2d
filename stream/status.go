// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"lapwing/schemas/instant"
)

// status is what others may ask of a running worker. Safe for concurrent use.
type status struct {
	mu      sync.Mutex
	lanes   map[int32]laneStatus
	slots   map[int]bool // that have had an assignment
	want    int
	over    bool
	changed chan struct{} // closed and replaced on every change
}

type laneStatus struct {
	watermark instant.Instant // committed
	settled   bool            // no deadline up to it is left
}

func newStatus(slots int) *status {
	return &status{lanes: map[int32]laneStatus{}, slots: map[int]bool{}, want: slots, changed: make(chan struct{})}
}

func (s *status) update(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

// owned and committed are called by the lane's holder; the status takes a copy.
func (s *status) owned(l *lane)     { s.committed(l) }
func (s *status) lost(l *lane)      { s.update(func() { delete(s.lanes, l.id.lane) }) }
func (s *status) assigned(slot int) { s.update(func() { s.slots[slot] = true }) }
func (s *status) stopped()          { s.update(func() { s.over = true }) }
func (s *status) committed(l *lane) {
	now := laneStatus{watermark: l.record.Watermark}
	if l.committed == nil {
		now.watermark = instant.None
	}
	now.settled = l.due.next(now.watermark) == nil
	s.mu.Lock()
	same := s.lanes[l.id.lane] == now
	s.mu.Unlock()
	if !same {
		s.update(func() { s.lanes[l.id.lane] = now })
	}
}

func (s *status) ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.slots) == s.want && !s.over
}

func (s *status) watermarks() map[int32]instant.Instant {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := make(map[int32]instant.Instant, len(s.lanes))
	for lane, l := range s.lanes {
		at[lane] = l.watermark
	}
	return at
}

var errStopped = errors.New("the worker has stopped")

func (s *status) wait(ctx context.Context, lanes int, at instant.Instant) error {
	for {
		s.mu.Lock()
		done := 0
		for _, l := range s.lanes {
			if l.watermark >= at && l.settled {
				done++
			}
		}
		changed, over := s.changed, s.over
		s.mu.Unlock()
		switch {
		case done == lanes:
			return nil
		case over:
			return errStopped
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for %d of %d lanes: %w", lanes-done, lanes, context.Cause(ctx))
		}
	}
}
