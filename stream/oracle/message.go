// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"bytes"
	"encoding/json"
	"time"

	"lapwing/schemas/instant"
)

// maxIDBytes bounds an id.
const maxIDBytes = 256

// Message is one usable message of a customer, read by encoding/json.
type Message struct {
	Customer string
	At       instant.Instant

	line      []byte
	fields    map[string]any
	kind      string // its type
	event     string
	name      string
	messageID string
	userID    string
	anonymous string
	groupID   string
	said      []said // about the person
}

// Decode reads a line as replay does; ok is false for what would be a dead letter.
// It is lenient where encoding/json is (invalid UTF-8, depth, size): what those
// refuse is the decoder's business, not the oracle's.
func Decode(line []byte) (m Message, ok bool) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if err := d.Decode(&m.fields); err != nil || m.fields == nil || d.More() {
		return Message{}, false
	}
	m.line = line
	m.kind, _ = m.fields["type"].(string)
	m.event, _ = m.fields["event"].(string)
	m.name, _ = m.fields["name"].(string)
	m.messageID, _ = m.fields["messageId"].(string)
	m.userID = id(m.fields["userId"])
	m.anonymous = id(m.fields["anonymousId"])
	m.groupID = id(m.fields["groupId"])
	m.Customer = m.userID
	if m.Customer == "" {
		m.Customer = m.anonymous
	}
	for _, s := range [...]string{m.messageID, m.userID, m.anonymous, m.groupID, id(m.fields["previousId"])} {
		if len(s) > maxIDBytes {
			return Message{}, false
		}
	}
	if m.kind == "" || m.Customer == "" {
		return Message{}, false
	}
	at := m.fields["timestamp"]
	if at == nil {
		at = m.fields["originalTimestamp"]
	}
	written, _ := at.(string)
	m.At, ok = parseTime(written)
	m.said = m.traits()
	return m, ok
}

// id is a usable identifier: a non-empty string, or a number as its JSON text.
func id(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	default:
		return ""
	}
}

// parseTime reads RFC 3339 or a date alone, cut to the millisecond.
func parseTime(s string) (instant.Instant, bool) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		if t, err = time.Parse(time.DateOnly, s); err != nil {
			return instant.None, false
		}
	}
	first := time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	end := time.Date(2201, 1, 1, 0, 0, 0, 0, time.UTC)
	if t.Before(first) || !t.Before(end) {
		return instant.None, false
	}
	return instant.Instant(t.UnixMilli()), true
}

// at is the value at a path of objects; nil if there is none.
func (m *Message) at(path ...string) any {
	var v any = m.fields
	for _, key := range path {
		o, _ := v.(map[string]any)
		v = o[key]
	}
	return v
}

// uniqueText is the JSON text of a top-level property; ok is false for null and none.
func (m *Message) uniqueText(property string) (string, bool) {
	v := m.at("properties", property)
	if v == nil {
		return "", false
	}
	if written, ok := v.(json.Number); ok {
		return written.String(), true // also one too large to be a number
	}
	if s, ok := ofJSON(v).jsonText(); ok {
		return s, true
	}
	var top, properties map[string]json.RawMessage
	if json.Unmarshal(m.line, &top) != nil || json.Unmarshal(top["properties"], &properties) != nil {
		return "", false
	}
	return string(properties[property]), true
}

// said is one trait as a message says it.
type said struct {
	name  string
	value any
	bytes int // of its JSON text
}

// traits are what the message says about the person, in the order of its text.
func (m *Message) traits() []said {
	var out []said
	if m.kind == "identify" {
		out = members(m.raw("traits"))
	} else {
		out = members(m.raw("context", "traits"))
	}
	if m.kind == "group" && m.groupID != "" {
		out = append(out, said{"group", m.groupID, len(m.groupID) + len(`""`)})
	}
	return out
}

// members are those of the JSON object raw, equal names one by one.
func members(raw json.RawMessage) []said {
	d := json.NewDecoder(bytes.NewReader(raw))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil
	}
	var out []said
	for d.More() {
		name, err := d.Token()
		var text json.RawMessage
		if err != nil || d.Decode(&text) != nil {
			return nil // Decode has read it before
		}
		var v any
		n := json.NewDecoder(bytes.NewReader(text))
		n.UseNumber()
		if n.Decode(&v) != nil {
			return nil
		}
		out = append(out, said{name.(string), v, len(text)})
	}
	return out
}

// raw is the JSON text at a path of objects; nil if there is none, or null.
func (m *Message) raw(path ...string) json.RawMessage {
	text := json.RawMessage(m.line)
	for _, key := range path {
		var o map[string]json.RawMessage
		if json.Unmarshal(text, &o) != nil {
			return nil
		}
		text = o[key]
	}
	if string(text) == "null" {
		return nil
	}
	return text
}

// title is what a record's cause calls the message: its event, else its type.
func (m *Message) title() string {
	if m.event != "" {
		return cut(m.event)
	}
	return cut(m.kind)
}
