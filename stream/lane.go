// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bytes"
	"fmt"

	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/stream/aggregate"
	"lapwing/stream/clock"
	"lapwing/stream/lifecycle"
)

// customer is one customer of a lane. Those with nothing in the store and nothing
// pending are not kept.
type customer struct {
	id    string
	state *lifecycle.State // decoded; nil: as the store has it
	due   instant.Instant  // as of the state
	place int              // in the lane's dueIndex; -1: not in it

	touched bool // in this transaction
	changed bool // its profile may differ from the last one published
	stored  bool // the store has it, as of the last commit
}

// position is how far a lane has taken in one of its partitions.
type position struct {
	nextOffset int64
	epoch      int32
}

// lane is one lane while this process owns it. What a transaction changes is undone
// by rollback until commit has made it final: customers and totals are then what the
// store has, clock and positions what the last lane record says. Owned by its slot's
// loop, but for gone.
type lane struct {
	id    laneID
	model *lifecycle.Model
	store store

	customers map[string]*customer
	decoded   int // customers whose state is at hand
	due       dueIndex
	totals    *aggregate.Totals
	clock     *clock.Lane
	walls     map[mailbox.Source]*clock.Wall
	positions map[string]position // by topic

	touched []*customer
	writes  []write
	keyBuf  []byte

	configured []mailbox.Source
	record     mailbox.Lane // definition, publish_from; the rest as of the last commit
	committed  []byte       // the lane record as it stands in the changelog; nil: none
	pending    []byte       // the one this transaction writes
	pendingRec mailbox.Lane
}

// find is the customer, with its state decoded.
func (l *lane) find(id []byte) (*customer, error) {
	c := l.customers[string(id)]
	if c == nil {
		c = &customer{id: string(id), due: instant.None, place: -1, state: new(lifecycle.State)}
		l.customers[c.id] = c
		l.decoded++
		// Touched at once: a customer that comes to nothing is dropped at the end.
		l.touch(c)
		return c, nil
	}
	return c, l.load(c)
}

// load decodes the customer's state if it is not at hand.
func (l *lane) load(c *customer) error {
	if c.state != nil {
		return nil
	}
	l.keyBuf = mailbox.AppendStateKey(l.keyBuf[:0], mailbox.StateCustomer, l.id.generation, c.id)
	value, err := l.store.get(l.id, l.keyBuf)
	if err != nil {
		return fmt.Errorf("read a customer of lane %d: %w", l.id.lane, err)
	}
	_, encoded, err := mailbox.DecodeCustomer(value)
	if err != nil {
		return fmt.Errorf("lane %d: %w", l.id.lane, err)
	}
	s := new(lifecycle.State)
	if err := l.model.DecodeState(encoded, s); err != nil {
		return fmt.Errorf("decode a customer of lane %d: %w", l.id.lane, err)
	}
	c.state = s
	l.decoded++
	return nil
}

func (l *lane) touch(c *customer) {
	if !c.touched {
		c.touched = true
		l.touched = append(l.touched, c)
	}
}

// laneRecord is what the lane's own state record says now.
func (l *lane) laneRecord() mailbox.Lane {
	r := l.record
	r.Watermark = l.clock.Watermark()
	r.ClosedUntil, r.TooLate = l.totals.ClosedUntil(), l.totals.TooLate()
	r.Sources = l.clock.Sources()
	r.Positions = nil
	for topic, p := range l.positions {
		r.Positions = append(r.Positions, mailbox.Position{Topic: topic, NextOffset: p.nextOffset})
	}
	r.Sort()
	return r
}

// commit makes the transaction final: the store gets its writes, with the changelog
// position behind them.
func (l *lane) commit(nextOffset int64, cache int) error {
	if len(l.writes) > 0 {
		if err := l.store.apply(l.id, l.writes, nextOffset); err != nil {
			return fmt.Errorf("write lane %d to the local store: %w", l.id.lane, err)
		}
	}
	for _, c := range l.touched {
		c.touched, c.changed = false, false
		c.stored = c.state.Begun()
		if !c.stored {
			l.forget(c)
		}
	}
	l.totals.Commit()
	if l.pending != nil {
		l.committed, l.record = bytes.Clone(l.pending), l.pendingRec
	}
	l.endTransaction()
	l.shrink(cache)
	return nil
}

// rollback takes everything back to the last commit.
func (l *lane) rollback() error {
	for _, c := range l.touched {
		c.touched, c.changed = false, false
		if !c.stored {
			l.forget(c)
			continue
		}
		c.state = nil
		l.decoded--
		l.keyBuf = mailbox.AppendStateKey(l.keyBuf[:0], mailbox.StateCustomer, l.id.generation, c.id)
		value, err := l.store.get(l.id, l.keyBuf)
		if err != nil {
			return fmt.Errorf("read a customer of lane %d: %w", l.id.lane, err)
		}
		due, _, err := mailbox.DecodeCustomer(value)
		if err != nil {
			return fmt.Errorf("lane %d: %w", l.id.lane, err)
		}
		l.due.set(c, due)
	}
	l.totals.Rollback()
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
		l.clock.Reached(mailbox.Source{Topic: topic, Partition: l.id.lane}, p.nextOffset)
	}
}

func (l *lane) endTransaction() {
	l.touched, l.writes, l.pending = l.touched[:0], l.writes[:0], nil
}

func (l *lane) forget(c *customer) {
	l.due.set(c, instant.None)
	if c.state != nil {
		l.decoded--
	}
	delete(l.customers, c.id)
}

// shrink lets go of decoded states until the lane keeps at most so many; which ones
// does not matter to any result.
func (l *lane) shrink(cache int) {
	if l.decoded <= cache {
		return
	}
	for _, c := range l.customers {
		if c.state != nil {
			c.state = nil
			if l.decoded--; l.decoded <= cache/2 {
				return
			}
		}
	}
}
