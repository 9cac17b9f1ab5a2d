// SPDX-License-Identifier: Apache-2.0

package clock_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/stream/clock"
)

// A source that holds back clocks is named with the lanes whose clocks they are, also
// if it moves.
func TestHolds(t *testing.T) {
	// sources a/0, a/1, … of each lane: where they stand, in minutes, as in TestStalls.
	type look struct {
		now   int
		lanes []string
		want  string // a/0@3: [1 2], by source
	}
	for _, c := range []struct {
		name  string
		wall  bool
		looks []look
	}{
		{"a backlog that moves on holds its lane", true, []look{
			{100, []string{"0", "100"}, ""},
			{109, []string{"5", "109"}, ""},
			{110, []string{"6", "110"}, "a/0@6: [0]"},
			{111, []string{"105", "111"}, "a/0@105: [0]"}, // nearly there: not told again and again
			{112, []string{"108", "112"}, ""},
			{113, []string{"100", "113"}, ""},
		}},
		{"the last by a moment holds nothing", true, []look{
			{0, []string{"0 0", "0 0"}, ""},
			{20, []string{"19 20", "20 12"}, ""},
			{40, []string{"39 40", "40 32"}, ""},
			{60, []string{"59 60", "60 52"}, ""},
		}},
		{"of each lane the last alone", true, []look{
			{0, []string{"- 0 0", "- -20 0", "0 0 0"}, ""},
			{10, []string{"- 0 10", "- -20 10", "10 -20 10"}, "a/0@none: [0 1]"},
			{20, []string{"20 0 20", "20 -20 20", "20 -20 20"}, "a/1@-20: [0 1 2]"},
			{21, []string{"21 end 20", "21 end 20", "21 end 20"}, ""},
		}},
		{"a hiccup is not told", true, []look{
			{100, []string{"0"}, ""},
			{109, []string{"0"}, ""},
			{110, []string{"110"}, ""},
			{120, []string{"0"}, ""},
			{129, []string{"0"}, ""},
		}},
		{"by event time it is behind the lane's own sources, and no other lane's", false, []look{
			{0, []string{"0 900", "0", "- end"}, ""},
			{10, []string{"1 901", "0", "- end"}, "a/0@none: [0 2]"},
			{11, []string{"895 901", "0", "end end"}, "a/0@895: [0]"},
			{12, []string{"897 901", "0", "end end"}, ""},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := clock.NewHolds(10*time.Minute, c.wall)
			for i, l := range c.looks {
				lanes := map[int32][]mailbox.SourceState{}
				for lane, at := range l.lanes {
					lanes[int32(lane)] = states(t, strings.Fields(at))
				}
				var got []string
				for _, s := range h.Look(lanes, minutes(l.now)) {
					at := "none"
					if s.Clock != instant.None {
						at = fmt.Sprint(int64(s.Clock)/60_000 - start)
					}
					got = append(got, fmt.Sprintf("%s/%d@%s: %v", s.Source.Topic, s.Source.Partition, at, s.Lanes))
				}
				if strings.Join(got, ", ") != l.want {
					t.Errorf("look %d, minute %d: %q, want %q", i, l.now, strings.Join(got, ", "), l.want)
				}
			}
		})
	}
}

// states are those of sources a/0, a/1, … at so many minutes each; "-" was never heard
// from, "end" has ended, "gone" is not there.
func states(t *testing.T, sources []string) (out []mailbox.SourceState) {
	t.Helper()
	for p, at := range sources {
		st := mailbox.SourceState{Source: mailbox.Source{Topic: "a", Partition: int32(p)}, Clock: instant.None}
		switch at {
		case "gone":
			continue
		case "end":
			st.Ended, st.Clock = true, minutes(1)
		case "-":
		default:
			n := 0
			if _, err := fmt.Sscan(at, &n); err != nil {
				t.Fatal(err)
			}
			st.Clock = minutes(n)
		}
		out = append(out, st)
	}
	return out
}

// The lanes that wait are known at once: who is told that a source stands still need not
// be told later whose clocks that holds.
func TestWaiting(t *testing.T) {
	source := mailbox.Source{Topic: "a"}
	h := clock.NewHolds(10*time.Minute, true)
	stands := []mailbox.SourceState{{Source: source, Clock: instant.None}}
	now := instant.Of(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	if told := h.Look(map[int32][]mailbox.SourceState{2: stands, 1: stands}, now); len(told) != 0 {
		t.Errorf("told at the first look: %v", told)
	}
	if got := fmt.Sprint(h.Waiting(source), h.Waiting(mailbox.Source{Topic: "b"})); got != "[1 2] []" {
		t.Errorf("waiting: %s, want [1 2] for a and none for b", got)
	}
	h.Look(map[int32][]mailbox.SourceState{1: {{Source: source, Clock: now}}}, now)
	if got := h.Waiting(source); len(got) != 0 {
		t.Errorf("still waiting: %v", got)
	}
}
