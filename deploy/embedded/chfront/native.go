// SPDX-License-Identifier: Apache-2.0

package chfront

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"

	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
)

// The engine writes Native blocks of protocol revision 0 and offers no setting
// for another. Clients speak a later one, in which a block differs by
//   - a block info in front (any revision above 0), and
//   - one byte behind each column's type, "no custom serialization" (from 54454),
//
// while the columns' bytes are the same. So a block is copied with these put in.
// That needs each column's length, which Native does not state: columnCursor
// walks over the values by type.

// revisionCustomSerialization is the first with the byte behind a column's type.
const revisionCustomSerialization = 54454

// blockInfo says: not an overflow block (field 1), no bucket (field 2, -1), end.
var blockInfo = [...]byte{1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0}

// rewriteBlock appends to out the first block of b, as revision wants it, and
// returns out and the rest of b.
func rewriteBlock(out, b []byte, revision uint64) (_, rest []byte, err error) {
	if revision == 0 {
		return append(out, b...), nil, nil
	}
	out = append(out, blockInfo[:]...)
	if revision < revisionCustomSerialization {
		return append(out, b...), nil, nil // a chunk of the engine is one block
	}
	c := &columnCursor{b: b}
	columns, rows := c.uvarint(), c.uvarint()
	out = append(out, b[:c.pos]...)
	for i := uint64(0); i < columns && c.err == nil; i++ {
		start := c.pos
		c.text() // name
		typ := string(c.text())
		out = append(out, b[start:c.pos]...)
		out = append(out, 0)
		start = c.pos
		if rows > 0 && c.err == nil {
			err := c.column(typ, rows)
			if errors.Is(err, errOpaqueType) {
				err = c.opaqueColumn(start, typ, rows, i == columns-1)
			}
			if err != nil {
				return nil, nil, fmt.Errorf("copy a column of type %s: %w", typ, err)
			}
		}
		out = append(out, b[start:c.pos]...)
	}
	if c.err != nil {
		return nil, nil, fmt.Errorf("copy a block: %w", c.err)
	}
	return out, b[c.pos:], nil
}

// rewriteBlocks is rewriteBlock for all blocks of b.
func rewriteBlocks(out, b []byte, revision uint64) ([]byte, error) {
	var err error
	for len(b) > 0 {
		if out, b, err = rewriteBlock(out, b, revision); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// opaqueColumn finds the end of a column whose layout depends on its values
// (JSON, Dynamic, Variant). The last column ends with the block, for a chunk of
// the engine is one block; for another the driver's own decoder is run over it.
func (c *columnCursor) opaqueColumn(start int, typ string, rows uint64, last bool) error {
	c.pos, c.err = start, nil
	if last {
		c.pos = len(c.b)
		return nil
	}
	col, err := column.Type(typ).Column("", serverContext(0))
	if err != nil {
		return err
	}
	// The reader keeps a buffer of at least this size as it is; in a smaller one
	// it would wrap its own, and what is unread could not be counted.
	const ownBuffer = 128 << 10
	source := bytes.NewReader(c.b[start:])
	buffered := bufio.NewReaderSize(source, ownBuffer)
	r := chproto.NewReader(buffered)
	if s, ok := col.(column.CustomSerialization); ok {
		if err := s.ReadStatePrefix(r); err != nil {
			return err
		}
	}
	if err := col.Decode(r, int(rows)); err != nil { // rows of one block of the engine
		return err
	}
	c.pos = len(c.b) - source.Len() - buffered.Buffered()
	return nil
}

// serverContext tells the driver's codec whose blocks it reads.
func serverContext(revision uint64) *column.ServerContext {
	return &column.ServerContext{Revision: revision, VersionMajor: versionMajor, VersionMinor: versionMinor, VersionPatch: versionPatch}
}
