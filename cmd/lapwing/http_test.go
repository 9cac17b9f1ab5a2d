// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// served runs the HTTP side; get answers with status and body. where are the addresses
// it listens on: health, then profiles if it has one of their own.
func served(t *testing.T, c *config, parts []part) (where []string, stop func() error) {
	t.Helper()
	return servedWith(t, c, parts, nil)
}

func servedWith(t *testing.T, c *config, parts []part, worker customers) (where []string, stop func() error) {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "lapwing_test_total", Help: "Tests."}))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	serving := make(chan struct{}) // closed by the hook, with the last address
	hook := zap.Hooks(func(e zapcore.Entry) error {
		if e.Message == "serving health and metrics" {
			close(serving)
		}
		return nil
	})
	go func() { done <- serveHTTP(ctx, c, registry, parts, worker, zap.New(core, hook)) }()
	select {
	case <-serving:
	case err := <-done:
		cancel()
		t.Fatalf("it ended: %v", err)
	}
	for _, message := range []string{"serving health and metrics", "serving profiles"} {
		for _, entry := range logs.FilterMessage(message).All() {
			where = append(where, entry.ContextMap()["address"].(string))
		}
	}
	return where, func() error { cancel(); return <-done }
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(response.Body)
	_ = response.Body.Close() // read to its end
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(b)
}

// "/readyz says why not ready, in words, per role"; the process lives all the while.
func TestHealthAndReadiness(t *testing.T) {
	stream := []string{"lane 3 is being restored, 42 records to go", "lane 5 is 20000 records behind"}
	parts := []part{
		{name: "stream", waiting: func() []string { return stream }},
		{name: "router", waiting: func() []string { return nil }},
		{name: "sink", waiting: func() []string { return []string{"it has not joined its group yet"} }},
	}
	where, stop := served(t, &config{HTTP: "127.0.0.1:0"}, parts)
	for path, want := range map[string]struct {
		status int
		body   string
	}{
		"/healthz": {200, "ok\n"},
		"/readyz": {503, "not ready\nstream: lane 3 is being restored, 42 records to go\nstream: lane 5 is 20000 records behind\n" +
			"sink: it has not joined its group yet\n"},
		"/nothing": {404, "404 page not found\n"},
	} {
		if status, body := get(t, where[0]+path); status != want.status || body != want.body {
			t.Errorf("%s: %d %q, want %d %q", path, status, body, want.status, want.body)
		}
	}
	if status, body := get(t, where[0]+"/metrics"); status != 200 || !strings.Contains(body, "lapwing_test_total 0") {
		t.Errorf("/metrics: %d %q", status, body)
	}
	if err := stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
	where, stop = served(t, &config{HTTP: "127.0.0.1:0"}, parts[1:2])
	if status, body := get(t, where[0]+"/readyz"); status != 200 || body != "ready\n" {
		t.Errorf("/readyz: %d %q", status, body)
	}
	if err := stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
}

// Profiles are on loopback addresses alone: with health if that is one, or on their own.
func TestProfilesOnLoopbackAlone(t *testing.T) {
	profiles := func(address string) int {
		status, _ := get(t, address+"/debug/pprof/goroutine?debug=1")
		return status
	}
	where, stop := served(t, &config{HTTP: "127.0.0.1:0"}, nil)
	if status := profiles(where[0]); status != 200 {
		t.Errorf("health on loopback: profiles answer %d", status)
	}
	if status, body := get(t, where[0]+"/debug/pprof/profile?seconds=1"); status != 200 || len(body) == 0 {
		t.Errorf("a profile of the processor: %d", status)
	}
	if err := stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}

	where, stop = served(t, &config{HTTP: "0.0.0.0:0", Pprof: "127.0.0.1:0"}, nil)
	open := strings.Replace(strings.Replace(where[0], "[::]", "127.0.0.1", 1), "0.0.0.0", "127.0.0.1", 1)
	if status := profiles(open); status != 404 {
		t.Errorf("health for everybody: profiles answer %d", status)
	}
	if status, _ := get(t, open+"/healthz"); status != 200 {
		t.Errorf("health for everybody: %d", status)
	}
	if status := profiles(where[1]); status != 200 {
		t.Errorf("profiles on their own address answer %d", status)
	}
	if err := stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := serveHTTP(ctx, &config{HTTP: "127.0.0.1:0", Pprof: "0.0.0.0:0"}, prometheus.NewRegistry(), nil, nil, zap.NewNop())
	if err == nil || !strings.Contains(err.Error(), "is no loopback address") || !strings.Contains(err.Error(), "use a tunnel") {
		t.Errorf("profiles for everybody: %v", err)
	}
}
