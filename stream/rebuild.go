// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/schemas/topics"
)

var (
	// ErrUndelivered says that events which the live generation has read, or a definition
	// that was applied to it, have not come to all lanes yet.
	ErrUndelivered = errors.New("they are on their way")
	// ErrLive says that a generation is the live one.
	ErrLive = errors.New("the generation is live")
)

// Rebuild computes a generation beside the one that is live, and puts it into its
// place. What it has done is in the topics: whatever breaks off is done on by calling
// it again, from any machine. Its methods are for one goroutine.
type Rebuild struct {
	cfg  Config
	def  *definition.Definition
	deps Deps
}

// NewRebuild checks the configuration, whose generation is the one to be computed. It
// starts nothing. A service of the same configuration may run beside it: it has a name
// and a folder of its own.
func NewRebuild(cfg Config, def *definition.Definition, deps Deps) (*Rebuild, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("check the stream's configuration: %w", err)
	}
	deps.fill()
	cfg.Instance += "-rebuild"
	if cfg.StateDir != "" {
		cfg.StateDir = filepath.Join(cfg.StateDir, "rebuild")
	}
	return &Rebuild{cfg: cfg, def: def, deps: deps}, nil
}

// LiveGeneration is the number of the generation that is live under the prefix of the
// configuration; 0 if none is. settled is false while lanes of it are still taking over
// from the one before.
func LiveGeneration(ctx context.Context, cfg Config, deps Deps) (number uint32, settled bool, err error) {
	deps.fill()
	all, err := readGenerations(ctx, &cfg, &deps)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return 0, false, nil // nothing has run there
	}
	if err != nil {
		return 0, false, err
	}
	live, _ := all.live()
	return live.Generation, live.TakenOver, nil
}

// Progress is how far a generation has come in its inputs.
type Progress struct {
	Generation, Live uint32
	Sources          []SourceProgress // by topic and partition
	// TakingOver is how many lanes are not live yet, while the place is being taken.
	TakingOver int
}

// SourceProgress is one partition of an input: the next offsets of the generation and
// of the live one, and where the partition begins and ends.
type SourceProgress struct {
	Topic                      string
	Partition                  int32
	Start, Position, Live, End int64
}

// Left is how many records are left until the generation is where the live one is.
func (p *Progress) Left() (records int64) {
	for _, s := range p.Sources {
		records += max(0, s.Live-s.Position)
	}
	return records
}

// Done is how many records have been taken in.
func (p *Progress) Done() (records int64) {
	for _, s := range p.Sources {
		records += max(0, s.Position-s.Start)
	}
	return records
}

// Behind is how many records each of the two generations is from the inputs' ends.
func (p *Progress) Behind() (generation, live int64) {
	for _, s := range p.Sources {
		generation += max(0, s.End-s.Position)
		live += max(0, s.End-s.Live)
	}
	return generation, live
}

// lookEvery is how often the progress is looked at.
const lookEvery = time.Second

// recent is how old the live generation's positions may be for one that has reached
// them to have caught up: it runs on, so the newest are never reached.
const recent = 15 * time.Second

// Run computes the generation, as a shadow, until it has caught up with the live one
// (nil) or ctx ends (its cause). Nothing of it is public. report is called about once
// a second.
func (r *Rebuild) Run(ctx context.Context, report func(Progress)) error {
	if err := r.ensure(ctx); err != nil {
		return err
	}
	of, err := r.shadow(ctx)
	if err != nil {
		return err
	}
	live, err := r.open(ctx, of)
	if err != nil {
		return err
	}
	var goal *cut
	var since time.Time
	return r.compute(ctx, func(ctx context.Context) (bool, error) {
		now, err := live.cut(ctx)
		if err != nil {
			return false, err
		}
		p, err := r.progress(ctx, now, of.Generation)
		if err != nil {
			return false, err
		}
		report(*p)
		if goal == nil {
			goal, since = now, time.Now()
		}
		if reached, err := r.reached(ctx, p, goal); err != nil || !reached {
			return false, err
		}
		if time.Since(since) <= recent {
			return true, nil
		}
		goal, since = now, time.Now()
		return false, nil
	})
}

// shadow is the generation beside which this one is computed.
func (r *Rebuild) shadow(ctx context.Context) (Origin, error) {
	all, err := readGenerations(ctx, &r.cfg, &r.deps)
	if err != nil {
		return Origin{}, err
	}
	role, err := all.role(&r.cfg)
	switch {
	case err != nil:
		return Origin{}, err
	case role.first:
		return Origin{}, fmt.Errorf("no generation is live under %s: %w: start the service, there is nothing to rebuild", r.cfg.Prefix, ErrNeverRan)
	case role.shadowOf == nil:
		return Origin{}, fmt.Errorf("generation %d of %s: %w: set the next one", r.cfg.Generation, r.cfg.Prefix, ErrLive)
	}
	return *role.shadowOf, nil
}

// ensure creates the topics that are missing: under another prefix that is all of them.
func (r *Rebuild) ensure(ctx context.Context) error {
	client, err := kgo.NewClient(clientOpts(&r.cfg, &r.deps, r.cfg.member("", 0)+"-setup")...)
	if err != nil {
		return fmt.Errorf("create client: %w", err)
	}
	defer client.Close()
	if err := EnsureTopics(ctx, client, &r.cfg); err != nil {
		return fmt.Errorf("prepare topics: %w", err)
	}
	return nil
}

// open opens the live generation, which must have run.
func (r *Rebuild) open(ctx context.Context, of Origin) (*base, error) {
	live, err := openBase(ctx, &r.cfg, &r.deps, of)
	if err != nil {
		return nil, err
	}
	_, err = live.cut(ctx)
	return live, err
}

// compute runs a worker and a router until done says so (nil), or something ends them.
func (r *Rebuild) compute(ctx context.Context, done func(context.Context) (bool, error)) error {
	worker, err := NewWorker(r.cfg, r.def, r.deps)
	if err != nil {
		return err
	}
	router, err := NewRouter(r.cfg, r.deps)
	if err != nil {
		return err
	}
	errDone := errors.New("done")
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error { return worker.Run(gctx) })
	group.Go(func() error { return router.Run(gctx) })
	group.Go(func() error {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			select {
			case <-gctx.Done():
				return nil
			case <-tick.C:
			}
			switch is, err := done(gctx); {
			case gctx.Err() != nil:
				return nil
			case err != nil:
				r.deps.Log.Warn("the progress is unknown", zap.Error(err))
			case is:
				return errDone
			}
		}
	})
	if err := group.Wait(); !errors.Is(err, errDone) {
		if err == nil {
			err = context.Cause(ctx)
		}
		return err
	}
	return nil
}

// progress asks where the generation stands beside the live one.
func (r *Rebuild) progress(ctx context.Context, live *cut, number uint32) (*Progress, error) {
	client, err := kgo.NewClient(clientOpts(&r.cfg, &r.deps, r.cfg.member("", 0)+"-progress")...)
	if err != nil {
		return nil, fmt.Errorf("create client: %w", err)
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	at := map[mailbox.Source]int64{}
	for _, group := range []string{r.cfg.workerGroup(), r.cfg.routerGroup()} {
		offsets, err := committedOffsets(ctx, adm, group)
		if err != nil {
			return nil, err
		}
		offsets.Each(func(o kadm.OffsetResponse) {
			src := mailbox.Source{Topic: o.Topic, Partition: o.Partition}
			at[src] = max(at[src], o.At)
		})
	}
	starts, ends, err := inputSpans(ctx, adm, &r.cfg)
	if err != nil {
		return nil, err
	}
	p := &Progress{Generation: r.cfg.Generation, Live: number}
	for _, end := range ends.Offsets().Sorted() {
		src := mailbox.Source{Topic: end.Topic, Partition: end.Partition}
		start, _ := starts.Lookup(src.Topic, src.Partition) // both were asked for
		p.Sources = append(p.Sources, SourceProgress{
			Topic: src.Topic, Partition: src.Partition, Start: start.Offset, End: end.At,
			Position: max(at[src], start.Offset), Live: max(live.positions[src], start.Offset),
		})
	}
	return p, nil
}

// inputSpans is where the partitions of all inputs begin and end.
func inputSpans(ctx context.Context, adm *kadm.Client, cfg *Config) (starts, ends kadm.ListedOffsets, err error) {
	inputs := append(cfg.keyed(), cfg.routed()...)
	starts, err = adm.ListStartOffsets(ctx, inputs...)
	if err == nil {
		err = starts.Error()
	}
	if err == nil {
		ends, err = adm.ListEndOffsets(ctx, inputs...)
	}
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("find where the inputs begin and end: %w", err)
	}
	return starts, ends, nil
}

// reached reports whether the generation has taken in all that the cut says.
func (r *Rebuild) reached(ctx context.Context, p *Progress, goal *cut) (bool, error) {
	for _, s := range p.Sources {
		if s.Position < goal.positions[mailbox.Source{Topic: s.Topic, Partition: s.Partition}] {
			return false, nil
		}
	}
	n, _, err := undelivered(ctx, &r.cfg, &r.deps) // no definition is applied to a shadow
	return n == 0, err
}

// Switch puts the generation into the place of the live one, which must have no
// members: it brings it to where that one has ended, makes it the live one, and has its
// lanes take over. From the moment it is live, the other one can run no more. Nothing
// is told twice and nothing left out. Customers in which the two differ are told, with
// cause definition. Afterwards the service may be started with the new configuration;
// it may also run already, as a shadow.
func (r *Rebuild) Switch(ctx context.Context, report func(Progress)) error {
	if err := r.ensure(ctx); err != nil {
		return err
	}
	all, err := readGenerations(ctx, &r.cfg, &r.deps)
	if err != nil {
		return err
	}
	switch live, _ := all.live(); {
	case live.Generation != r.cfg.Generation:
		if err := r.promote(ctx, report); err != nil {
			return err
		}
	case live.TakenOver:
		return fmt.Errorf("generation %d of %s: %w: there is nothing to switch to", r.cfg.Generation, r.cfg.Prefix, ErrLive)
	}
	return r.finish(ctx, report)
}

// promote makes the generation live.
func (r *Rebuild) promote(ctx context.Context, report func(Progress)) error {
	of, err := r.shadow(ctx)
	if err != nil {
		return err
	}
	live, err := r.open(ctx, of)
	if err != nil {
		return err
	}
	release, err := occupy(ctx, &live.cfg, live.deps)
	if err != nil {
		return err
	}
	defer release()
	// From here on whoever applies a definition ends this switch, and what was applied is read.
	client, err := newApplier(ctx, &live.cfg, live.deps)
	if err != nil {
		return err
	}
	defer client.Close()
	if live, err = r.open(ctx, of); err != nil {
		return err
	}
	if err := replaces(&live.def, r.def, r.cfg.Generation); err != nil {
		return err
	}
	if err := delivered(ctx, live); err != nil {
		return err
	}
	end, err := live.cut(ctx)
	if err != nil {
		return err
	}
	err = r.compute(ctx, func(ctx context.Context) (bool, error) {
		p, err := r.progress(ctx, end, of.Generation)
		if err != nil {
			return false, err
		}
		report(*p)
		return r.reached(ctx, p, end)
	})
	if err != nil {
		return err
	}
	since := instant.Of(r.deps.Now()).String()
	now := generationRecord{Generation: r.cfg.Generation, State: generationLive, Since: since, From: &of}
	record, err := now.record(&r.cfg)
	if err != nil {
		return err
	}
	records := []*kgo.Record{record}
	if of.Prefix != r.cfg.Prefix {
		by := r.cfg.origin()
		ended := generationRecord{Generation: of.Generation, State: generationEnded, Since: since, By: &by}
		record, err := ended.record(&live.cfg)
		if err != nil {
			return err
		}
		records = append(records, record)
	}
	if err := inOne(ctx, client, records...); err != nil {
		return fmt.Errorf("make generation %d live: %w", r.cfg.Generation, overtaken(err))
	}
	return nil
}

// delivered refuses a generation whose lanes have yet to read what is told to them.
func delivered(ctx context.Context, live *base) error {
	events, definitions, err := undelivered(ctx, &live.cfg, live.deps)
	if err != nil {
		return err
	}
	var what string
	switch {
	case events > 0:
		what = fmt.Sprintf("%d events that generation %d has read", events, live.cfg.Generation)
	case definitions > 0:
		what = fmt.Sprintf("%d copies of definitions that were applied to generation %d", definitions, live.cfg.Generation)
	default:
		return nil
	}
	return fmt.Errorf("%s lie in %s: %w: start its workers again, without a router (--role stream), "+
		"stop them a moment later, and switch again", what, live.cfg.topic(topics.Mailbox), ErrUndelivered)
}

// finish has every lane take over, and notes that they have.
func (r *Rebuild) finish(ctx context.Context, report func(Progress)) error {
	own, err := openBase(ctx, &r.cfg, &r.deps, r.cfg.origin())
	if err != nil {
		return err
	}
	left := func(ctx context.Context) (int, error) {
		if err := own.refresh(ctx); err != nil {
			return 0, err
		}
		n := 0
		for lane := range r.cfg.Lanes {
			if rec, ran := own.lanes[lane]; !ran || rec.PublishFrom == shadowing {
				n++
			}
		}
		return n, nil
	}
	err = r.compute(ctx, func(ctx context.Context) (bool, error) {
		n, err := left(ctx)
		if err == nil {
			report(Progress{Generation: r.cfg.Generation, Live: r.cfg.Generation, TakingOver: n})
		}
		return n == 0, err
	})
	if err != nil {
		return err
	}
	all, err := readGenerations(ctx, &r.cfg, &r.deps)
	if err != nil {
		return err
	}
	rec := all[r.cfg.Generation]
	rec.TakenOver = true
	return writeGeneration(ctx, &r.cfg, &r.deps, rec)
}
