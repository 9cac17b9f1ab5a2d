// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/record"
	"lapwing/schemas/topics"
)

type tailFlags struct {
	kafka     kafkaFlags
	beginning bool
	count     int
	customer  string
	format    string
}

func (a *app) tailCommand() *cobra.Command {
	var f tailFlags
	c := &cobra.Command{
		Use:   "tail [KIND]",
		Short: "Follow a public topic: stage-changes, segment-changes, assignments, conversions or profiles",
		Long: `Follows a public topic and prints its records as they are committed, until Ctrl-C or
--count. On a terminal a record is one short line, elsewhere the JSON as published.`,
		Example: "  lapwing tail\n  lapwing tail segment-changes --from-beginning --count 10\n  lapwing tail --customer u1 --format json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind := topics.StageChanges
			if len(args) > 0 {
				kind = args[0]
			}
			topic, ok := publicKinds()[kind]
			if !ok {
				return usageError("%q is no kind; the kinds are %s", kind, kindNames())
			}
			switch f.format {
			case "":
				f.format = "json"
				if isTerminal(a.stdout) {
					f.format = "text"
				}
			case "json", "text":
			default:
				return usageError("--format %q: want text or json", f.format)
			}
			if f.count < 0 {
				return usageError("--count %d: want a number above 0", f.count)
			}
			return a.tail(cmd.Context(), &f, &topic)
		},
	}
	f.kafka.add(c)
	c.Flags().BoolVar(&f.beginning, "from-beginning", false, "begin with what the topic holds, not with what comes next")
	c.Flags().IntVarP(&f.count, "count", "n", 0, "stop after `N` records")
	c.Flags().StringVar(&f.customer, "customer", "", "only records of this `CUSTOMER`")
	c.Flags().StringVar(&f.format, "format", "", "text or json (default text on a terminal, else json)")
	return c
}

func (a *app) tail(ctx context.Context, f *tailFlags, topic *topics.Topic) error {
	p, err := f.kafka.place(ctx, a)
	if err != nil {
		return err
	}
	name := topic.Full(p.prefix)
	start := kgo.NewOffset().AtEnd()
	if f.beginning {
		start = kgo.NewOffset().AtStart()
	}
	client, err := kgo.NewClient(append(p.opts, kgo.ConsumeTopics(name), kgo.ConsumeStartOffset(start), kgo.ConsumeResetOffset(start),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(200*time.Millisecond))...)
	if err != nil {
		return fmt.Errorf("create the Kafka client: %w", err)
	}
	defer client.Close()
	known, err := kadm.NewClient(client).ListTopics(ctx, name)
	if err == nil && !known.Has(name) {
		err = fmt.Errorf("there is no topic %s; `lapwing topics` lists them, and a first `lapwing run` makes them", name)
	}
	if err != nil {
		return err
	}
	if isTerminal(a.stderr) {
		a.complain("following %s; Ctrl-C ends\n", name)
	}
	out := bufio.NewWriter(a.stdout)
	for shown := 0; ; {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return interrupted(ctx)
		}
		for _, e := range fetches.Errors() {
			return fmt.Errorf("read %s: %w", e.Topic, e.Err)
		}
		for iter := fetches.RecordIter(); !iter.Done(); {
			r := iter.Next()
			if f.customer != "" && string(r.Key) != f.customer {
				continue
			}
			if err := printRecord(out, r, topic, f.format); err != nil {
				return err
			}
			if shown++; shown == f.count {
				return out.Flush()
			}
		}
		if err := out.Flush(); err != nil {
			return fmt.Errorf("write the records: %w", err)
		}
	}
}

func printRecord(w io.Writer, r *kgo.Record, topic *topics.Topic, format string) error {
	line := string(r.Value)
	switch {
	case len(r.Value) == 0: // only profiles have tombstones
		line = fmt.Sprintf(`{"kind":"profile","customer_id":%s,"ended":true}`, record.AppendString(nil, string(r.Key)))
		if format == "text" {
			line = string(r.Key) + "  forgotten"
		}
	case format == "text" && topic.Name != topics.Profiles:
		change, err := record.DecodeRecord(r.Value)
		if err != nil {
			return fmt.Errorf("read a record of %s: %w", r.Topic, err)
		}
		line = inOneLine(&change)
	}
	_, err := fmt.Fprintln(w, line)
	if err != nil {
		return errors.Join(errors.New("write a record"), err)
	}
	return nil
}

// inOneLine is a change for people: when, who, what, why, and what comes next.
func inOneLine(r *record.Record) string {
	when := r.EffectiveAt.Time().Format("2006-01-02 15:04:05")
	var what string
	switch {
	case r.Kind == record.Assignment:
		what = fmt.Sprintf("%s: assigned to %s, round %d", r.Campaign, armOf(r), r.Round)
	case r.Kind == record.Conversion:
		what = fmt.Sprintf("%s: reached %s as %s, round %d", r.Campaign, r.Goal, armOf(r), r.Round)
		if r.HasValue {
			what += strings.TrimRight(fmt.Sprintf(", worth %s %s", r.Value, r.Currency), " ")
		}
	case r.Kind == record.StageChange:
		what = fmt.Sprintf("%s: %s → %s", r.Model, or(r.From, "(new here)"), or(r.To, "(gone)"))
	case r.Entered:
		what = "enters " + r.Segment
	default:
		what = "leaves " + r.Segment
	}
	why := "as time went by"
	if r.Cause.Event != "" {
		why = "by " + r.Cause.Event
	}
	next := ""
	if r.NextStage != "" {
		next = fmt.Sprintf("; %s on %s, if nothing happens", r.NextStage, r.NextDeadline.Time().Format("2006-01-02"))
	}
	return fmt.Sprintf("%s  %s  %s (%s%s)", when, r.CustomerID, what, why, next)
}

// armOf is an arm for people.
func armOf(r *record.Record) string {
	if r.Holdout {
		return "the holdout"
	}
	return or(r.Variant, "no variant")
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
