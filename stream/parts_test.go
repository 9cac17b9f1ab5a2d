// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lapwing/schemas/instant"
)

// Every lane has one owner, no member has more than one lane above another, and what
// moves when a member leaves is mostly what was its own.
func TestSpread(t *testing.T) {
	for _, lanes := range []int32{1, 4, 12, 64, 500} {
		for n := 1; n <= 9; n++ {
			var members []string
			for m := range n {
				members = append(members, fmt.Sprintf("lapwing.g1-host%d-%d", m/2, m%2))
			}
			owner := spread(members, lanes)
			load := make([]int, n)
			for _, m := range owner {
				load[m]++
			}
			if slices.Max(load)-slices.Min(load) > 1 || len(owner) != int(lanes) {
				t.Errorf("%d lanes over %d members: %v", lanes, n, load)
			}
			if !slices.Equal(owner, spread(members, lanes)) {
				t.Errorf("%d lanes over %d members: not the same twice", lanes, n)
			}
			if lanes < 500 || n < 2 {
				continue
			}
			moved := 0
			for lane, m := range spread(members[:n-1], lanes) {
				if owner[lane] != m && owner[lane] != n-1 {
					moved++
				}
			}
			if moved > int(lanes)/2 {
				t.Errorf("%d of %d lanes move between members that stay when one of %d leaves", moved, lanes, n)
			}
		}
	}
}

// Partition p of every topic goes to one member; topics of different sizes are refused.
func TestBalancerKeepsLanesTogether(t *testing.T) {
	var members []kmsg.JoinGroupResponseMember
	for i := range 3 {
		m := kmsg.NewJoinGroupResponseMember()
		m.MemberID, m.InstanceID = fmt.Sprintf("id-%d", 2-i), kmsg.StringPtr(fmt.Sprintf("instance-%d", i))
		m.ProtocolMetadata = laneBalancer{}.JoinGroupMetadata([]string{"events", "lapwing.mailbox"}, nil, 0)
		members = append(members, m)
	}
	b, topics, err := laneBalancer{}.MemberBalancer(members)
	if err != nil || len(topics) != 2 {
		t.Fatalf("topics %v, error %v", topics, err)
	}
	c := b.(*kgo.ConsumerBalancer) //nolint:forcetypeassert // what MemberBalancer makes
	into, err := c.BalanceOrError(map[string]int32{"events": 7, "lapwing.mailbox": 7})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int32]bool{}
	for _, a := range into.IntoSyncAssignment() {
		got, err := laneBalancer{}.ParseSyncAssignment(a.MemberAssignment)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got["events"], got["lapwing.mailbox"]) {
			t.Errorf("%s: a lane is torn: %v", a.MemberID, got)
		}
		for _, p := range got["events"] {
			if seen[p] {
				t.Errorf("lane %d has two owners", p)
			}
			seen[p] = true
		}
	}
	if len(seen) != 7 {
		t.Errorf("%d lanes have an owner, want 7", len(seen))
	}
	if _, err := c.BalanceOrError(map[string]int32{"events": 7, "lapwing.mailbox": 8}); err == nil {
		t.Error("topics of 7 and 8 partitions are balanced")
	}
}

// murmur2 of these keys as Kafka's own tests of it have them, without the sign bit.
func TestHomeIsTheDefaultPartitionersChoice(t *testing.T) {
	for key, murmur2 := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string": -1486304829, "abc": 479470107,
	} {
		if got, want := Home(key, 1000), (murmur2&0x7fffffff)%1000; got != want {
			t.Errorf("home of %q is %d, want %d", key, got, want)
		}
	}
}

func TestDueIndexGivesTheEarliest(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 3))
	var d dueIndex
	var all []*customer
	for i := range 50 {
		all = append(all, &customer{id: fmt.Sprint(i), due: instant.None, place: -1})
	}
	for step := range 3000 {
		c := all[rng.IntN(len(all))]
		due := instant.Instant(rng.IntN(40))
		if due == 0 {
			due = instant.None
		}
		d.set(c, due)
		clock := instant.Instant(rng.IntN(40))
		var want *customer
		for _, c := range all {
			if c.due != instant.None && c.due <= clock && (want == nil || c.due < want.due || c.due == want.due && c.id < want.id) {
				want = c
			}
		}
		if got := d.next(clock); got != want {
			t.Fatalf("seed %d, step %d: next due at %d is %+v, want %+v", seed, step, clock, got, want)
		}
	}
}

// All problems at once, each with its field, value and bound.
func TestValidateReportsEverything(t *testing.T) {
	good := testConfig([]string{"127.0.0.1:9092"})
	if err := good.Validate(); err != nil {
		t.Fatalf("a good configuration: %v", err)
	}
	bad := Config{
		Group: "a b", Generation: 40_000, Slots: 65, Replication: 0, Clock: "sundial", PublishFrom: "soon",
		CommitInterval: time.Hour, Prefix: "lapwing.", MaxDepth: -1,
		Inputs: []Input{{Topic: "e"}, {Topic: "e"}, {Topic: ""}, {Topic: "lapwing.state", IgnoreClock: true}},
	}
	err := bad.Validate()
	if err == nil {
		t.Fatal("a bad configuration is accepted")
	}
	for _, want := range []string{
		"brokers is []: want at least one host:port",
		`group is "a b": want`, `instance is "": want`,
		"generation is 40000: want 1 to 32767", "slots is 65: want 1 to 64", "lanes is 0: want 1 to 4096", "replication is 0: want",
		`inputs[1].topic is "e": want each topic once`, `inputs[2].topic is "": want a topic's name`,
		`inputs[3].topic is "lapwing.state": want a topic that Lapwing does not write itself`,
		`clock is "sundial": want "wall" or "event"`, `publish_from is "soon": want an RFC 3339 time, "all", or nothing`,
		"commit_interval is 1h0m0s: want 1ms to 5s", "max_depth is -1: want 1 to 1000", "session_timeout is 0s: want 1s to 5m0s",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %q in\n%v", want, err)
		}
	}
	imports := testConfig([]string{"b:1"})
	imports.Inputs = []Input{{Topic: "e", IgnoreClock: true}}
	if err := imports.Validate(); err == nil || !strings.Contains(err.Error(), "at least one input that the clock follows") {
		t.Errorf("imports alone: %v", err)
	}
}

func TestMetricsKeepTheRules(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := newMetrics(reg)
	if again := newMetrics(reg); again.events != m.events {
		t.Error("a second set over one registry does not share the first's")
	}
	m.events.WithLabelValues("stream", "applied").Inc()
	m.setWatermark(0, 1000)
	m.setLag("events", 0, 3)
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}
