// SPDX-License-Identifier: Apache-2.0

package kafkatest

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"lapwing/deploy/embedded/kafkabroker"
)

// Version is the version of the broker that Start runs.
const Version = kafkabroker.Version

// Kafka is one running broker. Its methods end the test on failure, so they belong to
// the test's own goroutine; Addr may be called from any.
type Kafka struct {
	t      testing.TB
	broker *kafkabroker.Broker
}

// Start runs a broker until the end of the test and returns once it answers. Each of
// properties is a line `key=value` of server.properties that overrides ours.
func Start(t testing.TB, properties ...string) *Kafka {
	t.Helper()
	broker, err := kafkabroker.Start(t.Context(), kafkabroker.Config{
		Dir:        t.TempDir(),
		Properties: append(testProperties(), properties...),
		Announce: func(line string) {
			t.Log(line)
			fmt.Fprintln(os.Stderr, "kafkatest: "+line)
		},
	})
	if errors.Is(err, kafkabroker.ErrLacking) {
		lacking(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	k := &Kafka{t: t, broker: broker}
	t.Cleanup(k.cleanup)
	return k
}

// Addr is the broker's host and port, the same after Restart.
func (k *Kafka) Addr() string { return k.broker.Addr() }

// Kill ends the broker by SIGKILL and returns when it is gone.
func (k *Kafka) Kill() {
	k.t.Helper()
	k.must(k.broker.Kill())
}

// Stop ends the broker in good order and returns when it is gone.
func (k *Kafka) Stop() {
	k.t.Helper()
	k.must(k.broker.Stop())
}

// Restart starts the broker again on its address and data, after Kill or Stop; a broker
// that still runs is stopped first. It returns once the broker answers.
func (k *Kafka) Restart() {
	k.t.Helper()
	k.must(k.broker.Restart(k.t.Context()))
}

func (k *Kafka) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

// cleanup has no use for good order: the data goes too.
func (k *Kafka) cleanup() {
	k.broker.Close()
	if k.t.Failed() {
		k.t.Logf("the broker's last words:\n%s", k.broker.LogTail())
	}
}

// lacking skips the test, or fails it where nothing may be skipped.
func lacking(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%v (CI=true: nothing may be skipped)", err)
	}
	t.Skip(err)
}
