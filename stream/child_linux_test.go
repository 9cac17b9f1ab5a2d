// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"os/signal"
	"syscall"
)

// limitFiles lets no file of this process grow beyond so many bytes: a write that
// would fails, as on a full disk.
func limitFiles(bytes uint64) error {
	if bytes == 0 {
		return nil
	}
	signal.Ignore(syscall.SIGXFSZ) // the error of the write is what we are after
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: bytes}); err != nil {
		return fmt.Errorf("limit the size of files: %w", err)
	}
	return nil
}
