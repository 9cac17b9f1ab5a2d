// SPDX-License-Identifier: Apache-2.0

package sinktest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.uber.org/zap/zaptest"

	schema "lapwing/schemas/clickhouse"
	"lapwing/sink/batch"
	"lapwing/sink/migrate"
	"lapwing/sink/writer"
)

// Database is a migrated database that views show generation 1 of.
type Database struct {
	Name   string
	Conn   driver.Conn
	Writer *writer.Writer
}

// NewDatabase migrates a database of that name on the server.
func NewDatabase(t testing.TB, o *clickhouse.Options, name string) *Database {
	t.Helper()
	conn, err := clickhouse.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	log := zaptest.NewLogger(t)
	m, err := migrate.New(conn, schema.Layout{Database: name}, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if _, err := m.Apply(ctx); err != nil {
		t.Fatal(err)
	}
	if err := conn.Exec(ctx, "INSERT INTO "+name+".generations_log VALUES (1, 0)"); err != nil {
		t.Fatal(err)
	}
	return &Database{Name: name, Conn: conn, Writer: writer.New(conn, WriterConfig(name), log, writer.Hooks{})}
}

// WriterConfig is a writer's for tests: quick to try again.
func WriterConfig(database string) writer.Config {
	return writer.Config{Database: database, InitialInterval: 10 * time.Millisecond, MaxInterval: 100 * time.Millisecond, Timeout: 30 * time.Second}
}

// Insert writes the records as one batch.
func (d *Database) Insert(ctx context.Context, records []batch.Record) error {
	b := batch.New(batch.Limits{Rows: 1 << 30, Bytes: 1 << 30, Age: time.Hour})
	now := time.Now()
	for i := range records {
		b.Add(&records[i], now)
	}
	inserts, unreadable := b.Inserts()
	if len(unreadable) > 0 {
		return &unreadable[0]
	}
	for _, in := range inserts {
		if err := d.Writer.Insert(ctx, in); err != nil {
			return err
		}
	}
	return nil
}

// Text is a query's result as text, one line per row: for comparison.
func (d *Database) Text(ctx context.Context, query string) (string, error) {
	rows, err := d.Conn.Query(ctx, "SELECT toString(tuple(*)) FROM ("+query+")")
	if err != nil {
		return "", fmt.Errorf("query: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var out []byte
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return "", fmt.Errorf("scan: %w", err)
		}
		out = append(append(out, line...), '\n')
	}
	if err := rows.Err(); err != nil {
		return "", fmt.Errorf("read rows: %w", err)
	}
	return string(out), nil
}
