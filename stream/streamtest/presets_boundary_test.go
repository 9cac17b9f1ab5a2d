// SPDX-License-Identifier: Apache-2.0

package streamtest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
)

// site is a threshold in a preset's text: what stands there, and where.
type site struct {
	line       int // from 1
	begin, end int // in the source, in bytes
	text       string
}

func (s site) replaced(source, by string) string { return source[:s.begin] + by + source[s.end:] }

var (
	durations = regexp.MustCompile(`\b\d+[smhdw]\b`)
	numbers   = regexp.MustCompile(`>= (\d+)\b`)
	param     = regexp.MustCompile(`^  ([a-z][a-z0-9_]*): +([^ #]+)`)
)

// thresholds are the durations, numbers and texts that a preset's conditions depend on:
// each param, and what conditions and derived events write out.
// Half-lives have no end to look at, so they stand apart from the windows.
func thresholds(source string) (windows, halfLives, counts, texts []site) {
	at, section := 0, ""
	for i, line := range strings.SplitAfter(source, "\n") {
		code, _, _ := strings.Cut(strings.TrimRight(line, "\n"), " #")
		if strings.HasPrefix(strings.TrimSpace(code), "#") {
			code = ""
		}
		if code != "" && code[0] >= 'a' && code[0] <= 'z' {
			section, _, _ = strings.Cut(code, ":")
		}
		place := func(begin, end int) site {
			return site{line: i + 1, begin: at + begin, end: at + end, text: code[begin:end]}
		}
		switch section {
		case "params":
			if m := param.FindStringSubmatchIndex(code); m != nil {
				s := place(m[4], m[5])
				switch {
				case strings.HasSuffix(code[m[2]:m[3]], "half_life"):
					halfLives = append(halfLives, s)
				case durations.MatchString(s.text):
					windows = append(windows, s)
				case strings.Trim(s.text, "0123456789") == "":
					counts = append(counts, s)
				default:
					texts = append(texts, s)
				}
			}
		case "events", "models", "segments":
			for _, m := range durations.FindAllStringIndex(code, -1) {
				windows = append(windows, place(m[0], m[1]))
			}
			for _, m := range numbers.FindAllStringSubmatchIndex(code, -1) {
				counts = append(counts, place(m[2], m[3]))
			}
		default:
		}
		at += len(line)
	}
	return windows, halfLives, counts, texts
}

// unobservable are the sites whose change nothing can show, with the reason.
var unobservable = map[string]string{
	"customer-value: session: {from: visit, gap: 30m}":                   "no condition reads it",
	"customer-value: returned: {from: purchase, gap: 90d, first: false}": "no condition reads it",
	"e-commerce: session: {from: activity, gap: 30m}":                    "no condition reads it",
	"media: session: {from: activity, gap: 30m}":                         "no condition reads it",
	"travel: session: {from: activity, gap: 30m}":                        "no condition reads it",
	"saas-onboarding: session: {from: use, gap: 30m}":                    "no condition reads it",
	`customer-value: - {stage: new, when: "first('purchase', '90d')"}`:   "who bought once is at risk from that instant on",
	"customer-value-rhythm: new_for: 90d":                                "likewise, while quiet_after is as long",
}

// TestPresetBoundaries: of every window there is a message such that lines look at the
// customer one millisecond before its end, at it, and one after, and they fail if the
// window is a second shorter or longer. So the end lies just where it is said to be.
func TestPresetBoundaries(t *testing.T) {
	for _, c := range presetCases(t) {
		t.Run(c.name, func(t *testing.T) {
			windows, _, _, _ := thresholds(c.source)
			for _, w := range windows {
				if reason := unobservable[c.name+": "+lineOf(c.source, w)]; reason != "" {
					continue
				}
				d, err := definition.ParseWindow(w.text)
				if err != nil {
					t.Fatal(err)
				}
				shorter := failures(t, c, w.replaced(c.source, fmt.Sprintf("%ds", int(d.Seconds())-1)))
				longer := failures(t, c, w.replaced(c.source, fmt.Sprintf("%ds", int(d.Seconds())+1)))
				what := fmt.Sprintf("%s:%d: %s", c.name, w.line, lineOf(c.source, w))
				if len(shorter) == 0 || len(longer) == 0 {
					t.Errorf("%s\nno line fails if it is a second shorter (%d do) or longer (%d do)", what, len(shorter), len(longer))
					continue
				}
				times := slices.Concat(shorter, longer)
				length := instant.Instant(d.Milliseconds())
				if !slices.ContainsFunc(messageTimes(t, c), func(at instant.Instant) bool {
					return slices.Contains(times, at+length-1) && slices.Contains(times, at+length) && slices.Contains(times, at+length+1)
				}) {
					t.Errorf("%s\nlines fail if it is changed, but not all of: one millisecond before its end, at it, one after; those that fail stand at %v", what, times)
				}
			}
		})
	}
}

// TestPresetThresholds: a line fails if a number is the least bit higher or one lower, a
// half-life half or twice as long, or a text another.
func TestPresetThresholds(t *testing.T) {
	for _, c := range presetCases(t) {
		t.Run(c.name, func(t *testing.T) {
			_, halfLives, counts, texts := thresholds(c.source)
			for _, n := range counts {
				var value int
				if _, err := fmt.Sscan(n.text, &value); err != nil {
					t.Fatal(err)
				}
				for _, other := range []string{fmt.Sprintf("%d.01", value), fmt.Sprint(value - 1)} {
					if len(failures(t, c, n.replaced(c.source, other))) == 0 {
						t.Errorf("%s:%d: %s\nno line fails if it is %s", c.name, n.line, lineOf(c.source, n), other)
					}
				}
			}
			for _, h := range halfLives {
				d, err := definition.ParseWindow(h.text)
				if err != nil {
					t.Fatal(err)
				}
				for _, other := range []int{int(d.Seconds()) / 2, int(d.Seconds()) * 2} {
					if len(failures(t, c, h.replaced(c.source, fmt.Sprintf("%ds", other)))) == 0 {
						t.Errorf("%s:%d: %s\nno line fails if it is %ds", c.name, h.line, lineOf(c.source, h), other)
					}
				}
			}
			for _, s := range texts {
				if len(failures(t, c, s.replaced(c.source, s.text+"-other"))) == 0 {
					t.Errorf("%s:%d: %s\nno line fails if it is another text", c.name, s.line, lineOf(c.source, s))
				}
			}
		})
	}
}

func lineOf(source string, s site) string {
	line := strings.Split(source, "\n")[s.line-1]
	code, _, _ := strings.Cut(strings.TrimRight(line, "\n"), " #")
	return strings.TrimSpace(code)
}

// failures are the customers' times at the lines that fail under a changed definition.
func failures(t *testing.T, c presetCase, source string) []instant.Instant {
	t.Helper()
	model, err := compilePreset(c.name, source)
	if model == nil {
		t.Fatal(err)
	}
	var times []instant.Instant
	for _, f := range c.files {
		for _, p := range playPreset(t, f, model).failed {
			times = append(times, p.at)
		}
	}
	slices.Sort(times)
	return slices.Compact(times)
}

// messageTimes are the instants of all messages of a preset's scenarios.
func messageTimes(t *testing.T, c presetCase) []instant.Instant {
	t.Helper()
	var times []instant.Instant
	for _, f := range c.files {
		for _, line := range strings.Split(f.text, "\n") {
			rest, ok := strings.CutPrefix(line, "on ")
			if !ok {
				continue
			}
			at, _, err := readTime(strings.Fields(rest))
			if err != nil {
				t.Fatal(err)
			}
			times = append(times, at)
		}
	}
	return times
}
