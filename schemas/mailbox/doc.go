// SPDX-License-Identifier: Apache-2.0

// Package mailbox is the wire format of what Lapwing's workers write for
// themselves and each other: the records of the mailbox, which carry events and
// clocks between lanes, and those of the state topic, a lane's changelog.
//
// Both are small binary formats with a version in front: they are on the hot path
// and nobody else reads them. Golden bytes under testdata must decode for ever.
// The package has no clock and does no I/O.
//
// # Mailbox
//
// A mailbox record has a header Header with an Envelope. A forwarded event has the
// customer as key and the original bytes as value; a clock has no value; a definition
// has its name as key and its file as value, and no source.
//
//	byte    version, 1
//	byte    kind: 'e' event, 'c' clock, 'd' definition
//	string  source topic (uvarint length, bytes)
//	uvarint source partition
//	uvarint source position: of an event its offset; of a clock the next offset; of a
//	        definition its version
//	varint  milliseconds since 1970: of an event its record's timestamp; of a clock the
//	        clock; of a definition the clock from which it is live, or the least of all
//	byte    flags: 1 the source has ended
//
// # State
//
// Key:
//
//	byte    kind: 'c' customer, 'a' aggregate, 'm' the lane itself, 't' the customer up
//	        to whom it has taken over from another generation (the value), 'v' a definition
//	        by which customers of the lane were made, or will be (the value: its file)
//	4 bytes generation, big endian
//	rest    customer id, or the aggregate's key, or the definition's version in decimal,
//	        or nothing
//
// Values are described at Customer and Lane; those of aggregates belong to
// stream/aggregate.
package mailbox
