// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kprom"
	"github.com/twmb/franz-go/plugin/kzap"
	"go.uber.org/zap"

	"lapwing/schemas/topics"
)

// Deps are what a Worker and a Router are given. Log is required.
type Deps struct {
	Log *zap.Logger
	// Registerer takes the metrics; nil: none are kept for anyone to read.
	Registerer prometheus.Registerer
	// Now is the business clock; nil: time.Now. The group's and the transactions'
	// timeouts do not follow it.
	Now func() time.Time
	// KafkaOpts are added to every client: TLS, SASL, a dialer.
	KafkaOpts []kgo.Opt

	pool *fetchPool // shared by the sessions and restores of a process
}

func (d *Deps) fill() {
	if d.Log == nil {
		d.Log = zap.NewNop()
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Registerer == nil {
		d.Registerer = prometheus.NewRegistry()
	}
	if d.pool == nil {
		d.pool = new(fetchPool)
		d.pool.limit = defaultPool
	}
}

// defaultPool is what is kept for clients before a worker says how much it wants kept.
const defaultPool = 8 << 20

// maxBufferedRecords and maxBufferedBytes bound what one client has on its way to the
// broker; beyond, taking in waits.
const (
	maxBufferedRecords = 100_000
	maxBufferedBytes   = 64 << 20
)

// clientOpts are the options of every client. Those that look arbitrary were
// measured: see DESIGN.md.
func clientOpts(cfg *Config, deps *Deps, name string) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.SeedBrokers(cfg.Brokers...),
		kgo.ClientID(name),
		kgo.WithLogger(kzap.New(deps.Log.Named("kafka").With(zap.String("client", name)), kzap.Level(kgo.LogLevelWarn))),
		// Below, a first produce after a commit may wait seconds for a metadata refresh.
		kgo.MetadataMinAge(50 * time.Millisecond),
		kgo.RetryBackoffFn(retryBackoff),
		kgo.FetchMaxBytes(cfg.fetchBytes()),
		kgo.FetchMaxPartitionBytes(cfg.fetchBytes() / 4),
		kgo.FetchMaxWait(20 * time.Millisecond),
		kgo.MaxDecompressBatchBytes(cfg.batchBytes()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// Positions count transaction markers: we must see them to know that the end
		// of a log is reached.
		kgo.KeepControlRecords(),
		// A position that the log no longer has is for a human: never start elsewhere.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.ProducerBatchCompression(kgo.SnappyCompression(), kgo.NoCompression()),
		kgo.ProducerBatchMaxBytes(topics.LargeMessageBytes - 4096), // room for the batch's framing
		kgo.ProducerLinger(2 * time.Millisecond),
		kgo.MaxBufferedRecords(maxBufferedRecords),
		kgo.MaxBufferedBytes(maxBufferedBytes),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	}
	return append(opts, deps.KafkaOpts...)
}

// retryBackoff is 20 ms, doubled up to one second.
func retryBackoff(tries int) time.Duration {
	return min(time.Second, 20*time.Millisecond<<min(tries, 6))
}

// sessionOpts are those of a member of a group that consumes and produces in
// transactions.
func sessionOpts(cfg *Config, deps *Deps, group, member string, slot int, consume []string) []kgo.Opt {
	metrics := kprom.NewMetrics("lapwing_kafka", kprom.Registerer(prometheus.WrapRegistererWith(
		prometheus.Labels{"group": group, "slot": strconv.Itoa(slot)}, deps.Registerer)))
	return append(clientOpts(cfg, deps, member),
		kgo.WithHooks(metrics),
		kgo.WithPools(deps.pool),
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(consume...),
		kgo.InstanceID(member),
		kgo.SessionTimeout(cfg.SessionTimeout),
		kgo.HeartbeatInterval(min(cfg.SessionTimeout/5, cfg.HeartbeatInterval)),
		kgo.RebalanceTimeout(max(cfg.SessionTimeout, 30*time.Second)),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.TransactionalID(member),
		kgo.TransactionTimeout(cfg.TransactionTimeout),
	)
}
