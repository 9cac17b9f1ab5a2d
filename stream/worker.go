// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/stream/lifecycle"
	"lapwing/stream/store"
)

// Worker computes the lanes that the group gives to its slots.
type Worker struct {
	cfg      Config
	deps     Deps
	model    *lifecycle.Model
	metrics  *metrics
	status   *status
	inputs   *inputs
	restorer *restorer
	reporter *reporter
	desk     desk
}

// NewWorker checks the configuration and compiles the definition. It starts nothing.
func NewWorker(cfg Config, def *definition.Definition, deps Deps) (*Worker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("check the stream's configuration: %w", err)
	}
	deps.fill()
	deps.pool.limit = cfg.poolBytes()
	deps.Log = deps.Log.Named("stream")
	model, err := compile(def)
	if err != nil {
		return nil, err
	}
	w := &Worker{cfg: cfg, deps: deps, model: model, metrics: newMetrics(deps.Registerer), status: newStatus(cfg.Slots)}
	w.inputs = newInputs(&w.cfg)
	w.desk.cfg = &w.cfg
	w.reporter = newReporter("stream", &w.cfg, &w.deps, w.metrics, w.status.restores)
	w.restorer = &restorer{
		inputs: w.inputs, cfg: &w.cfg, deps: &w.deps, model: model, live: model, definitions: newCatalogue(model), metrics: w.metrics, status: w.status, holders: newHolders(),
		turns: make(chan struct{}, restoreTurns), opening: make(chan struct{}, 1),
	}
	return w, nil
}

// compile compiles a definition that has been parsed.
func compile(def *definition.Definition) (*lifecycle.Model, error) {
	model, problems := lifecycle.Compile(def)
	if model != nil {
		return model, nil
	}
	var all []error
	for _, p := range problems {
		if !p.Warning {
			all = append(all, fmt.Errorf("%s:%d:%d: %s", def.File, p.Pos.Line, p.Pos.Column, p.Message))
		}
	}
	return nil, fmt.Errorf("compile definition: %w", errors.Join(all...))
}

// restoreTurns is how many lanes are restored at a time.
const restoreTurns = 2

// Run creates what topics are missing, puts the definition live and computes until
// ctx ends (nil) or a human is needed. What was begun when ctx ends is committed
// first. A Worker runs once.
func (w *Worker) Run(ctx context.Context) error {
	defer w.status.stopped()
	for {
		if err := patiently(ctx, w.deps.Log, w.prepare); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		err := w.runSlots(ctx)
		if errors.Is(err, errPromoted) && ctx.Err() == nil {
			continue // live from now on
		}
		if !errors.Is(err, store.ErrCorrupt) || ctx.Err() != nil {
			return err
		}
		// What was read is not what was written: nothing of it is used any more.
		w.deps.Log.Warn("the local store is damaged and is restored from the state topic", zap.String("dir", w.cfg.StateDir), zap.Error(err))
		if err := store.Remove(w.cfg.StateDir); err != nil {
			return err
		}
	}
}

func (w *Worker) prepare(ctx context.Context) error {
	client, err := kgo.NewClient(clientOpts(&w.cfg, &w.deps, w.cfg.member("", 0)+"-setup")...)
	if err != nil {
		return fmt.Errorf("create client: %w", err)
	}
	defer client.Close()
	if err := EnsureTopics(ctx, client, &w.cfg); err != nil {
		return fmt.Errorf("prepare topics: %w", err)
	}
	counts, err := partitionCounts(ctx, client, &w.cfg)
	if err != nil {
		return err
	}
	w.inputs.learn(counts)
	ctx, cancel := context.WithTimeout(ctx, activationTimeout)
	defer cancel()
	if w.restorer.role, err = findRole(ctx, &w.cfg, &w.deps); err != nil {
		return err
	}
	w.restorer.bounds, w.restorer.before = nil, nil
	if w.restorer.role.shadowOf != nil {
		w.restorer.bounds = &bounds{lanes: w.cfg.Lanes}
	}
	w.deps.Log.Info("the generation's role", zap.Uint32("generation", w.cfg.Generation), zap.Stringer("role", w.restorer.role))
	live, err := activate(ctx, &w.cfg, &w.deps, w.model.Definition(), w.restorer.role)
	if err != nil {
		return err
	}
	if w.restorer.activatedAt, err = live.since(); err != nil {
		return err
	}
	if w.restorer.live, err = w.restorer.definitions.compile(live.Name, []byte(live.Source)); err == nil && live.BeginsWith != "" {
		w.restorer.live, err = w.restorer.definitions.compile(live.Name, []byte(live.BeginsWith))
	}
	return err
}

// runSlots opens the local store and runs the slots over it.
func (w *Worker) runSlots(ctx context.Context) (err error) {
	s, err := store.Open(w.cfg.StateDir, store.Options{Memory: w.cfg.storeMemory(), Log: w.deps.Log.Named("store")})
	if err != nil {
		return err
	}
	defer func() {
		if e := s.Close(); e != nil && err == nil {
			err = e
		}
	}()
	w.restorer.store, w.restorer.holders = s, newHolders()
	if err := w.restorer.forget(); err != nil {
		return err
	}
	client, err := kgo.NewClient(clientOpts(&w.cfg, &w.deps, w.cfg.member("", 0)+"-locator")...)
	if err != nil {
		return fmt.Errorf("create client: %w", err)
	}
	defer client.Close()
	w.desk.use(kadm.NewClient(client))
	defer w.desk.use(nil)
	group, ctx := errgroup.WithContext(ctx)
	slots := make([]*slot, w.cfg.Slots)
	for num := range slots {
		slots[num] = &slot{w: w, num: num, log: w.deps.Log.With(zap.Int("slot", num))}
	}
	w.desk.open(slots)
	defer w.desk.close()
	for _, s := range slots {
		group.Go(func() error { return s.run(ctx) })
	}
	if of := w.restorer.role.shadowOf; of != nil {
		group.Go(func() error { return w.restorer.bounds.follow(ctx, &w.cfg, &w.deps, *of) })
	}
	group.Go(func() error { return w.keepStore(ctx, s) })
	group.Go(func() error { return w.watch(ctx) })
	group.Go(func() error { return w.trim(ctx) })
	group.Go(func() error { return watchInputs(ctx, w.deps.Log, &w.cfg, &w.deps, w.metrics, w.cfg.keyed()) })
	group.Go(func() error { w.reporter.run(ctx); return nil })
	return group.Wait()
}

// keepStore brings what is in the store's memory to disk now and then, so that a
// crash leaves little to be read again, and says how large it is.
func (w *Worker) keepStore(ctx context.Context, s *store.Store) error {
	tick := time.NewTicker(storeFlushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := s.Flush(); err != nil {
			return err
		}
		w.metrics.stateBytes.WithLabelValues("", "disk").Set(float64(s.DiskBytes()))
	}
}

const storeFlushEvery = 15 * time.Second

// Ready reports whether every lane that this process was given has been restored and
// is no further behind than the configuration allows.
func (w *Worker) Ready() bool { return len(w.Waiting()) == 0 }

// Waiting says what Ready waits for, a line each.
func (w *Worker) Waiting() []string { return w.status.waiting(w.cfg.ReadyLag) }

// WaitUntil waits until every lane is owned by this process, has committed all
// deadlines up to at, and its clock stands there or later. It is for a process that
// runs alone.
func (w *Worker) WaitUntil(ctx context.Context, at instant.Instant) error {
	return w.status.wait(ctx, int(w.cfg.Lanes), at)
}

// Watermarks is where the committed clocks of the lanes of this process stand;
// instant.None for a lane whose sources were not all heard from.
func (w *Worker) Watermarks() map[int32]instant.Instant { return w.status.watermarks() }

// keepGoing runs session again and again, with a growing pause, until ctx ends (nil)
// or an error stands that a new session cannot heal.
func keepGoing(ctx context.Context, log *zap.Logger, m *metrics, role string, session func(context.Context) error) error {
	pause := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(100*time.Millisecond), backoff.WithMaxInterval(10*time.Second),
		backoff.WithMaxElapsedTime(0), // for ever: Kafka comes back
	)
	for {
		began := time.Now()
		err := session(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			err = errors.New("the session ended by itself")
		case halting(err):
			return err
		case fencedForGood(err):
			return fmt.Errorf("another process runs under the same instance name: give each its own: %w", err)
		}
		m.rebuilds.WithLabelValues(role).Inc()
		if time.Since(began) > time.Minute {
			pause.Reset()
		}
		wait := pause.NextBackOff()
		log.Warn("session broke, going on from the last commit", zap.Error(err), zap.Duration("after", wait))
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}
