// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lapwing/stream"
)

// planFlags are what `lapwing plan` may be told.
type planFlags struct {
	config, format   string
	sample           int
	detailedExitCode bool
}

func (a *app) planCommand() *cobra.Command {
	var flags planFlags
	c := &cobra.Command{
		Use:   "plan -c FILE DEF",
		Short: "Who would enter, leave and stay, if a definition went live",
		Long: `Compares a definition with the live one over the live state, and changes nothing: per
stage and segment how many customers enter, leave and stay, some of them with the
conditions, which history the state does not hold, and what a rebuild would take.

FILE is the service's configuration, DEF the new definition; its version is above the
live one's. The state is read from the state topic as of now, with all deadlines fired
that have come. To put the definition live: lapwing apply.

Exit code 0; with --detailed-exit-code 4 if anything would change.`,
		Example: "  lapwing plan -c lapwing.yaml customers.yaml\n  lapwing plan -c lapwing.yaml --format json --detailed-exit-code customers.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case flags.config == "":
				return usageError("say which file: -c lapwing.yaml")
			case flags.format != "text" && flags.format != "json":
				return usageError("--format %q: want text or json", flags.format)
			case flags.sample < 0 || flags.sample > 10_000:
				return usageError("--sample is %d: want 0 to 10000", flags.sample)
			}
			return a.plan(cmd.Context(), &flags, args[0])
		},
	}
	c.Flags().StringVarP(&flags.config, "config", "c", "", "the configuration `FILE` of the service")
	c.Flags().StringVar(&flags.format, "format", "text", "text for people, json for programs")
	c.Flags().IntVar(&flags.sample, "sample", 10, "how many customers that change to name")
	c.Flags().BoolVar(&flags.detailedExitCode, "detailed-exit-code", false, "end with 4 if anything would change")
	return c
}

func (a *app) plan(ctx context.Context, flags *planFlags, ref string) error {
	model, _, err := a.loadDefinition(ctx, ref)
	if err != nil {
		return err
	}
	c, deps, err := a.connect(ctx, flags.config)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "lapwing-plan-")
	if err != nil {
		return fmt.Errorf("create a folder for the state: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // the system's to clean
	p := newRebuildProgress(a)
	preview, err := stream.PreviewOf(ctx, c.Stream, model.Definition(), deps, dir, flags.sample, func(lane, lanes int32) {
		if lane > 0 && lane < lanes {
			p.line(fmt.Sprintf("reading the state: %d of %d lanes done", lane, lanes), false)
		}
	})
	p.clear()
	if ctx.Err() != nil {
		return interrupted(ctx)
	}
	if err != nil {
		return err
	}
	text := planText(preview)
	if flags.format == "json" {
		var b bytes.Buffer
		out := json.NewEncoder(&b)
		out.SetEscapeHTML(false) // conditions are full of < and &
		out.SetIndent("", "  ")
		if err := out.Encode(preview); err != nil {
			return fmt.Errorf("encode the plan: %w", err)
		}
		text = b.Bytes()
	}
	if _, err := a.stdout.Write(text); err != nil {
		return fmt.Errorf("print the plan: %w", err)
	}
	if flags.detailedExitCode && preview.Changes() {
		return &exitError{code: exitDiffers}
	}
	return nil
}

// connect reads the service's configuration and reaches Kafka.
func (a *app) connect(ctx context.Context, path string) (*config, stream.Deps, error) {
	c, err := a.loadConfig(path)
	if err != nil {
		return nil, stream.Deps{}, err
	}
	c.Log.Level = "warn"
	log, err := c.Log.logger(a.stderr)
	if err != nil {
		return nil, stream.Deps{}, err
	}
	kafka, err := c.Kafka.options()
	if err != nil {
		return nil, stream.Deps{}, err
	}
	if err := reach(ctx, c.Kafka.Brokers, kafka); err != nil {
		return nil, stream.Deps{}, err
	}
	return c, stream.Deps{Log: log, KafkaOpts: kafka}, nil
}

// planText is the plan for people.
func planText(p *stream.Preview) []byte {
	var b bytes.Buffer
	if p.Version == p.LiveVersion {
		fmt.Fprintf(&b, "%s version %d is the live definition\n", p.Definition, p.Version)
	} else {
		fmt.Fprintf(&b, "%s: version %d after version %d\n", p.Definition, p.Version, p.LiveVersion)
	}
	fmt.Fprintf(&b, "%s customers, %s of them change", grouped(p.Customers), grouped(p.Changing))
	if len(p.Campaigns) > 0 {
		fmt.Fprintf(&b, ", %s are assigned", grouped(p.Assigning))
	}
	b.WriteString("\n")
	const heading, row = "  %-28s %12s %12s %10s %10s %12s\n", "  %-28s %12s %12s %10s %10s %12s%s\n"
	group := func(g *stream.GroupPreview) {
		note := ""
		if g.Change != "kept" {
			note = "  " + g.Change
		}
		fmt.Fprintf(&b, row, visible(g.Name), grouped(g.Live), grouped(g.New), grouped(g.Enter), grouped(g.Leave), grouped(g.Stay), note)
	}
	for i := range p.Models {
		m := &p.Models[i]
		fmt.Fprintf(&b, "\nmodel %s", m.Model)
		if m.Change != "kept" {
			fmt.Fprintf(&b, " (%s)", m.Change)
		}
		fmt.Fprintf(&b, "\n"+heading, "stage", "now", "then", "enter", "leave", "stay")
		for k := range m.Stages {
			group(&m.Stages[k])
		}
	}
	if len(p.Segments) > 0 {
		fmt.Fprintf(&b, "\n"+heading, "segment", "now", "then", "enter", "leave", "stay")
	}
	shown, left := segmentsShown(p.Segments)
	for _, g := range shown {
		group(g)
	}
	if left > 0 {
		fmt.Fprintf(&b, "  and %s more, with fewer who enter and leave: --format json has all\n", grouped(int64(left)))
	}
	planCampaigns(&b, p.Campaigns)
	if len(p.Sample) > 0 {
		fmt.Fprintf(&b, "\namong those who change\n")
	}
	for _, s := range p.Sample {
		fmt.Fprintf(&b, "  %s\n", visible(s.Customer))
		for i := range s.Changes {
			fmt.Fprintf(&b, "    %s\n", visible(planChange(&s.Changes[i])))
		}
	}
	planHistory(&b, p)
	return b.Bytes()
}

// valuesShown is how many values of one `by:` segment the plan shows people: a trait can
// have a million.
const valuesShown = 20

// segmentsShown are the segments to show in their order, with the values of each `by:` segment
// that most customers enter and leave; and how many are left out.
func segmentsShown(all []stream.GroupPreview) (shown []*stream.GroupPreview, left int) {
	for i := 0; i < len(all); {
		name, _, by := strings.Cut(all[i].Name, "=")
		values := []*stream.GroupPreview{&all[i]}
		for i++; by && i < len(all) && strings.HasPrefix(all[i].Name, name+"="); i++ {
			values = append(values, &all[i])
		}
		if n := len(values) - valuesShown; n > 0 {
			most := slices.Clone(values)
			slices.SortStableFunc(most, func(a, b *stream.GroupPreview) int {
				return cmp.Or(cmp.Compare(b.Enter+b.Leave, a.Enter+a.Leave), cmp.Compare(b.New, a.New))
			})
			values = slices.DeleteFunc(values, func(g *stream.GroupPreview) bool { return !slices.Contains(most[:valuesShown], g) })
			left += n
		}
		shown = append(shown, values...)
	}
	return shown, left
}

// planCampaigns says who would be assigned at once.
func planCampaigns(b *bytes.Buffer, all []stream.CampaignPreview) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(b, "\n  %-28s %12s %12s\n", "campaign", "assigned", "at once")
	row := func(name string, assigned, now, note string) {
		b.WriteString(strings.TrimRight(fmt.Sprintf("  %-28s %12s %12s  %s", visible(name), assigned, now, note), " ") + "\n")
	}
	for _, c := range all {
		note := ""
		if c.Change != "kept" {
			note = c.Change
		}
		row(c.Campaign, grouped(c.Assigned), grouped(c.Assign), note)
		if c.Assign == 0 {
			continue
		}
		for _, v := range c.Variants {
			row("  "+cmp.Or(v.Variant, "no variant"), "", grouped(v.Assign), "")
		}
		row("  holdout", "", grouped(c.Holdout), "")
	}
}

// planChange says in a line what changes and why.
func planChange(c *stream.PreliminaryChange) string {
	because := ""
	switch {
	case c.Condition != "" && c.Former != "":
		because = fmt.Sprintf(": now %s; before %s", c.Condition, c.Former)
	case c.Condition != "":
		because = ": " + c.Condition
	case c.Former != "":
		because = ": before " + c.Former
	}
	switch {
	case c.Campaign != "" && c.Holdout:
		return fmt.Sprintf("is in the holdout of %s%s", c.Campaign, because)
	case c.Campaign != "":
		return fmt.Sprintf("is assigned in %s: %s%s", c.Campaign, cmp.Or(c.Variant, "no variant"), because)
	case c.Model != "":
		return fmt.Sprintf("%s: %s → %s%s", c.Model, cmp.Or(c.From, "none"), cmp.Or(c.To, "none"), because)
	case c.Entered != nil && *c.Entered:
		return fmt.Sprintf("enters %s%s", c.Segment, because)
	default:
		return fmt.Sprintf("leaves %s%s", c.Segment, because)
	}
}

// planHistory says what is missing and how to come by it.
func planHistory(b *bytes.Buffer, p *stream.Preview) {
	if len(p.Missing) == 0 {
		b.WriteString("\nthe state holds all the history that the conditions read\n")
		return
	}
	b.WriteString("\nhistory that the conditions read and the state does not hold\n")
	for _, m := range p.Missing {
		who := ""
		if m.Customers != nil {
			who = fmt.Sprintf(" (%s %s)", grouped(*m.Customers), plural(int(*m.Customers), "customer", "customers"))
		}
		fmt.Fprintf(b, "  %s%s\n", visible(m.Text), who)
	}
	fmt.Fprintf(b, "after an apply it fills up as time goes on; `lapwing rebuild` computes it from the inputs:\n"+
		"%s events are there, about %s in one process\n", grouped(p.RebuildWants.Events), time.Duration(p.RebuildWants.Seconds)*time.Second)
}
