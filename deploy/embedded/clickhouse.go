// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"go.uber.org/zap"
)

var (
	// ErrNotBuiltIn means that this program was built without the engine: with
	// the tag noembedded, or for a system that it does not run on.
	ErrNotBuiltIn = errors.New("this program was built without the embedded ClickHouse: configure a ClickHouse server, or build without the tag noembedded")
	// ErrInUse means that another process serves the data folder.
	ErrInUse = errors.New("the data folder is in use by another running process")
)

// ClickHouseConfig says what engine to start.
type ClickHouseConfig struct {
	Dir            string // the data folder; made if it is not there. One process at a time
	HTTPAddr       string // loopback address of the HTTP interface; default 127.0.0.1:0, any free port
	NativeAddr     string // loopback address of the native protocol; default 127.0.0.1:0
	Password       string // of the one user; empty: a random one
	MaxMemoryBytes int64  // for all queries together, with half of it on top at the worst; 0: the engine's default, most of the machine's memory
	Log            *zap.Logger
	Progress       io.Writer // where the library's download is announced; nil: nowhere
}

// Names that every embedded engine has.
const (
	clickHouseUser     = "default"
	clickHouseDatabase = "lapwing"
)

// closeGrace is how long Close waits for the child before it kills it.
const closeGrace = 15 * time.Second

// ClickHouse is a running engine: a child process that serves ClickHouse's two
// protocols on loopback. It is safe for concurrent use. It ends with this
// process, whatever ends this one.
type ClickHouse struct {
	HTTPAddr, NativeAddr string // host:port
	User, Password       string
	Database             string // exists; also stands in where a client names none, or "default"

	command  *exec.Cmd
	lifeline io.Closer // the child's standard input: it ends when this closes
	done     chan struct{}
	err      error // how the child ended; set before done is closed
	closing  sync.Once
	ending   atomic.Bool // we have told the child to end
}

// Options are how clickhouse-go connects, over the native protocol. Each call
// returns its own.
func (c *ClickHouse) Options() *clickhouse.Options {
	return &clickhouse.Options{
		Protocol: clickhouse.Native,
		Addr:     []string{c.NativeAddr},
		Auth:     clickhouse.Auth{Database: c.Database, Username: c.User, Password: c.Password},
	}
}

// Done is closed when the engine's process has ended.
func (c *ClickHouse) Done() <-chan struct{} { return c.done }

// Close ends the engine in order and waits until its process has ended; running
// statements are cut. It returns an error if the engine did not end by itself,
// or had already failed. What was acknowledged is on the disk either way. More
// calls return the same.
func (c *ClickHouse) Close() error {
	c.ending.Store(true)
	c.closing.Do(func() { _ = c.lifeline.Close() })
	late := time.NewTimer(closeGrace)
	defer late.Stop()
	select {
	case <-c.done:
	case <-late.C:
		c.Kill()
		return fmt.Errorf("close the embedded ClickHouse: it did not end within %v and was killed", closeGrace)
	}
	if c.err != nil {
		return fmt.Errorf("close the embedded ClickHouse: %w", c.err)
	}
	return nil
}

// Kill ends the engine's process with SIGKILL and waits for its end: what a
// crash looks like, for tests.
func (c *ClickHouse) Kill() {
	c.ending.Store(true)
	_ = c.command.Process.Signal(syscall.SIGKILL) // it fails only for a process that has ended
	<-c.done
}

// Pid is the engine's process.
func (c *ClickHouse) Pid() int { return c.command.Process.Pid }

// childVariable marks the process that RunChild turns into the engine.
const childVariable = "LAPWING_EMBEDDED_CLICKHOUSE_CHILD"

// isChild tells whether this process was started to be the engine.
func isChild() bool { return os.Getenv(childVariable) != "" }
