// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/schemas/topics"
	"lapwing/stream/lifecycle"
)

// Application is a definition that follows, or has followed, the live one.
type Application struct {
	// Former is the version that was live; the same as Version if there was nothing to do.
	Former, Version int64
	// At is the lanes' clock from which it is live; instant.None: from where they read it.
	At instant.Instant

	live *base
}

// Apply has a definition follow the live one: in one transaction it is written to every
// lane's mailbox and to the definitions topic. at is the lanes' clock from which it is live;
// instant.None: from where the lanes read it. What then happens is the workers' to do, and
// survives whoever dies; Wait tells how far it is. Applying what is live already does
// nothing.
func Apply(ctx context.Context, cfg Config, def *definition.Definition, deps Deps, at instant.Instant) (*Application, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("check the stream's configuration: %w", err)
	}
	deps.fill()
	next, err := compile(def)
	if err != nil {
		return nil, err
	}
	client, err := newApplier(ctx, &cfg, &deps)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	of, err := liveOrigin(ctx, &cfg, &deps)
	if err != nil {
		return nil, err
	}
	cfg.Generation = of.Generation
	live, err := openBase(ctx, &cfg, &deps, of)
	if err != nil {
		return nil, err
	}
	if err := live.admits(def); err != nil {
		return nil, err
	}
	a := &Application{Former: live.def.Version, Version: def.Version, At: at, live: live}
	if a.Former == a.Version {
		return a, nil
	}
	if now := instant.Of(deps.Now()); live.def.Clock == ClockWall && at != instant.None && (at < now || at > now.Add(maxAhead)) {
		return nil, fmt.Errorf("%w: %s, and it is %s; without one it is live at once", ErrNotThen, at, now)
	}
	was, err := live.model()
	if err != nil {
		return nil, err
	}
	if err := lifecycle.NewCarrier(was, next).Fits(); err != nil {
		return nil, err
	}
	records, err := live.succession(def, instant.Of(deps.Now()), at)
	if err != nil {
		return nil, err
	}
	if err := inOne(ctx, client, records...); err != nil {
		return nil, fmt.Errorf("put version %d of %s live: %w", def.Version, def.Name.Value, overtaken(err))
	}
	deps.Log.Info("definition applied", zap.String("definition", def.Name.Value), zap.Int64("definition_version", def.Version))
	return a, nil
}

// newApplier is the one client that may change what is live under a prefix, be it by a
// definition or by a switch to another generation. Asking for the producer's id ends whoever
// has begun before: what is read afterwards stands until that client's transaction, or its
// transaction fails.
func newApplier(ctx context.Context, cfg *Config, deps *Deps) (*kgo.Client, error) {
	client, err := kgo.NewClient(append(clientOpts(cfg, deps, cfg.member("", 0)+"-apply"),
		kgo.TransactionalID(cfg.Group+"-apply"), kgo.TransactionTimeout(cfg.TransactionTimeout),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(topics.LargeMessageBytes))...)
	if err != nil {
		return nil, fmt.Errorf("create client: %w", err)
	}
	if _, _, err := client.ProducerID(ctx); err != nil {
		client.Close()
		return nil, fmt.Errorf("ask for the id of the producer that changes what is live: %w", err)
	}
	return client, nil
}

// inOne writes the records in one transaction.
func inOne(ctx context.Context, client *kgo.Client, records ...*kgo.Record) error {
	if err := client.BeginTransaction(); err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return errors.Join(fmt.Errorf("write to topic %s: %w", records[0].Topic, err), client.EndTransaction(context.WithoutCancel(ctx), kgo.TryAbort))
	}
	// Not given up half-way: whether it is live must be known.
	if err := client.EndTransaction(context.WithoutCancel(ctx), kgo.TryCommit); err != nil {
		return fmt.Errorf("commit, which may have been done: repeat the command to see: %w", err)
	}
	return nil
}

// maxAhead is how long a definition may wait for its instant.
const maxAhead = 366 * 24 * time.Hour

var (
	// ErrNotThen says that no definition can be put live at that instant.
	ErrNotThen = errors.New("the instant lies in the past, or more than a year ahead")
	// ErrOvertaken says that somebody else has begun to change what is live.
	ErrOvertaken = errors.New("somebody else has begun to apply a definition, or to switch, meanwhile: do it again, which says what is live by then")
)

// overtaken says in plain words what becomes of the first of two that change what is live
// at once.
func overtaken(err error) error {
	if errors.Is(err, kerr.InvalidProducerEpoch) || errors.Is(err, kerr.ProducerFenced) {
		return fmt.Errorf("%w (%w)", ErrOvertaken, err)
	}
	return err
}

// succession is the records by which def follows.
func (b *base) succession(def *definition.Definition, now, at instant.Instant) ([]*kgo.Record, error) {
	activated := at
	if at == instant.None {
		activated = now
	}
	next := newActivation(def, activated)
	next.Clock, next.Lanes, next.FirstActivatedAt = b.def.Clock, b.cfg.Lanes, b.def.firstActivated()
	if at != instant.None { // it finds this one, and what else waits, in its mailbox
		next.BeginsWith = cmp.Or(b.def.BeginsWith, b.def.Source)
	}
	record, err := next.record(&b.cfg)
	if err != nil {
		return nil, err
	}
	record.Topic = b.cfg.topic(topics.Definitions)
	records := []*kgo.Record{record}
	e := mailbox.Envelope{Kind: mailbox.Definition, Position: def.Version, At: at}
	for lane := range b.cfg.Lanes {
		records = append(records, &kgo.Record{
			Topic: b.cfg.topic(topics.Mailbox), Partition: lane, Key: []byte(def.Name.Value), Value: def.Source,
			Headers: []kgo.RecordHeader{{Key: generationHeader, Value: []byte(generationText(&b.cfg))}, {Key: mailbox.Header, Value: e.Append(nil)}},
		})
	}
	return records, nil
}

// Succeeding is how far the lanes are in following a definition.
type Succeeding struct {
	Lanes     int   // of the generation
	Followed  int   // lanes that take events in under it
	Done      int   // lanes all of whose customers have been brought over
	Customers int64 // of the lanes that follow
	Left      int64 // of them, those still to be brought over
}

// Wait waits until every lane has followed and brought all its customers over (nil), or
// ctx ends (its cause). report is called about once a second.
func (a *Application) Wait(ctx context.Context, report func(Succeeding)) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if err := a.live.refresh(ctx); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
		now := a.progress()
		report(now)
		if now.Done == now.Lanes {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// progress is what the lanes' records say.
func (a *Application) progress() Succeeding {
	s := Succeeding{Lanes: int(a.live.cfg.Lanes)}
	for _, rec := range a.live.lanes {
		if rec.Version < a.Version {
			continue
		}
		s.Followed++
		s.Customers += rec.Customers
		s.Left += rec.Left
		if len(rec.Former) == 0 {
			s.Done++
		}
	}
	return s
}
