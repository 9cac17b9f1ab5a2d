// SPDX-License-Identifier: Apache-2.0

// Command bench measures Lapwing on a real Kafka: how fast it drains a backlog, how long
// an event takes to become a change, how long readers wait after a crash, how state on
// disk and restores scale. Given a peer's folder it measures that program on the same
// topics and compares the outputs.
//
//	go run ./cmd/bench drain --rounds 3 --peer DIR
//
// README.md in this folder says what the figures mean. It is a tool for developers; it
// measures processes on Linux only.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
