// SPDX-License-Identifier: Apache-2.0

//go:build !noembedded && (linux || darwin) && (amd64 || arm64)

package chfront

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/ClickHouse/ch-go/compress"
	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
	"go.uber.org/zap"

	"lapwing/deploy/embedded/chdb"
)

const (
	// nativeRevision is the highest protocol revision that we announce. It has
	// query parameters and the custom serialization byte, and nothing that asks
	// more of a server than is done here.
	nativeRevision = 54460
	// handshakeTimeout bounds a connection that has not shown a password yet.
	handshakeTimeout = 10 * time.Second
	// maxHelloText bounds each text that it may send until then.
	maxHelloText = 64 << 10
)

// serveNative accepts connections until ctx ends, and then cuts them.
func (s *Server) serveNative(ctx context.Context, listener net.Listener) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	for {
		socket, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept a native connection: %w", err)
		}
		conns.Go(func() {
			defer func() { _ = socket.Close() }() // the client may be gone
			defer context.AfterFunc(ctx, func() { _ = socket.Close() })()
			// The driver's codec may panic on malformed packets; that ends the
			// connection, not the engine.
			defer func() {
				if p := recover(); p != nil {
					s.log.Error("native connection ended by a panic", zap.Any("panic", p), zap.Stack("stack"))
				}
			}()
			c := &nativeConn{server: s, ctx: ctx, socket: socket}
			if err := c.serve(); err != nil && !errors.Is(err, io.EOF) {
				s.log.Debug("native connection ended", zap.Error(err))
			}
		})
	}
}

// nativeConn is one client's connection, with one engine session for its life.
type nativeConn struct {
	server *Server
	ctx    context.Context //nolint:containedctx // the connection's life
	socket net.Conn
	in     *bufio.Reader
	r      *chproto.Reader // reads from in
	out    chproto.Buffer

	revision   int
	session    *chdb.Conn
	sessionSet bool // the client has said SET, so that undoing settings must not end at the defaults

	compressed bool // blocks of the current query
	compressor *compress.Writer
	block      []byte // scratch of sendBlocks
}

// serve does the handshake, then answers packets until the client leaves.
// Errors of the engine go to the client; others end the connection.
func (c *nativeConn) serve() error {
	c.in = bufio.NewReaderSize(c.socket, 128<<10) // as large as chproto's own, which then keeps it
	c.r = chproto.NewReader(c.in)
	if err := c.handshake(); err != nil {
		return c.report(err)
	}
	defer c.session.Close()
	for {
		code, err := c.in.ReadByte()
		if err != nil {
			return err
		}
		switch chproto.ClientCode(code) {
		case chproto.ClientCodePing:
			chproto.ServerCodePong.Encode(&c.out)
			err = c.flush()
		case chproto.ClientCodeCancel: // came after the statement's end
		case chproto.ClientCodeQuery:
			err = c.report(c.query())
		case chproto.ClientCodeData: // rows of an insert that has been refused
			_, _, err = c.readBlock()
		default:
			err = fmt.Errorf("unexpected packet %d", code)
		}
		if err != nil {
			return err
		}
	}
}

// handshake reads the hello, checks the password and opens the session. The
// hello is read here and not by chproto, which would trust its lengths.
func (c *nativeConn) handshake() error {
	if err := c.socket.SetReadDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return err
	}
	hello := helloReader{in: c.in}
	if code := hello.number(); hello.err == nil && code != uint64(chproto.ClientCodeHello) {
		return fmt.Errorf("unexpected first packet %d", code)
	}
	hello.text()   // client name
	hello.number() // its version, major
	hello.number() // and minor
	c.revision = int(min(hello.number(), nativeRevision))
	database, user, password := hello.text(), hello.text(), hello.text()
	if hello.err != nil {
		return fmt.Errorf("read the client's hello: %w", hello.err)
	}
	if err := c.server.authenticate(user, password); err != nil {
		return err
	}
	answer := chproto.ServerHello{
		Name: "ClickHouse", DisplayName: "embedded", Timezone: "UTC", Revision: nativeRevision,
		Major: versionMajor, Minor: versionMinor, Patch: versionPatch,
	}
	answer.EncodeAware(&c.out, c.revision)
	if err := c.flush(); err != nil {
		return err
	}
	if chproto.FeatureAddendum.In(c.revision) {
		if hello.text(); hello.err != nil { // quota key
			return fmt.Errorf("read the client's addendum: %w", hello.err)
		}
	}
	if err := c.socket.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	session, err := c.server.connect(newTag())
	if err != nil {
		return err
	}
	if err := c.server.useDatabase(session, database); err != nil {
		session.Close()
		return err
	}
	c.session = session
	return nil
}

// helloReader reads numbers and bounded texts; its err is set once.
type helloReader struct {
	in  *bufio.Reader
	err error
}

func (h *helloReader) number() (v uint64) {
	if h.err == nil {
		v, h.err = binary.ReadUvarint(h.in)
	}
	return v
}

func (h *helloReader) text() string {
	n := h.number()
	if h.err == nil && n > maxHelloText {
		h.err = fmt.Errorf("a text of %d bytes is too long", n)
	}
	if h.err != nil {
		return ""
	}
	b := make([]byte, n)
	_, h.err = io.ReadFull(h.in, b)
	return string(b)
}

// report sends an error of a statement to the client and returns nil, or the
// error itself if it is of the connection.
func (c *nativeConn) report(err error) error {
	var refused *exception
	var failed *chdb.Error
	if !errors.As(err, &refused) && !errors.As(err, &failed) {
		return err
	}
	e := asException(err)
	c.out.Reset()
	chproto.ServerCodeException.Encode(&c.out)
	packet := chproto.Exception{Code: chproto.Error(e.code), Name: "DB::Exception", Message: "DB::Exception: " + e.message} // codes are small
	packet.EncodeAware(&c.out, c.revision)
	if err := c.flush(); err != nil {
		return err
	}
	if c.session == nil {
		return io.EOF // refused at the door
	}
	return nil
}

func (c *nativeConn) flush() error {
	_, err := c.socket.Write(c.out.Buf)
	c.out.Reset()
	return err
}

// readBlock reads a data packet behind its code: a table's name and a block.
func (c *nativeConn) readBlock() (name string, block *proto.Block, err error) {
	if name, err = c.r.Str(); err != nil {
		return "", nil, fmt.Errorf("read a data packet: %w", err)
	}
	if c.compressed {
		c.r.EnableCompression()
		defer c.r.DisableCompression()
	}
	block = &proto.Block{ServerContext: serverContext(uint64(c.revision))}
	if err := block.Decode(c.r, uint64(c.revision)); err != nil {
		return "", nil, fmt.Errorf("read a data packet: %w", err)
	}
	return name, block, nil
}

// sendBlocks sends output of the engine, a packet for each block.
func (c *nativeConn) sendBlocks(b []byte) error {
	for len(b) > 0 {
		var err error
		if c.block, b, err = rewriteBlock(c.block[:0], b, uint64(c.revision)); err != nil {
			return err
		}
		chproto.ServerCodeData.Encode(&c.out)
		c.out.PutString("") // table name
		if !c.compressed {
			if err := c.flush(); err != nil {
				return err
			}
			if _, err := c.socket.Write(c.block); err != nil {
				return err
			}
			continue
		}
		const frame = 1 << 20
		for p := c.block; len(p) > 0; p = p[min(len(p), frame):] {
			if err := c.compressor.Compress(p[:min(len(p), frame)]); err != nil {
				return fmt.Errorf("compress a block: %w", err)
			}
			c.out.Buf = append(c.out.Buf, c.compressor.Data...)
		}
		if err := c.flush(); err != nil {
			return err
		}
	}
	return nil
}
