// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/bits-and-blooms/bloom/v3"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/schemas/topics"
	"lapwing/stream/aggregate"
	"lapwing/stream/lifecycle"
	"lapwing/stream/store"
)

// Errors that need a human; a Worker that meets one stops.
var (
	// ErrPositions: the group's offsets and the changelog do not belong together.
	ErrPositions = errors.New("the group's offsets and the state topic disagree")
	// ErrOtherDefinition: a lane's states were made by another definition.
	ErrOtherDefinition = errors.New("the state belongs to another definition")
	// ErrTruncated: the changelog has lost its beginning.
	ErrTruncated = errors.New("the state topic has lost its beginning")
)

// halting reports whether err is one that going on from the last commit cannot heal.
func halting(err error) bool {
	for _, known := range []error{
		ErrPositions, ErrOtherDefinition, ErrDefinitionChanged, ErrNotUnderstood, ErrLanes, ErrNotLive, ErrTruncated, ErrInputGone, store.ErrFailed, store.ErrCorrupt,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// restorer brings lanes to the state that belongs to the group's offsets.
type restorer struct {
	cfg     *Config
	deps    *Deps
	model   *lifecycle.Model // of the definition file
	live    *lifecycle.Model // of the definition that lanes begin with
	metrics *metrics
	status  *status
	store   *store.Store
	// definitions are all that this process has met.
	definitions *catalogue
	holders     *holders
	// turns bounds how many lanes are restored at once: the rest wait, those that are
	// done go on.
	turns chan struct{}
	// activatedAt is the publish_from of a lane that never ran, if nothing else is set.
	activatedAt instant.Instant
	role        role
	bounds      *bounds // of a shadow
	inputs      *inputs

	opening chan struct{} // of size one: who holds it may use before
	before  *predecessor
}

// changelog is what the cluster says of the state topic.
type changelog struct {
	topic [16]byte // its id
	// tombstones is how long it keeps them: a local store that is behind by longer may
	// hold customers that were erased.
	tombstones time.Duration
}

// restore brings one lane to the last commit. committed are the group's offsets, read
// stably before; one below zero was never committed and is replaced by where the
// partition begins. On success the caller holds the lane.
func (r *restorer) restore(ctx context.Context, id store.Lane, committed map[string]kgo.EpochOffset, starts kadm.ListedOffsets) (l *lane, err error) {
	if id.Lane >= r.cfg.Lanes { // before the watch has found out
		return nil, raised(r.cfg, slices.Min(slices.Collect(maps.Keys(committed))), id.Lane+1)
	}
	if err := r.holders.acquire(ctx, id); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			r.holders.release(id)
		}
	}()
	select {
	case r.turns <- struct{}{}:
		defer func() { <-r.turns }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if err := checkLive(ctx, r.cfg, r.deps); err != nil {
		return nil, err
	}
	begin := time.Now()
	at, err := r.catchUp(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("restore lane %d from topic %s: %w", id.Lane, r.cfg.topic(topics.State), err)
	}
	l, err = r.load(id, committed, starts)
	if err != nil {
		return nil, fmt.Errorf("restore lane %d: %w", id.Lane, err)
	}
	l.seen = at.seen
	l.behind.topic, l.behind.nextOffset, l.behind.marked = at.topic, at.next, at.next
	if err := r.startTakeover(ctx, l); err != nil {
		return nil, fmt.Errorf("take lane %d over from generation %d: %w", id.Lane, r.role.from.Generation, err)
	}
	took := time.Since(begin)
	r.metrics.restore.Observe(took.Seconds())
	r.deps.Log.Info("lane restored", zap.Int32("lane", id.Lane), zap.Int64("records", at.read), zap.Int64("next_offset", at.next), zap.Duration("took", took))
	return l, nil
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

// seenHashes is how many bits of the filter a customer sets: of some ten that there are
// for each, four mistake one in a hundred.
const seenHashes = 4

// restoreBatch is how much is written to the local store at a time.
const restoreBatch = 1 << 20

// progressEvery is how often a long restore says how far it has come.
const progressEvery = 5 * time.Second

// caughtUp is how far a lane's local store is after a restore.
type caughtUp struct {
	topic [16]byte           // the state topic's id
	next  int64              // offset
	read  int64              // records
	seen  *bloom.BloomFilter // see lane
}

// catchUp brings the lane's local store to the end of its changelog.
func (r *restorer) catchUp(ctx context.Context, id store.Lane) (at caughtUp, err error) {
	topic := r.cfg.topic(topics.State)
	log := r.deps.Log.With(zap.Int32("lane", id.Lane))
	tail, err := openTail(ctx, r.cfg, r.deps, topic, kgo.WithPools(r.deps.pool))
	if err != nil {
		return at, err
	}
	defer tail.close()
	begins, ends, err := tail.span(id.Lane)
	if err != nil {
		return at, err
	}
	// Now, and behind the end: a process may be older than the topic.
	changelog, err := describeChangelog(ctx, tail.client, topic)
	if err != nil {
		return at, err
	}
	mark, known, err := r.store.Mark(id)
	if err != nil {
		return at, err
	}
	wipe := func(why string) error {
		log.Warn("the lane's local store is thrown away and restored anew", zap.String("because", why), zap.Int64("next_offset", mark.NextOffset))
		mark, known = store.Mark{}, false
		return r.store.Wipe(id)
	}
	if known && mark.Topic != changelog.topic {
		if err := wipe("it belongs to another state topic"); err != nil {
			return at, err
		}
	}
	age := instant.Of(time.Now()).Time().Sub(mark.At.Time())
	switch {
	case known && mark.NextOffset > ends:
		err = wipe("it is ahead of the state topic")
	case known && mark.NextOffset < ends && age > changelog.tombstones:
		err = wipe("it is older than the state topic's delete.retention.ms")
	}
	if err != nil {
		return at, err
	}
	if begins > mark.NextOffset {
		return at, fmt.Errorf("partition %d begins at offset %d, the local store ends at %d: %w: "+
			"restore the topic from a backup, or run another generation, which computes from the beginning", id.Lane, begins, mark.NextOffset, ErrTruncated)
	}
	at = caughtUp{topic: changelog.topic, next: ends}
	if !known {
		at.seen = bloom.New(r.cfg.seenBits(), seenHashes)
	}
	if mark.NextOffset >= ends {
		return at, nil
	}
	r.status.progress(id.Lane, mark.NextOffset, ends)
	next := mark.NextOffset
	batch := r.store.Batch(id)
	defer func() { _ = batch.Close() }() // after a commit it is a new one
	said := time.Now()
	write := func() error {
		if err := batch.Commit(store.Mark{NextOffset: next, Topic: changelog.topic, At: instant.Of(time.Now())}); err != nil {
			return err
		}
		batch = r.store.Batch(id)
		r.status.progress(id.Lane, next, ends)
		if time.Since(said) >= progressEvery {
			said = time.Now()
			log.Info("restoring lane", zap.Int64("next_offset", next), zap.Int64("end_offset", ends), zap.Int64("records", at.read))
		}
		return nil
	}
	err = tail.read(ctx, map[int32]int64{id.Lane: mark.NextOffset}, func(rec *kgo.Record) error {
		kind, generation, rest, err := mailbox.DecodeStateKey(rec.Key)
		if err != nil {
			return fmt.Errorf("partition %d offset %d: %w", rec.Partition, rec.Offset, err)
		}
		if generation != r.cfg.Generation {
			return nil
		}
		at.read++
		next = rec.Offset + 1
		if err := batch.Put(byte(kind), rest, rec.Value); err != nil {
			return err
		}
		if kind == mailbox.StateCustomer && rec.Value != nil {
			if at.seen != nil {
				at.seen.Add(rest)
			}
			// An earlier deadline of the customer stays in the index; it is passed over,
			// and taken out, when its time comes.
			due, _, err := mailbox.DecodeCustomer(rec.Value)
			if err != nil {
				return fmt.Errorf("partition %d offset %d: %w", rec.Partition, rec.Offset, err)
			}
			if due != instant.None {
				if err := batch.SetDeadline(store.Deadline{At: due, ID: string(rest)}); err != nil {
					return err
				}
			}
		}
		if batch.Bytes() >= restoreBatch {
			return write()
		}
		return nil
	})
	if err != nil {
		return at, err
	}
	next = ends
	if err := write(); err != nil {
		return at, err
	}
	return at, nil
}

// load builds the lane from the local store and checks it against the group's offsets.
func (r *restorer) load(id store.Lane, committed map[string]kgo.EpochOffset, starts kadm.ListedOffsets) (*lane, error) {
	l := &lane{
		id: id, store: r.store,
		cache:      newCache(),
		due:        newDueIndex(),
		totals:     aggregate.New(r.live.Definition(), id.Lane),
		positions:  map[string]position{},
		unread:     map[string]int64{},
		reads:      map[string]*reading{},
		behind:     writeBehind{notes: map[noteKey]*note{}, now: time.Now},
		configured: r.inputs.sources(id.Lane),
		bounds:     r.bounds,
		hold:       map[string]*holding{},
	}
	lookup := func(kind mailbox.StateKind, fn func(id, value []byte) error) error {
		return r.store.Each(id, byte(kind), fn)
	}
	err := lookup(mailbox.StateAggregate, func(key, value []byte) error { return l.totals.Restore(key, value) })
	l.settings.committed.Since, l.settings.committed.Closed = instant.None, instant.None
	if err == nil {
		err = lookup(mailbox.StateSettings, func(_, value []byte) error { return l.settings.load(value) })
	}
	if err == nil {
		err = lookup(mailbox.StateLane, func(_, value []byte) (err error) {
			l.committed = slices.Clone(value)
			l.record, err = mailbox.DecodeLane(value)
			return err
		})
	}
	if err != nil {
		return nil, err
	}
	if err := r.check(l, committed); err != nil {
		return nil, err
	}
	for topic, o := range committed {
		p := position{nextOffset: o.Offset, epoch: o.Epoch}
		if o.Offset < 0 {
			s, ok := starts.Lookup(topic, id.Lane)
			if !ok {
				return nil, fmt.Errorf("find where partition %d of topic %s begins: the broker did not say", id.Lane, topic)
			}
			p = position{nextOffset: s.Offset, epoch: -1}
		}
		l.positions[topic] = p
	}
	if l.committed == nil {
		l.record.PublishFrom = r.publishFrom()
		def := r.live.Definition()
		l.record.Definition, l.record.Version, l.record.Hash = def.Name.Value, def.Version, def.Hash
	} else {
		if l.record.Customers < 0 { // of a version that did not count them
			l.record.Customers = 0
			if err := lookup(mailbox.StateCustomer, func(_, _ []byte) error { l.record.Customers++; return nil }); err != nil {
				return nil, err
			}
		}
	}
	if err := r.succession(l); err != nil {
		return nil, err
	}
	if l.committed != nil {
		l.totals.RestoreMeta(settled(&l.record), l.settings.committed.Closed, l.record.TooLate)
	}
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
	if rec, name := &l.record, r.live.Definition().Name.Value; rec.Definition != name {
		return fmt.Errorf("the lane's customers were computed by %s, this is %s: %w: run that definition, or another generation, which computes from the beginning",
			rec.Definition, name, ErrOtherDefinition)
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
	if r.role.shadowOf != nil || r.role.from != nil {
		return shadowing // until it takes over
	}
	return r.publishFromOfItsOwn()
}

func (r *restorer) publishFromOfItsOwn() instant.Instant {
	if at, set, err := r.cfg.publishFrom(); err == nil && set {
		return at
	}
	if at := r.live.Definition().PublishFrom; at != instant.None {
		return at
	}
	return r.activatedAt
}

// succession finds the lane's definitions.
func (r *restorer) succession(l *lane) error {
	versions, err := r.definitions.read(r.store, l.id)
	if err != nil {
		return err
	}
	rec := &l.record
	lineage, err := r.definitions.lineage(rec)
	if err != nil {
		return err
	}
	l.model = lineage.Newest()
	l.totals.Redefine(l.model.Definition())
	l.defs = succession{
		lineage: lineage, since: instant.None, former: rec.Former, waiting: rec.Waiting, left: rec.Left, sweptTo: rec.SweptTo,
		saved: versions[rec.Version], committed: true,
	}
	if len(rec.Former) > 0 {
		l.defs.since = rec.Since
	}
	l.defsBefore = l.defs
	for _, w := range rec.Waiting {
		if r.definitions.known(w.Hash) == nil {
			return fmt.Errorf("version %d of %s (hash %.12s), which is to follow, is not in the state topic: %w", w.Version, rec.Definition, w.Hash, ErrOtherDefinition)
		}
	}
	return nil
}

// describeChangelog asks the cluster for the state topic's id and how long it keeps
// tombstones.
func describeChangelog(ctx context.Context, client *kgo.Client, topic string) (c changelog, err error) {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = kmsg.StringPtr(topic)
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, client)
	if err == nil && len(resp.Topics) == 1 {
		err = kerr.ErrorForCode(resp.Topics[0].ErrorCode)
	}
	if err != nil {
		return c, fmt.Errorf("describe topic %s: %w", topic, err)
	}
	if len(resp.Topics) != 1 {
		return c, fmt.Errorf("describe topic %s: the broker did not say", topic)
	}
	c.topic, c.tombstones = resp.Topics[0].TopicID, defaultTombstones
	configs, err := kadm.NewClient(client).DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return c, fmt.Errorf("describe topic %s: %w", topic, err)
	}
	for _, rc := range configs {
		for _, kv := range rc.Configs {
			if ms, err := strconv.ParseInt(kv.MaybeValue(), 10, 64); kv.Key == "delete.retention.ms" && err == nil {
				c.tombstones = time.Duration(ms) * time.Millisecond
			}
		}
	}
	return c, nil
}

// defaultTombstones is Kafka's own delete.retention.ms.
const defaultTombstones = 24 * time.Hour
