// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/schemas/topics"
	"lapwing/stream/lifecycle"
)

// ErrNeverRan says that a generation has no state: nothing can follow or be compared.
var ErrNeverRan = errors.New("the generation has never run")

// base is another generation as it stands in the topics: that which a shadow follows,
// and whose place it takes. It belongs to one goroutine.
type base struct {
	cfg  Config // ours, with its names, generation and lanes
	deps *Deps
	def  activation
	// known are the definitions of all generations under its prefix.
	known map[string]activation

	lanes   map[int32]mailbox.Lane // the newest lane records
	scanned map[int32]int64        // the changelog has been looked through up to here
}

// openBase finds the generation's definition and the number of its lanes.
func openBase(ctx context.Context, cfg *Config, deps *Deps, origin Origin) (*base, error) {
	b := &base{cfg: *cfg, deps: deps, lanes: map[int32]mailbox.Lane{}, scanned: map[int32]int64{}}
	b.cfg.Prefix, b.cfg.Group, b.cfg.Generation, b.cfg.From = origin.Prefix, origin.Group, origin.Generation, Origin{}
	var err error
	if b.known, err = readDefinitions(ctx, &b.cfg, deps); err != nil {
		return nil, err
	}
	found := false
	for _, a := range b.known {
		if a.generation == generationText(&b.cfg) && (!found || a.Version > b.def.Version) {
			b.def, found = a, true
		}
	}
	if !found {
		return nil, fmt.Errorf("topic %s has no definition of generation %d: %w", b.cfg.topic(topics.Definitions), origin.Generation, ErrNeverRan)
	}
	if b.def.Lanes != 0 {
		b.cfg.Lanes = b.def.Lanes
	}
	return b, nil
}

// model compiles the generation's own definition.
func (b *base) model() (*lifecycle.Model, error) {
	def, problems := definition.Parse(b.def.Name, []byte(b.def.Source))
	var model *lifecycle.Model
	if def != nil {
		var more []definition.Problem
		model, more = lifecycle.Compile(def)
		problems = append(problems, more...)
	}
	if model == nil {
		return nil, fmt.Errorf("compile the definition of generation %d, %s version %d: %v", b.cfg.Generation, b.def.Name, b.def.Version, problems)
	}
	return model, nil
}

// refresh finds the newest lane records. Of a generation that runs they stand near the
// end of the changelog; so it is looked through from there, in growing steps, back to
// where the last look ended.
func (b *base) refresh(ctx context.Context) error {
	done, ends := map[int32]bool{}, map[int32]int64{}
	for back := int64(scanBack); len(done) < int(b.cfg.Lanes); back *= 16 {
		if err := b.scan(ctx, back, done, ends); err != nil {
			return fmt.Errorf("find where generation %d stands: %w", b.cfg.Generation, err)
		}
	}
	for lane, end := range ends {
		b.scanned[lane] = end
	}
	return nil
}

// scanBack is how many records of a partition are looked through at first.
const scanBack = 1000

func (b *base) scan(ctx context.Context, back int64, done map[int32]bool, ends map[int32]int64) error {
	t, err := openTail(ctx, &b.cfg, b.deps, b.cfg.topic(topics.State))
	if err != nil {
		return err
	}
	defer t.close()
	from, all := map[int32]int64{}, map[int32]bool{}
	for lane := range b.cfg.Lanes {
		if done[lane] {
			continue
		}
		begins, end, err := t.span(lane)
		if err != nil {
			return err
		}
		if _, first := ends[lane]; !first {
			ends[lane] = end // what comes later is for the next look
		}
		least := max(begins, b.scanned[lane])
		from[lane] = max(least, end-back)
		all[lane] = from[lane] == least
	}
	if len(from) == 0 {
		return nil
	}
	err = t.read(ctx, from, func(r *kgo.Record) error {
		kind, generation, _, err := mailbox.DecodeStateKey(r.Key)
		if err != nil || kind != mailbox.StateLane || generation != b.cfg.Generation || r.Value == nil {
			return err
		}
		rec, err := mailbox.DecodeLane(r.Value)
		if err != nil {
			return fmt.Errorf("partition %d offset %d: %w", r.Partition, r.Offset, err)
		}
		b.lanes[r.Partition], done[r.Partition] = rec, true
		return nil
	})
	for lane := range all {
		if all[lane] {
			done[lane] = true
		}
	}
	return err
}

// cut is how far a generation has come: which input it has taken in, and up to which
// instant it has fired all deadlines.
type cut struct {
	positions map[mailbox.Source]int64 // next offsets
	topics    map[string]bool          // the inputs it reads
	lanes     int32
	settled   map[int32]instant.Instant // by lane
}

// cut asks how far the generation has committed. What its router has committed may
// still be on its way to its lanes: see undelivered.
func (b *base) cut(ctx context.Context) (*cut, error) {
	if err := b.refresh(ctx); err != nil {
		return nil, err
	}
	if len(b.lanes) == 0 {
		return nil, fmt.Errorf("topic %s knows nothing of generation %d: %w", b.cfg.topic(topics.State), b.cfg.Generation, ErrNeverRan)
	}
	c := &cut{positions: map[mailbox.Source]int64{}, topics: map[string]bool{}, lanes: b.cfg.Lanes, settled: map[int32]instant.Instant{}}
	for lane := range b.cfg.Lanes {
		c.settled[lane] = instant.None
	}
	for lane, rec := range b.lanes {
		c.settled[lane] = settled(&rec)
		for _, p := range rec.Positions {
			if p.Topic != b.cfg.topic(topics.Mailbox) {
				c.topics[p.Topic] = true
				c.positions[mailbox.Source{Topic: p.Topic, Partition: lane}] = p.NextOffset
			}
		}
	}
	client, err := kgo.NewClient(clientOpts(&b.cfg, b.deps, b.cfg.member("", 0)+"-follow")...)
	if err != nil {
		return nil, fmt.Errorf("create client: %w", err)
	}
	defer client.Close()
	routed, err := committedOffsets(ctx, kadm.NewClient(client), b.cfg.routerGroup())
	if err != nil {
		return nil, err
	}
	routed.Each(func(o kadm.OffsetResponse) {
		if o.At >= 0 {
			c.topics[o.Topic] = true
			src := mailbox.Source{Topic: o.Topic, Partition: o.Partition}
			c.positions[src] = max(c.positions[src], o.At) // it may have been keyed once
		}
	})
	return c, nil
}

// settled is the instant up to which a lane has fired all deadlines: totals close only
// once they are fired.
func settled(rec *mailbox.Lane) instant.Instant {
	if rec.ClosedUntil == instant.None {
		return instant.None
	}
	return rec.ClosedUntil.Add(definition.DefaultCloseAfter)
}

// committedOffsets are those of a group; none if there is no such group.
func committedOffsets(ctx context.Context, adm *kadm.Client, group string) (kadm.OffsetResponses, error) {
	offsets, err := adm.FetchOffsets(ctx, group)
	if err == nil {
		err = offsets.Error()
	}
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil, nil //nolint:nilnil // an empty map reads the same
	}
	if err != nil {
		return nil, fmt.Errorf("fetch the positions of group %s: %w", group, err)
	}
	return offsets, nil
}

// undelivered is how many events of the generation, and how many copies of definitions that
// follow, lie in the mailbox that its lanes have not taken in.
func undelivered(ctx context.Context, cfg *Config, deps *Deps) (events, definitions int64, err error) {
	client, err := kgo.NewClient(clientOpts(cfg, deps, cfg.member("", 0)+"-undelivered")...)
	if err != nil {
		return 0, 0, fmt.Errorf("create client: %w", err)
	}
	defer client.Close()
	name := cfg.topic(topics.Mailbox)
	offsets, err := committedOffsets(ctx, kadm.NewClient(client), cfg.workerGroup())
	if err != nil {
		return 0, 0, err
	}
	from := map[int32]int64{}
	for lane := range cfg.Lanes {
		from[lane] = 0
		if o, ok := offsets.Lookup(name, lane); ok && o.At > 0 {
			from[lane] = o.At
		}
	}
	generation := generationText(cfg)
	err = readToEnd(ctx, cfg, deps, name, from, func(r *kgo.Record) error {
		ours, kind := false, mailbox.Kind(0)
		for _, h := range r.Headers {
			switch h.Key {
			case generationHeader:
				ours = string(h.Value) == generation
			case mailbox.Header:
				if e, err := mailbox.DecodeEnvelope(h.Value); err == nil {
					kind = e.Kind
				}
			}
		}
		switch {
		case ours && kind == mailbox.Event:
			events++
		case ours && kind == mailbox.Definition:
			definitions++
		}
		return nil
	})
	if err != nil {
		return 0, 0, fmt.Errorf("read topic %s: %w", name, err)
	}
	return events, definitions, nil
}
