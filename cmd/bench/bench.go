// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/deploy/embedded/kafkabroker"
)

// cleanupPatience bounds the removal of topics when a run has ended or was interrupted.
const cleanupPatience = 20 * time.Second

// bench is what a mode works with: the broker, a folder, the programs, the report.
type bench struct {
	settings

	stdout, stderr io.Writer
	broker         *kafkabroker.Broker // nil if it is not ours
	client         *kgo.Client
	adm            *kadm.Client
	tag            string // before the name of every topic and group of this run
	temporary      bool   // the work folder goes with us
	jsonl          *os.File
	report         *report
}

// openBench makes all ready for a mode: a broker that answers, and built programs.
func openBench(ctx context.Context, mode string, s settings, stdout, stderr io.Writer) (_ *bench, err error) {
	if err := s.check(); err != nil {
		return nil, usageError{err}
	}
	b := &bench{settings: s, stdout: stdout, stderr: stderr, tag: fmt.Sprintf("bench-%s-%d", time.Now().UTC().Format("150405"), os.Getpid())}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close(ctx))
		}
	}()
	b.report = &report{mode: mode, jsonl: io.Discard}
	if s.json != "" {
		if b.jsonl, err = os.OpenFile(s.json, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil { //nolint:gosec // the developer names it, and shows it around
			return nil, fmt.Errorf("open --json: %w", err)
		}
		b.report.jsonl = b.jsonl
	}
	if b.work == "" {
		b.temporary = true
		if b.work, err = os.MkdirTemp("", "lapwing-bench-"); err != nil {
			return nil, fmt.Errorf("create a work folder: %w", err)
		}
	} else if err = os.MkdirAll(b.work, 0o750); err != nil {
		return nil, fmt.Errorf("create --work: %w", err)
	}
	if b.work, err = filepath.Abs(b.work); err != nil {
		return nil, fmt.Errorf("find --work: %w", err)
	}
	if err = b.buildPrograms(ctx); err != nil {
		return nil, err
	}
	if err = b.openBroker(ctx); err != nil {
		return nil, err
	}
	return b, nil
}

// brokerJVM and brokerProperties are a broker that is not in the way: a real heap, short
// pauses.
func brokerJVM() []string {
	return []string{"-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"}
}

func brokerProperties() []string {
	return []string{
		fmt.Sprintf("num.partitions=%d", lanes),
		"offsets.topic.num.partitions=4",
		"transaction.state.log.num.partitions=4",
	}
}

func (b *bench) openBroker(ctx context.Context) (err error) {
	if b.bootstrap == "" {
		dir := filepath.Join(b.work, "broker")
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return fmt.Errorf("create the broker's folder: %w", err)
		}
		b.say("starting Apache Kafka %s", kafkabroker.Version)
		b.broker, err = kafkabroker.Start(ctx, kafkabroker.Config{
			Dir: dir, JVM: brokerJVM(), Properties: brokerProperties(),
			Announce: func(line string) { b.say("%s", line) },
		})
		if err != nil {
			return err
		}
		b.bootstrap, b.brokerPID = b.broker.Addr(), b.broker.PID()
	}
	if b.client, err = newClient(b.bootstrap); err != nil {
		return err
	}
	reach, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := b.client.Ping(reach); err != nil {
		return fmt.Errorf("reach Kafka at %s: %w", b.bootstrap, err)
	}
	b.adm = kadm.NewClient(b.client)
	return nil
}

// buildPrograms builds Lapwing, unless a binary is named, and the peer, if there is one.
func (b *bench) buildPrograms(ctx context.Context) error {
	if b.lapwing == "" {
		root, err := repository(ctx)
		if err != nil {
			return err
		}
		b.say("building lapwing")
		b.lapwing = filepath.Join(b.work, "lapwing")
		cmd := exec.CommandContext(ctx, "go", "build", "-o", b.lapwing, "./cmd/lapwing") //nolint:gosec // our own arguments
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build lapwing: %w\n%s", err, out)
		}
	}
	if b.peer != "" {
		b.say("building the peer")
		if err := buildPeer(ctx, b.peer); err != nil {
			return err
		}
	}
	return nil
}

// repository is the folder of this module's source.
func repository(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "lapwing").Output()
	if err != nil {
		return "", errors.New("lapwing's source is not here: run in its repository, or name a binary by --lapwing")
	}
	return strings.TrimSpace(string(out)), nil
}

// close removes what the run has made and stops the broker, also after an interrupt.
func (b *bench) close(ctx context.Context) error {
	var problems []error
	if b.adm != nil && b.broker == nil && !b.keep {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupPatience)
		problems = append(problems, deleteAll(grace, b.adm, b.tag))
		cancel()
	}
	if b.client != nil {
		b.client.Close()
	}
	if b.broker != nil {
		b.broker.Close()
	}
	if b.jsonl != nil {
		problems = append(problems, b.jsonl.Close())
	}
	if b.temporary {
		problems = append(problems, os.RemoveAll(b.work))
	} else if b.broker != nil {
		problems = append(problems, os.RemoveAll(filepath.Join(b.work, "broker", "data"))) // its log stays
	}
	return errors.Join(problems...)
}

// say tells how far the run is.
func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.stderr, "bench: "+format+"\n", args...) // there is nowhere to say that this failed
}

// place is where one run of one contender happens.
type place struct {
	id    string // names the group, and stands before the names of topics
	dir   string
	input string
	live  bool // events happen now: the wall clock, and short transactions
}

// newPlace makes a folder; the id is of this run of the tool alone.
func (b *bench) newPlace(what, input string, live bool) (place, error) {
	p := place{id: b.tag + "-" + what, input: input, live: live}
	p.dir = filepath.Join(b.work, p.id)
	if err := os.MkdirAll(p.dir, 0o750); err != nil {
		return place{}, fmt.Errorf("create a folder for the run: %w", err)
	}
	return p, nil
}

func (p place) log() string { return filepath.Join(p.dir, "log") }

// leave removes the topics and the state of a run. The disk is needed by the next one.
func (b *bench) leave(ctx context.Context, p place) error {
	if b.keep {
		b.say("the topics %s… are left", p.id)
		return nil
	}
	if err := os.RemoveAll(filepath.Join(p.dir, "state")); err != nil {
		return fmt.Errorf("remove the state of a run: %w", err)
	}
	if ctx.Err() != nil {
		return nil // close removes the rest; a broker of ours got the Ctrl-C, too
	}
	return deleteAll(ctx, b.adm, p.id)
}

// limited gives up a run that takes longer than --limit.
func (b *bench) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, b.limit, fmt.Errorf("gave up after --limit %s", b.limit))
}

// backlog is the input of a drain: what is there from an earlier run with --keep is used
// again.
func (b *bench) backlog(ctx context.Context) (string, error) {
	topic := fmt.Sprintf("%s-events", b.tag)
	if b.keep {
		topic = fmt.Sprintf("bench-events-%d-%d-%d", b.events, b.customers, b.seed)
	}
	if err := createTopic(ctx, b.adm, topic, nil); err != nil {
		return "", err
	}
	ends, err := endOffsets(ctx, b.adm, topic)
	if err != nil {
		return "", err
	}
	switch have := ends.sum(); {
	case have == int64(b.events):
		return topic, nil
	case have != 0:
		return "", fmt.Errorf("topic %s holds %d events instead of %d: delete it first", topic, have, b.events)
	}
	b.say("writing a backlog of %d events", b.events)
	return topic, writeBacklog(ctx, b.bootstrap, topic, newTraffic(b.seed, b.customers), b.events, backlogStart())
}
