// SPDX-License-Identifier: Apache-2.0

// Package filelock is an advisory lock on a file between processes. The operating
// system drops it when the holder dies, so a crash never leaves a folder locked.
package filelock

import (
	"errors"
	"fmt"
	"os"
)

// ErrHeld means that another holder, in this process or another one, has the lock.
var ErrHeld = errors.New("the lock is held by another process")

// Lock is a held lock. It is owned by whoever acquired it; Unlock may be called once.
type Lock struct{ f *os.File }

// TryAcquire locks the file at path, creating it if it is missing, and returns
// ErrHeld at once if somebody else holds it. The file stays after Unlock: removing
// it would let two holders lock two files of the same name.
func TryAcquire(path string) (*Lock, error) { return acquire(path, false) }

// Acquire waits for the lock as long as it takes.
func Acquire(path string) (*Lock, error) { return acquire(path, true) }

func acquire(path string, wait bool) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // G304: the caller names its own lock file
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	if err := lockFile(f, wait); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return &Lock{f: f}, nil
}

// Unlock releases the lock.
func (l *Lock) Unlock() error {
	// Closing the only descriptor of the open file description drops a flock.
	if err := l.f.Close(); err != nil {
		return fmt.Errorf("release lock: %w", err)
	}
	return nil
}
