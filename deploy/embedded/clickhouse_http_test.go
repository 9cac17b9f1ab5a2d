// SPDX-License-Identifier: Apache-2.0

//go:build !noembedded && (linux || darwin) && (amd64 || arm64)

package embedded_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"lapwing/deploy/embedded"
)

// web is what curl would do.
type web struct {
	t  *testing.T
	ch *embedded.ClickHouse
}

func (w web) do(method, params string, body io.Reader, header ...string) (status int, answer string, h http.Header) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+w.ch.HTTPAddr+"/?"+params, body)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("X-ClickHouse-User", w.ch.User)
	req.Header.Set("X-ClickHouse-Key", w.ch.Password)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req) // which undoes no Content-Encoding that we ask for
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res.StatusCode, string(b), res.Header
}

// post runs a statement that must succeed, and returns its output.
func (w web) post(params, body string, header ...string) string {
	w.t.Helper()
	status, answer, _ := w.do(http.MethodPost, params, strings.NewReader(body), header...)
	if status != http.StatusOK {
		w.t.Fatalf("%s %.200s: %d %.500s", params, body, status, answer)
	}
	return answer
}

// refused runs a statement that must fail with a code.
func (w web) refused(code int, method, params, body string) {
	w.t.Helper()
	status, answer, h := w.do(method, params, strings.NewReader(body))
	if status < 400 || h.Get("X-ClickHouse-Exception-Code") != strconv.Itoa(code) || !strings.HasPrefix(answer, "Code: "+strconv.Itoa(code)+". DB::Exception: ") {
		w.t.Fatalf("%s %s: want code %d, have %d %s", params, body, code, status, answer)
	}
}

func (w web) is(got, want string) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("have %q, want %q", got, want)
	}
}

// TestClickHouseHTTP holds what curl, dashboards and scripts rely on.
func TestClickHouseHTTP(t *testing.T) {
	ch := start(t, embedded.ClickHouseConfig{Dir: t.TempDir()})
	web{t, ch}.post("", "CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a")
	for name, test := range map[string]func(web){
		"statement and data":  httpStatements,
		"formats":             httpFormats,
		"who may do what":     httpRights,
		"settings":            httpSettings,
		"sessions":            httpSessions,
		"compression":         httpCompression,
		"external tables":     httpExternal,
		"rows that break off": httpBrokenOff,
		"errors":              httpErrors,
	} {
		t.Run(name, func(t *testing.T) {
			web{t, ch}.post("", "TRUNCATE TABLE t")
			test(web{t, ch})
		})
	}
}

func httpStatements(w web) {
	q := url.QueryEscape
	w.is(w.post("", "SELECT 1 + 1"), "2\n")
	w.is(w.post("query="+q("SELECT 1"), "+ 1"), "2\n") // the body goes on where the parameter ends
	w.is(w.post("query="+q("SELECT {x:UInt8} + {y:UInt8}")+"&param_x=3&param_y=4", ""), "7\n")
	w.is(w.post("", "-- a comment\n/* another */ SELECT 'FORMAT JSON; -- no comment'"), "FORMAT JSON; -- no comment\n")
	w.post("query="+q("INSERT INTO t FORMAT CSV"), "1,one\n2,two\n")
	w.post("query="+q("INSERT INTO t (s, a) VALUES"), "('three', 3), ('it''s; four', 4)")
	w.post("", "INSERT INTO t VALUES (5, 'five')")
	w.post("", "INSERT INTO t FORMAT JSONEachRow\n{\"a\":6,\"s\":\"six\"}\n")
	w.post("", "insert into t select 7, 'seven'")
	w.post("", "INSERT INTO t (a) SETTINGS max_threads = 1 VALUES (8)")
	w.is(w.post("", "SELECT groupArray((a, s)) FROM (SELECT * FROM t ORDER BY a)"),
		`[(1,'one'),(2,'two'),(3,'three'),(4,'it\'s; four'),(5,'five'),(6,'six'),(7,'seven'),(8,'')]`+"\n")
	// More than one read of the body, with the statement in its first bytes.
	var big strings.Builder
	big.WriteString("INSERT INTO t FORMAT TSV\n")
	for i := range 100_000 {
		big.WriteString("10\tsome text that makes the row long enough " + strconv.Itoa(i) + "\n")
	}
	w.post("", big.String())
	w.is(w.post("", "SELECT count(), uniqExact(s) FROM t WHERE a = 10"), "100000\t100000\n")
	w.is(w.post("max_query_size=10000000", "SELECT length('"+strings.Repeat("x", 3<<20)+"')"), "3145728\n")
}

func httpFormats(w web) {
	w.is(w.post("default_format=CSV", "SELECT 1, 'a'"), "1,\"a\"\n")
	w.is(w.post("", "SELECT 1, 'a'", "X-ClickHouse-Format", "JSONCompactEachRow"), "[1, \"a\"]\n")
	w.is(w.post("default_format=CSV", "SELECT 1 AS n FORMAT JSONEachRow"), "{\"n\":1}\n")
	_, answer, h := w.do(http.MethodPost, "query_id=mine", strings.NewReader("SELECT number FROM numbers(3) FORMAT JSON"))
	var doc struct {
		Data []struct{ Number json.Number }
		Rows int
	}
	if err := json.Unmarshal([]byte(answer), &doc); err != nil || doc.Rows != 3 || len(doc.Data) != 3 {
		w.t.Errorf("%v: %s", err, answer)
	}
	w.is(h.Get("Content-Type")+" "+h.Get("X-ClickHouse-Format")+" "+h.Get("X-ClickHouse-Query-Id"), "application/json; charset=UTF-8 JSON mine")
	if !strings.Contains(h.Get("X-ClickHouse-Summary"), `"result_rows":"3"`) {
		w.t.Error(h.Get("X-ClickHouse-Summary"))
	}
	w.is(w.post("", "SELECT number FROM numbers(2) FORMAT CSVWithNames SETTINGS max_block_size = 1"), "\"number\"\n0\n1\n") // one header
}

func httpRights(w web) {
	get := func(params string, header ...string) (int, string) {
		status, answer, _ := w.do(http.MethodGet, params, nil, header...)
		return status, answer
	}
	if status, answer := get("", "X-ClickHouse-Key", "wrong"); status != 200 || answer != "Ok.\n" { // says only that it is there
		w.t.Error(status, answer)
	}
	noHeader := []string{"X-ClickHouse-User", "", "X-ClickHouse-Key", ""}
	select1 := "query=SELECT+1"
	if status, answer := get(select1, noHeader...); status != http.StatusForbidden || !strings.HasPrefix(answer, "Code: 516.") {
		w.t.Error(status, answer)
	}
	if status, answer := get(select1+"&user=default&password="+w.ch.Password, noHeader...); status != 200 {
		w.t.Error(status, answer)
	}
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "http://"+w.ch.HTTPAddr+"/?"+select1, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.SetBasicAuth(w.ch.User, w.ch.Password)
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.StatusCode != 200 {
		w.t.Error(res, err)
	} else {
		_ = res.Body.Close()
	}
	w.refused(164, http.MethodGet, "query="+url.QueryEscape("INSERT INTO t VALUES (1, 'a')"), "")
	w.refused(164, http.MethodGet, "query="+url.QueryEscape("DROP TABLE t"), "")
	w.refused(164, http.MethodGet, "session_id=reader&query="+url.QueryEscape("DROP TABLE t"), "")
	w.is(w.post("", "SELECT count() FROM t"), "0\n")
}

func httpSettings(w web) {
	w.is(w.post("max_block_size=7", "SELECT getSetting('max_block_size')"), "7\n")
	w.refused(115, http.MethodPost, "no_such_setting=1", "SELECT 1")
	w.post("", "CREATE DATABASE other ENGINE = Atomic")
	w.is(w.post("database=other", "SELECT currentDatabase()"), "other\n")
	w.is(w.post("database=default", "SELECT currentDatabase()"), w.ch.Database+"\n")
	w.is(w.post("", "SELECT currentDatabase()", "X-ClickHouse-Database", "other"), "other\n")
	w.refused(81, http.MethodPost, "database=nope", "SELECT 1")
	w.post("", "DROP DATABASE other")
}

func httpSessions(w web) {
	w.refused(372, http.MethodPost, "session_id=s&session_check=1", "SELECT 1")
	w.post("session_id=s", "CREATE TEMPORARY TABLE mine (a Int8)")
	w.post("session_id=s", "INSERT INTO mine VALUES (5)")
	w.post("session_id=s", "SET max_threads = 3")
	w.is(w.post("session_id=s&max_threads=2", "SELECT a, getSetting('max_threads') FROM mine"), "5\t2\n")
	w.is(w.post("session_id=s&session_check=1", "SELECT a, getSetting('max_threads') FROM mine"), "5\t3\n") // its own again
	for range 8 {                                                                                           // in any order: a refused setting takes those beside it along
		w.refused(115, http.MethodPost, "session_id=s&max_threads=7&no_such_setting=1", "SELECT 1")
		w.is(w.post("session_id=s", "SELECT getSetting('max_threads')"), "3\n")
	}
	w.is(w.post("session_id=s", "SELECT currentDatabase()"), w.ch.Database+"\n")
	w.refused(60, http.MethodPost, "session_id=another", "SELECT a FROM mine")
	w.post("session_id=s&close_session=1", "SELECT 1")
	w.refused(372, http.MethodPost, "session_id=s&session_check=1", "SELECT 1")
}

func httpCompression(w web) {
	var z bytes.Buffer
	g := gzip.NewWriter(&z)
	if _, err := io.WriteString(g, "1,one\n"); err != nil {
		w.t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.post("query="+url.QueryEscape("INSERT INTO t FORMAT CSV"), z.String(), "Content-Encoding", "gzip")
	_, answer, h := w.do(http.MethodPost, "enable_http_compression=1", strings.NewReader("SELECT * FROM t"), "Accept-Encoding", "gzip")
	w.is(h.Get("Content-Encoding"), "gzip")
	r, err := gzip.NewReader(strings.NewReader(answer))
	if err != nil {
		w.t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	w.is(string(plain), "1\tone\n")
	if err != nil {
		w.t.Error(err)
	}
	_, answer, h = w.do(http.MethodPost, "enable_http_compression=1", strings.NewReader("SELECT * FROM t WHERE 0"), "Accept-Encoding", "gzip")
	w.is(answer+h.Get("Content-Encoding"), "")
	_, _, h = w.do(http.MethodPost, "", strings.NewReader("SELECT * FROM t"), "Accept-Encoding", "gzip")
	w.is(h.Get("Content-Encoding"), "")
	status, answer, _ := w.do(http.MethodPost, "query="+url.QueryEscape("INSERT INTO t FORMAT CSV"), strings.NewReader("x"), "Content-Encoding", "gzip")
	if status == 200 {
		w.t.Error("a body that is no gzip was taken:", answer)
	}
}

func httpExternal(w web) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	file, err := form.CreateFormFile("sent", "sent.csv")
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := io.WriteString(file, "1,one\n2,two\n"); err != nil {
		w.t.Fatal(err)
	}
	if err := form.WriteField("query", "SELECT sum(a), max(b) FROM sent"); err != nil {
		w.t.Fatal(err)
	}
	if err := form.Close(); err != nil {
		w.t.Fatal(err)
	}
	_, answer, _ := w.do(http.MethodPost, "sent_format=CSV&sent_structure="+url.QueryEscape("a UInt8, b String"), &body, "Content-Type", form.FormDataContentType())
	w.is(answer, "3\ttwo\n")
}

// httpBrokenOff sends an insert whose connection ends amid the rows.
func httpBrokenOff(w web) {
	conn, err := net.Dial("tcp", w.ch.HTTPAddr)
	if err != nil {
		w.t.Fatal(err)
	}
	rows := strings.Repeat("1,one\n", 1000)
	_, err = io.WriteString(conn, "POST /?query=INSERT+INTO+t+FORMAT+CSV HTTP/1.1\r\nHost: x\r\nX-ClickHouse-User: default\r\nX-ClickHouse-Key: "+w.ch.Password+
		"\r\nContent-Length: "+strconv.Itoa(2*len(rows))+"\r\n\r\n"+rows)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		w.t.Fatal(err)
	}
	eventually(w.t, "the insert is gone", func() bool {
		return w.post("", "SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO t%'") == "0\n"
	})
	w.is(w.post("", "SELECT count() FROM t"), "0\n")
}

func httpErrors(w web) {
	w.refused(62, http.MethodPost, "", "")
	w.refused(62, http.MethodPost, "", " -- nothing")
	w.refused(62, http.MethodPost, "", "SELECT (")
	w.refused(60, http.MethodPost, "", "SELECT * FROM nope")
	w.refused(27, http.MethodPost, "query=INSERT+INTO+t+FORMAT+CSV", "x,y\n")
	for _, lossy := range []string{
		"INSERT INTO t SELECT a, s FROM input('a UInt64, s String') FORMAT CSV\n1,one\n",
		"INSERT INTO t SELECT a, s FROM /* */ INPUT ('a UInt64, s String') FORMAT CSV\n1,one\n",
		"INSERT INTO t SELECT a, s FROM `input`('a UInt64, s String') FORMAT CSV\n1,one\n",
		"INSERT INTO t WITH 1 AS one SELECT a, s FROM (SELECT * FROM input('a UInt64, s String')) FORMAT CSV\n1,one\n",
	} {
		w.refused(48, http.MethodPost, "", lossy)
	}
	w.is(w.post("", "SELECT count() FROM t"), "0\n")
	status, answer, h := w.do(http.MethodPost, "", strings.NewReader("SELECT throwIf(number = 5) FROM numbers(10) SETTINGS max_block_size = 1, max_threads = 1"))
	if status != 200 || !strings.Contains(answer, "__exception__\r\n"+h.Get("X-ClickHouse-Exception-Tag")+"\r\nCode: 395. ") {
		w.t.Errorf("an exception amid the rows: %d %q", status, answer)
	}
}

// TestClickHouseNativeSession holds what the connections of the native protocol
// keep from one query to the next, and what not.
func TestClickHouseNativeSession(t *testing.T) {
	ch := start(t, embedded.ClickHouseConfig{Dir: t.TempDir()})
	ctx := t.Context()
	// One connection of database/sql: the driver's own pool may dial another one for
	// the next query, since it gives a place free before it keeps the connection.
	db := clickhouse.OpenDB(ch.Options())
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	exec := func(query string) {
		t.Helper()
		if _, err := conn.ExecContext(ctx, query); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	threads := func(settings clickhouse.Settings) (n uint64) {
		t.Helper()
		ctx := clickhouse.Context(ctx, clickhouse.WithSettings(settings))
		if err := conn.QueryRowContext(ctx, "SELECT toUInt64(getSetting('max_threads'))").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := threads(nil)
	exec("SET max_threads = 3")
	if n := threads(clickhouse.Settings{"max_threads": 2}); n != 2 {
		t.Errorf("max_threads is %d in a query that sets 2", n)
	}
	if n := threads(nil); n != 3 {
		t.Errorf("max_threads is %d after that, 3 was SET for the session", n)
	}
	exec("CREATE TEMPORARY TABLE mine (a Int8)")
	exec("INSERT INTO mine VALUES (5)")
	var a int8
	if err := conn.QueryRowContext(ctx, "SELECT a FROM mine").Scan(&a); err != nil || a != 5 {
		t.Error(a, err)
	}
	// Another connection has neither.
	fresh := openClient(t, ch.Options())
	if n := scalar[uint64](ctx, t, fresh, "SELECT toUInt64(getSetting('max_threads'))"); n != before {
		t.Errorf("max_threads is %d on a fresh connection, %d is the default", n, before)
	}
	wantCode(t, fresh.Exec(ctx, "SELECT a FROM mine"), 60)
}

// TestClickHouseNativeTakesNoNonsense sends what no client sends.
func TestClickHouseNativeTakesNoNonsense(t *testing.T) {
	ch := start(t, embedded.ClickHouseConfig{Dir: t.TempDir()})
	for name, packet := range map[string]string{
		"HTTP":                "GET / HTTP/1.1\r\n\r\n",
		"an endless number":   "\x00" + strings.Repeat("\xff", 100),
		"a text of 8 EiB":     "\x00\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
		"a text of 1 GiB":     "\x00\x80\x80\x80\x80\x04",
		"a query at the door": "\x01",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", ch.NativeAddr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, packet); err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(conn); len(b) > 0 || err != nil && strings.Contains(err.Error(), "timeout") {
				t.Errorf("answer %q, %v", b, err)
			}
		})
	}
	mustExec(t, openClient(t, ch.Options()), "SELECT 1")
}
