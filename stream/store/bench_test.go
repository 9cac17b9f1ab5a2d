// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"fmt"
	"testing"

	"lapwing/stream/store"
)

// BenchmarkGet reads customers of a store that is larger than its caches: those that
// are there, and those that are not, as most customers of an import.
func BenchmarkGet(b *testing.B) {
	s, err := store.Open(b.TempDir(), store.Options{Memory: 16 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	lane, value := store.Lane{Generation: 1, Lane: 3}, make([]byte, 150)
	const customers = 500_000
	for i := 0; i < customers; {
		batch := s.Batch(lane)
		for range 1000 {
			if err := batch.Put('c', fmt.Appendf(nil, "customer-%d", i*7919%customers), value); err != nil {
				b.Fatal(err)
			}
			i++
		}
		if err := batch.Commit(store.Mark{}); err != nil {
			b.Fatal(err)
		}
	}
	for _, c := range []struct{ name, id string }{{"known", "customer-%d"}, {"new", "stranger-%d"}} {
		b.Run(c.name, func(b *testing.B) {
			buf, id := make([]byte, 0, 256), make([]byte, 0, 64)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				id = fmt.Appendf(id[:0], c.id, i*104729%customers)
				if _, ok, err := s.Get(lane, 'c', id, buf); err != nil || ok != (c.name == "known") {
					b.Fatal(ok, err)
				}
			}
		})
	}
}
