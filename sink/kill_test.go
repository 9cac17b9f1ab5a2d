// SPDX-License-Identifier: Apache-2.0

package sink_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"lapwing/deploy/embedded"
	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/sink"
	"lapwing/sink/sinktest"
	"lapwing/sink/writer"
)

var killTurns = flag.Int("kill.turns", 6, "how often the test of kills kills the sink or the engine")

// childEnv holds what a sink in a process of its own is to do.
const childEnv = "LAPWING_TEST_SINK"

type childOrder struct {
	Config     sink.Config
	Connection writer.Connection
}

// runSinkChild runs a sink in a process of its own, to be killed; it returns false in
// any other process.
func runSinkChild() bool {
	text := os.Getenv(childEnv)
	if text == "" {
		return false
	}
	go func() { // the pipe closes with our parent, however that ends
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := childSink(ctx, text); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

func childSink(ctx context.Context, text string) error {
	var o childOrder
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	conn, err := writer.Open(o.Connection)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	s, err := sink.New(o.Config, sink.Deps{Log: zap.NewNop(), Registerer: prometheus.NewRegistry(), ClickHouse: conn, KafkaOpts: []kgo.Opt{kgo.SessionTimeout(6 * time.Second)}})
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

// child is such a process.
type child struct {
	command *exec.Cmd
	ended   chan struct{}
}

func startChild(t *testing.T, o childOrder) *child {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{command: exec.CommandContext(t.Context(), executable), ended: make(chan struct{})}
	c.command.Env = append(os.Environ(), childEnv+"="+string(text))
	c.command.Stderr = os.Stderr
	if _, err := c.command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.ended)
		_ = c.command.Wait() // killed, as it is told
	}()
	return c
}

// kill is SIGKILL; it returns when the process is gone.
func (c *child) kill() {
	_ = c.command.Process.Kill()
	<-c.ended
}

// feed produces the records in parts, so that there is something to do until the end.
func feed(t *testing.T, c *kfake.Cluster, d *sinktest.Database, h *sinktest.History, parts int) (next func() bool, commits *atomic.Int64) {
	t.Helper()
	records := h.Records(1)
	var all atomic.Pointer[places]
	all.Store(&places{})
	commits = neverAhead(t, c, d, func() places { return *all.Load() })
	size := len(records)/parts + 1
	return func() bool {
		if len(records) == 0 {
			return false
		}
		n := min(size, len(records))
		more := places{}
		for at, offsets := range *all.Load() {
			more[at] = offsets
		}
		for at, offsets := range produce(t, c, records[:n]) {
			more[at] = append(more[at][:len(more[at]):len(more[at])], offsets...)
			all.Store(&more) // before the sink can have committed it: it reads what a transaction has ended
		}
		records = records[n:]
		return true
	}, commits
}

// TestKillSinkAndEngine: the sink's process and ClickHouse's are killed in turns, amid
// inserts and commits; every total is the log's, and no offset was ever ahead of the rows.
func TestKillSinkAndEngine(t *testing.T) {
	embeddedtest.RequireLibrary(t)
	dir := t.TempDir()
	open := func(native string) *embedded.ClickHouse {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		ch, err := embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{Dir: dir, NativeAddr: native, Password: "secret", Log: zap.NewNop(), MaxMemoryBytes: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		return ch
	}
	server := open("")
	native := server.NativeAddr
	t.Cleanup(func() { _ = server.Close() })
	d := sinktest.NewDatabase(t, server.Options(), "kills")
	c := broker(t)
	seed := *faultSeed
	rng := rand.New(rand.NewPCG(seed, 6))
	h := sinktest.New(seed+100, time.UTC, sinktest.Size{Customers: 80 + 20**killTurns, Changes: 10, Orders: 6})
	next, commits := feed(t, c, d, h, *killTurns+1)

	cfg := config(c, d.Name)
	cfg.Batch.Rows, cfg.Batch.InFlight, cfg.InstanceID = 40, 3, "the-one"
	cfg.Retry.Timeout = 5 * time.Second
	where := writer.DefaultConnection()
	where.Addresses, where.User, where.Password = []string{native}, server.User, server.Password
	order := childOrder{cfg, where}
	running := startChild(t, order)
	for turn := range *killTurns {
		next()
		target := commits.Load() + 1 + rng.Int64N(4)
		eventually(t, fmt.Sprintf("the sink commits in turn %d", turn), func() bool { return commits.Load() >= target || t.Failed() })
		if turn%2 == 0 {
			running.kill()
			running = startChild(t, order)
		} else {
			server.Kill()
			server = open(native)
		}
		if t.Failed() {
			break
		}
	}
	for next() {
	}
	running.kill()
	r := start(t, cfg, connect(t, server), zap.NewNop(), kgo.SessionTimeout(6*time.Second))
	finish(t, r)
	check(t, d, totals(h))
	if t.Failed() {
		t.Logf("again: go test ./sink -run TestKillSinkAndEngine -fault.seed %d -kill.turns %d", seed, *killTurns)
	}
}
