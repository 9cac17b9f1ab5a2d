// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"slices"
	"time"

	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/stream/store"
)

// writeBehind is what a lane has committed and the local store does not have yet, in
// the order in which it first waited. One that changes again keeps its place: a busy
// customer is written once every so often, not once a transaction.
//
// The store's mark is where the changelog stood when the first of those that wait
// began to. The store may then hold later states of others; a restore from the mark
// reads them again and comes to the same.
type writeBehind struct {
	queue      []waiting
	notes      map[noteKey]*note
	bytes      int   // of the encodings that wait
	nextOffset int64 // behind the last commit in the changelog
	marked     int64 // the store's mark
	topic      [16]byte
	staleDue   []store.Deadline // entries of the store's index that are not true any more
	now        func() time.Time // the wall clock

	// failed: a flush broke off, and entries of the queue may be empty. The store's mark
	// is before all of them: they are restored from the changelog.
	failed bool

	buf   []byte
	spare [][]byte // encodings that wait no more, to be used again
}

type noteKey struct {
	kind mailbox.StateKind
	id   string
}

type waiting struct {
	customer *customer // nil: note
	note     *note
	from     int64 // nextOffset when it began to wait
	since    time.Time
}

func (b *writeBehind) customer(c *customer) {
	b.bytes += len(c.pending) - len(c.committed)
	if c.pending == nil {
		c.committed = nil
	} else {
		if c.committed == nil && len(b.spare) > 0 {
			c.committed = b.spare[len(b.spare)-1]
			b.spare = b.spare[:len(b.spare)-1]
		}
		c.committed = append(c.committed[:0], c.pending...)
	}
	c.pending = nil
	if !c.waits {
		c.waits = true
		b.queue = append(b.queue, waiting{customer: c, from: b.nextOffset, since: b.now()})
	}
}

func (b *writeBehind) note(n note) {
	key := noteKey{n.kind, n.id}
	have := b.notes[key]
	if have == nil {
		have = &note{kind: n.kind, id: n.id}
		b.notes[key] = have
		b.queue = append(b.queue, waiting{note: have, from: b.nextOffset, since: b.now()})
	}
	b.bytes += len(n.value) - len(have.value)
	if n.value == nil {
		have.value = nil
	} else {
		have.value = append(have.value[:0], n.value...)
	}
}

// How long and how much may wait. A restart after a crash reads what waited again.
const (
	flushAfter    = 5 * time.Second
	flushBatch    = 256 << 10
	flushAtATime  = 4096 // customers, so that a commit never waits long for the store
	staleDueLimit = 1024
	spares        = 256
)

// flush writes what has waited since before a moment so long ago, and more until no
// more than so many bytes wait; with age 0 all there is.
func (l *lane) flush(age time.Duration, bytes int) (err error) {
	b := &l.behind
	defer func() { b.failed = b.failed || err != nil }()
	limit, now := flushAtATime, b.now()
	if age == 0 {
		limit = len(b.queue)
	}
	if len(b.queue) == 0 && b.nextOffset == b.marked && len(b.staleDue) <= staleDueLimit {
		return nil
	}
	done := 0
	due := func() bool {
		w := &b.queue[done]
		return b.bytes > bytes || now.Sub(w.since) >= age
	}
	for {
		batch := l.store.Batch(l.id)
		began := done
		// All drops come before any customer: a deadline may be true again by now.
		drops := min(len(b.staleDue), staleDueLimit)
		for _, d := range b.staleDue[:drops] {
			if err := batch.DropDeadline(d); err != nil {
				_ = batch.Close()
				return fmt.Errorf("write lane %d to the local store: %w", l.id.Lane, err)
			}
		}
		b.staleDue = slices.Delete(b.staleDue, 0, drops)
		for len(b.staleDue) == 0 && done < len(b.queue) && done < limit && due() && batch.Bytes() < flushBatch {
			if err := l.writeWaiting(batch, b.queue[done]); err != nil {
				_ = batch.Close() // the first error counts
				return err
			}
			done++
		}
		mark := store.Mark{NextOffset: b.nextOffset, Topic: b.topic, At: instant.Of(now)}
		if done < len(b.queue) {
			mark.NextOffset = b.queue[done].from
		}
		if done == began && drops == 0 && mark.NextOffset == b.marked {
			_ = batch.Close() // nothing is new
			break
		}
		if err := batch.Commit(mark); err != nil {
			return fmt.Errorf("write lane %d to the local store: %w", l.id.Lane, err)
		}
		b.marked = mark.NextOffset
		if done == began && drops == 0 {
			break
		}
	}
	clear(b.queue[:done])
	b.queue = b.queue[done:]
	if len(b.queue) == 0 {
		b.queue = nil
	}
	l.due.trim(l.waitsFor)
	return nil
}

// waitsFor reports whether a deadline is true and only in memory.
func (l *lane) waitsFor(d store.Deadline) bool {
	c := l.cache.get([]byte(d.ID))
	return c != nil && (c.waits || c.touched) && c.due == d.At
}

func (l *lane) writeWaiting(batch *store.Batch, w waiting) error {
	b := &l.behind
	if n := w.note; n != nil {
		b.bytes -= len(n.value)
		delete(b.notes, noteKey{n.kind, n.id})
		return batch.Put(byte(n.kind), []byte(n.id), n.value)
	}
	c := w.customer
	due := instant.None
	if c.committed != nil {
		var err error
		if due, _, err = mailbox.DecodeCustomer(c.committed); err != nil {
			return fmt.Errorf("lane %d: %w", l.id.Lane, err)
		}
	}
	if err := batch.Put(byte(mailbox.StateCustomer), []byte(c.id), c.committed); err != nil {
		return err
	}
	if due != c.storeDue {
		if c.storeDue != instant.None {
			if err := batch.DropDeadline(store.Deadline{At: c.storeDue, ID: c.id}); err != nil {
				return err
			}
		}
		if due != instant.None {
			if err := batch.SetDeadline(store.Deadline{At: due, ID: c.id}); err != nil {
				return err
			}
		}
		c.storeDue = due
	}
	b.bytes -= len(c.committed)
	if c.committed != nil && len(b.spare) < spares {
		b.spare = append(b.spare, c.committed)
	}
	c.waits, c.committed = false, nil
	if !c.stored && !c.touched {
		l.cache.drop(c)
	}
	return nil
}
