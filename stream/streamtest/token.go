// SPDX-License-Identifier: Apache-2.0

package streamtest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"lapwing/schemas/decimal"
	"lapwing/schemas/instant"
)

// split cuts a line into words. A space inside quotes, braces or brackets does not
// cut, and a word that begins with # ends the line.
func split(line string) ([]string, error) {
	var words []string
	begin, depth, quoted := -1, 0, false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quoted:
			switch c {
			case '\\':
				i++
			case '"':
				quoted = false
			}
			continue
		case c == ' ' || c == '\t':
			if begin >= 0 && depth == 0 {
				words = append(words, line[begin:i])
				begin = -1
			}
			continue
		case c == '#' && begin < 0:
			return words, nil
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		}
		if begin < 0 {
			begin = i
		}
	}
	if quoted {
		return nil, fmt.Errorf(`a quote (") is not closed`)
	}
	if depth != 0 {
		return nil, fmt.Errorf("brackets do not match")
	}
	if begin >= 0 {
		words = append(words, line[begin:])
	}
	return words, nil
}

// unquote is a word without its quotes; quoted tells whether it had any.
func unquote(word string) (text string, quoted bool, err error) {
	if !strings.HasPrefix(word, `"`) {
		return word, false, nil
	}
	if err := json.Unmarshal([]byte(word), &text); err != nil {
		return "", true, fmt.Errorf("%s is no quoted text", word)
	}
	return text, true, nil
}

// value is the right side of key=value as JSON: numbers, true, false, null, objects
// and lists as they are, everything else a text.
func value(word string) (json.RawMessage, error) {
	switch {
	case word == "true", word == "false", word == "null":
		return json.RawMessage(word), nil
	case strings.HasPrefix(word, `"`), strings.HasPrefix(word, "{"), strings.HasPrefix(word, "["):
		if !json.Valid([]byte(word)) {
			return nil, fmt.Errorf("%s is no JSON", word)
		}
		return json.RawMessage(word), nil
	}
	if _, ok := decimal.Parse(word); ok {
		return json.RawMessage(word), nil
	}
	return json.Marshal(word)
}

var (
	moves     = regexp.MustCompile(`^(.*?)((?:[+-][0-9]{1,12}(?:ms|s|m|h|d|w))*)$`)
	move      = regexp.MustCompile(`[+-][0-9]+(?:ms|s|m|h|d|w)`)
	timeOfDay = regexp.MustCompile(`^[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?([+-][0-9].*)?$`)
	units     = map[string]time.Duration{
		"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour,
		"d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
	}
)

// readTime reads a time at the front of words and returns the rest: RFC 3339, a date
// (midnight UTC) or a date and a time of day (UTC), each moved by any number of
// +90d, -1ms and the like.
func readTime(words []string) (instant.Instant, []string, error) {
	if len(words) == 0 {
		return 0, nil, fmt.Errorf("a time is missing; write it like 1997-01-31 or 1997-01-31 10:30 or 1997-01-31+90d")
	}
	text, rest := words[0], words[1:]
	if len(rest) > 0 && timeOfDay.MatchString(rest[0]) {
		text, rest = text+" "+rest[0], rest[1:]
	}
	parts := moves.FindStringSubmatch(text)
	base := parts[1]
	if date, clock, ok := strings.Cut(base, " "); ok {
		if len(clock) == len("10:30") {
			clock += ":00"
		}
		base = date + "T" + clock + "Z"
	}
	at, ok := instant.Parse(base)
	if !ok {
		return 0, nil, fmt.Errorf("%s is no time; write it like 1997-01-31 or 1997-01-31 10:30 or 1997-01-31+90d", text)
	}
	for _, m := range move.FindAllString(parts[2], -1) {
		unit := strings.TrimLeft(m, "+-0123456789")
		var n int64
		if _, err := fmt.Sscan(m[1:len(m)-len(unit)], &n); err != nil {
			return 0, nil, fmt.Errorf("%s: %w", m, err)
		}
		d := instant.Instant(n) * instant.Instant(units[unit]/time.Millisecond)
		if m[0] == '-' {
			d = -d
		}
		at += d
	}
	if at < instant.Min || at >= instant.Max {
		return 0, nil, fmt.Errorf("%s lies before 1970 or after 2200", text)
	}
	return at, rest, nil
}
