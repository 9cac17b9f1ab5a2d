// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lapwing/schemas/explanation"
)

// askFlags say whom to ask about a customer, and how to print it.
type askFlags struct {
	config string
	url    string
	format string
}

func (a *app) explainCommand() *cobra.Command {
	return a.askCommand("explain", "Say where a customer stands, why, and until when", `Asks a running service where one customer stands: of each model the stage, of each segment
whether the customer is in it, since when, what brought that about, and what comes next if
nothing happens; of each condition its value and what it has read.`, func(w io.Writer, answer []byte) error {
		var x explanation.Explanation
		if err := json.Unmarshal(answer, &x); err != nil {
			return err
		}
		zone, err := time.LoadLocation(x.TimeZone)
		if err != nil {
			zone = time.UTC
		}
		_, err = io.WriteString(w, visible(explained(&x, zone)))
		return err
	})
}

func (a *app) profileCommand() *cobra.Command {
	return a.askCommand("profile", "Print a customer's profile", `Asks a running service for the profile of one customer: stages, segments and traits, as on
the topic of profiles.`, profileInWords)
}

func (a *app) askCommand(what, short, long string, tell func(io.Writer, []byte) error) *cobra.Command {
	var f askFlags
	c := &cobra.Command{
		Use:   what + " CUSTOMER",
		Short: short,
		Long: long + `

Any worker answers for any customer: it asks the one that has it. By default that is the
one of the configuration's http on this machine.`,
		Example: "  lapwing " + what + " u1\n  lapwing " + what + " u1 -c lapwing.yaml --format json\n  lapwing " + what + " u1 --url http://127.0.0.1:9644",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "" {
				return usageError("say which customer")
			}
			if f.format != "text" && f.format != "json" {
				return usageError("--format %q: want text or json", f.format)
			}
			base, err := f.base(a)
			if err != nil {
				return err
			}
			answer, err := ask(cmd.Context(), base, args[0], what)
			if err != nil {
				return err
			}
			if f.format == "json" {
				return writeJSON(a.stdout, json.RawMessage(answer))
			}
			if err := tell(a.stdout, answer); err != nil {
				return fmt.Errorf("read the answer of %s: %w; is it of the same version?", base, err)
			}
			return nil
		},
	}
	c.Flags().StringVarP(&f.config, "config", "c", "", "configuration `FILE`: its http and advertise say where a worker is")
	c.Flags().StringVar(&f.url, "url", "", "`URL` of a worker, such as http://127.0.0.1:9644")
	c.Flags().StringVar(&f.format, "format", "text", "text or json")
	return c
}

// base is where a worker is asked.
func (f *askFlags) base(a *app) (string, error) {
	if f.url != "" {
		u, err := url.Parse(f.url)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return "", usageError("--url %q: want such as http://127.0.0.1:9644", f.url)
		}
		return strings.TrimSuffix(f.url, "/"), nil
	}
	c := defaultConfig()
	if f.config != "" {
		read, err := a.loadConfig(f.config)
		if err != nil {
			return "", err
		}
		c = *read
	}
	host, port, err := net.SplitHostPort(c.HTTP)
	if err != nil {
		return "", fmt.Errorf("http is %q: want host:port", c.HTTP) // not reached: it was checked
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

// askFor is how long a command asks again where lanes are moving.
const askFor = 15 * time.Second

// ask asks a worker, again while it says that it cannot answer yet.
func ask(ctx context.Context, base, customer, what string) ([]byte, error) {
	where := base + "/v1/customers/" + pathSegment(customer) + "/" + what
	client := http.Client{Timeout: answerTimeout}
	began := time.Now()
	for {
		status, retry, body, err := fetch(ctx, &client, where)
		if ctx.Err() != nil {
			return nil, interrupted(ctx)
		}
		if err != nil {
			return nil, unreachable(fmt.Errorf("ask a worker: %w; start one with `lapwing run -c FILE`, or say where one is with --url", err))
		}
		var said refusal
		if status != http.StatusOK && json.Unmarshal(body, &said) != nil || said.Error == "" && status != http.StatusOK {
			return nil, unreachable(fmt.Errorf("%s answers %d, which no worker of this version does; say where one is with --url", base, status))
		}
		switch {
		case status == http.StatusOK:
			return body, nil
		case status == http.StatusNotFound:
			return nil, fmt.Errorf("%q: %s", customer, said.Error)
		case retry == 0 || time.Since(began) > askFor:
			return nil, unreachable(errors.New(said.Error))
		}
		select {
		case <-time.After(retry):
		case <-ctx.Done():
			return nil, interrupted(ctx)
		}
	}
}

// pathSegment is an id as one part of a path, also where it is . or ..
func pathSegment(id string) string { return strings.ReplaceAll(url.PathEscape(id), ".", "%2E") }

func fetch(ctx context.Context, client *http.Client, where string) (status int, retry time.Duration, body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, where, http.NoBody)
	if err != nil {
		return 0, 0, nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, 0, nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if seconds, bad := strconv.Atoi(response.Header.Get("Retry-After")); bad == nil {
		retry = time.Duration(seconds) * time.Second
	}
	return response.StatusCode, retry, body, err
}

// profileInWords prints a profile as it is on its topic.
func profileInWords(w io.Writer, answer []byte) error {
	var p struct {
		CustomerID string `json:"customer_id"`
		Stages     map[string]struct {
			Stage        string           `json:"stage"`
			Since        explanation.Time `json:"since"`
			NextStage    string           `json:"next_stage"`
			NextDeadline explanation.Time `json:"next_deadline"`
		} `json:"stages"`
		Segments []string                   `json:"segments"`
		Traits   map[string]json.RawMessage `json:"traits"`
	}
	if err := json.Unmarshal(answer, &p); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "customer %s\n\nstages:\n", p.CustomerID)
	for _, model := range slices.Sorted(maps.Keys(p.Stages)) {
		s := p.Stages[model]
		next := "stays so if nothing happens"
		if s.NextStage != "" {
			next = fmt.Sprintf("becomes %s on %s if nothing happens", s.NextStage, inWords(s.NextDeadline.Instant(), time.UTC))
		}
		fmt.Fprintf(&b, "  %s: %s since %s; %s\n", model, s.Stage, inWords(s.Since.Instant(), time.UTC), next)
	}
	b.WriteString("\nsegments: " + strings.Join(p.Segments, ", "))
	if len(p.Segments) == 0 {
		b.WriteString("none")
	}
	b.WriteByte('\n')
	if len(p.Traits) > 0 {
		b.WriteString("\ntraits:\n")
	}
	for _, name := range slices.Sorted(maps.Keys(p.Traits)) {
		fmt.Fprintf(&b, "  %s = %s\n", name, p.Traits[name])
	}
	_, err := io.WriteString(w, visible(b.String()))
	return err
}
