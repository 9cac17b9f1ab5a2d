// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Pebble takes its write buffers out of its cache of blocks. There is room left in it: who
// is read from disk a second time, and the index that leads there, come from memory.
func TestBlockCacheHasRoom(t *testing.T) {
	s, err := Open("dir", Options{Memory: minWriteBuffer * 8, FS: vfs.NewMem()}) // recent has no room
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if s.recent.cache != nil {
		t.Fatal("the encodings' cache is in the way")
	}
	lane := Lane{Generation: 1}
	b := s.Batch(lane)
	for i := range 1000 {
		if err := b.Put('c', fmt.Appendf(nil, "u%d", i), make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Commit(Mark{NextOffset: 1}); err != nil {
		t.Fatal(err)
	}
	for range 5 * minWriteBuffer / (64 << 10) { // a write buffer begins small, and doubles each time it is full
		b := s.Batch(lane)
		if err := errors.Join(b.Put('x', []byte("one"), make([]byte, 64<<10)), b.Commit(Mark{NextOffset: 2})); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	if size := s.db.Metrics().MemTable.Size; size < minWriteBuffer {
		t.Fatalf("the write buffer has %d bytes, want its full size", size)
	}
	if err := s.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false); err != nil { // nothing goes on beside
		t.Fatal(err)
	}
	misses := func() int64 {
		before := s.db.Metrics().BlockCache.Misses
		for i := range 1000 {
			if _, found, err := s.Get(lane, 'c', fmt.Appendf(nil, "u%d", i), nil); err != nil || !found {
				t.Fatalf("customer %d: %v, %v", i, found, err)
			}
		}
		return s.db.Metrics().BlockCache.Misses - before
	}
	first := misses()
	if again := misses(); again > 0 {
		t.Errorf("%d blocks are read again from disk, %d the first time", again, first)
	}
	if first == 0 {
		t.Error("nothing was read from disk the first time")
	}
}
