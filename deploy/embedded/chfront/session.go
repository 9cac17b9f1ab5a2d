// SPDX-License-Identifier: Apache-2.0

//go:build !noembedded && (linux || darwin) && (amd64 || arm64)

package chfront

import (
	"strconv"
	"sync"
	"time"

	"lapwing/deploy/embedded/chdb"
)

// Bounds of HTTP sessions, as the server has them.
const (
	defaultSessionTimeout = time.Minute
	maxSessionTimeout     = time.Hour
	maxSessions           = 100
)

// sessions keeps the engine sessions that HTTP clients ask for by session_id,
// each with its settings and temporary tables, until it was unused for its
// timeout; that is looked at when another session is asked for. Safe for
// concurrent use.
type sessions struct {
	open func(tag string) (*chdb.Conn, error)

	mu   sync.Mutex
	byID map[string]*session
}

type session struct {
	conn    *chdb.Conn
	timeout time.Duration

	// Guarded by sessions.mu.
	busy     bool
	lastUsed time.Time
}

// take returns the session of the id for one request, opening it unless it must
// exist already. The caller calls release once.
func (s *sessions) take(id, timeout string, mustExist bool, tag string) (conn *chdb.Conn, release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(time.Now())
	ses := s.byID[id]
	switch {
	case ses == nil && mustExist:
		return nil, nil, refuse(codeSessionNotFound, "Session %s not found. (SESSION_NOT_FOUND)", id)
	case ses == nil && len(s.byID) >= maxSessions:
		return nil, nil, refuse(codeTooManyQueries, "Too many sessions. Maximum: %d. (TOO_MANY_SIMULTANEOUS_QUERIES)", maxSessions)
	case ses == nil:
		c, err := s.open(tag)
		if err != nil {
			return nil, nil, err
		}
		ses = &session{conn: c, timeout: sessionTimeout(timeout)}
		if s.byID == nil {
			s.byID = map[string]*session{}
		}
		s.byID[id] = ses
	case ses.busy:
		return nil, nil, refuse(codeSessionIsLocked, "Session %s is locked by a concurrent client. (SESSION_IS_LOCKED)", id)
	}
	ses.busy = true
	return ses.conn, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		ses.busy, ses.lastUsed = false, time.Now()
	}, nil
}

// drop ends the session of the id, which its user has just released.
func (s *sessions) drop(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ses := s.byID[id]; ses != nil && !ses.busy {
		ses.conn.Close()
		delete(s.byID, id)
	}
}

// expire closes what was unused for too long; s.mu is held.
func (s *sessions) expire(now time.Time) {
	for id, ses := range s.byID {
		if !ses.busy && now.Sub(ses.lastUsed) > ses.timeout {
			ses.conn.Close()
			delete(s.byID, id)
		}
	}
}

// closeAll ends every session, but one that a request still uses: the process
// is about to end, and takes that one with it.
func (s *sessions) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ses := range s.byID {
		if !ses.busy {
			ses.conn.Close()
		}
	}
	s.byID = nil
}

// sessionTimeout reads the session_timeout parameter, in seconds.
func sessionTimeout(seconds string) time.Duration {
	n, err := strconv.Atoi(seconds)
	if err != nil || n <= 0 {
		return defaultSessionTimeout
	}
	return min(time.Duration(n)*time.Second, maxSessionTimeout)
}
