// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lapwing/sink/compare"
)

// Report is what a comparison found.
type Report struct {
	Generation uint16  `json:"generation"`
	Entries    []Entry `json:"entries"` // in order of table, topic, partition
	// Unread are partitions of which the sink has committed nothing yet.
	Unread []string `json:"unread,omitempty"`
	// Erased is how many customers were left out.
	Erased int `json:"erased,omitempty"`
}

// Entry is what one table has from one partition of the log.
type Entry struct {
	Table     string `json:"table"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	From      int64  `json:"from"` // first offset compared
	To        int64  `json:"to"`   // where the comparison ends, exclusive
	// Expected is how many rows the log gives, Found how many the table shows.
	Expected uint64 `json:"expected"`
	Found    uint64 `json:"found"`
	// Differing is how many rows differ, all kinds together.
	Differing int64 `json:"differing"`
	// Refused is how many rows ClickHouse did not take: they are kept in unreadable.
	Refused int64           `json:"refused,omitempty"`
	Missing compare.Offsets `json:"missing,omitempty"`
	Altered compare.Offsets `json:"altered,omitempty"`
	Stale   compare.Offsets `json:"stale,omitempty"`
	Surplus compare.Offsets `json:"surplus,omitempty"`
	// Remove are the statements that delete the surplus rows. Nobody else does.
	Remove []string `json:"remove,omitempty"`

	partly map[uint64]int64 // first key hash and offset of surplus rows beside right ones
}

// Rows is how many rows differ in all.
func (r *Report) Rows() int64 {
	n := int64(0)
	for i := range r.Entries {
		n += r.Entries[i].Differing
	}
	return n
}

// Equal reports whether the tables have what the log has.
func (r *Report) Equal() bool { return r.Rows() == 0 }

// Repairable reports whether an insert can put something right.
func (r *Report) Repairable() bool {
	for i := range r.Entries {
		if e := &r.Entries[i]; len(e.Missing)+len(e.Altered)+len(e.Stale) > 0 {
			return true
		}
	}
	return false
}

// note takes a finding in.
func (e *Entry) note(f compare.Finding) {
	e.Differing++
	switch f.Kind {
	case compare.Missing:
		e.Missing.Add(f.Offset)
	case compare.Altered:
		e.Altered.Add(f.Offset)
	case compare.Stale:
		e.Stale.Add(f.Offset)
	case compare.Surplus:
		if f.Shared {
			if e.partly == nil {
				e.partly = map[uint64]int64{}
			}
			e.partly[f.Key[0]] = f.Offset
		}
		e.Surplus.Add(f.Offset)
	}
}

// lacks reports whether the offset's rows are to be inserted again.
func (e *Entry) lacks(offset int64) bool {
	return e.Missing.Has(offset) || e.Altered.Has(offset) || e.Stale.Has(offset)
}

// statements are what deletes the surplus rows: whole offsets where the log has nothing
// of this table, single rows by the hash of their key where it has.
func (e *Entry) statements(database string, generation uint16, keySQL string) []string {
	if len(e.Surplus) == 0 {
		return nil
	}
	var whole, some compare.Offsets
	var hashes []string
	shared := map[int64]bool{}
	for hash, offset := range e.partly {
		hashes = append(hashes, strconv.FormatUint(hash, 10))
		shared[offset] = true
		some.Add(offset)
	}
	for _, run := range e.Surplus {
		for offset := run.First; offset <= run.Last; offset++ {
			if !shared[offset] {
				whole.Add(offset)
			}
		}
	}
	from := fmt.Sprintf("DELETE FROM %s.%s WHERE _generation = %d AND _topic = %s AND _partition = %d AND ", database, e.Table, generation, quote(e.Topic), e.Partition)
	var all []string
	if len(whole) > 0 {
		all = append(all, from+offsetsSQL(whole))
	}
	if len(some) > 0 {
		slices.Sort(hashes)
		all = append(all, from+offsetsSQL(some)+" AND "+keySQL+" IN ("+strings.Join(hashes, ", ")+")")
	}
	return all
}

// offsetsSQL is the condition for rows at the offsets.
func offsetsSQL(o compare.Offsets) string {
	var parts []string
	for _, run := range o {
		if run.First == run.Last {
			parts = append(parts, fmt.Sprintf("_offset = %d", run.First))
		} else {
			parts = append(parts, fmt.Sprintf("_offset BETWEEN %d AND %d", run.First, run.Last))
		}
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return "(" + strings.Join(parts, " OR ") + ")"
}
