// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"go.uber.org/zap"

	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/stream/lifecycle"
	"lapwing/stream/store"
)

// shadowing is the publish_from of a lane that is not live yet: all of it is history.
const shadowing = instant.Max

// baseRange marks, in the local store, the lanes of the generation that is taken over
// from: it may have our own number, under another prefix.
const baseRange = 1 << 31

// predecessor is another generation whose lanes are read into the local store: that from
// which lanes take over, or with which another is compared.
type predecessor struct {
	*base
	model       *lifecycle.Model // of its newest definition
	definitions *catalogue
	restorer    *restorer

	mu       sync.Mutex
	lineages map[int32]*lifecycle.Lineage // by lane
}

// read brings one of its lanes into the local store, under id, up to the end of its
// changelog. rec is the lane's own record; nil: it never ran.
func (p *predecessor) read(ctx context.Context, id store.Lane) (rec *mailbox.Lane, err error) {
	if _, err := p.restorer.catchUp(ctx, id); err != nil {
		return nil, err
	}
	rec, err = storedLane(p.restorer.store, id)
	if err != nil {
		return nil, err
	}
	lineage := lifecycle.NewLineage(p.model)
	if rec != nil {
		if _, err := p.definitions.read(p.restorer.store, id); err != nil {
			return nil, err
		}
		all := *rec
		all.PublishFrom = instant.None // nothing is published from here
		if lineage, err = p.definitions.lineage(&all); err != nil {
			return nil, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lineages[id.Lane] = lineage
	return rec, nil
}

// lineage is that of a lane that has been read.
func (p *predecessor) lineage(lane int32) *lifecycle.Lineage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lineages[lane]
}

// storedLane is a lane's own record in the local store; nil if there is none.
func storedLane(s *store.Store, id store.Lane) (rec *mailbox.Lane, err error) {
	err = s.Each(id, byte(mailbox.StateLane), func(_, value []byte) error {
		decoded, err := mailbox.DecodeLane(value)
		rec = &decoded
		return err
	})
	return rec, err
}

// takeover is what a lane of a generation that has become live does before anything
// else. It stands where its predecessor ended. Customer by customer, in the order of
// their ids: deadlines that the predecessor has fired are fired, as history; where
// both agree the sequences go on, where they do not a change tells of it; and the
// profile is published. Each transaction leaves behind how far it has come, so that
// whoever gets the lane next goes on from there. Nothing is read meanwhile.
type takeover struct {
	before      *predecessor
	lanes       []store.Lane // of the predecessor, that may hold customers of ours
	homes       *homes       // the predecessor's
	live        *lifecycle.Model
	publishFrom instant.Instant

	cursor    string // the last customer done
	committed string
	finished  bool // by this transaction
}

// startTakeover prepares the lane to take over, if it has to.
func (r *restorer) startTakeover(ctx context.Context, l *lane) error {
	if r.role.from == nil || l.record.PublishFrom != shadowing {
		return nil
	}
	before, err := r.predecessor(ctx)
	if err != nil {
		return err
	}
	t := &takeover{before: before, homes: newHomes(before.cfg.Lanes), publishFrom: instant.Max}
	for lane := range before.cfg.Lanes {
		if before.cfg.Lanes == r.cfg.Lanes && lane != l.id.Lane {
			continue
		}
		id := store.Lane{Generation: r.cfg.Generation | baseRange, Lane: lane}
		if err := r.holders.acquire(ctx, id); err != nil {
			return err
		}
		_, err := before.read(ctx, id)
		r.holders.release(id)
		if err != nil {
			return err
		}
		t.lanes = append(t.lanes, id)
		if rec, ran := before.lanes[lane]; ran {
			t.publishFrom = min(t.publishFrom, rec.PublishFrom)
		}
	}
	if t.publishFrom == instant.Max { // none of them ran
		t.publishFrom = r.publishFromOfItsOwn()
	}
	t.live = r.definitions.from(l.model, t.publishFrom)
	cursor, _, err := r.store.Get(l.id, byte(mailbox.StateTakeover), nil, nil)
	if err != nil {
		return err
	}
	t.cursor, t.committed = string(cursor), string(cursor)
	l.takeover = t
	r.deps.Log.Info("lane takes over", zap.Int32("lane", l.id.Lane), zap.Uint32("from_generation", before.cfg.Generation))
	return nil
}

// predecessor opens the generation that lanes take over from, once for all of them.
func (r *restorer) predecessor(ctx context.Context) (*predecessor, error) {
	select { // no mutex: it would be held while the cluster is asked
	case r.opening <- struct{}{}:
		defer func() { <-r.opening }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if r.before != nil {
		return r.before, nil
	}
	p, err := openPredecessor(ctx, r.cfg, r.deps, *r.role.from, r.store, r.metrics)
	if err != nil {
		return nil, err
	}
	r.before = p
	return p, nil
}

// openPredecessor opens a generation whose lanes are to be restored into the store.
func openPredecessor(ctx context.Context, cfg *Config, deps *Deps, of Origin, s *store.Store, m *metrics) (*predecessor, error) {
	b, err := openBase(ctx, cfg, deps, of)
	if err != nil {
		return nil, err
	}
	if err := b.refresh(ctx); err != nil {
		return nil, err
	}
	p := &predecessor{base: b, lineages: map[int32]*lifecycle.Lineage{}}
	if p.model, err = b.model(); err != nil {
		return nil, err
	}
	p.definitions = newCatalogue(p.model)
	p.model = p.definitions.from(p.model, instant.None)
	p.restorer = &restorer{cfg: &b.cfg, deps: deps, metrics: m, status: newStatus(0), store: s}
	return p, nil
}

// forget deletes from the local store what is not needed any more.
func (r *restorer) forget() error {
	gone := slices.Clone(r.role.dropped)
	if r.role.from == nil {
		gone = append(gone, r.cfg.Generation|baseRange)
	}
	for _, generation := range gone {
		if err := r.store.Drop(generation); err != nil {
			return fmt.Errorf("delete generation %d from the local store: %w", generation, err)
		}
	}
	return nil
}

// next are customers behind the cursor, in order, about so many; more reports whether
// others follow.
func (t *takeover) next(l *lane, ours *homes, limit int) (ids []string, more bool, err error) {
	last := "" // with more: what lies behind it is for later
	walk := func(lane store.Lane, keep func(id []byte) bool) error {
		var found []string
		err := l.store.Walk(lane, byte(mailbox.StateCustomer), []byte(t.cursor), func(id, _ []byte) (bool, error) {
			if keep(id) {
				found = append(found, string(id))
			}
			return len(found) < limit, nil
		})
		if len(found) == limit {
			if end := found[limit-1]; !more || end < last {
				last = end
			}
			more = true
		}
		ids = append(ids, found...)
		return err
	}
	if err := walk(l.id, func([]byte) bool { return true }); err != nil {
		return nil, false, err
	}
	for _, lane := range t.lanes {
		if err := walk(lane, func(id []byte) bool { return ours.of(id) == l.id.Lane }); err != nil {
			return nil, false, err
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if more {
		ids = slices.DeleteFunc(ids, func(id string) bool { return id > last })
	}
	return ids, more, nil
}

// told is what the predecessor knows of a customer: where it stands, and the instant up
// to which its deadlines were fired.
func (t *takeover) told(s *store.Store, id string) (lifecycle.Standing, instant.Instant, error) {
	home := t.homes.of([]byte(id))
	lane := store.Lane{Generation: t.lanes[0].Generation, Lane: home}
	fired := instant.None
	if rec, ran := t.before.lanes[home]; ran {
		fired = rec.Watermark
	}
	none := lifecycle.Standing{Frontier: instant.None}
	value, known, err := s.Get(lane, byte(mailbox.StateCustomer), []byte(id), nil)
	if err != nil || !known {
		return none, fired, err
	}
	due, encoded, err := mailbox.DecodeCustomer(value)
	if err != nil {
		return none, fired, fmt.Errorf("generation %d: %w", t.before.cfg.Generation, err)
	}
	state, lineage := new(lifecycle.State), t.before.lineage(home)
	version, err := lineage.Decode(encoded, state)
	if err != nil {
		return none, fired, fmt.Errorf("decode a customer of generation %d: %w", t.before.cfg.Generation, err)
	}
	if due != instant.None && due <= fired {
		fired = instant.None // it stopped in a wave, before this one's turn
	}
	return lineage.Model(version).Standing(state), fired, nil // what has been told
}

// takeOver takes over some of the lane's customers; more reports whether some are left.
func (f *fold) takeOver(l *lane) (more bool, err error) {
	t := l.takeover
	if err := l.flush(0, 0); err != nil { // so that the store has them all
		return false, err
	}
	ids, more, err := t.next(l, f.homes, f.cfg.Wave)
	if err != nil {
		return false, err
	}
	detected := f.detected(l.clock.Watermark())
	for _, id := range ids {
		before, fired, err := t.told(l.store, id)
		if err != nil {
			return false, err
		}
		c, err := l.find([]byte(id))
		if err != nil {
			return false, err
		}
		for {
			due := l.model.Due(c.state)
			if due == instant.None || due > fired {
				break
			}
			f.step.Reset()
			l.model.Advance(c.state, c.id, fired, detected, &f.step)
			f.stepped(l, c)
		}
		f.step.Reset()
		t.live.Succeed(c.state, c.id, &before, detected, &f.step)
		f.stepped(l, c)
		t.cursor = id
	}
	if more {
		f.note(l, mailbox.StateTakeover, "", f.out.keep([]byte(t.cursor)))
		return true, nil
	}
	if t.committed != "" {
		f.note(l, mailbox.StateTakeover, "", nil)
	}
	t.finished = true
	return true, nil // deadlines may be due
}

// commit and rollback follow the lane's.
func (t *takeover) commit(l *lane) {
	if t == nil {
		return
	}
	t.committed = t.cursor
	if t.finished {
		l.takeover, l.model = nil, t.live
		l.defs.lineage = lifecycle.NewLineage(t.live)
		l.defsBefore = l.defs
	}
}

func (t *takeover) rollback() {
	if t != nil {
		t.cursor, t.finished = t.committed, false
	}
}
