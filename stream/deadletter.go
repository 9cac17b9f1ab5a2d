// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/event"
	"lapwing/schemas/mailbox"
	"lapwing/schemas/topics"
)

// badEnvelope is the cause of a mailbox record that is not of our making.
const badEnvelope event.Cause = "invalid_envelope"

// maxDeadLetterBytes bounds what of a message is kept, so that a record of any size
// can be put aside; what is cut is said in a header.
const maxDeadLetterBytes = topics.LargeMessageBytes - 64<<10

// deadLetter puts a record that cannot be used aside, byte for byte, with its cause
// and the place it came from. Nothing is kept of key and value.
func (o *outbox) deadLetter(topic string, cause event.Cause, src mailbox.Source, position int64, key, value []byte) {
	headers := []kgo.RecordHeader{
		{Key: "cause", Value: []byte(cause)},
		{Key: "source_topic", Value: []byte(src.Topic)},
		{Key: "source_partition", Value: strconv.AppendInt(nil, int64(src.Partition), 10)},
		{Key: "source_offset", Value: strconv.AppendInt(nil, position, 10)},
	}
	if len(value) > maxDeadLetterBytes {
		headers = append(headers, kgo.RecordHeader{Key: "original_bytes", Value: strconv.AppendInt(nil, int64(len(value)), 10)})
		value = value[:maxDeadLetterBytes]
	}
	if len(key) > maxKeyBytes {
		key = key[:maxKeyBytes]
	}
	if key != nil { // nil stays nil: no key, no value
		key = o.keep(key)
	}
	if value != nil {
		value = o.keep(value)
	}
	o.produce(topic, 0, key, value, o.header(headers...))
}

// maxKeyBytes bounds the key of a dead letter: an id has at most 256 bytes.
const maxKeyBytes = 4096
