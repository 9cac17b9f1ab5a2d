// SPDX-License-Identifier: Apache-2.0

package streamtest

import (
	"errors"
	"fmt"
	"strings"
)

// Result is what came of one scenario file.
type Result struct {
	File         string
	Rule         string // the file's first line: the business rule
	Events       int    // lines that begin with on
	Expectations int    // lines that begin with expect
	Failures     []Failure
}

// Failure is one line that did not come true, or could not be understood.
type Failure struct {
	Line int    // 0: the text says the place itself (a definition's problems)
	Text string // may have several lines: a picture of the customer follows what is wrong
}

// OK reports whether all came true.
func (r *Result) OK() bool { return len(r.Failures) == 0 }

// Explain is every failure as `file:line: what`, further lines indented.
func (r *Result) Explain() string {
	var b strings.Builder
	for _, f := range r.Failures {
		if f.Line == 0 {
			b.WriteString(f.Text)
			continue
		}
		text := strings.ReplaceAll(strings.TrimRight(f.Text, "\n"), "\n", "\n    ")
		fmt.Fprintf(&b, "%s:%d: %s\n", r.File, f.Line, text)
	}
	return b.String()
}

// Run plays one scenario. file is its name for messages, and definitions named in it
// are found beside it; read reads such a file. Every failure is in the result.
func Run(file string, source []byte, read func(name string) ([]byte, error)) *Result {
	result := &Result{File: file}
	s, err := parse(file, source, read)
	result.Rule = s.rule
	if err != nil {
		result.refuse(err)
		return result
	}
	st := newStage(s.model)
	for _, step := range s.steps {
		st.line = step.line
		expects := strings.HasPrefix(step.text, "expect")
		if expects {
			result.Expectations++
		} else if strings.HasPrefix(step.text, "on") {
			result.Events++
		}
		if !strings.HasPrefix(step.text, "expect dead letter") && !strings.HasPrefix(step.text, "expect duplicate") {
			result.fail(st.lastLine, st.unexpected())
		}
		result.fail(step.line, step.play(st))
	}
	result.fail(st.lastLine, st.unexpected())
	for _, err := range st.leftOver() {
		result.fail(st.line, err)
	}
	if result.Expectations == 0 {
		result.fail(st.line, errors.New("no line expects anything, so nothing can fail: add expect lines"))
	}
	return result
}

func (r *Result) fail(line int, err error) {
	if err != nil {
		r.Failures = append(r.Failures, Failure{Line: line, Text: err.Error()})
	}
}

// refuse takes an error of the file itself.
func (r *Result) refuse(err error) {
	var atLine *lineError
	var definition *errDefinition
	switch {
	case errors.As(err, &atLine):
		r.fail(atLine.line, atLine.err)
	case errors.As(err, &definition):
		r.Failures = append(r.Failures, Failure{Text: definition.rendered})
	default:
		r.fail(1, err)
	}
}
