// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"container/heap"

	"lapwing/schemas/instant"
)

// dueIndex orders the customers of a lane by their next deadline. It holds each at
// most once, so its size is that of the lane's customers, not of its events.
type dueIndex struct{ heap dueHeap }

// set puts the customer at its due instant, or takes it out if it has none.
func (d *dueIndex) set(c *customer, due instant.Instant) {
	switch {
	case c.due == due && (c.place >= 0) == (due != instant.None):
	case due == instant.None:
		if c.place >= 0 {
			heap.Remove(&d.heap, c.place)
		}
		c.due = due
	case c.place < 0:
		c.due = due
		heap.Push(&d.heap, c)
	default:
		c.due = due
		heap.Fix(&d.heap, c.place)
	}
}

// next is the customer that is due first, if it is due at clock; else nil.
func (d *dueIndex) next(clock instant.Instant) *customer {
	if len(d.heap) == 0 || d.heap[0].due > clock {
		return nil
	}
	return d.heap[0]
}

type dueHeap []*customer

func (h dueHeap) Len() int { return len(h) }
func (h dueHeap) Less(i, j int) bool {
	return h[i].due < h[j].due || h[i].due == h[j].due && h[i].id < h[j].id
}

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *dueHeap) Push(x any) {
	c := x.(*customer) //nolint:forcetypeassert // only set pushes
	c.place = len(*h)
	*h = append(*h, c)
}

func (h *dueHeap) Pop() any {
	old := *h
	c := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	c.place = -1
	return c
}
