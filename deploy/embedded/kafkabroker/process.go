// SPDX-License-Identifier: Apache-2.0

package kafkabroker

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is a child that dies with this process, where the system can do that (Linux).
type process struct {
	p    *os.Process
	done chan struct{} // closed by the goroutine of startProcess once the child is gone
	err  error         // how it ended; valid once done is closed
}

// startProcess starts cmd. The signal at the parent's death is tied to the *thread* that
// forked, not to the process, so that thread is kept until the child has gone.
func startProcess(cmd *exec.Cmd) (*process, error) {
	dieWithParent(cmd)
	pr := &process{done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(pr.done)
		err := cmd.Start()
		pr.p = cmd.Process
		started <- err
		if err == nil {
			pr.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return pr, nil
}

// kill ends the child by SIGKILL and waits until it is gone.
func (pr *process) kill() {
	_ = pr.p.Kill() // the one error is that it has gone already
	<-pr.done
}

// terminate asks the child to end, and kills it if it has not within patience.
func (pr *process) terminate(patience time.Duration) error {
	if err := pr.p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ask the broker to end: %w", err)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-pr.done:
		return nil
	case <-timer.C:
		pr.kill()
		return fmt.Errorf("the broker did not end within %s and was killed", patience)
	}
}
