// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"lapwing/schemas/topics"
	"lapwing/stream"
)

// minCommit is Lapwing's shortest transaction, and the peer's interval under live load.
const minCommit = 20 * time.Millisecond

// lapwing is Lapwing with some of its settings.
type lapwing struct {
	label      string
	aggregates bool
	activity   bool
	routed     bool // the input counts as not keyed: every event goes through the router
}

func (l lapwing) name() string { return l.label }

func (l lapwing) output(p place) string { return p.id + "-" + topics.StageChanges }

// group is the workers' consumer group; see workerGroup of package stream.
func (l lapwing) group(p place) string { return p.id + ".g1" }

func (l lapwing) routerGroup(p place) string { return p.id + "-router.g1" }

func (l lapwing) stateDir(p place) string { return filepath.Join(p.dir, "state") }

// prepare makes Lapwing's topics, so that a run measures the work and not their making.
func (l lapwing) prepare(ctx context.Context, b *bench, p place) error {
	cfg := stream.Default()
	cfg.Brokers, cfg.Prefix, cfg.Group, cfg.Instance = []string{b.bootstrap}, p.id+"-", p.id, "bench"
	cfg.Inputs = []stream.Input{{Topic: p.input, Keyed: !l.routed}}
	cfg.Lanes = lanes
	if err := stream.EnsureTopics(ctx, b.client, &cfg); err != nil {
		return fmt.Errorf("prepare topics for %s: %w", l.label, err)
	}
	return nil
}

// configuration is lapwing.yaml of a run.
func (l lapwing) configuration(b *bench, p place, http string) string {
	clock, activity := stream.ClockEvent, stream.ActivityOff
	if p.live {
		clock = stream.ClockWall
	}
	if l.activity {
		activity = stream.ActivityReferenced
	}
	return fmt.Sprintf(`definition: preset:customer-value
http: %s
memory: {limit: %s}
kafka: {brokers: [%q], prefix: %s-}
stream:
  group: %s
  instance: bench
  slots: %d
  lanes: %d
  inputs: [{topic: %s, keyed: %t}]
  clock: %s
  publish_from: all
  commit_interval: {min: %s, max: %s}
  state_dir: %q
  activity: %q
  aggregates: %t
log: {level: info, format: console}
`, http, b.memory, b.bootstrap, p.id, p.id, b.slots, lanes, p.input, !l.routed, clock, minCommit, b.commitMax,
		l.stateDir(p), activity, l.aggregates)
}

// start runs `lapwing run`.
func (l lapwing) start(ctx context.Context, b *bench, p place) (*child, error) {
	c, _, err := l.serve(ctx, b, p)
	return c, err
}

// serve also tells where it answers for its health.
func (l lapwing) serve(ctx context.Context, b *bench, p place) (*child, string, error) {
	http, err := freeAddress(ctx)
	if err != nil {
		return nil, "", err
	}
	file := filepath.Join(p.dir, "lapwing.yaml")
	if err := os.WriteFile(file, []byte(l.configuration(b, p, http)), 0o600); err != nil {
		return nil, "", fmt.Errorf("write the configuration of %s: %w", l.label, err)
	}
	roles := "stream"
	if l.routed {
		roles = "stream,router"
	}
	c, err := startChild(l.label, p.log(), nil, b.lapwing, "run", "-c", file, "--role", roles)
	return c, http, err
}

// goals: with a router, first all is carried over, then all of the mailbox is read.
func (l lapwing) goals(ctx context.Context, b *bench, p place) ([]goal, error) {
	ends, err := endOffsets(ctx, b.adm, p.input)
	if err != nil {
		return nil, err
	}
	read := func(end offsets) func(context.Context) (offsets, error) {
		return func(context.Context) (offsets, error) { return end, nil }
	}
	if !l.routed {
		return []goal{{l.group(p), p.input, read(ends)}}, nil
	}
	mailbox := p.id + "-" + topics.Mailbox
	return []goal{
		{l.routerGroup(p), p.input, read(ends)},
		{l.group(p), mailbox, func(ctx context.Context) (offsets, error) { return lastRecords(ctx, b.bootstrap, b.adm, mailbox) }},
	}, nil
}

// awaitReady polls /readyz until it says so.
func awaitReady(ctx context.Context, c *child, address string) error {
	client := &http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
		if err != nil {
			return fmt.Errorf("ask %s whether it is ready: %w", c.name, err)
		}
		if response, err := client.Do(request); err == nil {
			_ = response.Body.Close() // its status is all we read
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		if err := c.alive(); err != nil {
			return err
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return errors.Join(fmt.Errorf("wait for %s to be ready: %w", c.name, err), errors.New(c.lastWords()))
		}
	}
}

// freeAddress is a loopback address that nobody listens on at the moment.
func freeAddress(ctx context.Context) (string, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer listener.Close() //nolint:errcheck // held only to find the port
	return listener.Addr().String(), nil
}
