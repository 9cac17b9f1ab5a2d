// SPDX-License-Identifier: Apache-2.0

package generate

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
)

const (
	// Messages are sorted into slices of time before they are put in order, so many that one
	// has 16,000 messages of usual customers: several at a time are in memory, as text.
	minBuckets, maxBuckets = 512, 4096
	customerDaysOfBucket   = 80_000
	// wireBytes is what one message takes.
	wireBytes = 36
	// blockBytes is what one bucket collects before it is put away.
	blockBytes = 512 * wireBytes
	// keptBytes is how much is kept in memory; what comes beyond it goes to a file.
	keptBytes = 64 << 20
)

// spill sorts messages by time with bounded memory: into buckets first, of which each is
// sorted when it is read. It belongs to one goroutine until all has been put in; then
// buckets may be read by several at once.
type spill struct {
	start, width int64
	keptLimit    int64
	blockLimit   int
	open         [][]byte // per bucket
	blocks       [][]block
	kept         int64
	file         *os.File // nil until it is needed
	fileBytes    int64
	messages     int64
}

// block is a part of a bucket: in memory, or in the file.
type block struct {
	bytes  []byte
	offset int64
	size   int
}

func newSpill(w *World) *spill {
	n := min(max(minBuckets, int64(w.settings.Customers)*int64(w.settings.Days)/customerDaysOfBucket), maxBuckets)
	// The last bucket is for what is late at the end.
	return &spill{
		start: w.start, width: (w.end-w.start)/(n-1) + 1, keptLimit: w.keptBytes, blockLimit: w.blockBytes,
		open: make([][]byte, n), blocks: make([][]block, n),
	}
}

func (s *spill) put(m *message) error {
	i := min((m.arrival-s.start)/s.width, int64(len(s.open)-1))
	b := m.append(s.open[i])
	s.messages++
	if len(b) < s.blockLimit {
		s.open[i] = b
		return nil
	}
	s.open[i] = b[:0]
	return s.away(int(i), b)
}

// away puts a block where it stays.
func (s *spill) away(i int, b []byte) error {
	if s.kept+int64(len(b)) <= s.keptLimit {
		s.kept += int64(len(b))
		s.blocks[i] = append(s.blocks[i], block{bytes: slices.Clone(b)})
		return nil
	}
	if s.file == nil {
		file, err := os.CreateTemp("", "lapwing-generate-*")
		if err != nil {
			return fmt.Errorf("create a file for sorting: %w", err)
		}
		s.file = file
	}
	if _, err := s.file.Write(b); err != nil {
		return fmt.Errorf("write to the file for sorting: %w", err)
	}
	s.blocks[i] = append(s.blocks[i], block{offset: s.fileBytes, size: len(b)})
	s.fileBytes += int64(len(b))
	return nil
}

// bucket reads one back, in order. into is reused.
func (s *spill) bucket(i int, into []message) ([]message, error) {
	into = into[:0]
	var buffer []byte
	for _, b := range s.blocks[i] {
		bytes := b.bytes
		if bytes == nil {
			if cap(buffer) < b.size {
				buffer = make([]byte, b.size)
			}
			bytes = buffer[:b.size]
			if _, err := s.file.ReadAt(bytes, b.offset); err != nil {
				return nil, fmt.Errorf("read the file for sorting: %w", err)
			}
		}
		into = read(into, bytes)
	}
	into = read(into, s.open[i])
	slices.SortFunc(into, compare)
	return into, nil
}

// close removes the file.
func (s *spill) close() error {
	if s.file == nil {
		return nil
	}
	if err := errors.Join(s.file.Close(), os.Remove(s.file.Name())); err != nil {
		return fmt.Errorf("remove the file for sorting: %w", err)
	}
	return nil
}

// compare orders messages by arrival. Nothing is left open, so that the order is the same
// however many worked on it; what compares equal is the same message twice.
func compare(a, b message) int {
	return cmp.Or(cmp.Compare(a.arrival, b.arrival), cmp.Compare(a.customer, b.customer), cmp.Compare(a.at, b.at), cmp.Compare(a.flags, b.flags))
}

func (m *message) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(m.arrival))
	b = binary.LittleEndian.AppendUint64(b, uint64(m.at))
	b = binary.LittleEndian.AppendUint64(b, m.seed)
	b = binary.LittleEndian.AppendUint32(b, m.customer)
	b = binary.LittleEndian.AppendUint32(b, m.arg)
	return append(b, byte(m.kind), byte(m.flags), byte(m.flags>>8), 0)
}

func read(into []message, b []byte) []message {
	for ; len(b) > 0; b = b[wireBytes:] {
		into = append(into, message{
			arrival: int64(binary.LittleEndian.Uint64(b)), at: int64(binary.LittleEndian.Uint64(b[8:])), seed: binary.LittleEndian.Uint64(b[16:]),
			customer: binary.LittleEndian.Uint32(b[24:]), arg: binary.LittleEndian.Uint32(b[28:]),
			kind: kind(b[32]), flags: flags(b[33]) | flags(b[34])<<8,
		})
	}
	return into
}
