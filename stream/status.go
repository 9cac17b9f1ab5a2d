// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"lapwing/schemas/instant"
)

// status is what others may ask of a running worker. Safe for concurrent use.
type status struct {
	mu      sync.Mutex
	lanes   map[int32]laneStatus
	slots   map[int]bool // that have had an assignment
	want    int
	loading map[int32]progress // lanes that are being restored
	over    bool
	changed chan struct{} // closed and replaced on every change
}

type laneStatus struct {
	watermark instant.Instant // committed
	settled   bool            // no deadline up to it is left
	taking    bool            // it takes over from another generation
	unread    int64           // records left to read, of the partition furthest behind
}

// progress of a restore: offsets of the changelog.
type progress struct{ next, end int64 }

func newStatus(slots int) *status {
	return &status{
		lanes: map[int32]laneStatus{}, slots: map[int]bool{}, want: slots, loading: map[int32]progress{},
		changed: make(chan struct{}),
	}
}

func (s *status) update(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

// restoring, progress and restored tell of a lane that is being read from the
// changelog. What is said of one that was taken away meanwhile is not heard.
func (s *status) restoring(lane int32) { s.update(func() { s.loading[lane] = progress{} }) }

func (s *status) progress(lane int32, next, end int64) {
	s.update(func() {
		if _, still := s.loading[lane]; still {
			s.loading[lane] = progress{next: next, end: end}
		}
	})
}
func (s *status) restored(lane int32) { s.update(func() { delete(s.loading, lane) }) }

func (s *status) lost(lane int32) {
	s.update(func() { delete(s.lanes, lane); delete(s.loading, lane) })
}
func (s *status) assigned(slot int) { s.update(func() { s.slots[slot] = true }) }

// left is called when a slot's session is over: until the next one has joined, the process
// is not ready.
func (s *status) left(slot int) { s.update(func() { delete(s.slots, slot) }) }

func (s *status) stopped() { s.update(func() { s.over = true }) }

// committed is called by the lane's holder; the status takes a copy.
func (s *status) committed(l *lane) error {
	now := laneStatus{watermark: l.record.Watermark, unread: l.mostUnread()}
	if l.committed == nil {
		now.watermark = instant.None
	}
	due, err := l.firstDue(now.watermark)
	if err != nil {
		return err
	}
	now.settled = due == nil && l.takeover == nil && len(l.record.Former) == 0 && !l.succeeds()
	now.taking = l.takeover != nil
	s.mu.Lock()
	same := s.lanes[l.id.Lane] == now
	s.mu.Unlock()
	if !same {
		s.update(func() { s.lanes[l.id.Lane] = now })
	}
	return nil
}

// waiting says why the process is not ready, lane by lane; empty: it is. lag is how
// many records each partition may be behind.
func (s *status) waiting(lag int64) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var why []string
	switch {
	case s.over:
		return []string{"it has stopped"}
	case len(s.slots) < s.want:
		why = append(why, fmt.Sprintf("%d of %d slots have joined the group", len(s.slots), s.want))
	}
	for _, lane := range slices.Sorted(maps.Keys(s.loading)) {
		p := s.loading[lane]
		why = append(why, fmt.Sprintf("lane %d is being restored, %d records to go", lane, max(0, p.end-p.next)))
	}
	for _, lane := range slices.Sorted(maps.Keys(s.lanes)) {
		if s.lanes[lane].taking {
			why = append(why, fmt.Sprintf("lane %d takes over from the generation before", lane))
		}
		if l := s.lanes[lane]; l.unread > lag {
			why = append(why, fmt.Sprintf("lane %d is %d records behind", lane, l.unread))
		}
	}
	return why
}

// restores is how far the lanes are that are being restored.
func (s *status) restores() map[int32]progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.loading)
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
