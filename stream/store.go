// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// laneID names a lane of one generation.
type laneID struct {
	generation uint32
	lane       int32
}

// write is one change of a lane's local store: a state record's key and value, nil
// to delete.
type write struct {
	key   string
	value []byte
}

// store keeps what the changelog holds, lane by lane, on this side of the network.
// It may lag behind the changelog and never holds what was not committed: it is
// written after a commit, together with the changelog position it has come to. Of
// one lane only its holder calls anything; different lanes may be used at once.
type store interface {
	// get is the value under key, nil if there is none. It must not be changed.
	get(id laneID, key []byte) ([]byte, error)
	// apply makes all writes and sets the changelog position, or does nothing. Nothing
	// of writes is kept.
	apply(id laneID, writes []write, nextOffset int64) error
	// each calls fn with all of the lane in the order of the keys, until it fails.
	each(id laneID, fn func(key string, value []byte) error) error
	// position is the next changelog offset to read; 0 for a lane that is empty.
	position(id laneID) (int64, error)
	// wipe forgets the lane.
	wipe(id laneID) error
}

// memory is a store that lives as long as the process.
type memory struct {
	mu    sync.Mutex // guards lanes; each memoryLane belongs to its lane's holder
	lanes map[laneID]*memoryLane
}

type memoryLane struct {
	values     map[string][]byte
	nextOffset int64
}

func newMemory() *memory { return &memory{lanes: map[laneID]*memoryLane{}} }

func (m *memory) lane(id laneID) *memoryLane {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.lanes[id]
	if l == nil {
		l = &memoryLane{values: map[string][]byte{}}
		m.lanes[id] = l
	}
	return l
}

func (m *memory) get(id laneID, key []byte) ([]byte, error) {
	return m.lane(id).values[string(key)], nil
}

func (m *memory) apply(id laneID, writes []write, nextOffset int64) error {
	l := m.lane(id)
	for _, w := range writes {
		switch old := l.values[w.key]; {
		case w.value == nil:
			delete(l.values, w.key)
		case old != nil && cap(old) >= len(w.value):
			l.values[w.key] = append(old[:0], w.value...) // the key stays the one it has
		default:
			l.values[strings.Clone(w.key)] = slices.Clone(w.value)
		}
	}
	l.nextOffset = nextOffset
	return nil
}

func (m *memory) each(id laneID, fn func(key string, value []byte) error) error {
	l := m.lane(id)
	keys := make([]string, 0, len(l.values))
	for k := range l.values {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if err := fn(k, l.values[k]); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) position(id laneID) (int64, error) { return m.lane(id).nextOffset, nil }

func (m *memory) wipe(id laneID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.lanes, id)
	return nil
}

// holders sees to it that a lane which moves between two slots of this process is
// restored by the second only once the first has let go of its part of the store.
type holders struct {
	mu   sync.Mutex
	held map[laneID]chan struct{} // closed by release
}

func newHolders() *holders { return &holders{held: map[laneID]chan struct{}{}} }

// acquire waits until nobody holds the lane, then holds it.
func (h *holders) acquire(ctx context.Context, id laneID) error {
	for {
		h.mu.Lock()
		freed, taken := h.held[id]
		if !taken {
			h.held[id] = make(chan struct{})
			h.mu.Unlock()
			return nil
		}
		h.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return fmt.Errorf("wait for lane %d to be let go: %w", id.lane, context.Cause(ctx))
		}
	}
}

func (h *holders) release(id laneID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if freed, ok := h.held[id]; ok {
		delete(h.held, id)
		close(freed)
	}
}
