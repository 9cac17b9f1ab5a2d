// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/stream/lifecycle"
)

// Worker computes the lanes that the group gives to its slots.
type Worker struct {
	cfg      Config
	deps     Deps
	model    *lifecycle.Model
	metrics  *metrics
	status   *status
	restorer *restorer
}

// NewWorker checks the configuration and compiles the definition. It starts nothing.
func NewWorker(cfg Config, def *definition.Definition, deps Deps) (*Worker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("check the stream's configuration: %w", err)
	}
	deps.fill()
	deps.Log = deps.Log.Named("stream")
	model, problems := lifecycle.Compile(def)
	if model == nil {
		var all []error
		for _, p := range problems {
			if !p.Warning {
				all = append(all, fmt.Errorf("%s:%d:%d: %s", def.File, p.Pos.Line, p.Pos.Column, p.Message))
			}
		}
		return nil, fmt.Errorf("compile definition: %w", errors.Join(all...))
	}
	w := &Worker{cfg: cfg, deps: deps, model: model, metrics: newMetrics(deps.Registerer), status: newStatus(cfg.Slots)}
	w.restorer = &restorer{
		cfg: &w.cfg, deps: &w.deps, model: model, store: newMemory(), holders: newHolders(),
		models: map[instant.Instant]*lifecycle.Model{},
	}
	return w, nil
}

// Run creates what topics are missing, puts the definition live and computes until
// ctx ends (nil) or a human is needed. What was begun when ctx ends is committed
// first. A Worker runs once.
func (w *Worker) Run(ctx context.Context) error {
	if err := w.prepare(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for num := range w.cfg.Slots {
		s := &slot{w: w, num: num, log: w.deps.Log.With(zap.Int("slot", num))}
		group.Go(func() error { return s.run(ctx) })
	}
	err := group.Wait()
	w.status.stopped()
	return err
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
	if w.restorer.partitions, err = partitionCounts(ctx, client, &w.cfg); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, activationTimeout)
	defer cancel()
	w.restorer.activatedAt, err = activate(ctx, &w.cfg, &w.deps, w.model.Definition())
	return err
}

// Ready reports whether every slot has restored the lanes it was given.
func (w *Worker) Ready() bool { return w.status.ready() }

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
