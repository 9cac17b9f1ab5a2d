// SPDX-License-Identifier: Apache-2.0

//go:build !noembedded && (linux || darwin) && (amd64 || arm64)

package chfront

import (
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"lapwing/deploy/embedded/chdb"
)

// joinable are the formats, in lower case, whose documents may be joined to one
// (no header, no footer), so that a result can be streamed, with their types.
var joinable = map[string]string{
	"native": "application/octet-stream", "rowbinary": "application/octet-stream",
	"jsoneachrow": "application/x-ndjson", "jsonlines": "application/x-ndjson", "ndjson": "application/x-ndjson", "jsoncompacteachrow": "application/x-ndjson",
	"tsv": "text/tab-separated-values; charset=UTF-8", "tabseparated": "text/tab-separated-values; charset=UTF-8",
	"tsvraw": "text/tab-separated-values; charset=UTF-8", "tabseparatedraw": "text/tab-separated-values; charset=UTF-8",
	"csv": "text/csv; charset=UTF-8; header=absent", "lineasstring": "text/plain; charset=UTF-8",
}

// contentType is the media type of a format.
func contentType(format string) string {
	f := strings.ToLower(format)
	if t, ok := joinable[f]; ok {
		return t
	}
	switch {
	case strings.HasPrefix(f, "json"):
		return "application/json; charset=UTF-8"
	case strings.HasPrefix(f, "csv"):
		return "text/csv; charset=UTF-8; header=present"
	case strings.HasPrefix(f, "tsv"), strings.HasPrefix(f, "tabsep"):
		return "text/tab-separated-values; charset=UTF-8"
	case strings.HasPrefix(f, "pretty"), f == "vertical", f == "markdown":
		return "text/plain; charset=UTF-8"
	case f == "xml":
		return "application/xml; charset=UTF-8"
	}
	return "application/octet-stream"
}

// output writes one answer's body: blocks in the client's revision, compressed
// as the protocol does it, then as HTTP does it.
type output struct {
	w        http.ResponseWriter
	joinable bool
	native   bool
	revision uint64
	blocks   *compress.Writer // nil unless compress=1
	encoder  io.WriteCloser   // nil unless HTTP compression
	sent     bool
	tag      string // marks an exception inside the body
	buf      []byte
}

func newOutput(w http.ResponseWriter, r *http.Request, params url.Values, format string) (*output, error) {
	o := &output{w: w, native: strings.EqualFold(format, "Native"), tag: newTag()[:16]}
	_, o.joinable = joinable[strings.ToLower(format)]
	if v := params.Get("client_protocol_version"); v != "" {
		var err error
		if o.revision, err = strconv.ParseUint(v, 10, 32); err != nil {
			return nil, refuse(codeSyntaxError, "client_protocol_version: %v. (SYNTAX_ERROR)", err)
		}
	}
	h := w.Header()
	h.Set("X-ClickHouse-Format", format)
	h.Set("Content-Type", contentType(format))
	h.Set("X-ClickHouse-Exception-Tag", o.tag)
	if params.Get("compress") == "1" {
		method := compress.LZ4
		if strings.EqualFold(params.Get("network_compression_method"), "ZSTD") {
			method = compress.ZSTD
		}
		o.blocks = compress.NewWriter(compress.LevelZero, method)
	}
	if params.Get("enable_http_compression") == "1" {
		name, encoder, err := httpEncoder(w, r.Header.Get("Accept-Encoding"))
		if err != nil {
			return nil, fmt.Errorf("compress the answer: %w", err)
		}
		if o.encoder = encoder; encoder != nil {
			h.Set("Content-Encoding", name)
		}
	}
	return o, nil
}

// httpEncoder picks what the client accepts, the cheapest first; nil if nothing.
func httpEncoder(w io.Writer, accepted string) (string, io.WriteCloser, error) {
	for _, e := range []struct {
		name string
		open func() (io.WriteCloser, error)
	}{
		{"lz4", func() (io.WriteCloser, error) { return lz4.NewWriter(w), nil }},
		{"zstd", func() (io.WriteCloser, error) {
			return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		}},
		{"gzip", func() (io.WriteCloser, error) { return gzip.NewWriterLevel(w, gzip.BestSpeed) }},
		{"deflate", func() (io.WriteCloser, error) { return zlib.NewWriterLevel(w, zlib.BestSpeed) }},
		{"br", func() (io.WriteCloser, error) { return brotli.NewWriterLevel(w, brotli.BestSpeed), nil }},
	} {
		if strings.Contains(accepted, e.name) {
			encoder, err := e.open()
			return e.name, encoder, err
		}
	}
	return "", nil, nil
}

// write sends output of the engine.
func (o *output) write(b []byte) error {
	if o.native && o.revision > 0 {
		var err error
		if o.buf, err = rewriteBlocks(o.buf[:0], b, o.revision); err != nil {
			return err
		}
		b = o.buf
	}
	return o.compressed(b)
}

func (o *output) compressed(b []byte) error {
	if o.blocks == nil {
		return o.encoded(b)
	}
	const frame = 1 << 20 // of a compressed block, as the server cuts them
	for len(b) > 0 {
		n := min(len(b), frame)
		if err := o.blocks.Compress(b[:n]); err != nil {
			return err
		}
		if err := o.encoded(o.blocks.Data); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (o *output) encoded(b []byte) (err error) {
	if len(b) == 0 {
		return nil
	}
	o.sent = true
	if o.encoder != nil {
		_, err = o.encoder.Write(b)
	} else {
		_, err = o.w.Write(b)
	}
	return err
}

// fail reports an error: by status while nothing was sent, and after that inside
// the body, in the frame that clients look for at its end.
func (o *output) fail(err error) error {
	if !o.sent {
		return err
	}
	message := asException(err).Error()
	frame := fmt.Sprintf("\r\n__exception__\r\n%s\r\n%s\n%d %s\r\n__exception__\r\n", o.tag, message, len(message)+1, o.tag)
	if o.compressed([]byte(frame)) == nil && o.close() == nil {
		return nil
	}
	// The answer is broken off: the client must not take it for a whole one.
	panic(http.ErrAbortHandler)
}

// close ends the body.
func (o *output) close() error {
	if !o.sent { // an empty answer has no encoding
		o.w.Header().Del("Content-Encoding")
		return nil
	}
	if o.encoder != nil {
		return o.encoder.Close()
	}
	return nil
}

func writeSummary(h http.Header, c chdb.Counts, start time.Time) {
	h.Set("X-ClickHouse-Summary", fmt.Sprintf(
		`{"read_rows":"%d","read_bytes":"%d","written_rows":"%d","written_bytes":"%d","total_rows_to_read":"0","result_rows":"%d","result_bytes":"0","elapsed_ns":"%d"}`,
		c.ReadRows, c.ReadBytes, c.WrittenRows, c.WrittenBytes, c.ResultRows, time.Since(start).Nanoseconds()))
}
