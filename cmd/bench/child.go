// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// stopPatience is how long a program may take to end when it is asked to.
const stopPatience = 30 * time.Second

// child is a program under measurement: a process with a group of its own, so that a
// Ctrl-C reaches only us, and what it starts ends with it.
type child struct {
	name string
	log  string // file of both its outputs
	pid  int
	tree *processTree
	done chan struct{} // closed once it is gone
	err  error         // how it ended; valid once done is closed
}

// startChild starts a program. Its death is tied to the thread that forked it (Linux), so
// that thread is kept until then.
func startChild(name, log string, environment []string, command ...string) (*child, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // in our own folder
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", name, err)
	}
	defer file.Close()                              //nolint:errcheck // the child has its own descriptor
	cmd := exec.Command(command[0], command[1:]...) //nolint:gosec,noctx // the developer's own programs; they end with stop or kill
	cmd.Stdout, cmd.Stderr = file, file
	cmd.Env = append(os.Environ(), environment...)
	ownGroup(cmd)
	c := &child{name: name, log: log, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(c.done)
		err := cmd.Start()
		started <- err
		if err == nil {
			c.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	c.pid = cmd.Process.Pid
	c.tree = newProcessTree(c.pid)
	return c, nil
}

// alive is an error with the program's last words if it has ended.
func (c *child) alive() error {
	select {
	case <-c.done:
		return fmt.Errorf("%s has ended (%v):\n%s", c.name, c.err, c.lastWords()) //nolint:errorlint // nil is an answer, too
	default:
		return nil
	}
}

// stop asks the program to end, and kills it if it does not.
func (c *child) stop() {
	_ = signalGroup(c.pid, syscall.SIGTERM) // it may have ended
	timer := time.NewTimer(stopPatience)
	defer timer.Stop()
	select {
	case <-c.done:
	case <-timer.C:
	}
	c.kill()
}

// kill ends the program, and what it started, at once, and returns when it is gone.
func (c *child) kill() {
	_ = signalGroup(c.pid, syscall.SIGKILL) // it may have ended
	<-c.done
}

// lastWords is the end of the program's log.
func (c *child) lastWords() string {
	text, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	const enough = 2000
	return string(bytes.TrimSpace(text[max(0, len(text)-enough):]))
}

// pause waits, or ends early with ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
