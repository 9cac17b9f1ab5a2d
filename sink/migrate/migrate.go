// SPDX-License-Identifier: Apache-2.0

// Package migrate brings a ClickHouse database to the schema this binary was
// built with.
//
// Check compares and changes nothing; Apply carries out what is missing. A
// migration that was applied with another text is refused: what is in the database
// would no longer be what the files say. Several runners at the same time meet in
// the same end, since each statement may be repeated and the record of a migration
// is one row however often it is written; none needs a lock. A runner that dies
// half-way is continued by the next.
package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.uber.org/zap"

	schema "lapwing/schemas/clickhouse"
)

// ErrChanged says that an applied migration had another text than this binary's.
var ErrChanged = errors.New("migration was changed after it was applied")

// ErrNewer says that the database holds migrations this binary does not know.
var ErrNewer = errors.New("database is newer than this lapwing")

// Status is one migration, as the database knows it.
type Status struct {
	schema.Migration
	AppliedAt time.Time // zero if it is pending
}

// Pending reports whether the migration still has to be applied.
func (s Status) Pending() bool { return s.AppliedAt.IsZero() }

// Migrator works on one database. It is safe for concurrent use.
type Migrator struct {
	conn       driver.Conn
	database   string
	migrations []schema.Migration
	log        *zap.Logger
}

// New returns a Migrator of database for the migrations of this binary.
func New(conn driver.Conn, database string, log *zap.Logger) (*Migrator, error) {
	all, err := schema.Migrations()
	if err != nil {
		return nil, err
	}
	return newMigrator(conn, database, all, log)
}

func newMigrator(conn driver.Conn, database string, all []schema.Migration, log *zap.Logger) (*Migrator, error) {
	if err := schema.CheckDatabase(database); err != nil {
		return nil, err
	}
	return &Migrator{conn: conn, database: database, migrations: all, log: log.Named("migrate")}, nil
}

// Check returns every migration of this binary with what the database says of it,
// and changes nothing. It returns ErrChanged or ErrNewer if the two do not fit.
func (m *Migrator) Check(ctx context.Context) ([]Status, error) {
	type applied struct {
		Version   uint32    `ch:"version"`
		Checksum  string    `ch:"checksum"`
		AppliedAt time.Time `ch:"applied_at"`
	}
	var known uint64
	if err := m.conn.QueryRow(ctx, `SELECT count() FROM system.tables WHERE database = ? AND name = 'migrations'`, m.database).Scan(&known); err != nil {
		return nil, fmt.Errorf("look for the table of migrations: %w", err)
	}
	var rows []applied
	if known > 0 {
		// Every row counts, not only the latest: two binaries may have raced.
		if err := m.conn.Select(ctx, &rows, `SELECT version, checksum, min(applied_at) AS applied_at FROM `+m.database+`.migrations GROUP BY version, checksum ORDER BY version`); err != nil {
			return nil, fmt.Errorf("read applied migrations: %w", err)
		}
	}
	all := make([]Status, len(m.migrations))
	for i, one := range m.migrations {
		all[i].Migration = one
	}
	for _, row := range rows {
		i := int(row.Version) - 1
		if i < 0 || i >= len(all) {
			return nil, fmt.Errorf("migration %04d in database %s: %w", row.Version, m.database, ErrNewer)
		}
		if row.Checksum != all[i].Checksum {
			return nil, fmt.Errorf("migration %04d_%s in database %s: applied with checksum %.12s, this lapwing has %.12s: %w",
				all[i].Version, all[i].Name, m.database, row.Checksum, all[i].Checksum, ErrChanged)
		}
		all[i].AppliedAt = row.AppliedAt
	}
	return all, nil
}

// Apply carries out the pending migrations in order, each recorded when all its
// statements are done, and returns those it carried out.
func (m *Migrator) Apply(ctx context.Context) ([]schema.Migration, error) {
	if err := m.conn.Exec(ctx, `CREATE DATABASE IF NOT EXISTS `+m.database); err != nil {
		return nil, fmt.Errorf("create database %s: %w", m.database, err)
	}
	if err := m.conn.Exec(ctx, `CREATE TABLE IF NOT EXISTS `+m.database+`.migrations
(
    version UInt32 COMMENT 'Number of the migration, from 1.',
    name String COMMENT 'Name of its file, without the number.',
    checksum String COMMENT 'SHA-256 of its file, lower hex.',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When it was carried out (wall clock of the server, UTC).'
)
ENGINE = ReplacingMergeTree ORDER BY (version, checksum)
COMMENT 'Migrations carried out in this database; lapwing migrate writes it.'`); err != nil {
		return nil, fmt.Errorf("create the table of migrations: %w", err)
	}
	all, err := m.Check(ctx)
	if err != nil {
		return nil, err
	}
	var done []schema.Migration
	for _, one := range all {
		if !one.Pending() {
			continue
		}
		for i, statement := range one.Statements(m.database) {
			if err := m.conn.Exec(ctx, statement); err != nil {
				return done, fmt.Errorf("apply migration %04d_%s, statement %d: %w", one.Version, one.Name, i+1, err)
			}
		}
		if err := m.conn.Exec(ctx, `INSERT INTO `+m.database+`.migrations (version, name, checksum) SETTINGS async_insert = 0 VALUES (?, ?, ?)`,
			one.Version, one.Name, one.Checksum); err != nil {
			return done, fmt.Errorf("record migration %04d_%s: %w", one.Version, one.Name, err)
		}
		m.log.Info("migration applied", zap.Int("version", one.Version), zap.String("name", one.Name))
		done = append(done, one.Migration)
	}
	return done, nil
}
