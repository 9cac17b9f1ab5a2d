// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"lapwing/schemas/definition"
	"lapwing/stream/lifecycle"
)

//go:generate env UPDATE_REFERENCE=1 go test -count=1 -run ^TestReferenceIsCurrent$ .

// The reference in schemas/README.md, between its two marks, is made of what check
// itself uses: the table of functions and the JSON Schema, which a test of its own holds
// to the parser.
const (
	referenceFile  = "../../schemas/README.md"
	referenceBegin = "<!-- begin: made by `go generate ./stream/lifecycle` -->\n"
	referenceEnd   = "<!-- end -->\n"
)

// TestReferenceIsCurrent fails if the reference is not what the code says.
func TestReferenceIsCurrent(t *testing.T) {
	b, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), referenceBegin)
	have, after, closed := strings.Cut(rest, referenceEnd)
	if !ok || !closed {
		t.Fatalf("%s has lost the marks of its reference", referenceFile)
	}
	want := reference(t)
	if have == want {
		return
	}
	if os.Getenv("UPDATE_REFERENCE") == "" {
		t.Fatalf("the reference in schemas/README.md is stale at %q: renew it with\n\tgo generate ./stream/lifecycle", firstDifference(have, want))
	}
	if err := os.WriteFile(referenceFile, []byte(before+referenceBegin+want+referenceEnd+after), 0o600); err != nil {
		t.Fatal(err)
	}
}

// firstDifference is the first line of want that have does not have there.
func firstDifference(have, want string) string {
	lines := strings.Split(have, "\n")
	for i, line := range strings.Split(want, "\n") {
		if i >= len(lines) || lines[i] != line {
			return line
		}
	}
	return "its end"
}

func reference(t *testing.T) string {
	var b strings.Builder
	b.WriteString(keyTables(t))
	b.WriteString(functionTables())
	return b.String()
}

// jsonSchema is what the tables show of a JSON Schema.
type jsonSchema struct {
	Ref         string                `json:"$ref"`
	Type        any                   `json:"type"`
	Description string                `json:"description"`
	Default     any                   `json:"default"`
	Maximum     int64                 `json:"maximum"`
	Properties  map[string]jsonSchema `json:"properties"`
	Required    []string              `json:"required"`
	OneOf       []jsonSchema          `json:"oneOf"`
	Defs        map[string]jsonSchema `json:"$defs"`
	Additional  json.RawMessage       `json:"additionalProperties"`
	Items       *jsonSchema           `json:"items"`
	Const       any                   `json:"const"`
}

// topKeys are the keys of a file in the order in which they are mostly written.
var topKeys = []string{
	"lapwing", "name", "version", "timezone", "currency", "dedupe", "lateness", "retain", "limits", "publish_from",
	"global_holdout", "params", "traits", "events", "models", "segments", "campaigns", "messages", "sessions", "aggregates",
}

// campaignRules are what the keys of a campaign do not say by themselves.
const campaignRules = `What holds of campaigns, exactly:

- **Who is assigned**: the customer, at the instant at which the audience becomes true; one that is true at the first evaluation becomes true there. Once, or with ` + "`every`" + ` again when the audience turns true at least so long after the last assignment: the same arm for ever, ` + "`round`" + ` counts from 1.
- **The arm**: the first 8 bytes, big endian, of SHA-256 over salt, a zero byte and the customer id, modulo 10,000; from 0 on the holdout, then the variants in the order of the file. ` + "`global_holdout`" + ` (salt ` + "`global`" + `) keeps its share out of every campaign: they are not assigned, and counted.
- **exclude and consent** are parts of the audience: who was assigned in an excluded campaign, or whose trait ` + "`consent_CHANNEL`" + ` is not true, is not in it. It becomes true when all of it holds; the record's cause names the condition as written.
- **start and end**: who is in the audience at ` + "`start`" + ` is assigned then (cause deadline), who is in it when the definition becomes active likewise (cause definition); from ` + "`end`" + ` on nobody is. Nobody is assigned before ` + "`publish_from`" + `.
- **By another system**: the first message that fits assigns, others only with ` + "`every`" + `; the first arm stands. Only JSON ` + "`true`" + ` is a holdout.
- **Goals**: a conversion at t counts if assigned_at < t <= assigned_at + within, for the event's own time and for the instant at which it takes effect; once per round. Where rounds overlap (` + "`every`" + ` below ` + "`within`" + `), one event converts each open round, and its value is in each. ` + "`when`" + ` has to become true in the window: true at the assignment, it has to become false first.
- A conversion's ` + "`occurrences`" + ` says how many of the goal's event are in its value, so that value ÷ occurrences is the average order value.
- **value: total** is told when the window closes, if there was an occurrence; for each occurrence at that very instant again; and whenever a refund corrects it later. The newest 64 rounds whose windows have closed are kept for that. ` + "`first`" + ` is the converting event's value, in the message's own ` + "`properties.currency`" + ` if it has one, and stays.
- **Money of another currency** has no value in a total: what it is worth that day stands in no event. A total sums what is in the definition's ` + "`currency`" + ` (a message without ` + "`properties.currency`" + ` is), and the record's ` + "`unpriced`" + ` says how many occurrences in the window have money of another one. Their refunds change nothing. Without a ` + "`currency`" + ` in the definition all values are plain numbers, as they are in conditions (` + "`sum`" + `, ` + "`avg`" + `, …) whatever the currency.
- **baseline: true** tells, when the window closes, what it came to less what the window of the same length up to the assignment came to: the number of occurrences, or with ` + "`value: total`" + ` their values. 0 too is told.
- **Order**: a campaign is evaluated after what its audience and its goals' conditions read; first its goals, then its assignment.
- **A change of the definition**: a campaign goes on by its name, and who was assigned stays so, in the same arm. Open rounds go on with goals that have the same name and meaning. A campaign that is taken out ends its open goals silently; should it come back, nobody is assigned twice.

`

func keyTables(t *testing.T) string {
	var root jsonSchema
	if err := json.Unmarshal([]byte(definition.Schema), &root); err != nil {
		t.Fatal(err)
	}
	for key := range root.Properties {
		if !slices.Contains(topKeys, key) {
			t.Errorf("the key %q has no place in the reference", key)
		}
	}
	var b strings.Builder
	table := func(of jsonSchema, keys []string) {
		b.WriteString("| Key | Takes | Meaning |\n|---|---|---|\n")
		for _, key := range keys {
			p := of.Properties[key]
			fmt.Fprintf(&b, "| `%s`%s | %s | %s |\n", key, mark(slices.Contains(of.Required, key)), cell(takes(p)), cell(meaning(&root, p)))
		}
		b.WriteString("\n")
	}
	b.WriteString("### The file\n\n")
	table(root, topKeys)
	b.WriteString("What the keys take:\n\n| | |\n|---|---|\n")
	for _, name := range []string{"name", "duration", "window", "time", "size", "percent", "text", "condition", "expression"} {
		fmt.Fprintf(&b, "| %s | %s |\n", name, cell(root.Defs[name].Description))
	}
	b.WriteString("\n")
	event := root.Defs["event"]
	b.WriteString("### An event that messages are\n\n")
	table(event.OneOf[0], []string{"match", "where", "value", "key", "refund", "resolution"})
	b.WriteString("`refund` is a mapping of its own:\n\n")
	table(root.Defs["refund"], []string{"match", "value", "key"})
	b.WriteString("A `match` is the name of a track event, a mapping of fields that must be equal, or a list of these:\n\n")
	table(root.Defs["pattern"].OneOf[1], []string{"type", "event", "name"})
	b.WriteString("### An event derived from another\n\n")
	table(event.OneOf[1], []string{"from", "gap", "first", "resolution"})
	b.WriteString("### A model, its stages, and segments\n\n")
	table(root.Defs["model"], []string{"name", "stages", "order", "churned", "at_risk"})
	table(root.Defs["stage"], []string{"stage", "when"})
	table(root.Defs["segment"], []string{"name", "when", "by"})
	b.WriteString("### A campaign and its goals\n\n")
	campaign := root.Defs["campaign"]
	table(campaign, []string{
		"name", "audience", "assigned", "holdout", "variants", "goals", "every", "max", "start", "end", "exclude", "consent", "salt",
		"journey", "step", "cost", "margin",
	})
	b.WriteString("A variant is a share, `a: 45%`, or a mapping of its `share` and of factors, `a: {share: 45%, length: short}`; with a `cost` of its own (below), if its messages cost another amount, or something fixed beside the campaign's. A goal:\n\n")
	table(root.Defs["goal"], []string{"name", "event", "when", "within", "value", "baseline"})
	b.WriteString("Where another system assigns, `assigned` says by which messages:\n\n")
	table(root.Defs["assigned"], []string{"match", "where", "variant", "holdout"})
	b.WriteString("`cost` is a mapping of its own:\n\n")
	table(root.Defs["cost"], []string{"per", "amount", "fixed", "currency"})
	b.WriteString(campaignRules)
	b.WriteString("### Messages that are exposures, sessions and aggregates\n\n")
	table(root.Defs["message"], []string{"match", "channel", "step", "campaign", "machine"})
	table(root.Properties["sessions"], []string{"gap"})
	b.WriteString("What a customer only receives is in no session: one of these messages, unless it is a page or screen, or a click by a person.\n\n")
	table(root.Properties["aggregates"], []string{"by", "close_after"})
	b.WriteString("### Limits\n\n")
	table(root.Properties["limits"], []string{"traits", "trait_bytes", "held", "held_bytes", "by_values", "favourite_values"})
	return b.String()
}

func mark(required bool) string {
	if required {
		return ", required"
	}
	return ""
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// takes is the kind of a value, and its default.
func takes(p jsonSchema) string {
	kind := strings.TrimPrefix(p.Ref, "#/$defs/")
	if name, ok := p.Type.(string); ok && kind == "" {
		kind = map[string]string{"object": "mapping", "array": "list", "string": "text", "integer": "whole number", "boolean": "`true` or `false`"}[name]
	}
	if p.Const != nil {
		kind = fmt.Sprintf("`%v`", p.Const)
	}
	if p.Default != nil {
		kind += fmt.Sprintf(" (`%v`)", p.Default)
	}
	if p.Maximum > 0 {
		kind += " up to " + strconv.FormatInt(p.Maximum, 10)
	}
	return kind
}

// meaning is a key's own description, else that of what it takes.
func meaning(root *jsonSchema, p jsonSchema) string {
	if p.Description != "" {
		return p.Description
	}
	return root.Defs[strings.TrimPrefix(p.Ref, "#/$defs/")].Description
}

// functionTables are the functions of conditions: one line each, then each in full.
func functionTables() string {
	var b strings.Builder
	b.WriteString("### Functions of conditions\n\n| Function | Holds or is |\n|---|---|\n")
	functions := lifecycle.Functions()
	for _, f := range functions {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", cell(f.Signature), f.Name, cell(f.Summary))
	}
	for _, f := range functions {
		fmt.Fprintf(&b, "\n#### %s\n\n`%s`: %s\n\n%s\n\nCost: %s. State: %s.\n", f.Name, f.Signature, f.Summary, f.Exact, f.Cost, f.State)
	}
	b.WriteString("\n### What where, value and key read\n\n")
	names := lifecycle.MessageNames()
	for i, name := range names {
		names[i] = "`" + name + "`"
	}
	fmt.Fprintf(&b, "%s. Of the times `at` and `local`:\n\n| Method | In `2026-03-01T09:30:15.250Z`, a Sunday, in UTC |\n|---|---|\n", strings.Join(names, ", "))
	sunday := time.Date(2026, 3, 1, 9, 30, 15, 250e6, time.UTC)
	for _, name := range slices.Sorted(maps.Keys(lifecycle.TimeParts())) {
		fmt.Fprintf(&b, "| `%s()` | %d |\n", name, lifecycle.TimeParts()[name](sunday))
	}
	return b.String()
}
