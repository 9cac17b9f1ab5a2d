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

// look is one look at sources a/0, a/1, …: where each stands, in minutes. "-" was never
// heard from, "end" has ended, "gone" is not there.
type look struct {
	now     int
	sources []string
	want    string // +0 began, -0 ended
}

const start = 1_000_000 // minutes; any will do

func minutes(n int) instant.Instant { return instant.Instant((start + n) * 60_000) }

func TestStalls(t *testing.T) {
	for _, c := range []struct {
		name  string
		wall  bool
		looks []look
	}{
		{"stands still, told once, goes on", true, []look{
			{0, []string{"0"}, ""},
			{9, []string{"0"}, ""},
			{10, []string{"0"}, "+0"},
			{11, []string{"0"}, ""},
			{60, []string{"0"}, ""},
			{61, []string{"61"}, "-0"},
			{62, []string{"62"}, ""},
		}},
		{"never heard from", true, []look{
			{0, []string{"-", "0"}, ""},
			{9, []string{"-", "9"}, ""},
			{10, []string{"-", "10"}, "+0"},
			{30, []string{"-", "30"}, ""},
			{31, []string{"1", "31"}, "-0"}, // heard from, though far behind
			{40, []string{"1", "40"}, ""},
			{41, []string{"1", "41"}, "+0"},
		}},
		{"a backlog moves: it is lag, no stall", true, []look{
			{1000, []string{"0"}, ""},
			{1009, []string{"1"}, ""},
			{1018, []string{"2"}, ""},
			{1027, []string{"3"}, ""},
			{1037, []string{"3"}, "+0"},
		}},
		{"a little now and then is no going on", true, []look{
			{0, []string{"0"}, ""},
			{10, []string{"0"}, "+0"},
			{20, []string{"1"}, ""},
			{30, []string{"2"}, ""},
			{40, []string{"9"}, ""},
			{50, []string{"10"}, "-0"}, // as far as it takes to tell
		}},
		{"close to now ends it, too", true, []look{
			{0, []string{"0"}, ""},
			{10, []string{"0"}, "+0"},
			{12, []string{"6"}, ""},
			{12, []string{"7"}, "-0"}, // half of what it takes to begin
			{17, []string{"7"}, ""},
			{21, []string{"7"}, ""},
			{22, []string{"7"}, "+0"},
		}},
		{"an end, or an input that was taken out, holds nothing", true, []look{
			{0, []string{"0", "0", "0"}, ""},
			{10, []string{"0", "0", "0"}, "+0 +1 +2"},
			{11, []string{"end", "gone", "0"}, "-0 -1"},
			{30, []string{"end", "gone", "0"}, ""},
			{31, []string{"0", "0", "0"}, ""}, // there again: looked at anew
			{41, []string{"0", "0", "0"}, "+0 +1"},
		}},
		{"by event time the newest source is what others hold back", false, []look{
			{0, []string{"500", "500"}, ""},
			{60, []string{"500", "500"}, ""}, // nothing waits for anybody
			{61, []string{"500", "900"}, "+0"},
			{62, []string{"600", "950"}, ""},
			{63, []string{"900", "980"}, "-0"}, // where the other was when it was told
			{72, []string{"900", "980"}, ""},
			{73, []string{"900", "980"}, "+0"},
			{74, []string{"980", "980"}, "-0"},
		}},
		{"by event time one that was never heard from holds back even if all others have ended", false, []look{
			{0, []string{"-", "end"}, ""},
			{10, []string{"-", "end"}, "+0"},
			{11, []string{"end", "end"}, "-0"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := clock.NewStalls(10*time.Minute, c.wall)
			standing := map[string]bool{}
			for i, l := range c.looks {
				began, ended := s.Look(states(t, l.sources), minutes(l.now))
				var got []string
				for _, b := range began {
					got = append(got, fmt.Sprint("+", b.Source.Partition))
					standing[fmt.Sprint(b.Source.Partition)] = true
					if minutes(l.now) < b.Since.Add(10*time.Minute) {
						t.Errorf("look %d: told of %d after %v", i, b.Source.Partition, minutes(l.now)-b.Since)
					}
				}
				for _, e := range ended {
					got = append(got, fmt.Sprint("-", e.Source.Partition))
					delete(standing, fmt.Sprint(e.Source.Partition))
				}
				if strings.Join(got, " ") != l.want {
					t.Errorf("look %d at %v, minute %d: %q, want %q", i, l.sources, l.now, strings.Join(got, " "), l.want)
				}
				if len(s.Standing()) != len(standing) {
					t.Errorf("look %d: %d stand still, want %d", i, len(s.Standing()), len(standing))
				}
			}
		})
	}
}

// A routed source reaches every lane; it is told once, by the lane that knows least.
func TestStallOfASourceOfManyLanes(t *testing.T) {
	s := clock.NewStalls(10*time.Minute, true)
	src := mailbox.Source{Topic: "a", Partition: 3}
	both := []mailbox.SourceState{{Source: src, Clock: minutes(5)}, {Source: src, Clock: minutes(0)}, {Source: src, Clock: minutes(4)}}
	s.Look(both, minutes(6))
	both[0].Clock, both[2].Clock = minutes(16), minutes(16)
	began, ended := s.Look(both, minutes(16))
	if len(began) != 1 || len(ended) != 0 || began[0] != (clock.Stall{Source: src, Clock: minutes(0), Since: minutes(6)}) {
		t.Errorf("began %+v, ended %+v", began, ended)
	}
}
