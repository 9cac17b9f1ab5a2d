// SPDX-License-Identifier: Apache-2.0

//go:build !noembedded && (linux || darwin) && (amd64 || arm64)

package chfront

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"lapwing/deploy/embedded/chdb"
)

// maxStatementBytes bounds a statement; the rows of an INSERT have no bound.
const maxStatementBytes = 64 << 20

// reserved are URL parameters of the interface itself; all others are settings.
var reserved = map[string]bool{
	"query": true, "database": true, "default_format": true, "user": true, "password": true, "quota_key": true, "role": true,
	"session_id": true, "session_timeout": true, "session_check": true, "close_session": true, "query_id": true, "stacktrace": true,
	"buffer_size": true, "wait_end_of_query": true, "compress": true, "decompress": true, "client_protocol_version": true,
	"enable_http_compression": true, "http_write_exception_in_output_format": true, "add_http_cors_header": true,
	"network_compression_method": true, "network_zstd_compression_level": true, "send_progress_in_http_headers": true,
}

// ServeHTTP answers one request of ClickHouse's HTTP interface.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-ClickHouse-Server-Display-Name", "embedded")
	w.Header().Set("X-ClickHouse-Timezone", "UTC")
	params, err := url.ParseQuery(r.URL.RawQuery)
	switch {
	case err != nil:
		err = refuse(codeSyntaxError, "Cannot read the URL's parameters: %v. (SYNTAX_ERROR)", err)
	case r.URL.Path == "/ping", r.URL.Path == "/" && r.Method == http.MethodGet && !params.Has("query"):
		_, _ = io.WriteString(w, "Ok.\n") // the client is gone if this fails
		return
	default:
		err = s.serveHTTP(w, r, params)
	}
	if err != nil {
		writeException(w, asException(err))
	}
}

// writeException answers with an error; nothing of the body has been sent.
func writeException(w http.ResponseWriter, e *exception) {
	h := w.Header()
	h.Set("X-ClickHouse-Exception-Code", strconv.Itoa(e.code))
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	h.Del("Content-Encoding")
	w.WriteHeader(httpStatus(e.code))
	_, _ = io.WriteString(w, e.Error()+" (version 26.7 (embedded))\n") //nolint:gosec // G705: plain text, as the header says
}

func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request, params url.Values) error {
	if err := s.authenticate(credentials(r, params)); err != nil {
		return err
	}
	end, err := s.begin()
	if err != nil {
		return err
	}
	defer end()

	tag := newTag()
	conn, release, err := s.httpSession(params, tag)
	if err != nil {
		return err
	}
	defer release()
	stop := s.killWhenDone(r.Context(), tag)
	defer stop()

	w.Header().Set("X-ClickHouse-Query-Id", cmp.Or(params.Get("query_id"), tag))
	body := r.Body
	var tables []externalTable
	if !safeMethod(r) {
		if tables, err = readMultipart(r, params); err != nil {
			return err
		}
		if tables != nil {
			body = http.NoBody
		}
		if body, err = decodeBody(body, r.Header.Get("Content-Encoding"), params.Get("decompress") == "1"); err != nil {
			return err
		}
		defer func() { _ = body.Close() }() // it was only read
	}
	queryParams, undo, err := s.prepareSession(conn, r, params, tables, tag)
	if err != nil {
		return err
	}
	defer func() {
		if params.Get("session_id") == "" {
			return // the session ends with the request
		}
		if err := undo(); err != nil { // the answer has been given
			s.log.Warn("cannot put back the settings of a session", zap.Error(err))
		}
	}()
	req := &httpRequest{w: w, r: r, conn: conn, params: params, queryParams: queryParams, start: time.Now()}
	return req.run(body)
}

// safeMethod tells that the request may only read.
func safeMethod(r *http.Request) bool {
	return r.Method == http.MethodGet || r.Method == http.MethodHead
}

// credentials finds the user and password where the server looks for them.
func credentials(r *http.Request, params url.Values) (user, password string) {
	if u := r.Header.Get("X-ClickHouse-User"); u != "" {
		return u, r.Header.Get("X-ClickHouse-Key")
	}
	if u, p, ok := r.BasicAuth(); ok {
		return u, p
	}
	return cmp.Or(params.Get("user"), "default"), params.Get("password")
}

// httpSession gives the request its engine session: one of its own, or the one
// it names. The caller calls release once.
func (s *Server) httpSession(params url.Values, tag string) (conn *chdb.Conn, release func(), err error) {
	id := params.Get("session_id")
	if id == "" {
		if conn, err = s.connect(tag); err != nil {
			return nil, nil, err
		}
		return conn, conn.Close, nil
	}
	conn, giveBack, err := s.sessions.take(id, params.Get("session_timeout"), params.Get("session_check") == "1", tag)
	if err != nil {
		return nil, nil, err
	}
	release = func() {
		giveBack()
		if params.Get("close_session") == "1" {
			s.sessions.drop(id)
		}
	}
	return conn, release, nil
}

// prepareSession sets the database, the external tables and the settings that
// the request brings along, and returns the query parameters ({name:Type}) and
// what undoes the settings.
func (s *Server) prepareSession(conn *chdb.Conn, r *http.Request, params url.Values, tables []externalTable, tag string) (queryParams map[string]string, undo func() error, err error) {
	named := params.Get("session_id") != ""
	database := cmp.Or(r.Header.Get("X-ClickHouse-Database"), params.Get("database"))
	if database != "" || !named {
		err = s.useDatabase(conn, database)
	} else { // it may have said USE
		err = s.leaveDefault(conn)
	}
	if err != nil {
		return nil, nil, err
	}
	ofTables := map[string]bool{}
	for _, t := range tables {
		ofTables[t.name+"_format"], ofTables[t.name+"_structure"], ofTables[t.name+"_types"] = true, true, true
		if err := t.create(conn, params); err != nil {
			return nil, nil, err
		}
	}
	queryParams = map[string]string{}
	var settings []setting
	for name := range params {
		if p, ok := strings.CutPrefix(name, "param_"); ok {
			queryParams[p] = params.Get(name)
		} else if !reserved[name] && !ofTables[name] {
			settings = append(settings, setting{name, params.Get(name)})
		}
	}
	// A link must not change data. A session could never leave this mode again:
	// there httpRequest.run looks at the statement.
	if safeMethod(r) && !named && !params.Has("readonly") {
		settings = append(settings, setting{"readonly", "2"})
	}
	undo, err = applySettings(conn, tag, settings, named)
	return queryParams, undo, err
}

// leaveDefault moves a session that is still in the engine's own default
// database, as a new one is, to the configured one.
func (s *Server) leaveDefault(conn *chdb.Conn) error {
	res, err := conn.Query("SELECT currentDatabase()", "TabSeparatedRaw", nil)
	if err != nil {
		return err
	}
	defer res.Free()
	if strings.TrimSpace(string(res.Bytes())) != "default" {
		return nil
	}
	return s.useDatabase(conn, "")
}

// httpRequest is one statement over HTTP.
type httpRequest struct {
	w           http.ResponseWriter
	r           *http.Request
	conn        *chdb.Conn
	params      url.Values
	queryParams map[string]string
	start       time.Time
}

// run executes the statement: the query parameter, followed by the body.
func (q *httpRequest) run(body io.Reader) error {
	sql := q.params.Get("query")
	st := parse(sql)
	if st.kind != kindInsert { // else the whole body is data
		var err error
		if sql, st, err = readStatement(sql, body); err != nil {
			return err
		}
	}
	switch {
	case st.bare == "":
		return errEmptyQuery
	case st.kind == kindLossy:
		return errInputFunction
	case st.kind != kindSelect && safeMethod(q.r) && q.params.Get("session_id") != "":
		return refuse(codeReadonly, "Cannot execute query in readonly mode: in a session, GET is for SELECT, use POST. (READONLY)")
	case st.kind == kindInsert:
		return q.insert(st, body)
	}
	format := cmp.Or(q.r.Header.Get("X-ClickHouse-Format"), q.params.Get("default_format"), "TabSeparated")
	out, err := newOutput(q.w, q.r, q.params, cmp.Or(st.format, format))
	if err != nil {
		return err
	}
	if st.kind == kindSelect && out.joinable {
		return q.stream(out, sql, format)
	}
	res, err := q.conn.Query(sql, format, q.queryParams)
	if err != nil {
		return err
	}
	defer res.Free()
	writeSummary(q.w.Header(), res.Counts(), q.start)
	if err := out.write(res.Bytes()); err != nil {
		return out.fail(err)
	}
	return out.close()
}

var errEmptyQuery = refuse(codeSyntaxError, "Syntax error: empty query. (SYNTAX_ERROR)")

// errInputFunction refuses what the engine would report as a success while
// storing nothing.
var errInputFunction = refuse(codeNotImplemented,
	"INSERT ... SELECT ... FROM input() is not supported by the embedded engine: insert with FORMAT, or from a table. (NOT_IMPLEMENTED)")

// readStatement completes a statement from the body. Of an INSERT only the
// beginning of the body is read, and what is data in it comes back in st.data.
func readStatement(sql string, body io.Reader) (string, statement, error) {
	const firstRead = 1 << 20
	head, err := io.ReadAll(io.LimitReader(body, firstRead))
	if err != nil {
		return "", statement{}, refuse(codeCannotReadAllData, "Cannot read the request: %v. (CANNOT_READ_ALL_DATA)", err)
	}
	if sql != "" && len(head) > 0 {
		sql += "\n"
	}
	sql += string(head)
	st := parse(sql)
	if st.kind == kindInsert || len(head) < firstRead {
		return sql, st, nil
	}
	rest, err := io.ReadAll(io.LimitReader(body, maxStatementBytes))
	if err != nil {
		return "", statement{}, refuse(codeCannotReadAllData, "Cannot read the request: %v. (CANNOT_READ_ALL_DATA)", err)
	}
	if len(rest) == maxStatementBytes {
		return "", statement{}, refuse(codeSyntaxError, "Syntax error: the statement is longer than %d bytes. (SYNTAX_ERROR)", maxStatementBytes)
	}
	sql += string(rest)
	return sql, parse(sql), nil
}

// stream sends a SELECT's output block by block.
func (q *httpRequest) stream(out *output, sql, format string) error {
	s, err := q.conn.Stream(sql, format, q.queryParams)
	if err != nil {
		return err
	}
	defer s.Free()
	for {
		chunk, err := s.Next()
		if err != nil {
			return out.fail(err)
		}
		if chunk == nil {
			return out.close()
		}
		err = context.Cause(q.r.Context())
		if err == nil {
			err = out.write(chunk.Bytes())
		}
		chunk.Free()
		if err != nil {
			s.Stop()
			return out.fail(err)
		}
	}
}

// insert feeds the data behind the statement, then the body, to the engine.
func (q *httpRequest) insert(st statement, body io.Reader) error {
	in, err := q.conn.Insert(st.head, st.format, q.queryParams)
	if err != nil {
		return err
	}
	defer in.Free()
	if err := in.Append([]byte(st.data)); err != nil {
		return err
	}
	if err := appendAll(in, body); err != nil {
		return err
	}
	counts, err := in.Finish()
	if err != nil {
		return err
	}
	writeSummary(q.w.Header(), counts, q.start)
	q.w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	q.w.WriteHeader(http.StatusOK)
	return nil
}

// appendAll hands over a body in large pieces. A body that breaks off cancels
// the insert: nothing of it is stored.
func appendAll(in *chdb.Insert, body io.Reader) error {
	piece := make([]byte, 1<<20)
	for {
		n, last, err := readPiece(body, piece)
		if err != nil {
			in.Cancel()
			return refuse(codeCannotReadAllData, "Cannot read the rows, the insert is dropped: %v. (CANNOT_READ_ALL_DATA)", err)
		}
		if appendErr := in.Append(piece[:n]); appendErr != nil {
			return appendErr
		}
		if last {
			return nil
		}
	}
}
