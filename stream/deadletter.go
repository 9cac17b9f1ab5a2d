// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/event"
	"lapwing/schemas/mailbox"
	"lapwing/schemas/topics"
)

// BadEnvelope is the cause of a mailbox record that is not of our making.
const BadEnvelope event.Cause = "invalid_envelope"

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

// DeadLetter is what a record of the topic of dead letters says beside key and value,
// which are the source record's.
type DeadLetter struct {
	Cause           string
	SourceTopic     string
	SourcePartition int32
	SourceOffset    int64
	// OriginalBytes is how long the value was, if the record has only its beginning.
	OriginalBytes int64
}

// ReadDeadLetter reads the headers that deadLetter writes.
func ReadDeadLetter(r *kgo.Record) (d DeadLetter, err error) {
	for _, h := range r.Headers {
		text := string(h.Value)
		var n int64
		switch h.Key {
		case "cause":
			d.Cause = text
		case "source_topic":
			d.SourceTopic = text
		case "source_partition":
			n, err = strconv.ParseInt(text, 10, 32)
			d.SourcePartition = int32(n)
		case "source_offset":
			d.SourceOffset, err = strconv.ParseInt(text, 10, 64)
		case "original_bytes":
			d.OriginalBytes, err = strconv.ParseInt(text, 10, 64)
		}
		if err != nil {
			return d, fmt.Errorf("dead letter at offset %d: header %s: %w", r.Offset, h.Key, err)
		}
	}
	if d.Cause == "" || d.SourceTopic == "" {
		return d, fmt.Errorf("dead letter at offset %d: its headers do not say cause and source", r.Offset)
	}
	return d, nil
}
