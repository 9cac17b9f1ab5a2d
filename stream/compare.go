// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/stream/lifecycle"
	"lapwing/stream/store"
)

// Comparison is what differs between a generation and the live one. Both are looked at
// as of the live one's clock; where they stand in the input is in Progress.
type Comparison struct {
	Progress Progress
	// Both, OnlyLive and OnlyNew are customers in both, or in one of the two alone.
	Both, OnlyLive, OnlyNew int64
	Models                  []StageComparison // by name
	Segments                []SegmentComparison
	Differing               int64        // customers in both that differ in a stage or segment
	Sample                  []Difference // some of those that differ, or are in one alone
}

// StageComparison counts a model's customers by stage, in the live generation and in
// the new one; Agree of those in both are in the same stage.
type StageComparison struct {
	Model     string
	Agree     int64
	Live, New map[string]int64
}

// SegmentComparison counts a segment's customers.
type SegmentComparison struct {
	Segment          string
	Agree, Live, New int64 // Agree: those in both
}

// Difference is one customer in whom the generations differ: a line per model or
// segment.
type Difference struct {
	Customer string
	What     []string
}

// Compare compares the generation with the live one, customer by customer. It reads the
// changelogs of both into a store in dir, which is emptied lane by lane; sample is how
// many differing customers to name.
func (r *Rebuild) Compare(ctx context.Context, dir string, sample int, report func(lane, lanes int32)) (*Comparison, error) {
	of, err := r.shadow(ctx)
	if err != nil {
		return nil, err
	}
	s, err := store.Open(dir, store.Options{Memory: r.cfg.storeMemory(), Log: r.deps.Log.Named("store")})
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }() // it is thrown away
	m := newMetrics(r.deps.Registerer)
	live, err := openPredecessor(ctx, &r.cfg, &r.deps, of, s, m)
	if err != nil {
		return nil, err
	}
	own, err := openPredecessor(ctx, &r.cfg, &r.deps, r.cfg.origin(), s, m)
	if err != nil {
		return nil, fmt.Errorf("start `lapwing rebuild` first: %w", err)
	}
	end, err := live.cut(ctx)
	if err != nil {
		return nil, err
	}
	p, err := r.progress(ctx, end, of.Generation)
	if err != nil {
		return nil, err
	}
	c := &comparer{
		out: Comparison{Progress: *p}, sample: sample, live: live, own: own, homes: newHomes(live.cfg.Lanes),
		models: map[string]*StageComparison{}, segments: map[string]*SegmentComparison{},
	}
	same := live.cfg.Lanes == own.cfg.Lanes
	read := func(p *predecessor, lane int32) (store.Lane, error) {
		id := store.Lane{Generation: p.cfg.Generation, Lane: lane}
		if p == live {
			id.Generation |= baseRange
		}
		_, err := p.read(ctx, id)
		return id, err
	}
	if !same {
		for lane := range live.cfg.Lanes {
			if _, err := read(live, lane); err != nil {
				return nil, err
			}
		}
	}
	for lane := range own.cfg.Lanes {
		report(lane, own.cfg.Lanes)
		ours, err := read(own, lane)
		if err != nil {
			return nil, err
		}
		t := &takeover{before: live, homes: c.homes}
		for l := range live.cfg.Lanes {
			id := store.Lane{Generation: live.cfg.Generation | baseRange, Lane: l}
			if same && l != lane {
				continue
			}
			if same {
				if _, err := read(live, l); err != nil {
					return nil, err
				}
			}
			t.lanes = append(t.lanes, id)
		}
		if err := c.lane(s, ours, t); err != nil {
			return nil, err
		}
		if err := s.Wipe(ours); err != nil {
			return nil, err
		}
	}
	report(own.cfg.Lanes, own.cfg.Lanes)
	return c.result(), nil
}

type comparer struct {
	out       Comparison
	sample    int
	live, own *predecessor
	homes     *homes
	models    map[string]*StageComparison
	segments  map[string]*SegmentComparison
}

const compareChunk = 4096

// lane compares the customers of one of our lanes.
func (c *comparer) lane(s *store.Store, ours store.Lane, t *takeover) error {
	home := newHomes(c.own.cfg.Lanes)
	for {
		ids, more, err := t.next(&lane{id: ours, store: s}, home, compareChunk)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := c.customer(s, ours, id); err != nil {
				return err
			}
			t.cursor = id
		}
		if !more {
			return nil
		}
	}
}

// stands is where a generation has the customer, once all deadlines up to at are fired.
func (c *comparer) stands(s *store.Store, p *predecessor, lane store.Lane, id string, at instant.Instant) (lifecycle.Standing, bool, error) {
	value, ok, err := s.Get(lane, byte(mailbox.StateCustomer), []byte(id), nil)
	if err != nil || !ok {
		return lifecycle.Standing{}, false, err
	}
	_, encoded, err := mailbox.DecodeCustomer(value)
	if err != nil {
		return lifecycle.Standing{}, false, fmt.Errorf("generation %d: %w", p.cfg.Generation, err)
	}
	state, lineage := new(lifecycle.State), p.lineage(lane.Lane)
	version, err := lineage.Decode(encoded, state)
	if err != nil {
		return lifecycle.Standing{}, false, fmt.Errorf("decode a customer of generation %d: %w", p.cfg.Generation, err)
	}
	var out lifecycle.Output
	state = lineage.Bring(version, state, id, at, &out)
	model := lineage.Newest()
	for due := model.Due(state); due != instant.None && due <= at; due = model.Due(state) {
		out.Reset()
		model.Advance(state, id, at, at, &out)
	}
	return model.Standing(state), state.Begun(), nil
}

func (c *comparer) customer(s *store.Store, ours store.Lane, id string) error {
	home := c.homes.of([]byte(id))
	at := instant.None
	if rec, ran := c.live.lanes[home]; ran {
		at = rec.Watermark
	}
	was, inLive, err := c.stands(s, c.live, store.Lane{Generation: c.live.cfg.Generation | baseRange, Lane: home}, id, at)
	if err != nil {
		return err
	}
	is, inOwn, err := c.stands(s, c.own, ours, id, at)
	if err != nil {
		return err
	}
	var what []string
	switch {
	case inLive && inOwn:
		c.out.Both++
	case inLive:
		c.out.OnlyLive++
		what = append(what, fmt.Sprintf("only in generation %d", c.live.cfg.Generation))
	case inOwn:
		c.out.OnlyNew++
		what = append(what, fmt.Sprintf("only in generation %d", c.own.cfg.Generation))
	default:
		return nil
	}
	differ := c.count(&was, &is)
	if inLive && inOwn {
		what = differ
		if len(differ) > 0 {
			c.out.Differing++
		}
	}
	if len(what) > 0 && len(c.out.Sample) < c.sample {
		c.out.Sample = append(c.out.Sample, Difference{Customer: id, What: what})
	}
	return nil
}

// count adds a customer to the counts and says in what it differs.
func (c *comparer) count(was, is *lifecycle.Standing) (what []string) {
	stages := map[string][2]string{}
	for _, m := range was.Models {
		stages[m.Model] = [2]string{m.Stage, ""}
	}
	for _, m := range is.Models {
		stages[m.Model] = [2]string{stages[m.Model][0], m.Stage}
	}
	for _, name := range slices.Sorted(maps.Keys(stages)) {
		if stages[name] == [2]string{} {
			continue // a model that neither has any more
		}
		m := c.models[name]
		if m == nil {
			m = &StageComparison{Model: name, Live: map[string]int64{}, New: map[string]int64{}}
			c.models[name] = m
		}
		old, now := stages[name][0], stages[name][1]
		if old != "" {
			m.Live[old]++
		}
		if now != "" {
			m.New[now]++
		}
		if old == now {
			m.Agree++
			continue
		}
		what = append(what, fmt.Sprintf("%s: %s, now %s", name, cmp.Or(old, "none"), cmp.Or(now, "none")))
	}
	segments := map[string][2]bool{}
	for _, s := range was.Segments {
		segments[s.Segment] = [2]bool{s.In, false}
	}
	for _, s := range is.Segments {
		segments[s.Segment] = [2]bool{segments[s.Segment][0], s.In}
	}
	for _, name := range slices.Sorted(maps.Keys(segments)) {
		s := c.segments[name]
		if s == nil {
			s = &SegmentComparison{Segment: name}
			c.segments[name] = s
		}
		switch in := segments[name]; {
		case in[0] && in[1]:
			s.Agree, s.Live, s.New = s.Agree+1, s.Live+1, s.New+1
		case in[0]:
			s.Live++
			what = append(what, "segment "+name+": in it, now not")
		case in[1]:
			s.New++
			what = append(what, "segment "+name+": not in it, now in")
		}
	}
	return what
}

func (c *comparer) result() *Comparison {
	for _, name := range slices.Sorted(maps.Keys(c.models)) {
		c.out.Models = append(c.out.Models, *c.models[name])
	}
	for _, name := range slices.Sorted(maps.Keys(c.segments)) {
		c.out.Segments = append(c.out.Segments, *c.segments[name])
	}
	return &c.out
}

// Equal reports whether no customer differs.
func (c *Comparison) Equal() bool { return c.OnlyLive+c.OnlyNew+c.Differing == 0 }
