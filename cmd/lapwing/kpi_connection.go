// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"lapwing/sink/writer"
)

// clickHouseVariable holds an address or DSN, so that a password need not stand in
// the list of processes.
const clickHouseVariable = "LAPWING_CLICKHOUSE"

// clickHouseFlags say where ClickHouse is: a flag counts before the environment,
// that before the file, that before a ClickHouse on this machine.
type clickHouseFlags struct {
	config, address, user, password, database string
	cluster                                   string // only migrate has a flag for it
}

func (f *clickHouseFlags) add(c *cobra.Command) {
	c.Flags().StringVarP(&f.config, "config", "c", "", "configuration `FILE`: its section clickhouse counts")
	c.Flags().StringVar(&f.address, "clickhouse", "", "`ADDRESS` of ClickHouse, host:port of the native protocol or clickhouse://user:password@host:port/database (environment "+clickHouseVariable+", default 127.0.0.1:9000)")
	c.Flags().StringVar(&f.user, "user", "", "`USER` of ClickHouse (default \"default\")")
	c.Flags().StringVar(&f.password, "password", "", "`PASSWORD` of that user")
	c.Flags().StringVar(&f.database, "database", "", "`DATABASE` (default \"lapwing\")")
}

// connection puts together what the file, the environment and the flags say.
func (f *clickHouseFlags) connection(env func(string) string) (writer.Connection, error) {
	file := struct {
		ClickHouse writer.Connection `yaml:"clickhouse"`
	}{writer.DefaultConnection()}
	if f.config != "" {
		text, err := os.ReadFile(f.config)
		if err != nil {
			return writer.Connection{}, fmt.Errorf("read configuration: %w", err)
		}
		// Only the one section is of interest here, so that a file which another
		// command would refuse still says where ClickHouse is.
		if err := yaml.Unmarshal(text, &file); err != nil {
			return writer.Connection{}, fmt.Errorf("read %s: %w", f.config, err)
		}
	}
	c := file.ClickHouse
	for _, address := range []string{env(clickHouseVariable), f.address} {
		if address == "" {
			continue
		}
		if err := setAddress(&c, address); err != nil {
			return writer.Connection{}, err
		}
	}
	for _, set := range []struct {
		to    *string
		value string
	}{{&c.User, f.user}, {&c.Password, f.password}, {&c.Database, f.database}, {&c.Cluster, f.cluster}} {
		if set.value != "" {
			*set.to = set.value
		}
	}
	if err := c.Validate(); err != nil {
		return writer.Connection{}, &exitError{code: exitUsage, err: err}
	}
	return c, nil
}

// setAddress takes host:port, or a DSN with whatever it names.
func setAddress(c *writer.Connection, address string) error {
	if !strings.Contains(address, "://") {
		c.Addresses = strings.Split(address, ",")
		return nil
	}
	o, err := clickhouse.ParseDSN(address)
	if err != nil || o.Protocol != clickhouse.Native {
		return usageError("address of ClickHouse: want host:port or clickhouse://user:password@host:port/database, the native protocol")
	}
	c.Addresses, c.TLS = o.Addr, o.TLS != nil
	for _, set := range []struct {
		to    *string
		value string
	}{{&c.User, o.Auth.Username}, {&c.Password, o.Auth.Password}, {&c.Database, o.Auth.Database}} {
		if set.value != "" {
			*set.to = set.value
		}
	}
	return nil
}

// open connects and asks for an answer, within the time to dial and a little more.
func (f *clickHouseFlags) open(ctx context.Context, env func(string) string) (driver.Conn, string, error) {
	c, err := f.connection(env)
	if err != nil {
		return nil, "", err
	}
	conn, err := writer.Open(c)
	if err != nil {
		return nil, "", err
	}
	wait, cancel := context.WithTimeout(ctx, c.DialTimeout+5*time.Second)
	defer cancel()
	if err := conn.Ping(wait); err != nil {
		_ = conn.Close() // it never worked
		err = fmt.Errorf("reach ClickHouse at %s: %w; say where it is, and who you are, with --clickhouse, --user and --password or in %s", strings.Join(c.Addresses, ", "), err, clickHouseVariable)
		if ctx.Err() != nil {
			return nil, "", interrupted(ctx)
		}
		return nil, "", unreachable(err)
	}
	return conn, c.Database, nil
}
