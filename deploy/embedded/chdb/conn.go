// SPDX-License-Identifier: Apache-2.0

//go:build !noembedded && (linux || darwin) && (amd64 || arm64)

package chdb

import (
	"errors"
	"runtime"
	"unsafe"
)

// ErrConnect is all that the library says when it opens no connection; the
// reason (a locked data folder, a setting with a bad value) is on the process's
// standard error.
var ErrConnect = errors.New("engine refused the connection")

// errNoAnswer means a null handle came back, which the interface does not
// document for any ordinary failure.
var errNoAnswer = errors.New("engine returned nothing")

// Error is a message of the engine, beginning with "Code: N. DB::Exception:".
type Error struct{ Message string }

func (e *Error) Error() string { return e.Message }

// Conn is one session: current database, settings, temporary tables. It is
// owned by one goroutine at a time. Opening one more costs under a millisecond.
type Conn struct {
	lib    *Library
	outer  uintptr // what chdb_connect returned, and chdb_close_conn takes
	handle uintptr // what every other function takes
}

// Connect opens a session with command line arguments of clickhouse-local, such
// as --path=DIR or a query setting --max_threads=2. Unknown settings are
// ignored by the engine; it returns ErrConnect for all failures.
func (l *Library) Connect(args ...string) (*Conn, error) {
	var pin runtime.Pinner // argv is an array of pointers to Go memory
	defer pin.Unpin()
	argv := make([]*byte, 0, len(args)+2)
	for _, a := range append([]string{"clickhouse"}, args...) {
		s := append([]byte(a), 0)
		pin.Pin(&s[0])
		argv = append(argv, &s[0])
	}
	argv = append(argv, nil)
	outer := l.connect(int32(len(argv)-1), unsafe.Pointer(&argv[0])) // a handful of arguments
	runtime.KeepAlive(argv)
	if outer == 0 {
		return nil, ErrConnect
	}
	handle := *(*uintptr)(address(outer))
	if handle == 0 {
		return nil, ErrConnect
	}
	return &Conn{lib: l, outer: outer, handle: handle}, nil
}

// Close ends the session. Free its results, streams and inserts first.
func (c *Conn) Close() {
	if c.outer != 0 {
		c.lib.close(c.outer)
		c.outer, c.handle = 0, 0
	}
}

// Query runs one statement of any kind and holds its whole output in memory,
// in the named format unless the statement says FORMAT itself. Data after an
// INSERT is not for Query: see Insert.
func (c *Conn) Query(query, format string, params map[string]string) (*Result, error) {
	return c.result(c.statement(c.lib.query, query, format, params))
}

// Exec is Query for a statement whose output nobody wants.
func (c *Conn) Exec(query string) error {
	res, err := c.Query(query, "Null", nil)
	if err != nil {
		return err
	}
	res.Free()
	return nil
}

// result takes over a handle, turning one that carries an error into that error.
func (c *Conn) result(handle uintptr) (*Result, error) {
	if handle == 0 {
		return nil, errNoAnswer
	}
	r := &Result{lib: c.lib, handle: handle}
	if msg := cString(c.lib.resultError(handle)); msg != "" {
		r.Free()
		return nil, &Error{msg}
	}
	return r, nil
}

// statement calls fn with the strings and parameters laid out as C wants them.
// All Go memory stays pinned for the call, which keeps no reference to it.
func (c *Conn) statement(fn statementFunc, query, format string, params map[string]string) uintptr {
	var pin runtime.Pinner
	defer pin.Unpin()
	text := func(s string) *byte {
		b := append([]byte(s), 0)
		pin.Pin(&b[0])
		return &b[0]
	}
	names, values := make([]*byte, 0, len(params)), make([]*byte, 0, len(params))
	nameLens, valueLens := make([]uintptr, 0, len(params)), make([]uintptr, 0, len(params))
	for name, value := range params {
		names, nameLens = append(names, text(name)), append(nameLens, uintptr(len(name)))
		values, valueLens = append(values, text(value)), append(valueLens, uintptr(len(value)))
	}
	var n, nl, v, vl unsafe.Pointer // null, not empty arrays, when there are no parameters
	if len(params) > 0 {
		n, nl = unsafe.Pointer(&names[0]), unsafe.Pointer(&nameLens[0])
		v, vl = unsafe.Pointer(&values[0]), unsafe.Pointer(&valueLens[0])
	}
	handle := fn(c.handle, unsafe.Pointer(text(query)), uintptr(len(query)), unsafe.Pointer(text(format)), uintptr(len(format)),
		n, nl, v, vl, uintptr(len(params)))
	runtime.KeepAlive(names)
	runtime.KeepAlive(nameLens)
	runtime.KeepAlive(values)
	runtime.KeepAlive(valueLens)
	return handle
}
