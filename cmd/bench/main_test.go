// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// The contender parse is this very program started again, so the test binary is it, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == parseCommand {
		main()
	}
	goleak.VerifyTestMain(m)
}

func TestArgumentsThatAreWrongAreNamed(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"", "say what to measure"},
		{"drian", "drian"},
		{"drain extra", "extra"},
		{"drain --nonsense", "nonsense"},
		{"drain --n 0", "--n is 0"},
		{"drain --n many", "many"},
		{"drain --customers 1", "--customers is 1"},
		{"drain --customers 100000001", "--customers is 100000001"},
		{"drain --rounds 0", "--rounds is 0"},
		{"drain --slots 13", "--slots is 13"},
		{"drain --memory plenty", `--memory is "plenty"`},
		{"drain --commit-max 1ms", "--commit-max is 1ms"},
		{"drain --max-others 1", "--max-others is 1"},
		{"drain --limit 0s", "--limit is 0s"},
		{"drain --bootstrap 9092", "--bootstrap"},
		{"drain --keep", "--keep"},
		{"drain --broker-pid 7", "--broker-pid"},
		{"drain --only lapwing,lapwnig", "lapwnig"},
		{"drain --only peer-mem", "peer-mem"}, // there is no peer
		{"drain --peer .", "--peer"},
		{"latency --rate 0", "--rate is 0"},
		{"latency --for 0s", "--for"},
		{"latency --compare", "compare"},
		{"stall --warm -1s", "--warm"},
		{"customers --against 1", "--against is 1"},
		{"customers --customers 500 --against 500", "--against is 500"},
		{"compare -a x -b y", "--bootstrap"},
		{"compare --bootstrap 127.0.0.1:9092 -a x", "-b"},
		{"parse-child a b c d", "READERS"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), strings.Fields(c.args), &stdout, &stderr)
		if code != exitUsage || !strings.Contains(stderr.String(), c.want) {
			t.Errorf("bench %s: exit %d, %q; want %d and %q", c.args, code, stderr.String(), exitUsage, c.want)
		}
		if stdout.Len() > 0 {
			t.Errorf("bench %s: printed %q", c.args, stdout.String())
		}
	}
}

func TestAllThatIsWrongIsSaidAtOnce(t *testing.T) {
	var stderr bytes.Buffer
	run(t.Context(), strings.Fields("drain --n 0 --rounds 0 --slots 0"), &stderr, &stderr)
	for _, want := range []string{"--n is 0", "--rounds is 0", "--slots is 0"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("%q does not name %q", stderr.String(), want)
		}
	}
}

// A flag that several modes have, each with a default of its own, keeps them apart.
func TestEachModeHasItsOwnDefaults(t *testing.T) {
	root := rootCommand(nil, nil)
	for mode, want := range map[string]map[string]string{
		"drain":     {"customers": "200000", "n": "8000000", "commit-max": "100ms"},
		"latency":   {"customers": "200000", "warm": "10s", "for": "30s", "rate": "20000"},
		"stall":     {"customers": "200000", "warm": "5s"},
		"customers": {"customers": "10000000", "against": "200000"},
		"restore":   {"customers": "1000000"},
	} {
		command, _, err := root.Find([]string{mode})
		if err != nil {
			t.Fatal(err)
		}
		if err := command.ParseFlags(nil); err != nil {
			t.Fatal(err)
		}
		for name, value := range want {
			if got := command.Flag(name).Value.String(); got != value {
				t.Errorf("%s --%s is %s by default, want %s", mode, name, got, value)
			}
		}
	}
}

func TestPeerIsAFolderWithItsProgram(t *testing.T) {
	s := settings{peer: t.TempDir(), events: 1, customers: 2, rounds: 1, slots: 1, memory: "1GiB", commitMax: minCommit, limit: 1}
	if err := s.check(); err == nil || !strings.Contains(err.Error(), peerProgram) {
		t.Errorf("an empty folder: %v", err)
	}
	if err := os.WriteFile(filepath.Join(s.peer, peerProgram), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.check(); err != nil {
		t.Errorf("a folder with the program: %v", err)
	}
}

func TestContendersAreChosenByName(t *testing.T) {
	names := func(all []contender) string {
		var list []string
		for _, c := range all {
			list = append(list, c.name())
		}
		return strings.Join(list, " ")
	}
	alone, err := chosen(drainContenders(false), nil)
	if want := "lapwing lapwing-aggregates lapwing-aggregates-activity lapwing-routed parse"; err != nil || names(alone) != want {
		t.Errorf("without a peer: %s, %v; want %s", names(alone), err, want)
	}
	some, err := chosen(drainContenders(true), []string{"parse", "peer-mem"})
	if want := "peer-mem parse"; err != nil || names(some) != want {
		t.Errorf("chosen: %s, %v; want %s", names(some), err, want)
	}
}
