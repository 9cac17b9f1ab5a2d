// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"container/heap"
	"slices"

	"lapwing/schemas/instant"
	"lapwing/stream/store"
)

// dueIndex orders deadlines of a lane. It holds those of the local store up to
// `loaded`, and all that were set since; the later ones of the store stay there. An
// entry counts only while it is what its customer says: one that is no longer true
// is passed over when its time comes.
type dueIndex struct {
	heap   dueHeap
	loaded store.Deadline // of the store all up to here are in the heap
	whole  bool           // all there are
	// trimmed is how many were left by the last trim.
	trimmed int
}

func newDueIndex() dueIndex { return dueIndex{loaded: store.Deadline{At: instant.None}} }

func (d *dueIndex) add(e store.Deadline) {
	if e.At != instant.None {
		heap.Push(&d.heap, e)
	}
}

func (d *dueIndex) first() (store.Deadline, bool) {
	if len(d.heap) == 0 {
		return store.Deadline{}, false
	}
	return d.heap[0], true
}

func (d *dueIndex) pop() { heap.Pop(&d.heap) }

// wants reports whether the store may have a deadline up to clock that comes before
// the first of the heap.
func (d *dueIndex) wants(clock instant.Instant) bool {
	if d.whole || d.loaded.At > clock {
		return false
	}
	return len(d.heap) == 0 || !d.heap[0].Before(d.loaded)
}

// load takes the next deadlines of the store; last: it has no more.
func (d *dueIndex) load(found []store.Deadline, last bool) {
	for _, e := range found {
		heap.Push(&d.heap, e)
	}
	if len(found) > 0 {
		d.loaded = found[len(found)-1]
	}
	d.whole = last
}

// trimAbove is how many deadlines a lane holds in memory before it leaves the later
// ones to the store.
const trimAbove = 4 * dueChunk

// trim lets go of later deadlines that the store has, once there are many; waits tells
// of one that it does not have yet.
func (d *dueIndex) trim(waits func(store.Deadline) bool) {
	if len(d.heap) <= max(trimAbove, d.trimmed*2) {
		return
	}
	slices.SortFunc(d.heap, store.Deadline.Compare)
	d.heap = slices.Compact(d.heap)
	leave := func(e store.Deadline) bool { return d.loaded.Before(e) && !waits(e) }
	if !d.whole {
		d.heap = slices.DeleteFunc(d.heap, leave)
	}
	if last := dueChunk - 1; len(d.heap) > trimAbove && (d.whole || d.heap[last].Before(d.loaded)) {
		// Never later than it was: between the two are deadlines that only the store has,
		// however many of those beyond wait.
		d.loaded, d.whole = d.heap[last], false
		d.heap = slices.DeleteFunc(d.heap, leave)
	}
	d.heap = slices.Clone(d.heap) // a sorted slice is a heap
	d.trimmed = len(d.heap)
}

type dueHeap []store.Deadline

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].Before(h[j]) }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

func (h *dueHeap) Push(x any) {
	*h = append(*h, x.(store.Deadline)) //nolint:forcetypeassert // only add and load push
}

func (h *dueHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = store.Deadline{}
	*h = old[:len(old)-1]
	return e
}
