// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/hex"
	"strconv"
	"unicode/utf8"

	"lapwing/schemas/instant"
)

// AppendJSON appends the record as one JSON object, without a newline.
func (r *Record) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"kind":"`...)
	dst = append(dst, r.Kind...)
	dst = append(dst, `","id":"`...)
	dst = hex.AppendEncode(dst, r.ID[:])
	dst = append(dst, `","customer_id":`...)
	dst = AppendString(dst, r.CustomerID)
	dst = append(dst, `,"definition":`...)
	dst = AppendString(dst, r.Definition)
	dst = append(dst, `,"definition_version":`...)
	dst = strconv.AppendInt(dst, r.DefinitionVersion, 10)
	switch r.Kind {
	case StageChange:
		dst = append(dst, `,"model":`...)
		dst = AppendString(dst, r.Model)
	case Assignment, Conversion:
		dst = append(dst, `,"campaign":`...)
		dst = AppendString(dst, r.Campaign)
		if r.Kind == Conversion {
			dst = append(dst, `,"goal":`...)
			dst = AppendString(dst, r.Goal)
		}
	default:
		dst = append(dst, `,"segment":`...)
		dst = AppendString(dst, r.Segment)
	}
	dst = append(dst, `,"sequence":`...)
	dst = strconv.AppendInt(dst, r.Sequence, 10)
	switch r.Kind {
	case StageChange:
		dst = append(dst, `,"from":`...)
		dst = appendNullable(dst, r.From)
		dst = append(dst, `,"to":`...)
		dst = appendNullable(dst, r.To)
	case Assignment, Conversion:
		dst = append(dst, `,"variant":`...)
		dst = appendNullable(dst, r.Variant)
		dst = append(dst, `,"holdout":`...)
		dst = strconv.AppendBool(dst, r.Holdout)
		dst = append(dst, `,"round":`...)
		dst = strconv.AppendInt(dst, r.Round, 10)
	default:
		dst = append(dst, `,"entered":`...)
		dst = strconv.AppendBool(dst, r.Entered)
	}
	dst = append(dst, `,"effective_at":`...)
	dst = AppendInstant(dst, r.EffectiveAt)
	dst = append(dst, `,"detected_at":`...)
	dst = AppendInstant(dst, r.DetectedAt)
	switch r.Kind {
	case StageChange:
		dst = append(dst, `,"since":`...)
		dst = AppendInstant(dst, r.Since)
		dst = append(dst, `,"next_stage":`...)
		dst = appendNullable(dst, r.NextStage)
		dst = append(dst, `,"next_deadline":`...)
		dst = AppendInstant(dst, r.NextDeadline)
		if r.MergedInto != "" {
			dst = append(dst, `,"merged_into":`...)
			dst = AppendString(dst, r.MergedInto)
		}
	case Assignment:
		dst = r.appendMembership(dst)
	case Conversion:
		dst = append(dst, `,"assigned_at":`...)
		dst = AppendInstant(dst, r.AssignedAt)
		dst = append(dst, `,"value":`...)
		if r.HasValue {
			dst = r.Value.AppendJSON(dst)
		} else {
			dst = append(dst, "null"...)
		}
		dst = append(dst, `,"currency":`...)
		dst = appendNullable(dst, r.Currency)
		if r.Unpriced != 0 {
			dst = append(dst, `,"unpriced":`...)
			dst = strconv.AppendInt(dst, r.Unpriced, 10)
		}
		if r.HasValue && r.Occurrences > 0 { // records of before there was this have none
			dst = append(dst, `,"occurrences":`...)
			dst = strconv.AppendInt(dst, r.Occurrences, 10)
		}
		dst = r.appendMembership(dst)
	default:
	}
	dst = append(dst, `,"backfill":`...)
	dst = strconv.AppendBool(dst, r.Backfill)
	dst = append(dst, `,"cause":{"type":"`...)
	dst = append(dst, r.Cause.Type...)
	dst = append(dst, `","condition":`...)
	dst = appendNullable(dst, r.Cause.Condition)
	dst = append(dst, `,"left":`...)
	dst = appendNullable(dst, r.Cause.Left)
	dst = append(dst, `,"event":`...)
	dst = appendNullable(dst, r.Cause.Event)
	dst = append(dst, `,"message_id":`...)
	dst = appendNullable(dst, r.Cause.MessageID)
	dst = append(dst, `,"event_time":`...)
	dst = AppendInstant(dst, r.Cause.EventTime)
	return append(dst, `}}`...)
}

// appendMembership appends where the customer was at the assignment.
func (r *Record) appendMembership(dst []byte) []byte {
	dst = append(dst, `,"stages":`...)
	dst = appendStages(dst, r.Stages)
	dst = append(dst, `,"segments":`...)
	return appendStrings(dst, r.Segments)
}

// appendStages appends {model: stage}.
func appendStages(dst []byte, stages []StageAt) []byte {
	dst = append(dst, '{')
	for i, s := range stages {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, s.Model)
		dst = append(dst, ':')
		dst = AppendString(dst, s.Stage)
	}
	return append(dst, '}')
}

func appendStrings(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, s)
	}
	return append(dst, ']')
}

// AppendInstant appends i as a JSON string, or null.
func AppendInstant(dst []byte, i instant.Instant) []byte {
	if i == instant.None {
		return append(dst, "null"...)
	}
	dst = append(dst, '"')
	dst = i.AppendRFC3339(dst)
	return append(dst, '"')
}

func appendNullable(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return AppendString(dst, s)
}

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string: only quotes, backslashes and control
// characters are escaped, and invalid UTF-8 becomes U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, s[start:i]...)
				dst = append(dst, "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
		}
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}
