// SPDX-License-Identifier: Apache-2.0

//go:build !noembedded

package embedded

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/zap"

	"lapwing/deploy/embedded/internal/filelock"
)

// brokerDataFormat is part of the folder's name on disk: a format that can no longer
// be read gets a new name, so that an old folder is never half-read.
const brokerDataFormat = "broker-1"

// maxBatchBytes bounds a record batch. Kafka's default of 1 MiB is less than the
// largest event allowed (1 MiB) with its framing, and than a large customer state.
const maxBatchBytes = 16 << 20

// Broker is a Kafka-protocol broker in this process: one node, with transactions,
// consumer groups (static members too) and compaction, and without replication,
// passwords or TLS. Safe for concurrent use.
//
// What it acknowledged survives the death of the process: each batch is written to
// the operating system before the answer. It is not forced to the disk, so a power
// cut may cost the last seconds, as on a single Kafka node with default settings.
// A transaction that was open at a crash is aborted on the next start.
type Broker struct {
	cluster *kfake.Cluster
	log     *brokerLog
	lock    *filelock.Lock // nil if in memory

	closeOnce sync.Once
	closeErr  error
}

// StartBroker opens the data folder, if there is one, and listens. It returns once
// clients can connect. ErrBrokerInUse means that the folder has a live broker.
func StartBroker(cfg BrokerConfig) (*Broker, error) {
	addr, err := cfg.listenAddr()
	if err != nil {
		return nil, err
	}
	zl := cfg.Log
	if zl == nil {
		zl = zap.NewNop()
	}
	b := &Broker{log: &brokerLog{zl: zl.Named("broker")}}
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID("lapwing-embedded"),
		kfake.WithLogger(b.log),
		// The listener is ours: the library's own is always on 127.0.0.1.
		kfake.ListenFn(func(network, _ string) (net.Listener, error) { return net.Listen(network, addr) }), //nolint:noctx // listening on an address does not block
		kfake.BrokerConfigs(map[string]string{
			"message.max.bytes":          strconv.Itoa(maxBatchBytes),
			"default.replication.factor": "1",
			// Events of years ago may carry record times of years ago; a week's
			// retention would drop them as they come in. Topics set their own.
			"log.retention.ms": "-1",
		}),
	}
	if cfg.Dir != "" {
		if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
			return nil, fmt.Errorf("create broker data folder: %w", err)
		}
		b.lock, err = filelock.TryAcquire(filepath.Join(cfg.Dir, "broker.lock"))
		if errors.Is(err, filelock.ErrHeld) {
			return nil, fmt.Errorf("open broker data folder %s: %w", cfg.Dir, ErrBrokerInUse)
		} else if err != nil {
			return nil, fmt.Errorf("open broker data folder: %w", err)
		}
		opts = append(opts, kfake.DataDir(filepath.Join(cfg.Dir, brokerDataFormat)))
	}
	b.cluster, err = kfake.NewCluster(opts...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start embedded broker on %s: %w", addr, err), b.unlock())
	}
	return b, nil
}

// Addrs is where clients connect, each as host:port. Not to be called after Close.
func (b *Broker) Addrs() []string { return b.cluster.ListenAddrs() }

// Close stops listening, cuts the connections and brings the data folder to rest.
// An error means that part of what the broker remembers could not be written; the
// acknowledged records were written before. It may be called more than once.
func (b *Broker) Close() error {
	b.closeOnce.Do(func() {
		b.log.collect()
		b.cluster.Close()
		b.closeErr = errors.Join(b.log.collected(), b.unlock())
	})
	return b.closeErr
}

func (b *Broker) unlock() error {
	if b.lock == nil {
		return nil
	}
	return b.lock.Unlock()
}

// brokerLog carries the library's log to zap. The library reports a write that
// went wrong on closing only there, so from collect on, errors are kept as well.
type brokerLog struct {
	zl *zap.Logger

	mu      sync.Mutex
	keeping bool
	kept    []error
}

// Logf takes one line. Its info level is a line per request: not worth carrying.
func (l *brokerLog) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		err := fmt.Errorf(format, args...)
		l.zl.Error("embedded broker", zap.Error(err))
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.keeping {
			l.kept = append(l.kept, err)
		}
	case kfake.LogLevelWarn:
		l.zl.Warn("embedded broker", zap.String("detail", fmt.Sprintf(format, args...)))
	case kfake.LogLevelNone, kfake.LogLevelInfo, kfake.LogLevelDebug:
	}
}

func (l *brokerLog) collect() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keeping = true
}

func (l *brokerLog) collected() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.kept...)
}
