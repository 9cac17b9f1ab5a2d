// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/schemas/topics"
	"lapwing/stream/oracle"
)

// metaHistory is what was committed, as lines to compare. Each key is one customer's
// stage changes, segment changes, assignments, conversions (each in their order),
// activity, or profile; or one total; or the dead letters. A history without oracle's parts lacks what the oracle
// does not know: activity, totals, dead letters.
type metaHistory map[string][]string

func readMetaHistory(w *world) metaHistory {
	w.t.Helper()
	h := metaHistory{}
	for _, topic := range []string{topics.StageChanges, topics.SegmentChanges, topics.Assignments, topics.Conversions} {
		for _, r := range w.all(topic) {
			rec, err := record.DecodeRecord(r.Value)
			if err != nil {
				w.t.Fatalf("%s: %v: %s", topic, err, r.Value)
			}
			h.addRecord(&rec)
		}
	}
	for _, r := range w.all(topics.Profiles) {
		key := "profile of " + string(r.Key)
		delete(h, key)
		if r.Value == nil {
			continue
		}
		p, err := record.DecodeProfile(r.Value)
		if err != nil {
			w.t.Fatalf("profile: %v: %s", err, r.Value)
		}
		h[key] = profileLines(&p)
	}
	for _, r := range w.all(topics.Activity) {
		key := "activity of " + string(r.Key)
		h[key] = append(h[key], string(r.Value))
	}
	for _, r := range w.all(topics.DeadLetters) {
		h["dead letters"] = append(h["dead letters"], string(r.Value))
	}
	slices.Sort(h["dead letters"]) // they come by partition
	for key, sum := range w.totals() {
		h["total "+key] = []string{fmt.Sprintf("count %v sum %.4f", sum[0], sum[1])}
	}
	return h
}

// addRecord adds a change without the instant at which it was found.
func (h metaHistory) addRecord(r *record.Record) {
	r.DetectedAt = r.EffectiveAt
	kinds := map[record.Kind]string{
		record.StageChange: "stage changes", record.SegmentChange: "segment changes", record.Assignment: "assignments", record.Conversion: "conversions",
	}
	key := kinds[r.Kind] + " of " + r.CustomerID
	h[key] = append(h[key], string(r.AppendJSON(nil)))
}

// profileLines are a line for each thing that can differ.
func profileLines(p *record.Profile) []string {
	var lines []string
	for _, s := range p.Stages {
		lines = append(lines, fmt.Sprintf("model %s stage %s", s.Model, s.Stage))
	}
	traits := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(p.Traits))
	d.UseNumber()
	_ = d.Decode(&traits) // a profile without traits has none
	for _, name := range slices.Sorted(maps.Keys(traits)) {
		lines = append(lines, fmt.Sprintf("trait %s %v", name, traits[name]))
	}
	lines = append(lines, "segments "+strings.Join(p.Segments, " "))
	for _, s := range p.Stages {
		lines = append(lines, fmt.Sprintf("path %s since %s sequence %d next %s %s", s.Model, s.Since, s.Sequence, s.NextStage, s.NextDeadline))
	}
	return lines
}

// oracleMetaHistory is what the definition's words say of the plan's messages in the
// order of the list.
func oracleMetaHistory(p *metaPlan) (metaHistory, error) {
	o, err := oracle.New(parseMeta(p.definition))
	if err != nil {
		return nil, fmt.Errorf("read the definition: %w", err)
	}
	messages := map[string][]oracle.Message{}
	for _, m := range p.messages() {
		if read, ok := oracle.Decode([]byte(m.payload)); ok {
			messages[read.Customer] = append(messages[read.Customer], read)
		}
	}
	h := metaHistory{}
	for id, ms := range messages {
		result := o.Customer(id, ms, p.until())
		for i := range result.Records {
			h.addRecord(&result.Records[i])
		}
		// Each kind is a topic of its own, and in order.
		if result.Profile != nil {
			h["profile of "+id] = profileLines(result.Profile)
		}
	}
	return h, nil
}

// promised is what of a history must be equal; of the oracle's side what it can tell.
func (h metaHistory) promised(promise metaPromise, ofOracle bool) metaHistory {
	out := metaHistory{}
	for key, lines := range h {
		kind, _, _ := strings.Cut(key, " ")
		switch {
		case ofOracle && (kind == "activity" || kind == "total" || kind == "dead"):
		case promise != metaLate:
			out[key] = lines
		case kind == "profile":
			out[key] = slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return strings.HasPrefix(l, "path ") })
		case kind == "dead" || strings.HasPrefix(key, "total event") && strings.Contains(key, "     "): // five blanks: no model, stage, from and to, so of all customers
			out[key] = lines
		}
	}
	return out
}

// metaDifference is the first thing in which two histories part.
type metaDifference struct {
	key         string
	line        int
	left, right []string
}

func differenceOf(left, right metaHistory) *metaDifference {
	keys := slices.Collect(maps.Keys(left))
	for key := range right {
		if _, both := left[key]; !both {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b string) int { return strings.Compare(rank(a)+a, rank(b)+b) })
	for _, key := range keys {
		a, b := left[key], right[key]
		if slices.Equal(a, b) {
			continue
		}
		n := 0
		for n < len(a) && n < len(b) && a[n] == b[n] {
			n++
		}
		return &metaDifference{key: key, line: n, left: a, right: b}
	}
	return nil
}

// rank puts what explains other differences first.
func rank(key string) string {
	for i, kind := range []string{"dead", "stage", "segment", "assignments", "conversions", "activity", "profile"} {
		if strings.HasPrefix(key, kind) {
			return fmt.Sprint(i)
		}
	}
	return "9"
}

// around is how many lines are shown before a difference.
const around = 6

// show prints both sides around the difference, each line behind the operation that it
// is of.
func (d *metaDifference) show(p *metaPlan, left, right string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "they part in the %s, at line %d\n", d.key, d.line+1)
	for _, side := range []struct {
		name  string
		lines []string
	}{{left, d.left}, {right, d.right}} {
		fmt.Fprintf(&b, "--- %s\n", side.name)
		for i := max(0, d.line-around); i < min(len(side.lines), d.line+2); i++ {
			mark := " "
			if i == d.line {
				mark = ">"
			}
			fmt.Fprintf(&b, "%s %-6s %s\n", mark, p.origin(side.lines[i]), side.lines[i])
		}
		if d.line >= len(side.lines) {
			b.WriteString(">        (nothing more)\n")
		}
	}
	return b.String()
}

// origin is the number of the operation that a line of a history comes from: that of
// its message, or, with a +, that of the customer's last one before its deadline.
func (p *metaPlan) origin(line string) string {
	var rec struct {
		Kind       string
		CustomerID string `json:"customer_id"`
		MessageID  string `json:"message_id"`
		Effective  string `json:"effective_at"`
		EventTime  string `json:"event_time"`
		Cause      struct {
			MessageID string `json:"message_id"`
			EventTime string `json:"event_time"`
		}
	}
	if json.Unmarshal([]byte(line), &rec) != nil {
		return ""
	}
	id, at := rec.Cause.MessageID, rec.Cause.EventTime
	if rec.Kind == "activity" {
		id, at = rec.MessageID, rec.EventTime
	}
	effective, _ := instant.Parse(rec.Effective)
	last := ""
	for _, m := range p.messages() {
		if m.customer != rec.CustomerID {
			continue
		}
		if at != "" && m.at.String() == at && (len(m.ties) == 0 || m.ties[0] == "id "+id) {
			return fmt.Sprintf("#%d", m.op)
		}
		if at == "" && m.at <= effective {
			last = fmt.Sprintf("#%d+", m.op)
		}
	}
	return last
}
