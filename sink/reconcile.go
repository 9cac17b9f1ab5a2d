// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.uber.org/zap"

	"lapwing/sink/reconcile"
	"lapwing/sink/writer"
)

// Reconciliation compares what a sink of this configuration has written.
func (c Config) Reconciliation() reconcile.Config {
	return reconcile.Config{
		Brokers: c.Brokers, Prefix: c.Prefix, Group: c.GroupName(), Generation: uint16(c.Generation), Database: c.Database,
	}
}

// NewWriter inserts as a sink of this configuration does.
func NewWriter(c Config, conn driver.Conn, log *zap.Logger) *writer.Writer {
	return writer.New(conn, c.writer(), log, writer.Hooks{})
}

func (c Config) writer() writer.Config {
	return writer.Config{Database: c.Database, InitialInterval: c.Retry.Initial, MaxInterval: c.Retry.Max, Timeout: c.Retry.Timeout}
}
