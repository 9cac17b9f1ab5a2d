// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package kafkabroker

import "os/exec"

// dieWithParent has no counterpart here: a process that is killed leaves its
// broker behind; one that ends, passing or failing, does not.
func dieWithParent(*exec.Cmd) {}
