// SPDX-License-Identifier: Apache-2.0

//go:build !noembedded && (linux || darwin) && (amd64 || arm64)

package chfront

import (
	"fmt"
	"strings"

	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
)

// insert runs an INSERT whose rows the client sends as blocks: it gets the
// columns first, and its blocks end with an empty one.
func (c *nativeConn) insert(st statement, params map[string]string) error {
	header, err := c.header(insertTarget(st.head), params)
	if err != nil {
		return err
	}
	in, err := c.session.Insert(st.head, "Native", params)
	if err != nil {
		return err
	}
	defer in.Free()
	if err := c.sendBlocks(header); err != nil {
		in.Cancel()
		return err
	}
	var failed error // the engine's; the client's blocks are read to their end all the same
	for {
		code, err := c.in.ReadByte()
		if err != nil {
			in.Cancel()
			return err
		}
		switch chproto.ClientCode(code) {
		case chproto.ClientCodeData:
		case chproto.ClientCodeCancel:
			in.Cancel()
			return refuse(codeQueryCancelled, "Query was cancelled. (QUERY_WAS_CANCELLED)")
		default:
			in.Cancel()
			return fmt.Errorf("unexpected packet %d amid an insert", code)
		}
		_, block, err := c.readBlock()
		if err != nil {
			in.Cancel()
			return err
		}
		if block.Rows() == 0 {
			break
		}
		if failed == nil {
			rows, err := encodeBlock(block)
			if err != nil {
				in.Cancel()
				return err
			}
			failed = in.Append(rows)
		}
	}
	if failed != nil {
		return failed
	}
	if _, err := in.Finish(); err != nil {
		return err
	}
	chproto.ServerCodeEndOfStream.Encode(&c.out)
	return c.flush()
}

// insertInline runs an INSERT whose rows stand in the statement.
func (c *nativeConn) insertInline(st statement, params map[string]string) error {
	in, err := c.session.Insert(st.head, st.format, params)
	if err != nil {
		return err
	}
	defer in.Free()
	if err := in.Append([]byte(st.data)); err != nil {
		return err
	}
	_, err = in.Finish()
	return err
}

// externalTables makes temporary tables of the blocks in front of the empty one.
// drop, which the caller calls in any case, removes them.
func (c *nativeConn) externalTables() (drop func(), err error) {
	var names []string
	drop = func() {
		for _, name := range names {
			// Left behind, it would only be in the way of the same name in this session.
			_ = c.session.Exec("DROP TEMPORARY TABLE IF EXISTS " + identifier(name))
		}
	}
	var failed error
	for {
		code, err := c.in.ReadByte()
		if err != nil {
			return drop, err
		}
		if chproto.ClientCode(code) != chproto.ClientCodeData {
			return drop, fmt.Errorf("unexpected packet %d behind a query", code)
		}
		name, block, err := c.readBlock()
		if err != nil {
			return drop, err
		}
		if len(block.Columns) == 0 {
			return drop, failed
		}
		if failed == nil {
			names = append(names, name)
			failed = c.externalTable(name, block)
		}
	}
}

func (c *nativeConn) externalTable(name string, block *proto.Block) error {
	columns := make([]string, len(block.Columns))
	for i, col := range block.Columns {
		columns[i] = identifier(col.Name()) + " " + string(col.Type())
	}
	if err := c.session.Exec("CREATE TEMPORARY TABLE " + identifier(name) + " (" + strings.Join(columns, ", ") + ")"); err != nil {
		return err
	}
	rows, err := encodeBlock(block)
	if err != nil {
		return err
	}
	return insertBytes(c.session, name, "Native", rows)
}

// encodeBlock writes a client's block as the engine reads Native: revision 0.
func encodeBlock(block *proto.Block) ([]byte, error) {
	var b chproto.Buffer
	if err := block.Encode(&b, 0); err != nil {
		return nil, fmt.Errorf("encode a block: %w", err)
	}
	return b.Buf, nil
}
