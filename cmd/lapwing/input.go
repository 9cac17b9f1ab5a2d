// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"os"
	"strings"
	"unicode"
)

// openInput opens a file, or standard input for "-". Neither the wait for the other
// end of a pipe nor the one for its bytes outlives ctx.
func (a *app) openInput(ctx context.Context, name string) (io.ReadCloser, error) {
	if name == "-" {
		return &awaited{ctx: ctx, in: a.stdin, close: func() error { return nil }}, nil
	}
	type opened struct {
		file *os.File
		err  error
	}
	done := make(chan opened, 1)
	go func() {
		file, err := os.Open(name) //nolint:gosec // the user names it
		done <- opened{file, err}
	}()
	select {
	case <-ctx.Done():
		return nil, interrupted(ctx)
	case o := <-done:
		if o.err != nil {
			return nil, o.err
		}
		return &awaited{ctx: ctx, in: o.file, close: o.file.Close}, nil
	}
}

// awaited is a reader whose Read may block for ever, as that of a terminal does: it
// returns when ctx ends, and leaves the blocked read behind. One goroutine at a time.
type awaited struct {
	ctx    context.Context
	in     io.Reader
	close  func() error
	buffer []byte // of the read under way; after ctx has ended it may still be written to
	rest   []byte // read but not yet returned
	err    error  // comes after rest
}

// readResult is what a Read returned.
type readResult struct {
	n   int
	err error
}

func (r *awaited) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if r.ctx.Err() != nil {
		return 0, interrupted(r.ctx)
	}
	if len(r.rest) == 0 && r.err == nil {
		if r.buffer == nil {
			r.buffer = make([]byte, 64<<10)
		}
		done := make(chan readResult, 1)
		go func() {
			n, err := r.in.Read(r.buffer)
			done <- readResult{n, err}
		}()
		select {
		case <-r.ctx.Done():
			return 0, interrupted(r.ctx)
		case result := <-done:
			r.rest, r.err = r.buffer[:result.n], result.err
		}
	}
	if len(r.rest) == 0 {
		return 0, r.err
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *awaited) Close() error { return r.close() }

// untilDone is a reader that ends with ctx: what unpacks to much more than its file
// has is left in the middle too.
type untilDone struct {
	ctx context.Context
	in  io.Reader
}

func (r untilDone) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, interrupted(r.ctx)
	}
	return r.in.Read(p)
}

// visible is text for a terminal: what would steer it (control characters but for
// line ends and tabs, marks that turn the direction of writing) and what is no UTF-8
// is shown as the replacement character.
func visible(text string) string {
	return strings.Map(func(c rune) rune {
		if c != '\n' && c != '\t' && (unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c)) {
			return unicode.ReplacementChar
		}
		return c
	}, text)
}
