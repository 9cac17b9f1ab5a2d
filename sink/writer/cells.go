// SPDX-License-Identifier: Apache-2.0

package writer

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/shopspring/decimal"
)

// cells are the values of one column in the form in which ClickHouse sends them.
// The driver's own way, a reflection per value, costs more than the engine does.
type cells interface {
	// add takes one value; false if it is of no type that this column can hold.
	add(v any) bool
	// encode appends all values.
	encode(b *proto.Buffer)
	// reset takes them out, and keeps the memory.
	reset()
}

// cellsOf returns empty cells of a type of ClickHouse; nil if it is none of our tables'.
func cellsOf(name string) cells {
	head, arguments := cutType(name)
	switch head {
	case "String":
		return plainOf((*proto.Buffer).PutString)
	case "Bool":
		return plainOf((*proto.Buffer).PutBool)
	case "UInt8":
		return plainOf((*proto.Buffer).PutUInt8)
	case "UInt16":
		return plainOf((*proto.Buffer).PutUInt16)
	case "UInt32":
		return plainOf((*proto.Buffer).PutUInt32)
	case "UInt64":
		return plainOf((*proto.Buffer).PutUInt64)
	case "Int64":
		return plainOf((*proto.Buffer).PutInt64)
	case "Float64":
		return plainOf((*proto.Buffer).PutFloat64)
	case "DateTime64":
		if len(arguments) > 0 && arguments[0] == "3" {
			c := plainOf(putMilliseconds)
			c.zero = time.UnixMilli(0)
			return c
		}
	case "Decimal":
		switch strings.Join(arguments, ", ") {
		case "18, 4":
			return plainOf(putMoney)
		case "38, 8":
			return plainOf(putSquares)
		}
	case "FixedString":
		return fixedString(arguments)
	case "Nullable":
		if inner, ok := cellsOf(arguments[0]).(*plain); ok {
			return &nullable{inner: inner}
		}
	case "LowCardinality":
		switch arguments[0] {
		case "String":
			return newDictionary(false)
		case "Nullable(String)":
			return newDictionary(true)
		}
	case "Array":
		if inner := cellsOf(arguments[0]); inner != nil {
			return &list{inner: inner}
		}
	case "Map":
		if keys, values := cellsOf(arguments[0]), cellsOf(arguments[1]); keys != nil && values != nil {
			return &dict{keys: keys, values: values}
		}
	case "Tuple":
		return newTuple(arguments)
	}
	return nil
}

// cutType parts Head(a, b) into its head and arguments.
func cutType(name string) (head string, arguments []string) {
	head, rest, ok := strings.Cut(name, "(")
	if !ok {
		return name, nil
	}
	rest = strings.TrimSuffix(rest, ")")
	depth, from := 0, 0
	for i := range len(rest) {
		switch rest[i] {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				arguments = append(arguments, strings.TrimSpace(rest[from:i]))
				from = i + 1
			}
		}
	}
	return head, append(arguments, strings.TrimSpace(rest[from:]))
}

// plain holds values that are written one behind the other.
type plain struct {
	buf  proto.Buffer
	put  func(b *proto.Buffer, v any) bool
	zero any // what stands where there is none
}

func (c *plain) add(v any) bool         { return c.put(&c.buf, v) }
func (c *plain) encode(b *proto.Buffer) { b.PutRaw(c.buf.Buf) }
func (c *plain) reset()                 { c.buf.Reset() }

// plainOf are values of one Go type.
func plainOf[T any](put func(*proto.Buffer, T)) *plain {
	var zero T
	return &plain{zero: zero, put: func(b *proto.Buffer, v any) bool {
		x, ok := v.(T)
		put(b, x)
		return ok
	}}
}

// putMilliseconds writes an instant: whatever zone t is in, the column's is UTC.
func putMilliseconds(b *proto.Buffer, t time.Time) { b.PutInt64(t.UnixMilli()) }

func putMoney(b *proto.Buffer, d decimal.Decimal) {
	if d.Exponent() != -4 {
		b.PutInt64(d.Shift(4).IntPart())
		return
	}
	b.PutInt64(d.CoefficientInt64())
}

// putSquares writes 128 bits, negative numbers as their complement.
func putSquares(b *proto.Buffer, d decimal.Decimal) {
	n := d.Shift(8).BigInt()
	if n.Sign() < 0 {
		n.Add(n, new(big.Int).Lsh(big.NewInt(1), 128))
	}
	low := new(big.Int).And(n, new(big.Int).SetUint64(math.MaxUint64))
	b.PutUInt64(low.Uint64())
	b.PutUInt64(n.Rsh(n, 64).Uint64())
}

func fixedString(arguments []string) cells {
	var n int
	if _, err := fmt.Sscan(strings.Join(arguments, ","), &n); err != nil {
		return nil
	}
	return &plain{zero: strings.Repeat("\x00", n), put: func(b *proto.Buffer, v any) bool {
		s, ok := v.(string)
		if !ok || len(s) != n {
			return false
		}
		b.Buf = append(b.Buf, s...)
		return true
	}}
}

// nullable is a mask, and a value or its stand-in for each row.
type nullable struct {
	mask  proto.Buffer
	inner *plain
}

func (c *nullable) add(v any) bool {
	c.mask.PutBool(v == nil)
	if v == nil {
		v = c.inner.zero
	}
	return c.inner.add(v)
}

func (c *nullable) encode(b *proto.Buffer) {
	b.PutRaw(c.mask.Buf)
	c.inner.encode(b)
}

func (c *nullable) reset() {
	c.mask.Reset()
	c.inner.reset()
}

// dictionary is a LowCardinality of texts: each distinct one once, and their numbers.
// Number 0 stands for null if there is one, else for the empty text.
type dictionary struct {
	nullable bool
	words    proto.Buffer
	known    map[string]uint32
	numbers  []uint32
	count    uint32
	word     string // the word last added, which often comes again
	number   uint32
}

func newDictionary(null bool) *dictionary {
	c := &dictionary{nullable: null, known: map[string]uint32{}}
	c.reset()
	return c
}

func (c *dictionary) reset() {
	clear(c.known)
	c.words.Reset()
	c.numbers, c.count, c.word, c.number = c.numbers[:0], 0, "", 0
	if c.nullable {
		c.words.PutString("")
		c.number, c.count = 1, 1
	}
	c.words.PutString("")
	c.known[""] = c.number
	c.count++
}

func (c *dictionary) add(v any) bool {
	if v == nil {
		c.numbers = append(c.numbers, 0)
		return c.nullable
	}
	s, ok := v.(string)
	if !ok {
		return false
	}
	c.addString(s)
	return true
}

func (c *dictionary) addString(s string) {
	if s != c.word {
		n, ok := c.known[s]
		if !ok {
			n = c.count
			c.count++
			c.known[s] = n
			c.words.PutString(s)
		}
		c.word, c.number = s, n
	}
	c.numbers = append(c.numbers, c.number)
}

func (c *dictionary) encode(b *proto.Buffer) {
	if len(c.numbers) == 0 {
		return
	}
	const ownKeys, update = 1 << 9, 1 << 10
	width := uint64(2)
	switch {
	case c.count <= 1<<8:
		width = 0
	case c.count <= 1<<16:
		width = 1
	}
	b.PutUInt64(width | ownKeys | update)
	b.PutInt64(int64(c.count))
	b.PutRaw(c.words.Buf)
	b.PutInt64(int64(len(c.numbers)))
	for _, n := range c.numbers {
		switch width {
		case 0:
			b.PutUInt8(uint8(n))
		case 1:
			b.PutUInt16(uint16(n))
		default:
			b.PutUInt32(n)
		}
	}
}

// list is an Array: where each row ends, and all elements.
type list struct {
	ends  proto.Buffer
	count uint64
	inner cells
}

func (c *list) add(v any) bool {
	ok := true
	switch all := v.(type) {
	case []string:
		for _, s := range all {
			if d, is := c.inner.(*dictionary); is {
				d.addString(s)
			} else {
				ok = c.inner.add(s) && ok
			}
		}
		c.count += uint64(len(all))
	case []any:
		for _, one := range all {
			ok = c.inner.add(one) && ok
		}
		c.count += uint64(len(all))
	default:
		return false
	}
	c.ends.PutUInt64(c.count)
	return ok
}

func (c *list) encode(b *proto.Buffer) {
	b.PutRaw(c.ends.Buf)
	c.inner.encode(b)
}

func (c *list) reset() {
	c.ends.Reset()
	c.count = 0
	c.inner.reset()
}

// dict is a Map: as a list, of keys and of values. Keys are sorted, so that the same
// row is the same bytes whenever it is inserted.
type dict struct {
	ends         proto.Buffer
	count        uint64
	keys, values cells
	sorted       []string // of the row that is added
}

func (c *dict) add(v any) bool {
	ok := true
	c.sorted = c.sorted[:0]
	switch all := v.(type) {
	case map[string]string:
		for k := range all {
			c.sorted = append(c.sorted, k)
		}
		slices.Sort(c.sorted)
		for _, k := range c.sorted {
			ok = c.keys.add(k) && c.values.add(all[k]) && ok
		}
	case map[string]map[string]any:
		for k := range all {
			c.sorted = append(c.sorted, k)
		}
		slices.Sort(c.sorted)
		for _, k := range c.sorted {
			ok = c.keys.add(k) && c.values.add(all[k]) && ok
		}
	default:
		return false
	}
	c.count += uint64(len(c.sorted))
	c.ends.PutUInt64(c.count)
	return ok
}

func (c *dict) encode(b *proto.Buffer) {
	b.PutRaw(c.ends.Buf)
	c.keys.encode(b)
	c.values.encode(b)
}

func (c *dict) reset() {
	c.ends.Reset()
	c.count = 0
	c.keys.reset()
	c.values.reset()
}

// tuple takes its elements in order, or by name.
type tuple struct {
	names    []string
	elements []cells
}

// newTuple reads "name Type" for each element; elements without a name are not ours.
func newTuple(arguments []string) cells {
	t := &tuple{}
	for _, a := range arguments {
		name, kind, ok := strings.Cut(a, " ")
		inner := cellsOf(strings.TrimSpace(kind))
		if !ok || inner == nil || strings.Contains(name, "(") {
			return nil
		}
		t.names, t.elements = append(t.names, strings.Trim(name, "`")), append(t.elements, inner)
	}
	return t
}

func (c *tuple) add(v any) bool {
	ok := true
	switch all := v.(type) {
	case []any:
		if len(all) != len(c.elements) {
			return false
		}
		for i, one := range all {
			ok = c.elements[i].add(one) && ok
		}
	case map[string]any:
		if len(all) != len(c.elements) {
			return false
		}
		for i, name := range c.names {
			one, there := all[name]
			ok = c.elements[i].add(one) && there && ok
		}
	default:
		return false
	}
	return ok
}

func (c *tuple) encode(b *proto.Buffer) {
	for _, one := range c.elements {
		one.encode(b)
	}
}

func (c *tuple) reset() {
	for _, one := range c.elements {
		one.reset()
	}
}
