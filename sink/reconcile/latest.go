// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"lapwing/sink/batch"
	"lapwing/sink/compare"
)

// values compares partitions whose records replace each other: the newest of each key in
// the log with the row that the table shows. What differs is looked at twice, since log
// and table move on between one look and the other.
func (r *run) values(ctx context.Context, spans []latestSpan) error {
	have := compare.Digests{}
	for name, tables := range valueTables {
		var own []compare.Span
		for _, s := range spans {
			if strings.TrimPrefix(s.Topic, r.cfg.Prefix) == name {
				own = append(own, s.Span)
			}
		}
		for _, t := range tables {
			if len(own) == 0 {
				continue
			}
			meta := r.tables[t]
			if err := r.digests(ctx, meta, compare.BucketSQL(meta.compare.KeySQL[0]), r.where(meta, own), have); err != nil {
				return err
			}
		}
	}
	for _, s := range spans {
		if err := r.latest(ctx, s, have); err != nil {
			return err
		}
	}
	return nil
}

// latest compares one partition; have are the digests of the tables.
func (r *run) latest(ctx context.Context, s latestSpan, have compare.Digests) error {
	first, err := r.look(ctx, s, have)
	if err != nil || len(first) == 0 {
		return err
	}
	scope, err := r.findScope(ctx)
	if err != nil {
		return err
	}
	for _, again := range scope.latest { // as far as the log is by now
		if again.Topic == s.Topic && again.Partition == s.Partition {
			s.Known, s.From = again.Known, again.From
		}
	}
	second, err := r.look(ctx, s, nil)
	if err != nil {
		return err
	}
	for t, all := range first {
		for _, f := range all {
			if slices.Contains(second[t], f) {
				r.entry(t, place{s.Topic, s.Partition}).note(f)
			}
		}
	}
	return nil
}

// share is a part of the keys of one table; of all tables for a first look.
type share struct {
	compare.Part
	table batch.Table
	all   bool
}

// look compares a partition, part of the keys by part if they are too many. Without the
// digests of the tables it is a second look: it asks for them, and counts nothing.
func (r *run) look(ctx context.Context, s latestSpan, have compare.Digests) (map[batch.Table][]compare.Finding, error) {
	found := map[batch.Table][]compare.Finding{}
	span := s.Span
	span.To = s.Known
	for shares := []share{{all: true}}; len(shares) > 0; {
		one := shares[0]
		shares = shares[1:]
		held := map[batch.Table]*compare.Latest{}
		if one.all { // a table of which the log has nothing may still have too much
			for _, t := range valueTables[strings.TrimPrefix(s.Topic, r.cfg.Prefix)] {
				held[t] = compare.NewLatest(one.Part, r.cfg.MaxKeys)
			}
		}
		err := r.read(ctx, []compare.Span{span}, func(place) each {
			return each{row: func(t batch.Table, _ batch.Row, row compare.Row) error {
				switch {
				case t == batch.Unreadable, !one.all && t != one.table: // the former replaces nothing
					return nil
				case held[t] == nil:
					held[t] = compare.NewLatest(one.Part, r.cfg.MaxKeys)
				}
				held[t].Add(row)
				return nil
			}}
		})
		if err != nil {
			return nil, err
		}
		for t, l := range held {
			for _, rest := range l.Rest() {
				shares = append(shares, share{rest, t, false})
			}
			all, err := r.differing(ctx, r.tables[t], s, l, have)
			if err != nil {
				return nil, err
			}
			if len(all) > 0 {
				found[t] = append(found[t], all...)
			}
		}
	}
	return found, nil
}

// differing compares the keys that are held with what the table shows of them: by counts
// and sums over buckets of keys first.
func (r *run) differing(ctx context.Context, t *table, s latestSpan, l *compare.Latest, have compare.Digests) ([]compare.Finding, error) {
	hash := t.compare.KeySQL[0]
	part := l.Part()
	own := fmt.Sprintf("_generation = %d AND _topic = %s AND _partition = %d AND _offset >= %d AND bitAnd(%s, %d) = %d",
		r.cfg.Generation, quote(s.Topic), s.Partition, s.From, hash, part.Mask, part.Residue) + r.judged(t)
	count := have != nil
	if have == nil || part.Mask > 0 {
		have = compare.Digests{}
		if err := r.digests(ctx, t, compare.BucketSQL(hash), own+fmt.Sprintf(" AND _offset < %d", s.To), have); err != nil {
			return nil, err
		}
	} else {
		whole := have
		have = compare.Digests{}
		for c, d := range whole {
			if c.Table == t.name && c.Topic == s.Topic && c.Partition == s.Partition {
				have[c] = d
			}
		}
	}
	log := l.Digests(compare.Cell{Table: t.name, Topic: s.Topic, Partition: s.Partition}, s.To)
	if count {
		r.count(log, have)
	}
	cells := log.Differing(have)
	if len(cells) == 0 {
		return nil, nil
	}
	l.Only(cells)
	var numbers []string
	for _, c := range cells {
		numbers = append(numbers, fmt.Sprint(c.Number))
	}
	var broken error
	all := l.Compare(s.To, only(r.shown(ctx, t, own+fmt.Sprintf(" AND %s IN (%s)", compare.BucketSQL(hash), strings.Join(numbers, ", ")), &broken)))
	if broken != nil {
		return nil, broken
	}
	if t.of == batch.Definitions {
		// The log keeps one version of each definition, the table all of them.
		all = slices.DeleteFunc(all, func(f compare.Finding) bool { return f.Kind == compare.Surplus })
	}
	return all, nil
}
