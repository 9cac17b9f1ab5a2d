// SPDX-License-Identifier: Apache-2.0

package kafkatest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// startPatience bounds a start, a recovery after Kill included: 3 to 4 s on an idle
	// machine, several times that where other tests use the same cores.
	startPatience = 90 * time.Second
	// stopPatience bounds a clean stop (2 s on an idle machine).
	stopPatience = 30 * time.Second
	// fetchPatience bounds the download of the jars.
	fetchPatience = 5 * time.Minute
	// portTries is how often a start is tried again on other ports: another process may
	// take a port between our finding it free and the broker's listening on it.
	portTries = 3
)

// Kafka is one running broker. Its methods end the test on failure, so they belong to
// the test's own goroutine; Addr may be called from any.
type Kafka struct {
	t    testing.TB
	java string
	libs string
	dir  string
	addr string
	proc *process // nil while stopped
}

// Start runs a broker until the end of the test and returns once it answers. Each of
// properties is a line `key=value` of server.properties that overrides ours.
func Start(t testing.TB, properties ...string) *Kafka {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), fetchPatience)
	defer cancel()
	java, err := findJava(ctx)
	if err != nil {
		lacking(t, err)
	}
	libs, err := fetchJars(ctx, func(line string) {
		t.Log(line)
		fmt.Fprintln(os.Stderr, "kafkatest: "+line)
	})
	if err != nil {
		lacking(t, err)
	}
	k := &Kafka{t: t, java: java, libs: libs, dir: t.TempDir()}
	t.Cleanup(k.cleanup)
	for try := 1; ; try++ {
		if err := k.configure(properties); err != nil {
			t.Fatalf("prepare Kafka: %v", err)
		}
		err := k.start()
		if err == nil {
			return k
		}
		if try == portTries || !k.portTaken() {
			t.Fatalf("start Kafka: %v", err)
		}
	}
}

// Addr is the broker's host and port, the same after Restart.
func (k *Kafka) Addr() string { return k.addr }

// Kill ends the broker by SIGKILL and returns when it is gone.
func (k *Kafka) Kill() {
	k.t.Helper()
	if k.proc == nil {
		k.t.Fatal("kill Kafka: it does not run")
	}
	k.proc.kill()
	k.proc = nil
}

// Stop ends the broker in good order and returns when it is gone.
func (k *Kafka) Stop() {
	k.t.Helper()
	if k.proc == nil {
		k.t.Fatal("stop Kafka: it does not run")
	}
	if err := k.proc.terminate(stopPatience); err != nil {
		k.t.Fatalf("stop Kafka: %v\n%s", err, k.logTail())
	}
	k.proc = nil
}

// Restart starts the broker again on its address and data, after Kill or Stop; a broker
// that still runs is stopped first. It returns once the broker answers.
func (k *Kafka) Restart() {
	k.t.Helper()
	if k.proc != nil {
		k.Stop()
	}
	if err := k.start(); err != nil {
		k.t.Fatalf("restart Kafka: %v", err)
	}
}

// cleanup has no use for good order: the data goes too.
func (k *Kafka) cleanup() {
	if k.proc != nil {
		k.proc.kill()
		k.proc = nil
	}
	if k.t.Failed() {
		k.t.Logf("the broker's last words:\n%s", k.logTail())
	}
}

// lacking skips the test, or fails it where nothing may be skipped.
func lacking(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("real Kafka broker: %v (CI=true: nothing may be skipped)", err)
	}
	t.Skipf("real Kafka broker: %v", err)
}

// configure picks ports, writes the settings and formats an empty data folder.
func (k *Kafka) configure(properties []string) error {
	client, controller, err := freePorts()
	if err != nil {
		return err
	}
	k.addr = client
	data := filepath.Join(k.dir, "data")
	if err := os.RemoveAll(data); err != nil {
		return fmt.Errorf("empty data folder: %w", err)
	}
	if err := os.WriteFile(k.file("server.properties"), []byte(serverProperties(data, client, controller, properties)), 0o600); err != nil {
		return fmt.Errorf("write settings: %w", err)
	}
	ctx, cancel := context.WithTimeout(k.t.Context(), startPatience)
	defer cancel()
	args := append(k.javaFlags(), "kafka.tools.StorageTool", "format", "-t", newClusterID(), "-c", k.file("server.properties"))
	if out, err := exec.CommandContext(ctx, k.java, args...).CombinedOutput(); err != nil { //nolint:gosec // G204: our own arguments
		return fmt.Errorf("format data folder: %w: %s", err, lastLines(string(out), 10))
	}
	return nil
}

// start runs the broker and waits until it answers.
func (k *Kafka) start() error {
	log, err := os.OpenFile(k.file("broker.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open broker log: %w", err)
	}
	defer log.Close()                                                                                 //nolint:errcheck // the child has its own descriptor; nothing of ours is written
	cmd := exec.Command(k.java, append(k.javaFlags(), "kafka.Kafka", k.file("server.properties"))...) //nolint:gosec,noctx // our own arguments; ends with Kill, Stop, the test or this process
	cmd.Stdout, cmd.Stderr = log, log
	proc, err := startProcess(cmd)
	if err != nil {
		return fmt.Errorf("start java: %w", err)
	}
	if err := k.awaitReady(proc); err != nil {
		proc.kill()
		return fmt.Errorf("%w\n%s", err, k.logTail())
	}
	k.proc = proc
	return nil
}

// awaitReady polls until the broker answers and is registered. It opens its listener
// only once the controller has let it in, so the first answer is the sign.
func (k *Kafka) awaitReady(proc *process) error {
	ctx, cancel := context.WithTimeout(k.t.Context(), startPatience)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.addr), kgo.RequestRetries(0), kgo.DialTimeout(time.Second))
	if err != nil {
		return fmt.Errorf("new client: %w", err)
	}
	defer cl.Close()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if err = cl.Ping(ctx); err == nil {
			return nil
		}
		select {
		case <-proc.done:
			return fmt.Errorf("the broker ended before it answered: %w", errors.Join(proc.err, err))
		case <-ctx.Done():
			return fmt.Errorf("the broker did not answer within %s: %w", startPatience, err)
		case <-tick.C:
		}
	}
}

// javaFlags keep the broker small and quick to start: it serves one test.
func (k *Kafka) javaFlags() []string {
	return []string{
		"-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Djava.awt.headless=true",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-cp", filepath.Join(k.libs, "*"),
	}
}

func (k *Kafka) file(name string) string { return filepath.Join(k.dir, name) }

func (k *Kafka) portTaken() bool { return strings.Contains(k.logTail(), "Address already in use") }

func (k *Kafka) logTail() string {
	b, err := os.ReadFile(k.file("broker.log"))
	if err != nil {
		return err.Error()
	}
	return lastLines(string(b), 30)
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// newClusterID is 16 random bytes in the base64 of URLs, as Kafka wants it; one that
// begins with a dash would be taken for an option.
func newClusterID() string {
	for {
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails, by its documentation
		if id := base64.RawURLEncoding.EncodeToString(b[:]); id[0] != '-' {
			return id
		}
	}
}

// freePorts returns two loopback addresses nobody listens on at the moment.
func freePorts() (client, controller string, err error) {
	var addrs [2]string
	for i := range addrs {
		// Both listeners stay open until both ports are known, so the two differ.
		ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // does not block
		if err != nil {
			return "", "", fmt.Errorf("find a free port: %w", err)
		}
		defer ln.Close() //nolint:errcheck // held only to reserve the port
		addrs[i] = ln.Addr().String()
	}
	return addrs[0], addrs[1], nil
}
