// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/topics"
)

// kafkaFlags say where Kafka is: a flag counts before the environment, that before the
// file, that before a Kafka on this machine.
type kafkaFlags struct {
	config  string
	brokers []string
}

func (f *kafkaFlags) add(c *cobra.Command) {
	c.Flags().StringVarP(&f.config, "config", "c", "", "configuration `FILE`: its section kafka counts")
	c.Flags().StringSliceVar(&f.brokers, "brokers", nil, "`HOST:PORT` of Kafka (environment "+brokersVariable+", default 127.0.0.1:9092)")
}

// place is a Kafka cluster and Lapwing's names in it.
type place struct {
	brokers []string
	prefix  string
	input   string // the first input topic
	opts    []kgo.Opt
}

func (f *kafkaFlags) place(ctx context.Context, a *app) (*place, error) {
	p := &place{brokers: []string{"127.0.0.1:9092"}, prefix: topics.DefaultPrefix, input: "events"}
	if f.config != "" {
		c, err := a.loadConfig(f.config) // with the environment's brokers
		if err != nil {
			return nil, err
		}
		if p.opts, err = c.Kafka.options(); err != nil {
			return nil, err
		}
		p.brokers, p.prefix, p.input = c.Kafka.Brokers, c.Kafka.Prefix, c.Stream.Inputs[0].Topic
	} else if brokers := a.env(brokersVariable); brokers != "" {
		p.brokers = strings.Split(brokers, ",")
	}
	if len(f.brokers) > 0 {
		p.brokers = f.brokers
	}
	if err := reach(ctx, p.brokers, p.opts); err != nil {
		return nil, err
	}
	p.opts = append(p.opts, kgo.SeedBrokers(p.brokers...))
	return p, nil
}
