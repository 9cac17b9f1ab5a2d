// SPDX-License-Identifier: Apache-2.0

package filelock

import (
	"errors"
	"path/filepath"
	"testing"
)

func TestSecondHolderIsRefusedUntilTheFirstLetsGo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.lock")
	first, err := TryAcquire(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := TryAcquire(path); !errors.Is(err, ErrHeld) {
		t.Fatalf("second holder: got %v, want ErrHeld", err)
	}
	got := make(chan error, 1)
	go func() {
		second, err := Acquire(path)
		if err == nil {
			err = second.Unlock()
		}
		got <- err
	}()
	if err := first.Unlock(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Fatalf("waiting holder: %v", err)
	}
}

func TestFolderThatIsMissingIsAnError(t *testing.T) {
	if _, err := TryAcquire(filepath.Join(t.TempDir(), "no", "x.lock")); err == nil {
		t.Fatal("locked a file in a folder that does not exist")
	}
}
