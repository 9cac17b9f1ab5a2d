// SPDX-License-Identifier: Apache-2.0

package kafkatest

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"lapwing/deploy/embedded/kafkabroker"
)

const childEnv = "LAPWING_TEST_KAFKA_CHILD"

// TestChild is the test process that TestBrokerDiesWithTheTestProcess kills. By itself
// it does nothing.
func TestChild(t *testing.T) {
	if os.Getenv(childEnv) == "" {
		return
	}
	k := Start(t)
	fmt.Printf("broker %d\n", k.broker.PID())
	<-t.Context().Done()
}

func TestBrokerDiesWithTheTestProcess(t *testing.T) {
	if err := kafkabroker.Prepare(t.Context(), nil); err != nil {
		lacking(t, err)
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$", "-test.v")
	child.Env = append(os.Environ(), childEnv+"=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	pid := 0
	var said strings.Builder
	for buf := make([]byte, 4096); pid == 0; {
		n, err := out.Read(buf)
		said.Write(buf[:n])
		if i := strings.Index(said.String(), "broker "); i >= 0 && strings.Contains(said.String()[i:], "\n") {
			if _, err := fmt.Sscanf(said.String()[i:], "broker %d\n", &pid); err != nil {
				t.Fatal(err)
			}
		} else if err != nil {
			_ = child.Wait()
			t.Fatalf("the child ended without a broker: %s", said.String())
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // killed, as it should be
	deadline := time.Now().Add(patience)
	for syscall.Kill(pid, 0) == nil && !zombie(pid) {
		if time.Now().After(deadline) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatalf("the broker (process %d) outlived the test process", pid)
		}
		time.Sleep(10 * time.Millisecond) // a real process: there is nothing to wait on
	}
}

// zombie reports whether the process has died and only waits to be reaped, by an init
// that may not do it.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(after, "Z")
}
