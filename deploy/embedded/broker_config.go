// SPDX-License-Identifier: Apache-2.0

// Package embedded holds the parts that Lapwing needs beside it, for a laptop and for
// tests: a broker that speaks Kafka's protocol, in this process, and the real ClickHouse
// engine, in a child process. Both listen on loopback and keep their data in a folder,
// or nowhere.
//
//	broker, err := embedded.StartBroker(embedded.BrokerConfig{Dir: dir, Log: log})
//	…
//	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Addrs()...))
//
// The build tag noembedded leaves both out, so that the binary is static; starting one
// is then an error that says so. Neither is meant to serve production: nothing is
// replicated.
package embedded

import (
	"errors"
	"fmt"
	"net"
	"strconv"

	"go.uber.org/zap"
)

// ErrBrokerLeftOut means that this binary was built with the tag noembedded.
var ErrBrokerLeftOut = errors.New("this binary was built without the embedded broker (build tag noembedded): " +
	"name the addresses of a Kafka cluster in the configuration, or use a build without that tag")

// ErrBrokerInUse means that a live broker, of this process or another one, works in the data folder.
var ErrBrokerInUse = errors.New("another embedded broker is using this data folder: stop it, or name another folder")

// BrokerConfig says where the embedded broker keeps its data and listens.
type BrokerConfig struct {
	// Dir is the data folder, created if it is missing; one live broker at a time.
	// Empty keeps everything in memory, gone after Close.
	Dir string

	// Addr is the host and port to listen on; empty is 127.0.0.1:0, port 0 any free one.
	// Clients are told this very address, so the host must be one they can reach. The
	// broker has no passwords and no TLS: a host other than loopback is for networks
	// in which everyone may read and write everything.
	Addr string

	// Log takes the broker's warnings and errors; nil drops them.
	Log *zap.Logger
}

// DefaultBrokerAddr is loopback and a free port.
const DefaultBrokerAddr = "127.0.0.1:0"

// listenAddr is Addr with its default, checked as far as it can be without listening.
func (c BrokerConfig) listenAddr() (string, error) {
	if c.Addr == "" {
		return DefaultBrokerAddr, nil
	}
	host, port, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return "", fmt.Errorf("read broker address %q: want host:port such as 127.0.0.1:9092: %w", c.Addr, err)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("read broker address %q: port is not a number from 0 to 65535", c.Addr)
	} else {
		port = strconv.FormatUint(n, 10)
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		return "", fmt.Errorf("read broker address %q: name one host, because clients are told to connect to it", c.Addr)
	}
	return net.JoinHostPort(host, port), nil
}
