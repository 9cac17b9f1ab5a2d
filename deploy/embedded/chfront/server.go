// SPDX-License-Identifier: Apache-2.0

//go:build !noembedded && (linux || darwin) && (amd64 || arm64)

package chfront

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"lapwing/deploy/embedded/chdb"
)

const (
	// maxQueries may run at once; the next one is refused, not queued, for a
	// client that holds an insert open while it waits for another query would
	// otherwise wait for ever. A real server's default is of this order.
	maxQueries = 200
	// shutdownGrace is how long Run waits for running HTTP requests at the end.
	shutdownGrace = 2 * time.Second
	// killAgain is how often a KILL is repeated until the statement has ended:
	// one that came before the engine had registered the statement met nothing.
	killAgain = 200 * time.Millisecond
)

// Config says what to serve and to whom.
type Config struct {
	Library        *chdb.Library
	DataDir        string // the engine's data folder, absolute
	Database       string // stands in where a client names none or "default"; it exists already
	User, Password string // the one who may come in; an empty password is refused by New
	Log            *zap.Logger
}

// Server answers clients over HTTP and the native protocol. It is safe for
// concurrent use.
type Server struct {
	cfg      Config
	log      *zap.Logger
	running  atomic.Int64 // statements, against maxQueries
	sessions sessions
}

// New makes a server; it serves nothing before Run.
func New(cfg Config) (*Server, error) {
	if cfg.Library == nil || cfg.DataDir == "" || cfg.Database == "" || cfg.User == "" || cfg.Password == "" || cfg.Log == nil {
		return nil, errors.New("configure the fronts: library, data folder, database, user, password and log are all needed")
	}
	s := &Server{cfg: cfg, log: cfg.Log}
	s.sessions.open = s.connect
	return s, nil
}

// Run serves until ctx ends; then it closes both listeners, gives HTTP requests
// a moment to end, cuts what is left, and returns when all its goroutines have.
func (s *Server) Run(ctx context.Context, httpListener, nativeListener net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	web := &http.Server{Handler: s, ReadHeaderTimeout: 30 * time.Second, ErrorLog: zap.NewStdLog(s.log)}
	group.Go(func() error {
		if err := web.Serve(httpListener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve HTTP: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer cancel()
		if web.Shutdown(grace) != nil {
			_ = web.Close() // what still runs is cut, as announced
		}
		return nil
	})
	group.Go(func() error { return s.serveNative(ctx, nativeListener) })
	err := group.Wait()
	s.sessions.closeAll()
	return err
}

// authenticate lets the one user in.
func (s *Server) authenticate(user, password string) error {
	sameUser := subtle.ConstantTimeCompare([]byte(user), []byte(s.cfg.User))
	samePassword := subtle.ConstantTimeCompare([]byte(password), []byte(s.cfg.Password))
	if sameUser&samePassword != 1 {
		return refuse(codeAuthentication, "%s: Authentication failed: password is incorrect, or there is no user with such name. (AUTHENTICATION_FAILED)", user)
	}
	return nil
}

// begin takes one of the places for statements; the caller calls end once.
func (s *Server) begin() (end func(), err error) {
	if s.running.Add(1) > maxQueries {
		s.running.Add(-1)
		return nil, refuse(codeTooManyQueries, "Too many simultaneous queries. Maximum: %d. (TOO_MANY_SIMULTANEOUS_QUERIES)", maxQueries)
	}
	return func() { s.running.Add(-1) }, nil
}

// connect opens a session of the engine. tag marks its statements for kill.
func (s *Server) connect(tag string) (*chdb.Conn, error) {
	conn, err := s.cfg.Library.Connect("--path="+s.cfg.DataDir, "--log_comment="+tag)
	if err != nil {
		return nil, fmt.Errorf("open a session: %w", err)
	}
	return conn, nil
}

// newTag names a statement, so that it can be found among the running ones.
func newTag() string { return uuid.NewString() }

// killWhenDone kills the statements with the tag as soon as ctx ends. The caller
// calls stop when its statement has ended; no KILL runs after that.
//
// The engine offers neither a query id that we could set nor a call to interrupt
// another thread's statement: a setting that is visible among the running
// statements takes the place of both.
func (s *Server) killWhenDone(ctx context.Context, tag string) (stop func()) {
	finished := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		select {
		case <-finished:
			return
		case <-ctx.Done():
		}
		again := time.NewTicker(killAgain)
		defer again.Stop()
		for {
			s.kill(tag)
			select {
			case <-finished:
				return
			case <-again.C:
			}
		}
	})
	return func() {
		close(finished)
		wait.Wait()
	}
}

func (s *Server) kill(tag string) {
	conn, err := s.connect(newTag())
	if err == nil {
		defer conn.Close()
		err = conn.Exec("KILL QUERY WHERE Settings['log_comment'] = " + quote(tag) + " ASYNC")
	}
	if err != nil {
		s.log.Warn("cannot kill the statement of a client that went away", zap.Error(err))
	}
}

// useDatabase makes the named database the session's current one. The engine's
// own "default" takes unknown tables for files in the working directory, so the
// configured database stands in for it.
func (s *Server) useDatabase(conn *chdb.Conn, name string) error {
	if name == "" || name == "default" {
		name = s.cfg.Database
	}
	return conn.Exec("USE " + identifier(name))
}
