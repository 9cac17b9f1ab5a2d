// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A store whose manifest was cut anywhere, between two records too, is one of two: what
// it was at an earlier mark, or empty. What is written to it then is found, and it closes
// and opens again.
func TestManifestCutAnywhere(t *testing.T) {
	t.Parallel()
	lane := Lane{Generation: 1}
	value := func(mark, k int) string { return fmt.Sprintf("state %d as of %d", k, mark) }
	write := func(s *Store, mark int) {
		t.Helper()
		b := s.Batch(lane)
		for k := range 20 {
			if err := b.Put('c', fmt.Appendf(nil, "u%d", k), []byte(value(mark, k))); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Commit(Mark{NextOffset: int64(mark)}); err != nil {
			t.Fatal(err)
		}
	}
	// holds returns the mark, 0 if the store is empty.
	holds := func(s *Store) int {
		t.Helper()
		m, ok, err := s.Mark(lane)
		if err != nil {
			t.Fatal(err)
		}
		for k := range 20 {
			got, found, err := s.Get(lane, 'c', fmt.Appendf(nil, "u%d", k), nil)
			if err != nil || found != ok || found && string(got) != value(int(m.NextOffset), k) {
				t.Fatalf("customer %d is %q (%v, %v), the mark %d (%v)", k, got, found, err, m.NextOffset, ok)
			}
		}
		return int(m.NextOffset)
	}
	open := func(fs vfs.FS) *Store {
		t.Helper()
		s, err := Open("dir", Options{Memory: 8 << 20, FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	closed := func(s *Store) {
		t.Helper()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	fs := vfs.NewMem()
	given := map[string]int{}
	for mark := 1; mark < 5; mark++ { // each time opened, written and closed
		before := copied(t, fs)
		s := open(fs)
		// As a crash soon after the opening leaves it: with all tables that its new
		// manifest begins with, whether or not they are merged by now.
		image := copied(t, fs)
		merge(t, image, before)
		write(s, mark)
		closed(s)
		if mark == 1 {
			continue // there were no tables yet
		}
		newest := newestManifest(t, image)
		whole := content(t, image, newest)
		for cut := range len(whole) + 1 {
			torn := copied(t, image)
			put(t, torn, newest, whole[:cut])
			s := open(torn)
			if was := holds(s); was != 0 && was != mark-1 {
				t.Fatalf("cut to %d of %d bytes: the mark is %d, it was %d", cut, len(whole), was, mark-1)
			} else if was == 0 {
				given["up"]++
			} else {
				given["back"]++
			}
			write(s, 100)
			closed(s)
			s = open(torn)
			b := s.Batch(lane) // others change, until Pebble has counted further than before the cut
			for k := range 500 {
				if err := b.Put('x', fmt.Appendf(nil, "%d", k%3), []byte("x")); err != nil {
					t.Fatal(err)
				}
			}
			if err := b.Commit(Mark{NextOffset: 100}); err != nil {
				t.Fatal(err)
			}
			closed(s)
			s = open(torn)
			if got := holds(s); got != 100 {
				t.Fatalf("cut to %d of %d bytes: the mark is %d after 100 was written", cut, len(whole), got)
			}
			closed(s)
		}
	}
	if given["up"] == 0 || given["back"] == 0 {
		t.Errorf("%v: a whole store has to be given back, and a torn one given up", given)
	}
}

// A crash keeps what has been flushed: the check of a torn manifest does not give up a
// store that was killed.
func TestCrashKeepsWhatWasFlushed(t *testing.T) {
	fs, lane := vfs.NewMem(), Lane{Generation: 1}
	for mark := int64(1); mark < 12; mark++ {
		s, err := Open("dir", Options{Memory: 8 << 20, FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		if m, _, err := s.Mark(lane); err != nil || m.NextOffset != mark-1 {
			t.Fatalf("the mark is %d (%v), want %d", m.NextOffset, err, mark-1)
		}
		b := s.Batch(lane)
		if err := errors.Join(b.Put('c', []byte("ana"), []byte("state")), b.Commit(Mark{NextOffset: mark}), s.flush()); err != nil {
			t.Fatal(err)
		}
		next := copied(t, fs) // as a kill leaves it
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		fs = next
	}
}

func copied(t *testing.T, fs *vfs.MemFS) *vfs.MemFS {
	t.Helper()
	to := vfs.NewMem()
	if _, err := vfs.Clone(fs, to, "dir", "dir"); err != nil {
		t.Fatalf("copy the store: %v", err)
	}
	return to
}

// merge copies the tables that to has not.
func merge(t *testing.T, to, from *vfs.MemFS) {
	t.Helper()
	dir := filepath.Join("dir", subfolder)
	names, err := from.List(dir)
	if err != nil {
		return // there is none yet
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		if _, err := to.Stat(path); err != nil && strings.HasSuffix(name, ".sst") {
			put(t, to, path, content(t, from, path))
		}
	}
}

func newestManifest(t *testing.T, fs vfs.FS) string {
	t.Helper()
	names, err := fs.List(filepath.Join("dir", subfolder))
	if err != nil {
		t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, "MANIFEST-") })
	return filepath.Join("dir", subfolder, slices.Max(names))
}

func put(t *testing.T, fs vfs.FS, name string, data []byte) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = f.Write(slices.Clone(data)) // with the race detector MemFS spoils what it is given
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return data
}
