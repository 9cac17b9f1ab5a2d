// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/schemas/topics"
	"lapwing/stream/aggregate"
	"lapwing/stream/lifecycle"
)

// Errors that need a human; a Worker that meets one stops.
var (
	// ErrPositions: the group's offsets and the changelog do not belong together.
	ErrPositions = errors.New("the group's offsets and the state topic disagree")
	// ErrOtherDefinition: a lane's states were made by another definition.
	ErrOtherDefinition = errors.New("the state belongs to another definition")
)

// halting reports whether err is one that going on from the last commit cannot heal.
func halting(err error) bool {
	return errors.Is(err, ErrPositions) || errors.Is(err, ErrOtherDefinition) || errors.Is(err, ErrDefinitionChanged)
}

// restorer brings lanes to the state that belongs to the group's offsets.
type restorer struct {
	cfg     *Config
	deps    *Deps
	model   *lifecycle.Model
	store   store
	holders *holders
	// activatedAt is the publish_from of a lane that never ran, if nothing else is set.
	activatedAt instant.Instant
	// counts of the partitions of routed inputs
	partitions map[string]int32

	mu     sync.Mutex
	models map[instant.Instant]*lifecycle.Model // by publish_from
}

// restore brings lanes to the last commit. offsets are the group's, read stably
// before: a position below zero is one that was never committed, and is replaced by
// where the partition begins. On success the caller holds all lanes.
func (r *restorer) restore(ctx context.Context, client *kgo.Client, offsets map[string]map[int32]kgo.Offset) (lanes []*lane, err error) {
	begin := time.Now()
	starts, err := r.startOffsets(ctx, client, offsets)
	if err != nil {
		return nil, err
	}
	byLane := map[int32]map[string]kgo.EpochOffset{}
	for topic, partitions := range offsets {
		for p, o := range partitions {
			if byLane[p] == nil {
				byLane[p] = map[string]kgo.EpochOffset{}
			}
			byLane[p][topic] = o.EpochOffset()
		}
	}
	ids := make([]laneID, 0, len(byLane))
	for p := range byLane {
		ids = append(ids, laneID{generation: r.cfg.Generation, lane: p})
	}
	slices.SortFunc(ids, func(a, b laneID) int { return cmp.Compare(a.lane, b.lane) }) // two slots never wait for each other in a ring
	var held []laneID
	defer func() {
		if err != nil {
			for _, id := range held {
				r.holders.release(id)
			}
		}
	}()
	for _, id := range ids {
		if err := r.holders.acquire(ctx, id); err != nil {
			return nil, err
		}
		held = append(held, id)
	}
	if err := r.catchUp(ctx, ids); err != nil {
		return nil, fmt.Errorf("restore lanes from topic %s: %w", r.cfg.topic(topics.State), err)
	}
	for _, id := range ids {
		l, err := r.load(id, byLane[id.lane], starts)
		if err != nil {
			return nil, fmt.Errorf("restore lane %d: %w", id.lane, err)
		}
		lanes = append(lanes, l)
	}
	r.deps.Log.Info("lanes restored", zap.Int("lanes", len(lanes)), zap.Duration("took", time.Since(begin)))
	return lanes, nil
}

// startOffsets are where the partitions without a committed position begin.
func (r *restorer) startOffsets(ctx context.Context, client *kgo.Client, offsets map[string]map[int32]kgo.Offset) (kadm.ListedOffsets, error) {
	var names []string
	for topic, partitions := range offsets {
		for _, o := range partitions {
			if o.EpochOffset().Offset < 0 {
				names = append(names, topic)
				break
			}
		}
	}
	if len(names) == 0 {
		return nil, nil //nolint:nilnil // an empty map reads the same
	}
	starts, err := kadm.NewClient(client).ListStartOffsets(ctx, names...)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("find where partitions begin: %w", err)
	}
	return starts, nil
}

// catchUp brings the local store to the end of the changelog.
func (r *restorer) catchUp(ctx context.Context, ids []laneID) error {
	topic := r.cfg.topic(topics.State)
	from := map[int32]int64{}
	for _, id := range ids {
		next, err := r.store.position(id)
		if err != nil {
			return err
		}
		from[id.lane] = next
	}
	const batchWrites = 4096
	batches := map[int32][]write{}
	next := map[int32]int64{}
	flush := func(lane int32) error {
		id := laneID{generation: r.cfg.Generation, lane: lane}
		err := r.store.apply(id, batches[lane], next[lane])
		batches[lane] = batches[lane][:0]
		return err
	}
	err := readToEnd(ctx, r.cfg, r.deps, topic, from, func(rec *kgo.Record) error {
		_, generation, _, err := mailbox.DecodeStateKey(rec.Key)
		if err != nil {
			return fmt.Errorf("partition %d offset %d: %w", rec.Partition, rec.Offset, err)
		}
		if generation != r.cfg.Generation {
			return nil
		}
		p := rec.Partition
		batches[p] = append(batches[p], write{key: string(rec.Key), value: rec.Value})
		next[p] = rec.Offset + 1
		if len(batches[p]) >= batchWrites {
			return flush(p)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for lane := range batches {
		if err := flush(lane); err != nil {
			return err
		}
	}
	return nil
}

// load builds the lane from the local store and checks it against the group's offsets.
func (r *restorer) load(id laneID, committed map[string]kgo.EpochOffset, starts kadm.ListedOffsets) (*lane, error) {
	l := &lane{
		id: id, store: r.store,
		customers:  map[string]*customer{},
		totals:     aggregate.New(r.model.Definition(), id.lane),
		positions:  map[string]position{},
		configured: r.cfg.sources(id.lane, r.partitions),
	}
	err := r.store.each(id, func(key string, value []byte) error {
		kind, _, rest, err := mailbox.DecodeStateKey([]byte(key))
		if err != nil {
			return err
		}
		switch kind {
		case mailbox.StateCustomer:
			due, _, err := mailbox.DecodeCustomer(value)
			if err != nil {
				return err
			}
			c := &customer{id: string(rest), due: instant.None, place: -1, stored: true}
			l.customers[c.id] = c
			l.due.set(c, due)
		case mailbox.StateAggregate:
			return l.totals.Restore(rest, value)
		case mailbox.StateLane:
			l.committed = slices.Clone(value)
			l.record, err = mailbox.DecodeLane(value)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := r.check(l, committed); err != nil {
		return nil, err
	}
	for topic, o := range committed {
		p := position{nextOffset: o.Offset, epoch: o.Epoch}
		if o.Offset < 0 {
			s, ok := starts.Lookup(topic, id.lane)
			if !ok {
				return nil, fmt.Errorf("find where partition %d of topic %s begins: the broker did not say", id.lane, topic)
			}
			p = position{nextOffset: s.Offset, epoch: -1}
		}
		l.positions[topic] = p
	}
	def := r.model.Definition()
	if l.committed == nil {
		l.record.PublishFrom = r.publishFrom()
	} else {
		l.totals.RestoreMeta(l.record.ClosedUntil, l.record.TooLate)
	}
	l.record.Definition, l.record.Version, l.record.Hash = def.Name.Value, def.Version, def.Hash
	l.model = r.publishing(l.record.PublishFrom)
	l.resetToPositions()
	return l, nil
}

// resetToPositions makes the positions at hand those of the last commit.
func (l *lane) resetToPositions() {
	l.record.Positions = nil
	for topic, p := range l.positions {
		l.record.Positions = append(l.record.Positions, mailbox.Position{Topic: topic, NextOffset: p.nextOffset})
	}
	l.resetToRecord()
}

// check refuses a changelog that does not belong to the group's offsets: starting
// anyway would count everything twice, or leave a gap.
func (r *restorer) check(l *lane, committed map[string]kgo.EpochOffset) error {
	if l.committed == nil {
		for topic, o := range committed {
			if o.Offset >= 0 {
				return fmt.Errorf("group %s has read topic %s up to %d, but topic %s knows nothing of the lane: %w: "+
					"restore that topic, or run another generation, which reads from the beginning",
					r.cfg.workerGroup(), topic, o.Offset, r.cfg.topic(topics.State), ErrPositions)
			}
		}
		return nil
	}
	def := r.model.Definition()
	if rec := &l.record; rec.Definition != def.Name.Value || rec.Hash != def.Hash {
		return fmt.Errorf("the lane's customers were computed by %s version %d (hash %.12s), this is %s version %d (hash %.12s): %w: "+
			"run the earlier definition, or another generation, which computes from the beginning",
			rec.Definition, rec.Version, rec.Hash, def.Name.Value, def.Version, def.Hash, ErrOtherDefinition)
	}
	for _, p := range l.record.Positions {
		o, reads := committed[p.Topic]
		if !reads { // an input that was taken out
			continue
		}
		if o.Offset != p.NextOffset {
			return fmt.Errorf("group %s stands at %d of topic %s, the state at %d: %w: "+
				"set the group's offset to the state's (a group that is empty for long loses its offsets), or run another generation",
				r.cfg.workerGroup(), o.Offset, p.Topic, p.NextOffset, ErrPositions)
		}
	}
	return nil
}

// publishFrom is that of a lane that never ran.
func (r *restorer) publishFrom() instant.Instant {
	if at, set, err := r.cfg.publishFrom(); err == nil && set {
		return at
	}
	if at := r.model.Definition().PublishFrom; at != instant.None {
		return at
	}
	return r.activatedAt
}

// publishing is the model with publish_from set, one for all lanes that share it.
func (r *restorer) publishing(from instant.Instant) *lifecycle.Model {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.models[from]
	if m == nil {
		m = r.model.PublishingFrom(from)
		r.models[from] = m
	}
	return m
}
