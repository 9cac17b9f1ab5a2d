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
	cells []cells
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
		var err error
		if b, err = newBlock(columns); err != nil {
			return err
		}
	}
	if err := b.fill(columns, rows); err != nil {
		return err // what is in the block is not for the next
	}
	p.pools[t].Put(b)
	return nil
}

// newBlock refuses a type that none of our columns has: the driver might convert to it,
// and cut what does not fit.
func newBlock(columns []column.Interface) (*block, error) {
	b := &block{}
	for _, c := range columns {
		own := cellsOf(string(c.Type()))
		if own == nil {
			return nil, fmt.Errorf("column %s: no value of ours is of type %s", c.Name(), c.Type())
		}
		b.types, b.cells = append(b.types, c.Type()), append(b.cells, own)
	}
	return b, nil
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
			if !own.add(row[i]) {
				return fmt.Errorf("column %s, row %d: type %s does not hold a %T", columns[i].Name(), n, b.types[i], row[i])
			}
		}
	}
	b.buf.Reset()
	for _, own := range b.cells {
		own.encode(&b.buf)
		own.reset()
	}
	encoded := proto.NewReader(bytes.NewReader(b.buf.Buf))
	for i, c := range columns {
		if err := c.Decode(encoded, len(rows)); err != nil {
			return fmt.Errorf("column %s of type %s: %w", c.Name(), b.types[i], err)
		}
	}
	return nil
}
