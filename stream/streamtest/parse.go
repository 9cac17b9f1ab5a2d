// SPDX-License-Identifier: Apache-2.0

package streamtest

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"lapwing/schemas/definition"
	"lapwing/schemas/presets"
	"lapwing/stream/lifecycle"
)

// scenario is one file, read but not yet played.
type scenario struct {
	rule  string
	model *lifecycle.Model
	def   *definition.Definition
	steps []step
}

// step is one line of the story.
type step struct {
	line int
	text string // as written
	play func(*stage) error
}

// lineError is what is wrong with a line of the file itself.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return e.err.Error() }

// errDefinition says that the definition has problems, which are in rendered.
type errDefinition struct {
	line     int
	rendered string
}

func (e *errDefinition) Error() string { return e.rendered }

// parse reads a scenario; with an error, as far as it could. read reads a definition file beside it.
func parse(file string, source []byte, read func(name string) ([]byte, error)) (*scenario, error) {
	text := strings.ReplaceAll(strings.TrimPrefix(string(source), "\ufeff"), "\r\n", "\n")
	lines := strings.Split(text, "\n")
	s := &scenario{}
	rule, ok := strings.CutPrefix(lines[0], "#")
	rule = strings.TrimSpace(rule)
	if !ok || rule == "" {
		return s, &lineError{1, errors.New("the first line states the business rule: # A buyer who …")}
	}
	s.rule = rule
	for i := 1; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		if line == "" || line[0] == '#' {
			continue
		}
		if ref, ok := strings.CutPrefix(line, "definition:"); ok {
			if s.model != nil {
				return s, &lineError{i + 1, errors.New("there is a definition already")}
			}
			last, err := s.definition(file, text, lines, i, strings.TrimSpace(ref), read)
			if err != nil {
				return s, err
			}
			i = last
			continue
		}
		if s.model == nil {
			return s, &lineError{i + 1, errors.New("say first which definition: `definition: preset:customer-value`, the path of a file, or the definition itself, indented, below `definition:`")}
		}
		play, err := s.step(line, i+1)
		if err != nil {
			return s, &lineError{i + 1, err}
		}
		s.steps = append(s.steps, step{line: i + 1, text: line, play: play})
	}
	if len(s.steps) == 0 {
		return s, &lineError{len(lines), errors.New("nothing happens here and nothing is expected")}
	}
	return s, nil
}

// definition reads what the line at index i names, or the indented lines below it, and
// returns the index of the last line it took.
func (s *scenario) definition(file, text string, lines []string, i int, ref string, read func(string) ([]byte, error)) (int, error) {
	first := i // the file's lines before the definition's first
	indent := 0
	var name string
	var source []byte
	switch preset, isPreset := strings.CutPrefix(ref, "preset:"); {
	case isPreset:
		var err error
		if source, err = presets.Find(preset); err != nil {
			return 0, &lineError{i + 1, err}
		}
		name = ref
	case ref != "":
		name = ref
		if !path.IsAbs(ref) {
			name = path.Join(path.Dir(file), ref)
		}
		var err error
		if source, err = read(name); err != nil {
			return 0, &lineError{i + 1, fmt.Errorf("read the definition: %w", err)}
		}
	default:
		name = file
		var body []string
		for i++; i < len(lines); i++ {
			line := lines[i]
			if strings.TrimSpace(line) == "" {
				body = append(body, "")
				continue
			}
			if indent == 0 {
				indent = len(line) - len(strings.TrimLeft(line, " "))
			}
			if indent == 0 || !strings.HasPrefix(line, strings.Repeat(" ", indent)) {
				break
			}
			body = append(body, line[indent:])
		}
		i--
		if indent == 0 {
			return 0, &lineError{first + 1, errors.New("the definition must stand below, each line indented by spaces")}
		}
		source = []byte(strings.Join(body, "\n") + "\n")
		first++
	}
	def, problems := definition.ParsePartial(name, source)
	var model *lifecycle.Model
	if def != nil {
		var more []definition.Problem
		model, more = lifecycle.Compile(def)
		problems = append(problems, more...)
	}
	if definition.HasErrors(problems) {
		if indent > 0 { // show the places in the scenario, not in what was cut out of it
			source = []byte(text)
			for k := range problems {
				problems[k].Pos.Line += first
				problems[k].Pos.Column += indent
			}
		}
		var b strings.Builder
		if err := definition.Render(&b, name, source, problems); err != nil {
			return 0, err
		}
		return 0, &errDefinition{line: first + 1, rendered: b.String()}
	}
	s.model, s.def = model, def
	return i, nil
}

// step reads one line of the story.
func (s *scenario) step(line string, number int) (func(*stage) error, error) {
	verb, rest, _ := strings.Cut(line, " ")
	if verb != "on" && verb != "until" && verb != "expect" {
		return nil, fmt.Errorf("a line begins with on, until, expect or #, not with %q", verb)
	}
	if verb == "on" {
		return s.happening(rest, number)
	}
	words, err := split(rest)
	if err != nil {
		return nil, err
	}
	if verb == "expect" {
		return s.expectation(words)
	}
	at, more, err := readTime(words)
	if err != nil {
		return nil, err
	}
	customer := ""
	if len(more) == 2 && more[0] == "for" {
		customer, more = more[1], nil
	}
	if len(more) > 0 {
		return nil, fmt.Errorf("%q after the time is not understood; write `until TIME` or `until TIME for CUSTOMER`", strings.Join(more, " "))
	}
	return func(st *stage) error { return st.until(at, customer) }, nil
}

// models, stages and segments by name, with an error that lists what there is.

func (s *scenario) modelNamed(name string) *definition.Model {
	for i := range s.def.Models {
		if s.def.Models[i].Name.Value == name {
			return &s.def.Models[i]
		}
	}
	return nil
}

func stageIn(m *definition.Model, name string) error {
	names := make([]string, len(m.Stages))
	for i := range m.Stages {
		names[i] = m.Stages[i].Name.Value
		if names[i] == name {
			return nil
		}
	}
	return fmt.Errorf("model %s has no stage %q; it has %s", m.Name.Value, name, strings.Join(names, ", "))
}

func (s *scenario) segmentNamed(name string) error {
	base, _, hasValue := strings.Cut(name, "=")
	names := make([]string, len(s.def.Segments))
	for i := range s.def.Segments {
		names[i] = s.def.Segments[i].Name.Value
		by := !s.def.Segments[i].By.IsZero()
		if names[i] == base && by == hasValue {
			return nil
		}
		if by {
			names[i] += "=VALUE"
		}
	}
	return fmt.Errorf("there is no segment %q; there is: %s", name, strings.Join(names, ", "))
}
