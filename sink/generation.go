// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"lapwing/schemas/topics"
	"lapwing/sink/batch"
)

// generationRecord is what the sink reads of a record about a generation.
type generationRecord struct {
	Generation int    `json:"generation"`
	State      string `json:"state"`
	TakenOver  bool   `json:"taken_over"`
}

// showEvery is how often a sink looks whether its generation has become the live one.
const showEvery = 5 * time.Second

// showGeneration has the views show this sink's generation once that is live, all its
// lanes have taken over, and everything that was written by then is in ClickHouse: so
// no half of a generation shows through. It ends when they do, or with ctx.
func (s *Sink) showGeneration(ctx context.Context) {
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.cfg.Brokers...)}, s.kafkaOpts...)...)
	if err != nil {
		s.log.Warn("the views' generation is not followed", zap.Error(err))
		return
	}
	defer client.Close()
	var ends Offsets // when it was found to be live
	tick := time.NewTicker(showEvery)
	defer tick.Stop()
	for {
		done, err := s.showOnce(ctx, client, &ends)
		if done || ctx.Err() != nil {
			return
		}
		if err != nil {
			s.log.Warn("whether the views show the live generation is unknown; it is looked at again", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *Sink) showOnce(ctx context.Context, client *kgo.Client, ends *Offsets) (done bool, err error) {
	var shown uint16
	if err := s.conn.QueryRow(ctx, `SELECT generation FROM `+s.cfg.Database+`.current_generation`).Scan(&shown); err != nil {
		return false, fmt.Errorf("read the generation that the views show: %w", err)
	}
	if int(shown) == s.cfg.Generation {
		return true, nil
	}
	live, err := s.liveGeneration(ctx)
	if err != nil || live.Generation != s.cfg.Generation || !live.TakenOver {
		return false, err
	}
	if *ends == nil {
		if *ends, err = s.EndOffsets(ctx); err != nil {
			return false, err
		}
	}
	committed, err := kadm.NewClient(client).FetchOffsets(ctx, s.cfg.GroupName())
	if err == nil {
		err = committed.Error()
	}
	if err != nil {
		return false, fmt.Errorf("fetch the group's positions: %w", err)
	}
	for topic, partitions := range *ends {
		for partition, end := range partitions {
			if o, ok := committed.Lookup(topic, partition); !ok || o.At < end {
				return false, nil // not yet
			}
		}
	}
	if err := s.conn.Exec(ctx, fmt.Sprintf(`INSERT INTO %s.generations_log (generation, switched_at) SETTINGS async_insert = 0 VALUES (%d, now64(3, 'UTC'))`, s.cfg.Database, s.cfg.Generation)); err != nil {
		return false, fmt.Errorf("write the generation: %w", err)
	}
	s.log.Info("the views show another generation", zap.Int("generation", s.cfg.Generation), zap.Uint16("before", shown))
	return true, nil
}

// liveGeneration reads from the definitions topic which generation is live.
func (s *Sink) liveGeneration(ctx context.Context) (live generationRecord, err error) {
	topic := s.cfg.Prefix + topics.Definitions
	reader, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(s.cfg.Brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumeTopics(topic), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	}, s.kafkaOpts...)...)
	if err != nil {
		return live, fmt.Errorf("create Kafka client: %w", err)
	}
	defer reader.Close()
	adm := kadm.NewClient(reader)
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	ends, e := adm.ListEndOffsets(ctx, topic)
	if err = errors.Join(err, e); err == nil {
		err = ends.Error()
	}
	if err != nil {
		return live, fmt.Errorf("find the end of topic %s: %w", topic, err)
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if start, ok := starts.Lookup(topic, o.Partition); ok && start.Offset < o.Offset {
			left[o.Partition] = o.Offset
		}
	})
	newest := map[string]generationRecord{}
	for len(left) > 0 {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return live, fmt.Errorf("read topic %s: %w", topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if batch.AboutGeneration(topics.Definitions, r.Key) {
				var g generationRecord
				if r.Value != nil {
					err = errors.Join(err, json.Unmarshal(r.Value, &g))
				}
				newest[string(r.Key)] = g
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
		if err != nil {
			return live, fmt.Errorf("read which generation is live: %w", err)
		}
	}
	for _, g := range newest {
		if g.State == "live" && g.Generation > live.Generation {
			live = g
		}
	}
	return live, nil
}
