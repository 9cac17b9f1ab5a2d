// SPDX-License-Identifier: Apache-2.0

// Package chfront serves the embedded ClickHouse engine over the server's two
// protocols, HTTP and native TCP, so that every ClickHouse client works with it:
// clickhouse-go, curl, Grafana, clickhouse-connect.
//
//	srv, err := chfront.New(chfront.Config{Library: lib, DataDir: dir, Database: "lapwing", User: "default", Password: pw})
//	err = srv.Run(ctx, httpListener, nativeListener)
//
// Guarantees:
//   - every statement needs the one user's password, compared in constant time;
//   - a statement's settings end with it: HTTP requests have a session each
//     (unless they name a session_id), and what a native query sets is undone;
//   - when a client goes away or cancels, its statement is killed;
//   - an INSERT is answered after its rows are stored, and what the engine would
//     drop without an error (INSERT … SELECT … FROM input()) is refused.
//
// It knows one user; roles, quotas and TLS are for a real server. It must listen
// on loopback only, for its clients read files and open connections as the
// process. Over HTTP a result without rows has no column names in the Native
// format, and a query_id only labels the answer.
package chfront
