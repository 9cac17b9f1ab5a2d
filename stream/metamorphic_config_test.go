// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// metaLanes are the numbers of lanes that configurations have.
var metaLanes = []int32{1, 2, 4, 7}

// metaRoutedPartitions is how many partitions newWorld gives a routed input.
const metaRoutedPartitions = 3

// metaInstances are the processes that may run; the first is there from the beginning
// and at the end.
var metaInstances = []string{"one", "two", "three"}

// metaConfig is everything that must not matter. Its fields are named as in its text form.
type metaConfig struct {
	lanes    int32
	slots    int
	inputs   string // keyed, routed, mixed
	poll     int    // Config.MaxPollRecords
	txn      int    // Config.MaxTransactionRecords
	min, max time.Duration
	wave     int
	cache    int64 // of customers, in KiB
	disk     bool  // Config.StateDir in a temporary folder for each instance
	chunk    int   // messages produced at a time
	pause    time.Duration
	shuffle  uint64 // seed of another order of arrival, as far as the promise allows; 0: the list's
	again    uint64 // seed of further duplicates; 0: none
	do       []metaAction
}

// metaAction is something done to the processes once the operation has been produced.
type metaAction struct {
	after int // number of the operation, or the next one that is there
	pause time.Duration
	what  string // kill, stop, join, leave, lose
	who   string // an instance, or router
}

// String gives the form that parseMetaConfig reads.
func (c metaConfig) String() string {
	fields := []string{
		fmt.Sprintf("lanes=%d", c.lanes), fmt.Sprintf("slots=%d", c.slots), "inputs=" + c.inputs,
		fmt.Sprintf("poll=%d", c.poll), fmt.Sprintf("txn=%d", c.txn), fmt.Sprintf("min=%s", c.min), fmt.Sprintf("max=%s", c.max),
		fmt.Sprintf("wave=%d", c.wave), fmt.Sprintf("cache=%d", c.cache), fmt.Sprintf("disk=%t", c.disk),
		fmt.Sprintf("chunk=%d", c.chunk), fmt.Sprintf("pause=%s", c.pause), fmt.Sprintf("shuffle=%d", c.shuffle), fmt.Sprintf("again=%d", c.again),
	}
	var actions []string
	for _, a := range c.do {
		actions = append(actions, fmt.Sprintf("#%d+%s:%s:%s", a.after, a.pause, a.what, a.who))
	}
	return strings.Join(append(fields, "do="+strings.Join(actions, ",")), " ")
}

func parseMetaConfig(text string) (metaConfig, error) {
	c := plainMetaConfig()
	for _, field := range strings.Fields(text) {
		name, value, _ := strings.Cut(field, "=")
		if err := c.set(name, value); err != nil {
			return c, fmt.Errorf("config %s: %w", field, err)
		}
	}
	return c, nil
}

func (c *metaConfig) set(name, value string) (err error) {
	whole := func(bits int) (n int64) {
		if err == nil {
			n, err = strconv.ParseInt(value, 10, bits)
		}
		return n
	}
	switch name {
	case "lanes":
		c.lanes = int32(whole(32))
	case "slots":
		c.slots = int(whole(32))
	case "inputs":
		c.inputs = value
	case "poll":
		c.poll = int(whole(32))
	case "txn":
		c.txn = int(whole(32))
	case "min":
		c.min, err = time.ParseDuration(value)
	case "max":
		c.max, err = time.ParseDuration(value)
	case "wave":
		c.wave = int(whole(32))
	case "cache":
		c.cache = whole(64)
	case "disk":
		c.disk, err = strconv.ParseBool(value)
	case "chunk":
		c.chunk = max(1, int(whole(32)))
	case "pause":
		c.pause, err = time.ParseDuration(value)
	case "shuffle":
		c.shuffle, err = strconv.ParseUint(value, 10, 64)
	case "again":
		c.again, err = strconv.ParseUint(value, 10, 64)
	case "do":
		c.do, err = parseMetaActions(value)
	default:
		err = fmt.Errorf("unknown setting")
	}
	return err
}

func parseMetaActions(text string) (out []metaAction, err error) {
	for action := range strings.SplitSeq(text, ",") {
		if action == "" {
			continue
		}
		parts := strings.Split(action, ":")
		if len(parts) != 3 || !strings.HasPrefix(parts[0], "#") {
			return nil, fmt.Errorf("no action: %q", action)
		}
		number, pause, _ := strings.Cut(parts[0][1:], "+")
		a := metaAction{what: parts[1], who: parts[2]}
		if a.after, err = strconv.Atoi(number); err != nil {
			return nil, fmt.Errorf("read the number of an operation: %w", err)
		}
		if a.pause, err = time.ParseDuration(pause); err != nil {
			return nil, fmt.Errorf("read a pause: %w", err)
		}
		out = append(out, a)
	}
	return out, nil
}

// plainMetaConfig is the simplest there is: one lane, one process, everything in one go.
func plainMetaConfig() metaConfig {
	return metaConfig{
		lanes: 1, slots: 1, inputs: "keyed", poll: 1000, txn: 1000, min: 20 * time.Millisecond, max: time.Second,
		wave: 1000, cache: 1 << 20, chunk: 1000, pause: 10 * time.Millisecond,
	}
}

// drawMetaConfig draws a configuration for a list of so many operations.
func drawMetaConfig(r *rand.Rand, ops int, promise metaPromise) metaConfig {
	c := metaConfig{
		lanes: one(r, metaLanes...), slots: 1 + r.IntN(3), inputs: one(r, "keyed", "keyed", "routed", "mixed"),
		poll: one(r, 1, 2, 5, 20, 1000), txn: one(r, 1, 3, 10, 1000), wave: one(r, 1, 2, 7, 1000),
		cache: one[int64](r, 1, 16, 1<<20), disk: r.IntN(2) == 0,
		chunk: one(r, 1, 4, 20, 1000), pause: one(r, time.Millisecond, 15*time.Millisecond, 400*time.Millisecond),
	}
	c.min = one(r, time.Millisecond, 5*time.Millisecond, 20*time.Millisecond)
	c.max = c.min * one[time.Duration](r, 1, 1, 10, 50)
	if promise != metaOrdered && r.IntN(4) > 0 {
		c.shuffle = 1 + r.Uint64N(1_000_000)
	}
	if r.IntN(2) == 0 {
		c.again = 1 + r.Uint64N(1_000_000)
	}
	for range r.IntN(6) {
		a := metaAction{after: 1 + r.IntN(ops), pause: time.Duration(r.IntN(120)) * time.Millisecond}
		a.what = one(r, "kill", "kill", "stop", "join", "join", "leave", "lose")
		switch {
		case a.what == "join" || a.what == "leave" || a.what == "lose":
			a.who = one(r, metaInstances[1:]...)
		case c.inputs != "keyed" && r.IntN(3) == 0:
			a.who = "router"
		default:
			a.who = one(r, metaInstances...)
		}
		c.do = append(c.do, a)
	}
	slices.SortStableFunc(c.do, func(a, b metaAction) int { return a.after - b.after })
	return c
}

func one[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// simpler are the configurations that differ from the plain one by one thing less.
func (c metaConfig) simpler() []metaConfig {
	var out []metaConfig
	for i := range c.do {
		less := c
		less.do = slices.Delete(slices.Clone(c.do), i, i+1)
		out = append(out, less)
	}
	for field := range strings.FieldsSeq(plainMetaConfig().String()) {
		name, value, _ := strings.Cut(field, "=")
		less := c
		if name == "do" {
			continue
		}
		err := less.set(name, value)
		if less.min = min(less.min, less.max); err == nil && less.String() != c.String() {
			out = append(out, less)
		}
	}
	return out
}
