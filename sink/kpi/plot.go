// SPDX-License-Identifier: Apache-2.0

package kpi

import (
	"fmt"
	"math"
	"slices"
)

// plot draws intervals as text: all rows on one scale, which holds 0 if the interval is
// of a difference, so that it is seen at once which of them lie wholly on one side.
type plot struct {
	low, mid, high int // columns; -1 if the KPI has no intervals
	from, to       float64
}

// plotWidth is the width of an interval's drawing, in characters.
const plotWidth = 25

// intervals is the scale of the rows' intervals.
func (r *Result) intervals(rows [][]any) plot {
	l := r.KPI.layout.interval
	p := plot{low: r.column(l[0]), mid: r.column(l[1]), high: r.column(l[2])}
	if p.low < 0 || p.mid < 0 || p.high < 0 {
		return plot{low: -1, mid: -1, high: -1}
	}
	for _, row := range rows {
		if row[p.low] != nil && row[p.high] != nil {
			// An end that is 0 but for its rounding is 0.
			p.from, p.to = min(p.from, zeroed(float(row[p.low]))), max(p.to, zeroed(float(row[p.high])))
		}
	}
	return p
}

func zeroed(v float64) float64 {
	if math.Abs(v) < 1e-12 {
		return 0
	}
	return v
}

// head says from where to where the scale goes.
func (p plot) head(r *Result) string {
	if p.from == p.to {
		return ""
	}
	name := r.Columns[p.mid].Name
	show := func(v float64) string { return unsigned(fmt.Sprintf("%.2f", v)) }
	switch {
	case slices.Contains(r.KPI.layout.points, name):
		show = points
	case isRate(name):
		show = func(v float64) string { return unsigned(fmt.Sprintf("%.1f", 100*v)) + " %" }
	}
	left, right := show(p.from), show(p.to)
	return fmt.Sprintf("%s%*s", left, max(1+len(right), plotWidth-len(left)), right)
}

// draw is one row's interval: ├──●──┤ with │ at 0; only the dot where the figure has no
// interval, and nothing where there is no figure.
func (p plot) draw(row []any) string {
	if p.mid < 0 || p.from == p.to || row[p.mid] == nil {
		return ""
	}
	at := func(v float64) int {
		return min(plotWidth-1, max(0, int(math.Round((v-p.from)/(p.to-p.from)*(plotWidth-1)))))
	}
	line := make([]rune, plotWidth)
	for i := range line {
		line[i] = ' '
	}
	line[at(0)] = '│'
	if row[p.low] != nil && row[p.high] != nil {
		low, high := at(float(row[p.low])), at(float(row[p.high]))
		for i := low; i <= high; i++ {
			if line[i] == '│' {
				line[i] = '┼'
			} else {
				line[i] = '─'
			}
		}
		line[low], line[high] = '├', '┤'
	}
	line[at(float(row[p.mid]))] = '●'
	return string(line)
}
