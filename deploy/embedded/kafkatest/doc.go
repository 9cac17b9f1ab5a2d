// SPDX-License-Identifier: Apache-2.0

// Package kafkatest runs a real Apache Kafka broker for tests, without Docker: one
// KRaft node in a child process, on loopback and free ports, gone with the test.
//
//	k := kafkatest.Start(t)
//	cl, err := kgo.NewClient(kgo.SeedBrokers(k.Addr()))
//	…
//	k.Kill()    // SIGKILL, as a machine that dies
//	k.Restart() // the same address and data
//
// The embedded broker has no replication and ends transactions at once; whatever is
// claimed about transactions and rebalances is therefore proved against this one too.
//
// It needs Java 17 or later, and Maven the first time, to fetch the broker (44 MB) into
// the user's cache folder. A machine without them skips the test and says why; with the
// environment variable CI=true it fails instead, so that no run passes by skipping.
package kafkatest
