// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lapwing/schemas/record"
	"lapwing/sink/batch"
	"lapwing/sink/committed"
	"lapwing/sink/reconcile"
	"lapwing/sink/sinktest"
)

func (w *world) client(opts ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(w.cfg.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

// TestLagIsNoDifference: what the sink has not committed is not compared, nor is a
// partition of which it has committed nothing; that is said.
func TestLagIsNoDifference(t *testing.T) {
	w := newWorld(t, "lag", 11)
	records := w.history.Records(1)
	sinktest.Produce(t, w.cfg.Brokers, records)
	report := w.equal()
	if len(report.Entries) != 0 || len(report.Unread) == 0 {
		t.Errorf("nothing is committed, and the report is %+v", report)
	}
	w.sink()
	whole := w.equal()
	if len(whole.Unread) != 0 {
		t.Errorf("all is committed, and unread is %v", whole.Unread)
	}
	sinktest.Produce(t, w.cfg.Brokers, w.newer())
	behind := w.equal()
	facts := regexp.MustCompile(`(?m)^(profiles|aggregates|settings|definitions).*\n`) // the others have newer ones, which are not judged
	if got, want := facts.ReplaceAllString(text2(behind), ""), facts.ReplaceAllString(text2(whole), ""); got != want || got == "" {
		t.Errorf("with a backlog the report is\n%s\nwithout\n%s", got, want)
	}
}

// text2 is every entry.
func text2(r *reconcile.Report) string {
	var b strings.Builder
	for _, e := range r.Entries {
		fmt.Fprintf(&b, "%s %s/%d [%d, %d) %d %d\n", e.Table, e.Topic, e.Partition, e.From, e.To, e.Expected, e.Found)
	}
	return b.String()
}

// TestAheadIsNoDifference: rows that the sink has written and not committed yet, and
// newer values that have taken the place of those that were committed, are as they
// should be.
func TestAheadIsNoDifference(t *testing.T) {
	w := newWorld(t, "ahead", 13)
	w.write(w.history.Records(1))
	before := w.positions()
	w.write(w.newer())
	w.commit(before)
	w.equal()
	w.sink()
	w.equal()
	w.exec("DELETE FROM {}.profiles_log WHERE 1")
	if w.compare().Equal() {
		t.Error("no profile is left, and nothing differs")
	}
}

// newer are the history's records once more, with other values where values replace each
// other.
func (w *world) newer() []batch.Record {
	for i := range w.history.Aggregates {
		w.history.Aggregates[i].Count += 7
	}
	for i := range w.history.Profiles {
		w.history.Profiles[i].Segments = append(w.history.Profiles[i].Segments, "newer")
	}
	return w.history.Records(1)
}

func (w *world) positions() kadm.Offsets {
	w.t.Helper()
	all, err := kadm.NewClient(w.client()).FetchOffsets(w.t.Context(), w.cfg.GroupName())
	if err != nil {
		w.t.Fatal(err)
	}
	return all.Offsets()
}

func (w *world) commit(all kadm.Offsets) {
	w.t.Helper()
	if err := kadm.NewClient(w.client()).CommitAllOffsets(w.t.Context(), w.cfg.GroupName(), all); err != nil {
		w.t.Fatal(err)
	}
}

// TestOtherGenerations: their records and rows are none of this one's business, also
// where their profiles have taken the place of ours in a compacted log.
func TestOtherGenerations(t *testing.T) {
	w := newWorld(t, "generations", 15)
	w.write(w.lasting())
	of := func(n int) func(*reconcile.Config, *reconcile.Deps) {
		return func(c *reconcile.Config, _ *reconcile.Deps) {
			cfg := w.cfg
			cfg.Generation = n
			c.Generation, c.Group = uint16(n), cfg.GroupName()
		}
	}
	sinktest.Produce(t, w.cfg.Brokers, sinktest.New(16, time.UTC, size).Records(2))
	w.sink() // passes over them
	w.broker.Compact()
	w.equal()
	w.cfg.Generation = 2
	w.sink()
	w.equal(of(2))
	w.exec("DELETE FROM {}.activity_log WHERE _generation = 2 AND _offset % 5 = 0")
	w.equal(of(1))
	if w.compare(of(2)).Equal() {
		t.Error("rows of generation 2 are gone, and nothing differs")
	}
}

// TestTrimmedLog: what retention has removed from the log is compared no more, and is
// no difference in the tables; nor is what is removed in the middle of a comparison.
func TestTrimmedLog(t *testing.T) {
	w := newWorld(t, "trimmed", 17)
	w.write(w.history.Records(1))
	all := w.equal()
	if err := w.broker.DeleteRecords("lapwing.activity", 0, 50); err != nil {
		t.Fatal(err)
	}
	w.equal()
	w.exec("DELETE FROM {}.activity_log WHERE _partition = 0 AND _offset < 50")
	report := w.equal()
	if len(text2(report)) >= len(text2(all)) && text2(report) == text2(all) {
		t.Error("the log's start is not where the comparison begins")
	}
	// Between asking for the start and reading from it, more goes.
	var trimmed atomic.Bool
	w.broker.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.broker.KeepControl()
		if trimmed.CompareAndSwap(false, true) {
			go func() { _ = w.broker.DeleteRecords("lapwing.activity", 1, 30) }()
			return nil, errors.New("connection cut"), true // the client asks again
		}
		return nil, nil, false
	})
	w.equal()
	if !trimmed.Load() {
		t.Fatal("nothing was fetched")
	}
}

// TestAbortedTail: up to where the group stands, nothing but an aborted record is left,
// and its marker stands behind what is read. The comparison ends all the same.
func TestAbortedTail(t *testing.T) {
	w := newWorld(t, "tail", 18)
	w.write(w.history.Records(1))
	ctx := t.Context()
	topic := "lapwing.stage-changes"
	record := func() *kgo.Record {
		return &kgo.Record{Topic: topic, Partition: 0, Key: []byte("x"), Value: []byte("{}")}
	}
	aborting, open := w.client(kgo.TransactionalID("aborting")), w.client(kgo.TransactionalID("open"), kgo.TransactionTimeout(10*time.Minute)) // which outlasts the test
	begin := func(c *kgo.Client) int64 {
		if err := c.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		r, err := c.ProduceSync(ctx, record()).First()
		if err != nil {
			t.Fatal(err)
		}
		return r.Offset
	}
	begin(aborting)
	stable := begin(open) // all below it is decided once the other has ended
	if err := aborting.EndTransaction(ctx, kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	ends, err := kadm.NewClient(w.client()).ListCommittedOffsets(ctx, topic)
	if end, ok := ends.Lookup(topic, 0); err != nil || !ok || end.Offset != stable {
		t.Fatalf("decided up to %d (%v), want %d: the test shows nothing", end.Offset, err, stable)
	}
	all := w.positions()
	at := all[topic][0]
	at.At = stable
	all[topic][0] = at
	w.commit(all)
	report := w.equal()
	for _, e := range report.Entries {
		if e.Topic == topic && e.Partition == 0 && e.To != stable {
			t.Errorf("compared up to %d, want %d", e.To, stable)
		}
	}
}

// TestCompactedLog: of profiles that were replaced, and of customers that ended, a
// compacted log has no trace; of those that it has, none may be missing.
func TestCompactedLog(t *testing.T) {
	w := newWorld(t, "compacted", 19)
	w.write(w.lasting())
	records := w.history.Records(1)
	before := w.kept()
	w.broker.Compact()
	if after := w.kept(); after >= before {
		t.Fatalf("%d records before the compaction, %d after: the test shows nothing", before, after)
	}
	w.equal()
	// A profile is replaced after the sink's position, and the older one is compacted away.
	sinktest.Produce(t, w.cfg.Brokers, records)
	w.broker.Compact()
	w.equal()
	w.sink()
	w.exec("DELETE FROM {}.definitions_log WHERE 1")
	done := w.repair()
	if done.Before.Equal() || !done.After.Equal() {
		t.Errorf("before:\n%s\nafter:\n%s", text(done.Before), text(done.After))
	}
}

// lasting are the history's records behind profiles that nothing ever replaces, so that a
// compaction leaves the log's start where it is.
func (w *world) lasting() []batch.Record {
	var all []batch.Record
	for p := range int32(sinktest.Lanes) {
		profile := record.Profile{CustomerID: fmt.Sprintf("lasting-%d", p)}
		all = append(all, batch.Record{Topic: "lapwing.profiles", Name: "profiles", Partition: p, Generation: 1, Key: []byte(profile.CustomerID), Value: profile.AppendJSON(nil)})
	}
	return append(all, w.history.Records(1)...)
}

// kept is how many records the log of profiles has.
func (w *world) kept() int {
	w.t.Helper()
	n := 0
	for p := range int32(sinktest.Lanes) {
		log := w.broker.PartitionInfo("lapwing.profiles", p)
		err := committed.Read(w.t.Context(), []kgo.Opt{kgo.SeedBrokers(w.cfg.Brokers...)}, committed.Span{Topic: "lapwing.profiles", Partition: p, From: log.LogStartOffset, To: log.HighWatermark},
			func(*kgo.Record) error { n++; return nil })
		if err != nil {
			w.t.Fatal(err)
		}
	}
	return n
}

// TestRecreatedTopic: a log that ends before where the sink stands is not the one that
// it has read, and that is said.
func TestRecreatedTopic(t *testing.T) {
	w := newWorld(t, "recreated", 20)
	w.write(w.history.Records(1))
	all := w.positions()
	at := all["lapwing.activity"][1]
	at.At += 1000
	all["lapwing.activity"][1] = at
	w.commit(all)
	_, err := w.reconciler().Compare(t.Context())
	if err == nil || !strings.Contains(err.Error(), "was a topic made anew? lapwing.activity, partition 1: the sink has committed") {
		t.Errorf("got %v", err)
	}
}

// TestUnreadable: records that gave no rows are compared by the rows that keep them; a
// row that ClickHouse refused is missing from its table, and no difference.
func TestUnreadable(t *testing.T) {
	w := newWorld(t, "unread", 21)
	records := w.history.Records(1)
	bad := batch.Record{Topic: "lapwing.activity", Partition: 1, Key: []byte("k"), Value: []byte("\x00not JSON"), Generation: 1}
	w.write(append(records, bad))
	w.equal()
	w.exec("ALTER TABLE {}.unreadable_log UPDATE reason = 'in other words' WHERE 1")
	w.equal()
	w.exec("TRUNCATE TABLE {}.unreadable_log")
	if got := w.compare(); got.Rows() != 1 {
		t.Errorf("the unreadable record is lost; got\n%s", text(got))
	}
	if done := w.repair(); !done.After.Equal() || w.ask("SELECT count() FROM {}.unreadable") != "(1)\n" {
		t.Errorf("after the repair:\n%s", text(done.After))
	}
	// What the sink does with a row that ClickHouse refuses.
	w.exec(`INSERT INTO {}.unreadable_log (reason, value, _topic, _partition, _offset, _generation)
		SELECT 'refused by refunds_log: too large', 'row', _topic, _partition, _offset, _generation FROM {}.refunds_log ORDER BY _partition, _offset LIMIT 1`)
	w.exec("DELETE FROM {}.refunds_log WHERE (_topic, _partition, _offset) IN (SELECT _topic, _partition, _offset FROM {}.unreadable_log)")
	report := w.equal()
	refused := int64(0)
	for _, e := range report.Entries {
		refused += e.Refused
	}
	if refused == 0 {
		t.Error("the refused row is not told of")
	}
}

// TestReplacedFact: the same order under the same key once more, at another place, is
// what the table shows; the earlier one is not missing.
func TestReplacedFact(t *testing.T) {
	w := newWorld(t, "replaced", 22)
	records := w.history.Records(1)
	w.write(records)
	activity := func(records []batch.Record) []batch.Record {
		return slices.DeleteFunc(slices.Clone(records), func(r batch.Record) bool { return r.Name != "activity" })
	}
	// So many others are between that only one of the two is where the comparison looks.
	w.write(activity(sinktest.New(29, time.UTC, sinktest.Size{Customers: 200, Orders: 12}).Records(1)))
	w.write(activity(records)[:30])
	w.equal()
	w.exec("DELETE FROM {}.order_items_log WHERE _offset % 3 = 0") // of those, and of others
	done := w.repair()
	if done.Before.Equal() || !done.After.Equal() {
		t.Errorf("before:\n%s\nafter:\n%s", text(done.Before), text(done.After))
	}
}

// TestErased: of customers whose erasure is on record, nothing is compared on either
// side, and nothing is brought back.
func TestErased(t *testing.T) {
	w := newWorld(t, "erased", 23)
	w.write(w.history.Records(1))
	erased := func(_ *reconcile.Config, d *reconcile.Deps) {
		d.Erased = func(context.Context) ([]string, error) {
			return []string{"customer-9", "customer-5", "o'brien \\"}, nil
		}
	}
	all := w.equal(erased)
	if all.Erased != 3 {
		t.Errorf("%d erased customers are told of", all.Erased)
	}
	for _, table := range []string{"stage_changes", "segment_changes", "activity", "order_items", "refunds", "profiles"} {
		w.exec("DELETE FROM {}." + table + "_log WHERE customer_id = 'customer-5'")
	}
	w.equal(erased)
	if done := w.repair(erased); done.Inserted != 0 {
		t.Errorf("%d rows of an erased customer are back", done.Inserted)
	}
	if w.compare().Equal() {
		t.Error("without the record of the erasure nothing differs: the test shows nothing")
	}
}

// TestFewKeysAtOnce: with memory for a few keys only, the log is read part by part, and
// what is found is the same.
func TestFewKeysAtOnce(t *testing.T) {
	w := newWorld(t, "few", 24)
	w.write(w.history.Records(1))
	few := func(c *reconcile.Config, _ *reconcile.Deps) { c.MaxKeys = 100 }
	if got, want := text2(w.equal(few)), text2(w.equal()); got != want {
		t.Errorf("with few keys at once:\n%s\nwith all:\n%s", got, want)
	}
	w.exec("DELETE FROM {}.aggregates_log WHERE _offset % 7 = 0")
	w.exec("ALTER TABLE {}.profiles_log UPDATE traits = '{}' WHERE customer_id = 'customer-1'")
	if got, want := text(w.compare(few)), text(w.compare()); got != want || got == "" {
		t.Errorf("with few keys at once:\n%s\nwith all:\n%s", got, want)
	}
}

// TestPace: a bound of the rows per second holds for the log and for the tables.
func TestPace(t *testing.T) {
	w := newWorld(t, "pace", 25)
	w.write(w.history.Records(1))
	told := int64(0)
	began := time.Now()
	w.equal(func(c *reconcile.Config, d *reconcile.Deps) {
		c.RowsPerSecond, c.Topics = 2000, []string{"stage-changes"}
		d.Progress = func(_ string, done, total int64) {
			if done > total {
				t.Errorf("%d of %d", done, total)
			}
			told = done
		}
	})
	if least := time.Duration(float64(told)/2000*float64(time.Second)) / 2; told == 0 || time.Since(began) < least {
		t.Errorf("%d offsets at 2000 a second were read in %v", told, time.Since(began))
	}
}

// TestAway: a server that is not there is told from one that disagrees.
func TestAway(t *testing.T) {
	w := newWorld(t, "away", 26)
	w.write(w.history.Records(1))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := w.reconciler(func(c *reconcile.Config, d *reconcile.Deps) {
		c.Brokers = []string{"127.0.0.1:1"}
		d.KafkaOpts = []kgo.Opt{kgo.DialTimeout(time.Second), kgo.RequestRetries(1)}
	}).Compare(ctx)
	if !errors.Is(err, reconcile.ErrAway) {
		t.Errorf("without Kafka: %v", err)
	}
	_, err = w.reconciler(func(c *reconcile.Config, _ *reconcile.Deps) { c.Database = "nothing_here" }).Compare(ctx)
	if err == nil || errors.Is(err, reconcile.ErrAway) || !strings.Contains(err.Error(), "lapwing migrate --apply") {
		t.Errorf("without tables: %v", err)
	}
}
