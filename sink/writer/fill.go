// SPDX-License-Identifier: Apache-2.0

package writer

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"

	"lapwing/sink/batch"
)

// block collects the rows of one insert, column by column. Blocks are used again:
// their memory is as large as a batch, and growing it costs more than filling it.
type block struct {
	types []column.Type
	cells []cells // nil where the type is not known here
	buf   proto.Buffer
}

// blocks are those that nobody uses, of any table.
type blocks struct{ pools []sync.Pool }

func newBlocks() blocks { return blocks{make([]sync.Pool, len(batch.Tables()))} }

// fill puts the rows into the columns of an insert, which have the types that the
// table has at this moment. A value that its column cannot hold is an error: nothing
// is converted in silence.
func (p *blocks) fill(t batch.Table, columns []column.Interface, rows []batch.Row) error {
	b, ok := p.pools[t].Get().(*block)
	if !ok || !b.fits(columns) {
		b = newBlock(columns)
	}
	if err := b.fill(columns, rows); err != nil {
		return err // what is in the block is not for the next
	}
	p.pools[t].Put(b)
	return nil
}

func newBlock(columns []column.Interface) *block {
	b := &block{}
	for _, c := range columns {
		b.types = append(b.types, c.Type())
		b.cells = append(b.cells, cellsOf(string(c.Type())))
	}
	return b
}

// fits reports whether the columns still have the block's types.
func (b *block) fits(columns []column.Interface) bool {
	if len(columns) != len(b.types) {
		return false
	}
	for i, c := range columns {
		if c.Type() != b.types[i] {
			return false
		}
	}
	return true
}

func (b *block) fill(columns []column.Interface, rows []batch.Row) error {
	for n, row := range rows {
		if len(row) != len(columns) {
			return fmt.Errorf("row %d has %d values for %d columns", n, len(row), len(columns))
		}
		for i, own := range b.cells {
			if own != nil {
				if !own.add(row[i]) {
					return fmt.Errorf("column %s, row %d: type %s does not hold a %T", columns[i].Name(), n, b.types[i], row[i])
				}
				continue
			}
			// Somebody has changed the type: the driver may know how to convert to it.
			if err := columns[i].AppendRow(row[i]); err != nil {
				return fmt.Errorf("column %s of type %s, row %d: %w", columns[i].Name(), b.types[i], n, err)
			}
		}
	}
	b.buf.Reset()
	for _, own := range b.cells {
		if own != nil {
			own.encode(&b.buf)
			own.reset()
		}
	}
	encoded := proto.NewReader(bytes.NewReader(b.buf.Buf))
	for i, c := range columns {
		if b.cells[i] == nil {
			continue
		}
		if err := c.Decode(encoded, len(rows)); err != nil {
			return fmt.Errorf("column %s of type %s: %w", c.Name(), b.types[i], err)
		}
	}
	return nil
}
