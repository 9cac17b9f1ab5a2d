// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
)

// settings are what all modes share.
type settings struct {
	bootstrap string
	brokerPID int
	peer      string // folder; empty: Lapwing alone
	lapwing   string // binary; empty: built from this repository
	work      string
	json      string

	events    int
	customers int // each mode has its own flag and default
	seed      uint64
	rounds    int
	only      []string
	slots     int
	memory    string
	commitMax time.Duration
	limit     time.Duration
	maxOthers float64
	keep      bool
}

func (s *settings) flags(c *cobra.Command) {
	f := c.PersistentFlags()
	f.StringVar(&s.bootstrap, "bootstrap", "", "host:port of a broker that is there already; without it one is started")
	f.IntVar(&s.brokerPID, "broker-pid", 0, "the process of --bootstrap, if it is on this machine: its CPU is then told apart")
	f.StringVar(&s.peer, "peer", "", "folder of the program to measure beside Lapwing")
	f.StringVar(&s.lapwing, "lapwing", "", "Lapwing's binary; without it this repository is built")
	f.StringVar(&s.work, "work", "", "folder for state and logs, which are then kept; without it a temporary one")
	f.StringVar(&s.json, "json", "", "append the figures to this file, a JSON object per line")
	f.IntVar(&s.events, "n", 8_000_000, "events of a backlog")
	f.Uint64Var(&s.seed, "seed", 1, "the same seed makes the same events")
	f.IntVar(&s.rounds, "rounds", 3, "how often each contender runs, in turns")
	f.StringSliceVar(&s.only, "only", nil, "run these contenders only")
	f.IntVar(&s.slots, "slots", 2, "Lapwing's slots, the peer's threads, the readers of parse")
	f.StringVar(&s.memory, "memory", "1GiB", "Lapwing's memory.limit")
	f.DurationVar(&s.commitMax, "commit-max", 100*time.Millisecond, "Lapwing's commit_interval.max, and the peer's interval, in a backlog")
	f.DurationVar(&s.limit, "limit", 15*time.Minute, "give up a run after this time")
	f.Float64Var(&s.maxOthers, "max-others", 0, "repeat a run, twice at most, in which other programs took more than this share of the machine; 0: never")
	f.BoolVar(&s.keep, "keep", false, "leave the topics of the runs on the broker of --bootstrap")
}

// check says all that is wrong.
func (s *settings) check() error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if s.bootstrap != "" {
		if host, _, err := net.SplitHostPort(s.bootstrap); err != nil || host == "" {
			bad("--bootstrap is %q: want host:port", s.bootstrap)
		}
	}
	if s.bootstrap == "" && (s.keep || s.brokerPID != 0) {
		bad("--keep and --broker-pid are for a broker of --bootstrap: the one that is started here ends with the run")
	}
	if s.peer != "" {
		if _, err := os.Stat(filepath.Join(s.peer, peerProgram)); err != nil {
			bad("--peer is %q: want a folder with %s in it", s.peer, peerProgram)
		}
	}
	if s.events < 1 {
		bad("--n is %d: want at least 1", s.events)
	}
	if s.customers < 2 || s.customers > maxCustomers {
		bad("--customers is %d: want 2 to %d", s.customers, maxCustomers)
	}
	if s.rounds < 1 {
		bad("--rounds is %d: want at least 1", s.rounds)
	}
	if s.slots < 1 || s.slots > lanes {
		bad("--slots is %d: want 1 to %d", s.slots, lanes)
	}
	if _, err := humanize.ParseBytes(s.memory); err != nil {
		bad("--memory is %q: want such as 512MiB or 1GiB", s.memory)
	}
	if s.commitMax < minCommit || s.commitMax > 5*time.Second {
		bad("--commit-max is %s: want %s to 5s", s.commitMax, minCommit)
	}
	if s.limit <= 0 {
		bad("--limit is %s: want a time", s.limit)
	}
	if s.maxOthers < 0 || s.maxOthers >= 1 {
		bad("--max-others is %v: want a share, 0 to 1", s.maxOthers)
	}
	return errors.Join(problems...)
}
