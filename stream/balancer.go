// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// laneBalancer assigns lanes: partition p of every topic goes to one member. It is
// eager, and sticky in so far as members keep their place by instance id: a restart
// moves nothing, a member that joins or leaves moves about one lane in as many as
// there are members.
type laneBalancer struct{}

const laneProtocol = "lapwing-lanes"

func (laneBalancer) ProtocolName() string { return laneProtocol }
func (laneBalancer) IsCooperative() bool  { return false }

func (laneBalancer) JoinGroupMetadata(topics []string, _ map[string][]int32, _ int32) []byte {
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Topics = topics
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

// Balance gives each lane to the member with the highest score for it (rendezvous
// hashing, evened out), all topics together. Topics whose partition counts differ
// are an error: a lane would be torn.
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
	owner := spread(memberNames(members), lanes)
	for lane, m := range owner {
		for _, name := range names {
			plan.AddPartition(&members[m], name, int32(lane))
		}
	}
	return plan
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

// spread gives each lane the index of its member. No member gets more than one lane
// above another. A lane goes to the first member, in the order of the lane's own
// scores, that still has room: when a member leaves, mostly its lanes move.
func spread(members []string, lanes int32) []int {
	owner := make([]int, lanes)
	load := make([]int, len(members))
	n := len(members)
	low, extra := int(lanes)/n, int(lanes)%n // extra members get one lane more
	for lane := range owner {
		best, bestScore := -1, uint64(0)
		for m, name := range members {
			room := load[m] < low || load[m] == low && extra > 0
			if s := score(name, lane); room && (best == -1 || s > bestScore) {
				best, bestScore = m, s
			}
		}
		owner[lane] = best
		if load[best] == low {
			extra--
		}
		load[best]++
	}
	return owner
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
