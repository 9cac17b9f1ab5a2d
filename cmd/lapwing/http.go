// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// answerTimeout bounds how long an answer may take to be written, profiles excepted:
// those last as long as they are asked to.
const answerTimeout = 30 * time.Second

// loopbackOnly says why pprof is not served to others: it shows memory, and anybody who
// reaches it can keep the process busy.
const loopbackOnly = "want a loopback address such as 127.0.0.1:6060: profiles show what is in memory; from elsewhere, use a tunnel"

// serveHTTP serves health, metrics, questions about customers and, on loopback addresses,
// profiles, until ctx ends. worker is nil where there is none.
func serveHTTP(ctx context.Context, c *config, registry *prometheus.Registry, parts []part, worker customers, log *zap.Logger) error {
	main, err := listen(ctx, c.HTTP)
	if err != nil {
		return fmt.Errorf("serve health and metrics: %w; choose another address with http in the file", err)
	}
	mux := healthHandler(registry, parts)
	api := newCustomerAPI(worker, c.Stream.Instance, log.Named("customers"))
	api.local = isLoopback(main.Addr())
	api.closed = !api.local && c.Advertise == ""
	api.add(mux)
	defer api.client.CloseIdleConnections()
	group, ctx := errgroup.WithContext(ctx)
	if isLoopback(main.Addr()) {
		profiles(mux)
	}
	if c.Pprof != "" {
		own, err := listen(ctx, c.Pprof)
		if err == nil && !isLoopback(own.Addr()) {
			err = errors.Join(fmt.Errorf("%s is no loopback address", own.Addr()), own.Close())
		}
		if err != nil {
			return errors.Join(fmt.Errorf("serve profiles: pprof is %q: %w; %s", c.Pprof, err, loopbackOnly), main.Close())
		}
		log.Info("serving profiles", zap.String("address", own.Addr().String()))
		debug := http.NewServeMux()
		profiles(debug)
		group.Go(func() error { return serveOn(ctx, own, debug, log) })
	}
	log.Info("serving health and metrics", zap.String("address", main.Addr().String()))
	group.Go(func() error { return serveOn(ctx, main, mux, log) })
	return group.Wait()
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	var l net.ListenConfig
	return l.Listen(ctx, "tcp", addr)
}

func isLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// serveOn serves until ctx ends.
func serveOn(ctx context.Context, listener net.Listener, handler http.Handler, log *zap.Logger) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, ErrorLog: zap.NewStdLog(log.Named("http"))}
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(listener) }()
	select {
	case err := <-stopped:
		return fmt.Errorf("serve HTTP on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	// The other parts need some time to end, too; a scrape gets this long to be answered.
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		_ = server.Close() // it was asked politely
	}
	if err := <-stopped; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP on %s: %w", listener.Addr(), err)
	}
	return nil
}

// healthHandler answers /healthz (the process lives), /readyz (every part is at work,
// or why it is not) and /metrics.
func healthHandler(registry *prometheus.Registry, parts []part) *http.ServeMux {
	mux := http.NewServeMux()
	// Who asks and goes away before the answer needs none.
	mux.HandleFunc("GET /healthz", bounded(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") }))
	mux.HandleFunc("GET /readyz", bounded(func(w http.ResponseWriter, _ *http.Request) {
		var waiting []string
		for _, p := range parts {
			for _, why := range p.waiting() {
				waiting = append(waiting, p.name+": "+why)
			}
		}
		if len(waiting) == 0 {
			_, _ = fmt.Fprintln(w, "ready")
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintln(w, "not ready")
		for _, why := range waiting {
			_, _ = fmt.Fprintln(w, why)
		}
	}))
	mux.HandleFunc("GET /metrics", bounded(promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP))
	return mux
}

// bounded gives up on who does not take the answer.
func bounded(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		// A writer that knows no deadline is a test's.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout))
		h(w, r)
	}
}

// profiles adds /debug/pprof/.
func profiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}
