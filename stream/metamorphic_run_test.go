// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"hash/fnv"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/definition"
	"lapwing/stream/lifecycle"
)

// metaRun runs the plan under one configuration, in a bubble of its own, and returns
// what was committed. A worker that fails or stands still fails t.
func metaRun(t *testing.T, p *metaPlan, c *metaConfig) (h metaHistory) {
	t.Helper()
	stateDir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := newMetaRunner(t, p, c, stateDir)
		r.feed()
		r.finish()
		h = readMetaHistory(r.world)
	})
	return h
}

// metaRunner feeds one world and does to its processes what the configuration says.
type metaRunner struct {
	world   *world
	plan    *metaPlan
	config  *metaConfig
	dir     string
	workers map[string]*running
	router  *running
	client  *kgo.Client
	groups  []int // by message: those of one group stay in one partition
	free    bool  // the messages of a customer may come through several partitions
}

func newMetaRunner(t *testing.T, p *metaPlan, c *metaConfig, dir string) *metaRunner {
	w := newWorld(t, []byte(p.definition), func(cfg *Config) {
		cfg.Lanes, cfg.Slots = c.lanes, c.slots
		cfg.MaxPollRecords, cfg.MaxTransactionRecords, cfg.Wave = c.poll, c.txn, c.wave
		cfg.CommitInterval = Interval{Min: c.min, Max: c.max}
		cfg.cache = c.cache << 10
		switch c.inputs {
		case "routed":
			cfg.Inputs = []Input{{Topic: "other"}}
		case "mixed":
			cfg.Inputs = []Input{{Topic: "events", Keyed: true}, {Topic: "other"}}
		}
	})
	r := &metaRunner{world: w, plan: p, config: c, dir: dir, workers: map[string]*running{}}
	r.client = w.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	r.start("one")
	r.startRouter()
	return r
}

func (r *metaRunner) start(instance string) {
	cfg := r.world.cfg
	cfg.Instance = instance
	if r.config.disk { // a folder of its own for each, which its successor finds again
		cfg.StateDir = filepath.Join(r.dir, instance)
	}
	r.workers[instance] = r.world.start(cfg)
}

func (r *metaRunner) startRouter() {
	if r.config.inputs != "keyed" {
		r.router = r.world.startRouter(r.world.cfg)
	}
}

// feed produces what arrives, a chunk at a time, and acts between two messages.
func (r *metaRunner) feed() {
	messages := r.plan.arrival(r.config)
	r.free = r.plan.free()
	r.groups = groupsOf(messages, r.free)
	actions := r.config.do
	var chunk []*kgo.Record
	flush := func() {
		if err := r.client.ProduceSync(r.world.t.Context(), chunk...).FirstErr(); err != nil {
			r.world.t.Fatal(err)
		}
		chunk = chunk[:0]
		time.Sleep(r.config.pause) // virtual
	}
	newest := 0
	for i := range messages {
		m := &messages[i]
		for newest = max(newest, m.op); len(actions) > 0 && actions[0].after < newest; actions = actions[1:] {
			flush()
			r.act(actions[0])
		}
		if m.end {
			// Where a lane has one source only: one that has ended holds back no clock
			// while another goes on.
			if r.config.inputs == "keyed" {
				flush()
				r.world.end(m.at)
			}
			continue
		}
		if chunk = append(chunk, r.record(i, m)); len(chunk) >= r.config.chunk {
			flush()
		}
	}
	flush()
	for _, a := range actions {
		r.act(a)
	}
}

// groupsOf tells which messages must stay in the order of the list: all of a customer,
// or, where the order of arrival is free, those that are tied.
func groupsOf(messages []metaMessage, free bool) []int {
	groups := make([]int, len(messages))
	for i := range messages {
		groups[i] = i
		for j := range i {
			if messages[i].customer != messages[j].customer || messages[i].end || messages[j].end {
				continue
			}
			if !free || messages[i].tick || messages[i].tied(&messages[j]) {
				for k := range i + 1 {
					if groups[k] == groups[i] && k != j {
						groups[k] = groups[j]
					}
				}
			}
		}
	}
	return groups
}

// free reports whether the order in which a customer's messages come from different
// partitions, which nothing bounds, may matter to nothing.
func (p *metaPlan) free() bool {
	def := parseMeta(p.definition)
	span := p.until().Time().Sub(day0.Time())
	return p.promise != metaOrdered && def.Dedupe > span && def.AnonymousRetention > span
}

// record puts a message where it may go: into its customer's lane of the keyed input,
// or into the routed input, in one partition with its group.
func (r *metaRunner) record(i int, m *metaMessage) *kgo.Record {
	h := fnv.New32a()
	_, _ = h.Write([]byte(m.customer))
	place := h.Sum32() / 7
	if r.free && !m.tick {
		place += uint32(r.groups[i])
	}
	routed := r.config.inputs == "routed"
	if r.config.inputs == "mixed" {
		routed = m.routed || !m.tick && place%2 == 0
	}
	rec := &kgo.Record{Topic: "events", Partition: Home(m.customer, r.config.lanes), Key: []byte(m.customer), Value: []byte(m.payload), Timestamp: m.at.Time()}
	if routed {
		rec.Topic, rec.Partition = "other", int32(place/2%metaRoutedPartitions)
		if m.routed {
			rec.Partition = int32(m.customer[len(m.customer)-1] - '0')
		}
	}
	return rec
}

// act does what there is to be done; what cannot be done is left out.
func (r *metaRunner) act(a metaAction) {
	time.Sleep(a.pause)
	if a.who == "router" {
		if r.router != nil {
			end(r.world.t, r.router, a.what == "kill")
			r.startRouter()
		}
		return
	}
	w := r.workers[a.who]
	switch {
	case a.what == "join" && w == nil:
		r.start(a.who)
	case a.what == "join" || w == nil:
	case a.what == "kill" || a.what == "stop":
		end(r.world.t, w, a.what == "kill")
		r.start(a.who)
	case a.who != metaInstances[0]: // leave, lose
		end(r.world.t, w, a.what == "lose")
		delete(r.workers, a.who)
	}
}

func end(t *testing.T, r *running, kill bool) {
	t.Helper()
	if kill {
		r.kill()
		return
	}
	r.stop(t)
}

// finish lets every clock go to the end of the plan, and every deadline up to it fire.
// The first instance does it alone: it knows of its own lanes only.
func (r *metaRunner) finish() {
	for _, instance := range metaInstances[1:] {
		if w := r.workers[instance]; w != nil {
			w.stop(r.world.t)
		}
	}
	r.evict()
	at := r.plan.until().Add(parseMeta(r.plan.definition).Lateness)
	r.world.end(at)
	r.world.wait(r.workers[metaInstances[0]], at)
	if r.router != nil {
		r.router.stop(r.world.t)
	}
	r.workers[metaInstances[0]].stop(r.world.t)
}

// evict waits until those who have gone are forgotten, and has the broker forget those
// who died while they waited for the answer to their joining: kfake sets the timer of a
// session with that answer, so without it such a member holds its lanes for ever. (Kafka
// sets it when the group has joined.)
func (r *metaRunner) evict() {
	if len(r.config.do) == 0 {
		return
	}
	time.Sleep(r.world.cfg.SessionTimeout + time.Second)
	var gone []string
	for _, instance := range metaInstances[1:] {
		cfg := r.world.cfg
		cfg.Instance = instance
		for slot := range cfg.Slots {
			gone = append(gone, cfg.member("", slot))
		}
	}
	// Each that is forgotten already is an error of its own, and none of ours.
	if _, err := kadm.NewClient(r.client).LeaveGroup(r.world.t.Context(), kadm.LeaveGroup(r.world.cfg.workerGroup()).InstanceIDs(gone...)); err != nil {
		r.world.t.Fatalf("evict who has gone: %v", err)
	}
}

// parseMeta reads a definition that a draw has made; see stands for others.
func parseMeta(source string) *definition.Definition {
	def, _ := definition.Parse("meta.yaml", []byte(source))
	return def
}

// stands reports whether the source is a definition without a problem.
func stands(source string) bool {
	def, problems := definition.Parse("meta.yaml", []byte(source))
	bad := func(p definition.Problem) bool { return !p.Warning }
	if def == nil || slices.ContainsFunc(problems, bad) {
		return false
	}
	model, problems := lifecycle.Compile(def)
	return model != nil && !slices.ContainsFunc(problems, bad)
}
