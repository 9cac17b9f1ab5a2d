// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"lapwing/sink"
	"lapwing/sink/reconcile"
)

type reconcileFlags struct {
	config string
	format string
	topics []string
	rate   int
	repair bool
	long   bool
}

func (a *app) reconcileCommand() *cobra.Command {
	var f reconcileFlags
	c := &cobra.Command{
		Use:   "reconcile -c FILE",
		Short: "Compare ClickHouse with the log, and repair what differs",
		Long: `Reads Kafka's log, from its start up to what the sink has committed, and compares it
with the tables: each row of what happened, and of values that replace each other the
newest per key. It says which rows are missing, altered, stale (a newer record was lost)
or surplus (the log does not have them), by table, topic, partition and offset.

--repair inserts again what is missing, altered or stale, with the same versions, and
looks again; that may be repeated, and run beside the sink. Surplus rows are never
deleted: the statement that does it is printed.

Exit code 1 means that something differs, or still does after a repair.`,
		Example: "  lapwing reconcile -c lapwing.yaml\n  lapwing reconcile -c lapwing.yaml --repair\n  lapwing reconcile -c lapwing.yaml --topic activity --format json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case f.config == "":
				return usageError("say which file: -c lapwing.yaml")
			case f.format != "table" && f.format != "json":
				return usageError("--format %q is no format: want table or json", f.format)
			case f.rate < 0:
				return usageError("--rows-per-second %d: want 0, which is no bound, or more", f.rate)
			}
			return a.reconcile(c.Context(), &f)
		},
	}
	c.Flags().StringVarP(&f.config, "config", "c", "", "the configuration file")
	c.Flags().StringVar(&f.format, "format", "table", "table or json")
	c.Flags().BoolVar(&f.repair, "repair", false, "insert again what is missing, altered or stale")
	c.Flags().BoolVar(&f.long, "long", false, "list what agrees, too")
	c.Flags().StringSliceVar(&f.topics, "topic", nil, "only this `TOPIC`, without its prefix (may be repeated)")
	c.Flags().IntVar(&f.rate, "rows-per-second", 0, "read at most `N` rows a second (0: as fast as it goes)")
	return c
}

func (a *app) reconcile(ctx context.Context, f *reconcileFlags) error {
	c, err := a.loadConfig(f.config)
	if err != nil {
		return err
	}
	opts, err := c.Kafka.options()
	if err != nil {
		return err
	}
	if err := reach(ctx, c.Kafka.Brokers, opts); err != nil {
		return err
	}
	where := clickHouseFlags{config: f.config}
	conn, _, err := where.open(ctx, a.env)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // every insert was answered
	cfg := c.Sink.Reconciliation()
	cfg.Topics, cfg.RowsPerSecond, cfg.Patience = f.topics, f.rate, time.Minute
	progress := &readProgress{app: a, last: time.Now()}
	r, err := reconcile.New(cfg, reconcile.Deps{
		KafkaOpts: opts, ClickHouse: conn, Writer: sink.NewWriter(c.Sink, conn, zap.NewNop()), Progress: progress.told,
	})
	if err != nil {
		return usageError("%w", err)
	}
	defer progress.clear()
	if f.repair {
		done, err := r.Repair(ctx)
		if err != nil {
			return reconcileError(ctx, err)
		}
		progress.clear()
		return a.printRepair(done, f)
	}
	report, err := r.Compare(ctx)
	if err != nil {
		return reconcileError(ctx, err)
	}
	progress.clear()
	return a.printReport(report, f)
}

func reconcileError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return interrupted(ctx)
	case errors.Is(err, reconcile.ErrAway):
		return unreachable(err)
	}
	return err
}

func (a *app) printReport(report *reconcile.Report, f *reconcileFlags) error {
	text, err := reportText(report, report, f)
	if err != nil {
		return err
	}
	if _, err := a.stdout.Write(text); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	switch {
	case report.Equal():
		return nil
	case report.Repairable():
		return fmt.Errorf("%s; `lapwing reconcile -c %s --repair` inserts again what the log has", differ(report), f.config)
	}
	return fmt.Errorf("%s, all of them surplus; the statements above delete them", differ(report))
}

func (a *app) printRepair(done *reconcile.Repaired, f *reconcileFlags) error {
	text, err := reportText(done, done.Before, f)
	if err != nil {
		return err
	}
	if f.format == "table" && !done.Before.Equal() {
		text = fmt.Appendf(text, "inserted again: %s\n", rowsOf(done.Inserted))
		if done.After.Equal() { // what was looked at again are parts: their sums say nothing
			text = append(text, "looked at again: what differed agrees with the log now\n"...)
		} else {
			after, err := reportText(nil, done.After, f)
			if err != nil {
				return err
			}
			text = append(text, after...)
		}
	}
	if _, err := a.stdout.Write(text); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if !done.After.Equal() {
		return fmt.Errorf("after the repair %s", differ(done.After))
	}
	return nil
}

func rowsOf(n int64) string {
	if n == 1 {
		return "1 row"
	}
	return grouped(n) + " rows"
}

func differ(r *reconcile.Report) string {
	if r.Rows() == 1 {
		return "1 row differs"
	}
	return rowsOf(r.Rows()) + " differ"
}

// reportText is whole as JSON, or the report as a table and what follows from it.
func reportText(whole any, report *reconcile.Report, f *reconcileFlags) ([]byte, error) {
	if f.format == "json" {
		text, err := json.MarshalIndent(whole, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("encode the report: %w", err)
		}
		return append(text, '\n'), nil
	}
	var b bytes.Buffer
	tables, rows, refused := map[string]bool{}, uint64(0), int64(0)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0) // into memory: cannot fail
	if f.long || !report.Equal() {
		_, _ = fmt.Fprintln(w, "TABLE\tTOPIC\tPARTITION\tOFFSETS\tEXPECTED\tFOUND\tDIFFERENCE")
	}
	for i := range report.Entries {
		e := &report.Entries[i]
		tables[e.Table] = true
		rows += e.Expected
		refused += e.Refused
		if f.long || e.Differing > 0 {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%d-%d\t%s\t%s\t%s\n", e.Table, e.Topic, e.Partition, e.From, e.To-1, grouped(int64(e.Expected)), grouped(int64(e.Found)), difference(e))
		}
	}
	_ = w.Flush()
	if report.Equal() {
		in := "1 table"
		if len(tables) != 1 {
			in = fmt.Sprintf("%d tables", len(tables))
		}
		fmt.Fprintf(&b, "%s in %s agree with the log, as far as the sink has committed (generation %d)\n", rowsOf(int64(rows)), in, report.Generation)
	}
	if refused > 0 {
		fmt.Fprintf(&b, "%s that ClickHouse refused are in the table unreadable instead\n", rowsOf(refused))
	}
	if len(report.Unread) > 0 {
		fmt.Fprintf(&b, "not compared, since the sink has committed nothing of it yet: %s\n", listed(report.Unread))
	}
	first := true
	for i := range report.Entries {
		for _, statement := range report.Entries[i].Remove {
			if first {
				b.WriteString("\nThe log does not have the surplus rows. These statements delete them:\n")
			}
			first = false
			fmt.Fprintf(&b, "%s;\n", statement)
		}
	}
	return b.Bytes(), nil
}

// shownRuns is how many runs of offsets a line shows; JSON has all.
const shownRuns = 8

func difference(e *reconcile.Entry) string {
	var text []byte
	for _, set := range []struct {
		word    string
		offsets interface {
			Len() int64
			Text(int) string
		}
	}{{"missing", e.Missing}, {"altered", e.Altered}, {"stale", e.Stale}, {"surplus", e.Surplus}} {
		if set.offsets.Len() > 0 {
			if len(text) > 0 {
				text = append(text, "; "...)
			}
			text = fmt.Appendf(text, "%s %s", set.word, set.offsets.Text(shownRuns))
		}
	}
	if len(text) == 0 {
		return "none"
	}
	return string(text)
}

// listed are a few of the names.
func listed(all []string) string {
	var b bytes.Buffer
	for i, name := range all {
		switch {
		case i == 10:
			fmt.Fprintf(&b, " and %d more", len(all)-i)
			return b.String()
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(name)
	}
	return b.String()
}

// readProgress says how far a log is read: on a terminal in one line that is written
// over, elsewhere in a line now and then.
type readProgress struct {
	app  *app
	last time.Time
	line bool
}

func (p *readProgress) told(what string, done, total int64) {
	now := time.Now()
	terminal := isTerminal(p.app.stderr)
	every := 30 * time.Second
	if terminal {
		every = time.Second / 4
	}
	if now.Sub(p.last) < every || total == 0 {
		return
	}
	p.last = now
	text := fmt.Sprintf("%s: %s of %s offsets read (%d %%)", what, grouped(done), grouped(total), 100*done/total)
	if terminal {
		p.line = true
		p.app.complain("\r\x1b[K%s", text)
		return
	}
	p.app.complain("%s\n", text)
}

func (p *readProgress) clear() {
	if p.line {
		p.app.complain("\r\x1b[K")
		p.line = false
	}
}
