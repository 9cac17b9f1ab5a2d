// SPDX-License-Identifier: Apache-2.0

package kpi

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// renderTable prints a result for people: one table, or one per value of the
// layout's split column.
func renderTable(w io.Writer, r *Result) error {
	l := r.KPI.layout
	if len(r.Rows) == 0 {
		_, err := fmt.Fprintf(w, "%s: no data yet\n", r.KPI.Title)
		return err
	}
	split := r.column(l.split)
	if split < 0 {
		return renderOne(w, r, r.KPI.Title, r.Rows)
	}
	for i := 0; i < len(r.Rows); {
		j := i + 1
		for j < len(r.Rows) && r.Rows[j][split] == r.Rows[i][split] {
			j++
		}
		if i > 0 {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		title := fmt.Sprintf("%s (%s %v)", r.KPI.Title, l.split, r.Rows[i][split])
		if err := renderOne(w, r, title, r.Rows[i:j]); err != nil {
			return err
		}
		i = j
	}
	return nil
}

func renderOne(w io.Writer, r *Result, title string, rows [][]any) error {
	var t grid
	switch l := r.KPI.layout; {
	case l.across != "":
		t = crossed(r, rows)
	case len(l.group) > 0:
		t = series(r, rows)
	default:
		t = listed(r, rows)
	}
	if err := t.print(w, title); err != nil || !r.leavesOut(rows) {
		return err
	}
	_, err := io.WriteString(w, "  former: customers left out, since they were assigned when the shares were others; customers may have behaved otherwise then\n")
	return err
}

// formerColumn counts customers whom a comparison leaves out.
const formerColumn = "former"

// leavesOut reports whether the rows say that a comparison leaves customers out.
func (r *Result) leavesOut(rows [][]any) bool {
	i := r.column(formerColumn)
	return i >= 0 && slices.ContainsFunc(rows, func(row []any) bool { return float(row[i]) > 0 })
}

// grid is text ready to be aligned.
type grid struct {
	head  []string
	left  []bool // columns aligned to the left; numbers go to the right
	lines [][]string
}

func (g *grid) print(w io.Writer, title string) error {
	out := table.NewWriter()
	style := table.StyleLight
	style.Format.Header = text.FormatDefault
	style.Options.DrawBorder, style.Options.SeparateColumns = false, false
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	out.SetStyle(style)
	head := make(table.Row, len(g.head))
	configs := make([]table.ColumnConfig, len(g.head))
	for i, h := range g.head {
		head[i] = h
		configs[i] = table.ColumnConfig{Number: i + 1, Align: text.AlignRight, AlignHeader: text.AlignRight}
		if g.left[i] {
			configs[i].Align, configs[i].AlignHeader = text.AlignLeft, text.AlignLeft
		}
	}
	out.AppendHeader(head)
	out.SetColumnConfigs(configs)
	for _, line := range g.lines {
		row := make(table.Row, len(line))
		for i, cell := range line {
			row[i] = cell
		}
		out.AppendRow(row)
	}
	var b strings.Builder
	b.WriteString(title + "\n")
	for line := range strings.Lines(out.Render() + "\n") {
		b.WriteString("  " + strings.TrimRight(line, " \n") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// listed prints the rows as they are, bars beside the figures that have them.
func listed(r *Result, rows [][]any) grid {
	l := r.KPI.layout
	var g grid
	var shown []int
	plot := r.intervals(rows)
	star := -1 // where an open period is marked
	for i, c := range r.Columns {
		if c.Name == formerColumn && !r.leavesOut(rows) {
			continue
		}
		if c.Name == l.split || blank(rows, i) || slices.Contains(l.hide, c.Name) || c.Name == "closed" || c.Name == l.interval[0] || c.Name == l.interval[2] {
			continue
		}
		if star < 0 || c.Name == "period" {
			star = i
		}
		shown = append(shown, i)
		g.head, g.left = append(g.head, r.head(c.Name)), append(g.left, isText(rows, i))
		if slices.Contains(l.bars, c.Name) {
			g.head, g.left = append(g.head, ""), append(g.left, true)
		}
		if c.Name == l.interval[1] {
			g.head, g.left = append(g.head, plot.head(r)), append(g.left, true)
		}
	}
	for _, row := range rows {
		var line []string
		for _, i := range shown {
			cell := r.human(row[i], i)
			if r.unnamed(row, i) {
				cell = "(no name)"
			}
			if r.ofAll(row, i) {
				cell = "(all)"
			}
			if i == star && r.open(row) {
				cell += " *" // the period still runs
			}
			line = append(line, cell)
			if slices.Contains(l.bars, r.Columns[i].Name) {
				line = append(line, bar(float(row[i]), greatest(r, rows, i), 12))
			}
			if r.Columns[i].Name == l.interval[1] {
				line = append(line, plot.draw(row))
			}
		}
		g.lines = append(g.lines, line)
	}
	return g
}

// blank reports whether a column is empty text in all rows: it tells nothing.
func blank(rows [][]any, column int) bool {
	return !slices.ContainsFunc(rows, func(row []any) bool { return row[column] != "" })
}

// crossed turns rows of (down, across, value) round.
func crossed(r *Result, rows [][]any) grid {
	l := r.KPI.layout
	down, across, value, order := r.column(l.down), r.column(l.across), r.column(l.value), r.column(l.order)
	type place struct {
		key   string
		order float64
	}
	var columns []place
	for _, row := range rows {
		p := place{key: r.human(row[across], across)}
		if order >= 0 {
			p.order = float(row[order])
		}
		if !slices.ContainsFunc(columns, func(c place) bool { return c.key == p.key }) {
			columns = append(columns, p)
		}
	}
	slices.SortStableFunc(columns, func(a, b place) int { return int(a.order) - int(b.order) })
	bars := slices.Contains(l.bars, l.value)
	g := grid{head: []string{label(l.down)}, left: []bool{true}}
	for _, c := range columns {
		g.head, g.left = append(g.head, c.key), append(g.left, false)
		if bars {
			g.head, g.left = append(g.head, ""), append(g.left, true)
		}
	}
	width := len(g.head)
	most := greatest(r, rows, value)
	var key any
	for i, row := range rows {
		if i == 0 || row[down] != key {
			key = row[down]
			line := make([]string, width)
			line[0] = r.human(key, down)
			if r.open(row) {
				line[0] += " *"
			}
			g.lines = append(g.lines, line)
		}
		line := g.lines[len(g.lines)-1]
		at := slices.IndexFunc(columns, func(c place) bool { return c.key == r.human(row[across], across) })
		if bars {
			line[1+2*at], line[2+2*at] = r.human(row[value], value), bar(float(row[value]), most, 6)
		} else {
			line[1+at] = r.human(row[value], value)
		}
	}
	return g
}

// series adds up the value per group and draws it over time.
func series(r *Result, rows [][]any) grid {
	l := r.KPI.layout
	down, value := r.column(l.down), r.column(l.value)
	var times []any
	for _, row := range rows {
		if !slices.Contains(times, row[down]) {
			times = append(times, row[down])
		}
	}
	slices.SortFunc(times, func(a, b any) int { return compareTimes(a, b) })
	g := grid{}
	for _, name := range l.group {
		g.head, g.left = append(g.head, label(name)), append(g.left, true)
	}
	g.head, g.left = append(g.head, label(l.value), "", "per "+r.Options.Grain), append(g.left, false, true, true)
	type sum struct {
		cells []string
		total float64
		over  []float64
	}
	var sums []*sum
	for _, row := range rows {
		cells := make([]string, len(l.group))
		for i, name := range l.group {
			c := r.column(name)
			cells[i] = r.human(row[c], c)
		}
		var s *sum
		if n := len(sums); n > 0 && slices.Equal(sums[n-1].cells, cells) {
			s = sums[n-1]
		} else {
			s = &sum{cells: cells, over: make([]float64, len(times))}
			sums = append(sums, s)
		}
		s.total += float(row[value])
		s.over[slices.Index(times, row[down])] += float(row[value])
	}
	most := 0.0
	for _, s := range sums {
		most = max(most, s.total)
	}
	if most > 0 { // what never happened needs no line
		sums = slices.DeleteFunc(sums, func(s *sum) bool { return s.total == 0 })
	}
	for _, s := range sums {
		g.lines = append(g.lines, append(s.cells, grouped(fmt.Sprintf("%.0f", s.total)), bar(s.total, most, 12), spark(s.over)))
	}
	return g
}

// open reports whether the row's period still runs.
func (r *Result) open(row []any) bool {
	i := r.column("closed")
	return i >= 0 && row[i] == false
}
