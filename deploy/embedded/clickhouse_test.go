// SPDX-License-Identifier: Apache-2.0

//go:build !noembedded && (linux || darwin) && (amd64 || arm64)

package embedded_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"lapwing/deploy/embedded"
	"lapwing/deploy/embedded/embeddedtest"
)

// parentVariable makes the test program one that starts an engine over the
// folder it names and then does nothing, until it is killed.
const parentVariable = "LAPWING_TEST_ENGINE_PARENT"

func TestMain(m *testing.M) {
	embedded.RunChild()
	if dir := os.Getenv(parentVariable); dir != "" {
		ch, err := embedded.StartClickHouse(context.Background(), embedded.ClickHouseConfig{Dir: dir, Log: zap.NewNop()})
		fmt.Println(ch != nil, err)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}
	os.Exit(m.Run())
}

// patience bounds waits for other processes.
const patience = 20 * time.Second

// start starts an engine over a folder; the caller or the test's end closes it.
func start(t *testing.T, cfg embedded.ClickHouseConfig) *embedded.ClickHouse {
	t.Helper()
	embeddedtest.RequireLibrary(t)
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	ch, err := embedded.StartClickHouse(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ch.Close() })
	return ch
}

// eventually polls until done says so.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	late := time.After(patience)
	for !done() {
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

func TestClickHouseKeepsItsDataAndEndsWithoutATrace(t *testing.T) {
	before := goleak.IgnoreCurrent()
	dir := t.TempDir()
	ch := start(t, embedded.ClickHouseConfig{Dir: dir})
	if group, err := syscall.Getpgid(ch.Pid()); err != nil || group != ch.Pid() {
		t.Errorf("process group %d of process %d, %v: Ctrl-C in a terminal would reach it", group, ch.Pid(), err)
	}
	conn, err := clickhouse.Open(ch.Options())
	if err != nil {
		t.Fatal(err)
	}

	mustExec(t, conn, "CREATE TABLE kept (a UInt64) ENGINE = MergeTree ORDER BY a")
	mustExec(t, conn, "INSERT INTO kept VALUES (1), (2)")
	if zone := scalar[string](t.Context(), t, conn, "SELECT timezone()"); zone != "UTC" {
		t.Errorf("the time zone is %s", zone)
	}
	_ = conn.Close()
	for range 2 {
		if err := ch.Close(); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-ch.Done():
	default:
		t.Fatal("Close has returned before the process ended")
	}
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}

	ch = start(t, embedded.ClickHouseConfig{Dir: dir, Password: "as wished"})
	if ch.Password != "as wished" {
		t.Errorf("the password is %q", ch.Password)
	}
	if n := scalar[uint64](t.Context(), t, openClient(t, ch.Options()), "SELECT sum(a) FROM kept"); n != 3 {
		t.Errorf("the sum is %d after a restart", n)
	}
}

func TestClickHouseNeedsThePassword(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	ch := start(t, embedded.ClickHouseConfig{Dir: t.TempDir(), Log: zap.New(core)})
	if len(ch.Password) < 20 {
		t.Errorf("%q is too short for a random password", ch.Password)
	}
	for _, protocol := range []clickhouse.Protocol{clickhouse.Native, clickhouse.HTTP} {
		for _, auth := range []clickhouse.Auth{{}, {Username: "default"}, {Username: "default", Password: ch.Password + "x"}, {Username: "admin", Password: ch.Password}} {
			o := clientOptions(ch, protocol)
			o.Auth = auth
			err := openClient(t, o).Exec(t.Context(), "SELECT 1")
			wantCode(t, err, 516)
		}
		mustExec(t, openClient(t, clientOptions(ch, protocol)), "SELECT 1")
	}
	for _, entry := range logs.All() {
		if strings.Contains(fmt.Sprint(entry.Message, entry.ContextMap()), ch.Password) {
			t.Errorf("the log has the password: %s %v", entry.Message, entry.ContextMap())
		}
	}
}

func TestClickHouseFolderHasOneProcess(t *testing.T) {
	dir := t.TempDir()
	first := start(t, embedded.ClickHouseConfig{Dir: dir})
	_, err := embedded.StartClickHouse(t.Context(), embedded.ClickHouseConfig{Dir: dir, Log: zap.NewNop()})
	if !errors.Is(err, embedded.ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("a second engine over the same folder: %v", err)
	}
	mustExec(t, openClient(t, first.Options()), "SELECT 1")
}

func TestClickHouseEndsWithItsParent(t *testing.T) {
	embeddedtest.RequireLibrary(t)
	dir := t.TempDir()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(program)
	parent.Env = append(os.Environ(), parentVariable+"="+dir)
	stdin, err := parent.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "true <nil>\n" {
		t.Fatalf("the parent says %q, %v", line, err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it was killed
	start(t, embedded.ClickHouseConfig{Dir: dir})
}

func TestClickHouseStartFailsClearly(t *testing.T) {
	embeddedtest.RequireLibrary(t)
	log := zap.NewNop()
	noLibrary := filepath.Join(t.TempDir(), "libchdb.so")
	if err := os.WriteFile(noLibrary, []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	inTheWay := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		name    string
		cfg     embedded.ClickHouseConfig
		library string
		ctx     context.Context
		want    string
	}{
		{name: "an address for everyone", cfg: embedded.ClickHouseConfig{Dir: t.TempDir(), Log: log, HTTPAddr: "0.0.0.0:0"}, want: `"0.0.0.0:0" is not one of loopback`},
		{name: "an address that is none", cfg: embedded.ClickHouseConfig{Dir: t.TempDir(), Log: log, NativeAddr: "here"}, want: `"here" is not one of loopback`},
		{name: "no folder", cfg: embedded.ClickHouseConfig{Log: log}, want: "a data folder and a log are needed"},
		{name: "a file for a folder", cfg: embedded.ClickHouseConfig{Dir: inTheWay, Log: log}, want: "not a directory"},
		{name: "a missing library", cfg: embedded.ClickHouseConfig{Dir: t.TempDir(), Log: log}, library: noLibrary + "x", want: "LIBCHDB"},
		{name: "a broken library", cfg: embedded.ClickHouseConfig{Dir: t.TempDir(), Log: log}, library: noLibrary, want: "load the engine's library"},
		{name: "an ended context", cfg: embedded.ClickHouseConfig{Dir: t.TempDir(), Log: log}, ctx: ended, want: context.Canceled.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.library != "" {
				t.Setenv("LIBCHDB", c.library)
			}
			if c.ctx == nil {
				c.ctx = t.Context()
			}
			ch, err := embedded.StartClickHouse(c.ctx, c.cfg)
			if err == nil {
				_ = ch.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("want an error with %q, have %v", c.want, err)
			}
		})
	}
}

// TestClickHouseKeepsWhatItAcknowledgedThroughSIGKILL kills the engine amid
// inserts of several writers. A batch is there whole if it was acknowledged, and
// whole or not at all if not.
func TestClickHouseKeepsWhatItAcknowledgedThroughSIGKILL(t *testing.T) {
	const writers, batchRows, acknowledgedAtKill = 4, 500, 60
	dir := t.TempDir()
	ch := start(t, embedded.ClickHouseConfig{Dir: dir})
	mustExec(t, openClient(t, ch.Options()), "CREATE TABLE acked (w UInt32, n UInt32, i UInt32) ENGINE = MergeTree ORDER BY (w, n, i)")
	acknowledged := make(chan [2]uint32, writers)
	var running sync.WaitGroup
	for w := range uint32(writers) {
		conn := openClient(t, clientOptions(ch, []clickhouse.Protocol{clickhouse.Native, clickhouse.HTTP}[w%2]))
		running.Go(func() {
			for n := uint32(0); ; n++ {
				batch, err := conn.PrepareBatch(context.Background(), "INSERT INTO acked")
				if err != nil {
					return // killed
				}
				for i := range uint32(batchRows) {
					if err := batch.Append(w, n, i); err != nil {
						t.Error(err)
					}
				}
				if batch.Send() != nil {
					return
				}
				acknowledged <- [2]uint32{w, n}
			}
		})
	}
	go func() {
		running.Wait()
		close(acknowledged)
	}()
	acked := map[[2]uint32]bool{}
	for a := range acknowledged {
		if acked[a] = true; len(acked) == acknowledgedAtKill {
			go ch.Kill()
		}
	}
	<-ch.Done()
	if err := ch.Close(); err == nil {
		t.Error("Close says nothing of the engine's death")
	}

	ch = start(t, embedded.ClickHouseConfig{Dir: dir})
	rows, err := openClient(t, ch.Options()).Query(t.Context(), "SELECT w, n, uniqExact(i), count() FROM acked GROUP BY w, n")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var a [2]uint32
		var distinct, n uint64
		if err := rows.Scan(&a[0], &a[1], &distinct, &n); err != nil {
			t.Fatal(err)
		}
		if distinct != batchRows || n != batchRows {
			t.Errorf("batch %v has %d rows, %d of them different", a, n, distinct)
		}
		delete(acked, a)
	}
	if rows.Err() != nil || len(acked) > 0 {
		t.Errorf("acknowledged and lost: %v, %v", acked, rows.Err())
	}
}

func TestClickHouseStopsWhatNobodyWaitsFor(t *testing.T) {
	ch := start(t, embedded.ClickHouseConfig{Dir: t.TempDir()})
	watch := openClient(t, ch.Options())
	running := func() uint64 {
		return scalar[uint64](t.Context(), t, watch, "SELECT count() FROM system.processes WHERE query LIKE '%sleepEachRow%' AND query NOT LIKE '%system.processes%'")
	}
	for name, protocol := range map[string]clickhouse.Protocol{"native": clickhouse.Native, "http": clickhouse.HTTP} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			conn := openClient(t, clientOptions(ch, protocol))
			ended := make(chan error, 1)
			go func() {
				ended <- conn.Exec(ctx, "SELECT sum(sleepEachRow(0.5)) FROM numbers(1000) SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0")
			}()
			eventually(t, "the query runs", func() bool { return running() == 1 })
			cancel()
			if err := <-ended; err == nil {
				t.Error("the query has no error")
			}
			eventually(t, "the query is gone", func() bool { return running() == 0 })
			mustExec(t, openClient(t, clientOptions(ch, protocol)), "SELECT 1")
		})
	}
}

func TestClickHouseClosesAmidStatements(t *testing.T) {
	ch := start(t, embedded.ClickHouseConfig{Dir: t.TempDir()})
	watch := openClient(t, ch.Options())
	ended := make(chan error, 2)
	for _, protocol := range []clickhouse.Protocol{clickhouse.Native, clickhouse.HTTP} {
		conn := openClient(t, clientOptions(ch, protocol))
		go func() {
			ended <- conn.Exec(t.Context(), "SELECT sum(sleepEachRow(0.5)) FROM numbers(1000) SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0")
		}()
	}
	eventually(t, "both run", func() bool {
		return scalar[uint64](t.Context(), t, watch, "SELECT count() FROM system.processes WHERE query LIKE 'SELECT sum(sleepEachRow%'") == 2
	})
	if err := ch.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := <-ended; err == nil {
			t.Error("a statement that was cut has no error")
		}
	}
}

func TestClickHouseSaysThatItDied(t *testing.T) {
	core, logs := observer.New(zapcore.ErrorLevel)
	ch := start(t, embedded.ClickHouseConfig{Dir: t.TempDir(), Log: zap.New(core)})
	if err := syscall.Kill(ch.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-ch.Done()
	if logs.FilterMessage("embedded ClickHouse has ended by itself").Len() != 1 {
		t.Errorf("the log has %v", logs.All())
	}
	if err := ch.Close(); err == nil {
		t.Error("Close says nothing of it")
	}
}

func TestClickHouseMemoryIsBounded(t *testing.T) {
	ch := start(t, embedded.ClickHouseConfig{Dir: t.TempDir(), MaxMemoryBytes: 512 << 20})
	conn := openClient(t, ch.Options())
	wantCode(t, conn.Exec(t.Context(), "SELECT length(groupArray(number)) FROM numbers(1000000000)"), 241)
	mustExec(t, conn, "SELECT 1")
}

// TestClickHouseServesManyAtOnce mixes reads, inserts and exceptions over both
// protocols, and counts in the end.
func TestClickHouseServesManyAtOnce(t *testing.T) {
	const workers, rounds, batchRows = 8, 15, 50
	ch := start(t, embedded.ClickHouseConfig{Dir: t.TempDir()})
	clients := []clickhouse.Conn{openClient(t, clientOptions(ch, clickhouse.Native)), openClient(t, clientOptions(ch, clickhouse.HTTP))}
	mustExec(t, clients[0], "CREATE TABLE many (w UInt32, i UInt64) ENGINE = MergeTree ORDER BY (w, i)")
	var all sync.WaitGroup
	for w := range uint32(workers) {
		conn := clients[w%2]
		all.Go(func() {
			for i := range uint64(rounds) {
				batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO many")
				if err != nil {
					t.Error(err)
					return
				}
				for k := range uint64(batchRows) {
					err = errors.Join(err, batch.Append(w, i*batchRows+k))
				}
				if err := errors.Join(err, batch.Send()); err != nil {
					t.Error(err)
				}
				var n uint64
				if err := conn.QueryRow(t.Context(), "SELECT count() FROM many WHERE w = ?", w).Scan(&n); err != nil || n != (i+1)*batchRows {
					t.Errorf("worker %d reads %d rows of its own after %d batches, %v", w, n, i+1, err)
				}
				var e *clickhouse.Exception
				if err := conn.Exec(t.Context(), "SELECT throwIf(1)"); !errors.As(err, &e) || e.Code != 395 {
					t.Errorf("want exception 395, have %v", err)
				}
			}
		})
	}
	all.Wait()
	if n := scalar[uint64](t.Context(), t, clients[0], "SELECT uniqExact(w, i) FROM many"); n != workers*rounds*batchRows {
		t.Errorf("%d rows of %d", n, workers*rounds*batchRows)
	}
}

// TestNoEmbeddedLeavesTheEngineOut holds what makes a static binary possible: the
// binding, which needs the system's C library, is not in a build with the tag.
func TestNoEmbeddedLeavesTheEngineOut(t *testing.T) {
	list := exec.Command("go", "list", "-deps", "-tags", "noembedded", "lapwing/deploy/embedded")
	list.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := list.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for dep := range strings.Lines(string(out)) {
		if strings.Contains(dep, "purego") || strings.Contains(dep, "/chdb") || strings.Contains(dep, "runtime/cgo") {
			t.Errorf("it depends on %s", dep)
		}
	}
}
