// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	schema "lapwing/schemas/clickhouse"
	"lapwing/sink/migrate"
)

// migrateFlags say what migrate does instead of checking; at most one is set.
type migrateFlags struct{ apply, dryRun, roles, dictionary bool }

func (a *app) migrateCommand() *cobra.Command {
	var where clickHouseFlags
	var do migrateFlags
	c := &cobra.Command{
		Use:   "migrate",
		Short: "Check ClickHouse's tables and views, or bring them up to date",
		Long: `migrate compares the database with what this lapwing needs and reports; it changes
nothing unless --apply is given. It may be repeated: one that broke off anywhere is
finished by the next, and of several at the same time one works while the others wait.
Exit code 1 means that migrations are pending, or do not fit.

With clickhouse.cluster in the configuration, or --cluster, the tables are Replicated
ones on every shard and Distributed ones over them, made ON CLUSTER.`,
		Example: `  lapwing migrate -c lapwing.yaml
  lapwing migrate -c lapwing.yaml --dry-run > ddl.sql
  lapwing migrate -c lapwing.yaml --apply
  lapwing migrate -c lapwing.yaml --roles | clickhouse-client --multiquery
  lapwing migrate --dictionary | less`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			said := 0
			for _, set := range []bool{do.apply, do.dryRun, do.roles, do.dictionary} {
				if set {
					said++
				}
			}
			switch {
			case said > 1:
				return usageError("--apply, --dry-run, --roles and --dictionary exclude each other")
			case do.roles:
				return a.printRoles(&where)
			case do.dictionary:
				return a.printDictionary()
			}
			to, err := where.connection(a.env)
			if err != nil {
				return err
			}
			conn, database, err := where.open(c.Context(), a.env)
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }()                                         // each statement was answered
			log, err := (&logConfig{Level: "warn", Format: "console"}).logger(a.stderr) // such as that it waits for another
			if err != nil {
				return err
			}
			m, err := migrate.New(conn, to.Layout(), log)
			if err != nil {
				return err
			}
			switch {
			case do.apply:
				return a.applyMigrations(c.Context(), m, database)
			case do.dryRun:
				return a.planMigrations(c.Context(), m, database)
			default:
				return a.checkMigrations(c.Context(), m, database)
			}
		},
	}
	where.add(c)
	c.Flags().StringVar(&where.cluster, "cluster", "", "the `CLUSTER` of ClickHouse's remote_servers that the database spans (default: one server)")
	c.Flags().BoolVar(&do.apply, "apply", false, "carry out what is pending")
	c.Flags().BoolVar(&do.dryRun, "dry-run", false, "print the statements that --apply would carry out")
	c.Flags().BoolVar(&do.roles, "roles", false, "print roles for writing, reading and migrating, with what each may; asks no server")
	c.Flags().BoolVar(&do.dictionary, "dictionary", false, "print every table, view and column with its meaning, as Markdown; asks no server")
	return c
}

// printDictionary prints what is in ClickHouse; it needs none.
func (a *app) printDictionary() error {
	text, err := schema.Dictionary()
	if err != nil {
		return err
	}
	return a.say("%s", text)
}

// printRoles prints the DDL of the roles; it needs no ClickHouse.
func (a *app) printRoles(where *clickHouseFlags) error {
	to, err := where.connection(a.env)
	if err != nil {
		return err
	}
	all, err := migrate.Roles(to.Layout())
	if err != nil {
		return err
	}
	return a.printStatements(all)
}

func (a *app) printStatements(all []string) error {
	if _, err := io.WriteString(a.stdout, strings.Join(all, ";\n")+";\n"); err != nil {
		return fmt.Errorf("print statements: %w", err)
	}
	return nil
}

func (a *app) planMigrations(ctx context.Context, m *migrate.Migrator, database string) error {
	plan, err := m.Plan(ctx)
	if err != nil {
		return migrateError(ctx, err)
	}
	if len(plan) == 0 {
		return a.say("-- database %s is up to date\n", database)
	}
	return a.printStatements(plan)
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
		return fmt.Errorf("%d of %d migrations are pending in database %s; `lapwing migrate --apply` carries them out, --dry-run prints them", pending, len(all), database)
	}
	return a.checkDrift(ctx, m, database)
}

// checkDrift says what somebody has changed by hand.
func (a *app) checkDrift(ctx context.Context, m *migrate.Migrator, database string) error {
	all, err := m.Drift(ctx)
	if err != nil {
		return migrateError(ctx, err)
	}
	wrong := 0
	var said strings.Builder
	for _, d := range all {
		if !d.Harmless {
			wrong++
		}
		fmt.Fprintf(&said, "%s\n", d)
	}
	if _, err := io.WriteString(a.stdout, said.String()); err != nil {
		return fmt.Errorf("print differences: %w", err)
	}
	if wrong > 0 {
		return fmt.Errorf("%d differences stand in the way of writing into database %s; each line says what brings it back", wrong, database)
	}
	return nil
}

func migrateError(ctx context.Context, err error) error {
	const anew = "or name another database and fill it with lapwing rebuild"
	switch {
	case ctx.Err() != nil:
		return interrupted(ctx)
	case errors.Is(err, migrate.ErrNewer):
		return fmt.Errorf("%w; use the lapwing that made it, or a later one", err)
	case errors.Is(err, migrate.ErrChanged):
		return fmt.Errorf("%w; use the lapwing that applied it, %s", err, anew)
	case errors.Is(err, migrate.ErrLayout):
		return fmt.Errorf("%w; set clickhouse.cluster as it was, %s", err, anew)
	case errors.Is(err, migrate.ErrLocked):
		return fmt.Errorf("%w; it goes on when that one has ended, or has given no sign of life for a minute: try again", err)
	default:
		return err
	}
}
