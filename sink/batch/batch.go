// SPDX-License-Identifier: Apache-2.0

// Package batch turns Kafka records into the rows of one insert per table, and
// says when a batch is full and which offsets it stands for. It is pure: no clock,
// no connection, no goroutine.
//
// Whatever the edges of the batches, the same records give the same rows; rows are
// facts with their place in Kafka, or absolute values with a version. So a batch
// may be inserted again, split or merged without changing what the views show.
package batch

import (
	"fmt"
	"slices"
	"time"

	"lapwing/schemas/topics"
)

// Record is one Kafka record with its place.
type Record struct {
	Topic      string // full name
	Name       string // the topic's name without the prefix, as in schemas/topics
	Partition  int32
	Offset     int64
	Generation uint16
	Key, Value []byte // a nil Value is a tombstone
}

// Offsets are next offsets per topic and partition: exclusive, as Kafka commits them.
type Offsets map[string]map[int32]int64

// Set raises the offset of one partition; it never lowers one.
func (o Offsets) Set(topic string, partition int32, nextOffset int64) {
	if o[topic] == nil {
		o[topic] = make(map[int32]int64)
	}
	o[topic][partition] = max(o[topic][partition], nextOffset)
}

// Reached reports whether every partition of want has come at least that far.
func (o Offsets) Reached(want Offsets) bool {
	for topic, partitions := range want {
		for partition, nextOffset := range partitions {
			if o[topic][partition] < nextOffset {
				return false
			}
		}
	}
	return true
}

// Limits close a batch: whichever comes first.
type Limits struct {
	Rows  int           // rows of all tables together
	Bytes int           // of the records' keys and values
	Age   time.Duration // since the first record
}

// Batch collects records until they are inserted. The zero Batch is not ready: use
// New. It is owned by one goroutine.
type Batch struct {
	limits  Limits
	tables  [numTables]tableBatch
	next    Offsets
	rows    int
	bytes   int
	began   time.Time
	records int

	// Profiles and aggregates are values that replace each other: of one key only the
	// last record of the batch is read at all. It may stand for thousands.
	latest     map[latestKey]int // index in values
	values     []Record
	unreadable []UnreadableError
}

type latestKey struct {
	name       string
	partition  int32
	generation uint16
	key        string
}

// UnreadableError is a record that gave no rows and is kept as it is.
type UnreadableError struct {
	Topic     string
	Partition int32
	Offset    int64
	Err       error
}

func (e *UnreadableError) Error() string {
	return fmt.Sprintf("read %s, partition %d, offset %d: %v", e.Topic, e.Partition, e.Offset, e.Err)
}

func (e *UnreadableError) Unwrap() error { return e.Err }

// tableBatch is what one table receives.
type tableBatch struct {
	rows   []Row
	piece  []any    // what later rows are cut from
	places []source // in the order of first appearance
}

// source is a topic partition that rows come from.
type source struct {
	topic     string
	partition int32
	place     [2]any // both as values of a row: boxed once
}

// New returns an empty batch.
func New(l Limits) *Batch {
	b := &Batch{limits: l}
	b.Reset()
	return b
}

// Reset empties the batch, without keeping rows that a caller may still hold.
func (b *Batch) Reset() {
	clear(b.tables[:])
	b.next, b.rows, b.bytes, b.records, b.began = Offsets{}, 0, 0, 0, time.Time{}
	b.latest, b.values, b.unreadable = map[latestKey]int{}, nil, nil
}

// Add takes a record at the processing time now, and keeps its bytes until Reset. A
// record that cannot be read will be a row of the table Unreadable.
func (b *Batch) Add(r *Record, now time.Time) {
	b.Pass(r.Topic, r.Partition, r.Offset, now)
	b.bytes += len(r.Key) + len(r.Value)
	if len(r.Key) == 0 || r.Name != topics.Profiles && r.Name != topics.Aggregates {
		b.read(r)
		return
	}
	key := latestKey{r.Name, r.Partition, r.Generation, string(r.Key)}
	if i, ok := b.latest[key]; ok {
		if b.values[i].Offset < r.Offset { // order does not matter: the log's does
			b.values[i] = *r
		}
		return
	}
	b.latest[key] = len(b.values)
	b.values = append(b.values, *r)
	b.rows++ // read adds its own; Inserts takes this one back
}

// read makes the rows of one record.
func (b *Batch) read(r *Record) {
	if err := b.decode(r); err != nil {
		b.keep(r, err)
	}
}

// Refuse takes a record that cannot be read for a reason the caller has found.
func (b *Batch) Refuse(r *Record, now time.Time, reason error) {
	b.Pass(r.Topic, r.Partition, r.Offset, now)
	b.bytes += len(r.Key) + len(r.Value)
	b.keep(r, reason)
}

func (b *Batch) keep(r *Record, reason error) {
	b.add(Unreadable, r, Row{reason.Error(), string(r.Value)})
	b.unreadable = append(b.unreadable, UnreadableError{r.Topic, r.Partition, r.Offset, reason})
}

// Pass moves past a record that gives no rows: a transaction's marker, or a record
// of another generation.
func (b *Batch) Pass(topic string, partition int32, offset int64, now time.Time) {
	if b.began.IsZero() {
		b.began = now
	}
	b.records++
	b.next.Set(topic, partition, offset+1)
}

// add appends one row and its place. It keeps the values, not the row.
func (b *Batch) add(t Table, r *Record, own Row) {
	tb := &b.tables[t]
	n := len(own)
	row := tb.row(n + len(place))
	copy(row, own)
	row[n+2], row[n+3] = uint64(r.Offset), r.Generation
	b.rows++
	for i := range tb.places {
		if s := &tb.places[i]; s.partition == r.Partition && s.topic == r.Topic {
			row[n], row[n+1] = s.place[0], s.place[1]
			return
		}
	}
	s := source{r.Topic, r.Partition, [2]any{r.Topic, uint32(r.Partition)}}
	row[n], row[n+1] = s.place[0], s.place[1]
	tb.places = append(tb.places, s)
}

// row is another row, of n values. Rows are cut from larger pieces: one piece of memory
// for each would be most of what a batch costs.
func (tb *tableBatch) row(n int) Row {
	const piece = 256
	if len(tb.piece) < n {
		tb.piece = make([]any, n*min(piece, 8+len(tb.rows)))
	}
	row := Row(tb.piece[:n:n])
	tb.piece = tb.piece[n:]
	tb.rows = append(tb.rows, row)
	return row
}

// Empty reports whether nothing was added since Reset.
func (b *Batch) Empty() bool { return b.records == 0 }

// Rows is how many rows the batch holds.
func (b *Batch) Rows() int { return b.rows }

// Size is what a batch holds.
type Size struct {
	Rows  int // of all tables together
	Bytes int // of the records' keys and values
}

// Size is what the batch holds now.
func (b *Batch) Size() Size { return Size{b.rows, b.bytes} }

// Began is when the first record was added; zero if the batch is empty.
func (b *Batch) Began() time.Time { return b.began }

// Next are the offsets to commit once all inserts are done.
func (b *Batch) Next() Offsets { return b.next }

// Full reports whether the batch has to be inserted at the processing time now.
func (b *Batch) Full(now time.Time) bool {
	return !b.Empty() && (b.rows >= b.limits.Rows || b.bytes >= b.limits.Bytes || now.Sub(b.began) >= b.limits.Age)
}

// Due is how long the batch may still wait at the processing time now; the whole
// age if it is empty.
func (b *Batch) Due(now time.Time) time.Duration {
	if b.Empty() {
		return b.limits.Age
	}
	return max(0, b.limits.Age-now.Sub(b.began))
}

// Insert is one INSERT: one block, one partition, one table, so ClickHouse takes it
// whole or not at all.
type Insert struct {
	Table Table
	Rows  []Row
}

// First is where the first row was read; an Insert has rows.
func (in Insert) First() (topic string, partition uint32, offset uint64) {
	at := in.Rows[0][len(in.Rows[0])-len(place):]
	return at[0].(string), at[1].(uint32), at[2].(uint64)
}

// maxInsertRows keeps an insert below the 1,048,449 rows at which ClickHouse splits
// a block. One record of a megabyte can hold that many products.
const maxInsertRows = 500_000

// Inserts are the inserts of the batch, in the order of the tables, and the records
// that could not be read, whose bytes are in one of the inserts. Nothing can be added
// afterwards but by Reset.
func (b *Batch) Inserts() (all []Insert, unreadable []UnreadableError) {
	for i := range b.values {
		b.rows--
		b.read(&b.values[i])
	}
	b.values, b.latest = nil, nil
	for t := range b.tables {
		tb := &b.tables[t]
		if len(tb.rows) == 0 {
			continue
		}
		for _, g := range generations(tb.rows) {
			for rest := g.rows; len(rest) > 0; {
				n := min(len(rest), maxInsertRows)
				all = append(all, Insert{Table(t), rest[:n:n]})
				rest = rest[n:]
			}
		}
	}
	return all, b.unreadable
}

type generation struct {
	generation uint16
	rows       []Row
}

// generations parts rows by their generation, which is ClickHouse's partition: an
// insert into two of them could be in one and not in the other. Nearly always it is one.
func generations(rows []Row) (all []generation) {
next:
	for from, to := 0, 0; from < len(rows); from = to {
		g := generationOf(rows[from])
		for to = from + 1; to < len(rows) && generationOf(rows[to]) == g; to++ {
		}
		for i := range all {
			if all[i].generation == g {
				all[i].rows = append(slices.Clip(all[i].rows), rows[from:to]...)
				continue next
			}
		}
		all = append(all, generation{g, rows[from:to]})
	}
	return all
}

func generationOf(r Row) uint16 { return r[len(r)-1].(uint16) }
