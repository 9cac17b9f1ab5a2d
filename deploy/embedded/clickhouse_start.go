// SPDX-License-Identifier: Apache-2.0

//go:build !noembedded && (linux || darwin) && (amd64 || arm64)

package embedded

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"go.uber.org/zap"

	"lapwing/deploy/embedded/chdblib"
)

// EnsureLibrary returns the path of the engine's shared library. It fetches it
// into the user's cache if it is nowhere on this machine, and announces that on
// progress (nil for nowhere). See package chdblib for where it looks.
func EnsureLibrary(ctx context.Context, progress io.Writer) (path string, err error) {
	return chdblib.Ensure(ctx, progress)
}

// StartClickHouse starts the engine over a data folder and returns once it
// answers. ctx bounds the start, which on a machine without the library includes
// its download, and not the engine's life. The engine is this same program,
// started again: main must call RunChild before anything else.
//
// It returns ErrInUse if another process serves the folder.
func StartClickHouse(ctx context.Context, cfg ClickHouseConfig) (*ClickHouse, error) {
	if isChild() {
		return nil, errors.New("start the embedded ClickHouse: this process is itself one; main and TestMain must call embedded.RunChild before anything else")
	}
	child, err := childConfigOf(cfg)
	if err != nil {
		return nil, fmt.Errorf("start the embedded ClickHouse: %w", err)
	}
	if child.Library, err = EnsureLibrary(ctx, cfg.Progress); err != nil {
		return nil, fmt.Errorf("start the embedded ClickHouse: %w", err)
	}
	c, err := startChild(ctx, child, cfg.Log)
	if err != nil {
		return nil, fmt.Errorf("start the embedded ClickHouse in %s: %w", cfg.Dir, err)
	}
	return c, nil
}

// childConfigOf checks a configuration and fills in its defaults.
func childConfigOf(cfg ClickHouseConfig) (childConfig, error) {
	if cfg.Dir == "" || cfg.Log == nil {
		return childConfig{}, errors.New("a data folder and a log are needed")
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return childConfig{}, err
	}
	child := childConfig{
		Dir: dir, User: clickHouseUser, Password: cfg.Password, Database: clickHouseDatabase, MaxMemoryBytes: cfg.MaxMemoryBytes,
		HTTPAddr: cmp.Or(cfg.HTTPAddr, "127.0.0.1:0"), NativeAddr: cmp.Or(cfg.NativeAddr, "127.0.0.1:0"),
	}
	for _, addr := range []string{child.HTTPAddr, child.NativeAddr} {
		if a, err := netip.ParseAddrPort(addr); err != nil || !a.Addr().IsLoopback() {
			return childConfig{}, fmt.Errorf("the address %q is not one of loopback, such as 127.0.0.1:8123: whoever reaches the engine can read this user's files", addr)
		}
	}
	if child.Password == "" {
		child.Password = rand.Text()
	}
	return child, nil
}

// startChild starts the process, hands it its configuration over its standard
// input, which then stays open as its lifeline, and waits for its ready line.
func startChild(ctx context.Context, cfg childConfig, log *zap.Logger) (*ClickHouse, error) {
	workDir := filepath.Join(cfg.Dir, "clickhouse-work")
	if err := os.MkdirAll(workDir, 0o700); err != nil {
		return nil, err
	}
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's file: %w", err)
	}
	cmd := exec.Command(executable) //nolint:gosec,noctx // our own file; it outlives ctx
	cmd.Dir = workDir
	// The engine takes its time zone from the process, and has no setting for it.
	cmd.Env = append(os.Environ(), childVariable+"=1", "TZ=UTC")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C in a terminal is for the parent, which then ends the child
	stderr := &tailWriter{log: log}
	cmd.Stderr = stderr
	ready := &readyWriter{log: log, answer: make(chan childReady, 1)}
	cmd.Stdout = ready
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(cfg) //nolint:gosec // G117: the password goes to the child alone, through its standard input
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &ClickHouse{
		User: cfg.User, Password: cfg.Password, Database: cfg.Database,
		command: cmd, lifeline: stdin, done: make(chan struct{}),
	}
	go func() { // ends with the child, which ends at the latest with this process
		defer close(c.done)
		if c.err = cmd.Wait(); !c.ending.Load() {
			log.Error("embedded ClickHouse has ended by itself", zap.Error(c.err), zap.String("stderr", stderr.tail()))
		}
	}()
	// Where this fails the child has ended, and that is reported below.
	_, _ = stdin.Write(append(config, '\n'))
	select {
	case r := <-ready.answer:
		if r.Error != "" {
			c.Kill()
			if r.InUse {
				return nil, ErrInUse
			}
			return nil, fmt.Errorf("%s: %s", r.Error, stderr.tail())
		}
		c.HTTPAddr, c.NativeAddr = r.HTTPAddr, r.NativeAddr
		log.Info("embedded ClickHouse is up", zap.String("version", r.Version), zap.String("http", r.HTTPAddr), zap.String("native", r.NativeAddr), zap.Int("pid", c.Pid()))
		return c, nil
	case <-c.done:
		return nil, fmt.Errorf("its process ended before it was ready (%w; does main call embedded.RunChild before anything else?): %s", cmp.Or(c.err, errors.New("exit status 0")), stderr.tail())
	case <-ctx.Done():
		c.Kill()
		return nil, context.Cause(ctx)
	}
}

// readyPrefix begins the line by which the child says that it is ready, or why
// it never will be; the rest is a childReady. Other lines are the engine's.
const readyPrefix = "lapwing embedded clickhouse: "

// readyWriter takes the child's standard output, finds the ready line in it and
// logs the rest.
type readyWriter struct {
	log      *zap.Logger
	line     []byte
	answered bool
	answer   chan childReady // takes one
}

func (w *readyWriter) Write(p []byte) (int, error) {
	w.line = append(w.line, p...)
	for {
		line, rest, ok := bytes.Cut(w.line, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		w.line = rest
		answer, ok := bytes.CutPrefix(line, []byte(readyPrefix))
		var r childReady
		if ok && json.Unmarshal(answer, &r) == nil {
			if !w.answered {
				w.answered = true
				w.answer <- r
			} else { // it was ready, and has failed since
				w.log.Error("embedded ClickHouse has failed", zap.String("reason", r.Error))
			}
			continue
		}
		w.log.Debug("embedded ClickHouse says", zap.ByteString("line", line))
	}
}

// tailWriter takes the child's standard error: it logs it, and keeps its end for
// an error message. Safe for concurrent use.
type tailWriter struct {
	log *zap.Logger

	mu   sync.Mutex
	kept []byte
}

// tailBytes is how much of it an error message shows at most.
const tailBytes = 4 << 10

func (w *tailWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept = append(w.kept, p...)
	w.kept = w.kept[max(0, len(w.kept)-tailBytes):]
	lines := bufio.NewScanner(bytes.NewReader(p))
	for lines.Scan() {
		w.log.Debug("embedded ClickHouse says", zap.String("line", lines.Text()))
	}
	return len(p), nil
}

func (w *tailWriter) tail() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.TrimSpace(string(w.kept))
}
