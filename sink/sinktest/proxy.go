// SPDX-License-Identifier: Apache-2.0

package sinktest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"
)

// Fault is what a Proxy does to one INSERT.
type Fault int

// The faults. What the server did is on the left of the comma, what the client sees on
// the right.
const (
	None           Fault = iota
	CutBeforeQuery       // heard nothing, the connection is cut
	CutAmidRows          // got half of the rows, the connection is cut
	CutAfterApply        // applied it, the connection is cut before the answer
	AnswerBefore         // heard nothing, an exception with the proxy's code
	AnswerAfter          // applied it, an exception with the proxy's code all the same
	HangBefore           // heard nothing, no answer ever
	HangAfter            // applied it, no answer ever
	WrongReply           // applied it, an answer that is none of the protocol's
	Slow                 // applied it, an answer byte by byte
	Faults               // how many there are
)

// String is the fault's name.
func (f Fault) String() string {
	return [...]string{"none", "cut before query", "cut amid rows", "cut after apply", "answer before", "answer after", "hang before", "hang after", "wrong reply", "slow"}[f]
}

// Proxy stands between a client and ClickHouse's native protocol, and does to each
// INSERT what it is told to. All else passes.
type Proxy struct {
	Addr string

	server   string
	listener net.Listener
	running  sync.WaitGroup
	closed   chan struct{}

	mu     sync.Mutex
	choose func(statement string) (Fault, int32)
	seen   map[Fault]int
	conns  map[net.Conn]bool
	away   bool
}

// NewProxy listens on loopback before the server at that address. choose is asked for
// each INSERT of a Writer, whose rows follow in blocks, by its first line, and gives the fault and the code of an exception; nil
// chooses None. It must be safe for concurrent use.
func NewProxy(t testing.TB, server string, choose func(statement string) (Fault, int32)) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // ends with Close
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{
		Addr: listener.Addr().String(), server: server, listener: listener, closed: make(chan struct{}),
		choose: choose, seen: map[Fault]int{}, conns: map[net.Conn]bool{},
	}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		close(p.closed)
		_ = listener.Close()
		p.Cut()
		p.running.Wait()
	})
	return p
}

// Seen is how often each fault has been done.
func (p *Proxy) Seen() map[Fault]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := map[Fault]int{}
	for f, n := range p.seen {
		seen[f] = n
	}
	return seen
}

// Choose replaces what chooses.
func (p *Proxy) Choose(choose func(statement string) (Fault, int32)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.choose = choose
}

// Away refuses connections, as a server that is down or answers 503, or takes them again.
func (p *Proxy) Away(away bool) {
	p.mu.Lock()
	p.away = away
	p.mu.Unlock()
	if away {
		p.Cut()
	}
}

// Cut cuts all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) forget(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		if !p.keep(client) {
			_ = client.Close()
			continue
		}
		p.running.Go(func() {
			defer p.forget(client)
			defer func() { _ = client.Close() }()
			server, err := net.Dial("tcp", p.server) //nolint:noctx // loopback
			if err != nil {
				return // the client sees its connection closed
			}
			if !p.keep(server) {
				_ = server.Close()
				return
			}
			defer p.forget(server)
			defer func() { _ = server.Close() }()
			(&pair{proxy: p, client: client, server: server}).serve()
		})
	}
}

// pair is one client's connection and ours to the server for it.
type pair struct {
	proxy          *Proxy
	client, server net.Conn

	mu       sync.Mutex
	fault    Fault // of the INSERT under way
	code     int32
	inserted bool // the header went to the client, so that rows follow
	rows     int  // chunks of them that have passed
}

// errCut ends a connection on purpose.
var errCut = errors.New("cut")

func (c *pair) serve() {
	var both sync.WaitGroup
	both.Go(func() { c.pump(c.client, c.fromClient) })
	both.Go(func() { c.pump(c.server, c.fromServer) })
	both.Wait()
}

// pump reads until either side ends, and then closes both.
func (c *pair) pump(from net.Conn, pass func([]byte) error) {
	defer func() { _ = c.client.Close() }()
	defer func() { _ = c.server.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if err := pass(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// fromClient looks for the statement of an INSERT, at which the fault is chosen.
func (c *pair) fromClient(b []byte) error {
	if at := bytes.Index(b, []byte("INSERT INTO ")); at >= 0 {
		if err := c.begin(b, at); err != nil {
			return err
		}
	} else if err := c.passRows(b); err != nil {
		return err
	}
	_, err := c.server.Write(b)
	return err
}

// begin chooses the fault of a statement and does what comes before the server hears it.
func (c *pair) begin(b []byte, at int) error {
	line, _, _ := bytes.Cut(b[at:], []byte("\n"))
	p := c.proxy
	p.mu.Lock()
	choose := p.choose
	p.mu.Unlock()
	fault, code := None, int32(0)
	if choose != nil && bytes.Contains(line, []byte("(`")) {
		fault, code = choose(string(line))
	}
	p.mu.Lock()
	p.seen[fault]++
	p.mu.Unlock()
	c.mu.Lock()
	c.fault, c.code, c.inserted, c.rows = fault, code, false, 0
	c.mu.Unlock()
	switch fault {
	case CutBeforeQuery:
		return errCut
	case AnswerBefore:
		_, err := c.client.Write(exception(code))
		return errors.Join(errCut, err)
	case HangBefore:
		return c.hang()
	case None, CutAmidRows, CutAfterApply, AnswerAfter, HangAfter, WrongReply, Slow, Faults: // later
	}
	return nil
}

// passRows counts what follows the header.
func (c *pair) passRows(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.inserted {
		return nil
	}
	c.rows++
	if c.fault == CutAmidRows {
		_, _ = c.server.Write(b[:len(b)/2])
		return errCut
	}
	return nil
}

// fromServer tells the header of an INSERT, which comes before the rows, from its
// answer, which comes behind them.
func (c *pair) fromServer(b []byte) error {
	c.mu.Lock()
	fault, code, answer := c.fault, c.code, c.rows > 0
	c.inserted = true
	if answer {
		c.fault, c.rows, c.inserted = None, 0, false
	}
	c.mu.Unlock()
	if answer {
		switch fault {
		case CutAfterApply:
			return errCut
		case AnswerAfter:
			_, err := c.client.Write(exception(code))
			return errors.Join(errCut, err)
		case HangAfter:
			return c.hang()
		case WrongReply:
			_, err := c.client.Write([]byte("HTTP/1.1 200 OK\r\n\r\nOk.\n"))
			return errors.Join(errCut, err)
		case Slow:
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for i := range b {
				<-tick.C
				if _, err := c.client.Write(b[i : i+1]); err != nil {
					return err
				}
			}
			return nil
		case None, CutBeforeQuery, CutAmidRows, AnswerBefore, HangBefore, Faults: // earlier, if at all
		}
	}
	_, err := c.client.Write(b)
	return err
}

// hang says nothing until the client has had enough.
func (c *pair) hang() error {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, c.client)
	}()
	select {
	case <-gone:
	case <-c.proxy.closed:
		_ = c.client.Close()
		<-gone
	}
	return errCut
}

// exception is an answer with a code, as the server writes it.
func exception(code int32) []byte {
	var b proto.Buffer
	proto.ServerCodeException.Encode(&b)
	e := proto.Exception{Code: proto.Error(code), Name: "DB::Exception", Message: "DB::Exception: said by a test"}
	e.EncodeAware(&b, proto.Version)
	return b.Buf
}
