// SPDX-License-Identifier: Apache-2.0

//go:build !noembedded && (linux || darwin) && (amd64 || arm64)

package chdb

import (
	"runtime"
	"unsafe"
)

// Result is an output of the engine in the engine's memory. Free it.
type Result struct {
	lib    *Library
	handle uintptr
}

// Free releases the memory; slices from Bytes die with it.
func (r *Result) Free() {
	if r.handle != 0 {
		r.lib.resultDestroy(r.handle)
		r.handle = 0
	}
}

// Bytes is a view of the output, valid until Free; no copy is made.
func (r *Result) Bytes() []byte {
	n := r.lib.resultLength(r.handle)
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(address(r.lib.resultBuffer(r.handle))), n)
}

// Counts are what the engine reports about a finished statement.
type Counts struct {
	ReadRows, ReadBytes, WrittenRows, WrittenBytes, ResultRows uint64
}

// Counts reads them; they are zero for what does not apply.
func (r *Result) Counts() Counts {
	return Counts{
		ReadRows: r.lib.resultReadRows(r.handle), ReadBytes: r.lib.resultReadBytes(r.handle),
		WrittenRows: r.lib.resultWrittenRows(r.handle), WrittenBytes: r.lib.resultWrittenBytes(r.handle),
		ResultRows: r.lib.resultRows(r.handle),
	}
}

// Stream is a running SELECT, read chunk by chunk. Free it.
type Stream struct {
	conn *Conn
	head *Result
}

// Stream starts a SELECT. Each chunk is one block of rows and a complete
// document of the format, so choose one whose documents may be joined (Native,
// JSONEachRow, TabSeparated, CSV, RowBinary). Anything but a SELECT fails with
// code 36 and has no effect.
func (c *Conn) Stream(query, format string, params map[string]string) (*Stream, error) {
	head, err := c.result(c.statement(c.lib.streamQuery, query, format, params))
	if err != nil {
		return nil, err
	}
	return &Stream{conn: c, head: head}, nil
}

// Next returns the next chunk, or nil at the end. The caller frees it.
func (s *Stream) Next() (*Result, error) {
	res, err := s.conn.result(s.conn.lib.streamFetch(s.conn.handle, s.head.handle))
	if err != nil {
		return nil, err
	}
	if s.conn.lib.resultLength(res.handle) == 0 && s.conn.lib.resultRows(res.handle) == 0 {
		res.Free()
		return nil, nil
	}
	return res, nil
}

// Stop ends the statement early. It must not run beside Next: to interrupt a
// Next that is waiting, KILL the statement from another Conn.
func (s *Stream) Stop() { s.conn.lib.streamStop(s.conn.handle, s.head.handle) }

// Free releases the stream; before its end, Stop it first.
func (s *Stream) Free() { s.head.Free() }

// Insert is a running INSERT that takes its rows as bytes of a format. Nothing
// is stored before Finish (below the engine's block size of about a million
// rows); Cancel or Free before it store nothing.
type Insert struct {
	conn   *Conn
	handle uintptr
}

// Insert starts one. The statement has neither a FORMAT clause nor data, as
// "INSERT INTO t (a, b)"; data in the statement itself would break on binary
// formats, and with input() would be lost without an error.
func (c *Conn) Insert(query, format string, params map[string]string) (*Insert, error) {
	i := &Insert{conn: c, handle: c.statement(c.lib.insert, query, format, params)}
	if i.handle == 0 {
		return nil, errNoAnswer
	}
	if msg := cString(c.lib.insertError(i.handle)); msg != "" {
		i.Free()
		return nil, &Error{msg}
	}
	return i, nil
}

// Append hands over the next bytes, cut anywhere, and blocks while the engine
// is behind. After an error only Free remains.
func (i *Insert) Append(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	failed := i.conn.lib.insertAppend(i.handle, unsafe.Pointer(&p[0]), uintptr(len(p)))
	runtime.KeepAlive(p)
	if failed == 0 {
		return nil
	}
	if msg := cString(i.conn.lib.insertError(i.handle)); msg != "" {
		return &Error{msg}
	}
	return errNoAnswer
}

// Finish ends the data and returns once the rows are stored, with the counts of
// what was written.
func (i *Insert) Finish() (Counts, error) {
	res, err := i.conn.result(i.conn.lib.insertDone(i.handle))
	if err != nil {
		return Counts{}, err
	}
	defer res.Free()
	return res.Counts(), nil
}

// Cancel drops the insert with all that was appended.
func (i *Insert) Cancel() { i.conn.lib.insertCancel(i.handle) }

// Free releases the insert, whatever became of it.
func (i *Insert) Free() {
	if i.handle != 0 {
		i.conn.lib.insertDestroy(i.handle)
		i.handle = 0
	}
}
