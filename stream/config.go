// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/schemas/topics"
)

// ClockMode says what a source's clock is.
type ClockMode string

// The clock modes.
const (
	// ClockWall: the wall clock once a source is read to its end, the newest record
	// timestamp in a backlog.
	ClockWall ClockMode = "wall"
	// ClockEvent: the newest event time consumed, no wall clock at all; for replays.
	ClockEvent ClockMode = "event"
)

// ActivityMode says which accepted messages go to the activity topic.
type ActivityMode string

// The activity modes.
const (
	// ActivityAll: each of them.
	ActivityAll ActivityMode = "all"
	// ActivityReferenced: those that count as an event or an exposure of the definition.
	ActivityReferenced ActivityMode = "referenced"
	// ActivityOff: none; KPIs that need single messages say so.
	ActivityOff ActivityMode = "off"
)

// Interval is a least and a greatest duration.
type Interval struct {
	Min time.Duration `yaml:"min"`
	Max time.Duration `yaml:"max"`
}

// PublishAll is the value of Config.PublishFrom that publishes every change.
const PublishAll = "all"

// Input is one topic of events.
type Input struct {
	Topic string `yaml:"topic"`
	// Keyed: the record key is the customer, partitioned as Kafka's default
	// partitioner does over as many partitions as there are lanes: no detour.
	Keyed bool `yaml:"keyed"`
	// IgnoreClock takes the input out of the lanes' clocks: for imports of old events,
	// which may then be late.
	IgnoreClock bool `yaml:"ignore_clock"`
}

// Config is what a Worker and a Router need to know. Start from Default.
type Config struct {
	Brokers []string `yaml:"brokers"` // host:port, at least one
	Prefix  string   `yaml:"prefix"`  // before every topic's name
	Group   string   `yaml:"group"`   // names the consumer groups and transactional ids
	// Instance tells this process from the others of the group and must stay the same
	// over a restart: the successor takes over at once what its predecessor left open.
	Instance   string `yaml:"instance"`
	Generation uint32 `yaml:"generation"` // from 1; another one computes beside this one
	// Advertise is the host:port at which other processes of the group reach this one's
	// answers about customers; empty: they do not.
	Advertise string `yaml:"-"`
	Slots     int    `yaml:"slots"` // transactions that run beside each other in this process, 1 to 64
	Lanes     int32  `yaml:"lanes"` // partitions of the lanes' topics, 1 to 4096; fixed for a generation
	// From is the generation whose place this one is to take, if it has another prefix:
	// the way to another number of lanes. Of the same prefix it is the live one.
	From Origin `yaml:"from,omitempty"`
	// Replication of the topics that are created; -1: the cluster's default.
	Replication int16     `yaml:"replication"`
	Inputs      []Input   `yaml:"inputs"`
	Clock       ClockMode `yaml:"clock"`
	// PublishFrom: changes effective before it are history. An RFC 3339 time; "all"
	// publishes every change; empty: the definition's publish_from, else the moment
	// the definition was activated.
	PublishFrom string `yaml:"publish_from"`

	// CommitInterval bounds how long a transaction takes in events: Min while the lanes
	// are caught up, towards Max in a backlog.
	CommitInterval Interval `yaml:"commit_interval"`
	MaxPollRecords int      `yaml:"max_poll_records"` // records taken in at a time, 1 to 1,000,000
	// MaxTransactionRecords ends a transaction before its interval has passed.
	MaxTransactionRecords int `yaml:"max_transaction_records"`
	// Wave is how many silent customers of a lane have their deadlines fired in one
	// transaction: the wave of a midnight is spread over many, with live events between. As
	// many at most are brought over to a definition that follows.
	Wave int `yaml:"wave"`
	// MaxDelay bounds how long after its instant an assignment by a campaign's audience is
	// made, by the wall clock: nobody is sent in a rush what a long outage has held up. 0: no bound.
	MaxDelay time.Duration `yaml:"max_delay"`
	// StateDir holds the local store; empty: it lives in memory and is restored from
	// the changelog at each start.
	StateDir string `yaml:"state_dir"`
	// MemoryLimit is what the process should stay below, in bytes; the store and the
	// cache of customers are sized by it.
	MemoryLimit int64 `yaml:"-"`
	cache       int64 // of a test: the part of the cache of customers
	// ReadyLag is how far behind the ends of their partitions the lanes may be, in
	// records each, for the process to be ready.
	ReadyLag int64 `yaml:"ready_lag"`
	// Activity is which accepted messages go to the activity topic.
	Activity ActivityMode `yaml:"activity"`
	// Aggregates keeps counts and sums and writes them to the aggregates topic.
	Aggregates bool `yaml:"aggregates"`

	ClockInterval time.Duration `yaml:"clock_interval"` // how often clocks are asked for and forwarded, 10 ms to 1 s

	MaxMessageBytes int `yaml:"max_message_bytes"` // of an input message; more is a dead letter
	// MaxBatchBytes is what a batch of records of the inputs may unpack to, in bytes:
	// memory that someone else's few bytes can ask for. One that is larger is a dead
	// letter as a whole, without its bytes. No more than an eighth of MemoryLimit is used.
	MaxBatchBytes int           `yaml:"max_batch_bytes"`
	MaxDepth      int           `yaml:"max_depth"`  // levels of an input message
	MaxFuture     time.Duration `yaml:"max_future"` // how far an event may be ahead of its record

	// LeaveOnStop: a process that is told to stop hands its lanes to the others at once.
	// Without, they wait for it to come back, until the session times out.
	LeaveOnStop    bool          `yaml:"leave_on_stop"`
	SessionTimeout time.Duration `yaml:"session_timeout"` // of the consumer group
	// HeartbeatInterval is how soon a member that is idle learns that others join or
	// leave: they wait for it. At most a fifth of the session's timeout is used.
	HeartbeatInterval  time.Duration `yaml:"heartbeat_interval"`
	TransactionTimeout time.Duration `yaml:"transaction_timeout"` // longest an abandoned transaction holds up readers
}

// Default is a configuration with everything set but Brokers, Instance and Inputs.
func Default() Config {
	l := event.DefaultLimits()
	return Config{
		Prefix: topics.DefaultPrefix, Group: "lapwing", Generation: 1, Slots: 2, Lanes: 12, Replication: -1,
		Clock:          ClockWall,
		CommitInterval: Interval{Min: 20 * time.Millisecond, Max: time.Second}, MaxPollRecords: 20_000, MaxTransactionRecords: 100_000,
		Wave: 5_000, ClockInterval: 500 * time.Millisecond,
		MemoryLimit: 1 << 30, ReadyLag: 10_000, Activity: ActivityAll, Aggregates: true,
		MaxMessageBytes: l.MaxBytes, MaxBatchBytes: 128 << 20, MaxDepth: l.MaxDepth, MaxFuture: l.MaxFuture,
		LeaveOnStop:       true,
		HeartbeatInterval: 500 * time.Millisecond,
		SessionTimeout:    15 * time.Second, TransactionTimeout: 10 * time.Second,
	}
}

// Kafka's rule for a topic's name; a prefix and a group keep to it too.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// Validate reports every problem, each with the field, its value and what would be right.
func (c *Config) Validate() error {
	var problems []error
	bad := func(field string, value any, want string) {
		problems = append(problems, fmt.Errorf("%s is %v: want %s", field, value, want))
	}
	if len(c.Brokers) == 0 {
		bad("brokers", "[]", "at least one host:port")
	}
	if c.Prefix != "" && !topicName.MatchString(c.Prefix) {
		bad("prefix", fmt.Sprintf("%q", c.Prefix), "letters, digits, dots, underscores and dashes")
	}
	for field, value := range map[string]string{"group": c.Group, "instance": c.Instance} {
		if !topicName.MatchString(value) {
			bad(field, fmt.Sprintf("%q", value), "1 to 249 letters, digits, dots, underscores and dashes")
		}
	}
	if c.Generation == 0 || c.Generation > maxGeneration {
		bad("generation", c.Generation, "1 to 32767")
	}
	if f := c.From; f != (Origin{}) && (f.Generation == 0 || f.Generation > maxGeneration || f.Group == "" || f.Prefix == c.Prefix ||
		f.Group == c.Group && f.Generation == c.Generation) { // the groups' names have no prefix in them
		bad("from", fmt.Sprintf("%+v", f), "prefix, group and generation of what runs now: another prefix, and another generation or group, than this one's")
	}
	between(bad, "slots", c.Slots, 1, 64)
	between(bad, "lanes", c.Lanes, 1, 4096)
	if c.Replication == 0 || c.Replication < -1 {
		bad("replication", c.Replication, "-1 (the cluster's default) or at least 1")
	}
	c.validateInputs(bad)
	if c.Clock != ClockWall && c.Clock != ClockEvent {
		bad("clock", fmt.Sprintf("%q", c.Clock), `"wall" or "event"`)
	}
	if _, _, err := c.publishFrom(); err != nil {
		bad("publish_from", fmt.Sprintf("%q", c.PublishFrom), `an RFC 3339 time, "all", or nothing`)
	}
	between(bad, "commit_interval.min", c.CommitInterval.Min, time.Millisecond, 5*time.Second)
	between(bad, "commit_interval.max", c.CommitInterval.Max, max(time.Millisecond, c.CommitInterval.Min), 5*time.Second)
	between(bad, "max_poll_records", c.MaxPollRecords, 1, 1_000_000)
	between(bad, "max_transaction_records", c.MaxTransactionRecords, 1, 10_000_000)
	between(bad, "wave", c.Wave, 1, 1_000_000)
	between(bad, "max_delay", c.MaxDelay, 0, 3660*24*time.Hour)
	if c.MemoryLimit < minMemory || c.MemoryLimit > 1<<50 {
		bad("memory.limit", fmt.Sprintf("%d bytes", c.MemoryLimit), fmt.Sprintf("%d MiB to 1 PiB, such as 1GiB", minMemory>>20))
	}
	between(bad, "ready_lag", c.ReadyLag, 0, 1<<50)
	if c.Activity != ActivityAll && c.Activity != ActivityReferenced && c.Activity != ActivityOff {
		bad("activity", fmt.Sprintf("%q", c.Activity), `"all", "referenced" or "off"`)
	}
	between(bad, "clock_interval", c.ClockInterval, 10*time.Millisecond, time.Second)
	between(bad, "max_message_bytes", c.MaxMessageBytes, 1, topics.LargeMessageBytes/2)
	between(bad, "max_batch_bytes", c.MaxBatchBytes, topics.LargeMessageBytes, 1<<30)
	between(bad, "max_depth", c.MaxDepth, 1, 1000)
	between(bad, "max_future", c.MaxFuture, 0, 3660*24*time.Hour)
	between(bad, "session_timeout", c.SessionTimeout, time.Second, 5*time.Minute)
	between(bad, "heartbeat_interval", c.HeartbeatInterval, 50*time.Millisecond, time.Minute)
	between(bad, "transaction_timeout", c.TransactionTimeout, time.Second, 5*time.Minute)
	return errors.Join(problems...)
}

// minMemory is below what clients and store need at all.
const minMemory = 128 << 20

// How the memory limit is shared out. The store's part lies outside the collector's
// memory; the rest is for what is on its way to and from the broker, and for the
// collector's headroom.
func (c *Config) storeMemory() int64 { return c.MemoryLimit / 5 }

func (c *Config) cacheMemory() int64 {
	if c.cache > 0 {
		return c.cache
	}
	return c.MemoryLimit / 5
}

// seenBits is the size of a lane's filter of its customers: enough for six million in all
// lanes at 1 GiB, if one in a hundred may be mistaken.
func (c *Config) seenBits() uint { return uint(c.MemoryLimit/128*8) / uint(c.Lanes) }

// programMemory is the program's own text, and what little else is not counted.
const programMemory = 48 << 20

// CollectorMemory is what the garbage collector must keep to: the rest, but for what the
// store's allocator wastes beyond its part.
func (c *Config) CollectorMemory() int64 {
	return c.MemoryLimit - c.storeMemory() - c.MemoryLimit/64 - programMemory
}

// batchBytes is what a batch may unpack to. While it grows it takes three times as much.
func (c *Config) batchBytes() int {
	return max(topics.LargeMessageBytes, int(min(int64(c.MaxBatchBytes), c.MemoryLimit/8)))
}

// transactionBytes bounds what one transaction may hold back until it is committed.
func (c *Config) transactionBytes() int {
	return int(min(max(c.MemoryLimit/64, 4<<20), 64<<20)) / c.Slots
}

// fetchBytes bounds what one answer of a broker holds, packed: JSON events unpack to
// four times as much and more, and three answers may be at hand.
func (c *Config) fetchBytes() int32 {
	return int32(min(max(c.MemoryLimit/400/int64(c.Slots), 256<<10), 8<<20))
}

// poolBytes bounds what is kept of the memory that answers were unpacked into.
func (c *Config) poolBytes() int { return 12 * int(c.fetchBytes()) * c.Slots }

// waitingBytes bounds what a slot has committed and not yet in the store.
func (c *Config) waitingBytes() int { return int(c.MemoryLimit/64) / c.Slots }

// maxGeneration leaves a row's version (generation << 48 | offset) positive.
const maxGeneration = 1<<15 - 1

func (c *Config) validateInputs(bad func(field string, value any, want string)) {
	if len(c.Inputs) == 0 {
		bad("inputs", "[]", "at least one topic")
		return
	}
	seen := map[string]bool{}
	holds := false
	for i, in := range c.Inputs {
		field := fmt.Sprintf("inputs[%d].topic", i)
		switch {
		case !topicName.MatchString(in.Topic):
			bad(field, fmt.Sprintf("%q", in.Topic), "a topic's name")
		case seen[in.Topic]:
			bad(field, fmt.Sprintf("%q", in.Topic), "each topic once")
		case c.ours(in.Topic):
			bad(field, fmt.Sprintf("%q", in.Topic), "a topic that Lapwing does not write itself")
		}
		seen[in.Topic] = true
		holds = holds || !in.IgnoreClock
	}
	if !holds {
		bad("inputs", "all with ignore_clock", "at least one input that the clock follows")
	}
}

func (c *Config) ours(topic string) bool {
	for _, t := range topics.All() {
		if t.Full(c.Prefix) == topic {
			return true
		}
	}
	return false
}

func between[T int | int32 | int64 | time.Duration](bad func(string, any, string), field string, v, low, high T) {
	if v < low || v > high {
		bad(field, v, fmt.Sprintf("%v to %v", low, high))
	}
}

// publishFrom is the instant of PublishFrom; set is false if it is empty.
func (c *Config) publishFrom() (at instant.Instant, set bool, err error) {
	switch c.PublishFrom {
	case "":
		return instant.None, false, nil
	case PublishAll:
		return instant.None, true, nil
	}
	at, ok := instant.Parse(c.PublishFrom)
	if !ok {
		return instant.None, false, fmt.Errorf("%q is no RFC 3339 time", c.PublishFrom)
	}
	return at, true, nil
}

func (c *Config) topic(name string) string { return c.Prefix + name }

// workerGroup and routerGroup carry the generation, so that generations read apart.
func (c *Config) workerGroup() string { return fmt.Sprintf("%s.g%d", c.Group, c.Generation) }
func (c *Config) routerGroup() string { return fmt.Sprintf("%s-router.g%d", c.Group, c.Generation) }

// member is the stable name of one slot: instance id and transactional id.
func (c *Config) member(role string, slot int) string {
	if role == "" {
		return fmt.Sprintf("%s-%s-%d", c.workerGroup(), c.Instance, slot)
	}
	return fmt.Sprintf("%s-%s-%d", c.routerGroup(), c.Instance, slot)
}

func (c *Config) limits() event.Limits {
	return event.Limits{MaxBytes: c.MaxMessageBytes, MaxDepth: c.MaxDepth, MaxFuture: c.MaxFuture}
}

// keyed and routed are the topics of the two ways in.
func (c *Config) keyed() []string  { return c.inputTopics(true) }
func (c *Config) routed() []string { return c.inputTopics(false) }

func (c *Config) inputTopics(keyed bool) []string {
	var names []string
	for _, in := range c.Inputs {
		if in.Keyed == keyed {
			names = append(names, in.Topic)
		}
	}
	return names
}

// sources are all sources that can reach a lane and hold its clock; partitions gives
// the number of partitions of each routed input.
func (c *Config) sources(lane int32, partitions map[string]int32) []mailbox.Source {
	var s []mailbox.Source
	for _, in := range c.Inputs {
		switch {
		case in.IgnoreClock:
		case in.Keyed:
			s = append(s, mailbox.Source{Topic: in.Topic, Partition: lane})
		default:
			for p := range partitions[in.Topic] {
				s = append(s, mailbox.Source{Topic: in.Topic, Partition: p})
			}
		}
	}
	return s
}
