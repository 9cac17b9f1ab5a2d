// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"bytes"
	"time"
	"unsafe"

	"lapwing/schemas/decimal"
	"lapwing/schemas/event"
	"lapwing/schemas/instant"
)

// tri is a truth value: a condition holds only if it is yes.
type tri uint8

const (
	no tri = iota
	yes
	unknown
)

func truth(b bool) tri {
	if b {
		return yes
	}
	return no
}

func (t tri) not() tri {
	switch t {
	case yes:
		return no
	case no:
		return yes
	default:
		return unknown
	}
}

type kind uint8

const (
	isUnknown kind = iota // missing and null are the same
	isBool
	isNumber
	isText
	isList
	isObject
	isTime
)

// value is what an expression can yield. The zero value is unknown.
type value struct {
	kind kind
	b    bool
	n    decimal.Decimal
	s    string          // isText
	raw  []byte          // JSON as received: isObject always, isNumber and isList if they came from a message
	list []value         // isList made by an expression
	at   instant.Instant // isTime, with
	zone *time.Location
}

func number(n decimal.Decimal, ok bool) value {
	if !ok {
		return value{}
	}
	return value{kind: isNumber, n: n}
}

func boolean(t tri) value {
	if t == unknown {
		return value{}
	}
	return value{kind: isBool, b: t == yes}
}

func (v value) tri() tri {
	if v.kind != isBool {
		return unknown
	}
	return truth(v.b)
}

// fromJSON reads validated JSON. A number too large to be one is unknown.
func fromJSON(raw []byte) value {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return value{}
	}
	switch raw[0] {
	case '{':
		return value{kind: isObject, raw: raw}
	case '[':
		return value{kind: isList, raw: raw}
	case '"':
		return textFromJSON(raw)
	case 't':
		return value{kind: isBool, b: true}
	case 'f':
		return value{kind: isBool}
	case 'n':
		return value{}
	default:
		n, ok := decimal.Parse(raw)
		if !ok {
			return value{}
		}
		return value{kind: isNumber, n: n, raw: raw}
	}
}

// textFromJSON reads a JSON string. Without escapes the result is a view of raw: it
// lives as long as the message, and whoever keeps it clones it.
func textFromJSON(raw []byte) value {
	if inner := raw[1 : len(raw)-1]; len(inner) > 0 && bytes.IndexByte(inner, '\\') < 0 {
		return value{kind: isText, s: unsafe.String(&inner[0], len(inner))} //nolint:gosec // nobody writes to a message while it is folded
	}
	text, ok := event.Text(raw)
	if !ok {
		return value{}
	}
	return value{kind: isText, s: text}
}

// readNumber makes a number of a numeric string and leaves anything else as it is.
func (v value) readNumber() value {
	if v.kind == isText {
		if n, ok := decimal.Parse(v.s); ok {
			return value{kind: isNumber, n: n}
		}
	}
	return v
}

// each calls fn with a list's members until it returns false.
func (v value) each(fn func(value) bool) {
	if v.raw != nil {
		event.Elements(v.raw, func(raw []byte) bool { return fn(fromJSON(raw)) })
		return
	}
	for _, item := range v.list {
		if !fn(item) {
			return
		}
	}
}

// elements are a list's members.
func (v value) elements() []value {
	if v.raw == nil {
		return v.list
	}
	var out []value
	v.each(func(item value) bool {
		out = append(out, item)
		return true
	})
	return out
}

// field is an object's member; of a repeated key the last counts.
func (v value) field(name string) value {
	var found value
	if v.kind == isObject {
		event.Fields(v.raw, func(key string, raw []byte) bool {
			if key == name {
				found = fromJSON(raw)
			}
			return true
		})
	}
	return found
}

func (v value) fields() map[string]value {
	out := map[string]value{}
	event.Fields(v.raw, func(key string, raw []byte) bool {
		out[key] = fromJSON(raw)
		return true
	})
	return out
}

// text is the JSON text by which keys are compared: a string's content, numbers
// and booleans as written, lists and objects raw. ok is false for unknown. It may be
// a view of the message.
func (v value) text() (string, bool) {
	switch v.kind {
	case isText:
		return v.s, true
	case isNumber:
		if len(v.raw) > 0 {
			return unsafe.String(&v.raw[0], len(v.raw)), true //nolint:gosec // as above
		}
		return v.n.String(), true
	case isBool:
		if v.b {
			return "true", true
		}
		return "false", true
	case isList, isObject:
		return string(v.raw), v.raw != nil
	case isTime:
		return v.at.String(), true
	default:
		return "", false
	}
}

// propertyText is the text by which values of a property are compared; plain tells a
// text, number or boolean from a list or object. ok is false for null and nothing. It
// may be a view of raw.
func propertyText(raw []byte) (text string, plain, ok bool) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || raw[0] == 'n' {
		return "", false, false
	}
	if raw[0] == '"' {
		v := textFromJSON(raw)
		return v.s, true, v.kind == isText
	}
	return unsafe.String(&raw[0], len(raw)), raw[0] != '{' && raw[0] != '[', true //nolint:gosec // as above
}

// equal compares two values: of different types they are not equal, and anything
// compared with unknown is unknown.
func equal(a, b value) tri {
	if a.kind == isUnknown || b.kind == isUnknown {
		return unknown
	}
	if a.kind != b.kind {
		return no
	}
	switch a.kind {
	case isBool:
		return truth(a.b == b.b)
	case isNumber:
		return truth(a.n == b.n)
	case isText:
		return truth(a.s == b.s)
	case isTime:
		return truth(a.at == b.at)
	case isList:
		return equalLists(a.elements(), b.elements())
	default:
		return equalObjects(a.fields(), b.fields())
	}
}

func equalLists(a, b []value) tri {
	if len(a) != len(b) {
		return no
	}
	result := yes
	for i := range a {
		switch equal(a[i], b[i]) {
		case no:
			return no
		case unknown:
			result = unknown
		case yes:
		}
	}
	return result
}

func equalObjects(a, b map[string]value) tri {
	if len(a) != len(b) {
		return no
	}
	sawUnknown := false
	for k, av := range a { // a conjunction: the order does not matter
		bv, ok := b[k]
		if !ok {
			return no
		}
		switch equal(av, bv) {
		case no:
			return no
		case unknown:
			sawUnknown = true
		case yes:
		}
	}
	if sawUnknown {
		return unknown
	}
	return yes
}

// compare orders two values of one ordered type; ok is false otherwise.
func compare(a, b value) (sign int, ok bool) {
	if a.kind != b.kind {
		return 0, false
	}
	switch a.kind {
	case isNumber:
		return sign3(a.n, b.n), true
	case isTime:
		return sign3(a.at, b.at), true
	case isText:
		switch {
		case a.s < b.s:
			return -1, true
		case a.s > b.s:
			return 1, true
		}
		return 0, true
	default:
		return 0, false
	}
}

func sign3[T ~int64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}
