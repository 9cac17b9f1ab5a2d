// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"github.com/twmb/franz-go/pkg/kgo"
)

// homes finds the home lane of a customer: murmur2 of its id over the number of
// lanes, as the default partitioners of the Java client and of franz-go do, so that
// a producer keying by customer needs no agreement with us. It belongs to one goroutine.
type homes struct {
	partition kgo.TopicPartitioner
	record    kgo.Record
	lanes     int
}

func newHomes(lanes int32) *homes {
	return &homes{partition: kgo.StickyKeyPartitioner(nil).ForTopic(""), lanes: int(lanes)}
}

// of is the home of the customer, 0 to lanes-1. The customer must not be empty.
func (h *homes) of(customer []byte) int32 {
	h.record.Key = customer
	return int32(h.partition.Partition(&h.record, h.lanes))
}

// Home is the lane of the customer among so many: the partition a producer of a
// keyed input gives its events.
func Home(customer string, lanes int32) int32 { return newHomes(lanes).of([]byte(customer)) }
