// SPDX-License-Identifier: Apache-2.0

package mailbox

import (
	"encoding/binary"
	"fmt"
	"math"
)

func appendUvarint(dst []byte, v uint64) []byte { return binary.AppendUvarint(dst, v) }
func appendVarint(dst []byte, v int64) []byte   { return binary.AppendVarint(dst, v) }

func appendString(dst []byte, s string) []byte {
	return append(appendUvarint(dst, uint64(len(s))), s...)
}

func appendSource(dst []byte, s Source) []byte {
	return appendUvarint(appendString(dst, s.Topic), uint64(s.Partition))
}

// reader takes values off the front of b; after the first failure it gives zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format+": %w", append(args, ErrFormat)...)
		r.b = nil
	}
}

func (r *reader) version() { r.versionUpTo(version) }

// versionUpTo is the version in front, which may be any from the first to newest.
func (r *reader) versionUpTo(newest byte) byte {
	v := r.byte()
	if r.err == nil && (v < version || v > newest) {
		r.fail("version %d, this program knows %d", v, newest)
	}
	return v
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail("it ends too early")
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

// uvarint refuses all but the shortest encoding, so that equal values have equal bytes.
func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n > 1 && r.b[n-1] == 0 {
		r.fail("a number cannot be read")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	u := r.uvarint()
	v := int64(u >> 1)
	if u&1 != 0 {
		v = ^v
	}
	return v
}

func (r *reader) offset() int64 {
	v := r.uvarint()
	if v > math.MaxInt64 {
		r.fail("offset %d is out of range", v)
		return 0
	}
	return int64(v)
}

func (r *reader) int32() int32 {
	v := r.uvarint()
	if v > math.MaxInt32 {
		r.fail("%d is out of range", v)
		return 0
	}
	return int32(v)
}

func (r *reader) string(limit int) string {
	n := r.uvarint()
	if n > uint64(limit) || n > uint64(len(r.b)) {
		r.fail("a text of %d bytes", n)
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) source() Source {
	return Source{Topic: r.string(maxTopicBytes), Partition: r.int32()}
}

func (r *reader) end() {
	if r.err == nil && len(r.b) > 0 {
		r.fail("%d bytes follow its end", len(r.b))
	}
}
