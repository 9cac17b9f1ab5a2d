// SPDX-License-Identifier: Apache-2.0

package kafkabroker

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
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// startPatience bounds a start, a recovery after Kill included: 3 to 4 s on an idle
	// machine, several times that where other programs use the same cores.
	startPatience = 90 * time.Second
	// stopPatience bounds a clean stop (2 s on an idle machine).
	stopPatience = 30 * time.Second
	// fetchPatience bounds the download of the jars.
	fetchPatience = 5 * time.Minute
	// portTries is how often a start is tried again on other ports: another process may
	// take a port between our finding it free and the broker's listening on it.
	portTries = 3
)

// Config says how the broker runs.
type Config struct {
	// Dir is a folder that exists, for the broker's data, settings and log. Data of an
	// earlier broker in it is removed.
	Dir string
	// JVM are the flags of Java; nil is a small heap and a quick start.
	JVM []string
	// Properties are lines `key=value` of server.properties; each overrides the lines
	// before it, and the package's own.
	Properties []string
	// Announce is told before a download begins; nil tells nobody.
	Announce func(line string)
}

// Broker is one broker. One goroutine at a time may use it, but for Addr.
type Broker struct {
	cfg  Config
	java string
	libs string
	addr string
	proc *process // nil while stopped
}

// Prepare finds Java and the broker's jars, and fetches what can be fetched. Its error is
// ErrLacking. Start does the same.
func Prepare(ctx context.Context, announce func(line string)) error {
	_, _, err := prepare(ctx, announce)
	return err
}

func prepare(ctx context.Context, announce func(line string)) (java, libs string, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchPatience)
	defer cancel()
	if announce == nil {
		announce = func(string) {}
	}
	if java, err = findJava(ctx); err == nil {
		libs, err = fetchJars(ctx, announce)
	}
	if err != nil {
		return "", "", fmt.Errorf("%w: %w", ErrLacking, err)
	}
	return java, libs, nil
}

// Start runs a broker and returns once it answers. It runs on until Close, or until this
// process ends; ctx bounds the start only.
func Start(ctx context.Context, cfg Config) (*Broker, error) {
	java, libs, err := prepare(ctx, cfg.Announce)
	if err != nil {
		return nil, err
	}
	b := &Broker{cfg: cfg, java: java, libs: libs}
	for try := 1; ; try++ {
		if err := b.configure(ctx); err != nil {
			return nil, fmt.Errorf("prepare Kafka: %w", err)
		}
		err := b.start(ctx)
		if err == nil {
			return b, nil
		}
		if try == portTries || !b.portTaken() {
			return nil, fmt.Errorf("start Kafka: %w", err)
		}
	}
}

// Addr is the broker's host and port, the same after Restart.
func (b *Broker) Addr() string { return b.addr }

// PID is the broker's process, 0 while it is stopped.
func (b *Broker) PID() int {
	if b.proc == nil {
		return 0
	}
	return b.proc.p.Pid
}

// Kill ends the broker by SIGKILL and returns when it is gone.
func (b *Broker) Kill() error {
	if b.proc == nil {
		return errors.New("kill Kafka: it does not run")
	}
	b.proc.kill()
	b.proc = nil
	return nil
}

// Stop ends the broker in good order and returns when it is gone.
func (b *Broker) Stop() error {
	if b.proc == nil {
		return errors.New("stop Kafka: it does not run")
	}
	if err := b.proc.terminate(stopPatience); err != nil {
		return fmt.Errorf("stop Kafka: %w\n%s", err, b.LogTail())
	}
	b.proc = nil
	return nil
}

// Restart starts the broker again on its address and data, after Kill or Stop; a broker
// that still runs is stopped first. It returns once the broker answers.
func (b *Broker) Restart(ctx context.Context) error {
	if b.proc != nil {
		if err := b.Stop(); err != nil {
			return err
		}
	}
	if err := b.start(ctx); err != nil {
		return fmt.Errorf("restart Kafka: %w", err)
	}
	return nil
}

// Close ends the broker at once, if it runs: whoever closes it has no use for its data.
func (b *Broker) Close() {
	if b.proc != nil {
		b.proc.kill()
		b.proc = nil
	}
}

// configure picks ports, writes the settings and formats an empty data folder.
func (b *Broker) configure(ctx context.Context) error {
	client, controller, err := freePorts()
	if err != nil {
		return err
	}
	b.addr = client
	data := b.file("data")
	if err := os.RemoveAll(data); err != nil {
		return fmt.Errorf("empty data folder: %w", err)
	}
	if err := os.WriteFile(b.file("server.properties"), []byte(serverProperties(data, client, controller, b.cfg.Properties)), 0o600); err != nil {
		return fmt.Errorf("write settings: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	args := append(b.javaArgs(smallJVM()), "kafka.tools.StorageTool", "format", "-t", newClusterID(), "-c", b.file("server.properties"))
	if out, err := exec.CommandContext(ctx, b.java, args...).CombinedOutput(); err != nil { //nolint:gosec // G204: our own arguments
		return fmt.Errorf("format data folder: %w: %s", err, lastLines(string(out), 10))
	}
	return nil
}

// start runs the broker and waits until it answers.
func (b *Broker) start(ctx context.Context) error {
	log, err := os.OpenFile(b.file("broker.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open broker log: %w", err)
	}
	defer log.Close() //nolint:errcheck // the child has its own descriptor; nothing of ours is written
	flags := b.cfg.JVM
	if flags == nil {
		flags = smallJVM()
	}
	cmd := exec.Command(b.java, append(b.javaArgs(flags), "kafka.Kafka", b.file("server.properties"))...) //nolint:gosec,noctx // our own arguments; ends with Kill, Stop, Close or this process
	cmd.Stdout, cmd.Stderr = log, log
	proc, err := startProcess(cmd)
	if err != nil {
		return fmt.Errorf("start java: %w", err)
	}
	if err := b.awaitReady(ctx, proc); err != nil {
		proc.kill()
		return fmt.Errorf("%w\n%s", err, b.LogTail())
	}
	b.proc = proc
	return nil
}

// awaitReady polls until the broker answers and is registered. It opens its listener
// only once the controller has let it in, so the first answer is the sign.
func (b *Broker) awaitReady(ctx context.Context, proc *process) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.addr), kgo.RequestRetries(0), kgo.DialTimeout(time.Second))
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

// smallJVM keeps a broker small and quick to start: most serve one test.
func smallJVM() []string {
	return []string{"-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"}
}

func (b *Broker) javaArgs(flags []string) []string {
	return append(append([]string(nil), flags...), "-Djava.awt.headless=true",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-cp", filepath.Join(b.libs, "*"))
}

func (b *Broker) file(name string) string { return filepath.Join(b.cfg.Dir, name) }

func (b *Broker) portTaken() bool { return strings.Contains(b.LogTail(), "Address already in use") }

// LogTail is the broker's last words.
func (b *Broker) LogTail() string {
	text, err := os.ReadFile(b.file("broker.log"))
	if err != nil {
		return err.Error()
	}
	return lastLines(string(text), 30)
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
