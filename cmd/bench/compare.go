// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/instant"
)

// errDiffer ends a comparison that has already said what differs.
var errDiffer = errors.New("the stage changes differ")

// comparedModel is the one model of the definition that is measured.
const comparedModel = "value"

// change is what two programs have to agree on.
type change struct {
	from, to string // from is empty the first time
	at       instant.Instant
}

func (c change) String() string {
	from := c.from
	if from == "" {
		from = "nothing"
	}
	return fmt.Sprintf("%s to %s at %s", from, c.to, time.UnixMilli(int64(c.at)).UTC().Format(time.RFC3339Nano))
}

// history is each customer's changes, in the order of the log.
type history struct {
	changes map[string][]change
	records int
	broken  int // records whose sequence does not follow their customer's last, or with another key
}

// add takes one record of stage changes. Those of other models, and those that took
// effect after until (None: no bound), are left out.
func (h *history) add(key, value []byte, until instant.Instant) error {
	var r struct {
		Customer  string    `json:"customer_id"`
		Model     string    `json:"model"`
		Sequence  int       `json:"sequence"`
		From      *string   `json:"from"`
		To        *string   `json:"to"`
		Effective time.Time `json:"effective_at"`
	}
	if err := json.Unmarshal(value, &r); err != nil {
		return fmt.Errorf("read a stage change: %w", err)
	}
	at := instant.Instant(r.Effective.UnixMilli())
	if r.Model != comparedModel || (until != instant.None && at > until) {
		return nil
	}
	c := change{at: at}
	if r.From != nil {
		c.from = *r.From
	}
	if r.To != nil {
		c.to = *r.To
	}
	h.records++
	if r.Sequence != len(h.changes[r.Customer])+1 || string(key) != r.Customer {
		h.broken++
	}
	h.changes[r.Customer] = append(h.changes[r.Customer], c)
	return nil
}

func readHistory(ctx context.Context, bootstrap, topic string, until instant.Instant) (*history, error) {
	h := &history{changes: map[string][]change{}}
	err := readTopic(ctx, bootstrap, topic, nil, func(r *kgo.Record) error { return h.add(r.Key, r.Value, until) })
	return h, err
}

// difference is the first change of a customer in which two histories part.
type difference struct {
	customer string
	number   int    // from 1
	a, b     string // what each has there
}

// compare lists the differences, one a customer, in the order of the customers.
func compare(a, b *history) []difference {
	customers := slices.Collect(maps.Keys(a.changes))
	for customer := range b.changes {
		if _, ok := a.changes[customer]; !ok {
			customers = append(customers, customer)
		}
	}
	slices.Sort(customers)
	var found []difference
	for _, customer := range customers {
		x, y := a.changes[customer], b.changes[customer]
		i := 0
		for i < min(len(x), len(y)) && x[i] == y[i] {
			i++
		}
		if i < max(len(x), len(y)) {
			found = append(found, difference{customer, i + 1, nth(x, i), nth(y, i)})
		}
	}
	return found
}

func nth(changes []change, i int) string {
	if i < len(changes) {
		return changes[i].String()
	}
	return "nothing more"
}

// shownDifferences is how many are printed.
const shownDifferences = 10

// verdict prints whether two histories are equal, and where they are not.
func verdict(out io.Writer, nameA, nameB string, a, b *history) (equal bool) {
	found := compare(a, b)
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) } // nowhere to say that this failed
	for _, d := range found[:min(len(found), shownDifferences)] {
		say("customer %s, change %d: %s has %s, %s has %s", d.customer, d.number, nameA, d.a, nameB, d.b)
	}
	for _, h := range []struct {
		name string
		*history
	}{{nameA, a}, {nameB, b}} {
		if h.broken > 0 {
			say("%s: %d records break the sequence of their customer", h.name, h.broken)
		}
	}
	equal = len(found) == 0 && a.broken == 0 && b.broken == 0
	if equal {
		say("%s and %s are equal: %d changes of %d customers", nameA, nameB, a.records, len(a.changes))
	} else {
		say("%s and %s differ: %d customers of %d and %d; %d and %d changes", nameA, nameB, len(found), len(a.changes), len(b.changes), a.records, b.records)
	}
	return equal
}

// judge compares the runs of a drain with the first.
type judge struct {
	until  instant.Instant // of a run behind a router: what its clock has come to
	name   string
	first  *history
	failed bool
}

// judge reads the output of a run and compares it with the first run's.
func (b *bench) judge(ctx context.Context, j *judge, c contender, p place) error {
	output := c.output(p)
	if output == "" {
		return nil
	}
	until := instant.None
	if l, ok := c.(lapwing); ok && l.routed {
		until = j.until
	}
	h, err := readHistory(ctx, b.bootstrap, output, until)
	if err != nil {
		return err
	}
	if j.first == nil && until == instant.None {
		j.name, j.first = c.name(), h
		return nil
	}
	if j.first == nil {
		b.say("%s is not compared: no keyed run stands before it", c.name())
		return nil
	}
	reference := j.first
	if until != instant.None {
		reference = j.first.upTo(until)
	}
	if !verdict(b.stderr, j.name, c.name(), reference, h) {
		j.failed = true
	}
	return nil
}

// upTo is the history without what took effect after an instant.
func (h *history) upTo(until instant.Instant) *history {
	early := &history{changes: map[string][]change{}, broken: h.broken}
	for customer, changes := range h.changes {
		if n := len(changes) - countAfter(changes, until); n > 0 {
			early.changes[customer] = changes[:n]
			early.records += n
		}
	}
	return early
}

// countAfter counts from the end: a customer's changes take effect in order.
func countAfter(changes []change, until instant.Instant) (n int) {
	for n < len(changes) && changes[len(changes)-1-n].at > until {
		n++
	}
	return n
}

func (j *judge) verdict(out io.Writer) error {
	if j.failed {
		return errDiffer
	}
	if j.first != nil {
		_, _ = fmt.Fprintln(out, "the stage changes of all runs are equal") // nowhere to say that this failed
	}
	return nil
}

// compareTopics is the command compare.
func (b *bench) compareTopics(ctx context.Context, topicA, topicB string) error {
	a, err := readHistory(ctx, b.bootstrap, topicA, instant.None)
	if err != nil {
		return err
	}
	other, err := readHistory(ctx, b.bootstrap, topicB, instant.None)
	if err != nil {
		return err
	}
	if !verdict(b.stdout, topicA, topicB, a, other) {
		return errDiffer
	}
	return nil
}

// newestTimes is the event time of the last event in each partition: the times of a
// backlog rise.
func newestTimes(ctx context.Context, bootstrap string, adm *kadm.Client, input string) (map[int32]instant.Instant, error) {
	ends, err := endOffsets(ctx, adm, input)
	if err != nil {
		return nil, err
	}
	from := offsets{}
	for partition, end := range ends {
		from[partition] = max(0, end-1)
	}
	newest := map[int32]instant.Instant{}
	err = readTopic(ctx, bootstrap, input, from, func(r *kgo.Record) error {
		var e struct {
			Timestamp time.Time `json:"timestamp"`
		}
		if err := json.Unmarshal(r.Value, &e); err != nil {
			return fmt.Errorf("read the last event of a partition: %w", err)
		}
		newest[r.Partition] = instant.Instant(e.Timestamp.UnixMilli())
		return nil
	})
	return newest, err
}
