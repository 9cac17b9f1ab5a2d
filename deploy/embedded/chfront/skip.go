// SPDX-License-Identifier: Apache-2.0

package chfront

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

var (
	errShortBlock = errors.New("the block ends too early")
	errOpaqueType = errors.New("a type whose length depends on its values")
	errBadType    = errors.New("an unreadable type")
)

// columnCursor steps over the columns of a revision-0 Native block. Its err is
// set once and then every step does nothing.
type columnCursor struct {
	b   []byte
	pos int
	err error
}

// widths are the types with a fixed width, in bytes per value.
var widths = map[string]uint64{
	"UInt8": 1, "Int8": 1, "Bool": 1, "Enum8": 1, "Nothing": 1,
	"UInt16": 2, "Int16": 2, "Date": 2, "Enum16": 2, "BFloat16": 2,
	"UInt32": 4, "Int32": 4, "Float32": 4, "DateTime": 4, "Date32": 4, "IPv4": 4, "Time": 4,
	"UInt64": 8, "Int64": 8, "Float64": 8, "DateTime64": 8, "Time64": 8,
	"UInt128": 16, "Int128": 16, "UUID": 16, "IPv6": 16, "Point": 16,
	"UInt256": 32, "Int256": 32,
	"IntervalNanosecond": 8, "IntervalMicrosecond": 8, "IntervalMillisecond": 8, "IntervalSecond": 8, "IntervalMinute": 8, "IntervalHour": 8,
	"IntervalDay": 8, "IntervalWeek": 8, "IntervalMonth": 8, "IntervalQuarter": 8, "IntervalYear": 8,
}

func (c *columnCursor) uvarint() uint64 {
	if c.err != nil {
		return 0
	}
	v, n := binary.Uvarint(c.b[c.pos:])
	if n <= 0 {
		c.err = errShortBlock
		return 0
	}
	c.pos += n
	return v
}

// skip steps over count values of width bytes.
func (c *columnCursor) skip(count, width uint64) {
	if left := uint64(len(c.b) - c.pos); c.err == nil && (width > 0 && count > left/width) {
		c.err = errShortBlock
	}
	if c.err == nil {
		c.pos += int(count * width) // at most the block's length
	}
}

// text steps over a length and so many bytes, and returns these.
func (c *columnCursor) text() []byte {
	n := c.uvarint()
	start := c.pos
	c.skip(n, 1)
	return c.b[start:c.pos]
}

func (c *columnCursor) uint64() uint64 {
	start := c.pos
	if c.skip(1, 8); c.err != nil {
		return 0
	}
	return binary.LittleEndian.Uint64(c.b[start:])
}

// column steps over a whole column: the prefixes of its types, then its values.
func (c *columnCursor) column(typ string, rows uint64) error {
	if err := c.prefix(typ); err != nil {
		return err
	}
	if err := c.values(typ, rows); err != nil {
		return err
	}
	return c.err
}

// prefix steps over what a column holds once, before its values: the key
// version of each LowCardinality in it.
func (c *columnCursor) prefix(typ string) error {
	name, args, err := splitType(typ)
	if err != nil {
		return err
	}
	switch name {
	case "LowCardinality":
		c.skip(1, 8)
	case "Nullable", "Array":
		args = args[:1]
	case "SimpleAggregateFunction":
		args = args[1:]
	case "Map", "Tuple", "Nested":
	case "JSON", "Object", "Dynamic", "Variant", "AggregateFunction":
		return errOpaqueType
	default:
		return nil
	}
	if name == "LowCardinality" {
		return nil
	}
	for _, a := range args {
		if err := c.prefix(elementType(name, a)); err != nil {
			return err
		}
	}
	return nil
}

// values steps over rows values of typ.
func (c *columnCursor) values(typ string, rows uint64) error {
	name, args, err := splitType(typ)
	if err != nil || c.err != nil {
		return err
	}
	if w, ok := widths[name]; ok {
		c.skip(rows, w)
		return nil
	}
	switch name {
	case "String":
		for ; rows > 0 && c.err == nil; rows-- {
			c.skip(c.uvarint(), 1)
		}
	case "FixedString", "Decimal":
		n, err := strconv.ParseUint(args[0], 10, 16)
		if err != nil {
			return errBadType
		}
		if name == "Decimal" {
			n = decimalWidth(n)
		}
		c.skip(rows, n)
	case "Nullable":
		c.skip(rows, 1)
		return c.values(args[0], rows)
	case "Array", "Map", "Nested": // the end offset of each row, then all elements
		if rows == 0 {
			return nil
		}
		c.skip(rows-1, 8)
		elements := c.uint64()
		for _, a := range args {
			if err := c.values(elementType(name, a), elements); err != nil {
				return err
			}
		}
	case "Tuple":
		for _, a := range args {
			if err := c.values(elementType(name, a), rows); err != nil {
				return err
			}
		}
	case "SimpleAggregateFunction":
		return c.values(args[1], rows)
	case "LowCardinality":
		return c.lowCardinality(args[0], rows)
	default:
		return errOpaqueType
	}
	return nil
}

// lowCardinality steps over a dictionary of values and an index per row.
func (c *columnCursor) lowCardinality(typ string, rows uint64) error {
	if rows == 0 {
		return nil
	}
	const indexWidthBits = 0xf // 0, 1, 2, 3: an index has 1, 2, 4, 8 bytes
	width := c.uint64() & indexWidthBits
	if width > 3 {
		return errBadType
	}
	keys := c.uint64()
	if name, args, err := splitType(typ); err == nil && name == "Nullable" {
		typ = args[0] // null is a key of its own, not a map beside the keys
	}
	if err := c.values(typ, keys); err != nil {
		return err
	}
	c.skip(c.uint64(), 1<<width)
	return nil
}

// decimalWidth is the width in bytes of a decimal with so many digits.
func decimalWidth(precision uint64) uint64 {
	switch {
	case precision <= 9:
		return 4
	case precision <= 18:
		return 8
	case precision <= 38:
		return 16
	default:
		return 32
	}
}

// argumentsNeeded are the types that are unreadable without so many arguments.
var argumentsNeeded = map[string]int{
	"Nullable": 1, "Array": 1, "LowCardinality": 1, "FixedString": 1, "Decimal": 1,
	"Map": 2, "SimpleAggregateFunction": 2,
}

// splitType takes "Map(String, Tuple(a UInt8, b String))" apart into its name
// and its arguments.
func splitType(typ string) (name string, args []string, err error) {
	name, inner, ok := strings.Cut(typ, "(")
	if ok {
		if inner, ok = strings.CutSuffix(inner, ")"); !ok {
			return "", nil, fmt.Errorf("%w: %q", errBadType, typ)
		}
		args = splitArguments(inner)
	}
	if len(args) < argumentsNeeded[name] {
		return "", nil, fmt.Errorf("%w: %q", errBadType, typ)
	}
	return name, args, nil
}

// splitArguments cuts at the commas outside of brackets and quotes.
func splitArguments(list string) (args []string) {
	depth, last, quoted := 0, 0, byte(0)
	for i := 0; i < len(list); i++ {
		switch ch := list[i]; {
		case quoted != 0:
			switch ch {
			case '\\':
				i++
			case quoted:
				quoted = 0
			}
		case ch == '\'' || ch == '`' || ch == '"':
			quoted = ch
		case ch == '(':
			depth++
		case ch == ')':
			depth--
		case ch == ',' && depth == 0:
			args = append(args, strings.TrimSpace(list[last:i]))
			last = i + 1
		}
	}
	return append(args, strings.TrimSpace(list[last:]))
}

// elementType drops the element's name that stands before its type in a named
// Tuple or a Nested: "a UInt8", "`my name` Array(String)".
func elementType(container, element string) string {
	if container != "Tuple" && container != "Nested" {
		return element
	}
	if strings.HasPrefix(element, "`") {
		for i := 1; i < len(element); i++ {
			switch element[i] {
			case '\\':
				i++
			case '`':
				return strings.TrimSpace(element[i+1:])
			}
		}
		return element
	}
	if space, bracket := strings.IndexByte(element, ' '), strings.IndexByte(element, '('); space >= 0 && (bracket < 0 || space < bracket) {
		return element[space+1:]
	}
	return element
}
