// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"lapwing/deploy/embedded/kafkatest"
	"lapwing/schemas/topics"
)

func realConfig(broker string) Config {
	cfg := testConfig([]string{broker})
	cfg.MaxPollRecords, cfg.MaxTransactionRecords = 50, 100 // many transactions
	return cfg
}

// On Apache Kafka: SIGKILL of the worker's process, again and again, loses nothing and
// doubles nothing.
func TestKillOnRealKafka(t *testing.T) {
	messages, last := history(t, 60)
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 2))
	kafka := kafkatest.Start(t)
	w := &world{t: t, now: time.Now, log: zap.NewNop(), cfg: realConfig(kafka.Addr()), def: parse(t, withCampaigns(t))}
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
	o := order{Config: w.cfg, Until: last}
	c := startChild(t, o)
	for i := range kills {
		part := len(messages) / (kills + 1)
		w.produce("events", messages[i*part:(i+1)*part]...)
		moment := time.NewTimer(200*time.Millisecond + time.Duration(rng.IntN(1500))*time.Millisecond)
		select {
		case <-moment.C: // a real process is killed at a moment of its own
		case <-c.gone:
			t.Fatalf("seed %d: the worker ended too early: %s", seed, c.word().End)
		}
		c.kill()
		c = startChild(t, o)
	}
	w.produce("events", messages[kills*(len(messages)/(kills+1)):]...)
	w.end(last)
	if end := c.await(t, 90*time.Second); end != "done" {
		t.Fatalf("seed %d: the worker ended with %q", seed, end)
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
