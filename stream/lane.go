// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bytes"
	"fmt"

	"github.com/bits-and-blooms/bloom/v3"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/stream/aggregate"
	"lapwing/stream/clock"
	"lapwing/stream/lifecycle"
	"lapwing/stream/store"
)

// position is how far a lane has taken in one of its partitions.
type position struct {
	nextOffset int64
	epoch      int32
}

// lane is one lane while this process owns it. What a transaction changes is undone
// by rollback until commit has made it final. What was committed last is, of a
// customer, its `committed` bytes while they wait to be written to the local store,
// else what the store has; of the totals, what they keep themselves; of clock and
// positions, the last lane record. Owned by its slot's loop.
type lane struct {
	id    store.Lane
	model *lifecycle.Model // by which events are taken in
	store *store.Store

	defs, defsBefore succession // now, and as of the last commit

	cache     cache
	due       dueIndex
	totals    *aggregate.Totals
	settings  announced
	clock     *clock.Lane
	walls     map[mailbox.Source]*clock.Wall
	positions map[string]position // by topic
	unread    map[string]int64    // records left to read, by topic, as of the last fetch
	reads     map[string]*reading // by topic

	touched []*customer
	notes   []note // state records of this transaction that are not customers'
	born    int64  // customers that this transaction begins, less those that it ends
	behind  writeBehind

	bounds   *bounds             // of a shadow
	hold     map[string]*holding // partitions that stand at a bound, by topic
	takeover *takeover           // what is left to do before the lane is live

	// seen has all customers there ever were, and is mistaken in some others: who is not in
	// it need not be looked for in the store. nil if not all of them came by this process.
	seen *bloom.BloomFilter

	configured []mailbox.Source
	record     mailbox.Lane // definition, publish_from; the rest as of the last commit
	committed  []byte       // the lane record as it stands in the changelog; nil: none
	pending    []byte       // the one this transaction writes
	pendingRec mailbox.Lane
}

// note is a state record of a lane that is not a customer's; a nil value deletes it.
type note struct {
	kind  mailbox.StateKind
	id    string
	value []byte
}

// find is the customer, with its state decoded; one that is not known is begun.
func (l *lane) find(id []byte) (*customer, error) {
	if c := l.cache.get(id); c != nil {
		return c, nil
	}
	c := &customer{id: string(id), version: l.made(), due: instant.None, storeDue: instant.None}
	if l.seen != nil && !l.seen.Test(id) {
		c.state = new(lifecycle.State)
	} else if err := l.read(c); err != nil {
		return nil, err
	}
	l.cache.add(c)
	if !c.stored {
		if l.seen != nil {
			l.seen.Add(id)
		}
		// Touched at once: a customer that comes to nothing is dropped at the end.
		l.touch(c)
	}
	return c, nil
}

// read sets the customer's state to that of the last commit.
func (l *lane) read(c *customer) error {
	value := c.committed
	if !c.waits {
		var err error
		l.behind.buf, c.stored, err = l.store.Get(l.id, byte(mailbox.StateCustomer), []byte(c.id), l.behind.buf[:0])
		if err != nil {
			return fmt.Errorf("read a customer of lane %d: %w", l.id.Lane, err)
		}
		value = l.behind.buf
	}
	c.state = new(lifecycle.State)
	if !c.stored {
		c.due, c.version = instant.None, l.made()
		return nil
	}
	due, encoded, err := mailbox.DecodeCustomer(value)
	if err != nil {
		return fmt.Errorf("lane %d: %w", l.id.Lane, err)
	}
	if c.version, err = l.defs.lineage.Decode(encoded, c.state); err != nil {
		return fmt.Errorf("decode a customer of lane %d: %w", l.id.Lane, err)
	}
	c.due = due
	if !c.waits {
		c.storeDue = due
	}
	return nil
}

// shrink lets the cache have at most so many bytes. Whom it lets go of stays at hand as
// an encoding, which takes a fifth of the memory.
func (l *lane) shrink(bytes int) {
	l.cache.shrink(bytes, func(c *customer) {
		if c.stored {
			l.behind.buf = l.modelOf(c).AppendState(mailbox.AppendCustomer(l.behind.buf[:0], c.due), c.state)
			l.store.Keep(l.id, byte(mailbox.StateCustomer), []byte(c.id), l.behind.buf)
		}
	})
}

// modelOf is the model that a customer's state was made by.
func (l *lane) modelOf(c *customer) *lifecycle.Model {
	if c.version == l.made() {
		return l.model
	}
	return l.defs.lineage.Model(c.version)
}

func (l *lane) touch(c *customer) {
	if !c.touched {
		c.touched = true
		l.touched = append(l.touched, c)
		c.used = true
	}
}

// setDue notes when the customer is due next.
func (l *lane) setDue(c *customer, at instant.Instant) {
	if at != c.due {
		c.due = at
		l.due.add(store.Deadline{At: at, ID: c.id})
	}
}

// nextDue is the customer that is due first, if it is due at clock; else nil. It is
// taken out of the index and touched: what is done with it must set its deadline anew.
func (l *lane) nextDue(clock instant.Instant) (*customer, error) {
	c, err := l.firstDue(clock)
	if c != nil {
		l.due.pop()
		c.due = instant.None // so that setDue puts it back
		l.touch(c)
	}
	return c, err
}

// firstDue is the customer that is due first, if it is due at clock; else nil.
func (l *lane) firstDue(clock instant.Instant) (*customer, error) {
	for {
		if l.due.wants(clock) {
			if err := l.loadDue(); err != nil {
				return nil, err
			}
			continue
		}
		d, ok := l.due.first()
		if !ok || d.At > clock {
			return nil, nil //nolint:nilnil // nobody is due
		}
		c := l.cache.get([]byte(d.ID))
		if c == nil {
			c = &customer{id: d.ID, due: instant.None, storeDue: instant.None}
			if err := l.read(c); err != nil {
				return nil, err
			}
			if c.stored {
				l.cache.add(c)
			}
		}
		if c.due == d.At {
			return c, nil
		}
		// What stands in the index is of before: the customer has another deadline now.
		l.due.pop()
		if c.storeDue != d.At {
			l.behind.staleDue = append(l.behind.staleDue, d)
		}
	}
}

const dueChunk = 1024

// loadDue brings the next deadlines of the store into the index.
func (l *lane) loadDue() error {
	found, err := l.store.Deadlines(l.id, l.due.loaded, dueChunk)
	if err != nil {
		return fmt.Errorf("read the deadlines of lane %d: %w", l.id.Lane, err)
	}
	l.due.load(found, len(found) < dueChunk)
	return nil
}

// laneRecord is what the lane's own state record says now.
func (l *lane) laneRecord() mailbox.Lane {
	r := l.record
	r.Watermark = l.watermark()
	if l.takeover != nil && l.takeover.finished {
		r.PublishFrom = l.takeover.publishFrom
	}
	r.ClosedUntil, r.TooLate = l.totals.Settled().Add(-definition.DefaultCloseAfter), l.totals.TooLate()
	r.Customers += l.born
	l.defs.in(&r, l.model)
	r.Sources = l.clock.Sources()
	r.Positions = nil
	for topic, p := range l.positions {
		r.Positions = append(r.Positions, mailbox.Position{Topic: topic, NextOffset: p.nextOffset})
	}
	r.Sort()
	return r
}

// commit makes the transaction final; nextOffset is the changelog's behind it, 0 if
// nothing was written there.
func (l *lane) commit(nextOffset int64) {
	for _, c := range l.touched {
		c.touched, c.changed = false, false
		if !c.begun && !c.stored && !c.waits {
			l.cache.drop(c) // it has come to nothing
			continue
		}
		l.behind.customer(c)
		l.cache.resize(c)
		c.stored = c.begun
	}
	for _, n := range l.notes {
		l.behind.note(n)
	}
	if nextOffset > 0 {
		l.behind.nextOffset = nextOffset
	}
	l.totals.Commit()
	l.settings.commit()
	if l.pending != nil {
		l.committed, l.record = bytes.Clone(l.pending), l.pendingRec
	}
	l.commitDefinitions()
	l.takeover.commit(l)
	l.endTransaction()
}

// rollback takes everything back to the last commit.
func (l *lane) rollback() error {
	l.rollbackDefinitions()
	for _, c := range l.touched {
		c.touched, c.changed, c.pending = false, false, nil
		if !c.stored && !c.waits {
			l.cache.drop(c)
			continue
		}
		if err := l.read(c); err != nil {
			return err
		}
		l.due.add(store.Deadline{At: c.due, ID: c.id}) // it may have been taken out
	}
	l.totals.Rollback()
	l.settings.rollback()
	l.takeover.rollback()
	l.resetToRecord()
	l.endTransaction()
	return nil
}

// resetToRecord sets clock and positions to what the last lane record says. What the
// clock had learnt from records that are to be read again is learnt again.
func (l *lane) resetToRecord() {
	var restored *mailbox.Lane
	if l.committed != nil {
		restored = &l.record
	}
	l.clock = clock.NewLane(l.configured, restored)
	l.walls = map[mailbox.Source]*clock.Wall{}
	for topic, p := range l.positions {
		for _, committed := range l.record.Positions {
			if committed.Topic == topic {
				p.nextOffset = committed.NextOffset
			}
		}
		l.positions[topic] = p
		l.clock.Reached(mailbox.Source{Topic: topic, Partition: l.id.Lane}, p.nextOffset)
	}
}

func (l *lane) endTransaction() {
	clear(l.touched)
	l.touched, l.notes, l.pending, l.born = l.touched[:0], l.notes[:0], nil, 0
}

// release ends the lane in this slot: what was committed goes to the store, so that
// whoever comes next in this process finds it there.
func (l *lane) release() error {
	if err := l.rollback(); err != nil {
		return err
	}
	if l.behind.failed {
		return nil
	}
	return l.flush(0, 0)
}

// mostUnread is how far the partition furthest behind is from its end, in records.
func (l *lane) mostUnread() (records int64) {
	for _, n := range l.unread {
		records = max(records, n)
	}
	return records
}
