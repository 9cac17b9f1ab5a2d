// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Key identifies a row by its table's ordering key: two independent 64-bit hashes, so
// that no two of billions of rows are taken for each other.
type Key [2]uint64

// Row is what is compared of a row: which it is, where its record stands in the log,
// and a hash of all that it says.
type Row struct {
	Key    Key
	Offset int64
	Hash   uint64
	// Gone marks a tombstone: the newest word on the key, and no row to be seen.
	Gone bool
}

// Column is a column as the table has it. Of is the expression that it is made by; empty if
// it is written.
type Column struct{ Name, Type, Of string }

// literals are what is no column in an expression.
var literals = regexp.MustCompile(`'(?:[^'\\]|\\.)*'`)

var words = regexp.MustCompile(`\w+`)

// Table says how rows of one table are compared: the same way in Go and in SQL.
type Table struct {
	// KeySQL are two expressions, HashSQL is one, each of type UInt64.
	KeySQL  [2]string
	HashSQL string

	columns []hashed
	key     []int // indexes in columns, in the table's order
	gone    int   // index of _deleted in columns, -1 if there is none
	scratch []byte
}

type hashed struct {
	codec
	at int // in the row
}

// NewTable compares rows that have values for the written columns, in this order. have
// are the table's columns, key is its ordering key, both as the server says; what is in
// ignored, and what is in the table only, is not compared. A column of the key that the
// server makes of others is taken for these.
func NewTable(written []string, have []Column, key string, ignored []string) (*Table, error) {
	t := &Table{gone: -1}
	index := map[string]int{}
	var all []string
	for at, name := range written {
		i := slices.IndexFunc(have, func(c Column) bool { return c.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("column %s is missing", name)
		}
		if slices.Contains(ignored, name) {
			continue
		}
		c, err := parseType(have[i].Type)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", name, err)
		}
		if name == "_deleted" {
			t.gone = at
		}
		index[name] = len(t.columns)
		t.columns = append(t.columns, hashed{c, at})
		all = append(all, c.column(name, have[i].Type))
	}
	var keys []string
	parts := split(key)
	for n := 0; n < len(parts); n++ {
		name := parts[n]
		i, ok := index[strings.Trim(name, "`")]
		if !ok {
			if made := slices.IndexFunc(have, func(c Column) bool { return c.Name == strings.Trim(name, "`") }); made >= 0 {
				// A column that the server makes says no more than those it is made of.
				before := len(parts)
				for _, of := range words.FindAllString(literals.ReplaceAllString(have[made].Of, ""), -1) {
					if _, is := index[of]; is && !slices.Contains(parts, of) {
						parts = append(parts, of)
					}
				}
				if len(parts) > before {
					continue
				}
			}
			// toDate32(event_time) says no more than event_time, which comes later in the key.
			if _, of, call := strings.Cut(strings.TrimSuffix(name, ")"), "("); call && slices.Contains(parts, of) {
				continue
			}
			return nil, fmt.Errorf("the ordering key has %q, which no row says", name)
		}
		t.key = append(t.key, i)
		keys = append(keys, all[i])
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("there is no ordering key")
	}
	one := "concat('', " + strings.Join(keys, ", ") + ")"
	t.KeySQL = [2]string{"xxHash64(" + one + ")", "xxHash64(concat('2', " + one + "))"}
	t.HashSQL = "xxHash64(concat('', " + strings.Join(all, ", ") + "))"
	return t, nil
}

// column is the expression for a column of the table.
func (c codec) column(name, kind string) string {
	x := "`" + name + "`"
	if c.plain != kind {
		x = "CAST(" + x + ", '" + strings.ReplaceAll(c.plain, "'", `\'`) + "')"
	}
	return c.sql(x, 0)
}

// Row is what is compared of values, whose record is at offset. Not safe for
// concurrent use: it keeps its scratch space.
func (t *Table) Row(values []any, offset int64) (Row, error) {
	row := Row{Offset: offset}
	b := append(t.scratch[:0], '2')
	var err error
	for _, i := range t.key {
		if b, err = t.columns[i].add(b, values[t.columns[i].at]); err != nil {
			return row, err
		}
	}
	row.Key = Key{xxhash.Sum64(b[1:]), xxhash.Sum64(b)}
	b = b[:0]
	for i := range t.columns {
		if b, err = t.columns[i].add(b, values[t.columns[i].at]); err != nil {
			return row, err
		}
	}
	t.scratch = b
	row.Hash = xxhash.Sum64(b)
	if t.gone >= 0 {
		row.Gone = values[t.gone] == uint8(1)
	}
	return row, nil
}

// Clone is a Table for another goroutine.
func (t *Table) Clone() *Table {
	c := *t
	c.scratch = nil
	return &c
}
