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

// The changelog's encoding of one total. Key: version, measure ('e' or 't'), grain
// (0 hour … 3 month), period (varint milliseconds), then event, model, stage, from,
// to and cause, each with its length in front. Value: version, count and sum in
// 1/10,000 as varints.
const encodingVersion = 1

// ErrFormat is what every error of Restore wraps.
var ErrFormat = errors.New("not a total of this format")

var measureBytes = map[record.Measure]byte{record.MeasureEvent: 'e', record.MeasureTransition: 't'}

func appendKey(dst []byte, c *cell) []byte {
	d := &c.series.dims
	dst = append(dst, encodingVersion, measureBytes[d.measure], c.grain)
	dst = binary.AppendVarint(dst, int64(c.period))
	for _, s := range [...]string{d.event, d.model, d.stage, d.from, d.to, string(d.cause)} {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	return dst
}

func appendValue(dst []byte, v value) []byte {
	dst = append(dst, encodingVersion)
	dst = binary.AppendVarint(dst, v.count)
	return binary.AppendVarint(dst, int64(v.sum))
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
	if val[0] != encodingVersion {
		return fmt.Errorf("decode a total of version %d: %w", val[0], ErrFormat)
	}
	count, n := binary.Varint(val[1:])
	if n <= 0 {
		return fmt.Errorf("decode the count of a total: %w", ErrFormat)
	}
	sum, m := binary.Varint(val[1+n:])
	if m <= 0 || 1+n+m != len(val) {
		return fmt.Errorf("decode the sum of a total: %w", ErrFormat)
	}
	t.cell(k).value = value{count: count, sum: decimal.Decimal(sum)}
	return nil
}

// RestoreMeta sets what is kept beside the totals.
func (t *Totals) RestoreMeta(closedUntil instant.Instant, tooLate int64) {
	t.now = meta{closedUntil: closedUntil, sweptAt: instant.None, tooLate: tooLate}
	t.committed = t.now
}

func (t *Totals) decodeKey(b []byte) (cellKey, error) {
	if len(b) < 3 || b[0] != encodingVersion || int(b[2]) >= len(grains) {
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
	var texts [6]string
	for i := range texts {
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
	d.cause = record.CauseType(texts[5])
	s := t.series[d]
	if s == nil {
		s = t.newSeries(d)
	}
	return cellKey{series: s, grain: grain, period: instant.Instant(period)}, nil
}

func compareCells(a, b *cell) int {
	x, y := &a.series.dims, &b.series.dims
	return cmp.Or(
		cmp.Compare(x.measure, y.measure), cmp.Compare(a.grain, b.grain), cmp.Compare(a.period, b.period),
		cmp.Compare(x.event, y.event), cmp.Compare(x.model, y.model), cmp.Compare(x.stage, y.stage),
		cmp.Compare(x.from, y.from), cmp.Compare(x.to, y.to), cmp.Compare(x.cause, y.cause),
	)
}
