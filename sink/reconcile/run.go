// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"lapwing/sink/batch"
	"lapwing/sink/compare"
)

// run is one comparison.
type run struct {
	*Reconciler
	scope  *scope
	tables map[batch.Table]*table
	erased []string // sorted
	pace   pacer

	mu      sync.Mutex
	done    int64 // offsets read, of
	total   int64
	entries map[entryKey]*Entry
	refused map[refusedKey]bool
}

type entryKey struct {
	table batch.Table
	place
}

func (r *Reconciler) prepare(ctx context.Context) (*run, error) {
	run := &run{Reconciler: r, entries: map[entryKey]*Entry{}, pace: pacer{rate: r.cfg.RowsPerSecond, began: time.Now()}}
	var err error
	if run.scope, err = r.findScope(ctx); err != nil {
		return nil, err
	}
	if err := run.describe(ctx); err != nil {
		return nil, err
	}
	if r.deps.Erased != nil {
		erased, err := r.deps.Erased(ctx)
		if err != nil {
			return nil, fmt.Errorf("ask which customers are erased: %w", err)
		}
		run.erased = slices.Sorted(slices.Values(erased))
	}
	return run, nil
}

// expect sets how much there is to read at least.
func (r *run) expect(facts []compare.Span, latest []latestSpan) {
	for _, s := range facts {
		r.total += s.To - s.From
	}
	for _, s := range latest {
		r.total += s.Known - s.From
	}
}

// progress tells how far the log is read.
func (r *run) progress(topic string, offsets int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done += offsets
	r.total = max(r.total, r.done)
	if r.deps.Progress != nil {
		r.deps.Progress(strings.TrimPrefix(topic, r.cfg.Prefix), r.done, r.total)
	}
}

// entry is the report's, made when it is first asked for.
func (r *run) entry(t batch.Table, at place) *Entry {
	k := entryKey{t, at}
	e := r.entries[k]
	if e == nil {
		e = &Entry{Table: t.Name(), Topic: at.topic, Partition: at.partition}
		r.entries[k] = e
	}
	return e
}

func (r *run) report() *Report {
	report := &Report{Generation: r.cfg.Generation, Unread: r.scope.unread, Erased: len(r.erased), Entries: []Entry{}}
	spans := map[place]compare.Span{}
	for _, s := range r.scope.facts {
		spans[place{s.Topic, s.Partition}] = s
	}
	for _, s := range r.scope.latest {
		spans[place{s.Topic, s.Partition}] = s.Span
	}
	for k, e := range r.entries {
		s := spans[k.place]
		e.From, e.To = s.From, s.To
		e.Remove = e.statements(r.cfg.Database, r.cfg.Generation, r.tables[k.table].compare.KeySQL[0])
		report.Entries = append(report.Entries, *e)
	}
	slices.SortFunc(report.Entries, func(a, b Entry) int {
		return cmp.Or(strings.Compare(a.Table, b.Table), strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return report
}

// pacer keeps the reading of the log below a rate.
type pacer struct {
	rate  int // rows per second; 0: no bound
	mu    sync.Mutex
	rows  int64
	began time.Time
}

// wait returns when so many rows more may have been read.
func (p *pacer) wait(ctx context.Context, rows int64) error {
	if p.rate == 0 {
		return nil
	}
	p.mu.Lock()
	p.rows += rows
	ahead := time.Duration(float64(p.rows)/float64(p.rate)*float64(time.Second)) - time.Since(p.began)
	p.mu.Unlock()
	if ahead <= 0 {
		return nil
	}
	timer := time.NewTimer(ahead)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
