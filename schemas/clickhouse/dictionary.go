// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The data dictionary README.md, and the golden files of the layouts, follow the SQL:
//
//go:generate go test . -run TestDictionary|TestCluster|TestLayouts -update

//go:embed examples/examples.sql
var examplesText string

// Example is a query that shows what a view is for.
type Example struct {
	Question string // which it answers; empty: the view's own comment says it
	Query    string // with the placeholder
}

// Examples are the queries of the data dictionary: one for every view. A view that the
// file examples.sql does not mention is shown as it is.
func Examples() (map[string]Example, error) {
	objects, err := Objects()
	if err != nil {
		return nil, err
	}
	all, err := readExamples(examplesText)
	if err != nil {
		return nil, err
	}
	views := map[string]bool{}
	for i := range objects {
		o := &objects[i]
		if o.Kind != View {
			continue
		}
		views[o.Name] = true
		if _, ok := all[o.Name]; !ok {
			all[o.Name] = Example{Query: o.plainExample()}
		}
	}
	for name := range all {
		if !views[name] {
			return nil, fmt.Errorf("examples.sql: there is no view %s", name)
		}
	}
	return all, nil
}

// plainExample shows some rows of a view, of months if it has several lengths of period.
func (s *Statement) plainExample() string {
	from := s.Name
	if given := s.Parameters(); len(given) > 0 {
		var values []string
		for _, p := range given {
			values = append(values, p.Name+" = "+plainValue(p))
		}
		from += "(" + strings.Join(values, ", ") + ")"
	}
	where := ""
	if slices.ContainsFunc(s.Columns, func(c Column) bool { return c.Name == "grain" }) {
		where = "\nWHERE grain = 'month'"
	}
	return fmt.Sprintf("SELECT *\nFROM %s.%s%s\nLIMIT 10", Placeholder, from, where)
}

func plainValue(parameter Column) string {
	switch {
	case parameter.Type != "String":
		return "30"
	case parameter.Name == "event" || parameter.Name == "order":
		return "'purchase'"
	default:
		return quote(parameter.Name)
	}
}

// parameter is {name:Type} in what a view selects.
var parameter = regexp.MustCompile(`\{(\w+):(\w+)\}`)

// Parameters are those of a view, in the order in which it names them.
func (s *Statement) Parameters() []Column {
	var all []Column
	for _, found := range parameter.FindAllStringSubmatch(s.query, -1) {
		if !slices.ContainsFunc(all, func(c Column) bool { return c.Name == found[1] }) {
			all = append(all, Column{Name: found[1], Type: found[2]})
		}
	}
	return all
}

// readExamples reads blocks such as
//
//	-- kpi_flow: How did customers move last month?
//	SELECT … FROM {{db}}.kpi_flow …;
func readExamples(text string) (map[string]Example, error) {
	all := map[string]Example{}
	name := ""
	for line := range strings.Lines(text) {
		if head, ok := strings.CutPrefix(line, "-- "); ok {
			view, question, found := strings.Cut(strings.TrimSpace(head), ": ")
			if found && CheckDatabase(view) == nil { // else it is a comment
				if _, twice := all[view]; twice {
					return nil, fmt.Errorf("examples.sql: %s stands there twice", view)
				}
				name = view
				all[name] = Example{Question: question}
			}
			continue
		}
		if e, ok := all[name]; ok {
			e.Query += line
			all[name] = e
		}
	}
	for view, e := range all {
		query, ended := strings.CutSuffix(strings.TrimSpace(e.Query), ";")
		if !ended || strings.Contains(query, ";") {
			return nil, fmt.Errorf("examples.sql: %s: want one query that ends with a semicolon", view)
		}
		e.Query = query
		all[view] = e
	}
	return all, nil
}

const dictionaryHead = `# What is in ClickHouse

This file is made of the comments in the SQL beside it (` + "`go generate ./schemas/clickhouse`" + `); ` + "`lapwing migrate --dictionary`" + `
prints it. The database is ` + "`lapwing`" + ` unless configured otherwise.

Query the views. They show each fact once, whatever was delivered how often, of the generation that is live;
tables that end in ` + "`_log`" + ` hold what was read, repeats and older versions included. In a cluster they lie over
tables that end in ` + "`_log_local`" + `. Columns that begin with ` + "`_`" + ` say where in Kafka a row comes from. Times are instants in UTC;
periods are those of the definition's time zone. Money is Decimal, with its currency beside it.

`

// Dictionary is the data dictionary, as Markdown: every table and view, its columns,
// their types and meanings, and an example for every view.
func Dictionary() (string, error) {
	objects, err := Objects()
	if err != nil {
		return "", err
	}
	examples, err := Examples()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(dictionaryHead)
	parts := []struct {
		title, words string
		of           func(s *Statement) bool
	}{
		{"Facts and the current state", "", func(s *Statement) bool { return s.Kind == View && !strings.HasPrefix(s.Name, "kpi_") }},
		{"KPIs", "", func(s *Statement) bool { return s.Kind == View && strings.HasPrefix(s.Name, "kpi_") }},
		{"Storage", "For those who operate the database.\n\n", func(s *Statement) bool { return s.Kind == Table }},
	}
	for _, part := range parts {
		fmt.Fprintf(&b, "- **%s:**", part.title)
		between := " "
		for i := range objects {
			if o := &objects[i]; part.of(o) {
				fmt.Fprintf(&b, "%s[%s](#%s)", between, o.Name, o.Name)
				between = ", "
			}
		}
		b.WriteByte('\n')
	}
	for _, part := range parts {
		fmt.Fprintf(&b, "\n## %s\n\n%s", part.title, part.words)
		for i := range objects {
			if o := &objects[i]; part.of(o) {
				o.describe(&b, examples)
			}
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n", nil
}

func (s *Statement) describe(b *strings.Builder, examples map[string]Example) {
	fmt.Fprintf(b, "### %s\n\n%s\n\n", s.Name, s.Comment)
	if key := s.Clause("ORDER BY"); key != "" {
		fmt.Fprintf(b, "Ordered by `%s`.\n\n", strings.ReplaceAll(strings.Trim(key, "()"), "`", ""))
	}
	if given := s.Parameters(); len(given) > 0 {
		b.WriteString("Its parameters are")
		for i, p := range given {
			fmt.Fprintf(b, "%s `%s` (%s)", map[bool]string{true: "", false: ","}[i == 0], p.Name, p.Type)
		}
		b.WriteString(".\n\n")
	}
	if len(s.Columns) > 0 {
		b.WriteString("| Column | Type | Meaning |\n|---|---|---|\n")
	}
	for _, c := range s.Columns {
		fmt.Fprintf(b, "| `%s` | `%s` | %s |\n", c.Name, c.Type, strings.ReplaceAll(c.Comment, "|", `\|`))
	}
	if len(s.Columns) > 0 {
		b.WriteByte('\n')
	}
	if e, ok := examples[s.Name]; ok {
		if e.Question != "" {
			b.WriteString(e.Question + "\n\n")
		}
		fmt.Fprintf(b, "```sql\n%s\n```\n\n", For("lapwing", e.Query))
	}
}
