// SPDX-License-Identifier: Apache-2.0

//go:build unix

package chdblib

import (
	"fmt"
	"syscall"
)

// checkSpace refuses early what the disk cannot take; need 0 is not checked.
func checkSpace(dir string, need int64) error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("look at the disk's free space: %w", err)
	}
	if free := int64(fs.Bavail) * int64(fs.Bsize); free < need { //nolint:unconvert // the fields' types differ between systems
		return fmt.Errorf("the disk of %s has %d MB free, %d MB are needed", dir, free/1_000_000, need/1_000_000)
	}
	return nil
}
