// SPDX-License-Identifier: Apache-2.0

package writer

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	schema "lapwing/schemas/clickhouse"
)

// Connection is where ClickHouse is. Start from DefaultConnection.
type Connection struct {
	// Addresses are host:port of the native protocol (9000, with TLS 9440). The
	// first that answers is used.
	Addresses []string `yaml:"addresses"`
	Database  string   `yaml:"database"`
	// Cluster is ClickHouse's name of the cluster that the database spans, in its
	// remote_servers; empty: one server.
	Cluster  string `yaml:"cluster"`
	User     string `yaml:"user"`
	Password string `yaml:"password"`
	// TLS turns on encryption; the server's certificate is verified.
	TLS bool `yaml:"tls"`
	// DialTimeout bounds the connecting.
	DialTimeout time.Duration `yaml:"dial_timeout"`
}

// DefaultConnection is a ClickHouse on this machine.
func DefaultConnection() Connection {
	return Connection{Addresses: []string{"127.0.0.1:9000"}, Database: "lapwing", User: "default", DialTimeout: 5 * time.Second}
}

// Validate returns all that is wrong with the connection.
func (c Connection) Validate() error {
	var problems []error
	if len(c.Addresses) == 0 {
		problems = append(problems, errors.New("clickhouse.addresses: want at least one host:port"))
	}
	if err := schema.CheckDatabase(c.Database); err != nil {
		problems = append(problems, fmt.Errorf("clickhouse.database: %w", err))
	} else if err := c.Layout().Check(); err != nil {
		problems = append(problems, fmt.Errorf("clickhouse.cluster: %w", err))
	}
	if c.DialTimeout <= 0 {
		problems = append(problems, fmt.Errorf("clickhouse.dial_timeout: %v: want more than 0", c.DialTimeout))
	}
	return errors.Join(problems...)
}

// Layout is where the tables lie.
func (c Connection) Layout() schema.Layout {
	return schema.Layout{Database: c.Database, Cluster: c.Cluster}
}

// Open returns a pool of connections; it does not connect yet. The database need
// not exist: all our statements name it, and none is current.
func Open(c Connection) (driver.Conn, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	o := &ch.Options{
		Addr: c.Addresses, Auth: ch.Auth{Username: c.User, Password: c.Password},
		DialTimeout: c.DialTimeout, ReadTimeout: 5 * time.Minute, MaxOpenConns: 16, MaxIdleConns: 8,
		Compression: &ch.Compression{Method: ch.CompressionLZ4},
	}
	if c.TLS {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	conn, err := ch.Open(o)
	if err != nil {
		return nil, fmt.Errorf("open ClickHouse: %w", err)
	}
	return conn, nil
}
