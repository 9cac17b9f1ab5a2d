// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// decoder reads what AppendState wrote; the first error sticks and all later reads
// give zero.
type decoder struct {
	b      []byte
	format byte
	clock  int64   // the state's
	slab   []int64 // what is left of the memory that short lists share
	err    error
}

func (d *decoder) fail() {
	if d.err == nil {
		d.err = fmt.Errorf("%w: it ends or goes wrong %d bytes before its end", ErrState, len(d.b))
	}
	d.b = nil
}

func (d *decoder) uint() uint64 {
	if len(d.b) > 0 && d.b[0] < 0x80 {
		v := d.b[0]
		d.b = d.b[1:]
		return uint64(v)
	}
	return d.longUint()
}

// longUint takes a uvarint of up to eight bytes from one word, wherever it ends: the
// bits that go on are dropped, then the sevens are moved together, pair by pair.
func (d *decoder) longUint() uint64 {
	if len(d.b) >= 8 {
		v := binary.LittleEndian.Uint64(d.b)
		if end := ^v & 0x8080808080808080; end != 0 {
			v &= end ^ (end - 1)
			v = v&0x007f007f007f007f | v&0x7f007f007f007f00>>1
			v = v&0x00003fff00003fff | v&0x3fff00003fff0000>>2
			v = v&0x000000000fffffff | v&0x0fffffff00000000>>4
			d.b = d.b[bits.TrailingZeros64(end)/8+1:]
			return v
		}
	}
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v := d.uint()
	return int64(v>>1) ^ -int64(v&1)
}

// optional reads what the function optional made.
func (d *decoder) optional() int64 {
	v := d.uint() - 1
	return int64(v>>1) ^ -int64(v&1)
}

// len is the length of a list whose elements take at least size bytes each, so
// that a broken length cannot ask for more memory than the input is long.
func (d *decoder) len(size int) int {
	n := d.uint()
	if n > uint64(len(d.b)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) hash() uint64 {
	if len(d.b) < 8 {
		d.fail()
		return 0
	}
	v := binary.LittleEndian.Uint64(d.b)
	d.b = d.b[8:]
	return v
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) bool() bool { return d.byte() == 1 }

// take is the next n bytes.
func (d *decoder) take(n int) []byte {
	if n > len(d.b) {
		d.fail()
		return nil
	}
	out := d.b[:n:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) bytes() []byte { return d.take(d.len(1)) }

func (d *decoder) text() string { return string(d.bytes()) }

// shared is how long a list may be, in words, to share the memory of a state's short
// lists: one that outgrows its place leaves it unused until the state is let go.
const shared = 12

// words makes a list of n words and room for spare more.
func (d *decoder) words(n, spare int) []int64 {
	if n > shared {
		return make([]int64, n, n+spare)
	}
	if len(d.slab) < n+spare {
		d.slab = make([]int64, n+spare) // of a state that says less than it has
	}
	out := d.slab[: n : n+spare]
	d.slab = d.slab[n+spare:]
	return out
}
