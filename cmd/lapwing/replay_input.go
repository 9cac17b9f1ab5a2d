// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"lapwing/schemas/samples"
)

const (
	readBufferBytes = 256 << 10
	// maxLineBytes is how much of one line is kept in memory. A longer one is far above
	// any limit of a message: it is too_large without a look at its JSON.
	maxLineBytes = 64 << 20
)

// errLongLine says that a line is longer than maxLineBytes; its rest is still to be read.
var errLongLine = errors.New("line too long")

var utf8BOM = []byte("\xef\xbb\xbf")

// openEvents opens a source of events: a file, "-" or sample:NAME. Compression is
// told by the first bytes, not by the name, so a pipe may be compressed too. Reading
// ends with ctx.
func (a *app) openEvents(ctx context.Context, name string) (io.ReadCloser, error) {
	if sample, ok := strings.CutPrefix(name, "sample:"); ok {
		in, err := samples.Open(sample)
		if err != nil {
			return nil, err
		}
		return &source{untilDone{ctx, in}, func() error { return nil }}, nil
	}
	file, err := a.openInput(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("open the events: %w", err)
	}
	in, err := decompress(file, file.Close)
	if err != nil {
		return nil, errors.Join(readError(name, 1, err), file.Close())
	}
	return &source{untilDone{ctx, in}, in.Close}, nil
}

// readError says that a source could not be read on from a line, and what that means
// for the lines before it.
func readError(name string, line int64, err error) error {
	before := "the lines before it were processed, but nothing that comes after them is told: no later deadlines, profiles, aggregates or explanation"
	if line <= 1 {
		before = "no line of it was processed"
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the file is cut short (%w)", err)
	}
	return fmt.Errorf("read %s, line %d: %w; %s", name, line, err, before)
}

// source is a reader with what must be closed after it.
type source struct {
	io.Reader
	close func() error
}

func (s *source) Close() error { return s.close() }

func decompress(in io.Reader, closeInput func() error) (io.ReadCloser, error) {
	buffered := bufio.NewReaderSize(in, 64<<10)
	head, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		unzipped, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, err
		}
		return &source{unzipped, closeInput}, nil
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		unpacked, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return &source{unpacked, func() error { unpacked.Close(); return closeInput() }}, nil
	}
	return &source{buffered, closeInput}, nil
}

// lineReader splits a source into lines, ended by LF or CRLF or the end of the source.
type lineReader struct {
	in     *bufio.Reader
	long   []byte // a line that does not fit in's buffer
	number int64  // of the line last returned, from 1
	broken error  // why in cannot be read on; nil at its end
}

func newLineReader(in io.Reader) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(in, readBufferBytes)}
}

// next is the next line without its end, valid until the next call; io.EOF after the
// last one. With errLongLine the line is the first part and writeRest must follow.
func (r *lineReader) next() ([]byte, error) {
	if r.number == 0 {
		if head, _ := r.in.Peek(len(utf8BOM)); bytes.Equal(head, utf8BOM) {
			if _, err := r.in.Discard(len(utf8BOM)); err != nil {
				return nil, err
			}
		}
	}
	r.number++
	if cap(r.long) > 4<<20 {
		r.long = nil // one huge line must not cost its size for ever
	}
	r.long = r.long[:0]
	for {
		part, err := r.in.ReadSlice('\n')
		switch {
		case err == nil && len(r.long) == 0:
			return trimEnd(part), nil
		case err == nil:
			r.long = append(r.long, part...)
			return trimEnd(r.long), nil
		case errors.Is(err, bufio.ErrBufferFull):
			r.long = append(r.long, part...)
			if len(r.long) > maxLineBytes {
				return r.long, errLongLine
			}
		case errors.Is(err, io.EOF):
			r.long = append(r.long, part...)
			if len(r.long) == 0 {
				return nil, io.EOF
			}
			return trimEnd(r.long), nil
		default:
			r.broken = err
			return nil, err
		}
	}
}

// writeRest passes the rest of a long line to w, without its end.
func (r *lineReader) writeRest(w io.Writer) error {
	for {
		part, err := r.in.ReadSlice('\n')
		if err == nil {
			part = trimEnd(part)
		}
		if _, err := w.Write(part); err != nil {
			return err
		}
		switch {
		case err == nil, errors.Is(err, io.EOF):
			return nil
		case !errors.Is(err, bufio.ErrBufferFull):
			r.broken = err
			return err
		}
	}
}

func trimEnd(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'})
}

func isBlank(line []byte) bool {
	for _, c := range line {
		if c != ' ' && c != '\t' && c != '\r' {
			return false
		}
	}
	return true
}
