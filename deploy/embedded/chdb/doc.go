// SPDX-License-Identifier: Apache-2.0

// Package chdb binds the C interface of libchdb, ClickHouse as a shared
// library, in pure Go: it needs no C compiler, and works with CGO_ENABLED=0.
//
//	lib, err := chdb.Load("/path/to/libchdb.so")
//	conn, err := lib.Connect("--path=/var/lib/data")
//	res, err := conn.Query("SELECT 1", "TabSeparated", nil)
//	fmt.Print(string(res.Bytes()))
//	res.Free()
//
// Guarantees: the engine's signal handlers are off before its first use (with
// them a nil dereference in Go would hang the process), and every piece of C
// memory has one owner here, whose Free or Close may be called twice.
//
// A Conn runs one statement at a time and is owned by one goroutine; any number
// of them may be open on the same data folder, and these run in parallel. To
// interrupt a running statement, KILL it from another Conn. The data folder is
// that of the first Conn: one process serves one folder, and the engine stays up
// while one Conn is open. The binding does no authentication, and it does not
// fetch the library.
//
// Importing this package links the program against the system's C library; the
// build tag noembedded leaves it out.
package chdb
