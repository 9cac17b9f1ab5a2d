// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// peerProgram becomes the peer: BOOTSTRAP INPUT OUTPUT APPLICATION_ID key=value…
const peerProgram = "streams.sh"

// peerChangelog is the topic of the peer's store, without its application's id.
const peerChangelog = "-customers-changelog"

// peer is a Kafka Streams program that does the same job.
type peer struct {
	label string
	store string // rocksdb or mem
}

func (s peer) name() string { return s.label }

func (s peer) output(p place) string { return p.id + "-out" }

// prepare makes the peer's topics too, for the same reason.
func (s peer) prepare(ctx context.Context, b *bench, p place) error {
	if err := createTopic(ctx, b.adm, s.output(p), nil); err != nil {
		return err
	}
	return createTopic(ctx, b.adm, p.id+peerChangelog, map[string]string{"cleanup.policy": "compact"})
}

func (s peer) start(_ context.Context, b *bench, p place) (*child, error) {
	build, err := peerBuild()
	if err != nil {
		return nil, err
	}
	commit := b.commitMax
	if p.live {
		commit = minCommit
	}
	return startChild(s.label, p.log(), []string{"BUILD=" + build, "WORK=" + p.dir},
		filepath.Join(b.peer, peerProgram), b.bootstrap, p.input, s.output(p), p.id,
		"statedir="+filepath.Join(p.dir, "state"), "store="+s.store,
		fmt.Sprintf("commit=%d", commit.Milliseconds()), fmt.Sprintf("threads=%d", b.slots))
}

func (s peer) goals(ctx context.Context, b *bench, p place) ([]goal, error) {
	ends, err := endOffsets(ctx, b.adm, p.input)
	if err != nil {
		return nil, err
	}
	return []goal{{p.id, p.input, func(context.Context) (offsets, error) { return ends, nil }}}, nil
}

// peerBuild is where the peer is built: its folder may not be ours to write to.
func peerBuild() (string, error) {
	if build := os.Getenv("BUILD"); build != "" {
		return build, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the user's cache folder: %w", err)
	}
	return filepath.Join(cache, "lapwing", "peer"), nil
}

func buildPeer(ctx context.Context, dir string) error {
	build, err := peerBuild()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "build.sh"), "streams") //nolint:gosec // the developer names it
	cmd.Env = append(os.Environ(), "BUILD="+build)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the peer: %w\n%s", err, out)
	}
	return nil
}
