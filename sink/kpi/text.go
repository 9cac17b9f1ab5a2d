// SPDX-License-Identifier: Apache-2.0

package kpi

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// human is a value as people read it.
func (r *Result) human(v any, column int) string {
	c := r.Columns[column]
	switch v := v.(type) {
	case nil:
		switch c.Name {
		case "from_stage", "stage":
			return "(first)"
		case "to_stage":
			return "(end)"
		case "variant":
			switch l := r.KPI.layout; {
			case l.holdout:
				return "holdout"
			case l.together:
				return "(all)"
			}
		}
		return "–"
	case time.Time:
		switch {
		case !isDate(c):
			return exact(v, c)
		case c.Name == "cohort", r.Options.Grain == "month":
			return v.Format("2006-01")
		default:
			return v.Format(time.DateOnly)
		}
	case decimal.Decimal:
		return grouped(unsigned(v.StringFixed(2)))
	case float64:
		switch l := r.KPI.layout; {
		case slices.Contains(l.points, c.Name):
			return points(v)
		case slices.Contains(l.percent, c.Name):
			return unsigned(fmt.Sprintf("%.2f", 100*v)) + " %"
		case isRate(c.Name):
			return unsigned(fmt.Sprintf("%.1f", 100*v)) + " %"
		case strings.HasSuffix(c.Name, "_p") && v < 0.0001:
			return "< 0.0001"
		case strings.HasSuffix(c.Name, "_p"):
			return fmt.Sprintf("%.4f", v)
		case slices.Contains(l.counts, c.Name) && v == math.Trunc(v):
			return grouped(unsigned(fmt.Sprintf("%.0f", v)))
		}
		return grouped(unsigned(fmt.Sprintf("%.2f", v)))
	case uint64, int64:
		return grouped(fmt.Sprint(v))
	case bool:
		if v {
			return "yes"
		}
		return "no"
	default:
		return fmt.Sprint(v)
	}
}

// unnamed reports whether the cell is a variant that another system gave no name.
func (r *Result) unnamed(row []any, column int) bool {
	holdout := r.column("holdout")
	return row[column] == nil && r.Columns[column].Name == "variant" && holdout >= 0 && row[holdout] == false
}

// ofAll reports whether the cell is the stage of a row that is of all customers: without
// a model there are no stages.
func (r *Result) ofAll(row []any, column int) bool {
	model := r.column("model")
	return row[column] == nil && r.Columns[column].Name == "stage" && model >= 0 && row[model] == nil
}

func isRate(name string) bool { return strings.Contains(name, "rate") || name == "share" }

// head is a column's name in words, and its unit if the figures do not show it.
func (r *Result) head(name string) string {
	if slices.Contains(r.KPI.layout.points, name) {
		return label(name) + " (points)"
	}
	return label(name)
}

// label is a column's name in words.
func label(name string) string {
	name = strings.TrimSuffix(name, "_stage")
	return strings.ReplaceAll(name, "_", " ")
}

// isText reports whether a column is aligned to the left: text and dates.
func isText(rows [][]any, column int) bool {
	for _, row := range rows {
		switch row[column].(type) {
		case string, time.Time, bool:
			return true
		case nil:
		default:
			return false
		}
	}
	return false
}

// points is a difference of shares in percentage points.
func points(v float64) string { return unsigned(fmt.Sprintf("%+.1f", 100*v)) }

// unsigned is a decimal number without the sign if it was rounded to zero: it would tell a
// direction where none is seen.
func unsigned(number string) string {
	if digits := strings.TrimLeft(number, "+-"); strings.Trim(digits, "0.") == "" {
		return digits
	}
	return number
}

// grouped puts commas between the thousands of a decimal number.
func grouped(number string) string {
	sign := ""
	if strings.HasPrefix(number, "-") {
		sign, number = "-", number[1:]
	}
	whole, frac, dotted := strings.Cut(number, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if dotted {
		return sign + whole + "." + frac
	}
	return sign + whole
}

// float is a figure for drawing; 0 for what is none.
func float(v any) float64 {
	switch v := v.(type) {
	case uint64:
		return float64(v)
	case int64:
		return float64(v)
	case float64:
		return v
	case decimal.Decimal:
		return v.InexactFloat64()
	default:
		return 0
	}
}

// greatest is the scale of a column's bars.
func greatest(r *Result, rows [][]any, column int) float64 {
	if r.Columns[column].Name == "repeat_rate" {
		return 1
	}
	most := 0.0
	for _, row := range rows {
		most = max(most, float(row[column]))
	}
	return most
}

// bar draws value as a bar of at most width characters, in eighths; what is above
// zero is always seen.
func bar(value, most float64, width int) string {
	if value <= 0 || most <= 0 {
		return ""
	}
	eighths := max(1, int(math.Round(min(1, value/most)*float64(width)*8)))
	out := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		out += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return out
}

// spark draws a series in eight heights, scaled to its own greatest value; a dot
// stands for nothing.
func spark(values []float64) string {
	most := 0.0
	for _, v := range values {
		most = max(most, v)
	}
	var b strings.Builder
	for _, v := range values {
		if v <= 0 {
			b.WriteRune('·')
			continue
		}
		b.WriteRune([]rune("▁▂▃▄▅▆▇█")[min(7, int(v/most*8))])
	}
	return b.String()
}

func compareTimes(a, b any) int {
	x, _ := a.(time.Time)
	y, _ := b.(time.Time)
	return x.Compare(y)
}
