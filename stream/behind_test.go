// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"testing"
	"time"

	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/stream/aggregate"
	"lapwing/stream/lifecycle"
	"lapwing/stream/store"
)

// However many deadlines are not true any more, a flush writes all that waits, and a
// deadline that is true again stays.
func TestFlushWithManyStaleDeadlines(t *testing.T) {
	s, err := store.Open("", store.Options{Memory: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	l := &lane{id: store.Lane{Generation: 1}, store: s, cache: newCache(), due: newDueIndex()}
	l.behind = writeBehind{notes: map[noteKey]*note{}, now: time.Now, nextOffset: 7}
	const stale = 9000
	for i := range stale {
		l.behind.staleDue = append(l.behind.staleDue, store.Deadline{At: instant.Instant(i), ID: fmt.Sprintf("customer-%d", i)})
	}
	again := l.behind.staleDue[stale-1]
	c := &customer{
		id: again.ID, due: again.At, state: new(lifecycle.State), stored: true, waits: true,
		committed: append(mailbox.AppendCustomer(nil, again.At), 1, 2, 3), storeDue: instant.None,
	}
	l.cache.add(c)
	l.behind.bytes = len(c.committed)
	l.behind.queue = []waiting{{customer: c, from: 3, since: time.Now()}}
	if err := l.flush(0, 0); err != nil {
		t.Fatal(err)
	}
	if c.waits || len(l.behind.queue) > 0 || len(l.behind.staleDue) > 0 {
		t.Errorf("after the flush %d customers wait, %d stale deadlines are left", len(l.behind.queue), len(l.behind.staleDue))
	}
	if mark, ok, err := s.Mark(l.id); err != nil || !ok || mark.NextOffset != 7 {
		t.Errorf("the mark is %+v %v %v, want 7", mark, ok, err)
	}
	found, err := s.Deadlines(l.id, store.Deadline{At: instant.None}, 10)
	if err != nil || len(found) != 1 || found[0] != again {
		t.Errorf("the store has the deadlines %v (%v), want %v", found, err, again)
	}
}

// A flush that broke off is not tried again: entries it has taken up are empty, and would
// delete what the store has. The mark stays where the changelog has all of them.
func TestNothingIsWrittenAfterAFlushThatBrokeOff(t *testing.T) {
	s, err := store.Open("", store.Options{Memory: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	def := parse(t, customerValue(t))
	model, err := compile(def)
	if err != nil {
		t.Fatal(err)
	}
	l := &lane{id: store.Lane{Generation: 1}, model: model, store: s, cache: newCache(), due: newDueIndex(), totals: aggregate.New(def, 0)}
	l.defs.lineage = lifecycle.NewLineage(model)
	l.defsBefore = l.defs
	l.behind = writeBehind{notes: map[noteKey]*note{}, now: time.Now}
	waits := func(id string, committed []byte) {
		c := &customer{id: id, due: instant.None, state: new(lifecycle.State), stored: true, waits: true, committed: committed, storeDue: instant.None}
		l.cache.add(c)
		l.behind.bytes += len(committed)
		l.behind.nextOffset++
		l.behind.queue = append(l.behind.queue, waiting{customer: c, from: l.behind.nextOffset, since: time.Now()})
	}
	good := mailbox.AppendCustomer(nil, instant.None)
	waits("ana", good)
	if err := l.flush(0, 0); err != nil {
		t.Fatal(err)
	}
	waits("ana", good)
	waits("broken", []byte{0xff})
	if err := l.flush(0, 0); err == nil {
		t.Fatal("what cannot be read is written")
	}
	if err := l.release(); err != nil {
		t.Errorf("release: %v", err)
	}
	if _, ok, err := s.Get(l.id, byte(mailbox.StateCustomer), []byte("ana"), nil); err != nil || !ok {
		t.Errorf("ana is gone from the store (%v)", err)
	}
	if mark, _, err := s.Mark(l.id); err != nil || mark.NextOffset != 1 {
		t.Errorf("the mark is %d (%v), want 1", mark.NextOffset, err)
	}
}

// What an aborted transaction has encoded of a customer is forgotten with it.
func TestAnAbortForgetsEncodings(t *testing.T) {
	c := &customer{id: "ana", state: new(lifecycle.State), pending: []byte("of the one before")}
	(&fold{}).customer(&lane{}, c) // it has come to nothing
	if c.pending != nil {
		t.Errorf("%q would be committed", c.pending)
	}
}
