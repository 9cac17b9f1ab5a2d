// SPDX-License-Identifier: Apache-2.0

package streamtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
)

// happening reads `TIME [anonymous] CUSTOMER VERB …` into a message.
func (s *scenario) happening(rest string, number int) (func(*stage) error, error) {
	head, raw := rest, ""
	if i := strings.Index(rest, " sends "); i >= 0 {
		head, raw = rest[:i+len(" sends")], strings.TrimSpace(rest[i+len(" sends "):])
	}
	words, err := split(head)
	if err != nil {
		return nil, err
	}
	at, words, err := readTime(words)
	if err != nil {
		return nil, err
	}
	idField := "userId"
	if len(words) > 0 && words[0] == "anonymous" {
		idField, words = "anonymousId", words[1:]
	}
	if len(words) < 2 {
		return nil, errors.New("write `on TIME CUSTOMER does EVENT`, `… buys AMOUNT`, `… has TRAIT=VALUE` or `… sends {JSON}`")
	}
	customer, _, err := unquote(words[0])
	if err != nil {
		return nil, err
	}
	verb, words := words[1], words[2:]
	m := message{}
	messageID := fmt.Sprintf("line-%05d", number)
	if n := len(words); n >= 2 && words[n-2] == "as" {
		messageID, words = words[n-1], words[:n-2]
	}
	told := verb + " " + strings.Join(words, " ")
	switch verb {
	case "does":
		told = strings.Join(words, " ")
		words, err = s.does(m, words)
	case "buys":
		words, err = buys(m, words)
	case "has":
		m["type"] = "identify"
	case "sends":
		told = "sends " + raw
		decoder := json.NewDecoder(strings.NewReader(raw))
		decoder.UseNumber()
		if err = decoder.Decode(&m); err == nil && decoder.More() {
			err = errors.New("there is more than one object")
		}
		if err != nil {
			err = fmt.Errorf("after sends comes one JSON object: %w", err)
		}
	default:
		err = fmt.Errorf("%q is no verb; the verbs are does, buys, has, sends", verb)
	}
	if err != nil {
		return nil, err
	}
	where := "properties"
	if verb == "has" {
		where = "traits"
		if len(words) == 0 {
			return nil, errors.New("say what the customer has: has country=FR")
		}
	}
	if err := m.fill(where, words); err != nil {
		return nil, err
	}
	m.setDefault("messageId", messageID)
	m.setDefault("timestamp", at.String())
	if _, ok := m["anonymousId"]; !ok || idField == "anonymousId" {
		m.setDefault(idField, customer)
	}
	text, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write the message: %w", err)
	}
	return func(st *stage) error { return st.receive(customer, at, strings.TrimSpace(told), text) }, nil
}

// message is one Segment-spec message in the making.
type message map[string]any

func (m message) setDefault(key string, value any) {
	if _, ok := m[key]; !ok {
		m[key] = value
	}
}

// does reads the event: a word is an event of the definition, which stands for the first
// message that matches it; a quoted text is the name of a track event.
func (s *scenario) does(m message, words []string) ([]string, error) {
	if len(words) == 0 {
		return nil, errors.New("say what the customer does: does purchase")
	}
	name, quoted, err := unquote(words[0])
	if err != nil {
		return nil, err
	}
	if quoted {
		m["type"], m["event"] = "track", name
		return words[1:], nil
	}
	var names []string
	for i := range s.def.Events {
		e := &s.def.Events[i]
		if len(e.Match) > 0 {
			names = append(names, e.Name.Value)
		}
		if e.Name.Value != name {
			continue
		}
		if len(e.Match) == 0 {
			return nil, fmt.Errorf("%s is derived from %s: let the customer do that", name, e.From.Value)
		}
		m.match(e.Match[0])
		return words[1:], nil
	}
	return nil, fmt.Errorf("the definition has no event %q; it has %s (a message's own event name stands in quotes: does %q)",
		name, strings.Join(names, ", "), name)
}

func (m message) match(p definition.Match) {
	m["type"] = p.Type
	if p.Type == "" {
		m["type"] = "track"
	}
	if p.Event != "" {
		m["event"] = p.Event
	}
	if p.Name != "" {
		m["name"] = p.Name
	}
}

// buys is the order event of the e-commerce spec with its total.
func buys(m message, words []string) ([]string, error) {
	if len(words) > 0 && words[0] == "for" {
		words = words[1:]
	}
	if len(words) == 0 {
		return nil, errors.New("say for how much: buys 40.00")
	}
	total, err := value(words[0])
	if err != nil || !isNumber(total) {
		return nil, fmt.Errorf("%q is no amount; write it like 40.00", words[0])
	}
	m["type"], m["event"] = "track", "Order Completed"
	m["properties"] = map[string]any{"total": total}
	return words[1:], nil
}

func isNumber(raw json.RawMessage) bool {
	return len(raw) > 0 && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9')
}

// fill sets key=value words in the object named where; a key that begins with
// properties., traits. or context. says itself where it belongs.
func (m message) fill(where string, words []string) error {
	for _, word := range words {
		key, text, ok := strings.Cut(word, "=")
		if !ok || key == "" {
			return fmt.Errorf("%q is not understood; details are written key=value", word)
		}
		v, err := value(text)
		if err != nil {
			return err
		}
		path := strings.Split(key, ".")
		if first := path[0]; len(path) == 1 || first != "properties" && first != "traits" && first != "context" {
			path = append([]string{where}, path...)
		}
		object := map[string]any(m)
		for _, k := range path[:len(path)-1] {
			next, ok := object[k].(map[string]any)
			if !ok {
				next = map[string]any{}
				object[k] = next
			}
			object = next
		}
		object[path[len(path)-1]] = v
	}
	return nil
}

// received is a message as the picture of a customer shows it.
type received struct {
	at   instant.Instant
	line int
	told string
}
