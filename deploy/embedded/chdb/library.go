// SPDX-License-Identifier: Apache-2.0

//go:build !noembedded && (linux || darwin) && (amd64 || arm64)

package chdb

import (
	"fmt"
	"unsafe"

	"github.com/ebitengine/purego"
)

// statementFunc is the shape that the library's three entry points for a
// statement share: connection, statement, format, and query parameters as four
// parallel arrays (names, their lengths, values, their lengths) with a count.
type statementFunc func(conn uintptr, query unsafe.Pointer, queryLen uintptr, format unsafe.Pointer, formatLen uintptr,
	names, nameLens, values, valueLens unsafe.Pointer, params uintptr) uintptr

// Library is the loaded engine. It is safe for concurrent use and is never
// unloaded: the engine's own threads live as long as the process.
type Library struct {
	version    func() uintptr
	setSignals func(enabled int32)

	connect func(argc int32, argv unsafe.Pointer) uintptr
	close   func(conn uintptr)

	query       statementFunc
	streamQuery statementFunc
	streamFetch func(conn, stream uintptr) uintptr
	streamStop  func(conn, stream uintptr)

	resultDestroy      func(result uintptr)
	resultBuffer       func(result uintptr) uintptr
	resultLength       func(result uintptr) uintptr
	resultError        func(result uintptr) uintptr
	resultRows         func(result uintptr) uint64
	resultReadRows     func(result uintptr) uint64
	resultReadBytes    func(result uintptr) uint64
	resultWrittenRows  func(result uintptr) uint64
	resultWrittenBytes func(result uintptr) uint64

	insert        statementFunc
	insertAppend  func(insert uintptr, data unsafe.Pointer, n uintptr) int32
	insertDone    func(insert uintptr) uintptr
	insertCancel  func(insert uintptr)
	insertError   func(insert uintptr) uintptr
	insertDestroy func(insert uintptr)
}

// Load opens the shared library at path and switches the engine's signal
// handlers off. It fails if the file cannot be loaded on this machine or lacks
// one of the functions used here (an older release). Load once per process.
func Load(path string) (*Library, error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("load the engine's library: %w", err)
	}
	l := &Library{}
	for _, f := range []struct {
		name string
		into any
	}{
		{"chdb_version", &l.version},
		{"chdb_set_signal_handlers_enabled", &l.setSignals},
		{"chdb_connect", &l.connect},
		{"chdb_close_conn", &l.close},
		{"chdb_query_with_params_n", &l.query},
		{"chdb_stream_query_with_params_n", &l.streamQuery},
		{"chdb_stream_fetch_result", &l.streamFetch},
		{"chdb_stream_cancel_query", &l.streamStop},
		{"chdb_destroy_query_result", &l.resultDestroy},
		{"chdb_result_buffer", &l.resultBuffer},
		{"chdb_result_length", &l.resultLength},
		{"chdb_result_error", &l.resultError},
		{"chdb_result_rows_read", &l.resultRows},
		{"chdb_result_storage_rows_read", &l.resultReadRows},
		{"chdb_result_storage_bytes_read", &l.resultReadBytes},
		{"chdb_result_rows_written", &l.resultWrittenRows},
		{"chdb_result_bytes_written", &l.resultWrittenBytes},
		{"chdb_stream_insert_with_params_n", &l.insert},
		{"chdb_stream_append", &l.insertAppend},
		{"chdb_stream_done", &l.insertDone},
		{"chdb_stream_cancel_insert", &l.insertCancel},
		{"chdb_stream_insert_error", &l.insertError},
		{"chdb_destroy_insert_stream", &l.insertDestroy},
	} {
		symbol, err := purego.Dlsym(handle, f.name)
		if err != nil {
			return nil, fmt.Errorf("bind %s of the engine's library: %w", f.name, err)
		}
		purego.RegisterFunc(f.into, symbol)
	}
	l.setSignals(0)
	return l, nil
}

// Version is the engine's release, such as "26.7.3".
func (l *Library) Version() string { return cString(l.version()) }

// address turns a C address into a pointer. The memory is the library's, so the
// Go runtime neither moves nor frees it; going through a variable's address
// says so to vet, which cannot know.
func address(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

// cString copies a NUL-terminated C string; the null pointer is "".
func cString(p uintptr) string {
	if p == 0 {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(address(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice((*byte)(address(p)), n))
}
