// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/cel-go/common/ast"
)

// evalMember evaluates x.f(…): string functions, parts of an instant, and
// comprehensions over a message's own lists.
func (s scope) evalMember(c ast.CallExpr) value {
	target := s.eval(c.Target())
	switch c.FunctionName() {
	case "exists", "all", "exists_one", "filter", "map":
		return s.comprehend(c.FunctionName(), target, c.Args())
	case "size":
		return size(target)
	}
	if target.kind == moment && len(c.Args()) == 0 {
		return part(target.moment, c.FunctionName())
	}
	if len(c.Args()) != 1 {
		return value{}
	}
	arg := s.eval(c.Args()[0])
	if target.kind != text || arg.kind != text {
		return value{}
	}
	switch c.FunctionName() {
	case "contains":
		return ofBool(strings.Contains(target.text, arg.text))
	case "startsWith":
		return ofBool(strings.HasPrefix(target.text, arg.text))
	case "endsWith":
		return ofBool(strings.HasSuffix(target.text, arg.text))
	case "matches":
		re, err := regexp.Compile(arg.text)
		if err != nil {
			return value{}
		}
		return ofBool(re.MatchString(target.text))
	default:
		return value{}
	}
}

func size(v value) value {
	switch v.kind {
	case text:
		return ofInt(utf8.RuneCountInString(v.text))
	case list:
		return ofInt(len(v.list))
	case object:
		return ofInt(len(v.object))
	default:
		return value{}
	}
}

// part is what CEL calls the parts of a timestamp; it counts days of the month
// and of the year, and months, from 0 (getDate from 1), and weekdays from Sunday.
func part(t time.Time, name string) value {
	switch name {
	case "getFullYear":
		return ofInt(t.Year())
	case "getMonth":
		return ofInt(int(t.Month()) - 1)
	case "getDate":
		return ofInt(t.Day())
	case "getDayOfMonth":
		return ofInt(t.Day() - 1)
	case "getDayOfYear":
		return ofInt(t.YearDay() - 1)
	case "getDayOfWeek":
		return ofInt(int(t.Weekday()))
	case "getHours":
		return ofInt(t.Hour())
	case "getMinutes":
		return ofInt(t.Minute())
	case "getSeconds":
		return ofInt(t.Second())
	case "getMilliseconds":
		return ofInt(t.Nanosecond() / int(time.Millisecond))
	default:
		return value{}
	}
}

func (s scope) comprehend(name string, over value, args []ast.Expr) value {
	if over.kind != list || len(args) != 2 || args[0].Kind() != ast.IdentKind {
		return value{}
	}
	var results, kept []any
	exists, all, trues, certain := ofBool(false), ofBool(true), 0, true
	for _, element := range over.list {
		v := s.with(args[0].AsIdent(), ofJSON(element)).eval(args[1])
		results = append(results, v)
		exists, all = or(exists, v), and(all, v)
		certain = certain && v.kind == boolean
		if v.holds() {
			trues++
			kept = append(kept, element)
		}
	}
	switch {
	case name == "exists":
		return exists
	case name == "all":
		return all
	case name == "map":
		return value{kind: list, list: results}
	case !certain: // an operator with unknown is unknown
		return value{}
	case name == "exists_one":
		return ofBool(trues == 1)
	default:
		return value{kind: list, list: kept}
	}
}
