// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond is the unit of CPU time in /proc: USER_HZ, 100 on every Linux.
const ticksPerSecond = 100

// processStat reads a process's parent and its CPU seconds, those of children that it has
// seen end included.
func processStat(pid int) (parent int, cpu float64, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, false
	}
	return parseStat(text)
}

func parseStat(text []byte) (parent int, cpu float64, ok bool) {
	// The name, in brackets, may hold anything; what follows are numbers but the first.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 15 {
		return 0, 0, false
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0, 0, false
	}
	for _, field := range fields[11:15] { // utime, stime, cutime, cstime
		ticks, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return 0, 0, false
		}
		cpu += ticks / ticksPerSecond
	}
	return parent, cpu, true
}

// peakMemory is the greatest resident memory that a process has had, in MB.
func peakMemory(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	return parsePeak(text)
}

func parsePeak(text []byte) float64 {
	_, after, found := strings.Cut(string(text), "VmHWM:")
	if fields := strings.Fields(after); found && len(fields) > 0 {
		if kib, err := strconv.ParseFloat(fields[0], 64); err == nil {
			return kib * 1024 / 1e6
		}
	}
	return 0
}

// machineCPU is the CPU seconds that the whole machine has worked: all but idling and
// waiting for a disk.
func machineCPU() float64 {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	var sum float64
	for i, field := range strings.Fields(line) {
		switch i {
		case 1, 2, 3, 6, 7, 8: // user, nice, system, irq, softirq, steal
			if ticks, err := strconv.ParseFloat(field, 64); err == nil {
				sum += ticks / ticksPerSecond
			}
		}
	}
	return sum
}

// processTree is a process and all that descends from it.
type processTree struct {
	root int
	peak map[int]float64 // by process: one that has ended still counts
}

func newProcessTree(root int) *processTree {
	return &processTree{root: root, peak: map[int]float64{}}
}

// sample is the tree's CPU seconds so far, and the sum of its processes' memory peaks.
func (t *processTree) sample() (cpu, megabytes float64) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, 0
	}
	children := map[int][]int{}
	used := map[int]float64{}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if parent, seconds, ok := processStat(pid); ok {
			children[parent] = append(children[parent], pid)
			used[pid] = seconds
		}
	}
	for todo := []int{t.root}; len(todo) > 0; todo = todo[1:] {
		todo = append(todo, children[todo[0]]...)
		cpu += used[todo[0]]
		t.peak[todo[0]] = max(t.peak[todo[0]], peakMemory(todo[0]))
	}
	for _, peak := range t.peak {
		megabytes += peak
	}
	return cpu, megabytes
}

// usage is what a span of time has cost, in CPU seconds.
type usage struct {
	seconds   float64
	program   float64
	broker    float64 // 0 if its process is not known: then it is among the others
	self      float64
	others    float64 // everything else on the machine
	megabytes float64 // the program's peak so far
}

// othersShare is the share of the machine that everything else took.
func (u usage) othersShare() float64 {
	if u.seconds == 0 {
		return 0
	}
	return u.others / u.seconds / float64(runtime.NumCPU())
}

// meter measures a span: begin one before the program starts, or while it runs.
type meter struct {
	at                             time.Time
	brokerPID                      int
	machine, broker, self, program float64
	tree                           *processTree
}

// beginMeter takes a tree that has not started yet as nil: see follow.
func beginMeter(brokerPID int, tree *processTree) *meter {
	m := &meter{brokerPID: brokerPID, tree: tree}
	if tree != nil {
		m.program, _ = tree.sample()
	}
	_, m.broker, _ = processStat(brokerPID)
	_, m.self, _ = processStat(os.Getpid())
	m.machine, m.at = machineCPU(), time.Now()
	return m
}

// follow names the program that was started after the span began.
func (m *meter) follow(tree *processTree) { m.tree = tree }

// read is the usage until now.
func (m *meter) read() usage {
	u := usage{seconds: time.Since(m.at).Seconds()}
	u.program, u.megabytes = m.tree.sample()
	u.program -= m.program
	_, broker, _ := processStat(m.brokerPID)
	_, self, _ := processStat(os.Getpid())
	u.broker, u.self = broker-m.broker, self-m.self
	u.others = max(0, machineCPU()-m.machine-u.program-u.broker-u.self)
	return u
}
