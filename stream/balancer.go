// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// laneBalancer assigns lanes: partition p of every topic goes to one member. It is
// cooperative: members keep what they have while others join and leave, and only the
// lanes that move are given up first. It is sticky: a lane moves only if its owner has
// gone or has more than its share.
type laneBalancer struct {
	address []byte // what the member says of itself: see locator.go
}

const laneProtocol = "lapwing-lanes"

func (laneBalancer) ProtocolName() string { return laneProtocol }
func (laneBalancer) IsCooperative() bool  { return true }

func (b laneBalancer) JoinGroupMetadata(topics []string, owned map[string][]int32, generation int32) []byte {
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Version = 2 // the first with a generation
	meta.Topics, meta.Generation, meta.UserData = topics, generation, b.address
	for _, topic := range slices.Sorted(maps.Keys(owned)) {
		o := kmsg.NewConsumerMemberMetadataOwnedPartition()
		o.Topic, o.Partitions = topic, slices.Sorted(slices.Values(owned[topic]))
		meta.OwnedPartitions = append(meta.OwnedPartitions, o)
	}
	return meta.AppendTo(nil)
}

func (laneBalancer) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	return kgo.ParseConsumerSyncAssignment(assignment)
}

func (b laneBalancer) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	c, err := kgo.NewConsumerBalancer(b, members)
	if err != nil {
		return nil, nil, fmt.Errorf("read the members of the group: %w", err)
	}
	return c, c.MemberTopics(), nil
}

// Balance gives each lane, all topics together, to its owner while that has no more
// than its share, else to the member with the highest score for it (rendezvous
// hashing). Topics whose partition counts differ are an error: a lane would be torn.
func (laneBalancer) Balance(b *kgo.ConsumerBalancer, counts map[string]int32) kgo.IntoSyncAssignment {
	lanes := int32(-1)
	names := make([]string, 0, len(counts))
	for name := range counts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if lanes == -1 {
			lanes = counts[name]
		}
		if counts[name] != lanes {
			b.SetError(fmt.Errorf("assign lanes: topic %s has %d partitions, %s has %d: they must be equal", names[0], lanes, name, counts[name]))
			return nil
		}
	}
	plan := b.NewPlan()
	members := b.Members() // sorted by instance id
	if len(members) == 0 {
		return plan
	}
	owner := spread(memberNames(members), owners(b, lanes))
	for lane, m := range owner {
		for _, name := range names {
			plan.AddPartition(&members[m], name, int32(lane))
		}
	}
	plan.AdjustCooperative(b)
	return plan
}

// nobody owns a lane that none of the members claims.
const nobody = -1

// owners gives each lane the index of the member that owns it now. Of two that claim
// it, as one does that has missed a rebalance, the later generation is right.
func owners(b *kgo.ConsumerBalancer, lanes int32) []int {
	owner, since := make([]int, lanes), make([]int32, lanes)
	for lane := range owner {
		owner[lane] = nobody
	}
	index := map[string]int{}
	for i, m := range b.Members() {
		index[m.MemberID] = i
	}
	b.EachMember(func(m *kmsg.JoinGroupResponseMember, meta *kmsg.ConsumerMemberMetadata) {
		for _, topic := range meta.OwnedPartitions {
			for _, lane := range topic.Partitions {
				if lane >= 0 && lane < lanes && (owner[lane] == nobody || meta.Generation > since[lane]) {
					owner[lane], since[lane] = index[m.MemberID], meta.Generation
				}
			}
		}
	})
	return owner
}

func memberNames(members []kmsg.JoinGroupResponseMember) []string {
	names := make([]string, len(members))
	for i, m := range members {
		names[i] = m.MemberID
		if m.InstanceID != nil {
			names[i] = *m.InstanceID
		}
	}
	return names
}

// spread gives each lane the index of its member; owner is who has it now. No member
// gets more than one lane above another. Who has more than its share gives up the
// lanes for which it has the lowest scores; a lane without an owner goes to the first
// member, in the order of the lane's own scores, that has room.
func spread(members []string, owner []int) []int {
	n := len(members)
	load := make([]int, n)
	for _, m := range owner {
		if m != nobody {
			load[m]++
		}
	}
	low, extra := len(owner)/n, len(owner)%n // extra members get one lane more
	share := make([]int, n)
	order := make([]int, n) // who has most keeps most
	for m := range order {
		order[m] = m
	}
	slices.SortStableFunc(order, func(a, b int) int { return load[b] - load[a] })
	for i, m := range order {
		share[m] = low
		if i < extra {
			share[m]++
		}
	}
	next := make([]int, len(owner))
	held := make([][]int, n)
	for lane, m := range owner {
		next[lane] = nobody
		if m != nobody {
			held[m] = append(held[m], lane)
		}
	}
	for m, lanes := range held {
		slices.SortStableFunc(lanes, func(a, b int) int { return cmp.Compare(score(members[m], b), score(members[m], a)) })
		load[m] = min(len(lanes), share[m])
		for _, lane := range lanes[:load[m]] {
			next[lane] = m
		}
	}
	for lane := range next {
		if next[lane] != nobody {
			continue
		}
		best, bestScore := nobody, uint64(0)
		for m, name := range members {
			if s := score(name, lane); load[m] < share[m] && (best == nobody || s > bestScore) {
				best, bestScore = m, s
			}
		}
		next[lane] = best
		load[best]++
	}
	return next
}

// score is FNV-1a over the member's name and the lane, mixed once more: FNV's upper
// bits hardly see the last bytes.
func score(member string, lane int) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(member) {
		h = (h ^ uint64(member[i])) * 1099511628211
	}
	h = (h ^ uint64(lane)) * 1099511628211
	h ^= h >> 32
	h *= 0x9e3779b97f4a7c15
	return h ^ h>>29
}

// heedful is a balancer that tells what its member was given, each time and in full.
// The client's callbacks do not: a transactional session passes on the first
// revocation only, until the next transaction has ended.
type heedful struct {
	kgo.GroupBalancer
	given func(map[string][]int32)
}

// ParseSyncAssignment implements kgo.GroupBalancer.
func (b heedful) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	given, err := b.GroupBalancer.ParseSyncAssignment(assignment)
	if err == nil {
		b.given(given)
	}
	return given, err
}
