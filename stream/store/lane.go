// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"lapwing/schemas/instant"
)

// Mark says how far into a lane's changelog the store has come.
type Mark struct {
	// NextOffset: everything below it is in the store.
	NextOffset int64
	// Topic is the id that the cluster gave the state topic: another topic of the same
	// name is another changelog.
	Topic [16]byte
	// At is the wall clock when the mark was written: what lies longer back than the
	// changelog keeps its tombstones cannot be caught up with.
	At instant.Instant
}

const markBytes = 8 + 16 + 8

// Mark is where the lane stands; ok is false for a lane that is empty.
func (s *Store) Mark(lane Lane) (m Mark, ok bool, err error) {
	value, ok, err := s.Get(lane, kindMark, nil, nil)
	if err != nil || !ok {
		return Mark{}, false, err
	}
	if len(value) != markBytes {
		return Mark{}, false, fmt.Errorf("a mark of %d bytes: %w", len(value), ErrCorrupt)
	}
	m.NextOffset = int64(binary.BigEndian.Uint64(value))
	copy(m.Topic[:], value[8:])
	m.At = instant.Instant(binary.BigEndian.Uint64(value[24:]))
	return m, true, nil
}

// Get appends to buf the value that the lane has under kind and id.
func (s *Store) Get(lane Lane, kind byte, id, buf []byte) (value []byte, ok bool, err error) {
	var room [64]byte
	key := appendKey(room[:0], lane, kind, id)
	if value, ok := s.recent.get(key, buf); ok {
		return value, true, nil
	}
	found, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read the local store: %w", classify(err))
	}
	value = append(buf, found...)
	if err := closer.Close(); err != nil {
		return nil, false, fmt.Errorf("read the local store: %w", classify(err))
	}
	return value, true, nil
}

// Keep holds a value that the lane has under kind and id, and that the caller will
// hold no more, where Get finds it soon. It must be what was committed last.
func (s *Store) Keep(lane Lane, kind byte, id, value []byte) {
	var room [64]byte
	s.recent.set(appendKey(room[:0], lane, kind, id), value)
}

// Each calls fn with all that the lane has of a kind, in the order of the ids, until
// fn fails. id and value are valid only during the call.
func (s *Store) Each(lane Lane, kind byte, fn func(id, value []byte) error) error {
	prefix := appendKey(nil, lane, kind, nil)
	return s.scan(prefix, after(prefix), func(key []byte, it *pebble.Iterator) (bool, error) {
		value, err := it.ValueAndErr()
		if err != nil {
			return false, classify(err)
		}
		return true, fn(key[len(prefix):], value)
	})
}

// Deadline is an instant at which a customer is due. They are ordered by instant,
// then by id.
type Deadline struct {
	At instant.Instant
	ID string
}

// Before reports whether d comes before e.
func (d Deadline) Before(e Deadline) bool { return d.At < e.At || d.At == e.At && d.ID < e.ID }

// Compare is negative if d comes before e, positive if behind.
func (d Deadline) Compare(e Deadline) int {
	return cmp.Or(cmp.Compare(d.At, e.At), cmp.Compare(d.ID, e.ID))
}

// Deadlines are the lane's next ones behind a given one, at most so many, in order.
func (s *Store) Deadlines(lane Lane, behind Deadline, limit int) (found []Deadline, err error) {
	prefix := appendKey(nil, lane, kindDeadline, nil)
	from := append(appendDeadline(nil, lane, behind), 0) // the first key behind it
	err = s.scan(from, after(prefix), func(key []byte, _ *pebble.Iterator) (bool, error) {
		rest := key[len(prefix):]
		if len(rest) < 8 {
			return false, fmt.Errorf("a deadline of %d bytes: %w", len(rest), ErrCorrupt)
		}
		found = append(found, Deadline{At: sortable(binary.BigEndian.Uint64(rest)), ID: string(rest[8:])})
		return len(found) < limit, nil
	})
	return found, err
}

func appendDeadline(dst []byte, lane Lane, d Deadline) []byte {
	dst = appendKey(dst, lane, kindDeadline, nil)
	dst = binary.BigEndian.AppendUint64(dst, uint64(d.At)^signBit)
	return append(dst, d.ID...)
}

const signBit = 1 << 63

func sortable(v uint64) instant.Instant { return instant.Instant(v ^ signBit) }

func (s *Store) scan(from, to []byte, fn func(key []byte, it *pebble.Iterator) (more bool, err error)) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return fmt.Errorf("read the local store: %w", classify(err))
	}
	more := true
	for ok := it.First(); ok && more; ok = it.Next() {
		if more, err = fn(it.Key(), it); err != nil {
			_ = it.Close() // the first error counts
			return err
		}
	}
	if err := it.Close(); err != nil {
		return fmt.Errorf("read the local store: %w", classify(err))
	}
	return nil
}

// Wipe forgets the lane.
func (s *Store) Wipe(lane Lane) error {
	prefix := appendPrefix(nil, lane)
	defer s.recent.clear()
	if err := s.db.DeleteRange(prefix, after(prefix), pebble.NoSync); err != nil {
		return fmt.Errorf("wipe lane %d in the local store: %w", lane.Lane, classify(err))
	}
	return nil
}

// Batch collects changes of one lane. It belongs to one goroutine.
type Batch struct {
	store *Store
	lane  Lane
	batch *pebble.Batch
	key   []byte
}

// Batch begins a batch; it must be committed or closed.
func (s *Store) Batch(lane Lane) *Batch {
	return &Batch{store: s, lane: lane, batch: s.db.NewBatch()}
}

// Put sets a value; nil deletes it. Nothing is kept of the arguments.
func (b *Batch) Put(kind byte, id, value []byte) error {
	b.key = appendKey(b.key[:0], b.lane, kind, id)
	if value == nil {
		return b.batch.Delete(b.key, nil)
	}
	return b.batch.Set(b.key, value, nil)
}

// SetDeadline and DropDeadline change the ordered range of deadlines.
func (b *Batch) SetDeadline(d Deadline) error {
	b.key = appendDeadline(b.key[:0], b.lane, d)
	return b.batch.Set(b.key, nil, nil)
}

// DropDeadline takes a deadline out; one that is not there does no harm.
func (b *Batch) DropDeadline(d Deadline) error {
	b.key = appendDeadline(b.key[:0], b.lane, d)
	return b.batch.Delete(b.key, nil)
}

// Bytes is how large the batch has become.
func (b *Batch) Bytes() int { return b.batch.Len() }

// Commit makes all changes and sets the mark, or does nothing.
func (b *Batch) Commit(m Mark) (err error) {
	defer func() {
		if r := recover(); r != nil {
			f, ours := r.(fatal)
			if !ours {
				panic(r)
			}
			b.store.fail(errors.New(f.text))
			err = fmt.Errorf("%w: %s", ErrFailed, f.text)
		}
	}()
	if err := b.store.Err(); err != nil {
		return errors.Join(err, b.batch.Close())
	}
	var value [markBytes]byte
	binary.BigEndian.PutUint64(value[:], uint64(m.NextOffset))
	copy(value[8:], m.Topic[:])
	binary.BigEndian.PutUint64(value[24:], uint64(m.At))
	if err := b.Put(kindMark, nil, value[:]); err != nil {
		return fmt.Errorf("write the local store: %w", classify(err))
	}
	b.store.recent.apply(b.batch) // before: a large batch is empty once it is committed
	if err := b.batch.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("write the local store: %w", classify(err))
	}
	if err := b.batch.Close(); err != nil {
		return fmt.Errorf("write the local store: %w", classify(err))
	}
	return nil
}

// Close drops a batch that is not to be committed.
func (b *Batch) Close() error { return b.batch.Close() }
