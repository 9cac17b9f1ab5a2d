// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// The exit codes every command keeps to.
const (
	exitFine        = 0
	exitInput       = 1 // the user's input, or a failed check
	exitUsage       = 2
	exitUnreachable = 3 // a dependency could not be reached
	exitInterrupted = 130
)

// exitError carries the exit code of an error; any other error is exitInput. A nil
// err means that all there is to say has been printed.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// errFailed ends a command that has already said what failed.
var errFailed = &exitError{code: exitInput}

func usageError(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

func unreachable(err error) error { return &exitError{code: exitUnreachable, err: err} }

// The causes of the context's end; context.Cause tells which it was.
var (
	errInterrupt = errors.New("interrupted")
	errTerminate = errors.New("terminated")
)

// untilSignal is a context that ends at the first SIGINT or SIGTERM. A second one
// ends the process at once, as if nobody listened.
func untilSignal(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case s := <-signals:
			signal.Stop(signals)
			if s == os.Interrupt {
				cancel(errInterrupt)
			} else {
				cancel(errTerminate)
			}
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(context.Canceled)
		<-done
	}
}

// interrupted is what a command returns when its context ended before its work.
func interrupted(ctx context.Context) error {
	return &exitError{code: exitInterrupted, err: context.Cause(ctx)}
}
