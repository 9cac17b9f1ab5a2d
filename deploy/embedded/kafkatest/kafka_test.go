// SPDX-License-Identifier: Apache-2.0

package kafkatest

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const patience = 30 * time.Second

func newClient(t *testing.T, k *Kafka, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(k.Addr()), kgo.MetadataMinAge(50 * time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// committed reads n records of topic as a reader of committed transactions.
func committed(t *testing.T, k *Kafka, topic string, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cl := newClient(t, k, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	defer cl.Close()
	var got []string
	for len(got) < n {
		fs := cl.PollFetches(ctx)
		if err := errors.Join(fs.Err0(), ctx.Err()); err != nil {
			t.Fatalf("read %s: %v after %q", topic, err, got)
		}
		fs.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	return got
}

func transact(t *testing.T, cl *kgo.Client, value string, end kgo.TransactionEndTry) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(ctx, kgo.StringRecord(value)).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := cl.EndTransaction(ctx, end); err != nil {
		t.Fatal(err)
	}
}

// One broker serves the whole story: a start costs seconds.
func TestRealBrokerKeepsCommittedTransactionsAcrossKillAndStop(t *testing.T) {
	k := Start(t)
	tx := newClient(t, k, kgo.TransactionalID("slot-0"), kgo.DefaultProduceTopic("changes"))
	if _, err := kadm.NewClient(tx).CreateTopic(t.Context(), 1, 1, nil, "changes"); err != nil {
		t.Fatal(err)
	}
	transact(t, tx, "dropped", kgo.TryAbort)
	transact(t, tx, "before the crash", kgo.TryCommit)
	addr := k.Addr()
	want := []string{"before the crash"}
	// A commit is answered before its markers are in the partitions. A broker that dies in
	// between has to write them on its next start, which is not what this test is about.
	if got := committed(t, k, "changes", 1); !slices.Equal(got, want) {
		t.Fatalf("before the crash: %q, want %q", got, want)
	}

	k.Kill()
	if conn, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
		_ = conn.Close()
		t.Error("a killed broker still listens")
	}
	k.Restart()
	if k.Addr() != addr {
		t.Errorf("restarted on %s, was on %s", k.Addr(), addr)
	}
	if got := committed(t, k, "changes", 1); !slices.Equal(got, want) {
		t.Errorf("after SIGKILL: %q, want %q", got, want)
	}

	again := newClient(t, k, kgo.TransactionalID("slot-0"), kgo.DefaultProduceTopic("changes"))
	transact(t, again, "after the crash", kgo.TryCommit)
	k.Stop()
	k.Restart()
	want = append(want, "after the crash")
	if got := committed(t, k, "changes", 2); !slices.Equal(got, want) {
		t.Errorf("after a clean stop: %q, want %q", got, want)
	}
}
