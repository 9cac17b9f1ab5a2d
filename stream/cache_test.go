// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"testing"
	"testing/synctest"
	"time"

	"lapwing/stream/lifecycle"
)

// A customer that is only read counts in the cache with its state, as by a stream of
// duplicates.
func TestCacheCountsWhatIsOnlyRead(t *testing.T) {
	k := newCache()
	state := new(lifecycle.State)
	k.add(&customer{id: "ana", state: state})
	if k.bytes < entryBytes+state.Size() {
		t.Errorf("%d bytes are counted, the state takes %d", k.bytes, state.Size())
	}
}

// The cache lets go of those first that were added longest ago, spares once who was used
// since, and keeps who waits to be written or is in the running transaction.
func TestCacheSparesWhoWasUsed(t *testing.T) {
	k := newCache()
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		k.add(&customer{id: id, state: new(lifecycle.State)})
	}
	one := k.bytes / 5
	gone := func(bytes int) (ids string) {
		k.shrink(bytes, func(c *customer) { ids += c.id })
		return ids
	}
	k.get([]byte("a")).used, k.get([]byte("b")).waits, k.get([]byte("d")).touched = true, true, true
	if got := gone(4 * one); got != "c" {
		t.Errorf("%q went first, want c: a was used, b waits", got)
	}
	if got := gone(3 * one); got != "e" {
		t.Errorf("%q went next, want e: d is in the transaction", got)
	}
	if got := gone(0); got != "a" {
		t.Errorf("%q went last, want a, whose use is used up", got)
	}
	if len(k.byID) != 2 || k.bytes != 2*one {
		t.Errorf("%d are left with %d bytes, want b and d", len(k.byID), k.bytes)
	}
	for _, c := range k.byID {
		c.used, c.waits, c.touched = true, false, false
	}
	if got := gone(0); len(got) != 2 || k.bytes != 0 { // all were used: none for ever
		t.Errorf("%q went, %d bytes are left, want all gone", got, k.bytes)
	}
}

// Customers whom the cache let go of are found again in the local store, by a process that
// has seen all there ever were, too.
func TestWhoWasLetGoIsFoundAgain(t *testing.T) {
	messages, last := history(t, 50)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) { c.cache = 16 << 10 })
		half := len(messages) / 2
		w.produce("events", messages[:half]...)
		r := w.start(w.cfg)
		time.Sleep(20 * time.Second) // they are written to the store, and let go of
		w.produce("events", messages[half:]...)
		w.end(last)
		w.wait(r, last)
		r.stop(t)
		w.same(messages, last)
	})
}
