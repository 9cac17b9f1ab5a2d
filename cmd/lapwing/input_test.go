// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// during calls then at its first read, and goes on with in.
type during struct {
	then func()
	in   io.Reader
}

func (d *during) Read(p []byte) (int, error) {
	if d.then != nil {
		d.then()
		d.then = nil
	}
	return d.in.Read(p)
}

// TestSignalWhileStdinIsAwaited: whatever reads standard input ends with 130 though not
// one byte comes, and says so in one line.
func TestSignalWhileStdinIsAwaited(t *testing.T) {
	for name, s := range map[string]syscall.Signal{"interrupted": syscall.SIGINT, "terminated": syscall.SIGTERM} {
		for _, args := range []string{"replay -d preset:customer-value -", "replay -d preset:customer-value --explain u1", "replay -d - sample:cdnow", "check -", "test -"} {
			t.Run(name+" "+args, func(t *testing.T) {
				ctx, stop := untilSignal(t.Context())
				defer stop()
				silent, writer := io.Pipe()
				defer func() { _ = writer.Close() }()
				stdin := &during{func() { _ = syscall.Kill(os.Getpid(), s) }, silent}
				var stdout, stderr bytes.Buffer
				code := run(ctx, strings.Fields(args), noEnv, stdin, &stdout, &stderr)
				if code != exitInterrupted || stderr.String() != "lapwing: "+name+"\n" || stdout.Len() > 0 {
					t.Errorf("exit %d: %s%s", code, stderr.String(), stdout.String())
				}
			})
		}
	}
}

// TestInterruptedWhileAPipeHasNoWriter: to open a named pipe waits for the other end.
func TestInterruptedWhileAPipeHasNoWriter(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errInterrupt)
	var stderr bytes.Buffer
	code := run(ctx, []string{"replay", "-d", "preset:customer-value", pipe}, noEnv, nil, io.Discard, &stderr)
	if code != exitInterrupted {
		t.Errorf("exit %d: %s", code, stderr.String())
	}
	// The open left behind would wait for ever.
	writer, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
}

// TestInterruptedInTheMiddleOfALine: a line without end is left in the middle, whether
// it is still kept or already beyond what is; what came before is printed in whole lines.
func TestInterruptedInTheMiddleOfALine(t *testing.T) {
	const good = `{"type":"track","event":"Order Completed","userId":"u1","timestamp":"1997-01-01"}` + "\n"
	for _, size := range []int64{1 << 20, maxLineBytes + 1<<20} {
		for _, args := range []string{"", "--dead-letters=" + filepath.Join(t.TempDir(), "dead.jsonl")} {
			t.Run(fmt.Sprint(size, args != ""), func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				stdin := io.MultiReader(strings.NewReader(good), io.LimitReader(repeat('x'), size),
					&during{func() { cancel(errInterrupt) }, repeat('y')})
				var stdout, stderr bytes.Buffer
				command := append([]string{"replay", "-d", "preset:customer-value"}, strings.Fields(args)...)
				code := run(ctx, command, noEnv, stdin, &stdout, &stderr)
				if code != exitInterrupted || stderr.String() != "lapwing: interrupted\n" {
					t.Errorf("exit %d: %s", code, stderr.String())
				}
				if out := stdout.String(); strings.Count(out, "\n") != 1 || !strings.HasSuffix(out, "}\n") {
					t.Errorf("printed %q", out)
				}
			})
		}
	}
}

// TestInterruptedWhileUnpacking: what a small file unpacks to is left in the middle.
func TestInterruptedWhileUnpacking(t *testing.T) {
	for _, name := range []string{"bomb.gz", "bomb.zst"} {
		file := filepath.Join(t.TempDir(), name)
		pack(t, file, io.LimitReader(repeat('x'), 64<<20), 0)
		ctx, cancel := context.WithCancelCause(t.Context())
		in, err := (&app{}).openEvents(ctx, file)
		if err != nil {
			t.Fatal(err)
		}
		part := make([]byte, 1<<20)
		if _, err := io.ReadFull(in, part); err != nil {
			t.Fatal(err)
		}
		cancel(errInterrupt)
		n, err := io.Copy(io.Discard, in)
		if n > 0 || !errors.Is(err, errInterrupt) {
			t.Errorf("%s: %d more bytes, then %v", name, n, err)
		}
		if err := in.Close(); err != nil {
			t.Error(err)
		}
	}
}

// pack compresses in by the file's name and leaves the last cut bytes away.
func pack(t *testing.T, file string, in io.Reader, cut int) {
	t.Helper()
	var packed bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&packed)
	if strings.HasSuffix(file, ".zst") {
		var err error
		if w, err = zstd.NewWriter(&packed, zstd.WithEncoderConcurrency(1)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := io.Copy(w, in)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, packed.Bytes()[:packed.Len()-cut], 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestReplayOfAFileCutShort says so, where, and what became of the lines before: their
// records are printed, whole, and their dead letters are counted.
func TestReplayOfAFileCutShort(t *testing.T) {
	var events strings.Builder
	events.WriteString("no event\n")
	for i := range 30_000 {
		fmt.Fprintf(&events, `{"type":"track","event":"Order Completed","userId":"u%d","timestamp":"1997-01-01","properties":{"order_id":%d}}`+"\n", i, i*7919%10_007)
	}
	for _, name := range []string{"events.jsonl.gz", "events.jsonl.zst"} {
		file := filepath.Join(t.TempDir(), name)
		pack(t, file, strings.NewReader(events.String()), 2000)
		code, out, stderr := replayed(t, nil, file)
		problems := strings.Split(stderr, "\n")
		var line int
		if _, err := fmt.Sscanf(problems[0], "lapwing: read "+file+", line %d: the file is cut short (unexpected EOF); the lines before it were processed", &line); err != nil {
			t.Fatalf("exit %d: %s", code, stderr)
		}
		if code != exitInput || len(problems) != 3 || problems[1] != "dead letters: 1 (invalid_json 1)" {
			t.Errorf("exit %d: %s", code, stderr)
		}
		// Line 1 is the dead letter, and each other one a customer's first record.
		if n := strings.Count(out, "}\n"); line < 3 || n != line-2 || !strings.HasSuffix(out, "}\n") {
			t.Errorf("%s: %d records are printed of the lines before line %d", name, n, line)
		}
	}
}

// TestNothingSteersTheTerminal: what comes out of a file is shown without the characters
// that a terminal obeys.
func TestNothingSteersTheTerminal(t *testing.T) {
	const escape = "\x1b[2J\x9b31m\x00"
	event := `{"type":"identify","messageId":"\u001b[2J\u009b31m","userId":"u\u001b[31m","timestamp":"1997-01-01","traits":{"country":"\u202e\u001b"}}`
	for _, c := range []struct {
		args  []string
		stdin string
		code  int
		shows string
	}{
		{[]string{"check", "-"}, "lapwing: 1\nname: " + escape + "\n", exitInput, "-:2:7: "},
		{[]string{"test", "-"}, "\x7fELF" + escape, exitInput, "-:1: the first line states"},
		{[]string{"test", "-"}, "# Rule " + escape + "\ndefinition: preset:customer-value\non 1997-01-01 ana buys 1\nexpect ana is new\n", 0, "ok    -  (1 events, 1 expectations)  Rule \ufffd[2J"},
		{[]string{"test", "-"}, "# Rule\ndefinition: preset:customer-value\non \x1bc ana buys 1\n", exitInput, "-:3: \ufffdc is no time"},
		{[]string{"replay", "-d", "preset:customer-value", "--explain", "u\x1b[31m"}, event, 0, "customer u\ufffd[31m"},
		{[]string{"replay", "-d", "preset:customer-value", "nosuch" + escape}, "", exitInput, "nosuch\ufffd[2J"},
	} {
		var out bytes.Buffer
		code := run(t.Context(), c.args, noEnv, strings.NewReader(c.stdin), &out, &out)
		if shown := out.String(); code != c.code || !strings.Contains(shown, c.shows) || strings.ContainsAny(shown, "\x1b\x00\u009b\x7f\u202e") || strings.ToValidUTF8(shown, "") != shown {
			t.Errorf("%q: exit %d: %q; want %q", c.args, code, shown, c.shows)
		}
	}
}

// TestDeadLettersSpareRedirectedFiles: a file that the shell made standard input or
// output is found behind its other name too.
func TestDeadLettersSpareRedirectedFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	if err := os.WriteFile(path, []byte("no event\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for _, c := range []struct {
		in  io.Reader
		out io.Writer
	}{{file, io.Discard}, {strings.NewReader(""), file}} {
		var stderr bytes.Buffer
		code := run(t.Context(), []string{"replay", "-d", "preset:customer-value", "--dead-letters", path}, noEnv, c.in, c.out, &stderr)
		if kept, err := os.ReadFile(path); code != exitUsage || !strings.Contains(stderr.String(), "name another file") || err != nil || string(kept) != "no event\n" {
			t.Errorf("exit %d: %s; the file holds %q (%v)", code, stderr.String(), kept, err)
		}
	}
}

// TestExplainTellsWhatFellOut: of 5,000 purchases the functions that read values see the
// newest 4,096, and explain says so; of 4,096 all.
func TestExplainTellsWhatFellOut(t *testing.T) {
	for _, c := range []struct {
		events int
		want   string
	}{
		{4096, "  purchase 4,096 times, last on 1 January 1997, 01:08:15\n"},
		{4097, "  purchase 4,097 times, last on 1 January 1997, 01:08:16; the oldest is no longer read by sum, avg, min, max, unique, days, count_since, rhythm and favourite\n"},
		{5000, "  purchase 5,000 times, last on 1 January 1997, 01:23:19; the oldest 904 are no longer read by sum, avg, min, max, unique, days, count_since, rhythm and favourite\n"},
	} {
		var events strings.Builder
		for i := range c.events {
			fmt.Fprintf(&events, `{"type":"track","event":"Order Completed","userId":"u1","timestamp":"1997-01-01T%02d:%02d:%02dZ","properties":{"total":1}}`+"\n", i/3600, i/60%60, i%60)
		}
		code, out, stderr := replayed(t, strings.NewReader(events.String()), "--explain", "u1")
		if code != 0 || !strings.Contains(out, c.want) {
			t.Errorf("%d events: exit %d: %s%s", c.events, code, out, stderr)
		}
	}
}
