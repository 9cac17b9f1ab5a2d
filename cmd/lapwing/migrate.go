// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"lapwing/sink/migrate"
)

func (a *app) migrateCommand() *cobra.Command {
	var where clickHouseFlags
	var apply, dryRun bool
	c := &cobra.Command{
		Use:   "migrate",
		Short: "Check ClickHouse's tables and views, or bring them up to date",
		Long: `migrate compares the database with what this lapwing needs and reports; it changes
nothing unless --apply is given. It may be repeated, and run in several places at
the same time. Exit code 1 means that migrations are pending, or do not fit.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if apply && dryRun {
				return usageError("--apply and --dry-run contradict each other")
			}
			conn, database, err := where.open(c.Context(), a.env)
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }() // each statement was answered
			m, err := migrate.New(conn, database, zap.NewNop())
			if err != nil {
				return err
			}
			if apply {
				return a.applyMigrations(c.Context(), m, database)
			}
			return a.checkMigrations(c.Context(), m, database)
		},
	}
	where.add(c)
	c.Flags().BoolVar(&apply, "apply", false, "carry out what is pending")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only check and report (the default)")
	return c
}

func (a *app) applyMigrations(ctx context.Context, m *migrate.Migrator, database string) error {
	done, err := m.Apply(ctx)
	var said strings.Builder
	for _, one := range done {
		fmt.Fprintf(&said, "%04d_%s: applied\n", one.Version, one.Name)
	}
	if err == nil && len(done) == 0 {
		fmt.Fprintf(&said, "database %s is up to date\n", database)
	}
	if _, failed := io.WriteString(a.stdout, said.String()); failed != nil && err == nil {
		return fmt.Errorf("print migrations: %w", failed)
	}
	if err != nil {
		return migrateError(ctx, err)
	}
	return nil
}

func (a *app) checkMigrations(ctx context.Context, m *migrate.Migrator, database string) error {
	all, err := m.Check(ctx)
	if err != nil {
		return migrateError(ctx, err)
	}
	pending := 0
	var said strings.Builder
	for _, one := range all {
		state := "applied " + one.AppliedAt.UTC().Format("2006-01-02 15:04:05Z")
		if one.Pending() {
			state = "pending"
			pending++
		}
		fmt.Fprintf(&said, "%04d_%s: %s\n", one.Version, one.Name, state)
	}
	if _, err := io.WriteString(a.stdout, said.String()); err != nil {
		return fmt.Errorf("print migrations: %w", err)
	}
	if pending > 0 {
		return fmt.Errorf("%d of %d migrations are pending in database %s; `lapwing migrate --apply` carries them out", pending, len(all), database)
	}
	return nil
}

func migrateError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return interrupted(ctx)
	case errors.Is(err, migrate.ErrNewer):
		return fmt.Errorf("%w; use the lapwing that made it, or a later one", err)
	case errors.Is(err, migrate.ErrChanged):
		return fmt.Errorf("%w; use the lapwing that applied it", err)
	default:
		return err
	}
}
