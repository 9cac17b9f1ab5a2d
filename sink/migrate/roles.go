// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"fmt"
	"regexp"
	"slices"

	schema "lapwing/schemas/clickhouse"
	"lapwing/sink/batch"
	"lapwing/sink/kpi"
)

// The roles, each with what its holder needs and no more.
const (
	RoleWriter   = "lapwing_writer"   // the sink, once the tables are there
	RoleReader   = "lapwing_reader"   // analysts, dashboards, lapwing kpi
	RoleMigrator = "lapwing_migrator" // lapwing migrate, and a sink that migrates
)

// sinkInserts are the tables that the sink writes rows into.
func sinkInserts() []string {
	tables := []string{"generations_log", "customers_log", "kept_log"}
	for _, t := range batch.Tables() {
		tables = append(tables, t.Name())
	}
	return tables
}

// sinkReads are what else it asks: of the KPIs that it keeps, also what their views read,
// since a view has the rights of who asks.
func sinkReads(objects []schema.Statement) []string {
	all := []string{"current_generation", "migrations", "activity_mode", "kpi_clock", "live_definition", "rates_log"}
	for _, k := range kpi.Catalogue() {
		all = append(all, k.View)
	}
	named := regexp.MustCompile(regexp.QuoteMeta(schema.Placeholder) + `\.(\w+)`)
	for i := 0; i < len(all); i++ { // it grows
		for j := range objects {
			if objects[j].Name != all[i] {
				continue
			}
			for _, name := range named.FindAllStringSubmatch(objects[j].Select(), -1) {
				if !slices.Contains(all, name[1]) {
					all = append(all, name[1])
				}
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// withheld is what readers do not see: records that could not be read are customers'
// data in any form.
func withheld() []string { return []string{"unreadable", "unreadable_log"} }

// Roles is the DDL of the roles and their grants. It may be repeated, and must be when
// a migration brought a table that the sink writes.
func Roles(l schema.Layout) ([]string, error) {
	if err := l.Check(); err != nil {
		return nil, err
	}
	objects, err := schema.Objects()
	if err != nil {
		return nil, err
	}
	// A Distributed table asks the shards' tables as the same user.
	names := func(name string) []string {
		for i := range objects {
			if local := l.Storage(&objects[i]); objects[i].Name == name && objects[i].Kind == schema.Table && local != name {
				return []string{name, local}
			}
		}
		return []string{name}
	}
	cluster := l.OnCluster()
	var all []string
	grant := func(rights, on, role string) {
		all = append(all, fmt.Sprintf("GRANT%s %s ON %s TO %s", cluster, rights, on, role))
	}
	for _, role := range []string{RoleWriter, RoleReader, RoleMigrator} {
		all = append(all, "CREATE ROLE IF NOT EXISTS "+role+cluster)
	}

	inserts := sinkInserts()
	for i := range objects {
		if !slices.Contains(inserts, objects[i].Name) {
			continue
		}
		for _, name := range names(objects[i].Name) {
			grant("SELECT, INSERT", l.Database+"."+name, RoleWriter)
		}
	}
	for _, name := range sinkReads(objects) {
		if slices.Contains(inserts, name) {
			continue
		}
		for _, name := range names(name) {
			grant("SELECT", l.Database+"."+name, RoleWriter)
		}
	}

	grant("SELECT", l.Database+".*", RoleReader)
	for _, hidden := range withheld() {
		for _, name := range names(hidden) {
			all = append(all, fmt.Sprintf("REVOKE%s SELECT ON %s.%s FROM %s", cluster, l.Database, name, RoleReader))
		}
	}

	grant("CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP VIEW, ALTER ADD COLUMN, ALTER TTL, ALTER MATERIALIZE TTL, SELECT", l.Database+".*", RoleMigrator)
	grant("INSERT, DROP TABLE", l.Database+".migrations*", RoleMigrator) // with the lock on them
	if cluster != "" {
		grant("CLUSTER, REMOTE", "*.*", RoleMigrator) // ON CLUSTER, and Distributed tables
	}
	return all, nil
}
