// SPDX-License-Identifier: Apache-2.0

//go:build linux

package stream

import (
	"cmp"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lapwing/deploy/embedded/kafkatest"
)

// Fault 15: whatever happens to the local store between two runs of a worker, nothing
// wrong is ever served from it: the worker restores anew from the changelog, or refuses
// and says so; then without the store everything is there once.
func chaos15LocalStore(t *testing.T, kafka *kafkatest.Kafka) {
	rounds := chaosRounds(1, 6)
	w := newRealWorld(t, kafka, "store", chaosRounds(400, 1500), func(c *Config) { c.Lanes, c.Slots = 4, 2 })
	// The same customers elsewhere, further on: what it stored looks right in all but its origin.
	other := newRealWorld(t, kafka, "elsewhere", 800, func(c *Config) { c.Lanes, c.Slots = 4, 2 })
	other.spawn("a")
	other.feed(len(other.history), 0)()
	other.finish()
	other.retire("a")

	damages := []struct {
		name string
		do   func(dir string)
	}{
		{"torn last write", func(dir string) { w.tear(newest(w.files(dir))) }},
		{"torn manifest", func(dir string) { w.tear(newest(w.files(dir, "MANIFEST"))) }},
		{"flipped bit in a table", func(dir string) { w.flip(w.any(w.files(dir, ".sst"))) }},
		{"flipped bit anywhere", func(dir string) { w.flip(w.any(w.files(dir))) }},
		{"table lost", func(dir string) { w.must(os.Remove(w.any(w.files(dir, ".sst")))) }},
		{"deleted", func(dir string) { w.must(os.RemoveAll(dir)) }},
		{"older than the changelog", func(dir string) { w.replace(dir, dir+".earlier") }},
		{"of another cluster", func(dir string) { w.replace(dir, other.storeOf("a")) }},
	}
	w.rng.Shuffle(len(damages), func(i, j int) { damages[i], damages[j] = damages[j], damages[i] })
	part := len(w.history)/(rounds*len(damages)+1) + 1
	step := func() { w.feed(part, 0)(); w.finish() }
	dir := w.storeOf("a")
	w.spawn("a")
	step()
	w.retire("a")
	w.replace(dir+".earlier", dir)
	for range rounds {
		for _, d := range damages {
			d.do(dir)
			c := w.spawn("a")
			w.until("the worker to have its lanes, or to refuse", func() string {
				if !c.running() {
					return ""
				}
				return w.owns(c, int(w.cfg.Lanes))
			})
			how := "restored"
			if !c.running() {
				how = c.word().End
				if !strings.Contains(how, "local store") && !strings.Contains(how, "state_dir") {
					t.Errorf("seed %d: %s: the worker ended with %q, which does not name the store", w.seed, d.name, how)
				}
				w.lose("a")
				w.spawn("a")
			}
			step()
			t.Logf("seed %d: %s: %s", w.seed, d.name, how)
			if w.rng.IntN(2) == 0 {
				w.children["a"].kill() // what is in its memory is lost
				delete(w.children, "a")
			} else {
				w.retire("a")
			}
			w.equal()
			if t.Failed() {
				t.Fatalf("seed %d: after: %s", w.seed, d.name)
			}
			if len(w.files(dir, ".sst")) == 0 { // killed before anything of a new store was written
				w.spawn("a")
				w.owned("the worker to have its lanes")
				w.retire("a")
			}
		}
	}
}

// Fault 15, the disk is full under way: the worker says so, or goes on without; once
// there is room again, everything is there once.
func chaos15DiskFull(t *testing.T, kafka *kafkatest.Kafka) {
	for range chaosRounds(1, 5) {
		t.Run("", func(t *testing.T) {
			w := newRealWorld(t, kafka, "full", 400, nil)
			o := w.order("a")
			o.FileBytes = 4<<10 + w.rng.Uint64N(12<<10)
			full := startChild(t, o)
			w.feed(len(w.history)/2, time.Second)()
			// The store is written every few seconds, and when the worker is told to stop.
			w.until("the worker to read everything, or to end", func() string {
				if !full.running() {
					return ""
				}
				return w.unread()
			})
			if full.running() {
				full.signal(t, sigterm)
			}
			end := full.await(t, patience)
			if !strings.Contains(end, "local store") {
				t.Errorf("seed %d: files could have %d bytes: the worker ended with %q, want it to name the store", w.seed, o.FileBytes, end)
			}
			w.spawn("a")
			w.feed(len(w.history), 0)()
			w.finish()
			w.retire("a")
			w.equal()
		})
	}
}

// files of a store, by name; with a part of the name if one is given.
func (w *realWorld) files(dir string, part ...string) (paths []string) {
	w.t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Type().IsRegular() && (len(part) == 0 || strings.Contains(d.Name(), part[0])) {
			if i, err := d.Info(); err == nil && i.Size() > 0 {
				paths = append(paths, path)
			}
		}
		return nil
	})
	w.must(err)
	return paths
}

func (w *realWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("seed %d: %v", w.seed, err)
	}
}

func (w *realWorld) any(paths []string) string {
	w.t.Helper()
	if len(paths) == 0 {
		w.t.Fatalf("seed %d: there is no such file in the store", w.seed)
	}
	return paths[w.rng.IntN(len(paths))]
}

// newest is the file that was written last.
func newest(paths []string) string {
	return slices.MaxFunc(paths, func(a, b string) int { return cmp.Compare(modified(a), modified(b)) })
}

func modified(path string) int64 {
	i, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return i.ModTime().UnixNano()
}

// tear cuts off the end of a file, at a random place of its last 4 KiB.
func (w *realWorld) tear(path string) {
	w.t.Helper()
	i, err := os.Stat(path)
	w.must(err)
	w.must(os.Truncate(path, i.Size()-1-w.rng.Int64N(min(i.Size(), 4<<10))))
	w.t.Logf("seed %d: torn: %s of %d bytes", w.seed, filepath.Base(path), i.Size())
}

// flip inverts a random bit of a file.
func (w *realWorld) flip(path string) {
	w.t.Helper()
	b, err := os.ReadFile(path)
	w.must(err)
	at := w.rng.IntN(len(b))
	b[at] ^= 1 << w.rng.IntN(8)
	w.must(os.WriteFile(path, b, 0o600))
	w.t.Logf("seed %d: flipped a bit of byte %d of %d of %s", w.seed, at, len(b), filepath.Base(path))
}

// replace makes a folder a copy of another.
func (w *realWorld) replace(dir, by string) {
	w.t.Helper()
	w.must(os.RemoveAll(dir))
	w.must(os.CopyFS(dir, os.DirFS(by)))
}
