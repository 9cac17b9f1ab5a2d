// SPDX-License-Identifier: Apache-2.0

package streamtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"lapwing/schemas/definition"
	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// expected is a change that a line expects, as far as the line says.
type expected struct {
	customer string
	kind     record.Kind
	name     string // model, segment, campaign, or campaign/goal
	from, to string // stages; empty: none
	entered  bool
	at       instant.Instant  // None: any
	because  record.CauseType // empty: any

	part expectedArm // of an assignment or a conversion
}

const expectForms = "write `expect CUSTOMER MODEL FROM → TO at TIME because event`, `expect CUSTOMER MODEL is STAGE`, " +
	"`expect CUSTOMER enters SEGMENT`, `expect CUSTOMER is in SEGMENT`, `expect CUSTOMER assigned CAMPAIGN as VARIANT`, " +
	"`expect CUSTOMER converted CAMPAIGN/GOAL` or `expect nothing`"

// expectation reads what stands after expect.
func (s *scenario) expectation(words []string) (func(*stage) error, error) {
	if len(words) == 0 {
		return nil, errors.New(expectForms)
	}
	line := strings.Join(words, " ")
	switch {
	case line == "nothing", line == "nothing else":
		return func(st *stage) error { return st.expectNothing("") }, nil
	case len(words) == 3 && words[0] == "nothing" && words[1] == "for":
		return func(st *stage) error { return st.expectNothing(words[2]) }, nil
	case line == "duplicate":
		return (*stage).expectDuplicate, nil
	case len(words) == 3 && words[0] == "dead" && words[1] == "letter":
		cause := event.Cause(words[2])
		if !slices.Contains(event.Causes, cause) {
			return nil, fmt.Errorf("%q is no cause of a dead letter; the causes are %v", cause, event.Causes)
		}
		return func(st *stage) error { return st.expectDeadLetter(cause) }, nil
	case len(words) < 3:
		return nil, errors.New(expectForms)
	}
	customer, _, err := unquote(words[0])
	if err != nil {
		return nil, err
	}
	words = words[1:]
	switch line := strings.Join(words, " "); {
	case line == "is unknown":
		return func(st *stage) error { return st.expectUnknown(customer) }, nil
	case words[0] == "assigned", words[0] == "converted":
		return s.aboutCampaign(customer, words)
	case words[0] == "enters", words[0] == "leaves":
		return s.segmentChange(customer, words)
	case words[0] == "in", strings.HasPrefix(line, "not in "), strings.HasPrefix(line, "is in "), strings.HasPrefix(line, "is not in "):
		segment := words[len(words)-1]
		if err := s.segmentNamed(segment); err != nil {
			return nil, err
		}
		in := !slices.Contains(words[:len(words)-1], "not")
		return func(st *stage) error { return st.expectMember(customer, segment, in) }, nil
	}
	model := s.modelNamed(strings.TrimSuffix(words[0], ":"))
	switch {
	case model != nil:
		words = words[1:]
	case len(s.def.Models) == 1:
		model = &s.def.Models[0]
	default:
		return nil, fmt.Errorf("%q is neither a model of the definition nor understood here; %s", words[0], expectForms)
	}
	return s.aboutModel(customer, model, words)
}

func (s *scenario) aboutModel(customer string, m *definition.Model, words []string) (func(*stage) error, error) {
	if len(words) < 2 {
		return nil, errors.New(expectForms)
	}
	name := m.Name.Value
	switch {
	case words[0] == "is":
		if err := stageIn(m, words[1]); err != nil {
			return nil, err
		}
		since, err := optionalTime(words[2:], "since")
		if err != nil {
			return nil, err
		}
		return func(st *stage) error { return st.expectStage(customer, name, words[1], since) }, nil
	case words[0] == "will" && words[1] == "stay" && len(words) == 2:
		return func(st *stage) error { return st.expectNext(customer, name, "", instant.None) }, nil
	case words[0] == "will" && words[1] == "be" && len(words) > 3:
		if err := stageIn(m, words[2]); err != nil {
			return nil, err
		}
		at, err := optionalTime(words[3:], "at")
		if err != nil {
			return nil, err
		}
		return func(st *stage) error { return st.expectNext(customer, name, words[2], at) }, nil
	}
	e := expected{customer: customer, kind: record.StageChange, name: name}
	if !isArrow(words[0]) {
		e.from, words = words[0], words[1:]
		if err := stageIn(m, e.from); err != nil {
			return nil, fmt.Errorf("%w; or %s", err, expectForms)
		}
	}
	if len(words) < 2 || !isArrow(words[0]) {
		return nil, errors.New(expectForms)
	}
	if words[1] != "gone" {
		e.to = words[1]
		if err := stageIn(m, e.to); err != nil {
			return nil, err
		}
	}
	return e.whenAndWhy(words[2:])
}

func isArrow(word string) bool { return word == "→" || word == "->" }

func (s *scenario) segmentChange(customer string, words []string) (func(*stage) error, error) {
	if err := s.segmentNamed(words[1]); err != nil {
		return nil, err
	}
	e := expected{customer: customer, kind: record.SegmentChange, name: words[1], entered: words[0] == "enters"}
	return e.whenAndWhy(words[2:])
}

// whenAndWhy reads `at TIME` and `because CAUSE`, each of which may be left out.
func (e expected) whenAndWhy(words []string) (func(*stage) error, error) {
	e.at = instant.None
	if len(words) > 0 && words[0] == "at" {
		var err error
		if e.at, words, err = readTime(words[1:]); err != nil {
			return nil, err
		}
	}
	if len(words) > 0 && words[0] == "because" {
		cause := record.CauseType(strings.Join(words[1:], "_"))
		causes := []record.CauseType{record.CauseEvent, record.CauseDeadline, record.CauseLateEvent, record.CauseExpired}
		if !slices.Contains(causes, cause) {
			return nil, fmt.Errorf("after because comes event, deadline, late event or expired, not %q", strings.Join(words[1:], " "))
		}
		e.because, words = cause, nil
	}
	if len(words) > 0 {
		return nil, fmt.Errorf("%q is not understood; after the change may come `at TIME` and `because CAUSE`", strings.Join(words, " "))
	}
	return func(st *stage) error { return st.expectChange(&e) }, nil
}

func optionalTime(words []string, keyword string) (instant.Instant, error) {
	if len(words) == 0 {
		return instant.None, nil
	}
	if words[0] != keyword {
		return 0, fmt.Errorf("%q is not understood; write `%s TIME`", strings.Join(words, " "), keyword)
	}
	at, rest, err := readTime(words[1:])
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%q after the time is not understood", strings.Join(rest, " "))
	}
	return at, err
}

// String is the expectation in the words of the language.
func (e *expected) String() string {
	var b strings.Builder
	b.WriteString(e.customer)
	switch e.kind {
	case record.SegmentChange:
		b.WriteString(inOut(e.entered) + e.name)
	case record.Assignment, record.Conversion:
		b.WriteString(" " + campaignWord(e.kind) + " " + e.name + e.part.String())
	default:
		b.WriteString(" " + e.name + ": " + arrow(e.from, e.to))
	}
	if e.at != instant.None {
		b.WriteString(" at " + e.at.String())
	}
	if e.because != "" {
		b.WriteString(" because " + strings.ReplaceAll(string(e.because), "_", " "))
	}
	return b.String()
}

func inOut(entered bool) string {
	if entered {
		return " enters "
	}
	return " leaves "
}

func arrow(from, to string) string {
	if to == "" {
		to = "gone"
	}
	return strings.TrimSpace(from + " → " + to)
}

// same reports whether the change is the expected one.
func (e *expected) same(r *record.Record) bool {
	if e.kind == record.StageChange && (r.From != e.from || r.To != e.to) ||
		e.kind == record.SegmentChange && r.Entered != e.entered ||
		(e.kind == record.Assignment || e.kind == record.Conversion) && !e.part.same(r) {
		return false
	}
	return (e.at == instant.None || e.at == r.EffectiveAt) && (e.because == "" || e.because == r.Cause.Type)
}
