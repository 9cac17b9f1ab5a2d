// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"lapwing/deploy/embedded/kafkatest"
	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/presets"
	"lapwing/schemas/topics"
)

// The environment of a worker in a process of its own: the broker, and the instant at
// which it is done.
const (
	childBroker = "LAPWING_TEST_WORKER_BROKER"
	childUntil  = "LAPWING_TEST_WORKER_UNTIL"
)

func realConfig(broker string) Config {
	cfg := testConfig([]string{broker})
	cfg.MaxPollRecords, cfg.MaxTransactionRecords = 50, 100 // many transactions
	return cfg
}

// runWorkerChild runs a worker in a process of its own, to be killed; it returns false
// in any other process. It says "ready" and, once all is committed, "done".
func runWorkerChild() bool {
	broker := os.Getenv(childBroker)
	if broker == "" {
		return false
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := childWorker(ctx, broker); err != nil {
		fmt.Println("failed:", err)
	}
	return true
}

func childWorker(ctx context.Context, broker string) error {
	source, _ := presets.Get("customer-value")
	def, _ := definition.Parse("preset", source)
	until, err := strconv.ParseInt(os.Getenv(childUntil), 10, 64)
	if err != nil {
		return err
	}
	log, err := zap.NewDevelopment()
	if err != nil {
		return err
	}
	w, err := NewWorker(realConfig(broker), def, Deps{Log: log})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	if err := w.WaitUntil(ctx, instant.Instant(until)); err != nil {
		return fmt.Errorf("%w (%w)", err, <-ended)
	}
	cancel()
	if err := <-ended; err != nil {
		return err
	}
	fmt.Println("done")
	return nil
}

// startChild starts the worker's process; lines gets what it prints and is closed with it.
func startChild(t *testing.T, broker string, until instant.Instant) (*exec.Cmd, <-chan string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childBroker+"="+broker, fmt.Sprintf("%s=%d", childUntil, until))
	cmd.Stderr = os.Stderr
	if os.Getenv("LAPWING_TEST_LOG") == "" {
		cmd.Stderr = nil
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 16)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return cmd, lines
}

// On Apache Kafka: SIGKILL of the worker's process, again and again, loses nothing and
// doubles nothing.
func TestKillOnRealKafka(t *testing.T) {
	messages, last := history(t, 60)
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 2))
	kafka := kafkatest.Start(t)
	w := &world{t: t, now: time.Now, log: zap.NewNop(), cfg: realConfig(kafka.Addr()), def: parse(t, customerValue(t))}
	w.dial = new(net.Dialer).DialContext
	client := w.client()
	retention := "-1" // the records are of 1997
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), w.cfg.Lanes, 1, map[string]*string{"retention.ms": &retention}, "events"); err != nil {
		t.Fatal(err)
	}
	if err := EnsureTopics(t.Context(), client, &w.cfg); err != nil {
		t.Fatal(err)
	}
	const kills = 4
	cmd, lines := startChild(t, kafka.Addr(), last)
	for i := range kills {
		part := len(messages) / (kills + 1)
		w.produce("events", messages[i*part:(i+1)*part]...)
		moment := time.NewTimer(200*time.Millisecond + time.Duration(rng.IntN(1500))*time.Millisecond)
		select {
		case <-moment.C: // a real process is killed at a moment of its own
		case line := <-lines:
			t.Fatalf("seed %d: the worker ended too early: %s", seed, line)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		cmd, lines = startChild(t, kafka.Addr(), last)
	}
	w.produce("events", messages[kills*(len(messages)/(kills+1)):]...)
	w.end(last)
	patience := time.NewTimer(90 * time.Second)
	defer patience.Stop()
	var said []string
	for open := true; open; {
		select {
		case line, ok := <-lines:
			if open = ok; ok {
				said = append(said, line)
			}
		case <-patience.C:
			_ = cmd.Process.Kill()
			t.Fatalf("seed %d: the worker does not come to the end", seed)
		}
	}
	_ = cmd.Wait()
	if len(said) == 0 || said[len(said)-1] != "done" {
		t.Fatalf("seed %d: the worker said %q", seed, strings.Join(said, "\n"))
	}
	w.same(messages, last)
	w.sameTotals(messages, last)
}

// Rule 5 on Apache Kafka: a worker that dies with a transaction open holds readers up
// only until its successor, which has the same transactional id, opens its session.
func TestSuccessorBoundsTheStallOfReaders(t *testing.T) {
	kafka := kafkatest.Start(t)
	w := &world{t: t, now: time.Now, log: zap.NewNop(), cfg: realConfig(kafka.Addr())}
	w.dial = new(net.Dialer).DialContext
	w.cfg.Inputs = nil
	w.cfg.TransactionTimeout = time.Minute
	client := w.client()
	adm := kadm.NewClient(client)
	if _, err := adm.CreateTopic(t.Context(), 1, 1, nil, w.cfg.topic(topics.Mailbox)); err != nil {
		t.Fatal(err)
	}
	deps := Deps{}
	deps.fill()
	open := func() *session {
		s, err := openSession(t.Context(), newMetrics(deps.Registerer), "stream",
			sessionOpts(&w.cfg, &deps, w.cfg.workerGroup(), w.cfg.member("", 0), 0, []string{w.cfg.topic(topics.Mailbox)})...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		deps.Registerer = nil // each client its own
		deps.fill()
		return s
	}
	first := open()
	if err := first.Begin(); err != nil {
		t.Fatal(err)
	}
	if err := first.ProduceSync(t.Context(), &kgo.Record{Topic: w.cfg.topic(topics.Mailbox), Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	// It is abandoned here. What follows in the log is hidden behind its transaction.
	if err := w.client().ProduceSync(t.Context(), &kgo.Record{Topic: w.cfg.topic(topics.Mailbox), Value: []byte("y")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	open()
	reader := w.client(kgo.ConsumeTopics(w.cfg.topic(topics.Mailbox)), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	fetches := reader.PollFetches(ctx)
	if err := fetches.Err(); err != nil {
		t.Fatalf("the reader still waits after %s: %v", time.Since(begin), err)
	}
	if got := string(fetches.Records()[0].Value); got != "y" {
		t.Errorf("read %q, want the record behind the aborted one", got)
	}
	t.Logf("the reader went on after %s", time.Since(begin))
}
