// SPDX-License-Identifier: Apache-2.0

package record

import (
	"strings"
	"unicode/utf8"

	"lapwing/schemas/decimal"
	"lapwing/schemas/instant"
)

// Activity is the only topic with a record for every message, and encoding/json takes
// ten times as long as ClickHouse does for its row. So what is written exactly as
// AppendJSON writes it, with no escapes in texts and no products, is read by position.
// All else is left to encoding/json, which decides what a record means.

// fastActivity reads such a record; ok is false if it is none. The texts are views of
// one copy of b.
func fastActivity(b []byte) (a Activity, ok bool) {
	r := reader{text: string(b)}
	r.word(`{"kind":"activity","customer_id":`)
	a.CustomerID = r.string()
	r.word(`,"event_time":`)
	a.EventTime = r.instant()
	r.word(`,"message_id":`)
	a.MessageID = r.nullable()
	r.word(`,"type":`)
	a.Type = r.string()
	r.word(`,"event":`)
	a.Event = r.string()
	r.word(`,"occurrences":`)
	for r.list() {
		a.Occurrence = append(a.Occurrence, r.occurrence())
	}
	r.word(`,"stages":`)
	a.Stages = r.stages()
	r.word(`,"segments":`)
	for r.list() {
		a.Segments = append(a.Segments, r.string())
	}
	r.word(`,"currency":`)
	a.Currency = r.nullable()
	r.word(`,"products":null`)
	a.SessionStart = instant.None
	if !r.is("}") {
		r.word(`,"exposures":`)
		for r.list() {
			a.Exposures = append(a.Exposures, r.exposure())
		}
		r.word(`,"session_start":`)
		a.SessionStart = r.instant()
		r.word(`,"session_stages":`)
		a.SessionStages = r.stages()
		r.word(`,"platform":`)
		a.Platform = r.nullable()
		r.word("}")
	}
	if r.failed || r.at != len(r.text) || a.CustomerID == "" {
		return Activity{}, false
	}
	return a, true
}

// reader goes through a text; after a failure it reads nothing any more.
type reader struct {
	text   string
	at     int
	inList bool
	failed bool
}

// is passes word if it stands here.
func (r *reader) is(word string) bool {
	if r.failed || !strings.HasPrefix(r.text[r.at:], word) {
		return false
	}
	r.at += len(word)
	return true
}

// word passes what has to stand here.
func (r *reader) word(word string) { r.failed = !r.is(word) || r.failed }

// string reads a text without escapes.
func (r *reader) string() string {
	r.word(`"`)
	if r.failed {
		return ""
	}
	ascii := true
	for i := r.at; i < len(r.text); i++ {
		switch c := r.text[i]; {
		case c == '"':
			s := r.text[r.at:i]
			r.at = i + 1
			r.failed = !ascii && !utf8.ValidString(s)
			return s
		case c == '\\', c < ' ':
			r.failed = true
			return ""
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	r.failed = true
	return ""
}

func (r *reader) nullable() string {
	if r.is("null") {
		return ""
	}
	return r.string()
}

func (r *reader) bool() bool {
	if r.is("true") {
		return true
	}
	r.word("false")
	return false
}

func (r *reader) instant() instant.Instant {
	i, ok := instant.ParseAny(r.string())
	r.failed = r.failed || !ok
	return i
}

// amount reads a number, or null as none.
func (r *reader) amount() (d decimal.Decimal, has bool) {
	if r.is("null") || r.failed {
		return 0, false
	}
	end := r.at
	for end < len(r.text) && strings.IndexByte("+-.0123456789Ee", r.text[end]) >= 0 {
		end++
	}
	d, ok := decimal.Parse(r.text[r.at:end])
	r.at, r.failed = end, !ok
	return d, ok
}

// list reports whether another element of a list follows, and stands before it. Lists
// here have no lists in them.
func (r *reader) list() bool { return r.next("[", "]") }

func (r *reader) next(open, closing string) bool {
	if !r.inList {
		r.word(open)
		if r.is(closing) || r.failed {
			return false
		}
		r.inList = true
		return true
	}
	if r.is(",") {
		return true
	}
	r.word(closing)
	r.inList = false
	return false
}

func (r *reader) stages() (all []StageAt) {
	for r.next("{", "}") {
		var s StageAt
		s.Model = r.string()
		r.word(":")
		s.Stage = r.string()
		all = append(all, s)
	}
	return all
}

func (r *reader) occurrence() (o Occurrence) {
	r.word(`{"event":`)
	o.Event = r.string()
	r.word(`,"at":`)
	o.At = r.instant()
	r.word(`,"value":`)
	o.Value, o.HasValue = r.amount()
	r.word(`,"key":`)
	o.Key = r.nullable()
	r.word(`,"refund":`)
	o.Refund = r.bool()
	r.word("}")
	return o
}

func (r *reader) exposure() (e Exposure) {
	r.word(`{"campaign":`)
	e.Campaign = r.string()
	r.word(`,"channel":`)
	e.Channel = r.string()
	r.word(`,"step":`)
	e.Step = r.string()
	r.word(`,"machine":`)
	e.Machine = r.bool()
	r.word("}")
	return e
}
