// SPDX-License-Identifier: Apache-2.0

//go:build !noembedded && (linux || darwin) && (amd64 || arm64)

package chfront

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/ClickHouse/ch-go/compress"
	chproto "github.com/ClickHouse/ch-go/proto"

	"lapwing/deploy/embedded/chdb"
)

// query answers one query packet, whose code has been read.
func (c *nativeConn) query() (err error) {
	var q chproto.Query
	if err := q.DecodeAware(c.r, c.revision); err != nil {
		return fmt.Errorf("read a query: %w", err)
	}
	if c.compressed = q.Compression == chproto.CompressionEnabled; c.compressed && c.compressor == nil {
		c.compressor = compress.NewWriter(compress.LevelZero, compress.LZ4)
	}
	// All data packets up to the empty one belong to the query, also if it fails.
	drop, tableErr := c.externalTables()
	defer drop()
	if tableErr != nil {
		return tableErr
	}
	end, err := c.server.begin()
	if err != nil {
		return err
	}
	defer end()

	tag := newTag()
	settings := make([]setting, len(q.Settings))
	for i, s := range q.Settings {
		settings[i] = setting{s.Key, s.Value}
	}
	undo, err := applySettings(c.session, tag, settings, c.sessionSet)
	defer func() {
		if undoErr := undo(); err == nil {
			err = undoErr
		}
	}()
	if err != nil {
		return err
	}
	params := map[string]string{}
	for _, p := range q.Parameters {
		params[p.Key] = unquoteField(p.Value)
	}
	st := parse(q.Body)
	if st.kind == kindSet {
		c.sessionSet = true
	}
	if st.kind == kindInsert && strings.Trim(st.data, " \t\r\n;") == "" {
		return c.insert(st, params)
	}

	ended := c.watch(tag)
	err = c.execute(st, params)
	wait := ended()
	if err = c.report(err); err != nil {
		return err
	}
	if err = c.flush(); err != nil {
		return err
	}
	wait()
	return nil
}

// watch kills the statement when the client cancels or leaves. The caller calls
// ended when the statement has ended, then answers, and then calls wait: the
// look at the client's next byte goes on until there is one.
func (c *nativeConn) watch(tag string) (ended func() (wait func())) {
	ctx, cancel := context.WithCancel(c.ctx)
	stop := c.server.killWhenDone(ctx, tag)
	peeked := make(chan struct{})
	go func() {
		defer close(peeked)
		if next, err := c.in.Peek(1); err != nil || chproto.ClientCode(next[0]) == chproto.ClientCodeCancel {
			cancel()
		}
	}()
	return func() func() {
		stop()
		return func() {
			<-peeked
			cancel()
		}
	}
}

// execute runs a statement and sends its rows; the end-of-stream packet is left
// in c.out for the caller to flush.
func (c *nativeConn) execute(st statement, params map[string]string) error {
	var err error
	switch {
	case st.bare == "":
		return errEmptyQuery
	case st.kind == kindLossy:
		return errInputFunction
	case st.kind == kindInsert:
		err = c.insertInline(st, params)
	case st.kind == kindSelect:
		err = c.stream(st, params)
	default:
		var res *chdb.Result
		if res, err = c.session.Query(st.bare, "Native", params); err == nil {
			err = c.sendBlocks(res.Bytes())
			res.Free()
		}
	}
	if err != nil {
		return err
	}
	chproto.ServerCodeEndOfStream.Encode(&c.out)
	return nil
}

// stream sends a SELECT's rows block by block; without rows, a block that has
// only the columns.
func (c *nativeConn) stream(st statement, params map[string]string) error {
	s, err := c.session.Stream(st.bare, "Native", params)
	if err != nil {
		return err
	}
	defer s.Free()
	for n := 0; ; n++ {
		chunk, err := s.Next()
		if err != nil {
			return err
		}
		if chunk == nil {
			if n > 0 {
				return nil
			}
			break
		}
		err = c.sendBlocks(chunk.Bytes())
		chunk.Free()
		if err != nil {
			s.Stop()
			return err
		}
	}
	s.Free()
	header, err := c.header("("+strings.TrimRight(st.bare, "; \t\r\n")+"\n)", params)
	if err != nil {
		return nil //nolint:nilerr // the result is whole, only its column names are not known
	}
	return c.sendBlocks(header)
}

// header is a revision-0 block without rows that has the columns of what.
func (c *nativeConn) header(what string, params map[string]string) ([]byte, error) {
	columns, err := readRows(c.session, "DESCRIBE "+what, params)
	if err != nil {
		return nil, err
	}
	b := binary.AppendUvarint(nil, uint64(len(columns)))
	b = append(b, 0) // rows
	for _, column := range columns {
		for _, text := range column { // name, type
			b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
		}
	}
	return b, nil
}

// unquoteField reads a query parameter, which the protocol sends as a quoted
// field with backslash escapes.
func unquoteField(v string) string {
	if len(v) < 2 || v[0] != '\'' || v[len(v)-1] != '\'' {
		return v
	}
	return strings.NewReplacer(`\\`, `\`, `\'`, `'`, `\n`, "\n", `\t`, "\t", `\r`, "\r", `\0`, "\x00").Replace(v[1 : len(v)-1])
}
