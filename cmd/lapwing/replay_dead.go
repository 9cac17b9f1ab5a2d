// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"lapwing/schemas/event"
	"lapwing/schemas/record"
)

// deadLetters counts the lines that cannot be used by cause and, where asked, writes
// them to a file of JSON lines.
type deadLetters struct {
	counts map[event.Cause]int64
	file   *os.File // nil: only counted
	out    *bufio.Writer
	line   []byte
}

func newDeadLetters(path string) (*deadLetters, error) {
	d := &deadLetters{counts: map[event.Cause]int64{}}
	if path == "" {
		return d, nil
	}
	file, err := os.Create(path) //nolint:gosec // the user names it
	if err != nil {
		return nil, fmt.Errorf("create the file of dead letters: %w", err)
	}
	d.file, d.out = file, bufio.NewWriterSize(file, 1<<16)
	return d, nil
}

// checkDeadLetters refuses a file of dead letters that the replay reads or writes
// otherwise: to create it would empty it.
func (a *app) checkDeadLetters(path, definition string, sources []string) error {
	switch path {
	case "":
		return usageError("--dead-letters takes the name of a file")
	case "-":
		return usageError("--dead-letters takes the name of a file; standard output is for the records (a file called - is ./-)")
	}
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return nil //nolint:nilerr // nothing there that could be lost; creating it says what else is wrong
	}
	same := func(stat func() (os.FileInfo, error)) bool {
		other, err := stat()
		return err == nil && os.SameFile(info, other)
	}
	for _, name := range append([]string{definition}, sources...) {
		stat := func() (os.FileInfo, error) { return os.Stat(name) }
		if file, ok := a.stdin.(*os.File); ok && name == "-" {
			stat = file.Stat
		}
		if same(stat) {
			return usageError("--dead-letters %s would overwrite %s, which is to be read; name another file", path, name)
		}
	}
	for _, w := range []any{a.stdout, a.stderr} {
		if file, ok := w.(*os.File); ok && same(file.Stat) {
			return usageError("--dead-letters %s is where the output goes already; name another file", path)
		}
	}
	return nil
}

func (d *deadLetters) add(cause event.Cause, source string, line int64, payload []byte) error {
	return d.addLong(cause, source, line, payload, nil)
}

// addLong is add for a payload whose end, if rest is not nil, is not in memory.
func (d *deadLetters) addLong(cause event.Cause, source string, line int64, payload []byte, rest func(io.Writer) error) error {
	d.counts[cause]++
	if d.out == nil {
		if rest != nil {
			return rest(io.Discard)
		}
		return nil
	}
	b := append(d.line[:0], `{"cause":"`...)
	b = append(b, cause...)
	b = append(b, `","source":`...)
	b = record.AppendString(b, source)
	b = append(b, `,"line":`...)
	b = strconv.AppendInt(b, line, 10)
	b = append(b, `,"payload":"`...)
	d.line = b
	_, err := d.out.Write(b)
	if err == nil {
		encoder := base64.NewEncoder(base64.StdEncoding, d.out)
		_, err = encoder.Write(payload)
		if err == nil && rest != nil {
			err = rest(encoder)
		}
		err = errors.Join(err, encoder.Close())
	}
	if err == nil {
		_, err = d.out.WriteString("\"}\n")
	}
	if err != nil {
		return fmt.Errorf("write a dead letter: %w", err)
	}
	return nil
}

// summary is the line that ends a replay; empty if every line could be used.
func (d *deadLetters) summary() string {
	var total int64
	var parts []string
	for _, cause := range event.Causes {
		if n := d.counts[cause]; n > 0 {
			total += n
			parts = append(parts, fmt.Sprintf("%s %d", cause, n))
		}
	}
	if total == 0 {
		return ""
	}
	return fmt.Sprintf("dead letters: %d (%s)", total, strings.Join(parts, ", "))
}

func (d *deadLetters) close() error {
	if d.file == nil {
		return nil
	}
	if err := errors.Join(d.out.Flush(), d.file.Close()); err != nil {
		return fmt.Errorf("write the file of dead letters: %w", err)
	}
	return nil
}
