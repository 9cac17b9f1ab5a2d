// SPDX-License-Identifier: Apache-2.0

// Package kafkabroker runs a real Apache Kafka broker without Docker: one KRaft node in a
// child process, on loopback, gone with this process.
//
//	broker, err := kafkabroker.Start(ctx, kafkabroker.Config{Dir: dir})
//	…
//	defer broker.Close()
//	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Addr()))
//
// It needs Java 17 or later, and Maven the first time, to fetch the broker (44 MB) into
// the user's cache folder; ErrLacking says that one of them is missing. Tests start it by
// package kafkatest. It is not meant to serve production: nothing is replicated.
package kafkabroker
