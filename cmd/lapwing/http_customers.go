// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"lapwing/schemas/explanation"
	"lapwing/schemas/record"
	"lapwing/stream"
)

const (
	// expectedHeader names the instance that a forwarded question is meant for: it is not
	// forwarded again.
	expectedHeader = "Lapwing-Instance"
	// forwardTimeout bounds how long another instance may take to answer.
	forwardTimeout = 15 * time.Second
	// maxAnswerBytes bounds what another instance may answer.
	maxAnswerBytes = 64 << 20
)

// customers is what a worker tells of a customer.
type customers interface {
	Explain(ctx context.Context, customer string) (*explanation.Explanation, error)
	Profile(ctx context.Context, customer string) (*record.Profile, error)
}

// customerAPI answers questions about customers: itself those of its own lanes, and from
// the instance that has the lane all others.
type customerAPI struct {
	worker   customers // nil: this process has no lanes
	instance string
	closed   bool // the address is not for customers' data
	local    bool // a loopback address: no other name leads here than a page's trick
	client   *http.Client
	log      *zap.Logger
}

func newCustomerAPI(worker customers, instance string, log *zap.Logger) *customerAPI {
	return &customerAPI{
		worker: worker, instance: instance, log: log,
		client: &http.Client{
			Timeout:       forwardTimeout,
			Transport:     &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute}, // no proxy of the environment
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// add adds the routes.
func (c *customerAPI) add(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/customers/{id}/explain", bounded(c.answer("explain", func(ctx context.Context, id string) (any, error) {
		return c.worker.Explain(ctx, id)
	})))
	mux.HandleFunc("GET /v1/customers/{id}/profile", bounded(c.answer("profile", func(ctx context.Context, id string) (any, error) {
		p, err := c.worker.Profile(ctx, id)
		if err != nil {
			return nil, err
		}
		return json.RawMessage(p.AppendJSON(nil)), nil
	})))
}

// refusal is the body of what is not an answer.
type refusal struct {
	Error    string `json:"error"`
	Instance string `json:"instance,omitempty"` // the one that has the customer's lane
}

func (c *customerAPI) answer(what string, find func(context.Context, string) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		expected := r.Header.Get(expectedHeader)
		switch {
		case c.closed:
			c.refuse(w, http.StatusForbidden, 0, refusal{Error: "customers' data is served on a loopback address, or where `advertise` is set: whoever reaches this address can read it"})
			return
		case c.local && !localHost(r.Host):
			c.refuse(w, http.StatusForbidden, 0, refusal{Error: "on a loopback address customers' data is served to who asks for that address or localhost, not for " + strconv.Quote(r.Host)})
			return
		case c.worker == nil:
			c.refuse(w, http.StatusNotImplemented, 0, refusal{Error: "this process has no role stream: ask one that has"})
			return
		case expected != "" && expected != c.instance:
			c.refuse(w, http.StatusMisdirectedRequest, 0, refusal{Error: fmt.Sprintf("this is instance %s", c.instance), Instance: c.instance})
			return
		}
		body, err := find(r.Context(), r.PathValue("id"))
		elsewhere, notYet := (*stream.Elsewhere)(nil), (*stream.NotYet)(nil)
		switch {
		case err == nil:
			c.write(w, http.StatusOK, body)
		case errors.Is(err, stream.ErrNoCustomer):
			c.refuse(w, http.StatusNotFound, 0, refusal{Error: err.Error()})
		case errors.As(err, &notYet):
			c.refuse(w, http.StatusServiceUnavailable, notYet.Retry, refusal{Error: notYet.Reason + "; ask again"})
		case errors.As(err, &elsewhere) && expected != "":
			c.refuse(w, http.StatusServiceUnavailable, time.Second, refusal{Error: elsewhere.Error() + " by now; ask again", Instance: elsewhere.Instance})
		case errors.As(err, &elsewhere):
			c.forward(w, r, what, elsewhere)
		default:
			c.log.Error("a question about a customer cannot be answered", zap.Error(err))
			c.refuse(w, http.StatusInternalServerError, 0, refusal{Error: "the customer's state cannot be read; the log says why"})
		}
	}
}

// localHost reports whether a request names an address, or localhost: a web page that has
// its own name lead to a loopback address names that.
func localHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return host == "localhost" || net.ParseIP(strings.Trim(host, "[]")) != nil
}

// forward asks the instance that has the lane, once.
func (c *customerAPI) forward(w http.ResponseWriter, r *http.Request, what string, to *stream.Elsewhere) {
	if to.HTTP == "" {
		c.refuse(w, http.StatusServiceUnavailable, 0, refusal{Instance: to.Instance, Error: to.Error() +
			", which does not say where it is reached: set `advertise` in its configuration, or ask it itself"})
		return
	}
	where := "http://" + to.HTTP + "/v1/customers/" + pathSegment(r.PathValue("id")) + "/" + what
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, where, http.NoBody)
	if err == nil {
		request.Header.Set(expectedHeader, to.Instance)
		var response *http.Response
		if response, err = c.client.Do(request); err == nil {
			defer func() { _ = response.Body.Close() }() // it was only read
			if response.StatusCode == http.StatusMisdirectedRequest {
				err = errors.New("another instance answers there")
			} else {
				c.pass(w, response)
				return
			}
		}
	}
	if asking, ok := errors.AsType[*url.Error](err); ok {
		err = asking.Err // without the address, which is told anyway
	}
	c.refuse(w, http.StatusServiceUnavailable, 0, refusal{Instance: to.Instance, Error: fmt.Sprintf(
		"%s, which says that it is reached at %s: %v; see that it runs, and that `advertise` in its configuration is an address which the others reach",
		to.Error(), to.HTTP, err)})
}

// pass hands on what another instance has answered.
func (c *customerAPI) pass(w http.ResponseWriter, response *http.Response) {
	for _, name := range []string{"Content-Type", "Retry-After"} {
		if v := response.Header.Get(name); v != "" {
			w.Header().Set(name, v)
		}
	}
	w.WriteHeader(response.StatusCode)
	if _, err := io.Copy(w, io.LimitReader(response.Body, maxAnswerBytes)); err != nil {
		c.log.Warn("an answer of another instance broke off", zap.Error(err))
	}
}

func (c *customerAPI) refuse(w http.ResponseWriter, status int, retry time.Duration, body refusal) {
	if retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(max(1, retry.Round(time.Second)/time.Second))))
	}
	c.write(w, status, body)
}

func (c *customerAPI) write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	_ = out.Encode(body) // who goes away before the answer needs none
}
