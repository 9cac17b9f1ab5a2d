// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"errors"
	"fmt"
	"time"

	schema "lapwing/schemas/clickhouse"
	"lapwing/sink/batch"
	"lapwing/sink/migrate"
)

// Config is how the sink reads and writes. Start from Default: a zero value is
// refused where it makes no sense, never replaced in secret.
type Config struct {
	// Brokers are the seed brokers, host:port.
	Brokers []string `yaml:"brokers"`
	// Prefix is what the names of Lapwing's topics begin with.
	Prefix string `yaml:"prefix"`
	// Group is the consumer group, to which ".g<generation>" is added.
	Group string `yaml:"group"`
	// InstanceID makes the member static: a restart within the session timeout
	// causes no rebalance. Empty: dynamic. Each instance needs its own.
	InstanceID string `yaml:"instance_id"`
	// Generation is the one that is written; records of others are passed over.
	Generation int `yaml:"generation"`
	// Database is ClickHouse's.
	Database string `yaml:"database"`
	// Cluster is ClickHouse's name of the cluster that the database spans; empty: one server.
	Cluster string `yaml:"cluster"`
	// Migrate applies pending migrations at start; otherwise the sink refuses to
	// start on a database that is not up to date.
	Migrate   bool            `yaml:"migrate"`
	Batch     BatchConfig     `yaml:"batch"`
	Retry     RetryConfig     `yaml:"retry"`
	Reconcile ReconcileConfig `yaml:"reconcile"`
	// Customers paces the counting of distinct customers.
	Customers CustomersConfig `yaml:"customers"`
	// KPI paces the keeping of KPIs that are slow to compute.
	KPI KPIConfig `yaml:"kpi"`
	// Retain is how long ClickHouse keeps what grows with every message.
	Retain RetainConfig `yaml:"retain"`
}

// RetainConfig is how long rows are kept, by their own time and the server's clock, in
// whole days; 0: as the table says, which is for ever unless somebody has set a TTL. It is
// set where Migrate may change tables.
type RetainConfig struct {
	Activity  time.Duration `yaml:"activity"`
	Exposures time.Duration `yaml:"exposures"`
}

// MinActivity is the shortest time for which activity may be kept: a month, and a day and
// more for its last messages to come. What comes later into a period that has begun to be
// forgotten is not counted among its customers.
const MinActivity = 33 * 24 * time.Hour

// tables are the retentions by table.
func (c RetainConfig) tables() []migrate.Retention {
	return []migrate.Retention{
		{Table: batch.Activity.Name(), Column: "event_time", Keep: c.Activity},
		{Table: batch.Exposures.Name(), Column: "exposed_at", Keep: c.Exposures},
	}
}

// CustomersConfig paces the counting of distinct customers: each time the days, weeks and
// months with new messages are read anew, as far as this member writes them.
type CustomersConfig struct {
	Every time.Duration `yaml:"every"` // 0: never
}

// KPIConfig has one member of the group compute the KPIs now and then, one after the other
// and each on one core, and keep the rows of the slow ones for lapwing kpi.
type KPIConfig struct {
	Every time.Duration `yaml:"every"` // from the begin of a round to the next, if anything has changed; 0: never
	Share int           `yaml:"share"` // of the time that it may be at work, 1 to 100 per cent
}

// BatchConfig closes a batch, whichever comes first.
type BatchConfig struct {
	Rows  int           `yaml:"rows"`  // of all tables together; 1 to 500,000
	Bytes int           `yaml:"bytes"` // of the records; bounds the memory of a batch
	Age   time.Duration `yaml:"age"`   // since its first record; about one insert per table and age
	// InFlight is how many batches may be on their way to ClickHouse at the same time;
	// with the one that is read into it bounds what the sink holds while ClickHouse is away.
	InFlight int `yaml:"in_flight"`
}

// RetryConfig paces the attempts to insert, which never end.
type RetryConfig struct {
	Initial time.Duration `yaml:"initial"` // wait after the first failure
	Max     time.Duration `yaml:"max"`     // longest wait
	Timeout time.Duration `yaml:"timeout"` // of one attempt
}

// ReconcileConfig has one member of the group compare the tables with the log, now and
// then and slowly. It only looks: lapwing reconcile repairs.
type ReconcileConfig struct {
	Every         time.Duration `yaml:"every"`           // from the end of one comparison to the next; 0: never
	RowsPerSecond int           `yaml:"rows_per_second"` // read at most, of the log and of the tables
}

// Default is a sink on this machine.
func Default() Config {
	return Config{
		Brokers: []string{"127.0.0.1:9092"}, Prefix: "lapwing.", Group: "lapwing-sink", Generation: 1, Database: "lapwing", Migrate: true,
		Batch:     BatchConfig{Rows: 100_000, Bytes: 32 << 20, Age: time.Second, InFlight: 2},
		Retry:     RetryConfig{Initial: 100 * time.Millisecond, Max: 10 * time.Second, Timeout: 2 * time.Minute},
		Reconcile: ReconcileConfig{RowsPerSecond: 20_000},
		Customers: CustomersConfig{Every: 5 * time.Minute},
		KPI:       KPIConfig{Every: 15 * time.Minute, Share: 10},
	}
}

// GroupName is the consumer group with its generation.
func (c Config) GroupName() string { return fmt.Sprintf("%s.g%d", c.Group, c.Generation) }

// Layout is where the tables lie.
func (c Config) Layout() schema.Layout {
	return schema.Layout{Database: c.Database, Cluster: c.Cluster}
}

// Validate returns all that is wrong with the configuration.
func (c Config) Validate() error {
	var problems []error
	bad := func(ok bool, field string, value any, want string) {
		if !ok {
			problems = append(problems, fmt.Errorf("sink.%s: %v: want %s", field, value, want))
		}
	}
	bad(len(c.Brokers) > 0, "brokers", c.Brokers, "at least one host:port")
	bad(c.Group != "", "group", `""`, "a name")
	bad(c.Generation >= 1 && c.Generation <= 65_535, "generation", c.Generation, "1 to 65535")
	bad(c.Batch.Rows >= 1 && c.Batch.Rows <= 500_000, "batch.rows", c.Batch.Rows, "1 to 500000")
	bad(c.Batch.Bytes >= 1<<10 && c.Batch.Bytes <= 1<<30, "batch.bytes", c.Batch.Bytes, "1 KiB to 1 GiB")
	bad(c.Batch.Age >= time.Millisecond && c.Batch.Age <= time.Minute, "batch.age", c.Batch.Age, "1ms to 1m")
	bad(c.Batch.InFlight >= 1 && c.Batch.InFlight <= 16, "batch.in_flight", c.Batch.InFlight, "1 to 16")
	bad(c.Retry.Initial > 0, "retry.initial", c.Retry.Initial, "more than 0")
	bad(c.Retry.Max >= c.Retry.Initial, "retry.max", c.Retry.Max, "at least retry.initial")
	bad(c.Retry.Timeout >= time.Second, "retry.timeout", c.Retry.Timeout, "at least 1s")
	bad(c.Reconcile.Every >= 0, "reconcile.every", c.Reconcile.Every, "0, which is never, or more")
	bad(c.Reconcile.RowsPerSecond >= 1, "reconcile.rows_per_second", c.Reconcile.RowsPerSecond, "at least 1")
	bad(c.Customers.Every == 0 || c.Customers.Every >= time.Second && c.Customers.Every <= 24*time.Hour, "customers.every", c.Customers.Every, "0, or 1s to 24h")
	bad(c.KPI.Every == 0 || c.KPI.Every >= time.Second && c.KPI.Every <= 12*time.Hour, "kpi.every", c.KPI.Every, "0, which is never, or 1s to 12h")
	bad(c.KPI.Share >= 1 && c.KPI.Share <= 100, "kpi.share", c.KPI.Share, "1 to 100, per cent")
	for field, r := range map[string]struct{ keep, least time.Duration }{"activity": {c.Retain.Activity, MinActivity}, "exposures": {c.Retain.Exposures, 0}} {
		const day = 24 * time.Hour
		bad(r.keep == 0 || r.keep > 0 && r.keep >= r.least && r.keep%day == 0, "retain."+field, r.keep, fmt.Sprintf("0, or whole days, such as 9600h, and at least %s", max(r.least, day)))
	}
	if err := c.Layout().Check(); err != nil {
		problems = append(problems, fmt.Errorf("sink.database: %w", err))
	}
	return errors.Join(problems...)
}
