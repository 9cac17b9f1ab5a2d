// SPDX-License-Identifier: Apache-2.0

// Package sink carries Lapwing's topics into ClickHouse.
//
// It reads committed records only, in a consumer group of its own, collects them
// into batches (sink/batch), inserts these (sink/writer) and commits the offsets
// afterwards, several batches beside each other, whose offsets are committed in order.
// So a crash at any point repeats inserts and loses none, and the tables are such that
// a repeat changes nothing (schemas/clickhouse). ClickHouse being away stops the sink
// and nothing else: it holds a few batches and what the Kafka client has fetched, polls
// no more, and catches up by itself.
//
// See DESIGN.md for what was chosen and why.
package sink

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kzap"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"lapwing/sink/batch"
	"lapwing/sink/migrate"
	"lapwing/sink/writer"
)

// Deps are what a Sink is given.
type Deps struct {
	Log        *zap.Logger
	Registerer prometheus.Registerer
	// KafkaOpts are added to the client's own (dialer, TLS, SASL).
	KafkaOpts []kgo.Opt
	// ClickHouse is the pool to insert with; the caller closes it.
	ClickHouse driver.Conn
}

// Sink is one member of the group. Run it once.
type Sink struct {
	cfg       Config
	log       *zap.Logger
	conn      driver.Conn
	kafkaOpts []kgo.Opt
	writer    *writer.Writer
	metrics   *metrics
	written   progress
	pace      pace
	ready     atomic.Bool
	first     first
	flight    *flight
	slots     *semaphore.Weighted
	// tenure is the present one. The client's callback replaces it when partitions are
	// taken away; the loop drops what it read under an older one.
	tenure atomic.Pointer[tenure]
}

// New returns a Sink that has not started anything.
func New(cfg Config, deps Deps) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Log == nil || deps.Registerer == nil || deps.ClickHouse == nil {
		return nil, errors.New("sink: a logger, a registerer and a ClickHouse connection are needed")
	}
	s := &Sink{
		cfg: cfg, log: deps.Log.Named("sink"), conn: deps.ClickHouse, kafkaOpts: deps.KafkaOpts,
		slots: semaphore.NewWeighted(int64(cfg.Batch.InFlight)),
	}
	var err error
	if s.metrics, err = newMetrics(deps.Registerer, func() float64 { return s.flight.oldest(time.Now()).Seconds() }, func() float64 { return float64(s.writer.Retrying()) }); err != nil {
		return nil, err
	}
	s.flight = newFlight(s.metrics)
	s.written.init()
	s.first.init()
	s.writer = writer.New(deps.ClickHouse, cfg.writer(), s.log, s.hooks())
	return s, nil
}

// Ready reports whether the schema is in place and the group has been joined.
func (s *Sink) Ready() bool { return s.ready.Load() }

// errLost ends an insert whose partitions were taken away in the meantime.
var errLost = errors.New("partitions were taken away")

// Run reads and writes until ctx ends, which is no error, or until a person has to
// look. When it returns everything it started has stopped.
func (s *Sink) Run(ctx context.Context) error {
	if err := s.schema(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	// What is on its way may end after ctx, for a short time.
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	work, running := errgroup.WithContext(running)
	s.tenure.Store(newTenure(running))
	client, err := kgo.NewClient(s.options(running)...)
	if err != nil {
		return fmt.Errorf("create Kafka client: %w", err)
	}
	defer client.CloseAllowingRebalance()
	defer s.ready.Store(false)
	following, stop := context.WithCancel(ctx)
	var follower sync.WaitGroup
	follower.Go(func() { s.showGeneration(following) })
	follower.Go(func() { s.compareOften(following) })
	follower.Go(func() { s.countCustomers(following, client) })
	follower.Go(func() { s.newKeeper(client).run(following) })
	// The loop ends with ctx, or when a batch has met what only a person can end.
	polling, cancelPolling := context.WithCancel(ctx)
	defer context.AfterFunc(running, cancelPolling)()
	err = s.loop(polling, client, work)
	cancelPolling()
	if err == nil {
		s.settle(running)
	}
	cancel()
	err = errors.Join(err, work.Wait())
	stop()
	follower.Wait()
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return nil
	}
	return err
}

// schema brings the database to this binary's schema, or checks that it is there, and
// that nobody has changed it, however long ClickHouse is away.
func (s *Sink) schema(ctx context.Context) error {
	m, err := migrate.New(s.conn, s.cfg.Layout(), s.log)
	if err != nil {
		return err
	}
	return s.writer.Retry(ctx, "prepare the schema", func(ctx context.Context) error {
		if err := s.migrate(ctx, m); err != nil {
			if errors.Is(err, migrate.ErrChanged) || errors.Is(err, migrate.ErrNewer) || errors.Is(err, migrate.ErrLayout) || errors.Is(err, errPending) {
				return writer.Fatal(err)
			}
			return err
		}
		if err := s.drift(ctx, m); err != nil {
			return err
		}
		return s.firstGeneration(ctx)
	})
}

// errPending says that a migration is missing and that this sink may not apply it.
var errPending = errors.New("run lapwing migrate --apply")

func (s *Sink) migrate(ctx context.Context, m *migrate.Migrator) error {
	if s.cfg.Migrate {
		if _, err := m.Apply(ctx); err != nil {
			return err
		}
		return m.Retain(ctx, s.cfg.Retain.tables())
	}
	all, err := m.Check(ctx)
	if err != nil {
		return err
	}
	for _, one := range all {
		if one.Pending() {
			return fmt.Errorf("database %s lacks migration %04d_%s: %w", s.cfg.Database, one.Version, one.Name, errPending)
		}
	}
	return nil
}

// firstGeneration makes this sink's generation the one that the views show, if none
// is yet. Two sinks that do so at once have the same generation.
func (s *Sink) firstGeneration(ctx context.Context) error {
	var rows uint64
	if err := s.conn.QueryRow(ctx, `SELECT count() FROM `+s.cfg.Database+`.generations_log`).Scan(&rows); err != nil {
		return fmt.Errorf("read the generation: %w", err)
	}
	if rows > 0 {
		return nil
	}
	if err := s.conn.Exec(ctx, fmt.Sprintf(`INSERT INTO %s.generations_log (generation, switched_at) SETTINGS async_insert = 0 VALUES (%d, 0)`, s.cfg.Database, s.cfg.Generation)); err != nil {
		return fmt.Errorf("write the generation: %w", err)
	}
	return nil
}

func (s *Sink) options(running context.Context) []kgo.Opt {
	var names []string
	for _, name := range batch.Topics() {
		names = append(names, s.cfg.Prefix+name)
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(s.cfg.Brokers...),
		kgo.ConsumerGroup(s.cfg.GroupName()),
		kgo.ConsumeTopics(names...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// Markers are records too, so that "written up to the end" can be said at all:
		// a transactional log ends in one.
		kgo.KeepControlRecords(),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), // a repeat is harmless, a gap is not
		kgo.DisableAutoCommit(),
		// An eager balancer takes away everything at each rebalance. That makes the
		// rule simple: what is not committed by then is dropped and read again.
		kgo.Balancers(kgo.StickyBalancer()),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsRevoked(func(ctx context.Context, _ *kgo.Client, _ map[string][]int32) {
			s.settle(ctx)
			s.lost(running)
		}),
		kgo.OnPartitionsLost(func(context.Context, *kgo.Client, map[string][]int32) { s.lost(running) }),
		kgo.AdjustFetchOffsetsFn(s.assigned),
		kgo.FetchMaxBytes(16 << 20),
		kgo.FetchMaxPartitionBytes(4 << 20),
		kgo.FetchMaxWait(100 * time.Millisecond),
		kgo.MetadataMinAge(50 * time.Millisecond),
		kgo.WithLogger(kzap.New(s.log.Named("kafka"), kzap.Level(kgo.LogLevelWarn))),
	}
	if s.cfg.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(s.cfg.InstanceID))
	}
	return append(opts, s.kafkaOpts...)
}

// lost begins another tenure: what is on its way or was read in the present one is
// dropped.
func (s *Sink) lost(running context.Context) {
	s.first.set(false)
	s.tenure.Swap(newTenure(running)).end(errLost)
}

// assigned notes where the group stands, which is where a former run has written to.
func (s *Sink) assigned(_ context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	next := batch.Offsets{}
	for topic, partitions := range offsets {
		for partition, o := range partitions {
			if at := o.EpochOffset().Offset; at > 0 {
				next.Set(topic, partition, at)
			}
		}
	}
	s.written.raise(next)
	if s.cfg.isFirst(offsets) {
		s.first.set(true)
	} else if !s.first.held() {
		s.metrics.differing.Set(0) // another member looks now, and may know better
	}
	s.ready.Store(true)
	return offsets, nil
}

// loop is the one goroutine that owns the batch that is read into. Between a poll and
// AllowRebalance no partition is taken away, except while it waits for room to send.
func (s *Sink) loop(ctx context.Context, client *kgo.Client, work *errgroup.Group) error {
	b, t := s.newBatch(), s.tenure.Load()
	for {
		wait, cancel := context.WithTimeout(ctx, max(time.Millisecond, b.Due(time.Now())))
		fetches := client.PollRecords(wait, min(maxPoll, s.cfg.Batch.Rows))
		cancel()
		if ctx.Err() != nil {
			return nil // what is not committed is read again by whoever comes next
		}
		if now := s.tenure.Load(); now != t {
			b, t = s.newBatch(), now
		}
		if err := s.errors(ctx, fetches); err != nil {
			return err
		}
		now := time.Now()
		fetches.EachRecord(func(r *kgo.Record) { s.add(b, r, now) })
		s.flight.reading(b.Began())
		if b.Full(time.Now()) {
			if err := s.send(t, client, work, b); err != nil && !errors.Is(err, errLost) {
				return nil // the work has ended, and says why
			}
			b = s.newBatch()
			s.flight.reading(time.Time{})
		}
		client.AllowRebalance()
	}
}

// maxPoll bounds the records of one poll, and so how much a batch may be above its limits.
const maxPoll = 10_000

// newBatch is an empty batch with the limits of the moment.
func (s *Sink) newBatch() *batch.Batch {
	usual := batch.Limits{Rows: s.cfg.Batch.Rows, Bytes: s.cfg.Batch.Bytes, Age: s.cfg.Batch.Age}
	return batch.New(s.pace.load().Limits(usual, usual.Bytes*s.cfg.Batch.InFlight))
}

// errors logs what the client could not fetch, and returns what no waiting heals.
func (s *Sink) errors(ctx context.Context, fetches kgo.Fetches) error {
	var fatal error
	fetches.EachError(func(topic string, partition int32, err error) {
		switch {
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), ctx.Err() != nil:
		case fatalFetch(err):
			fatal = errors.Join(fatal, fmt.Errorf("read %s, partition %d: %w", topic, partition, err))
		default:
			s.metrics.fetchErrors.Inc()
			s.log.Warn("fetch failed, will be repeated", zap.String("topic", topic), zap.Int32("partition", partition), zap.Error(err))
		}
	})
	return fatal
}

// add puts one record into the batch.
func (s *Sink) add(b *batch.Batch, r *kgo.Record, now time.Time) {
	if r.Attrs.IsControl() {
		b.Pass(r.Topic, r.Partition, r.Offset, now)
		return
	}
	rec := batch.Record{
		Topic: r.Topic, Name: strings.TrimPrefix(r.Topic, s.cfg.Prefix), Partition: r.Partition, Offset: r.Offset,
		Generation: uint16(s.cfg.Generation), Key: r.Key, Value: r.Value,
	}
	generation, err := generationOf(r, s.cfg.Generation)
	switch {
	case err != nil:
		b.Refuse(&rec, now, err)
	case generation != s.cfg.Generation, batch.AboutGeneration(rec.Name, r.Key):
		s.metrics.passed.Inc()
		b.Pass(r.Topic, r.Partition, r.Offset, now)
		return
	default:
		b.Add(&rec, now)
	}
	s.metrics.records.Inc()
}

// generationOf reads the record's header; without one it is the sink's own.
func generationOf(r *kgo.Record, own int) (int, error) {
	for _, h := range r.Headers {
		if h.Key == batch.GenerationHeader {
			n, err := batch.ReadGeneration(h.Value)
			return int(n), err
		}
	}
	return own, nil
}
