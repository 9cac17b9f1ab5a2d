// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// A store whose disk is full is closed all the same, and says why it holds less than
// it was given: Pebble by itself tries again until there is room.
func TestCloseOnAFullDisk(t *testing.T) {
	var full atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && strings.HasSuffix(op.Path, ".sst") {
			return syscall.ENOSPC
		}
		return nil
	}))
	s, err := Open("full", Options{Memory: 64 << 20, FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	b := s.Batch(Lane{Generation: 1})
	if err := b.Put('c', []byte("ana"), []byte("state")); err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(Mark{NextOffset: 1}); err != nil {
		t.Fatal(err)
	}
	full.Store(true)
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	patience := time.NewTimer(30 * time.Second)
	defer patience.Stop()
	select {
	case err = <-closed:
	case <-patience.C:
		t.Fatal("the store is not closed after 30 s")
	}
	if !errors.Is(err, ErrFailed) {
		t.Errorf("closed with %v, want ErrFailed", err)
	}
}
