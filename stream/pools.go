// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"math/bits"
	"sync"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kgo"
)

// fetchPool lends the client the memory into which it unpacks batches and reads
// records; they come back when the records are recycled. Without it a backlog makes
// a gigabyte of garbage every few seconds. It keeps a bounded amount, whatever the
// collector does. Safe for concurrent use.
type fetchPool struct {
	mu      sync.Mutex
	limit   int // what is kept of either, in bytes
	bytes   shelf[byte]
	records shelf[kgo.Record]
}

// shelf keeps slices by the power of two that they hold.
type shelf[T any] struct {
	free [maxClass][][]T
	held int // bytes
}

const maxClass = 24

func (s *shelf[T]) take(class int) []T {
	free := s.free[class]
	if len(free) == 0 {
		return nil
	}
	b := free[len(free)-1]
	free[len(free)-1] = nil
	s.free[class] = free[:len(free)-1]
	s.held -= sizeOf(b)
	return b[:0]
}

func (s *shelf[T]) put(b []T, limit int) {
	class := bits.Len(uint(cap(b))) - 1 // the greatest power of two that it holds
	if class < 0 || class >= maxClass || sizeOf(b) > limit {
		return
	}
	if s.held+sizeOf(b) > limit {
		*s = shelf[T]{} // the sizes asked for may be others by now
	}
	s.free[class] = append(s.free[class], b)
	s.held += sizeOf(b)
}

func sizeOf[T any](b []T) int {
	var element T
	return cap(b) * int(unsafe.Sizeof(element))
}

// class is the least power of two that holds n.
func class(n int) int { return bits.Len(uint(max(n, 1) - 1)) }

// expansion: JSON events shrink to about a quarter under lz4; a slice that turns out
// too small is grown by the decompressor, which then gives back the larger one.
const expansion = 5

// GetDecompressBytes implements kgo.PoolDecompressBytes.
func (p *fetchPool) GetDecompressBytes(compressed []byte, _ kgo.CompressionCodecType) []byte {
	n := class(len(compressed) * expansion)
	if n >= maxClass {
		return make([]byte, 0, len(compressed)*expansion)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if b := p.bytes.take(n); b != nil {
		return b
	}
	return make([]byte, 0, 1<<n)
}

// PutDecompressBytes implements kgo.PoolDecompressBytes.
func (p *fetchPool) PutDecompressBytes(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes.put(b, p.limit)
}

// GetRecords implements kgo.PoolRecords.
func (p *fetchPool) GetRecords(n int) []kgo.Record {
	k := class(n)
	if k >= maxClass {
		return make([]kgo.Record, n)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.records.take(k); r != nil {
		return r
	}
	return make([]kgo.Record, 0, 1<<k)
}

// PutRecords implements kgo.PoolRecords.
func (p *fetchPool) PutRecords(r []kgo.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.records.put(r, p.limit)
}
