// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"lapwing/schemas/definition"
	"lapwing/sink"
	"lapwing/sink/writer"
	"lapwing/stream"
)

// roles are the parts of the service that a process can be.
var roles = []string{"stream", "router", "sink"}

// reachTimeout is how long Kafka may take to answer before a command gives up.
const reachTimeout = 15 * time.Second

func (a *app) runCommand() *cobra.Command {
	var path string
	var only []string
	c := &cobra.Command{
		Use:   "run -c FILE",
		Short: "Run the service against Kafka and ClickHouse",
		Long: `Runs the service until it is told to stop. By default one process has all roles:
stream computes the lanes of customers, router carries inputs that are not keyed by
customer to them, sink writes to ClickHouse. Add instances to share the work: each
needs its own stream.instance.

Health is at /healthz and /readyz, metrics at /metrics, of the address http in the file;
profiles at /debug/pprof/ if that is a loopback address, else of the address pprof.
What it knows of a customer is at /v1/customers/CUSTOMER/explain and …/profile, on a
loopback address or where advertise is set; lapwing explain asks there.`,
		Example: "  lapwing run -c lapwing.yaml\n  lapwing run -c lapwing.yaml --role stream,router",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if path == "" {
				return usageError("say which file: -c lapwing.yaml")
			}
			for _, role := range only {
				if !slices.Contains(roles, role) {
					return usageError("--role %q is no role; the roles are %s", role, strings.Join(roles, ", "))
				}
			}
			if len(only) == 0 {
				only = roles
			}
			c, err := a.loadConfig(path)
			if err != nil {
				return err
			}
			if !strings.HasPrefix(c.Definition, "preset:") && !filepath.IsAbs(c.Definition) {
				c.Definition = filepath.Join(filepath.Dir(path), c.Definition)
			}
			return a.serve(cmd.Context(), c, only)
		},
	}
	c.Flags().StringVarP(&path, "config", "c", "", "the configuration file")
	c.Flags().StringSliceVar(&only, "role", nil, "what this process does: "+strings.Join(roles, ", ")+" (default all)")
	return c
}

// serve runs the roles until ctx ends or one of them needs a person.
func (a *app) serve(ctx context.Context, c *config, only []string) error {
	log, err := c.Log.logger(a.stderr)
	if err != nil {
		return err
	}
	defer func() { _ = log.Sync() }() // standard error cannot be synced on every system
	debug.SetMemoryLimit(c.Stream.CollectorMemory())
	model, _, err := a.loadDefinition(ctx, c.Definition)
	if err != nil {
		return err
	}
	kafka, err := c.Kafka.options()
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s := &service{config: c, def: model.Definition(), log: log, registry: registry, kafka: kafka}

	if err := reach(ctx, c.Kafka.Brokers, kafka); err != nil {
		return err
	}
	if c.CreateTopics && !onlySink(only) {
		if err := s.createInputs(ctx); err != nil {
			return err
		}
	}
	log.Info("starting", zap.Strings("roles", only), zap.String("definition", s.def.Name.Value),
		zap.Int64("definition_version", s.def.Version), zap.Uint32("generation", c.Generation), zap.Strings("brokers", c.Kafka.Brokers))
	if err := s.run(ctx, only); err != nil {
		return err
	}
	log.Info("stopped")
	if errors.Is(context.Cause(ctx), errTerminate) {
		return nil // asked to stop, and did
	}
	return interrupted(ctx)
}

func onlySink(roles []string) bool { return len(roles) == 1 && roles[0] == "sink" }

// service is the wiring of one process.
type service struct {
	config   *config
	def      *definition.Definition
	log      *zap.Logger
	registry *prometheus.Registry
	kafka    []kgo.Opt
}

// part is one role: it runs until ctx ends, and says why it is not at work yet; nothing
// if it is.
type part struct {
	name    string
	run     func(context.Context) error
	waiting func() []string
}

func (s *service) run(ctx context.Context, only []string) error {
	var parts []part
	var asked customers
	deps := stream.Deps{Log: s.log, Registerer: s.registry, KafkaOpts: s.kafka}
	if slices.Contains(only, "stream") {
		worker, err := stream.NewWorker(s.config.Stream, s.def, deps)
		if err != nil {
			return err
		}
		parts, asked = append(parts, part{"stream", worker.Run, worker.Waiting}), worker
	}
	if slices.Contains(only, "router") && hasRouted(s.config.Stream.Inputs) {
		router, err := stream.NewRouter(s.config.Stream, deps)
		if err != nil {
			return err
		}
		// It keeps no state, so there is nothing to wait for once it runs.
		parts = append(parts, part{"router", router.Run, func() []string { return nil }})
	}
	if slices.Contains(only, "sink") {
		out, conn, err := s.sink()
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }() // every insert was answered
		ended := new(atomic.Bool)
		run := out.Run
		if len(parts) > 0 {
			run = s.alone(out.Run, ended)
		}
		parts = append(parts, part{"sink", run, func() []string {
			switch {
			case ended.Load():
				return []string{"it has ended, the log says why; when that is put right, start this process again"}
			case out.Ready():
				return nil
			}
			return []string{"the tables are not up to date yet, or its group is not joined yet"}
		}})
	}
	if len(parts) == 0 {
		return errors.New("there is nothing to do: every input is keyed, so no router is needed")
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serveHTTP(ctx, s.config, s.registry, parts, asked, s.log) })
	for _, p := range parts {
		group.Go(func() error {
			if err := p.run(ctx); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// alone is a sink beside other roles: what only a person can put right in ClickHouse, such
// as a wrong password or a changed table, ends the sink, and nothing else. The others go
// on; the process says that it is not ready, and ends with the error when it is stopped.
func (s *service) alone(run func(context.Context) error, ended *atomic.Bool) func(context.Context) error {
	return func(ctx context.Context) error {
		err := run(ctx)
		if err != nil && ctx.Err() == nil {
			ended.Store(true)
			s.log.Error("the sink has ended, the other roles go on; when this is put right, start the process again", zap.Error(err))
			<-ctx.Done()
		}
		return err
	}
}

func (s *service) sink() (*sink.Sink, driver.Conn, error) {
	conn, err := writer.Open(s.config.ClickHouse)
	if err != nil {
		return nil, nil, fmt.Errorf("open ClickHouse: %w", err)
	}
	out, err := sink.New(s.config.Sink, sink.Deps{Log: s.log, Registerer: s.registry, KafkaOpts: s.kafka, ClickHouse: conn})
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return out, conn, nil
}

func hasRouted(inputs []stream.Input) bool {
	return slices.ContainsFunc(inputs, func(in stream.Input) bool { return !in.Keyed })
}

// reach asks Kafka for an answer. Not getting one is a dependency's failure.
func reach(ctx context.Context, brokers []string, opts []kgo.Opt) error {
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(brokers...)}, opts...)...)
	if err != nil {
		return fmt.Errorf("create the Kafka client: %w", err)
	}
	defer client.Close()
	wait, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	if err := client.Ping(wait); err != nil {
		if ctx.Err() != nil {
			return interrupted(ctx)
		}
		return unreachable(fmt.Errorf("reach Kafka at %s: %w; say where it is with kafka.brokers in the file or %s",
			strings.Join(brokers, ", "), err, brokersVariable))
	}
	return nil
}
