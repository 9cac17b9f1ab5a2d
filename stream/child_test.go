// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/presets"
)

// childEnv holds the order of a worker in a process of its own.
const childEnv = "LAPWING_TEST_WORKER"

// order is what such a process is to do, with the definition of withCampaigns.
type order struct {
	Config Config
	// Until: say done and end once all lanes are there; instant.None: go on until told.
	Until instant.Instant
	// FileBytes is the largest file the process may write, as if the disk were full
	// then; 0: any.
	FileBytes uint64
}

// word is one line of what the process says on its standard output: where it stands,
// whenever that changes, and at last how it ended.
type word struct {
	Ready  bool
	Lanes  []int32 // restored and owned now
	Aborts int     // transactions so far that were aborted
	End    string  // "done", "stopped", or the error
}

// runWorkerChild runs a worker in a process of its own, to be killed; it returns false
// in any other process. The process does not outlive the one that started it.
func runWorkerChild() bool {
	text := os.Getenv(childEnv)
	if text == "" {
		return false
	}
	go func() { // the pipe closes with our parent, however that ends
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	say := json.NewEncoder(os.Stdout)
	last := word{}
	end, err := childWorker(ctx, text, func(w word) {
		if !reflect.DeepEqual(w, last) {
			last = w
			_ = say.Encode(w)
		}
	})
	if err != nil {
		end = "failed: " + err.Error()
	}
	last.End = end
	_ = say.Encode(last)
	return true
}

func childWorker(ctx context.Context, text string, say func(word)) (end string, err error) {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return "", err
	}
	if err := limitFiles(o.FileBytes); err != nil {
		return "", err
	}
	debug.SetMemoryLimit(o.Config.MemoryLimit / 4 * 3) // as lapwing run does
	source, _ := presets.Get("customer-value")
	def, problems := definition.Parse("preset", slices.Concat(source, []byte(testCampaigns)))
	if def == nil {
		return "", fmt.Errorf("the definition: %v", problems)
	}
	logs := zap.NewDevelopmentConfig()
	logs.DisableStacktrace = true
	log, err := logs.Build()
	if err != nil {
		return "", err
	}
	registry := prometheus.NewRegistry()
	w, err := NewWorker(o.Config, def, Deps{Log: log, Registerer: registry})
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	done := make(chan error, 1)
	if o.Until != instant.None {
		go func() { done <- w.WaitUntil(ctx, o.Until) }()
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end = "stopped"
	for {
		select {
		case err := <-ended:
			say(standing(w, registry))
			return end, err
		case err := <-done:
			if err == nil {
				end = "done"
				cancel()
			}
		case <-tick.C:
			say(standing(w, registry))
		}
	}
}

func standing(w *Worker, registry *prometheus.Registry) word {
	now := word{Ready: w.Ready(), Lanes: []int32{}}
	for lane := range w.Watermarks() {
		now.Lanes = append(now.Lanes, lane)
	}
	slices.Sort(now.Lanes)
	families, err := registry.Gather()
	if err != nil {
		return now
	}
	for _, f := range families {
		if f.GetName() == namespace+"_aborts_total" {
			for _, m := range f.GetMetric() {
				now.Aborts += int(m.GetCounter().GetValue())
			}
		}
	}
	return now
}

// child is a worker's process, seen from the test.
type child struct {
	name string
	cmd  *exec.Cmd
	gone chan struct{} // closed by its goroutine once the process has ended and all it said was read

	mu     sync.Mutex
	now    word
	stderr lastWords
}

// startChild starts a worker's process.
func startChild(t testing.TB, o order) *child {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{name: o.Config.Instance, gone: make(chan struct{})}
	// Not bound to the test's context: that would kill it before the test can say what it logged.
	c.cmd = exec.Command(os.Args[0])
	c.cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	c.cmd.Stderr = &c.stderr
	if _, err := c.cmd.StdinPipe(); err != nil { // closed by Wait, or with this process
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.gone)
		for s := bufio.NewScanner(out); s.Scan(); {
			var w word
			if err := json.Unmarshal(s.Bytes(), &w); err != nil {
				w.End = s.Text() // a panic, or the like
			}
			c.mu.Lock()
			c.now = w
			c.mu.Unlock()
		}
		_ = c.cmd.Wait()
	}()
	t.Cleanup(func() {
		if t.Failed() && c.running() { // what hangs says where
			_ = c.cmd.Process.Signal(syscall.SIGCONT)
			_ = c.cmd.Process.Signal(syscall.SIGQUIT)
			timer := time.NewTimer(5 * time.Second)
			defer timer.Stop()
			select {
			case <-c.gone:
			case <-timer.C:
			}
		}
		c.kill()
		if t.Failed() || os.Getenv("LAPWING_TEST_LOG") != "" {
			t.Logf("the last words of worker %s (process %d), which ended with %q:\n%s", c.name, c.cmd.Process.Pid, c.word().End, c.stderr.String())
		}
	})
	return c
}

func (c *child) word() word {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// kill ends the process by SIGKILL and returns when it is gone.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // the one error is that it has gone already
	<-c.gone
}

func (c *child) signal(t testing.TB, s os.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		t.Fatalf("send %v to worker %s: %v; it ended with %q", s, c.name, err, c.word().End)
	}
}

// running reports whether the process is there.
func (c *child) running() bool {
	select {
	case <-c.gone:
		return false
	default:
		return true
	}
}

// await returns how the process ended, which it must within patience.
func (c *child) await(t testing.TB, patience time.Duration) string {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-c.gone:
	case <-timer.C:
		t.Fatalf("worker %s has not ended within %s; it stands at %+v", c.name, patience, c.word())
	}
	return c.word().End
}

// lastWords keeps the last lines written to it.
type lastWords struct {
	mu sync.Mutex
	b  []byte
}

const lastBytes = 64 << 10

func (l *lastWords) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, p...)
	if len(l.b) > 2*lastBytes {
		l.b = append(l.b[:0], l.b[len(l.b)-lastBytes:]...)
	}
	return len(p), nil
}

func (l *lastWords) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.b
	if len(b) > lastBytes {
		b = b[len(b)-lastBytes:]
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			b = b[i+1:]
		}
	}
	return strings.TrimSpace(string(b))
}
