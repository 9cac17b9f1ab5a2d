// SPDX-License-Identifier: Apache-2.0

// Command lapwing turns a stream of customer events into live lifecycle stages.
// This package is wiring only: a file per subcommand.
package main

import (
	"context"
	"os"

	"lapwing/deploy/embedded"
)

func main() {
	embedded.RunChild() // the embedded ClickHouse is this program, started again
	ctx, stop := untilSignal(context.Background())
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
