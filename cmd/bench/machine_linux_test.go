// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestStatOfAProcessWithAnyName(t *testing.T) {
	// The name may hold brackets and spaces; utime 150, stime 50, cutime 300, cstime 25.
	text := []byte("42 (a) b (c) S 7 42 42 0 -1 4194560 100 0 0 0 150 50 300 25 20 0 1 0 1000 0 0\n")
	parent, cpu, ok := parseStat(text)
	if !ok || parent != 7 || cpu != 5.25 {
		t.Errorf("parent %d, %v s, %t; want 7 and 5.25", parent, cpu, ok)
	}
	for _, bad := range []string{"", "42 (x) S 7", "42 (x) S seven 42 42 0 -1 4194560 100 0 0 0 1 1 1 1 20"} {
		if _, _, ok := parseStat([]byte(bad)); ok {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestPeakIsInMegabytes(t *testing.T) {
	if got := parsePeak([]byte("Name:\tx\nVmPeak:\t  9 kB\nVmHWM:\t  125000 kB\nVmRSS:\t 1 kB\n")); got != 128 {
		t.Errorf("%v MB, want 128", got)
	}
	if got := parsePeak([]byte("Name:\tx\n")); got != 0 {
		t.Errorf("%v of nothing", got)
	}
}

// A program that does its work in a child of its own has not done nothing.
func TestTreeCountsWhatAProgramStarts(t *testing.T) {
	dir := t.TempDir()
	c, err := startChild("spinner", filepath.Join(dir, "log"), nil, "sh", "-c", "sh -c 'while :; do :; done'; echo over")
	if err != nil {
		t.Fatal(err)
	}
	defer c.kill()
	m := beginMeter(0, c.tree)
	deadline := time.Now().Add(20 * time.Second)
	for {
		u := m.read()
		if u.program >= 0.1 && len(c.tree.peak) >= 2 && u.megabytes > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %.1f s: %.2f CPU s, %.1f MB in %d processes", u.seconds, u.program, u.megabytes, len(c.tree.peak))
		}
		if err := pause(t.Context(), 20*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	if u := m.read(); u.program > u.seconds*1.5+0.1 || math.IsNaN(u.othersShare()) {
		t.Errorf("%+v is more than one busy loop can do", u)
	}
}

// Killing a program kills what it started: nothing of a run is left behind.
func TestKillReachesTheWholeGroup(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "beats")
	c, err := startChild("parent", filepath.Join(dir, "log"), nil, "sh", "-c", "sh -c 'while :; do echo x >> "+file+"; sleep 0.01; done' & wait")
	if err != nil {
		t.Fatal(err)
	}
	size := func() int64 {
		info, err := os.Stat(file)
		if err != nil {
			return 0
		}
		return info.Size()
	}
	for deadline := time.Now().Add(20 * time.Second); size() == 0; {
		if time.Now().After(deadline) {
			c.kill()
			t.Fatal("the child's child never wrote")
		}
		if err := pause(t.Context(), 5*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	c.kill()
	if err := c.alive(); err == nil {
		t.Error("killed, and alive")
	}
	// A killed process may be seen for a moment; then it writes no more.
	for deadline := time.Now().Add(20 * time.Second); ; {
		before := size()
		if err := pause(t.Context(), 200*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if size() == before {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("what the program started outlived it")
		}
	}
}
