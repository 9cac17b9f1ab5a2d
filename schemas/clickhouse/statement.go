// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"fmt"
	"slices"
	"strings"
)

// The files are written in a narrow form of SQL, so that a cluster's DDL, the data
// dictionary and the check of a database against the schema can be made of the same
// text without guessing. What does not have this form is an error, never passed over:
//
//	CREATE TABLE IF NOT EXISTS {{db}}.NAME      CREATE OR REPLACE VIEW {{db}}.NAME
//	(                                           (
//	    column Type COMMENT '…' CODEC(…),           column Type COMMENT '…',
//	    …                                           …
//	)                                           )
//	ENGINE = …                                  AS SELECT …
//	PARTITION BY …                              COMMENT '…';
//	ORDER BY (…)
//	TTL …                                       ALTER TABLE {{db}}.NAME
//	SETTINGS …                                  ADD COLUMN IF NOT EXISTS column Type COMMENT '…';
//	COMMENT '…';
//
// Each clause begins a line, at its first column. A view with parameters has no list
// of columns, since ClickHouse knows none.

// Kind is what a statement makes or changes.
type Kind int

// The kinds.
const (
	Table Kind = iota
	View
	AddColumn // to a table
)

// Statement is one statement of a migration, taken apart.
type Statement struct {
	Kind    Kind
	Name    string // without the database
	Comment string // of the table or view, as text
	Columns []Column
	extra   []string   // other definitions between the columns: PROJECTION, INDEX, CONSTRAINT
	clauses []clause   // of a table: ENGINE, PARTITION BY, … and COMMENT
	text    string     // the whole, with placeholders
	query   string     // what a view selects
	table   *Statement // of AddColumn: that which makes the table
}

// Column is one column of a table or view.
type Column struct {
	Name, Type, Comment string
	Default             string // its words in the definition: MATERIALIZED …, DEFAULT … or ALIAS …; else empty
	codec               string
}

type clause struct{ word, rest string }

var heads = []struct {
	kind Kind
	text string
}{
	{Table, "CREATE TABLE IF NOT EXISTS " + Placeholder + "."},
	{View, "CREATE OR REPLACE VIEW " + Placeholder + "."},
	{AddColumn, "ALTER TABLE " + Placeholder + "."},
}

// tableClauses are what a table may say after its columns, in this order.
var tableClauses = []string{"ENGINE =", "PARTITION BY", "ORDER BY", "TTL", "SETTINGS", "COMMENT"}

const addColumn = "ADD COLUMN IF NOT EXISTS "

// Parse takes the statements of all migrations apart: for each its own, in order.
func Parse(all []Migration) ([][]Statement, error) {
	parsed := make([][]Statement, len(all))
	tables := map[string]*Statement{}
	for i, m := range all {
		for n, text := range m.split() {
			s, err := parseStatement(text)
			if err == nil && s.Kind == AddColumn {
				if s.table = tables[s.Name]; s.table == nil {
					err = fmt.Errorf("table %s is not there yet", s.Name)
				}
			}
			if err != nil {
				return nil, fmt.Errorf("migration %04d_%s, statement %d: %w", m.Version, m.Name, n+1, err)
			}
			if s.Kind == Table {
				tables[s.Name] = &s
			}
			parsed[i] = append(parsed[i], s)
		}
	}
	return parsed, nil
}

// Objects are the tables and views as all migrations leave them, in the order in which
// they were first made.
func Objects() ([]Statement, error) {
	all, err := Migrations()
	if err != nil {
		return nil, err
	}
	parsed, err := Parse(all)
	if err != nil {
		return nil, err
	}
	return objects(parsed), nil
}

func objects(parsed [][]Statement) []Statement {
	final := []Statement{migrationsTable}
	at := map[string]int{migrationsTable.Name: 0}
	for _, statements := range parsed {
		for _, s := range statements {
			n, known := at[s.Name]
			switch {
			case s.Kind == AddColumn:
				final[n].Columns = append(slices.Clip(final[n].Columns), s.Columns...)
			case !known:
				at[s.Name] = len(final)
				final = append(final, s)
			case s.Kind == View:
				final[n] = s
			}
		}
	}
	return final
}

func parseStatement(text string) (Statement, error) {
	for _, head := range heads {
		rest, ok := strings.CutPrefix(text, head.text)
		if !ok {
			continue
		}
		name, rest, _ := strings.Cut(rest, "\n")
		s := Statement{Kind: head.kind, Name: name, text: text}
		if err := CheckDatabase(name); err != nil {
			return s, fmt.Errorf("name %q: want letters, digits and underscores, alone on the first line", name)
		}
		return s, s.parseRest(rest)
	}
	return Statement{}, fmt.Errorf("%.60q: want CREATE TABLE IF NOT EXISTS, CREATE OR REPLACE VIEW or ALTER TABLE … ADD COLUMN IF NOT EXISTS, of %s", text, Placeholder)
}

func (s *Statement) parseRest(rest string) error {
	if s.Kind == AddColumn {
		definition, ok := strings.CutPrefix(rest, addColumn)
		if !ok {
			return fmt.Errorf("%s: want %s… on the second line", s.Name, addColumn)
		}
		return s.parseColumns(definition)
	}
	if strings.HasPrefix(rest, "(\n") {
		end := strings.Index(rest, "\n)\n")
		if end < 0 {
			return fmt.Errorf("%s: want the columns to end with ) on a line of its own", s.Name)
		}
		if err := s.parseColumns(rest[2:end]); err != nil {
			return err
		}
		rest = rest[end+3:]
	}
	if s.Kind == View {
		return s.parseView(rest)
	}
	if len(s.Columns) == 0 {
		return fmt.Errorf("table %s: want columns", s.Name)
	}
	return s.parseClauses(rest)
}

// Select is what a view selects, with placeholders.
func (s *Statement) Select() string { return s.query }

func (s *Statement) parseView(rest string) error {
	at := strings.LastIndex(rest, "\nCOMMENT ")
	if !strings.HasPrefix(rest, "AS ") || at < 0 {
		return fmt.Errorf("view %s: want AS … and, on a line of its own, COMMENT", s.Name)
	}
	var err error
	s.query = rest[len("AS "):at]
	s.Comment, err = unquote(rest[at+len("\nCOMMENT "):])
	if err != nil {
		return fmt.Errorf("view %s: %w", s.Name, err)
	}
	return nil
}

// parseClauses reads a table's clauses. A line that begins with none of their words
// goes on with the one before.
func (s *Statement) parseClauses(rest string) error {
	next := 0
	for line := range strings.SplitSeq(rest, "\n") {
		found := false
		for i := next; i < len(tableClauses) && !found; i++ {
			if words, ok := strings.CutPrefix(line, tableClauses[i]+" "); ok {
				s.clauses, found, next = append(s.clauses, clause{tableClauses[i], words}), true, i+1
			}
		}
		if found {
			continue
		}
		if len(s.clauses) == 0 || !strings.HasPrefix(line, " ") {
			return fmt.Errorf("table %s: %q: want one of %s, in this order", s.Name, line, strings.Join(tableClauses, ", "))
		}
		s.clauses[len(s.clauses)-1].rest += "\n" + line
	}
	for _, need := range []string{"ENGINE =", "ORDER BY", "COMMENT"} {
		if s.Clause(need) == "" {
			return fmt.Errorf("table %s: want %s", s.Name, need)
		}
	}
	var err error
	if s.Comment, err = unquote(s.Clause("COMMENT")); err != nil {
		return fmt.Errorf("table %s: %w", s.Name, err)
	}
	return nil
}

// Clause is what follows a clause's word, such as "ORDER BY" or "ENGINE ="; empty if
// there is none.
func (s *Statement) Clause(word string) string {
	for _, c := range s.clauses {
		if c.word == word {
			return c.rest
		}
	}
	return ""
}

func (s *Statement) parseColumns(text string) error {
	for _, part := range splitTop(text, ',') {
		part = strings.TrimSpace(part)
		if first, _, _ := strings.Cut(part, " "); first == "PROJECTION" || first == "INDEX" || first == "CONSTRAINT" {
			s.extra = append(s.extra, part)
			continue
		}
		c, err := parseColumn(part)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		s.Columns = append(s.Columns, c)
	}
	return nil
}

// columnWords begin the parts of a column that follow its type.
var columnWords = map[string]bool{"MATERIALIZED": true, "DEFAULT": true, "ALIAS": true, "COMMENT": true, "CODEC": true, "TTL": true}

func parseColumn(text string) (Column, error) {
	name, rest, _ := strings.Cut(text, " ")
	c := Column{Name: strings.Trim(name, "`")}
	word, from := "", ""
	put := func(part string) error {
		part = strings.TrimSpace(part)
		var err error
		switch word {
		case "":
			c.Type = part
		case "COMMENT":
			c.Comment, err = unquote(part)
		case "CODEC":
			c.codec = part
		case "TTL":
			err = fmt.Errorf("column %s: a TTL belongs to the table", c.Name)
		default:
			c.Default = word + " " + part
		}
		return err
	}
	for _, token := range splitTop(rest, ' ') {
		key, _, _ := strings.Cut(token, "(")
		if !columnWords[key] {
			from += " " + token
			continue
		}
		if err := put(from); err != nil {
			return c, err
		}
		word, from = key, token[len(key):]
	}
	if err := put(from); err != nil {
		return c, err
	}
	if c.Name == "" || c.Type == "" || c.Comment == "" {
		return c, fmt.Errorf("column %.60q: want a name, a type and a COMMENT", text)
	}
	return c, nil
}

// splitTop splits at a separator that stands outside quotes and brackets.
func splitTop(text string, separator byte) []string {
	var parts []string
	depth, from := 0, 0
	var quote byte
	for i := range len(text) {
		switch c := text[i]; {
		case quote != 0:
			if c == quote { // a doubled quote closes and opens again
				quote = 0
			}
		case c == '\'' || c == '`' || c == '"':
			quote = c
		case c == '(' || c == '[':
			depth++
		case c == ')' || c == ']':
			depth--
		case c == separator && depth == 0:
			parts = append(parts, text[from:i])
			from = i + 1
		}
	}
	return append(parts, text[from:])
}

// unquote is the text of an SQL string in single quotes, in which a quote is doubled.
func unquote(sql string) (string, error) {
	inner := strings.TrimSuffix(strings.TrimPrefix(sql, "'"), "'")
	if len(sql) < 3 || len(inner) != len(sql)-2 || strings.Contains(strings.ReplaceAll(inner, "''", ""), "'") || strings.Contains(inner, `\`) {
		return "", fmt.Errorf("comment %.40q: want one text in single quotes, without backslashes", sql)
	}
	return strings.ReplaceAll(inner, "''", "'"), nil
}

func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
