// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/stream/lifecycle"
)

// replayFlags is how a replay was asked for.
type replayFlags struct {
	definition  string
	until       string
	only        []string
	explain     string
	format      string
	strict      bool
	deadLetters string
}

func (a *app) replayCommand() *cobra.Command {
	var f replayFlags
	c := &cobra.Command{
		Use:   "replay -d DEFINITION [EVENTS…]",
		Short: "Evaluate files of events and print the records: no broker, no ClickHouse",
		Long: `Evaluates events with the same code as the service and prints the public records as
JSON lines on standard output.

EVENTS are files of JSON lines, plain, gzip or zstd; - or nothing is standard input;
sample:cdnow is a real purchase history that ships. Each customer's clock is its own
latest event; after the last event all go on to --until (default: the latest time
seen), and deadlines up to it, that instant included, fire. A customer's records come
in order, and the order between customers is the same on each run.

Lines that cannot be used are counted by cause on standard error; empty lines are skipped.`,
		Example: `  lapwing replay -d preset:customer-value sample:cdnow
  lapwing replay -d lifecycle.yaml --until 2026-01-01 --only stage-changes events/*.jsonl.zst
  lapwing replay -d lifecycle.yaml --explain u1 events.jsonl`,
		RunE: func(cmd *cobra.Command, sources []string) error {
			return a.replay(cmd.Context(), &f, cmd.Flags().Changed, sources)
		},
	}
	flags := c.Flags()
	flags.StringVarP(&f.definition, "definition", "d", "", "the definition: a file or preset:NAME")
	flags.StringVar(&f.until, "until", "", "go on to this time after the last event; later events are left out (RFC 3339, or a date: midnight UTC)")
	flags.StringSliceVar(&f.only, "only", nil, "kinds to print: "+strings.Join(replayKinds, ", ")+" (default the first four)")
	flags.StringVar(&f.explain, "explain", "", "instead of records, say where this customer stands, why and until when")
	flags.StringVar(&f.format, "format", "text", "of --explain: text or json")
	flags.BoolVar(&f.strict, "strict", false, "exit with 1 if a line cannot be used")
	flags.StringVar(&f.deadLetters, "dead-letters", "", "write lines that cannot be used to this file")
	return c
}

func (a *app) replay(ctx context.Context, f *replayFlags, given func(string) bool, sources []string) error {
	if f.definition == "" {
		return usageError("say which definition: -d FILE or -d preset:customer-value")
	}
	until := instant.None
	if given("until") {
		var ok bool
		if until, ok = instant.Parse(f.until); !ok {
			return usageError("--until %q is no time between 1970 and 2200; write it like 1998-06-30 or 1998-06-30T12:00:00Z", f.until)
		}
	}
	if given("only") && len(f.only) == 0 {
		f.only = []string{""} // no kind, as between two commas
	}
	kinds, err := parseKinds(f.only)
	if err != nil {
		return err
	}
	if given("explain") && f.explain == "" {
		return usageError("--explain takes a customer's id, and it is empty")
	}
	if given("explain") && len(f.only) > 0 {
		return usageError("--explain prints no records: leave --only away")
	}
	if f.format != "text" && f.format != "json" {
		return usageError("--format %q: want text or json", f.format)
	}
	if given("format") && f.explain == "" {
		return usageError("--format is of --explain: records are JSON lines")
	}
	if len(sources) == 0 {
		sources = []string{"-"}
	}
	if err := checkSources(f.definition, sources); err != nil {
		return err
	}
	if given("dead-letters") {
		if err := a.checkDeadLetters(f.deadLetters, f.definition, sources); err != nil {
			return err
		}
	}
	model, _, err := a.loadDefinition(ctx, f.definition)
	if err != nil {
		return err
	}
	letters, err := newDeadLetters(f.deadLetters)
	if err != nil {
		return err
	}

	stdout := bufio.NewWriterSize(a.stdout, 1<<16)
	out := newReplayPrinter(stdout, model.Definition(), kinds)
	if f.explain != "" {
		out.explain = newExplainer(f.explain, f.format)
	}
	r := &replay{
		model:     model,
		decoder:   event.NewDecoder(model.Projection(), event.DefaultLimits()),
		customers: map[string]*customer{},
		until:     until,
		latest:    instant.None,
		letters:   letters,
		out:       out,
		progress:  newProgress(a),
	}
	if kinds.aggregates || out.explain != nil {
		r.output.WantActivity = lifecycle.WantCounted
	}
	err = r.run(ctx, a, sources)
	if err == nil && out.explain != nil {
		err = out.explain.tell(stdout, r)
	}
	// After an error too, so that what was found before it ends with a whole line.
	if flushed := stdout.Flush(); flushed != nil && err == nil {
		err = fmt.Errorf("write the records: %w", flushed)
	}
	err = errors.Join(err, letters.close())
	if ctx.Err() != nil {
		return interrupted(ctx)
	}
	return r.conclude(ctx, a, err, f.strict)
}

// limitsLine says which limits were exceeded; empty if none was. What the definition
// language itself forgets, such as a customer's oldest messageIds, is no news to
// anyone: explain says it of a customer.
func limitsLine(o *lifecycle.Overflow) string {
	var parts []string
	o.Each(func(l lifecycle.Limit, n int64) {
		if l.OfDefinition() || l == lifecycle.LimitExpression {
			parts = append(parts, fmt.Sprintf("%s %d", l, n))
		}
	})
	if len(parts) == 0 {
		return ""
	}
	return "beyond limits: " + strings.Join(parts, ", ")
}

// conclude says what went wrong, if anything, and then what was left out: the dead
// letters come last in any case.
func (r *replay) conclude(ctx context.Context, a *app, err error, strict bool) error {
	code := a.report(ctx, err)
	if r.leftOut > 0 {
		a.complain("after --until: %d events left out\n", r.leftOut)
	}
	if n := r.out.keptOut; n > 0 {
		a.complain("in the global holdout: %s not made\n", times(int(n), "assignment"))
	}
	if line := limitsLine(&r.exceeded); line != "" {
		a.complain("%s\n", line)
	}
	if line := r.letters.summary(); line != "" {
		a.complain("%s\n", line)
		if strict && code == exitFine {
			code = exitInput
		}
	}
	if code == exitFine {
		return nil
	}
	return &exitError{code: code}
}

// replay folds events of many customers. Its memory grows with the customers.
type replay struct {
	model     *lifecycle.Model
	decoder   *event.Decoder
	customers map[string]*customer
	order     []*customer // by first appearance
	until     instant.Instant
	latest    instant.Instant // the latest event time accepted
	leftOut   int64           // usable events after until
	exceeded  lifecycle.Overflow
	events    int64 // lines read
	letters   *deadLetters
	out       *replayPrinter
	output    lifecycle.Output
	progress  *progress
}

type customer struct {
	id    string
	state lifecycle.State
}

// run reads all sources in the order given, then lets every customer go on to the end.
func (r *replay) run(ctx context.Context, a *app, sources []string) error {
	defer r.progress.clear()
	for _, source := range sources {
		if err := r.readSource(ctx, a, source); err != nil {
			return err
		}
	}
	return r.finish(ctx)
}

func (r *replay) readSource(ctx context.Context, a *app, source string) error {
	in, err := a.openEvents(ctx, source)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it was only read
	lines := newLineReader(in)
	var m event.Message
	for {
		if r.events&1023 == 0 {
			if ctx.Err() != nil {
				return interrupted(ctx)
			}
			r.progress.events(r.events)
		}
		line, err := lines.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errLongLine):
			r.events++
			if err := r.letters.addLong(event.TooLarge, source, lines.number, line, lines.writeRest); err != nil {
				if lines.broken != nil {
					return readError(source, lines.number, lines.broken)
				}
				return err
			}
			continue
		case err != nil:
			return readError(source, lines.number, err)
		case isBlank(line):
			continue
		}
		r.events++
		if cause := r.decoder.Decode(line, instant.None, &m); cause != "" {
			if err := r.letters.add(cause, source, lines.number, line); err != nil {
				return err
			}
			continue
		}
		if r.until != instant.None && m.Time > r.until {
			r.leftOut++
			continue
		}
		if err := r.accept(&m); err != nil {
			return err
		}
	}
}

// accept folds one message and prints what came of it.
func (r *replay) accept(m *event.Message) error {
	c := r.customers[string(m.Customer)]
	if c == nil {
		c = &customer{id: string(m.Customer)}
		r.customers[c.id] = c
		r.order = append(r.order, c)
	}
	detected := max(c.state.Clock(), m.Time) // None is less than any time
	switch r.model.Accept(&c.state, c.id, m, detected, &r.output) {
	case lifecycle.Duplicate:
	case lifecycle.Held:
		clock := c.state.Clock()
		for r.model.Advance(&c.state, c.id, clock, clock, &r.output) {
			if err := r.emit(c); err != nil {
				return err
			}
		}
		r.latest = max(r.latest, m.Time)
	case lifecycle.Applied:
		r.latest = max(r.latest, m.Time)
	}
	return r.emit(c)
}

func (r *replay) emit(c *customer) error {
	err := r.out.changes(c.id, &r.output)
	r.exceeded.Add(&r.output.Overflow)
	r.output.Reset()
	return err
}

// finish lets every customer go on to the end, in the order of first appearance.
func (r *replay) finish(ctx context.Context) error {
	if r.until == instant.None {
		r.until = r.latest
	}
	for i, c := range r.order {
		if i&1023 == 0 && ctx.Err() != nil {
			return interrupted(ctx)
		}
		r.model.Finish(&c.state, c.id, r.until, &r.output)
		if err := r.emit(c); err != nil {
			return err
		}
	}
	if r.out.kinds.profiles {
		for i, c := range r.order {
			if i&1023 == 0 && ctx.Err() != nil {
				return interrupted(ctx)
			}
			if !c.state.Begun() {
				continue // forgotten, or no event of it was used
			}
			p := r.model.Profile(&c.state, c.id)
			if err := r.out.profile(&p); err != nil {
				return err
			}
		}
	}
	return r.out.finish()
}

// checkSources finds a source that is not there before any work is done.
func checkSources(definition string, sources []string) error {
	for _, source := range sources {
		if source == "-" || strings.HasPrefix(source, "sample:") {
			continue
		}
		info, err := os.Stat(source)
		if err != nil {
			return fmt.Errorf("open the events: %w", err)
		}
		if info.IsDir() {
			return fmt.Errorf("%s is a folder; name the files in it", source)
		}
	}
	return onlyOnce(append([]string{definition}, sources...))
}

// onlyOnce refuses names of which more than one is standard input.
func onlyOnce(names []string) error {
	first := slices.Index(names, "-")
	if first >= 0 && slices.Contains(names[first+1:], "-") {
		return usageError("standard input (-) can be read only once")
	}
	return nil
}
