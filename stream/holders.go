// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"fmt"
	"sync"

	"lapwing/stream/store"
)

// holders sees to it that a lane which moves between two slots of this process is
// restored by the second only once the first has let go of its part of the store.
type holders struct {
	mu   sync.Mutex
	held map[store.Lane]chan struct{} // closed by release
}

func newHolders() *holders { return &holders{held: map[store.Lane]chan struct{}{}} }

// acquire waits until nobody holds the lane, then holds it.
func (h *holders) acquire(ctx context.Context, id store.Lane) error {
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
			return fmt.Errorf("wait for lane %d to be let go: %w", id.Lane, context.Cause(ctx))
		}
	}
}

func (h *holders) release(id store.Lane) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if freed, ok := h.held[id]; ok {
		delete(h.held, id)
		close(freed)
	}
}
