// SPDX-License-Identifier: Apache-2.0

// Package clickhouse is what Lapwing keeps in ClickHouse, as SQL: storage tables,
// deduplicating views and KPI views, in numbered files that are applied in order.
//
// A file that was released is never changed; what is to change gets a new file.
// Every statement may be repeated without harm (CREATE … IF NOT EXISTS, CREATE OR
// REPLACE VIEW), since ClickHouse has no transaction around several of them. The
// placeholder {{db}} stands for the database, and {{statistics}}, behind the WITH of a
// view, for the named expressions of with/statistics.sql.
package clickhouse

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

//go:embed *.sql
var files embed.FS

// Statistics are named expressions (wilsonLow, studentTails, …), separated by commas:
// what follows the WITH of the views that stand on them, and of a query that wants to.
//
//go:embed with/statistics.sql
var Statistics string

// Placeholder stands for the database in the SQL of migrations and KPI queries.
const Placeholder = "{{db}}"

// statisticsPlaceholder stands for Statistics in the files.
const statisticsPlaceholder = "{{statistics}}"

// Migration is one numbered file.
type Migration struct {
	Version  int    // from 1, without gaps
	Name     string // the file's name without the number and ".sql"
	Text     string // with placeholders
	Checksum string // lower hex SHA-256 of Text
}

// Migrations are all files, by version.
func Migrations() ([]Migration, error) { return read(files) }

func read(fsys fs.FS) ([]Migration, error) {
	names, err := fs.Glob(fsys, "*.sql") // sorted
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	var all []Migration
	for i, name := range names {
		number, rest, _ := strings.Cut(strings.TrimSuffix(name, ".sql"), "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != i+1 || len(number) != 4 || rest == "" {
			return nil, fmt.Errorf("migration %q: want the name %04d_….sql", name, i+1)
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("read migration: %w", err)
		}
		whole := strings.ReplaceAll(string(text), statisticsPlaceholder, strings.TrimSpace(Statistics))
		sum := sha256.Sum256([]byte(whole))
		all = append(all, Migration{Version: version, Name: rest, Text: whole, Checksum: hex.EncodeToString(sum[:])})
	}
	return all, nil
}

// split cuts m at semicolons at the end of a line, and leaves out comments that stand
// on lines of their own.
func (m Migration) split() []string {
	var all []string
	var one strings.Builder
	for line := range strings.Lines(m.Text) {
		if strings.HasPrefix(strings.TrimSpace(line), "--") {
			continue
		}
		text, ends := strings.CutSuffix(strings.TrimRight(line, " \n"), ";")
		one.WriteString(text)
		one.WriteByte('\n')
		if ends {
			all = append(all, strings.TrimSpace(one.String()))
			one.Reset()
		}
	}
	if rest := strings.TrimSpace(one.String()); rest != "" {
		all = append(all, rest)
	}
	return all
}

// For is sql with the placeholder replaced by the database.
func For(database, sql string) string { return strings.ReplaceAll(sql, Placeholder, database) }

// CheckDatabase refuses names that would need quotes: the name is put into SQL.
func CheckDatabase(name string) error {
	ok := name != "" && len(name) <= 63 && (name[0] < '0' || name[0] > '9')
	for i := range len(name) {
		c := name[i]
		ok = ok && (c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9')
	}
	if !ok {
		return fmt.Errorf("database %q: want letters, digits and underscores, not beginning with a digit, at most 63", name)
	}
	return nil
}
