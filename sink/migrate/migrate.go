// SPDX-License-Identifier: Apache-2.0

// Package migrate brings a ClickHouse database to the schema this binary was
// built with.
//
// Check compares and changes nothing; Plan says what Apply would do; Apply carries out
// what is missing. A migration that was applied with another text is refused: what is
// in the database would no longer be what the files say. Of several runners at the same
// time one works and the others wait for it (see lock.go). A runner that dies anywhere
// is continued by the next: each statement may be repeated, and a migration is recorded
// when all of its statements are done.
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

// What Check and Apply refuse.
var (
	// ErrChanged says that an applied migration had another text than this binary's.
	ErrChanged = errors.New("migration was changed after it was applied")
	// ErrNewer says that the database holds migrations this binary does not know.
	ErrNewer = errors.New("database is newer than this lapwing")
	// ErrLayout says that the database was laid out for another cluster, or for one server.
	ErrLayout = errors.New("database has another layout")
)

// Status is one migration, as the database knows it.
type Status struct {
	schema.Migration
	AppliedAt time.Time // zero if it is pending
	// Statements are what carries it out, in order.
	Statements []string
}

// Pending reports whether the migration still has to be applied.
func (s Status) Pending() bool { return s.AppliedAt.IsZero() }

// Migrator works on one database. It is safe for concurrent use.
type Migrator struct {
	conn       driver.Conn
	layout     schema.Layout
	migrations []Status // none applied
	log        *zap.Logger
	times      lockTimes
}

// New returns a Migrator of a database for the migrations of this binary.
func New(conn driver.Conn, layout schema.Layout, log *zap.Logger) (*Migrator, error) {
	all, err := schema.Migrations()
	if err != nil {
		return nil, err
	}
	return newMigrator(conn, layout, all, log)
}

func newMigrator(conn driver.Conn, layout schema.Layout, all []schema.Migration, log *zap.Logger) (*Migrator, error) {
	if err := layout.Check(); err != nil {
		return nil, err
	}
	parsed, err := schema.Parse(all)
	if err != nil {
		return nil, err
	}
	m := &Migrator{conn: conn, layout: layout, log: log.Named("migrate"), times: defaultTimes()}
	for i, one := range all {
		status := Status{Migration: one}
		for n := range parsed[i] {
			status.Statements = append(status.Statements, layout.Statements(&parsed[i][n])...)
		}
		m.migrations = append(m.migrations, status)
	}
	return m, nil
}

// Check returns every migration of this binary with what the database says of it,
// and changes nothing. It returns ErrChanged, ErrNewer or ErrLayout if the two do not fit.
func (m *Migrator) Check(ctx context.Context) ([]Status, error) {
	type applied struct {
		Version   uint32    `ch:"version"`
		Checksum  string    `ch:"checksum"`
		Cluster   string    `ch:"cluster"`
		AppliedAt time.Time `ch:"applied_at"`
	}
	database := m.layout.Database
	var known uint64
	if err := m.conn.QueryRow(ctx, `SELECT count() FROM system.tables WHERE database = ? AND name = 'migrations'`, database).Scan(&known); err != nil {
		return nil, fmt.Errorf("look for the table of migrations: %w", err)
	}
	var rows []applied
	if known > 0 {
		// Every row counts, not only the latest: two binaries may have raced.
		if err := m.conn.Select(ctx, &rows, `SELECT version, checksum, cluster, min(m.applied_at) AS applied_at FROM `+database+`.migrations AS m GROUP BY version, checksum, cluster ORDER BY version`); err != nil {
			return nil, fmt.Errorf("read applied migrations: %w", err)
		}
	}
	all := append([]Status(nil), m.migrations...)
	for _, row := range rows {
		i := int(row.Version) - 1
		switch {
		case i < 0 || i >= len(all):
			return nil, fmt.Errorf("migration %04d in database %s: %w", row.Version, database, ErrNewer)
		case row.Checksum != all[i].Checksum:
			return nil, fmt.Errorf("migration %04d_%s in database %s: applied with checksum %.12s, this lapwing has %.12s: %w",
				all[i].Version, all[i].Name, database, row.Checksum, all[i].Checksum, ErrChanged)
		case row.Cluster != m.layout.Cluster:
			return nil, fmt.Errorf("database %s was made for %s, clickhouse.cluster says %s: %w",
				database, layoutName(row.Cluster), layoutName(m.layout.Cluster), ErrLayout)
		}
		all[i].AppliedAt = row.AppliedAt
	}
	return all, nil
}

func layoutName(cluster string) string {
	if cluster == "" {
		return "one server"
	}
	return "the cluster " + cluster
}

// Plan is every statement that Apply would carry out, in order; none if it has
// nothing to do. It changes nothing.
func (m *Migrator) Plan(ctx context.Context) ([]string, error) {
	all, err := m.Check(ctx)
	if err != nil {
		return nil, err
	}
	var plan []string
	for _, one := range all {
		if one.Pending() {
			plan = append(append(plan, one.Statements...), m.record(one))
		}
	}
	if len(plan) == 0 {
		return nil, nil
	}
	return append(m.prepare(), plan...), nil
}

// prepare makes what the records need.
func (m *Migrator) prepare() []string {
	return append([]string{m.layout.CreateDatabase()}, m.layout.Bookkeeping()...)
}

// record says that a migration was carried out.
func (m *Migrator) record(one Status) string {
	return fmt.Sprintf("INSERT INTO %s.migrations (version, name, checksum, cluster) SETTINGS async_insert = 0 VALUES (%d, '%s', '%s', '%s')",
		m.layout.Database, one.Version, one.Name, one.Checksum, m.layout.Cluster)
}

// Apply carries out the pending migrations in order, each recorded when all its
// statements are done, and returns those it carried out. While another runner works
// it waits.
func (m *Migrator) Apply(ctx context.Context) (done []schema.Migration, err error) {
	all, err := m.Check(ctx)
	if err != nil || !anyPending(all) {
		return nil, err
	}
	for _, statement := range m.prepare() {
		if err := m.conn.Exec(ctx, statement); err != nil {
			return nil, fmt.Errorf("prepare database %s: %w", m.layout.Database, err)
		}
	}
	lock, err := m.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.release()) }()
	if all, err = m.Check(ctx); err != nil { // the runner before may have done it
		return nil, err
	}
	for _, one := range all {
		if !one.Pending() {
			continue
		}
		for i, statement := range append(append([]string(nil), one.Statements...), m.record(one)) {
			if err := lock.exec(ctx, statement); err != nil {
				return done, fmt.Errorf("apply migration %04d_%s, statement %d: %w", one.Version, one.Name, i+1, err)
			}
		}
		m.log.Info("migration applied", zap.Int("version", one.Version), zap.String("name", one.Name))
		done = append(done, one.Migration)
	}
	return done, nil
}

func anyPending(all []Status) bool {
	for _, one := range all {
		if one.Pending() {
			return true
		}
	}
	return false
}
