// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"lapwing/schemas/explanation"
	"lapwing/schemas/record"
	"lapwing/stream"
)

// told is a worker of a test: what it says of every customer.
type told struct {
	err   error
	asked []string
}

func (w *told) Explain(_ context.Context, id string) (*explanation.Explanation, error) {
	w.asked = append(w.asked, id)
	if w.err != nil {
		return nil, w.err
	}
	return &explanation.Explanation{CustomerID: id, Definition: "d", TimeZone: "UTC", ForgottenAt: explanation.None}, nil
}

func (w *told) Profile(_ context.Context, id string) (*record.Profile, error) {
	w.asked = append(w.asked, id)
	if w.err != nil {
		return nil, w.err
	}
	return &record.Profile{CustomerID: id}, nil
}

// instance serves a worker's answers.
func instance(t *testing.T, name string, worker customers) (address string) {
	t.Helper()
	api := newCustomerAPI(worker, name, zap.NewNop())
	mux := http.NewServeMux()
	api.add(mux)
	server := httptest.NewServer(mux)
	t.Cleanup(func() { server.Close(); api.client.CloseIdleConnections() })
	return server.Listener.Addr().String()
}

func getWhole(t *testing.T, url string, header ...string) (status int, retry string, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header.Get("Retry-After"), b.String()
}

// "Any worker answers for any customer", whatever the customer's id is made of.
func TestQuestionsArePassedToTheOwner(t *testing.T) {
	owner := &told{}
	there := instance(t, "two", owner)
	here := instance(t, "one", &told{err: &stream.Elsewhere{Lane: 3, Instance: "two", HTTP: there}})
	for _, id := range []string{"u1", "a/b", ".", "..", "ü x", "%2F", "a?b#c", "1+1", "a&b"} {
		for _, what := range []string{"explain", "profile"} {
			status, _, body := getWhole(t, here+"/v1/customers/"+pathSegment(id)+"/"+what)
			var said struct {
				ID string `json:"customer_id"`
			}
			if err := json.Unmarshal([]byte(body), &said); status != 200 || err != nil || said.ID != id {
				t.Errorf("%s of %q: %d %s", what, id, status, body)
			}
		}
	}
	if len(owner.asked) != 18 {
		t.Errorf("the owner was asked %d times, not 18", len(owner.asked))
	}
}

// "once, no loops": two instances that take each other for the owner.
func TestQuestionsDoNotGoInCircles(t *testing.T) {
	one, two := &told{}, &told{}
	a, b := instance(t, "one", one), instance(t, "two", two)
	one.err = &stream.Elsewhere{Lane: 3, Instance: "two", HTTP: b}
	two.err = &stream.Elsewhere{Lane: 3, Instance: "one", HTTP: a}
	status, retry, body := getWhole(t, a+"/v1/customers/u1/explain")
	if status != 503 || retry != "1" || !strings.Contains(body, "computed by instance one by now; ask again") {
		t.Errorf("%d %q %s", status, retry, body)
	}
	if len(one.asked) != 1 || len(two.asked) != 1 {
		t.Errorf("asked %d and %d times, not once each", len(one.asked), len(two.asked))
	}
}

// What cannot be answered says why, by whom it could be, and what to do.
func TestQuestionsThatCannotBeAnswered(t *testing.T) {
	var config net.ListenConfig
	gone, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := gone.Addr().String()
	_ = gone.Close() // nobody listens there any more
	other := instance(t, "three", &told{})
	for _, c := range []struct {
		name   string
		worker customers
		status int
		retry  string
		want   []string
	}{
		{"unknown", &told{err: stream.ErrNoCustomer}, 404, "", []string{"no customer of that id is known"}},
		{"restored", &told{err: &stream.NotYet{Reason: "lane 3, which holds the customer, is being restored", Retry: 2 * time.Second}}, 503, "2", []string{"is being restored; ask again"}},
		{"no address", &told{err: &stream.Elsewhere{Lane: 3, Instance: "two"}}, 503, "", []string{`"instance":"two"`, "lane 3", "does not say where it is reached", "set `advertise`"}},
		{"away", &told{err: &stream.Elsewhere{Lane: 3, Instance: "two", HTTP: nobody}}, 503, "", []string{`"instance":"two"`, "reached at " + nobody, "connection refused", "see that it runs", "`advertise`"}},
		{"somebody else", &told{err: &stream.Elsewhere{Lane: 3, Instance: "two", HTTP: other}}, 503, "", []string{`"instance":"two"`, "another instance answers there", "`advertise`"}},
		{"damaged", &told{err: errors.New("secret")}, 500, "", []string{"the log says why"}},
		{"no stream", nil, 501, "", []string{"no role stream"}},
	} {
		at := instance(t, "one", c.worker)
		status, retry, body := getWhole(t, at+"/v1/customers/u1/profile")
		if status != c.status || retry != c.retry {
			t.Errorf("%s: %d, again after %q; want %d, %q: %s", c.name, status, retry, c.status, c.retry, body)
		}
		for _, want := range c.want {
			if !strings.Contains(body, want) {
				t.Errorf("%s: %s does not say %q", c.name, body, want)
			}
		}
	}
	if status, _, body := getWhole(t, other+"/v1/customers/u1/explain", expectedHeader, "two"); status != http.StatusMisdirectedRequest {
		t.Errorf("what is meant for another: %d %s", status, body)
	}
}

// Customers' data is on loopback addresses alone, but where advertise says otherwise.
func TestCustomersAreServedOnLoopback(t *testing.T) {
	for _, c := range []struct {
		http, advertise string
		status          int
	}{{"127.0.0.1:0", "", 200}, {"0.0.0.0:0", "", 403}, {"0.0.0.0:0", "host:9644", 200}} {
		serving, stop := servedWith(t, &config{HTTP: c.http, Advertise: c.advertise}, nil, &told{})
		at := strings.Replace(strings.Replace(serving[0], "[::]", "127.0.0.1", 1), "0.0.0.0", "127.0.0.1", 1)
		if status, _, body := getWhole(t, at+"/v1/customers/u1/profile"); status != c.status {
			t.Errorf("http %s, advertise %q: %d %s", c.http, c.advertise, status, body)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}

// Where others reach this process is http itself only if that is a loopback address.
func TestAdvertised(t *testing.T) {
	for _, c := range []struct{ http, advertise, want, wrong string }{
		{"127.0.0.1:9644", "", "127.0.0.1:9644", ""},
		{"localhost:1", "", "localhost:1", ""},
		{"0.0.0.0:9644", "", "", ""},
		{"0.0.0.0:9644", "host-1:9644", "host-1:9644", ""},
		{"0.0.0.0:9644", "0.0.0.0:9644", "", `advertise is "0.0.0.0:9644": want the host:port`},
		{"127.0.0.1:1", "host", "", `advertise is "host": want the host:port`},
	} {
		conf := defaultConfig()
		conf.Definition, conf.HTTP, conf.Advertise = "preset:customer-value", c.http, c.advertise
		conf.Stream.Inputs = []stream.Input{{Topic: "events"}}
		err := conf.complete(noEnv)
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%+v: %v", c, err)
			}
		} else if err != nil || conf.Stream.Advertise != c.want {
			t.Errorf("%+v: %q, %v", c, conf.Stream.Advertise, err)
		}
	}
}

// The commands' exit codes: 0 an answer, 1 no such customer, 2 usage, 3 no worker.
func TestAskingCommands(t *testing.T) {
	fine := "http://" + instance(t, "one", &told{})
	unknown := "http://" + instance(t, "one", &told{err: stream.ErrNoCustomer})
	elsewhere := "http://" + instance(t, "one", &told{err: &stream.Elsewhere{Lane: 3, Instance: "two"}})
	strange := httptest.NewServer(http.NotFoundHandler())
	defer strange.Close()
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"explain", "u1", "--url", fine}, exitFine, "customer u1 on "},
		{[]string{"explain", "u1", "--url", fine, "--format", "json"}, exitFine, `"customer_id": "u1"`},
		{[]string{"profile", "a/b", "--url", fine}, exitFine, "customer a/b\n"},
		{[]string{"profile", "u1", "--url", fine, "--format", "json"}, exitFine, `"kind": "profile"`},
		{[]string{"explain", "u1", "--url", unknown}, exitInput, `"u1": no customer of that id is known`},
		{[]string{"profile", "u1", "--url", unknown}, exitInput, `"u1": no customer of that id is known`},
		{[]string{"explain", "u1", "--url", elsewhere}, exitUnreachable, "set `advertise` in its configuration"},
		{[]string{"explain", "u1", "--url", strange.URL}, exitUnreachable, "answers 404, which no worker"},
		{[]string{"explain", "u1", "--url", "http://127.0.0.1:1"}, exitUnreachable, "start one with `lapwing run -c FILE`, or say where one is with --url"},
		{[]string{"explain", "u1", "--url", "127.0.0.1:1"}, exitUsage, "want such as http://127.0.0.1:9644"},
		{[]string{"explain"}, exitUsage, "accepts 1 arg(s), received 0; write `lapwing explain CUSTOMER`; see `lapwing explain --help`"},
		{[]string{"explain", ""}, exitUsage, "say which customer"},
		{[]string{"profile", "u1", "--format", "xml"}, exitUsage, "want text or json"},
		{[]string{"profile", "u1", "-c", "nothing.yaml"}, exitInput, "there is no file nothing.yaml"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), c.args, noEnv, strings.NewReader(""), &stdout, &stderr); code != c.code || !strings.Contains(stdout.String()+stderr.String(), c.want) {
			t.Errorf("lapwing %s: exit %d, want %d and %q\n%s%s", strings.Join(c.args, " "), code, c.code, c.want, stdout.String(), stderr.String())
		}
	}
}

// An explanation that is printed as JSON can be read again, to the last field.
func TestExplanationJSON(t *testing.T) {
	x := explanation.Explanation{
		CustomerID: "u1", At: 1, ForgottenAt: explanation.None,
		Models: []explanation.Model{{Model: "m", Stage: "s", Since: 2, Stages: []explanation.Stage{{Stage: "s", Condition: explanation.Condition{
			Text: "a && b", Operator: "&&", Value: json.RawMessage("null"), Until: explanation.None,
		}}}}},
	}
	var b bytes.Buffer
	if err := writeJSON(&b, x); err != nil || !strings.Contains(b.String(), "a && b") {
		t.Fatalf("%v: %s", err, b.String())
	}
	var again explanation.Explanation
	if err := json.Unmarshal(b.Bytes(), &again); err != nil || again.Models[0].Since != 2 || again.ForgottenAt != explanation.None {
		t.Errorf("%v: %+v", err, again)
	}
	if err := json.Unmarshal([]byte(`{"at":"yesterday"}`), &again); err == nil || !strings.Contains(err.Error(), `"yesterday" is none`) {
		t.Errorf("a time that is none: %v", err)
	}
}

// A page that has its own name lead to this machine's loopback address reads nothing.
func TestLoopbackIsNotServedUnderOtherNames(t *testing.T) {
	api := newCustomerAPI(&told{}, "one", zap.NewNop())
	api.local = true
	mux := http.NewServeMux()
	api.add(mux)
	for host, want := range map[string]int{
		"127.0.0.1:9644": http.StatusOK, "localhost:9644": http.StatusOK, "[::1]:9644": http.StatusOK, "localhost": http.StatusOK,
		"page.example:9644": http.StatusForbidden, "localhost.page.example": http.StatusForbidden, "": http.StatusForbidden,
	} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/customers/u1/profile", nil)
		request.Host = host
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, request)
		if answer.Code != want {
			t.Errorf("host %q: %d, want %d: %s", host, answer.Code, want, answer.Body)
		}
	}
}
