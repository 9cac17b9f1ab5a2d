// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"lapwing/schemas/instant"
	"lapwing/stream/lifecycle"
)

// customer is one customer of a lane that is at hand.
type customer struct {
	id    string
	state *lifecycle.State // as of the last step
	due   instant.Instant  // as of the state
	// version is that of the definition by which the state was made.
	version int64

	touched bool   // in this transaction
	changed bool   // its profile may differ from the last one published
	stored  bool   // it exists, as of the last commit
	begun   bool   // it exists, as of this transaction
	pending []byte // the encoding that this transaction writes; the outbox's memory

	// While waits is set, committed is the encoding as of the last commit, which the
	// local store does not have yet; nil: the customer has ended.
	waits     bool
	committed []byte
	storeDue  instant.Instant // its deadline in the store's index

	size         int  // in the cache
	counted      int  // the length of the encoding when size was set
	measured     int  // what its state takes, if this transaction's encoding has another length; else 0
	used         bool // since it was added or spared
	newer, older *customer
}

// cache holds the customers of a lane that are at hand: those of the running
// transaction, those that wait to be written to the local store, and others that
// were used lately.
type cache struct {
	byID  map[string]*customer
	ends  customer // ends.newer is the one added or spared longest ago, ends.older the latest
	bytes int
}

func newCache() cache { return cache{byID: map[string]*customer{}} }

func (k *cache) get(id []byte) *customer { return k.byID[string(id)] }

func (k *cache) add(c *customer) {
	k.byID[c.id] = c
	c.size = entryBytes + c.state.Size() // it may only be read, as by duplicates
	k.bytes += c.size
	k.link(c)
}

// entryBytes is what a customer takes in the cache beside its state and its encoding:
// the struct, its id, and its place in the map.
const entryBytes = 240

// measure is called while the state is at hand: for resize, it is far.
func (c *customer) measure() {
	c.measured = 0
	if len(c.pending) != c.counted {
		c.measured = c.state.Size()
	}
}

// resize counts anew what c takes, if its encoding has another length than when it
// was counted last.
func (k *cache) resize(c *customer) {
	if c.measured == 0 {
		return
	}
	c.counted = len(c.committed)
	size := entryBytes + cap(c.committed) + c.measured
	k.bytes += size - c.size
	c.size = size
}

func (k *cache) drop(c *customer) {
	k.unlink(c)
	delete(k.byID, c.id)
	k.bytes -= c.size
}

func (k *cache) link(c *customer) {
	last := k.ends.older
	if last == nil {
		last = &k.ends
	}
	c.older, c.newer = last, nil
	last.newer, k.ends.older = c, c
}

func (k *cache) unlink(c *customer) {
	c.older.newer = c.newer
	if c.newer != nil {
		c.newer.older = c.older
	} else {
		k.ends.older = c.older
	}
	c.newer, c.older = nil, nil
}

// shrink lets go of customers until the cache takes at most so many bytes, and calls fn
// with each before: those first that were added or spared longest ago. One that was used
// since is spared once (the clock algorithm: to be used is to set a flag, where a list by
// time of use touches its neighbours in memory). Those that wait to be written stay.
func (k *cache) shrink(bytes int, fn func(*customer)) {
	for c := k.ends.newer; c != nil && k.bytes > bytes; {
		next := c.newer
		switch {
		case c.waits || c.touched:
		case c.used:
			c.used = false
			if next != nil { // else it is the latest, and all have been asked
				k.unlink(c)
				k.link(c)
			} else {
				next = c
			}
		default:
			fn(c)
			k.drop(c)
		}
		c = next
	}
}
