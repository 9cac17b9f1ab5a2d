// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"slices"
	"strings"

	"lapwing/schemas/definition"
	"lapwing/schemas/record"
	"lapwing/stream/aggregate"
	"lapwing/stream/lifecycle"
)

// replayKinds are the words of --only, in the contract's order.
var replayKinds = []string{"stage-changes", "segment-changes", "assignments", "conversions", "profiles", "aggregates"}

// printedKinds says which kinds a replay prints.
type printedKinds struct {
	records              map[record.Kind]bool
	profiles, aggregates bool
}

func parseKinds(only []string) (printedKinds, error) {
	if len(only) == 0 {
		only = replayKinds[:4]
	}
	for _, kind := range only {
		if !slices.Contains(replayKinds, kind) {
			return printedKinds{}, usageError("--only %q is no kind; the kinds are %s", kind, strings.Join(replayKinds, ", "))
		}
	}
	return printedKinds{
		records: map[record.Kind]bool{
			record.StageChange:   slices.Contains(only, "stage-changes"),
			record.SegmentChange: slices.Contains(only, "segment-changes"),
			record.Assignment:    slices.Contains(only, "assignments"),
			record.Conversion:    slices.Contains(only, "conversions"),
		},
		profiles:   slices.Contains(only, "profiles"),
		aggregates: slices.Contains(only, "aggregates"),
	}, nil
}

// replayPrinter writes what a replay finds as JSON lines, or hands it to an explainer.
type replayPrinter struct {
	w          *bufio.Writer
	kinds      printedKinds
	aggregates *aggregate.Totals
	explain    *explainer
	line       []byte
	keptOut    int64 // assignments that the global holdout kept from being made
}

func newReplayPrinter(w *bufio.Writer, def *definition.Definition, kinds printedKinds) *replayPrinter {
	p := &replayPrinter{w: w, kinds: kinds}
	if kinds.aggregates {
		p.aggregates = aggregate.New(def, 0)
	}
	return p
}

// changes takes the records and activity of one customer's step.
func (p *replayPrinter) changes(customer string, out *lifecycle.Output) error {
	p.keptOut += out.KeptOut
	if p.explain != nil {
		p.explain.note(customer, out)
		return nil
	}
	for i := range out.Records {
		r := &out.Records[i]
		if !p.kinds.records[r.Kind] {
			continue
		}
		if err := p.write(r.AppendJSON(p.line[:0])); err != nil {
			return err
		}
	}
	if p.aggregates != nil {
		for i := range out.Activity {
			p.aggregates.Add(&out.Activity[i])
		}
		for i := range out.Records {
			if out.Records[i].Kind == record.StageChange {
				p.aggregates.AddTransition(&out.Records[i])
			}
		}
	}
	return nil
}

func (p *replayPrinter) profile(profile *record.Profile) error {
	return p.write(profile.AppendJSON(p.line[:0]))
}

// finish writes what is known only at the end.
func (p *replayPrinter) finish() error {
	if p.aggregates == nil {
		return nil
	}
	for _, total := range p.aggregates.Changed() {
		if err := p.write(total.AppendJSON(p.line[:0])); err != nil {
			return err
		}
	}
	return nil
}

func (p *replayPrinter) write(line []byte) error {
	p.line = append(line, '\n')
	if _, err := p.w.Write(p.line); err != nil {
		return fmt.Errorf("write the records: %w", err)
	}
	return nil
}
