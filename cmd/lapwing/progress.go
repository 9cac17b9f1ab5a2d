// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// isTerminal reports whether a person looks at w.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// progress is one line on the terminal that is written over; nothing anywhere else.
type progress struct {
	w     io.Writer // nil: say nothing
	begin time.Time
	last  time.Time
}

// newProgress speaks only where it does not tear the output apart: errors go to a
// terminal, and records do not.
func newProgress(a *app) *progress {
	p := &progress{begin: time.Now()}
	if isTerminal(a.stderr) && !isTerminal(a.stdout) {
		p.w = a.stderr
	}
	return p
}

// events says how many events were read.
func (p *progress) events(n int64) {
	p.say(func() string {
		rate := float64(n) / time.Since(p.begin).Seconds()
		return fmt.Sprintf("%s events, %s/s", grouped(n), grouped(int64(rate)))
	})
}

// say shows how far the work is, at most four times a second.
func (p *progress) say(how func() string) {
	if p.w == nil {
		return
	}
	now := time.Now()
	if now.Sub(p.last) < time.Second/4 || now.Sub(p.begin) < time.Second/2 {
		return
	}
	p.last = now
	_, _ = fmt.Fprintf(p.w, "\r\x1b[K%s", how())
}

func (p *progress) clear() {
	if p.w != nil && !p.last.IsZero() {
		_, _ = fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// grouped is n with commas between its thousands.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	start := 0
	if n < 0 {
		start = 1
	}
	for i := len(s) - 3; i > start; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
