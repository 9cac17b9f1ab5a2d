// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Whatever is kept at hand, Get finds what was committed last: after changes, ends,
// wipes of another lane, values too large to be kept, and with a batch that was dropped.
func TestGetFindsWhatWasCommittedLast(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 7))
			s, err := Open("kept", Options{Memory: 3 * recentStep, FS: vfs.NewMem()})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if s.recent.cache == nil {
				t.Fatal("nothing is kept at hand")
			}
			truth := map[Lane]map[string]string{{1, 0}: {}, {1, 1}: {}, {2, 0}: {}}
			lanes := slices.SortedFunc(maps.Keys(truth), func(a, b Lane) int {
				return int(a.Generation)*10 + int(a.Lane) - int(b.Generation)*10 - int(b.Lane)
			})
			for step := range 2000 {
				lane := lanes[r.IntN(len(lanes))]
				id := fmt.Sprintf("u%d", r.IntN(12))
				switch k := r.IntN(100); {
				case k < 30:
					b, next := s.Batch(lane), maps.Clone(truth[lane])
					for range 1 + r.IntN(3) {
						id := fmt.Sprintf("u%d", r.IntN(12))
						size := []int{1, 200, 70_000}[r.IntN(3)]
						if r.IntN(200) == 0 {
							size = 7 << 20 // more than half a write buffer
						}
						value := []byte(fmt.Sprintf("%d-%s", step, strings.Repeat("x", size)))
						if r.IntN(4) == 0 {
							value = nil
						}
						if err := b.Put('c', []byte(id), value); err != nil {
							t.Fatal(err)
						}
						if delete(next, id); value != nil {
							next[id] = string(value)
						}
					}
					if r.IntN(5) == 0 {
						_ = b.Close()
						continue
					}
					if err := b.Commit(Mark{NextOffset: int64(step)}); err != nil {
						t.Fatal(err)
					}
					truth[lane] = next
				case k < 60:
					if value, ok := truth[lane][id]; ok {
						s.Keep(lane, 'c', []byte(id), []byte(value))
					}
				case k < 61:
					if err := s.Wipe(lane); err != nil {
						t.Fatal(err)
					}
					clear(truth[lane])
				default:
					got, ok, err := s.Get(lane, 'c', []byte(id), []byte("before "))
					want, known := truth[lane][id]
					if err != nil || ok != known || known && !bytes.Equal(got, []byte("before "+want)) {
						t.Fatalf("step %d: %s of %v is %.40q %v %v, want %.40q %v", step, id, lane, got, ok, err, want, known)
					}
				}
			}
		})
	}
}
