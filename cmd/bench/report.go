// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// figure is one measured number. The unit is part of the name: events_per_s, cpu_s.
type figure struct {
	name  string
	value float64
}

// result is what one run of one contender gave.
type result struct {
	contender string
	round     int
	figures   []figure
}

func (r *result) add(name string, value float64) {
	r.figures = append(r.figures, figure{name, rounded(value)})
}

func (r *result) value(name string) (float64, bool) {
	i := slices.IndexFunc(r.figures, func(f figure) bool { return f.name == name })
	if i < 0 {
		return 0, false
	}
	return r.figures[i].value, true
}

// addUsage is the cost of a run, the same figures in every mode.
func (r *result) addUsage(u usage) {
	r.add("cpu_s", u.program)
	r.add("rss_peak_mb", u.megabytes)
	r.add("broker_cpu_s", u.broker)
	r.add("bench_cpu_s", u.self)
	r.add("others_cpu_s", u.others)
	r.add("others_share", u.othersShare())
}

// comparison asks for the ratio of a figure of two contenders.
type comparison struct{ figure, a, b string }

// report collects the results of one mode. Lines go to jsonl as they come.
type report struct {
	mode    string
	jsonl   io.Writer
	results []result
}

// line writes one JSON object with its keys in the order given.
func (r *report) line(pairs ...any) error {
	var b bytes.Buffer
	b.WriteString(`{"mode":` + strconv.Quote(r.mode))
	for pair := range slices.Chunk(pairs, 2) {
		value, err := json.Marshal(pair[len(pair)-1])
		if err != nil {
			return fmt.Errorf("write figure %v: %w", pair[0], err)
		}
		fmt.Fprintf(&b, ",%q:%s", pair[0], value)
	}
	b.WriteString("}\n")
	if _, err := r.jsonl.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	return nil
}

// add takes a result and writes its line.
func (r *report) add(res result) error {
	r.results = append(r.results, res)
	pairs := []any{"contender", res.contender, "round", res.round}
	for _, f := range res.figures {
		pairs = append(pairs, f.name, f.value)
	}
	return r.line(pairs...)
}

func (r *report) contenders() []string {
	var names []string
	for _, res := range r.results {
		if !slices.Contains(names, res.contender) {
			names = append(names, res.contender)
		}
	}
	return names
}

func (r *report) figureNames() []string {
	var names []string
	for _, res := range r.results {
		for _, f := range res.figures {
			if !slices.Contains(names, f.name) {
				names = append(names, f.name)
			}
		}
	}
	return names
}

// values is a contender's figure, round by round.
func (r *report) values(contender, figure string) []float64 {
	var values []float64
	for _, res := range r.results {
		if v, ok := res.value(figure); ok && res.contender == contender {
			values = append(values, v)
		}
	}
	return values
}

// finish writes the medians and ratios as lines, and prints them: of the figures those
// that are shown.
func (r *report) finish(out io.Writer, shown []string, comparisons []comparison) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(cells ...string) { fmt.Fprintln(table, strings.Join(cells, "\t")) } //nolint:errcheck // told by Flush
	row(append([]string{r.mode}, shown...)...)
	names := r.figureNames()
	for _, c := range r.contenders() {
		pairs := []any{"contender", c, "summary", true}
		for _, name := range names {
			if values := r.values(c, name); len(values) > 0 {
				pairs = append(pairs, name, spreadOf(values))
			}
		}
		if err := r.line(pairs...); err != nil {
			return err
		}
		cells := []string{c}
		for _, name := range shown {
			cells = append(cells, cell(r.values(c, name)))
		}
		row(cells...)
	}
	row()
	for _, c := range comparisons {
		q := quotients(r.values(c.a, c.figure), r.values(c.b, c.figure))
		if len(q) == 0 {
			continue
		}
		if err := r.line("ratio", c.a+" / "+c.b, "figure", c.figure, "pairs", len(q), "value", spreadOf(q)); err != nil {
			return err
		}
		row(c.a+" / "+c.b, c.figure, cell(q))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the figures: %w", err)
	}
	return nil
}

// cell is a median, and the spread if there is one.
func cell(values []float64) string {
	s := spreadOf(values)
	switch {
	case len(values) == 0:
		return "-"
	case s.Min == s.Max:
		return digits(s.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", digits(s.Median), digits(s.Min), digits(s.Max))
}

// digits prints as many as are worth reading.
func digits(x float64) string {
	switch {
	case x == float64(int64(x)) || x >= 1000:
		return strconv.FormatFloat(x, 'f', 0, 64)
	case x >= 100:
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return strconv.FormatFloat(x, 'f', 2, 64)
}
