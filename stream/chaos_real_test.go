// SPDX-License-Identifier: Apache-2.0

//go:build linux

package stream

import (
	"syscall"
	"testing"

	"lapwing/deploy/embedded/kafkatest"
)

const (
	sigterm = syscall.SIGTERM
	sigstop = syscall.SIGSTOP
	sigcont = syscall.SIGCONT
)

// TestChaosRealKafka is the part of the chaos suite that needs processes and a real
// broker. The tests share one, each with topics and a group of its own, and run beside
// each other; the one that harms the broker has its own.
func TestChaosRealKafka(t *testing.T) {
	t.Run("Workers", func(t *testing.T) { // and, below, returns once all have ended
		// On a busy machine a broker that has to report to its controller within the tests'
		// usual 1.5 s is taken for dead again and again, and its partitions have no leader.
		// (The other test needs it to be taken for dead before it comes back.)
		kafka := kafkatest.Start(t, "log.cleaner.backoff.ms=200", "log.cleaner.min.compaction.lag.ms=0", "broker.session.timeout.ms=9000")
		for _, f := range []struct {
			name string
			run  func(*testing.T, *kafkatest.Kafka)
		}{
			{"Chaos01KillRandomWorkers", chaos01KillRandomWorkers},
			{"Chaos02RollingRestart", chaos02RollingRestart},
			{"Chaos03StoppedWorkerUnderLoad", chaos03StoppedWorkerUnderLoad},
			{"Chaos03StoppedWorkerWithDeadlines", chaos03StoppedWorkerWithDeadlines},
			{"Chaos13TwoUnderOneName", chaos13TwoUnderOneName},
			{"Chaos15LocalStore", chaos15LocalStore},
			{"Chaos15DiskFull", chaos15DiskFull},
			{"Chaos16CompactedChangelog", chaos16CompactedChangelog},
			{"Chaos22Rescale", chaos22Rescale},
		} {
			t.Run(f.name, func(t *testing.T) {
				t.Parallel()
				f.run(t, kafka)
			})
		}
	})
	t.Run("Chaos12BrokerAway", func(t *testing.T) { chaos12BrokerAway(t, kafkatest.Start(t)) })
}
