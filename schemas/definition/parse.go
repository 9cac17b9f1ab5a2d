// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"
	_ "time/tzdata" // time zones must be known on machines that have none installed
)

// Parse reads a definition. The problems are all that can be said without
// understanding its conditions, in the order of the file; the Definition is nil
// if one of them is more than a warning. file is only the name for messages.
// Time and memory are bounded whatever source holds; it is not changed.
func Parse(file string, source []byte) (*Definition, []Problem) {
	d, problems := ParsePartial(file, source)
	if HasErrors(problems) {
		return nil, problems
	}
	return d, problems
}

// ParsePartial is Parse for whoever wants to say everything at once: in spite of
// errors the Definition holds what was understood, so that its conditions can be
// checked too. Nothing may run by it if HasErrors. It is nil only if the file
// cannot be read as YAML at all.
func ParsePartial(file string, source []byte) (*Definition, []Problem) {
	ps := &problems{}
	if len(source) > maxBytes {
		// No size: who reads a file for us may well stop after the first byte too many.
		ps.add(Pos{1, 1}, "the file has more than 1 MiB, which is the most that a definition may have")
		return nil, ps.sorted()
	}
	text := normalize(source)
	root := readYAML(text, ps)
	if root == nil {
		return nil, ps.sorted()
	}
	sum := sha256.Sum256(source)
	d := &Definition{File: file, Source: source, Hash: hex.EncodeToString(sum[:])}
	(&fileReader{problems: ps, d: d}).read(root)
	ps.point(root)
	return d, ps.sorted()
}

// fileReader fills d from the tree of a file.
type fileReader struct {
	*problems
	d *Definition
}

// Defaults of what a definition may leave out.
const (
	day              = 24 * time.Hour
	defaultDedupe    = 7 * day
	defaultAnonymous = 90 * day
)

// read reads the top level.
func (r *fileReader) read(root *node) {
	f, ok := r.fields(root, "the definition",
		"lapwing", "name", "version", "timezone", "currency", "dedupe", "lateness", "retain", "limits", "publish_from",
		"global_holdout", "params", "traits", "events", "models", "segments", "campaigns", "messages", "sessions", "aggregates")
	if !ok {
		return
	}
	r.readHeader(f)
	r.readLimits(f)
	r.readParams(f.get("params"))
	r.readTraits(f.get("traits"))
	r.readEvents(f.get("events"))
	r.readModels(f.get("models"))
	r.readSegments(f.get("segments"))
	if !f.given("models") && !f.given("segments") {
		f.missing("the definition has neither `models` nor `segments`: there is nothing to compute")
	}
	r.readCampaigns(f)
	r.readMessages(f)
	r.readSessions(f)
	r.readAggregates(f)
}

func (r *fileReader) readHeader(f *fields) {
	d := r.d
	if n := f.require("lapwing"); n != nil {
		if t, ok := r.text(n, "`lapwing`"); ok && (t.Value != "1" || t.style != plain) {
			r.add(t.Pos, "format %s is not known: this version reads `lapwing: 1`", quote(t.Value))
		}
	}
	if n := f.require("name"); n != nil {
		d.Name, _ = r.name(n, "definition")
	}
	if n := f.require("version"); n != nil {
		if t, ok := r.text(n, "`version`"); ok {
			v, err := strconv.ParseInt(t.Value, 10, 64)
			switch {
			case err != nil || v < 1 || t.style != plain || t.Value[0] == '+':
				r.add(t.Pos, "version %s is not a whole number from 1, written plainly, such as `version: 2`", quote(t.Value))
			case t.Value[0] == '0': // to some readers of YAML it is octal
				r.add(t.Pos, "version %s begins with a 0, and to some readers of YAML is another number; did you mean `%d`?", quote(t.Value), v)
			default:
				d.Version = v
			}
		}
	}
	d.Zone = time.UTC
	if n := f.get("timezone"); n != nil {
		if t, ok := r.text(n, "`timezone`"); ok {
			// "Local" would make a definition mean something else on each machine.
			zone, err := time.LoadLocation(t.Value)
			if err != nil || t.Value == "Local" {
				r.add(t.Pos, "time zone %s is not known: expected a name such as UTC or Europe/Berlin%s", quote(t.Value), suggestZone(t.Value))
			} else {
				d.Zone = zone
			}
		}
	}
	if n := f.get("currency"); n != nil {
		d.Currency = r.currency(n)
	}
	d.Dedupe = r.duration(f.get("dedupe"), "`dedupe`", orZero, defaultDedupe)
	d.DedupePos = f.key("dedupe").Pos
	d.Lateness = r.duration(f.get("lateness"), "`lateness`", orZero, 0)
	d.AnonymousRetention = defaultAnonymous
	if n := f.get("retain"); n != nil {
		if rf, ok := r.fields(n, "`retain`", "anonymous"); ok {
			d.AnonymousRetention = r.duration(rf.require("anonymous"), "`anonymous`", aboveZero, defaultAnonymous)
		}
	}
	d.PublishFrom = r.time(f.get("publish_from"), "`publish_from`")
}

func (r *fileReader) readMessages(f *fields) {
	n := f.get("messages")
	if n == nil {
		return
	}
	for _, item := range r.items(n, "`messages`") {
		mf, ok := r.fields(item, "a message", "match", "channel", "step", "campaign", "machine")
		if !ok {
			continue
		}
		var m Message
		if v := mf.require("match"); v != nil {
			m.Match = r.match(v)
		}
		if v := mf.require("channel"); v != nil {
			m.Channel, _ = r.name(v, "channel")
		}
		if v := mf.require("step"); v != nil {
			m.Step, _ = r.name(v, "step")
		}
		m.Campaign = r.condition(mf.require("campaign"), "`campaign`")
		m.Machine = r.condition(mf.get("machine"), "`machine`")
		r.d.Messages = append(r.d.Messages, m)
	}
}
