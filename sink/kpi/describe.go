// SPDX-License-Identifier: Apache-2.0

package kpi

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"

	schema "lapwing/schemas/clickhouse"
)

// Describe says in plain text what a KPI means: what is counted and what that is divided
// by, of which time and in which unit, its parameters, its columns, and a query to begin
// with. It needs no ClickHouse.
func Describe(k KPI, database string) (string, error) {
	objects, err := schema.Objects()
	if err != nil {
		return "", fmt.Errorf("describe KPI %s: %w", k.Name, err)
	}
	var b strings.Builder
	line := func(label, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%-13s%s\n", label, text)
		}
	}
	fmt.Fprintf(&b, "%s – %s\n\n%s\n\n", k.Name, k.Title, k.Meaning)
	line("About", k.Group)
	line("Stage", k.Stage)
	line("Numerator", k.Numerator)
	line("Denominator", k.Denominator)
	line("Time", k.Time)
	line("Unit", k.Unit)
	line("View", database+"."+k.View)
	if k.Activity != "" {
		line("Needs", "activity: "+k.Activity)
	}
	if len(k.Params) > 0 {
		b.WriteString("\nParameters (--param NAME=VALUE)\n")
		for _, p := range k.Params {
			fmt.Fprintf(&b, "  %s = %s: %s\n", p.Name, p.Default, p.Meaning)
		}
	}
	for i := range objects {
		if objects[i].Name != k.View {
			continue
		}
		if len(objects[i].Columns) == 0 { // a view with parameters
			fmt.Fprintf(&b, "\nColumns\n  %s\n", objects[i].Comment)
			break
		}
		b.WriteString("\nColumns\n")
		for _, c := range objects[i].Columns {
			fmt.Fprintf(&b, "  %s: %s\n", c.Name, c.Comment)
		}
	}
	fmt.Fprintf(&b, "\nQuery\n  %s\n", schema.For(database, k.example()))
	return b.String(), nil
}

var hole = regexp.MustCompile(`@[a-z_]+`)

// example is the query with the defaults in it, as any client can send it.
func (k *KPI) example() string { return k.filled(k.Query) }

// filled is SQL of the KPI with the defaults in the places of its parameters.
func (k *KPI) filled(sql string) string {
	return hole.ReplaceAllStringFunc(sql, func(name string) string {
		switch name = name[1:]; name {
		case "grain":
			return "'" + cmp.Or(k.By, "month") + "'"
		case "model":
			return "''"
		}
		for _, p := range k.Params {
			switch {
			case p.Name != name:
			case p.Number:
				return p.Default
			default:
				return "'" + strings.ReplaceAll(p.Default, "'", `\'`) + "'"
			}
		}
		return name
	})
}
