// SPDX-License-Identifier: Apache-2.0

package kpi

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/shopspring/decimal"
)

// Format is how a result is printed.
type Format string

// The formats of lapwing kpi.
const (
	FormatTable Format = "table" // for people
	FormatJSON  Format = "json"  // one list of objects
	FormatCSV   Format = "csv"   // with a header
)

// Render prints the result. JSON and CSV have all rows and columns of the query;
// the table may add up, turn round or leave out. If what a row counts has not always been
// kept, all three say so: programs find since when in the column whole_since.
func Render(w io.Writer, r *Result, f Format) error {
	switch f {
	case FormatTable, "":
		if err := renderTable(w, r); err != nil {
			return err
		}
		if _, err := io.WriteString(w, r.gapLine()); err != nil {
			return fmt.Errorf("print KPI: %w", err)
		}
		return nil
	case FormatJSON:
		return renderJSON(w, r.withGap())
	case FormatCSV:
		return renderCSV(w, r.withGap())
	}
	return fmt.Errorf("format %q: want table, json or csv", f)
}

// renderJSON keeps the order of the columns, which a map would lose.
func renderJSON(w io.Writer, r *Result) error {
	out := []byte{'['}
	for i, row := range r.Rows {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, "\n  {"...)
		for j, v := range row {
			if j > 0 {
				out = append(out, ", "...)
			}
			key, err := json.Marshal(r.Columns[j].Name)
			if err != nil {
				return fmt.Errorf("encode column: %w", err)
			}
			if d, ok := v.(decimal.Decimal); ok {
				v = json.Number(d.String())
			} else if _, ok := v.(time.Time); ok {
				v = exact(v, r.Columns[j])
			}
			value, err := json.Marshal(v)
			if err != nil {
				return fmt.Errorf("encode %s: %w", r.Columns[j].Name, err)
			}
			out = append(append(append(out, key...), ": "...), value...)
		}
		out = append(out, '}')
	}
	if len(r.Rows) > 0 {
		out = append(out, '\n')
	}
	if _, err := w.Write(append(out, "]\n"...)); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

func renderCSV(w io.Writer, r *Result) error {
	out := csv.NewWriter(w)
	line := make([]string, len(r.Columns))
	for i, c := range r.Columns {
		line[i] = c.Name
	}
	if err := out.Write(line); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	for _, row := range r.Rows {
		for i, v := range row {
			line[i] = exact(v, r.Columns[i])
		}
		if err := out.Write(line); err != nil {
			return fmt.Errorf("write CSV: %w", err)
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}

// exact is a value for programs: every digit, no grouping; empty for null.
func exact(v any, c Column) string {
	switch v := v.(type) {
	case nil:
		return ""
	case time.Time:
		if isDate(c) {
			return v.Format(time.DateOnly)
		}
		return v.UTC().Format("2006-01-02T15:04:05.999Z")
	default:
		return fmt.Sprint(v)
	}
}

func isDate(c Column) bool { return c.Type == "Date32" || c.Type == "Date" }
