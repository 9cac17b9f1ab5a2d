// SPDX-License-Identifier: Apache-2.0

package kafkabroker

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel kill the child when this process dies in any way.
func dieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
