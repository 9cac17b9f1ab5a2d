// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"lapwing/deploy/embedded"
	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/presets"
	"lapwing/schemas/topics"
	"lapwing/sink"
	"lapwing/sink/writer"
	"lapwing/stream"
)

const (
	demoInput = "events"
	demoLanes = 12
	// demoMemoryBytes is for ClickHouse's queries; the demo needs a small part of it.
	demoMemoryBytes = 2 << 30
)

func (a *app) demoCommand() *cobra.Command {
	var preset string
	var keep bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "The whole of it on this machine, over a real purchase history or a made-up base",
		Long: `Starts a Kafka-protocol broker and the real ClickHouse engine on loopback, sends them
what customers did, runs stream and sink over it, and shows how many customers are in which
stage, how they move, what campaigns changed, and the KPIs. The first run fetches
ClickHouse's library once.

By itself it shows the purchases of 23,570 customers of the music shop CDNOW (January 1997
to June 1998), which are real; no mail was ever sent there, so the campaign is an A/A test.
With another preset it shows a base that ` + "`lapwing generate`" + ` makes, with campaigns whose
effects are known, and what was set beside what was found.

Everything is gone at the end, unless --keep leaves it up to play with.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context(), preset, keep) },
	}
	c.Flags().StringVar(&preset, "preset", "customer-value", "the `PRESET` to show: "+strings.Join(demoPresets(), ", "))
	c.Flags().BoolVar(&keep, "keep", false, "leave everything up until Ctrl-C, and say what to try")
	return c
}

func (a *app) demo(ctx context.Context, preset string, keep bool) (err error) {
	preset = presetNamed(preset)
	if _, err := presets.Find(preset); err != nil {
		return usageError("--preset: %w", err)
	}
	base, err := newDemoBase(preset)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "lapwing-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	defer func() {
		if removeErr := os.RemoveAll(folder); removeErr != nil {
			err = errors.Join(err, fmt.Errorf("remove the demo's folder: %w", removeErr))
		}
	}()
	d := &demo{app: a, base: base, folder: folder, show: newDemoScreen(a)}
	if d.def, err = base.definition(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	err = d.run(ctx, keep)
	if ctx.Err() != nil {
		return interrupted(ctx)
	}
	return err
}

// demo is a whole deployment in one process tree.
type demo struct {
	app    *app
	base   *demoBase
	def    *definition.Definition
	folder string
	show   *demoScreen

	sent       int64           // messages
	latest     instant.Instant // where the clock ends
	broker     *embedded.Broker
	clickhouse *embedded.ClickHouse
	conn       driver.Conn
	worker     *stream.Worker
	sink       *sink.Sink
	config     stream.Config
}

func (d *demo) run(ctx context.Context, keep bool) error {
	d.show.title(d.base.title)
	if err := d.start(ctx); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return d.worker.Run(running) })
	group.Go(func() error { return d.sink.Run(running) })
	group.Go(func() error {
		// What ends with this function ends the service, too.
		defer stop()
		if err := d.follow(running); err != nil {
			return err
		}
		if err := d.report(running); err != nil {
			return err
		}
		if !keep {
			d.show.whatNext(d)
			return nil
		}
		d.show.kept(d)
		select {
		case <-running.Done():
		case <-d.clickhouse.Done():
			return errors.New("ClickHouse ended by itself")
		}
		return nil
	})
	return group.Wait()
}

// start brings up the parts and fills the input topic.
func (d *demo) start(ctx context.Context) error {
	log := zap.NewNop()
	if path := d.app.env("LAPWING_DEMO_LOG"); path != "" {
		file, err := os.Create(path) //nolint:gosec // the user names it
		if err != nil {
			return fmt.Errorf("create the demo's log: %w", err)
		}
		settings := logConfig{Level: "info", Format: "json"}
		if log, err = settings.logger(file); err != nil {
			return err
		}
	}
	if err := d.startBroker(log); err != nil {
		return err
	}
	d.show.done("broker", "Kafka's protocol, in memory, on "+d.broker.Addrs()[0])

	// ClickHouse takes the longest to start: the events are produced meanwhile.
	group, starting := errgroup.WithContext(ctx)
	group.Go(func() error {
		var err error
		d.clickhouse, err = embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{
			Dir: filepath.Join(d.folder, "clickhouse"), MaxMemoryBytes: demoMemoryBytes, Log: log, Progress: d.app.stderr,
		})
		return err
	})
	group.Go(func() error { return d.produce(starting) })
	if err := group.Wait(); err != nil {
		return err
	}
	d.show.done("ClickHouse", "the real engine, on "+d.clickhouse.HTTPAddr+" (HTTP) and "+d.clickhouse.NativeAddr+" (native)")
	d.show.done("events", fmt.Sprintf("%s %s, in topic %s", grouped(d.sent), d.base.told, demoInput))

	var err error
	if d.worker, err = stream.NewWorker(d.config, d.def, stream.Deps{Log: log}); err != nil {
		return err
	}
	settings := sink.Default()
	settings.Brokers, settings.Prefix, settings.Database = d.config.Brokers, d.config.Prefix, d.clickhouse.Database
	settings.Batch.Age = 200 * time.Millisecond
	settings.KPI.Every = 0 // few customers: what is shown is computed
	connection := writer.DefaultConnection()
	connection.Addresses, connection.Database = []string{d.clickhouse.NativeAddr}, d.clickhouse.Database
	connection.User, connection.Password = d.clickhouse.User, d.clickhouse.Password
	if d.conn, err = writer.Open(connection); err != nil {
		return err
	}
	d.sink, err = sink.New(settings, sink.Deps{Log: log, Registerer: prometheus.NewRegistry(), ClickHouse: d.conn})
	return err
}

// startBroker starts the broker and says how the stream shall run on it: by event time
// alone, every change published, however old.
func (d *demo) startBroker(log *zap.Logger) error {
	var err error
	if d.broker, err = embedded.StartBroker(embedded.BrokerConfig{Log: log}); err != nil {
		return err
	}
	d.config = stream.Default()
	d.config.Brokers, d.config.Instance, d.config.Lanes = d.broker.Addrs(), "demo", demoLanes
	d.config.Inputs = []stream.Input{{Topic: demoInput, Keyed: true}}
	d.config.Slots = 1 // a second one would only wait for the first, on so little
	d.config.Clock, d.config.PublishFrom = stream.ClockEvent, stream.PublishAll
	return nil
}

// produce sends all messages in order of arrival, then ends every source.
func (d *demo) produce(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(d.config.Brokers...), kgo.DefaultProduceTopic(demoInput))
	if err != nil {
		return fmt.Errorf("create the Kafka client: %w", err)
	}
	defer client.Close()
	if err := createInputs(ctx, client, &d.config); err != nil {
		return err
	}
	if err := stream.EnsureTopics(ctx, client, &d.config); err != nil {
		return err
	}
	var failed atomic.Pointer[error]
	latest, err := d.base.each(ctx, func(key string, value []byte, at instant.Instant) {
		d.sent++
		client.Produce(ctx, &kgo.Record{Key: []byte(key), Value: value, Timestamp: at.Time()}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.CompareAndSwap(nil, &err)
			}
		})
	})
	if err == nil {
		err = client.Flush(ctx)
	}
	if first := failed.Load(); first != nil {
		err = errors.Join(err, *first)
	}
	if err != nil {
		return fmt.Errorf("send the events: %w", err)
	}
	d.latest = latest
	// What may still come late is waited for.
	return stream.EndSources(ctx, client, d.config, d.latest.Add(d.def.Lateness))
}

// follow waits until stream and sink have done all there is, and shows how far they are.
func (d *demo) follow(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(d.config.Brokers...))
	if err != nil {
		return fmt.Errorf("create the Kafka client: %w", err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if err := d.show.wait(ctx, "stream", func(ctx context.Context) string {
		// Each message is one record of activity, once it is committed.
		return d.show.count(d.committed(ctx, admin, topics.Activity), d.sent, "events")
	}, func(ctx context.Context) error { return d.worker.WaitUntil(ctx, d.latest.Add(d.def.Lateness)) }); err != nil {
		return err
	}
	d.show.done("stream", fmt.Sprintf("one state per customer; the clock stands at %s", inWords(d.latest, time.UTC)))

	ends, err := d.sink.EndOffsets(ctx)
	if err != nil {
		return err
	}
	records := int64(0) // and some markers of transactions
	for _, partitions := range ends {
		for _, offset := range partitions {
			records += offset
		}
	}
	if err := d.show.wait(ctx, "sink", func(ctx context.Context) string {
		return d.show.count(d.rows(ctx), records, "rows")
	}, func(ctx context.Context) error { return d.sink.WaitUntil(ctx, ends) }); err != nil {
		return err
	}
	var changes, assignments, conversions uint64
	row := d.conn.QueryRow(ctx, fmt.Sprintf("SELECT (SELECT count() FROM %[1]s.stage_changes), (SELECT count() FROM %[1]s.assignments), (SELECT count() FROM %[1]s.conversions)", d.clickhouse.Database))
	if err := row.Scan(&changes, &assignments, &conversions); err != nil {
		return fmt.Errorf("count the records: %w", err)
	}
	d.show.done("sink", fmt.Sprintf("%s stage changes, %s assignments and %s conversions are in ClickHouse, with everything else",
		grouped(int64(changes)), grouped(int64(assignments)), grouped(int64(conversions))))
	return nil
}

// committed is how many records a topic of Lapwing's holds, roughly; 0 if it is not known.
func (d *demo) committed(ctx context.Context, admin *kadm.Client, name string) (records int64) {
	ends, err := admin.ListCommittedOffsets(ctx, d.config.Prefix+name)
	if err != nil {
		return 0 // only a bar depends on it
	}
	ends.Each(func(o kadm.ListedOffset) { records += max(o.Offset, 0) })
	return records
}

// rows is how many rows the tables hold; 0 if it is not known.
func (d *demo) rows(ctx context.Context) int64 {
	var rows uint64
	row := d.conn.QueryRow(ctx, `SELECT sum(coalesce(total_rows, 0)) FROM system.tables WHERE database = ? AND endsWith(name, '_log')`, d.clickhouse.Database)
	if err := row.Scan(&rows); err != nil {
		return 0 // only a bar depends on it
	}
	return int64(rows)
}

// close ends what is still up, the clients first.
func (d *demo) close() error {
	var problems []error
	if d.conn != nil {
		problems = append(problems, d.conn.Close())
	}
	if d.clickhouse != nil {
		problems = append(problems, d.clickhouse.Close())
	}
	if d.broker != nil {
		problems = append(problems, d.broker.Close())
	}
	return errors.Join(problems...)
}
