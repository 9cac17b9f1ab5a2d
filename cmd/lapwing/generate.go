// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"

	"lapwing/schemas/instant"
	"lapwing/stream/generate"
)

// generateFlags is what generate is asked for.
type generateFlags struct {
	settings   generate.Settings
	start      string
	output     string
	truth      string
	definition string
}

func (a *app) generateCommand() *cobra.Command {
	f := generateFlags{settings: generate.DefaultSettings()}
	s := &f.settings
	c := &cobra.Command{
		Use:   "generate --preset PRESET",
		Short: "Make a customer base whose truth is known",
		Long: `Writes what the customers of a made-up business do, as JSON lines in order of arrival:
events of the Segment spec for the preset, with campaigns and the messages that they send.
Each customer has a rhythm of its own; some messages come late, some twice.

The truth is known: of each campaign's goals the probability in every arm and targeted
segment, and so the effect that an analysis should find. Who is assigned to which arm is
what Lapwing itself says of the same events under the definition that is written beside
them: the preset with its campaigns. The same settings give the same bytes.

With -o FILE, the definition and the truth are written beside it: base.jsonl.zst comes with
base.yaml and base.truth.json. Files that are there already are never overwritten.`,
		Example: `  lapwing generate --preset e-commerce --customers 20000 --days 365 -o base.jsonl.zst
  lapwing replay -d base.yaml base.jsonl.zst
  lapwing generate --preset media | head`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.generate(cmd.Context(), &f) },
	}
	flags := c.Flags()
	flags.StringVarP(&s.Preset, "preset", "p", s.Preset, "the `PRESET` whose customers are made: "+strings.Join(generate.Presets(), ", "))
	flags.IntVar(&s.Customers, "customers", s.Customers, "how many")
	flags.IntVar(&s.Days, "days", s.Days, "how many days of their lives")
	flags.Uint64Var(&s.Seed, "seed", s.Seed, "of chance: another one makes another base")
	flags.StringVar(&f.start, "start", s.Start.String(), "when the first day begins (RFC 3339, or a date: midnight UTC)")
	flags.StringVarP(&f.output, "output", "o", "-", "the `FILE` to write, packed if it ends in .gz or .zst; - for standard output")
	flags.StringVar(&f.truth, "truth", "", "the `FILE` for the truth, as JSON (default beside the output)")
	flags.StringVar(&f.definition, "definition", "", "the `FILE` for the definition (default beside the output)")
	flags.Float64Var(&s.Strength, "strength", s.Strength, "how strong campaigns are: 1 as they are set, 0 not at all, so that each is an A/A test")
	flags.Float64Var(&s.Late, "late", s.Late, "the share of messages that come late")
	flags.DurationVar(&s.Lateness, "lateness", s.Lateness, "by how much at most; the definition waits for them so long")
	flags.Float64Var(&s.Duplicates, "duplicates", s.Duplicates, "the share of messages that come twice")
	flags.Float64Var(&s.Bad, "bad", s.Bad, "the share of messages with another beside them that cannot be used")
	if err := c.RegisterFlagCompletionFunc("preset", cobra.FixedCompletions(generate.Presets(), cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(fmt.Sprintf("lapwing: generate has no flag --preset: %v", err))
	}
	return c
}

// presetAliases are short names of presets, where one is long.
var presetAliases = map[string]string{"saas": "saas-onboarding"}

// presetNamed is a preset's full name, as written after preset: or short.
func presetNamed(name string) string {
	name = strings.TrimPrefix(name, "preset:")
	if full, ok := presetAliases[name]; ok {
		return full
	}
	return name
}

func (a *app) generate(ctx context.Context, f *generateFlags) error {
	f.settings.Preset = presetNamed(f.settings.Preset)
	start, ok := instant.Parse(f.start)
	if !ok {
		return usageError("--start %q is no time between 1970 and 2200; write it like 2025-01-01 or 2025-01-01T12:00:00Z", f.start)
	}
	f.settings.Start = start
	if err := f.settings.Validate(); err != nil {
		return usageError("%w", err)
	}
	if f.output != "-" {
		if f.definition == "" {
			f.definition = beside(f.output, ".yaml")
		}
		if f.truth == "" {
			f.truth = beside(f.output, ".truth.json")
		}
	}
	for _, path := range []string{f.output, f.definition, f.truth} {
		if _, err := os.Lstat(path); err == nil && path != "-" && path != "" {
			return fmt.Errorf("%s is there already and was left as it is: write to another place", path)
		}
	}
	world, err := generate.New(f.settings)
	if err != nil {
		return err
	}
	if f.definition != "" {
		if err := (newFile{f.definition, world.Definition()}).write(); err != nil {
			return err
		}
	}
	truth, err := a.writeBase(ctx, world, f.output)
	if ctx.Err() != nil {
		return interrupted(ctx)
	}
	if err != nil {
		return err
	}
	if f.truth != "" {
		text, err := json.MarshalIndent(truth, "", "  ")
		if err != nil {
			return fmt.Errorf("write the truth: %w", err)
		}
		if err := (newFile{f.truth, append(text, '\n')}).write(); err != nil {
			return err
		}
	}
	if f.output != "-" {
		a.complain("wrote %s, %s and %s; evaluate them: lapwing replay -d %[2]s %[1]s\n", f.output, f.definition, f.truth)
	}
	return nil
}

// beside is the output's name with another ending: base.jsonl.zst gives base.yaml.
func beside(output, ending string) string {
	for _, known := range []string{".gz", ".zst", ".jsonl", ".json"} {
		output = strings.TrimSuffix(output, known)
	}
	return output + ending
}

// writeBase writes the messages. A file that could not be finished is removed.
func (a *app) writeBase(ctx context.Context, world *generate.World, output string) (truth *generate.Truth, err error) {
	begin, progress := time.Now(), newProgress(a)
	defer progress.clear()
	out, finish, err := a.openBase(output)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err = errors.Join(err, finish()); err != nil && output != "-" {
			err = errors.Join(err, os.Remove(output))
		}
	}()
	truth, err = world.Each(ctx, func(l *generate.Line) error {
		if _, err := out.Write(l.Text); err != nil {
			return fmt.Errorf("write the events: %w", err)
		}
		return nil
	}, func(p generate.Progress) {
		if p.TotalLines == 0 {
			progress.say(func() string { return grouped(p.Customers) + " customers" })
			return
		}
		progress.say(func() string { return grouped(p.Lines) + " of " + grouped(p.TotalLines) + " events" })
	})
	if err != nil {
		return nil, err
	}
	progress.clear()
	took := time.Since(begin).Seconds()
	a.complain("%s events of %s customers in %.1f s (%s/s)\n", grouped(truth.Lines), grouped(int64(truth.Customers)), took, grouped(int64(float64(truth.Lines)/took)))
	return truth, nil
}

// openBase opens what the messages are written to; finish ends it.
func (a *app) openBase(output string) (out io.Writer, finish func() error, err error) {
	if output == "-" {
		buffered := bufio.NewWriterSize(a.stdout, 1<<16)
		return buffered, buffered.Flush, nil
	}
	file, err := os.OpenFile(output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // for others to read, too, and the user names it
	if err != nil {
		return nil, nil, fmt.Errorf("create the file of events: %w", err)
	}
	var packed io.WriteCloser
	switch {
	case strings.HasSuffix(output, ".gz"):
		if packed, err = gzip.NewWriterLevel(file, gzip.BestSpeed); err != nil { // as fast as the base is made
			return nil, nil, errors.Join(fmt.Errorf("pack the events: %w", err), file.Close())
		}
	case strings.HasSuffix(output, ".zst"):
		// One at a time: the same bytes on every machine.
		if packed, err = zstd.NewWriter(file, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1)); err != nil {
			return nil, nil, errors.Join(fmt.Errorf("pack the events: %w", err), file.Close())
		}
	default:
		buffered := bufio.NewWriterSize(file, 1<<16)
		return buffered, func() error { return errors.Join(buffered.Flush(), file.Close()) }, nil
	}
	buffered := bufio.NewWriterSize(packed, 1<<16)
	return buffered, func() error { return errors.Join(buffered.Flush(), packed.Close(), file.Close()) }, nil
}
