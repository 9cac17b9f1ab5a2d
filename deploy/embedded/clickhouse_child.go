// SPDX-License-Identifier: Apache-2.0

//go:build !noembedded && (linux || darwin) && (amd64 || arm64)

package embedded

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"lapwing/deploy/embedded/chdb"
	"lapwing/deploy/embedded/chfront"
	"lapwing/deploy/embedded/internal/filelock"
)

// childConfig is what the parent hands over, as one line of JSON on the child's
// standard input: unlike arguments and environment, nobody else can read it.
type childConfig struct {
	Library, Dir         string // absolute
	HTTPAddr, NativeAddr string
	User, Password       string
	Database             string
	MaxMemoryBytes       int64
}

// childReady is the child's answer, on one line of its standard output.
type childReady struct {
	HTTPAddr, NativeAddr, Version string
	Error                         string // why it will not serve
	InUse                         bool   // because another process does
}

// RunChild makes this process the engine, and ends it, if StartClickHouse has
// started it for that; else it returns at once. Call it before anything else in
// main, and in TestMain of a package whose tests start the engine.
func RunChild() {
	if !isChild() {
		return
	}
	if err := runChild(); err != nil {
		answer(childReady{Error: err.Error(), InUse: errors.Is(err, ErrInUse)})
		os.Exit(1)
	}
	// The engine's threads are not joined: its shutdown call is refused once a
	// table exists, and what was acknowledged is on the disk.
	os.Exit(0)
}

func answer(r childReady) {
	line, _ := json.Marshal(r) // strings and a bool
	_, _ = fmt.Printf("%s%s\n", readyPrefix, line)
}

// runChild serves until the parent has gone or SIGTERM comes.
func runChild() (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	signal.Ignore(os.Interrupt) // the parent decides
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	var cfg childConfig
	if err := json.Unmarshal(line, &cfg); err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	go func() { // until the parent closes its end, or dies
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()

	lock, err := lockDir(ctx, cfg.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	library, boot, err := openEngine(cfg)
	if err != nil {
		return err
	}
	defer boot.Close() // keeps the engine up until then

	front, err := chfront.New(chfront.Config{
		Library: library, DataDir: engineDir(cfg.Dir), Database: cfg.Database, User: cfg.User, Password: cfg.Password, Log: childLog(),
	})
	if err != nil {
		return err
	}
	var listen net.ListenConfig
	web, err := listen.Listen(ctx, "tcp", cfg.HTTPAddr)
	if err != nil {
		return fmt.Errorf("listen for HTTP: %w", err)
	}
	native, err := listen.Listen(ctx, "tcp", cfg.NativeAddr)
	if err != nil {
		return errors.Join(fmt.Errorf("listen for the native protocol: %w", err), web.Close())
	}
	answer(childReady{HTTPAddr: web.Addr().String(), NativeAddr: native.Addr().String(), Version: library.Version()})
	return front.Run(ctx, web, native)
}

// openEngine loads the library, opens the data folder and makes the database.
func openEngine(cfg childConfig) (*chdb.Library, *chdb.Conn, error) {
	library, err := chdb.Load(cfg.Library)
	if err != nil {
		return nil, nil, err
	}
	args := []string{"--path=" + engineDir(cfg.Dir)}
	if cfg.MaxMemoryBytes > 0 {
		args = append(args, fmt.Sprintf("--max_server_memory_usage=%d", cfg.MaxMemoryBytes))
	}
	boot, err := library.Connect(args...)
	if err != nil {
		return nil, nil, err
	}
	if err := boot.Exec("CREATE DATABASE IF NOT EXISTS `" + cfg.Database + "` ENGINE = Atomic"); err != nil {
		boot.Close()
		return nil, nil, fmt.Errorf("create the database: %w", err)
	}
	return library, boot, nil
}

func engineDir(dir string) string { return filepath.Join(dir, "clickhouse") }

// lockDir holds the data folder for this process's life. The engine has a lock
// of its own, but says only on standard error that it met one. One that is held
// is waited for a moment: it may be that of a child whose parent was killed, and
// which is just ending.
func lockDir(ctx context.Context, dir string) (*filelock.Lock, error) {
	const patience, step = 2 * time.Second, 50 * time.Millisecond
	ctx, cancel := context.WithTimeoutCause(ctx, patience, ErrInUse)
	defer cancel()
	again := time.NewTicker(step)
	defer again.Stop()
	for {
		lock, err := filelock.TryAcquire(filepath.Join(dir, "clickhouse.lock"))
		if !errors.Is(err, filelock.ErrHeld) {
			return lock, err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// childLog writes to standard error, which the parent takes into its own log.
func childLog() *zap.Logger {
	encoder := zapcore.NewConsoleEncoder(zapcore.EncoderConfig{MessageKey: "message", StacktraceKey: "stack", LineEnding: zapcore.DefaultLineEnding})
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(os.Stderr), zap.InfoLevel))
}
