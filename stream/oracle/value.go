// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"encoding/json"
	"math/big"
	"strconv"
	"time"

	"lapwing/schemas/instant"
)

type kind uint8

const (
	unknown kind = iota // missing and null are the same
	boolean
	number
	text
	list
	object
	moment
	span
)

// value is what an expression gives. Only the field of its kind is meant.
type value struct {
	kind   kind
	truth  bool
	number *big.Rat
	text   string // of a number: how it was written
	list   []any  // as encoding/json gives it
	object map[string]any
	moment time.Time
	span   *big.Int // milliseconds
}

func ofBool(b bool) value { return value{kind: boolean, truth: b} }

func ofText(s string) value { return value{kind: text, text: s} }

// ofNumber rounds r; nil, or what is too large, is unknown.
func ofNumber(r *big.Rat) value {
	if r == nil {
		return value{}
	}
	if r = round(r); r == nil {
		return value{}
	}
	return value{kind: number, number: r, text: numberText(r)}
}

func ofInt(n int) value { return ofNumber(new(big.Rat).SetInt64(int64(n))) }

// ofJSON is a decoded JSON value.
func ofJSON(v any) value {
	switch v := v.(type) {
	case bool:
		return ofBool(v)
	case json.Number:
		r := parseNumber(v.String())
		if r == nil {
			return value{}
		}
		return value{kind: number, number: r, text: v.String()}
	case string:
		return ofText(v)
	case []any:
		return value{kind: list, list: v}
	case map[string]any:
		return value{kind: object, object: v}
	case value: // an element that an expression made
		return v
	default:
		return value{}
	}
}

// holds reports whether a condition with this value holds: only if it is true.
func (v value) holds() bool { return v.kind == boolean && v.truth }

// numeric is the number of v where numeric strings are numbers; nil if it has none.
func (v value) numeric() *big.Rat {
	switch v.kind {
	case number:
		return v.number
	case text:
		return parseNumber(v.text)
	default:
		return nil
	}
}

// jsonText is the text by which keys, and segments by value, are compared: a
// string's content, a number or boolean as written. ok is false for the others.
func (v value) jsonText() (string, bool) {
	switch v.kind {
	case text, number:
		return v.text, true
	case boolean:
		return strconv.FormatBool(v.truth), true
	case moment:
		return instant.Of(v.moment).String(), true
	default:
		return "", false
	}
}

// equal compares two values; unknown if either is, false if their types differ.
func equal(a, b value) value {
	if a.kind == unknown || b.kind == unknown {
		return value{}
	}
	if a, b = sameSpan(a, b); a.kind != b.kind {
		return ofBool(false)
	}
	switch a.kind {
	case boolean:
		return ofBool(a.truth == b.truth)
	case number:
		return ofBool(a.number.Cmp(b.number) == 0)
	case text:
		return ofBool(a.text == b.text)
	case moment:
		return ofBool(a.moment.Equal(b.moment))
	case span:
		return ofBool(a.span.Cmp(b.span) == 0)
	default:
		return value{} // lists and objects are not compared
	}
}

// compare orders two values of one type; ok is false where there is no order.
func compare(a, b value) (order int, ok bool) {
	if a, b = sameSpan(a, b); a.kind != b.kind {
		return 0, false
	}
	switch a.kind {
	case number:
		return a.number.Cmp(b.number), true
	case text:
		switch {
		case a.text < b.text:
			return -1, true
		case a.text > b.text:
			return 1, true
		}
		return 0, true
	case moment:
		return a.moment.Compare(b.moment), true
	case span:
		return a.span.Cmp(b.span), true
	default:
		return 0, false
	}
}
