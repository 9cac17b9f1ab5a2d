// SPDX-License-Identifier: Apache-2.0

//go:build linux

package stream

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"go.uber.org/zap"

	"lapwing/schemas/event"
	"lapwing/schemas/topics"
)

// Fault 29, what is large: batches of a few kilobytes that unpack to a gigabyte, and
// values of 50 MB, between the events of a customer. The worker, a process of its own,
// stays below its memory limit throughout, puts each aside once, with its cause and
// place, and goes on.
func TestChaos29Huge(t *testing.T) {
	const (
		unpacked = 1 << 30
		value    = 50_000_000
	)
	w := newTCPWorld(t, func(c *Config) { c.MemoryLimit = 512 << 20 })
	bought := func(i int) message {
		return message{customer: "ana", event: "Order Completed", id: fmt.Sprint("o", i), at: day0.Add(time.Duration(i) * dayLength)}
	}
	var good []message
	next := func() {
		m := bought(len(good))
		w.produce("events", m)
		good = append(good, m)
	}
	home := Home("ana", w.cfg.Lanes)
	until := day0.Add(400 * dayLength)
	c := startChild(t, order{Config: w.cfg, Until: until})
	next()
	bombs := []struct {
		name     string
		codec    int16
		compress func(io.Writer) (io.WriteCloser, error)
	}{
		{"zstd", 4, func(to io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(to) }},
		{"lz4", 3, func(to io.Writer) (io.WriteCloser, error) { return lz4.NewWriter(to), nil }},
		{"gzip", 1, func(to io.Writer) (io.WriteCloser, error) { return gzip.NewWriterLevel(to, gzip.BestSpeed) }},
	}[:chaosRounds(1, 3)]
	for _, b := range bombs {
		batch := bomb(t, b.codec, unpacked, b.compress)
		t.Logf("%s: a batch of %d bytes", b.name, len(batch))
		w.produceRaw("events", home, batch)
		next()
	}
	large := w.client(kgo.ProducerBatchMaxBytes(100<<20), kgo.MaxBufferedBytes(200<<20), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	packed := w.client(kgo.ProducerBatchMaxBytes(100<<20), kgo.MaxBufferedBytes(200<<20), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()))
	text := []byte(`{"type":"track","userId":"ana","event":"` + strings.Repeat("payload-of-somebody ", value/20) + `"}`)
	for _, client := range []*kgo.Client{large, packed} {
		rec := &kgo.Record{Topic: "events", Partition: home, Key: []byte("ana"), Value: text, Timestamp: day0.Time()}
		if err := client.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
			t.Fatal(err)
		}
		next()
	}
	w.end(until)
	var most int64
	deadline := time.Now().Add(2 * patience)
	for tick := time.NewTicker(20 * time.Millisecond); c.running(); <-tick.C {
		most = max(most, peakMemory(t, c))
		if time.Now().After(deadline) {
			t.Fatalf("the worker stands at %+v", c.word())
		}
	}
	if end := c.word().End; end != "done" {
		t.Fatalf("the worker ended with %q", end)
	}
	t.Logf("at most %d MB of memory", most>>20)
	if most == 0 || most > w.cfg.MemoryLimit {
		t.Errorf("the worker used %d MB of memory, its limit is %d MB", most>>20, w.cfg.MemoryLimit>>20)
	}
	w.judged(good, until)
	places := map[string]int{}
	cut := 0
	for _, d := range w.all(topics.DeadLetters) {
		places[header(d, "source_partition")+"/"+header(d, "source_offset")]++
		if header(d, "cause") != string(event.TooLarge) || header(d, "source_topic") != "events" {
			t.Errorf("a dead letter says %v", d.Headers)
		}
		if header(d, "original_bytes") == fmt.Sprint(len(text)) && bytes.HasPrefix(text, d.Value) && len(d.Value) > 1<<20 {
			cut++
		}
	}
	for place, n := range places {
		if n != 1 {
			t.Errorf("%d dead letters of %s, want one", n, place)
		}
	}
	if len(places) != len(bombs)+2 || cut != 2 {
		t.Errorf("%d dead letters, %d of them the beginning of a large value; want %d and 2", len(places), cut, len(bombs)+2)
	}
	if said := c.stderr.String(); strings.Contains(said, "payload-of-somebody") {
		t.Error("a payload is in the log")
	}
}

// newTCPWorld is a world outside a bubble, for workers in processes of their own: a
// broker that listens on this machine, and takes batches of any size.
func newTCPWorld(t *testing.T, change func(*Config)) *world {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{
		"message.max.bytes": "200000000", "group.initial.rebalance.delay.ms": "0", "log.retention.ms": "-1",
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	w := &world{t: t, cluster: cluster, now: time.Now, log: zap.NewNop(), dial: new(net.Dialer).DialContext}
	w.cfg, w.def = testConfig(cluster.ListenAddrs()), parse(t, withCampaigns(t))
	change(&w.cfg)
	for _, in := range w.cfg.Inputs {
		if err := cluster.CreateTopic(in.Topic, w.cfg.Lanes, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := EnsureTopics(t.Context(), w.client(), &w.cfg); err != nil {
		t.Fatal(err)
	}
	return w
}

// peakMemory is the most memory that a process has had at once, in bytes.
func peakMemory(t *testing.T, c *child) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0 // it has ended
	}
	for line := range strings.SplitSeq(string(status), "\n") {
		var kilobytes int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kilobytes); n == 1 {
			return kilobytes << 10
		}
	}
	return 0
}

// bomb is a batch of one record, whose value is so many blanks.
func bomb(t *testing.T, codec int16, unpacked int64, compress func(io.Writer) (io.WriteCloser, error)) []byte {
	t.Helper()
	// Attributes, timestamp and offset deltas, no key; behind the value, no headers.
	head := binary.AppendVarint([]byte{0, 0, 0, 1}, unpacked)
	var packed bytes.Buffer
	to, err := compress(&packed)
	if err != nil {
		t.Fatal(err)
	}
	body := io.MultiReader(
		bytes.NewReader(binary.AppendVarint(nil, int64(len(head))+unpacked+1)), bytes.NewReader(head),
		io.LimitReader(blanks{}, unpacked), bytes.NewReader([]byte{0}),
	)
	if _, err := io.Copy(struct{ io.Writer }{to}, body); err != nil { // some writers read by themselves, and not from every reader
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	batch := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, Attributes: codec, FirstTimestamp: int64(day0), MaxTimestamp: int64(day0),
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: 1, Records: packed.Bytes(),
	}
	raw := batch.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}

// blanks is a reader of blanks.
type blanks struct{}

func (blanks) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

// produceRaw writes a batch as it is.
func (w *world) produceRaw(topic string, partition int32, batch []byte) {
	w.t.Helper()
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 60_000
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, batch
	to := kmsg.NewProduceRequestTopic()
	to.Topic, to.Partitions = topic, append(to.Partitions, p)
	req.Topics = append(req.Topics, to)
	// The older request names the topic, the newer ones know it by its id.
	resp, err := req.RequestWith(w.t.Context(), w.client(kgo.MaxVersions(kversion.V3_6_0())))
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
	}
	if err != nil {
		w.t.Fatalf("produce a batch of %d bytes: %v", len(batch), err)
	}
}
