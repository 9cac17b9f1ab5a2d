// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/definition"
	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/topics"
	"lapwing/sink/committed"
	"lapwing/stream"
)

type deadLetterFlags struct {
	config       string
	causes       []string
	since, until string
	count        int
	format       string
	payload      bool
	replay       bool
	to           string

	from, before time.Time // since and until; zero: no bound
}

func (a *app) deadLettersCommand() *cobra.Command {
	var f deadLetterFlags
	c := &cobra.Command{
		Use:   "dead-letters -c FILE",
		Short: "List the input that could not be used, or send it again",
		Long: `Lists what stands in the topic of dead letters: how many by cause, and the newest with
the place they came from. What customers sent is not shown, unless by --payload.

--replay sends them again, to the input they came from or to the topic of --to, with the
same key and bytes. A message that could not be used even now is not sent, unless --to
names where to: what was wrong in a message itself no repetition mends; what was larger
or deeper than a limit since raised, or too far in the future, can be used now. Sent
twice, a message counts once if it has a messageId, as long as those are remembered
(dedupe in the definition).

Exit code 1 after a replay means that some of them were not sent.`,
		Example: "  lapwing dead-letters -c lapwing.yaml\n  lapwing dead-letters -c lapwing.yaml --cause too_large --since 24h --payload\n  lapwing dead-letters -c lapwing.yaml --cause too_large --replay",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.check(time.Now()); err != nil {
				return err
			}
			return a.deadLetters(c.Context(), &f)
		},
	}
	c.Flags().StringVarP(&f.config, "config", "c", "", "the configuration file")
	c.Flags().StringSliceVar(&f.causes, "cause", nil, "only these `CAUSES`")
	c.Flags().StringVar(&f.since, "since", "", "only from this `TIME` on: RFC 3339, a date, or how long ago, such as 24h or 7d")
	c.Flags().StringVar(&f.until, "until", "", "only before this `TIME`")
	c.Flags().IntVarP(&f.count, "count", "n", 20, "list the newest `N`")
	c.Flags().StringVar(&f.format, "format", "table", "table or json")
	c.Flags().BoolVar(&f.payload, "payload", false, "show key and message of those listed: customers' data")
	c.Flags().BoolVar(&f.replay, "replay", false, "send them again")
	c.Flags().StringVar(&f.to, "to", "", "with --replay: to this `TOPIC`, unchecked")
	return c
}

func (f *deadLetterFlags) check(now time.Time) error {
	switch {
	case f.config == "":
		return usageError("say which file: -c lapwing.yaml")
	case f.format != "table" && f.format != "json":
		return usageError("--format %q is no format: want table or json", f.format)
	case f.count < 0:
		return usageError("--count %d: want a number, 0 or more", f.count)
	case f.to != "" && !f.replay:
		return usageError("--to is where --replay sends them: say --replay, too")
	case f.payload && f.replay:
		return usageError("--payload is for listing, not for --replay")
	}
	known := deadLetterCauses()
	for _, cause := range f.causes {
		if !slices.Contains(known, cause) {
			return usageError("--cause %q is no cause of dead letters: want %s", cause, strings.Join(known, ", "))
		}
	}
	for _, one := range []struct {
		flag, text string
		to         *time.Time
	}{{"--since", f.since, &f.from}, {"--until", f.until, &f.before}} {
		if one.text == "" {
			continue
		}
		if ago, err := definition.ParseDuration(one.text); err == nil {
			*one.to = now.Add(-ago)
			continue
		}
		at, ok := instant.Parse(one.text)
		if !ok {
			return usageError("%s %q is no time; write it like 2026-01-31, 2026-01-31T12:00:00Z, 24h or 7d", one.flag, one.text)
		}
		*one.to = at.Time()
	}
	return nil
}

// deadLetterCauses are all causes that a dead letter may have.
func deadLetterCauses() []string {
	all := []string{string(stream.BadEnvelope)}
	for _, c := range event.Causes {
		all = append(all, string(c))
	}
	slices.Sort(all)
	return all
}

// letter is one dead letter.
type letter struct {
	stream.DeadLetter
	record *kgo.Record
}

// wants reports whether the flags select it.
func (f *deadLetterFlags) wants(l *letter) bool {
	at := l.record.Timestamp
	return (len(f.causes) == 0 || slices.Contains(f.causes, l.Cause)) && !at.Before(f.from) && (f.before.IsZero() || at.Before(f.before))
}

func (a *app) deadLetters(ctx context.Context, f *deadLetterFlags) error {
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
	opts = append(opts, kgo.SeedBrokers(c.Kafka.Brokers...))
	progress := &readProgress{app: a, last: time.Now()}
	defer progress.clear()
	if f.replay {
		return a.replayDeadLetters(ctx, c, opts, f, progress)
	}
	list := newLetterList(f)
	err = readDeadLetters(ctx, opts, c.Kafka.Prefix, f, progress, func(l *letter) error {
		list.add(l)
		return nil
	})
	if err != nil {
		return err
	}
	progress.clear()
	text, err := list.text()
	if err != nil {
		return err
	}
	if _, err := a.stdout.Write(text); err != nil {
		return fmt.Errorf("write the list: %w", err)
	}
	return nil
}

// readDeadLetters calls each with what the flags select, in the order of the topic.
func readDeadLetters(ctx context.Context, opts []kgo.Opt, prefix string, f *deadLetterFlags, progress *readProgress, each func(*letter) error) error {
	topic := prefix + topics.DeadLetters
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("create the Kafka client: %w", err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	known, err := admin.ListTopics(ctx, topic)
	if err == nil && !known.Has(topic) {
		err = fmt.Errorf("there is no topic %s; `lapwing topics` lists them, and a first `lapwing run` makes them", topic)
	}
	if err != nil {
		return deadLetterError(ctx, err)
	}
	starts, err := admin.ListStartOffsets(ctx, topic)
	if !f.from.IsZero() && err == nil {
		starts, err = admin.ListOffsetsAfterMilli(ctx, f.from.UnixMilli(), topic)
	}
	ends, e := admin.ListCommittedOffsets(ctx, topic)
	if err = errors.Join(err, e); err == nil {
		err = errors.Join(starts.Error(), ends.Error())
	}
	if err != nil {
		return deadLetterError(ctx, fmt.Errorf("find the ends of %s: %w", topic, err))
	}
	var done, total int64
	var spans []committed.Span
	for _, end := range ends.Offsets().Sorted() {
		start, ok := starts.Lookup(topic, end.Partition)
		if ok && start.Offset < end.At {
			spans = append(spans, committed.Span{Topic: topic, Partition: end.Partition, From: start.Offset, To: end.At})
			total += end.At - start.Offset
		}
	}
	for _, s := range spans {
		at := s.From
		err := committed.Read(ctx, opts, s, func(r *kgo.Record) error {
			done, at = done+r.Offset+1-at, r.Offset+1
			progress.told(topics.DeadLetters, done, total)
			d, err := stream.ReadDeadLetter(r)
			if err != nil {
				return err
			}
			if l := (&letter{d, r}); f.wants(l) {
				return each(l)
			}
			return nil
		})
		if err != nil {
			return deadLetterError(ctx, err)
		}
	}
	return nil
}

func deadLetterError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return interrupted(ctx)
	}
	return err
}

// letterList counts dead letters and keeps the newest.
type letterList struct {
	flags  *deadLetterFlags
	causes map[string]*causeCount
	newest []*letter
	total  int64
}

type causeCount struct {
	Cause string    `json:"cause"`
	Count int64     `json:"count"`
	Bytes int64     `json:"bytes"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

func newLetterList(f *deadLetterFlags) *letterList {
	return &letterList{flags: f, causes: map[string]*causeCount{}}
}

func (l *letterList) add(one *letter) {
	at := one.record.Timestamp.UTC()
	c := l.causes[one.Cause]
	if c == nil {
		c = &causeCount{Cause: one.Cause, First: at, Last: at}
		l.causes[one.Cause] = c
	}
	l.total++
	c.Count++
	c.Bytes += one.size()
	if at.Before(c.First) {
		c.First = at
	}
	if at.After(c.Last) {
		c.Last = at
	}
	if !l.flags.payload { // it may be large, and is not wanted
		lean, size := *one.record, one.size()
		lean.Key, lean.Value, lean.Headers = nil, nil, nil
		one = &letter{one.DeadLetter, &lean}
		one.OriginalBytes = size
	}
	l.newest = append(l.newest, one)
	if len(l.newest) > 2*l.flags.count+100 {
		l.cut()
	}
}

// cut keeps the newest, newest first.
func (l *letterList) cut() {
	slices.SortStableFunc(l.newest, func(a, b *letter) int {
		return cmp.Or(b.record.Timestamp.Compare(a.record.Timestamp), cmp.Compare(b.record.Offset, a.record.Offset))
	})
	n := min(len(l.newest), l.flags.count)
	clear(l.newest[n:])
	l.newest = l.newest[:n]
}

// size is how long the source's message was.
func (l *letter) size() int64 {
	if l.OriginalBytes > 0 {
		return l.OriginalBytes
	}
	return int64(len(l.record.Value))
}

// shownLetter is a dead letter as JSON.
type shownLetter struct {
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Time      time.Time `json:"time"`
	Cause     string    `json:"cause"`
	Source    struct {
		Topic     string `json:"topic"`
		Partition int32  `json:"partition"`
		Offset    int64  `json:"offset"`
	} `json:"source"`
	Bytes   int64  `json:"bytes"`
	Key     []byte `json:"key,omitempty"`     // in base64; by --payload
	Payload []byte `json:"payload,omitempty"` // likewise
}

func (l *letterList) text() ([]byte, error) {
	l.cut()
	causes := slices.SortedFunc(maps.Values(l.causes), func(a, b *causeCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Cause, b.Cause))
	})
	if l.flags.format == "json" {
		out := struct {
			Total  int64         `json:"total"`
			Causes []*causeCount `json:"causes"`
			Newest []shownLetter `json:"newest"`
		}{l.total, causes, []shownLetter{}}
		if causes == nil {
			out.Causes = []*causeCount{}
		}
		for _, one := range l.newest {
			s := shownLetter{
				Partition: one.record.Partition, Offset: one.record.Offset, Time: one.record.Timestamp.UTC(), Cause: one.Cause,
				Bytes: one.size(), Key: one.record.Key, Payload: one.record.Value,
			}
			s.Source.Topic, s.Source.Partition, s.Source.Offset = one.SourceTopic, one.SourcePartition, one.SourceOffset
			out.Newest = append(out.Newest, s)
		}
		text, err := json.MarshalIndent(out, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("encode the list: %w", err)
		}
		return append(text, '\n'), nil
	}
	return l.table(causes), nil
}

func (l *letterList) table(causes []*causeCount) []byte {
	var b bytes.Buffer
	if l.total == 0 {
		b.WriteString("no dead letters\n")
		return b.Bytes()
	}
	const layout = "2006-01-02 15:04:05Z"
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0) // into memory: cannot fail
	_, _ = fmt.Fprintln(w, "CAUSE\tCOUNT\tBYTES\tFIRST\tLAST")
	for _, c := range causes {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", c.Cause, grouped(c.Count), grouped(c.Bytes), c.First.Format(layout), c.Last.Format(layout))
	}
	_ = w.Flush()
	if len(l.newest) == 0 {
		return b.Bytes()
	}
	b.WriteByte('\n')
	var lines bytes.Buffer
	w = tabwriter.NewWriter(&lines, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "TIME\tCAUSE\tTOPIC\tPARTITION\tOFFSET\tBYTES")
	for _, one := range l.newest {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\n", one.record.Timestamp.UTC().Format(layout), one.Cause, one.SourceTopic, one.SourcePartition, one.SourceOffset, grouped(one.size()))
	}
	_ = w.Flush()
	n := 0
	for line := range bytes.Lines(lines.Bytes()) {
		b.Write(line)
		if n > 0 && l.flags.payload {
			fmt.Fprintf(&b, "    key: %s\n    %s\n", printable(l.newest[n-1].record.Key), printable(l.newest[n-1].record.Value))
		}
		n++
	}
	if rest := l.total - int64(len(l.newest)); rest > 0 {
		fmt.Fprintf(&b, "and %s older; --count shows more\n", grouped(rest))
	}
	return b.Bytes()
}

// shownBytes bounds what of a message goes to a terminal; JSON has all.
const shownBytes = 2000

// printable is a message in one line, whatever bytes it has.
func printable(raw []byte) string {
	if raw == nil {
		return "(none)"
	}
	cut := ""
	if len(raw) > shownBytes {
		cut = fmt.Sprintf("… and %s bytes more", grouped(int64(len(raw)-shownBytes)))
		raw = raw[:shownBytes]
	}
	return visible(strings.Map(func(c rune) rune {
		if c == '\n' || c == '\t' {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(string(raw), "\uFFFD"))) + cut
}
