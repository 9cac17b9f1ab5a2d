// SPDX-License-Identifier: Apache-2.0

//go:build !noembedded

package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

// brokerPatience bounds what takes milliseconds when it works.
const brokerPatience = 20 * time.Second

func startBroker(t *testing.T, cfg BrokerConfig) *Broker {
	t.Helper()
	b, err := StartBroker(cfg)
	if err != nil {
		t.Fatalf("start broker: %v", err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close broker: %v", err)
		}
	})
	return b
}

func brokerClient(t *testing.T, addrs []string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(addrs...), kgo.MetadataMinAge(50 * time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatalf("new client: %v", err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func createBrokerTopic(t *testing.T, cl *kgo.Client, partitions int32, configs map[string]*string, topic string) {
	t.Helper()
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), partitions, 1, configs, topic); err != nil {
		t.Fatalf("create topic %s: %v", topic, err)
	}
}

// readBroker returns the values of a topic's first n records, or what came until ctx ended.
func readBroker(ctx context.Context, cl *kgo.Client, n int) ([]string, error) {
	var got []string
	for len(got) < n {
		fs := cl.PollFetches(ctx)
		if err := errors.Join(fs.Err0(), ctx.Err()); err != nil {
			return got, fmt.Errorf("read %d of %d records: %w", len(got), n, err)
		}
		fs.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	return got, nil
}

func TestBrokerKeepsItsDataAcrossCloseAndOpen(t *testing.T) {
	dir := t.TempDir()
	first := startBroker(t, BrokerConfig{Dir: dir})
	cl := brokerClient(t, first.Addrs(), kgo.DefaultProduceTopic("orders"))
	createBrokerTopic(t, cl, 1, nil, "orders")
	for _, v := range []string{"a", "b", "c"} {
		if err := cl.ProduceSync(t.Context(), kgo.StringRecord(v)).FirstErr(); err != nil {
			t.Fatalf("produce %s: %v", v, err)
		}
	}
	if err := kadm.NewClient(cl).CommitAllOffsets(t.Context(), "readers", kadm.Offsets{"orders": {0: {Topic: "orders", At: 2, LeaderEpoch: -1}}}); err != nil {
		t.Fatalf("commit offsets: %v", err)
	}
	cl.Close()
	if err := first.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}

	second := startBroker(t, BrokerConfig{Dir: dir})
	ctx, cancel := context.WithTimeout(t.Context(), brokerPatience)
	defer cancel()
	reader := brokerClient(t, second.Addrs(), kgo.ConsumeTopics("orders"), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	got, err := readBroker(ctx, reader, 3)
	if err != nil || strings.Join(got, "") != "abc" {
		t.Errorf("after reopening: got %q, %v; want a b c", got, err)
	}
	offsets, err := kadm.NewClient(reader).FetchOffsets(ctx, "readers")
	if o, ok := offsets.Lookup("orders", 0); err != nil || !ok || o.At != 2 {
		t.Errorf("committed offset after reopening: %+v, %v; want 2", o, err)
	}
}

func TestBrokerInMemoryForgets(t *testing.T) {
	first := startBroker(t, BrokerConfig{})
	cl := brokerClient(t, first.Addrs())
	createBrokerTopic(t, cl, 1, nil, "orders")
	cl.Close()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	topics, err := kadm.NewClient(brokerClient(t, startBroker(t, BrokerConfig{}).Addrs())).ListTopics(t.Context())
	if err != nil || topics.Has("orders") {
		t.Errorf("a new broker in memory knows topics %v (%v), want none", topics.Names(), err)
	}
}

func TestBrokerListensWhereItIsTold(t *testing.T) {
	b := startBroker(t, BrokerConfig{})
	addrs := b.Addrs()
	if len(addrs) != 1 || !strings.HasPrefix(addrs[0], "127.0.0.1:") || strings.HasSuffix(addrs[0], ":0") {
		t.Fatalf("default address: %v, want one, on loopback, with its real port", addrs)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	again := startBroker(t, BrokerConfig{Addr: addrs[0]})
	if got := again.Addrs(); !slices.Equal(got, addrs) {
		t.Errorf("address %s: listens on %v", addrs[0], got)
	}
	if _, err := StartBroker(BrokerConfig{Addr: addrs[0]}); err == nil {
		t.Error("two brokers on one port: want an error")
	}
}

func TestBrokerAddressIsChecked(t *testing.T) {
	for _, addr := range []string{"9092", "127.0.0.1:http", "127.0.0.1:65536", "127.0.0.1:-1", ":9092", "0.0.0.0:9092", "[::]:9092"} {
		b, err := StartBroker(BrokerConfig{Addr: addr})
		if err == nil {
			t.Errorf("address %q was accepted", addr)
			_ = b.Close()
		} else if !strings.Contains(err.Error(), addr) {
			t.Errorf("address %q: the error does not name it: %v", addr, err)
		}
	}
}

func TestBrokerFolderHasOneOwner(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, BrokerConfig{Dir: dir})
	if _, err := StartBroker(BrokerConfig{Dir: dir}); !errors.Is(err, ErrBrokerInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second broker: %v, want ErrBrokerInUse with the folder", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	startBroker(t, BrokerConfig{Dir: dir})
}

func TestBrokerLeavesNoGoroutineBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	b, err := StartBroker(BrokerConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addrs()...))
	if err != nil {
		t.Fatal(err)
	}
	if err := cl.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The client is closed last: the broker must cut its connections itself.
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	cl.Close()
	goleak.VerifyNone(t, before)
}

func TestBrokerTransactionsShowOnlyWhatIsCommitted(t *testing.T) {
	b := startBroker(t, BrokerConfig{})
	tx := brokerClient(t, b.Addrs(), kgo.TransactionalID("slot-0"), kgo.DefaultProduceTopic("changes"))
	createBrokerTopic(t, tx, 1, nil, "changes")
	for _, run := range []struct {
		value string
		end   kgo.TransactionEndTry
	}{{"aborted", kgo.TryAbort}, {"committed", kgo.TryCommit}} {
		if err := tx.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := tx.ProduceSync(t.Context(), kgo.StringRecord(run.value)).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := tx.EndTransaction(t.Context(), run.end); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), brokerPatience)
	defer cancel()
	reader := brokerClient(t, b.Addrs(), kgo.ConsumeTopics("changes"),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if got, err := readBroker(ctx, reader, 1); err != nil || !slices.Equal(got, []string{"committed"}) {
		t.Errorf("read committed: %q, %v", got, err)
	}
}

// A worker that died without leaving must get its partitions back under the same
// instance id at once, not after the session timeout, which here is past all patience.
func TestBrokerGivesAStaticMemberItsPartitionsBack(t *testing.T) {
	b := startBroker(t, BrokerConfig{})
	admin := brokerClient(t, b.Addrs(), kgo.DefaultProduceTopic("in"))
	createBrokerTopic(t, admin, 1, nil, "in")
	createBrokerTopic(t, admin, 1, nil, "out")
	for _, value := range []string{"first", "second"} {
		if err := admin.ProduceSync(t.Context(), kgo.StringRecord(value)).FirstErr(); err != nil {
			t.Fatal(err)
		}
		s, err := kgo.NewGroupTransactSession(
			kgo.SeedBrokers(b.Addrs()...), kgo.MetadataMinAge(50*time.Millisecond),
			kgo.ConsumerGroup("stream"), kgo.ConsumeTopics("in"), kgo.InstanceID("slot-0"),
			kgo.SessionTimeout(4*time.Minute), kgo.HeartbeatInterval(100*time.Millisecond),
			kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			kgo.TransactionalID("stream-slot-0"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), brokerPatience)
		got, err := readBroker(ctx, s.Client(), 1)
		if err != nil || !slices.Equal(got, []string{value}) {
			t.Fatalf("the member's turn for %q: got %q, %v", value, got, err)
		}
		if err := s.Begin(); err != nil {
			t.Fatal(err)
		}
		s.Produce(ctx, &kgo.Record{Topic: "out", Value: []byte(value)}, kgo.AbortingFirstErrPromise(s.Client()).Promise())
		if committed, err := s.End(ctx, kgo.TryCommit); err != nil || !committed {
			t.Fatalf("end: committed %v, %v", committed, err)
		}
		s.Close() // a static member sends no LeaveGroup: to the broker it looks dead
		cancel()
	}
}

func TestBrokerTakesTheTopicSettingsWeUse(t *testing.T) {
	b := startBroker(t, BrokerConfig{Dir: t.TempDir()})
	cl := brokerClient(t, b.Addrs(), kgo.ProducerBatchMaxBytes(8<<20), kgo.ProducerBatchCompression(kgo.NoCompression()))
	configs := map[string]*string{
		"cleanup.policy":      kadm.StringPtr("compact"),
		"delete.retention.ms": kadm.StringPtr("86400000"),
		"segment.ms":          kadm.StringPtr("3600000"),
		"retention.ms":        kadm.StringPtr("-1"),
		"max.message.bytes":   kadm.StringPtr("16777216"),
		"compression.type":    kadm.StringPtr("producer"),
	}
	createBrokerTopic(t, cl, 3, configs, "state")
	described, err := kadm.NewClient(cl).DescribeTopicConfigs(t.Context(), "state")
	if err != nil {
		t.Fatal(err)
	}
	on, err := described.On("state", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range configs {
		i := slices.IndexFunc(on.Configs, func(c kadm.Config) bool { return c.Key == name })
		if i < 0 || on.Configs[i].MaybeValue() != *want {
			t.Errorf("setting %s is not what was asked for (%s): %+v", name, *want, on.Configs)
		}
	}
	big := &kgo.Record{Topic: "state", Value: make([]byte, 6<<20)}
	if err := cl.ProduceSync(t.Context(), big).FirstErr(); err != nil {
		t.Errorf("a record of 6 MiB: %v", err)
	}
}

func TestBrokerKeepsRecordsOfYearsAgo(t *testing.T) {
	b := startBroker(t, BrokerConfig{})
	cl := brokerClient(t, b.Addrs())
	createBrokerTopic(t, cl, 1, nil, "orders")
	described, err := kadm.NewClient(cl).DescribeTopicConfigs(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	on, err := described.On("orders", nil)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(on.Configs, func(c kadm.Config) bool { return strings.HasSuffix(c.Key, "retention.ms") && c.MaybeValue() == "-1" })
	if i < 0 {
		t.Errorf("retention of a topic without settings is not unlimited: %+v", on.Configs)
	}
}
