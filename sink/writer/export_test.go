// SPDX-License-Identifier: Apache-2.0

package writer

import (
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"

	"lapwing/sink/batch"
)

// Filler fills columns as a Writer does.
type Filler struct{ blocks blocks }

// NewFiller returns one that has filled nothing yet.
func NewFiller() *Filler { return &Filler{newBlocks()} }

// Fill puts rows into the columns of a table.
func (f *Filler) Fill(t batch.Table, columns []column.Interface, rows []batch.Row) error {
	return f.blocks.fill(t, columns, rows)
}
