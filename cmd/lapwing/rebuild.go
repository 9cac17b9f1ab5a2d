// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lapwing/stream"
)

// exitDiffers is how a command ends that finds a difference, if it was asked to tell so.
const exitDiffers = 4

// rebuildFlags are what `lapwing rebuild` may be told.
type rebuildFlags struct {
	config           string
	compare, swap    bool
	drop             uint32
	sample           int
	detailedExitCode bool
}

func (a *app) rebuildCommand() *cobra.Command {
	var flags rebuildFlags
	c := &cobra.Command{
		Use:   "rebuild -c FILE",
		Short: "Compute the next generation from the inputs' beginning, and switch to it",
		Long: `Computes another generation of everything beside the one that is live, from the
beginning of the inputs: for a new definition whose conditions need history, for
another number of lanes, or because a state was computed wrongly. Its changes are
history: nothing of it is public before the switch.

FILE is a copy of the service's configuration with what is to be new: the next
generation (if it still names the live one, the next is taken), the definition, the
inputs. For another number of lanes give it another kafka.prefix, too, and name what
runs now: stream.from: {prefix: lapwing., group: lapwing, generation: 1}.

  1. lapwing rebuild -c next.yaml             until it has caught up; go on at any time
  2. lapwing rebuild -c next.yaml --compare   who is in another stage, and how many
  3. stop the service; lapwing rebuild -c next.yaml --switch
  4. lapwing run -c next.yaml
  5. lapwing rebuild -c next.yaml --drop 1    once the former one is not needed any more

Between 1 and 3 the next generation may also run as a service, with several processes:
lapwing run -c next.yaml follows the live one, and is live itself after the switch.

Campaigns are not compared: a generation that is not live assigns nobody. At the switch
it takes over who was assigned, and assigns whoever is in an audience only there.

The switch waits for the last of what the live generation has read, tells every change
after it, none twice, and, with cause definition, where the two differ. It may be
interrupted and repeated. Exit code 1 means that it is not possible now; 4, with
--detailed-exit-code, that --compare has found a difference.`,
		Example: "  lapwing rebuild -c next.yaml\n  lapwing rebuild -c next.yaml --compare --sample 20\n  lapwing rebuild -c next.yaml --switch\n  lapwing rebuild -c next.yaml --drop 1",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n := 0
			for _, set := range []bool{flags.compare, flags.swap, cmd.Flags().Changed("drop")} {
				if set {
					n++
				}
			}
			switch {
			case flags.config == "":
				return usageError("say which file: -c next.yaml")
			case n > 1:
				return usageError("--compare, --switch and --drop are one at a time")
			case flags.sample < 0 || flags.sample > 10_000:
				return usageError("--sample is %d: want 0 to 10000", flags.sample)
			case (cmd.Flags().Changed("sample") || flags.detailedExitCode) && !flags.compare:
				return usageError("--sample and --detailed-exit-code go with --compare")
			}
			return a.rebuild(cmd.Context(), &flags, cmd.Flags().Changed("drop"))
		},
	}
	c.Flags().StringVarP(&flags.config, "config", "c", "", "the configuration `FILE` of the next generation")
	c.Flags().BoolVar(&flags.compare, "compare", false, "compare it with the live one; changes nothing")
	c.Flags().BoolVar(&flags.swap, "switch", false, "put it into the place of the live one")
	c.Flags().Uint32Var(&flags.drop, "drop", 0, "delete what generation `N` has left behind")
	c.Flags().IntVar(&flags.sample, "sample", 10, "how many differing customers --compare names")
	c.Flags().BoolVar(&flags.detailedExitCode, "detailed-exit-code", false, "end with 4 if --compare finds a difference")
	return c
}

// rebuild does one of the steps.
func (a *app) rebuild(ctx context.Context, flags *rebuildFlags, drop bool) error {
	c, err := a.loadConfig(flags.config)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(c.Definition, "preset:") && !filepath.IsAbs(c.Definition) {
		c.Definition = filepath.Join(filepath.Dir(flags.config), c.Definition)
	}
	c.Log.Level = "warn"
	log, err := c.Log.logger(a.stderr)
	if err != nil {
		return err
	}
	kafka, err := c.Kafka.options()
	if err != nil {
		return err
	}
	if err := reach(ctx, c.Kafka.Brokers, kafka); err != nil {
		return err
	}
	deps := stream.Deps{Log: log, KafkaOpts: kafka}
	if drop {
		return a.dropGeneration(ctx, c, deps, flags.drop)
	}
	model, _, err := a.loadDefinition(ctx, c.Definition)
	if err != nil {
		return err
	}
	named := c.Generation
	live, settled, err := stream.LiveGeneration(ctx, c.Stream, deps)
	switch {
	case err != nil:
		return err
	case live == named && settled:
		c.Stream.Generation = live + 1
	case live == named+1 && !settled && flags.swap: // a switch that broke off goes on
		c.Stream.Generation = live
	}
	r, err := stream.NewRebuild(c.Stream, model.Definition(), deps)
	if err != nil {
		return err
	}
	switch {
	case flags.compare:
		return a.compareGenerations(ctx, r, flags)
	case flags.swap:
		return a.switchGeneration(ctx, r, c.Stream.Generation, named)
	}
	p := newRebuildProgress(a)
	err = r.Run(ctx, p.show)
	p.clear()
	if ctx.Err() != nil {
		a.complain("it goes on from here when it is started again\n")
		return interrupted(ctx)
	}
	if err != nil {
		return err
	}
	return a.say("generation %d has caught up. `lapwing rebuild --compare` says what differs, `lapwing rebuild --switch` makes it live;\n"+
		"until then start it again now and then, or leave it running: `lapwing run` with generation: %d\n", c.Stream.Generation, c.Stream.Generation)
}

// say writes to standard output.
func (a *app) say(format string, args ...any) error {
	if _, err := fmt.Fprintf(a.stdout, format, args...); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func (a *app) switchGeneration(ctx context.Context, r *stream.Rebuild, generation, named uint32) error {
	p := newRebuildProgress(a)
	err := r.Switch(ctx, p.show)
	p.clear()
	if ctx.Err() != nil {
		a.complain("start the switch again: it goes on from here\n")
		return interrupted(ctx)
	}
	if err != nil {
		return err
	}
	if named != generation {
		if err := a.say("in the configuration, set\n\n  generation: %d\n\n", generation); err != nil {
			return err
		}
	}
	return a.say("generation %d is live: start the service with it\n", generation)
}

func (a *app) dropGeneration(ctx context.Context, c *config, deps stream.Deps, generation uint32) error {
	of := c.Sink
	of.Generation = int(generation)
	records, err := stream.Drop(ctx, c.Stream, deps, generation, of.GroupName())
	if ctx.Err() != nil {
		return interrupted(ctx)
	}
	if err != nil {
		return err
	}
	return a.say("generation %d is dropped: %s records of its state, its groups and its definition\n"+
		"in ClickHouse it is a partition of each table that ends in _log (in a cluster _log_local, or _log if there is none): ALTER TABLE … DROP PARTITION %d\n", generation, grouped(records), generation)
}

func (a *app) compareGenerations(ctx context.Context, r *stream.Rebuild, flags *rebuildFlags) error {
	dir, err := os.MkdirTemp("", "lapwing-compare-")
	if err != nil {
		return fmt.Errorf("create a folder for what is compared: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // the system's to clean
	p := newRebuildProgress(a)
	c, err := r.Compare(ctx, dir, flags.sample, func(lane, lanes int32) {
		if lane > 0 && lane < lanes {
			p.line(fmt.Sprintf("comparing: %d of %d lanes done", lane, lanes), false)
		}
	})
	p.clear()
	if ctx.Err() != nil {
		return interrupted(ctx)
	}
	if err != nil {
		return err
	}
	if _, err := a.stdout.Write(comparison(c)); err != nil {
		return fmt.Errorf("print the comparison: %w", err)
	}
	if flags.detailedExitCode && !c.Equal() {
		return &exitError{code: exitDiffers}
	}
	return nil
}

// comparison is what differs, for people.
func comparison(c *stream.Comparison) []byte {
	var b bytes.Buffer
	p := &c.Progress
	ours, live := p.Behind()
	fmt.Fprintf(&b, "generation %d (live): %s events behind the inputs' ends\n", p.Live, grouped(live))
	fmt.Fprintf(&b, "generation %d: %s events behind the inputs' ends", p.Generation, grouped(ours))
	if left := p.Left(); left > 0 {
		fmt.Fprintf(&b, ", %s behind the live one: differences may be of that alone", grouped(left))
	}
	fmt.Fprintf(&b, "\n\ncustomers: %s in both, %s only in %d, %s only in %d\n", grouped(c.Both), grouped(c.OnlyLive), p.Live, grouped(c.OnlyNew), p.Generation)
	for _, m := range c.Models {
		fmt.Fprintf(&b, "\nmodel %s: %s in the same stage\n  %-24s %14s %14s\n", m.Model, grouped(m.Agree), "stage",
			fmt.Sprintf("generation %d", p.Live), fmt.Sprintf("generation %d", p.Generation))
		stages := map[string]bool{}
		for stage := range m.Live {
			stages[stage] = true
		}
		for stage := range m.New {
			stages[stage] = true
		}
		for _, stage := range slices.Sorted(maps.Keys(stages)) {
			fmt.Fprintf(&b, "  %-24s %14s %14s\n", visible(stage), grouped(m.Live[stage]), grouped(m.New[stage]))
		}
	}
	if len(c.Segments) > 0 {
		fmt.Fprintf(&b, "\n%-26s %14s %14s %14s\n", "segments", fmt.Sprintf("generation %d", p.Live), fmt.Sprintf("generation %d", p.Generation), "in both")
	}
	for _, s := range c.Segments {
		fmt.Fprintf(&b, "  %-24s %14s %14s %14s\n", visible(s.Segment), grouped(s.Live), grouped(s.New), grouped(s.Agree))
	}
	if c.Equal() {
		b.WriteString("\nno customer differs\n")
		return b.Bytes()
	}
	fmt.Fprintf(&b, "\n%s customers differ", grouped(c.Differing+c.OnlyLive+c.OnlyNew))
	if len(c.Sample) > 0 {
		b.WriteString(", among them\n")
	}
	for _, d := range c.Sample {
		fmt.Fprintf(&b, "  %s: %s\n", visible(d.Customer), visible(strings.Join(d.What, "; ")))
	}
	if len(c.Sample) > 0 {
		b.WriteString("why: lapwing replay -d DEFINITION --explain CUSTOMER over the customer's events, with either definition\n")
	}
	return b.Bytes()
}

// rebuildProgress tells how far a rebuild has come: on a terminal in one line that is
// written over, else a line now and then.
type rebuildProgress struct {
	a        *app
	terminal bool
	begin    time.Time
	first    int64 // records done when it began
	said     time.Time
}

const sayEvery = 10 * time.Second

func newRebuildProgress(a *app) *rebuildProgress {
	return &rebuildProgress{a: a, terminal: isTerminal(a.stderr), first: -1}
}

func (p *rebuildProgress) show(now stream.Progress) {
	if now.TakingOver > 0 || now.Live == now.Generation {
		p.line(fmt.Sprintf("generation %d is live; %d lanes are still taking over", now.Generation, now.TakingOver), now.TakingOver == 0)
		return
	}
	done, left := now.Done(), now.Left()
	if p.first < 0 {
		p.first, p.begin = done, time.Now()
	}
	text := fmt.Sprintf("generation %d: %s of %s events", now.Generation, grouped(done), grouped(done+left))
	if elapsed := time.Since(p.begin).Seconds(); elapsed > 1 && done > p.first {
		rate := float64(done-p.first) / elapsed
		text += fmt.Sprintf(", %s/s, about %s left", grouped(int64(rate)), time.Duration(float64(left)/rate*float64(time.Second)).Round(time.Second))
	}
	p.line(text, left == 0)
}

// line says one thing; always: also if something was said a moment ago.
func (p *rebuildProgress) line(text string, always bool) {
	switch {
	case p.terminal:
		p.a.complain("\r\x1b[K%s", text)
	case time.Since(p.said) >= sayEvery || always && time.Since(p.said) >= time.Second:
		p.a.complain("%s\n", text)
	default:
		return
	}
	p.said = time.Now()
}

func (p *rebuildProgress) clear() {
	if p.terminal && !p.said.IsZero() {
		p.a.complain("\r\x1b[K")
	}
}
