// SPDX-License-Identifier: Apache-2.0

package aggregate

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"

	"lapwing/schemas/decimal"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// The changelog's encoding of one total. Key: version, measure (a letter), grain
// (0 hour … 3 month), period (varint milliseconds), then event, model, stage, from,
// to and cause, each with its length in front; in version 2 segment and platform, too.
// Value: version, count and sum in 1/10,000 as varints; in version 2 the halves of the
// sum of squares, too, a varint and a uvarint. Version 1 is written where it says all, so
// that a total keeps its key.
const (
	encodingVersion = 1
	encodingMore    = 2
)

// ErrFormat is what every error of Restore wraps.
var ErrFormat = errors.New("not a total of this format")

var measureBytes = map[record.Measure]byte{
	record.MeasureEvent: 'e', record.MeasureTransition: 't', record.MeasureSession: 's', record.MeasureSessionEvent: 'v', record.MeasureTooLate: 'l',
}

// keyTexts is how many texts a key of version 1 has.
const keyTexts = 6

func appendKey(dst []byte, c *cell) []byte {
	d := &c.series.dims
	texts := [...]string{d.event, d.model, d.stage, d.from, d.to, string(d.cause), d.segment, d.platform}
	n, version := keyTexts, byte(encodingVersion)
	if d.segment != "" || d.platform != "" {
		n, version = len(texts), encodingMore
	}
	dst = append(dst, version, measureBytes[d.measure], c.grain)
	dst = binary.AppendVarint(dst, int64(c.period))
	for _, s := range texts[:n] {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	return dst
}

func appendValue(dst []byte, v value) []byte {
	if v.squares.IsZero() {
		dst = append(dst, encodingVersion)
		dst = binary.AppendVarint(dst, v.count)
		return binary.AppendVarint(dst, int64(v.sum))
	}
	dst = append(dst, encodingMore)
	dst = binary.AppendVarint(dst, v.count)
	dst = binary.AppendVarint(dst, int64(v.sum))
	high, low := v.squares.Parts()
	dst = binary.AppendVarint(dst, high)
	return binary.AppendUvarint(dst, low)
}

// Restore takes one total from the changelog, in place of what stands under that
// key; a nil value drops it. It is not part of a transaction. Nothing is kept of key
// and val.
func (t *Totals) Restore(key, val []byte) error {
	k, err := t.decodeKey(key)
	if err != nil {
		return fmt.Errorf("decode the key of a total: %w", err)
	}
	if val == nil {
		delete(t.cells, k)
		if c := k.series.last[k.grain]; c != nil && c.period == k.period {
			k.series.last[k.grain] = nil
		}
		return nil
	}
	if len(val) == 0 {
		return fmt.Errorf("decode an empty total: %w", ErrFormat)
	}
	if val[0] != encodingVersion && val[0] != encodingMore {
		return fmt.Errorf("decode a total of version %d: %w", val[0], ErrFormat)
	}
	rest := val[1:]
	var v value
	v.count, rest, err = varint(rest)
	if err != nil {
		return fmt.Errorf("decode the count of a total: %w", err)
	}
	var sum int64
	if sum, rest, err = varint(rest); err != nil {
		return fmt.Errorf("decode the sum of a total: %w", err)
	}
	v.sum = decimal.Decimal(sum)
	if val[0] == encodingMore {
		var high int64
		if high, rest, err = varint(rest); err != nil {
			return fmt.Errorf("decode the squares of a total: %w", err)
		}
		low, n := binary.Uvarint(rest)
		if n <= 0 {
			return fmt.Errorf("decode the squares of a total: %w", ErrFormat)
		}
		v.squares, rest = decimal.SquaresOf(high, low), rest[n:]
	}
	if len(rest) > 0 {
		return fmt.Errorf("decode a total with %d bytes behind it: %w", len(rest), ErrFormat)
	}
	t.cell(k).value = v
	return nil
}

func varint(b []byte) (v int64, rest []byte, err error) {
	v, n := binary.Varint(b)
	if n <= 0 {
		return 0, nil, ErrFormat
	}
	return v, b[n:], nil
}

// RestoreMeta sets what is kept beside the totals: the clock given to Close last, an
// instant before which all had been closed when the definition came, and how much was too
// late.
func (t *Totals) RestoreMeta(settled, closed instant.Instant, tooLate int64) {
	t.now = meta{settled: settled, closedUntil: max(settled.Add(-t.closeAfter), closed), sweptAt: instant.None, tooLate: tooLate}
	t.committed = t.now
}

func (t *Totals) decodeKey(b []byte) (cellKey, error) {
	if len(b) < 3 || b[0] != encodingVersion && b[0] != encodingMore || int(b[2]) >= len(grains) {
		return cellKey{}, ErrFormat
	}
	var d dims
	for m, c := range measureBytes {
		if c == b[1] {
			d.measure = m
		}
	}
	if d.measure == "" {
		return cellKey{}, ErrFormat
	}
	grain := b[2]
	period, n := binary.Varint(b[3:])
	if n <= 0 {
		return cellKey{}, ErrFormat
	}
	rest := b[3+n:]
	var texts [keyTexts + 2]string
	n = keyTexts
	if b[0] == encodingMore {
		n = len(texts)
	}
	for i := range n {
		size, n := binary.Uvarint(rest)
		if n <= 0 || size > uint64(len(rest)-n) {
			return cellKey{}, ErrFormat
		}
		texts[i], rest = string(rest[n:n+int(size)]), rest[n+int(size):]
	}
	if len(rest) > 0 {
		return cellKey{}, ErrFormat
	}
	d.event, d.model, d.stage, d.from, d.to = texts[0], texts[1], texts[2], texts[3], texts[4]
	d.cause, d.segment, d.platform = record.CauseType(texts[5]), texts[6], texts[7]
	return cellKey{series: t.find(d), grain: grain, period: instant.Instant(period)}, nil
}

func compareCells(a, b *cell) int {
	x, y := &a.series.dims, &b.series.dims
	return cmp.Or(
		cmp.Compare(x.measure, y.measure), cmp.Compare(a.grain, b.grain), cmp.Compare(a.period, b.period),
		cmp.Compare(x.event, y.event), cmp.Compare(x.model, y.model), cmp.Compare(x.stage, y.stage),
		cmp.Compare(x.from, y.from), cmp.Compare(x.to, y.to), cmp.Compare(x.cause, y.cause),
		cmp.Compare(x.segment, y.segment), cmp.Compare(x.platform, y.platform),
	)
}
