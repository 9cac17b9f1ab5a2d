// SPDX-License-Identifier: Apache-2.0

//go:build !noembedded && (linux || darwin) && (amd64 || arm64)

package chfront

import (
	"cmp"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"lapwing/deploy/embedded/chdb"
)

// decodeBody undoes a body's HTTP compression, and the protocol's own below it.
func decodeBody(body io.ReadCloser, encoding string, native bool) (io.ReadCloser, error) {
	decoded, err := decodeHTTP(body, encoding)
	if err != nil {
		return nil, refuse(codeCannotReadAllData, "Cannot read a body with Content-Encoding %q: %v. (CANNOT_READ_ALL_DATA)", encoding, err)
	}
	if native {
		return bodyReader{compress.NewReader(decoded), decoded}, nil
	}
	return decoded, nil
}

func decodeHTTP(body io.ReadCloser, encoding string) (io.ReadCloser, error) {
	switch encoding {
	case "":
		return body, nil
	case "gzip":
		z, err := gzip.NewReader(body)
		return z, err
	case "deflate":
		return zlib.NewReader(body)
	case "br":
		return bodyReader{brotli.NewReader(body), body}, nil
	case "lz4":
		return bodyReader{lz4.NewReader(body), body}, nil
	case "zstd":
		z, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return nil, errors.New("unknown encoding")
}

// bodyReader reads one thing and closes another.
type bodyReader struct {
	io.Reader
	io.Closer
}

// readPiece fills p as far as the body goes. A piece is the last, and without an
// error, only if the body ended where it should.
//
// The protocol's decompressor wraps the io.EOF of a clean end, and
// io.ErrUnexpectedEOF where the body breaks off inside a block.
func readPiece(body io.Reader, p []byte) (n int, last bool, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = body.Read(p[n:])
		n += k
	}
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return n, true, nil
	}
	return n, false, err
}

// externalTable is a table that a client sends along with its query.
type externalTable struct {
	name string
	rows []byte
}

// readMultipart reads a form: files become external tables, fields become
// parameters (URL parameters win). It returns nil for any other body.
func readMultipart(r *http.Request, params url.Values) ([]externalTable, error) {
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
		return nil, nil
	}
	malformed := func(err error) error {
		return refuse(codeCannotReadAllData, "Cannot read the form: %v. (CANNOT_READ_ALL_DATA)", err)
	}
	form, err := r.MultipartReader()
	if err != nil {
		return nil, malformed(err)
	}
	tables := []externalTable{}
	for {
		part, err := form.NextPart()
		if err == io.EOF { //nolint:errorlint // NextPart returns io.EOF itself at the form's end, and wraps it where the form breaks off
			return tables, nil
		}
		if err != nil {
			return nil, malformed(err)
		}
		content, err := io.ReadAll(io.LimitReader(part, maxStatementBytes+1))
		if err != nil {
			return nil, malformed(err)
		}
		if len(content) > maxStatementBytes {
			return nil, malformed(errors.New("a part is too large"))
		}
		name := part.FormName()
		_, disposition, _ := mime.ParseMediaType(part.Header.Get("Content-Disposition")) // FormName has read it already
		if _, isFile := disposition["filename"]; isFile || params.Has(name+"_structure") {
			tables = append(tables, externalTable{name, content})
		} else if !params.Has(name) {
			params.Set(name, string(content))
		}
	}
}

// create makes the table a temporary one of the session, as its parameters
// NAME_structure and NAME_format describe it.
func (t externalTable) create(conn *chdb.Conn, params url.Values) error {
	// The structure is SQL, as the interface defines it; who may send it may run any statement.
	if err := conn.Exec("CREATE TEMPORARY TABLE " + identifier(t.name) + " (" + params.Get(t.name+"_structure") + ")"); err != nil {
		return err
	}
	return insertBytes(conn, t.name, cmp.Or(params.Get(t.name+"_format"), "TabSeparated"), t.rows)
}

// insertBytes stores rows that are in memory.
func insertBytes(conn *chdb.Conn, table, format string, rows []byte) error {
	in, err := conn.Insert("INSERT INTO "+identifier(table), format, nil)
	if err != nil {
		return err
	}
	defer in.Free()
	if err := in.Append(rows); err != nil {
		return err
	}
	_, err = in.Finish()
	return err
}
