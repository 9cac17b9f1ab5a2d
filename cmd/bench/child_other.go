// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup does nothing: this system is not one that the tool measures on.
func ownGroup(*exec.Cmd) {}

func signalGroup(pid int, s syscall.Signal) error {
	process, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return process.Signal(s)
}
