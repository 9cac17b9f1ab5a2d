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
	"lapwing/stream/store"
)

// Every lane has one owner, no member has more than one lane above another, and no
// lane moves but from members that left or have more than their share.
func TestSpread(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 4))
	for _, lanes := range []int{1, 4, 12, 64, 500} {
		owner := make([]int, lanes)
		for lane := range owner {
			owner[lane] = nobody
		}
		var members []string
		for step := range 40 {
			before := map[int]string{}
			for lane, m := range owner {
				if m != nobody {
					before[lane] = members[m]
				}
			}
			if len(members) == 0 || len(members) < 9 && rng.IntN(2) == 0 {
				members = append(members, fmt.Sprintf("lapwing.g1-host%d", step))
			} else if len(members) > 1 {
				i := rng.IntN(len(members))
				members = slices.Delete(members, i, i+1)
			}
			slices.Sort(members)
			have := map[string]int{}
			orphans := 0
			for lane := range owner {
				m, known := slices.BinarySearch(members, before[lane])
				owner[lane] = nobody
				if known {
					owner[lane] = m
					have[members[m]]++
				} else {
					orphans++
				}
			}
			next := spread(members, owner)
			if !slices.Equal(next, spread(members, owner)) {
				t.Fatalf("seed %d: %d lanes over %d members: not the same twice", seed, lanes, len(members))
			}
			load, moved := make([]int, len(members)), 0
			for lane, m := range next {
				load[m]++
				if owner[lane] != nobody && owner[lane] != m {
					moved++
				}
			}
			if slices.Max(load)-slices.Min(load) > 1 {
				t.Fatalf("seed %d: %d lanes over %d members: %v", seed, lanes, len(members), load)
			}
			surplus := 0 // what members have above the share that the fullest ones may keep
			for i, m := range members {
				surplus += max(0, have[m]-load[i])
			}
			if moved > surplus {
				t.Fatalf("seed %d: %d lanes over %d members, %d without an owner: %d move, %d had to", seed, lanes, len(members), orphans, moved, surplus)
			}
			owner = next
		}
	}
}

// A lane that moves is first given up by its owner, and given to the other only in
// the round after; all others stay where they are.
func TestBalancerIsCooperative(t *testing.T) {
	owned := map[string][]int32{"a": {0, 1, 2, 3, 4, 5}, "b": {}}
	round := func() map[string][]int32 {
		var members []kmsg.JoinGroupResponseMember
		for _, name := range []string{"a", "b"} {
			m := kmsg.NewJoinGroupResponseMember()
			m.MemberID, m.InstanceID = name, kmsg.StringPtr(name)
			m.ProtocolMetadata = laneBalancer{}.JoinGroupMetadata([]string{"events"}, map[string][]int32{"events": owned[name]}, 1)
			members = append(members, m)
		}
		b, _, err := laneBalancer{}.MemberBalancer(members)
		if err != nil {
			t.Fatal(err)
		}
		into, err := b.(*kgo.ConsumerBalancer).BalanceOrError(map[string]int32{"events": 6}) //nolint:forcetypeassert // what MemberBalancer makes
		if err != nil {
			t.Fatal(err)
		}
		got := map[string][]int32{}
		for _, a := range into.IntoSyncAssignment() {
			plan, err := laneBalancer{}.ParseSyncAssignment(a.MemberAssignment)
			if err != nil {
				t.Fatal(err)
			}
			got[a.MemberID] = slices.Sorted(slices.Values(plan["events"]))
		}
		return got
	}
	first := round()
	if len(first["a"]) != 3 || len(first["b"]) != 0 {
		t.Fatalf("first round: %v; want a to give up three and b to get none yet", first)
	}
	kept := first["a"]
	owned["a"] = kept
	second := round()
	if !slices.Equal(second["a"], kept) || len(second["b"]) != 3 {
		t.Fatalf("second round: %v; want a to keep %v and b to get the rest", second, kept)
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

// Whatever is in memory, in the store or in both, the index gives the earliest
// deadline that is true.
func TestDueIndexGivesTheEarliest(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 3))
	d := newDueIndex()
	now, stored := map[string]instant.Instant{}, map[string]instant.Instant{}
	waits := func(e store.Deadline) bool { return now[e.ID] == e.At && stored[e.ID] != e.At }
	first := func(from map[string]instant.Instant, behind store.Deadline) (least store.Deadline, ok bool) {
		for id, at := range from {
			e := store.Deadline{At: at, ID: id}
			if behind.Before(e) && (!ok || e.Before(least)) {
				least, ok = e, true
			}
		}
		return least, ok
	}
	clock := instant.Instant(0)
	for step := range 40_000 {
		switch id := fmt.Sprint(rng.IntN(3 * trimAbove)); {
		case rng.IntN(1500) == 0: // the store catches up, by all or by a part, then memory is trimmed
			part := rng.IntN(3)
			for id := range stored {
				if _, is := now[id]; !is && rng.IntN(2) < part {
					delete(stored, id)
				}
			}
			for id, at := range now {
				if rng.IntN(2) < part {
					stored[id] = at
				}
			}
			d.trimmed = 0
			d.trim(waits)
		case rng.IntN(9) == 0:
			delete(now, id)
		default:
			now[id] = clock + instant.Instant(rng.IntN(1_000_000))
			d.add(store.Deadline{At: now[id], ID: id})
		}
		if step%50 != 0 {
			continue
		}
		clock += instant.Instant(rng.IntN(2_000))
		for {
			if d.wants(clock) {
				e, ok := first(stored, d.loaded)
				d.load([]store.Deadline{e}[:map[bool]int{true: 1}[ok]], !ok)
				continue
			}
			e, ok := d.first()
			if ok && e.At <= clock && now[e.ID] != e.At {
				d.pop()
				continue
			}
			want, any := first(now, store.Deadline{At: instant.None})
			if any = any && want.At <= clock; any != (ok && e.At <= clock) || any && e != want {
				t.Fatalf("seed %d, step %d: first due at %d is %v (%v), want %v (%v)", seed, step, clock, e, ok, want, any)
			}
			if !any {
				break
			}
			d.pop() // it fires, and is due again later, or never
			if delete(now, e.ID); rng.IntN(4) > 0 {
				now[e.ID] = clock + 1 + instant.Instant(rng.IntN(1_000_000))
				d.add(store.Deadline{At: now[e.ID], ID: e.ID})
			}
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
		CommitInterval: Interval{Max: time.Hour}, Prefix: "lapwing.", MaxDepth: -1,
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
		"commit_interval.min is 0s: want 1ms to 5s", "commit_interval.max is 1h0m0s: want 1ms to 5s", "max_depth is -1: want 1 to 1000", "session_timeout is 0s: want 1s to 5m0s", "heartbeat_interval is 0s: want 50ms to 1m0s",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %q in\n%v", want, err)
		}
	}
	for _, from := range []Origin{
		{Prefix: "old.", Group: "lapwing"},
		{Group: "lapwing", Prefix: good.Prefix, Generation: 2},
		{Prefix: "old.", Group: "lapwing", Generation: 1}, // the same groups
	} {
		taking := good
		if taking.From = from; taking.Validate() == nil {
			t.Errorf("from %+v is accepted", from)
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
	m.clock.WithLabelValues("0").Set(1)
	m.lagSeconds.WithLabelValues("events", "0").Set(3)
	m.aborts.WithLabelValues("stream", abortProduce).Inc()
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// A transaction is short while caught up and long in a backlog, within the bounds.
func TestCommitIntervalAdapts(t *testing.T) {
	i := Interval{Min: 20 * time.Millisecond, Max: time.Second}
	for _, c := range []struct {
		elapsed    time.Duration
		read, left int64
		want       bool
	}{
		{19 * time.Millisecond, 0, 0, false},           // too early, whatever was read
		{20 * time.Millisecond, 0, 0, true},            // idle
		{20 * time.Millisecond, 400, 30, true},         // nearly caught up
		{20 * time.Millisecond, 400, 401, false},       // more is left than was read
		{999 * time.Millisecond, 90_000, 1e6, false},   // a backlog
		{time.Second, 90_000, 1e6, true},               // as long as it may be
		{21 * time.Millisecond, 100_000, 99_999, true}, // the end of a backlog
	} {
		if got := i.enough(c.elapsed, c.read, c.left); got != c.want {
			t.Errorf("after %s, %d read, %d left: enough %v, want %v", c.elapsed, c.read, c.left, got, c.want)
		}
	}
}
