// SPDX-License-Identifier: Apache-2.0

//go:build !unix || solaris || aix

package filelock

import (
	"errors"
	"os"
)

// lockFile refuses: without a lock that dies with its holder, two brokers could
// write one folder. Embedded parts without a data folder work everywhere.
func lockFile(*os.File, bool) error { return errors.ErrUnsupported }
