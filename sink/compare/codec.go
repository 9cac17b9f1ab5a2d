// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"fmt"
	"strconv"
	"strings"
)

// codec gives the values of one ClickHouse type as text, twice: as an SQL expression,
// and in Go for what the driver takes. The two give the same bytes, and different
// values give different bytes: each is either of a known length or ends itself.
type codec struct {
	// plain is the type without LowCardinality, which changes how a value is stored
	// and not what it is.
	plain string
	// sql is the expression for an expression x of the plain type. depth names the
	// arguments of lambdas, so that one inside another has its own.
	sql func(x string, depth int) string
	add func(dst []byte, v any) ([]byte, error)
}

// parseType reads the types of columns that the sink writes.
func parseType(name string) (codec, error) {
	outer, inner, nested := strings.Cut(strings.TrimSuffix(name, ")"), "(")
	switch {
	case name == "String", nested && outer == "FixedString":
		return codec{name, func(x string, _ int) string { return fmt.Sprintf("concat(toString(length(%s)), ':', %s)", x, x) }, addString}, nil
	case name == "Bool":
		return codec{name, func(x string, _ int) string { return "concat(toString(toUInt8(" + x + ")), ';')" }, addBool}, nil
	case strings.HasPrefix(name, "UInt"), strings.HasPrefix(name, "Int"):
		return codec{name, func(x string, _ int) string { return "concat(toString(" + x + "), ';')" }, addInt}, nil
	case name == "Float64":
		return codec{name, func(x string, _ int) string { return "concat(toString(reinterpretAsUInt64(" + x + ")), ';')" }, addFloat}, nil
	case nested && outer == "Decimal":
		return codec{name, func(x string, _ int) string { return "concat(toString(" + x + "), ';')" }, addDecimal}, nil
	case name == "Date", name == "Date32":
		return codec{name, func(x string, _ int) string { return "concat(toString(toInt32(" + x + ")), ';')" }, addDate}, nil
	case nested && outer == "DateTime64" && strings.HasPrefix(inner, "3"):
		return codec{name, func(x string, _ int) string { return "concat(toString(toUnixTimestamp64Milli(" + x + ")), ';')" }, addMillis}, nil
	case !nested:
	case outer == "LowCardinality":
		return parseType(inner)
	case outer == "Nullable":
		return nullable(inner)
	case outer == "Array":
		return array(inner)
	case outer == "Map":
		return mapping(inner)
	case outer == "Tuple":
		return tuple(inner)
	}
	return codec{}, fmt.Errorf("columns of type %s cannot be compared", name)
}

func nullable(inner string) (codec, error) {
	of, err := parseType(inner)
	if err != nil {
		return codec{}, err
	}
	return codec{
		"Nullable(" + of.plain + ")",
		func(x string, depth int) string {
			return fmt.Sprintf("if(isNull(%s), '-', concat('+', %s))", x, of.sql("assumeNotNull("+x+")", depth))
		},
		func(dst []byte, v any) ([]byte, error) {
			v, null := dereference(v)
			if null {
				return append(dst, '-'), nil
			}
			return of.add(append(dst, '+'), v)
		},
	}, nil
}

func array(inner string) (codec, error) {
	of, err := parseType(inner)
	if err != nil {
		return codec{}, err
	}
	return codec{
		"Array(" + of.plain + ")",
		func(x string, depth int) string {
			e := "e" + strconv.Itoa(depth)
			return fmt.Sprintf("concat(toString(length(%s)), '[', arrayStringConcat(arrayMap(%s -> %s, %s)))", x, e, of.sql(e, depth+1), x)
		},
		func(dst []byte, v any) ([]byte, error) { return addList(dst, v, of) },
	}, nil
}

// mapping puts the entries of a map into the order of their bytes, since a map has none.
func mapping(inner string) (codec, error) {
	parts := split(inner)
	if len(parts) != 2 {
		return codec{}, fmt.Errorf("columns of type Map(%s) cannot be compared", inner)
	}
	key, err := parseType(parts[0])
	if err != nil {
		return codec{}, err
	}
	value, err := parseType(parts[1])
	if err != nil {
		return codec{}, err
	}
	return codec{
		"Map(" + key.plain + ", " + value.plain + ")",
		func(x string, depth int) string {
			k, v := "k"+strconv.Itoa(depth), "v"+strconv.Itoa(depth)
			return fmt.Sprintf("concat(toString(length(%s)), '{', arrayStringConcat(arraySort(arrayMap((%s, %s) -> concat(%s, %s), mapKeys(%s), mapValues(%s)))))",
				x, k, v, key.sql(k, depth+1), value.sql(v, depth+1), x, x)
		},
		func(dst []byte, v any) ([]byte, error) { return addMap(dst, v, key, value) },
	}, nil
}

func tuple(inner string) (codec, error) {
	var names, plain []string
	var of []codec
	for _, part := range split(inner) {
		// A name is separated from its type by a space; an unnamed type has none before
		// its parenthesis.
		name, rest, named := strings.Cut(part, " ")
		if !named || strings.ContainsAny(name, "(,") {
			name, rest = "", part
		}
		c, err := parseType(rest)
		if err != nil {
			return codec{}, err
		}
		names, of = append(names, strings.Trim(name, "`")), append(of, c)
		plain = append(plain, strings.TrimSpace(name+" "+c.plain))
	}
	return codec{
		"Tuple(" + strings.Join(plain, ", ") + ")",
		func(x string, depth int) string {
			parts := []string{"''"}
			for i, c := range of {
				parts = append(parts, c.sql(fmt.Sprintf("tupleElement(%s, %d)", x, i+1), depth))
			}
			return "concat(" + strings.Join(parts, ", ") + ")"
		},
		func(dst []byte, v any) ([]byte, error) { return addTuple(dst, v, names, of) },
	}, nil
}

// split cuts a list of types at the commas that are in no parenthesis.
func split(list string) []string {
	var parts []string
	depth, from := 0, 0
	for i := range len(list) {
		switch list[i] {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				parts = append(parts, strings.TrimSpace(list[from:i]))
				from = i + 1
			}
		}
	}
	return append(parts, strings.TrimSpace(list[from:]))
}
