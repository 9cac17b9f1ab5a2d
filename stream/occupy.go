// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/topics"
)

// ErrMembers says that a generation still runs.
var ErrMembers = errors.New("the generation still runs")

// lock is a protocol that no worker or router speaks: who joins a group by it keeps
// them all out, and the cluster itself sees to that.
type lock struct{ kgo.GroupBalancer }

func (lock) ProtocolName() string { return "lapwing-switch" }

const occupyTimeout = 30 * time.Second

// occupy keeps everybody out of the groups of a generation until released. It is an
// error if somebody is there.
func occupy(ctx context.Context, cfg *Config, deps *Deps) (release func(), err error) {
	client, err := kgo.NewClient(clientOpts(cfg, deps, cfg.member("", 0)+"-switch")...)
	if err != nil {
		return nil, fmt.Errorf("create client: %w", err)
	}
	defer client.Close()
	groups := []string{cfg.workerGroup(), cfg.routerGroup()}
	if err := unoccupied(ctx, kadm.NewClient(client), cfg, groups); err != nil {
		return nil, err
	}
	var members []*kgo.Client
	release = func() {
		for _, m := range members {
			m.Close() // says that it leaves
		}
	}
	ctx, cancel := context.WithTimeout(ctx, occupyTimeout)
	defer cancel()
	for _, group := range groups {
		joined := make(chan struct{}) // closed at the first assignment
		var once sync.Once
		member, err := kgo.NewClient(append(clientOpts(cfg, deps, cfg.member("", 0)+"-lock"),
			kgo.ConsumerGroup(group), kgo.ConsumeTopics(cfg.topic(topics.Definitions)), kgo.DisableAutoCommit(),
			kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
			kgo.Balancers(lock{kgo.RangeBalancer()}), kgo.SessionTimeout(cfg.SessionTimeout),
			kgo.HeartbeatInterval(min(cfg.SessionTimeout/5, cfg.HeartbeatInterval)),
			kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { once.Do(func() { close(joined) }) }),
		)...)
		if err != nil {
			release()
			return nil, fmt.Errorf("create client: %w", err)
		}
		members = append(members, member)
		select {
		case <-joined:
		case <-ctx.Done():
			release()
			return nil, fmt.Errorf("keep group %s to ourselves: somebody has joined it: %w: %w", group, context.Cause(ctx), ErrMembers)
		}
	}
	return release, nil
}

// unoccupied is an error if a group has members.
func unoccupied(ctx context.Context, adm *kadm.Client, cfg *Config, groups []string) error {
	described, err := adm.DescribeGroups(ctx, groups...)
	if err != nil {
		return fmt.Errorf("ask for the members of generation %d: %w", cfg.Generation, err)
	}
	var names []string
	for _, g := range described {
		if g.Err != nil && !errors.Is(g.Err, kerr.GroupIDNotFound) {
			return fmt.Errorf("ask for the members of group %s: %w", g.Group, g.Err)
		}
		for _, m := range g.Members {
			name := m.ClientID
			if m.InstanceID != nil {
				name = *m.InstanceID
			}
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return fmt.Errorf("generation %d of %s has %d members (%s): %w: stop its routers, then its workers; "+
		"a process that was killed is forgotten after %s (session_timeout)",
		cfg.Generation, cfg.Prefix, len(names), strings.Join(names, ", "), ErrMembers, cfg.SessionTimeout)
}
