// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/shopspring/decimal"
)

// mismatch says that a row of ours does not have the types of the table.
func mismatch(v any, want string) error {
	return fmt.Errorf("a value of type %T stands where the table has %s", v, want)
}

// dereference is what a pointer points to; null for nil and nil pointers.
func dereference(v any) (value any, null bool) {
	if v == nil {
		return nil, true
	}
	if p := reflect.ValueOf(v); p.Kind() == reflect.Pointer {
		if p.IsNil() {
			return nil, true
		}
		return p.Elem().Interface(), false
	}
	return v, false
}

func addString(dst []byte, v any) ([]byte, error) {
	switch s := v.(type) {
	case string:
		dst = strconv.AppendInt(dst, int64(len(s)), 10)
		return append(append(dst, ':'), s...), nil
	case []byte:
		dst = strconv.AppendInt(dst, int64(len(s)), 10)
		return append(append(dst, ':'), s...), nil
	}
	return nil, mismatch(v, "a text")
}

func addBool(dst []byte, v any) ([]byte, error) {
	b, ok := v.(bool)
	if !ok {
		return nil, mismatch(v, "true or false")
	}
	if b {
		return append(dst, "1;"...), nil
	}
	return append(dst, "0;"...), nil
}

func addInt(dst []byte, v any) ([]byte, error) {
	switch n := reflect.ValueOf(v); {
	case n.CanInt():
		dst = strconv.AppendInt(dst, n.Int(), 10)
	case n.CanUint():
		dst = strconv.AppendUint(dst, n.Uint(), 10)
	default:
		return nil, mismatch(v, "a whole number")
	}
	return append(dst, ';'), nil
}

func addFloat(dst []byte, v any) ([]byte, error) {
	f, ok := v.(float64)
	if !ok {
		return nil, mismatch(v, "a floating-point number")
	}
	return append(strconv.AppendUint(dst, math.Float64bits(f), 10), ';'), nil
}

func addDecimal(dst []byte, v any) ([]byte, error) {
	d, ok := v.(decimal.Decimal)
	if !ok {
		return nil, mismatch(v, "a decimal")
	}
	return append(append(dst, d.String()...), ';'), nil
}

func addDate(dst []byte, v any) ([]byte, error) {
	t, ok := v.(time.Time)
	if !ok {
		return nil, mismatch(v, "a date")
	}
	y, m, d := t.Date() // the driver takes the date that the time shows in its zone
	days := time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / (24 * 60 * 60)
	return append(strconv.AppendInt(dst, days, 10), ';'), nil
}

func addMillis(dst []byte, v any) ([]byte, error) {
	t, ok := v.(time.Time)
	if !ok {
		return nil, mismatch(v, "an instant")
	}
	return append(strconv.AppendInt(dst, t.UnixMilli(), 10), ';'), nil
}

func addList(dst []byte, v any, of codec) ([]byte, error) {
	list := reflect.ValueOf(v)
	if list.Kind() != reflect.Slice {
		return nil, mismatch(v, "a list")
	}
	dst = append(strconv.AppendInt(dst, int64(list.Len()), 10), '[')
	var err error
	for i := range list.Len() {
		if dst, err = of.add(dst, list.Index(i).Interface()); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

func addMap(dst []byte, v any, key, value codec) ([]byte, error) {
	m := reflect.ValueOf(v)
	if m.Kind() != reflect.Map {
		return nil, mismatch(v, "a map")
	}
	entries := make([]string, 0, m.Len())
	for at := m.MapRange(); at.Next(); {
		entry, err := key.add(nil, at.Key().Interface())
		if err != nil {
			return nil, err
		}
		if entry, err = value.add(entry, at.Value().Interface()); err != nil {
			return nil, err
		}
		entries = append(entries, string(entry))
	}
	slices.Sort(entries)
	dst = append(strconv.AppendInt(dst, int64(len(entries)), 10), '{')
	for _, entry := range entries {
		dst = append(dst, entry...)
	}
	return dst, nil
}

// addTuple takes a list in the order of the type, or a map by its names.
func addTuple(dst []byte, v any, names []string, of []codec) ([]byte, error) {
	var element func(int) any
	switch t := v.(type) {
	case []any:
		if len(t) != len(of) {
			return nil, fmt.Errorf("a tuple of %d stands where the table has one of %d", len(t), len(of))
		}
		element = func(i int) any { return t[i] }
	case map[string]any:
		element = func(i int) any { return t[names[i]] }
	default:
		return nil, mismatch(v, "a tuple")
	}
	var err error
	for i, c := range of {
		if dst, err = c.add(dst, element(i)); err != nil {
			return nil, err
		}
	}
	return dst, nil
}
