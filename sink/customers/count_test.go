// SPDX-License-Identifier: Apache-2.0

package customers_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"lapwing/deploy/embedded"
	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/sink/batch"
	"lapwing/sink/customers"
	"lapwing/sink/sinktest"
)

func TestMain(m *testing.M) {
	embedded.RunChild()
	os.Exit(m.Run())
}

const topic = "lapwing.activity"

// messages is a lane's activity: few customers, days around the ends of weeks, months and
// summer time, within the 35 days of hours, some of it too late.
func messages(rng *rand.Rand, lane int32, zone *time.Location, month time.Month, days []int, n int) (all []batch.Record, facts []record.Activity) {
	for offset := range n {
		day := time.Date(1997, month, days[rng.IntN(len(days))], []int{0, 1, 9, 23}[rng.IntN(4)], 15*rng.IntN(4), rng.IntN(2)*59, rng.IntN(2)*999e6, zone)
		a := record.Activity{
			CustomerID: fmt.Sprintf("customer-%d-%d", lane, rng.IntN(6)), EventTime: instant.Of(day), Type: "track", Event: "Any",
			SessionStart: instant.Of(day), TooLate: rng.IntN(8) == 0,
		}
		if rng.IntN(4) > 0 {
			a.Stages = append(a.Stages, record.StageAt{Model: "value", Stage: []string{"new", "lost"}[rng.IntN(2)]}, record.StageAt{Model: "other", Stage: "x"})
		}
		for range rng.IntN(3) {
			o := record.Occurrence{Event: []string{"purchase", "visit"}[rng.IntN(2)], At: a.EventTime, Refund: rng.IntN(4) == 0}
			if o.Refund {
				o.At, o.Key = a.EventTime.Add(-24*time.Hour), "k"
			}
			a.Occurrence = append(a.Occurrence, o)
		}
		facts = append(facts, a)
		all = append(all, batch.Record{Topic: topic, Name: "activity", Partition: lane, Offset: int64(offset), Generation: 1, Key: []byte(a.CustomerID), Value: a.AppendJSON(nil)})
	}
	return all, facts
}

// byHand counts distinct customers one message at a time.
func byHand(facts []record.Activity, lane int32, zone *time.Location) map[string]int {
	seen := map[string]map[string]bool{}
	for _, a := range facts {
		if a.TooLate {
			continue
		}
		local := a.EventTime.Time().In(zone)
		y, m, d := local.Date()
		sinceMonday := (int(local.Weekday()) + 6) % 7
		// The hour by the clock on the wall, also in zones that are not whole hours off.
		hour := local.Add(-time.Duration(local.Minute())*time.Minute - time.Duration(local.Second())*time.Second - time.Duration(local.Nanosecond()))
		events := []string{""}
		for _, o := range a.Occurrence {
			if !o.Refund {
				events = append(events, o.Event)
			}
		}
		for grain, at := range map[string]time.Time{
			"hour": hour, "day": instant.StartOfDay(y, m, d, zone), "week": instant.StartOfDay(y, m, d-sinceMonday, zone), "month": instant.StartOfDay(y, m, 1, zone),
		} {
			for _, event := range events {
				for _, s := range append([]record.StageAt{{}}, a.Stages...) {
					key := fmt.Sprintf("%d %s %s %s/%s/%s", lane, grain, at.UTC().Format("2006-01-02 15:04:05"), event, s.Model, s.Stage)
					if seen[key] == nil {
						seen[key] = map[string]bool{}
					}
					seen[key][a.CustomerID] = true
				}
			}
		}
	}
	counts := map[string]int{}
	for key, who := range seen {
		counts[key] = len(who)
	}
	return counts
}

// TestCustomersAgainstCountingByHand: whatever the order of the inserts, how they are cut
// and how often they come, in however many steps and by how many at once it is counted,
// and if one who is behind counts once more: the counts are those of the messages. What
// came too late counts nowhere; nothing is counted of what may not be in ClickHouse yet.
func TestCustomersAgainstCountingByHand(t *testing.T) {
	server := embeddedtest.ClickHouseForTest(t)
	ctx := context.Background()
	endOfMarch := []int{0, 1, 2, 3, 29, 30, 31}
	for seed, at := range []struct {
		zone  string
		month time.Month
		days  []int
	}{
		{"Europe/Berlin", time.March, endOfMarch},
		{"Asia/Kathmandu", time.March, endOfMarch},
		{"America/Santiago", time.October, []int{10, 11, 12, 13}}, // the 12th has no midnight
		{"Asia/Amman", time.September, []int{17, 18, 19, 20}},     // the 19th has two
	} {
		t.Run(at.zone, func(t *testing.T) {
			zone, err := time.LoadLocation(at.zone)
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(uint64(seed), 3))
			d := sinktest.NewDatabase(t, server.Options(), fmt.Sprintf("customers_%d", seed))
			counter := &customers.Counter{Conn: d.Conn, Database: d.Name, Generation: 1, Topic: topic}
			if n, err := counter.Count(ctx, 0, 10); n != 0 || err != nil {
				t.Fatalf("without a definition: %d, %v", n, err)
			}
			definition := fmt.Sprintf(`{"name":"shop","version":1,"activated_at":"1997-01-01T00:00:00Z","timezone":%q,"models":[],"segments":[]}`, at.zone)
			if err := d.Insert(ctx, []batch.Record{{Topic: "lapwing.definitions", Name: "definitions", Generation: 1, Key: []byte("shop"), Value: []byte(definition)}}); err != nil {
				t.Fatal(err)
			}
			want := map[string]int{}
			for lane := range int32(2) {
				all, facts := messages(rng, lane, zone, at.month, at.days, 160)
				bounds := []int{0, 40, 41, 148, 149, 150} // at last one message at a time: of a day alone
				for i, to := range bounds[1:] {
					part := slices.Clone(all[bounds[i]:to])
					for _, r := range all[:to] { // some once more
						if rng.IntN(4) == 0 {
							part = append(part, r)
						}
					}
					if rng.IntN(2) == 0 { // what lies behind the bound may be there in part
						part = append(part, all[155])
					}
					rng.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
					for len(part) > 0 {
						n := 1 + rng.IntN(len(part))
						if err := d.Insert(ctx, part[:n]); err != nil {
							t.Fatal(err)
						}
						part = part[n:]
					}
					var group errgroup.Group
					for range 1 + rng.IntN(2) {
						group.Go(func() error { _, err := counter.Count(ctx, lane, int64(to)); return err })
					}
					if err := group.Wait(); err != nil {
						t.Fatal(err)
					}
				}
				if n, err := counter.Count(ctx, lane, 150); n != 0 || err != nil {
					t.Errorf("nothing is new, and yet: %d, %v", n, err)
				}
				if n, err := counter.Count(ctx, lane, 41); n != 0 || err != nil {
					t.Errorf("who is behind counted %d, %v", n, err)
				}
				maps.Copy(want, byHand(facts[:150], lane, zone))
			}
			text, err := d.Text(ctx, "SELECT lane, grain, toString(toDateTime(period, 'UTC')), event, model, stage, count FROM "+d.Name+".aggregates WHERE measure = 'customers' AND definition = 'shop'")
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]int{}
			for line := range strings.Lines(text) {
				f := strings.Split(strings.Trim(line, "()\n"), ",")
				for i := range f {
					f[i] = strings.Trim(f[i], "'")
				}
				key := fmt.Sprintf("%s %s %s %s/%s/%s", f[0], f[1], f[2], f[3], f[4], f[5])
				if got[key] != 0 {
					t.Fatalf("two counts of %s", key)
				}
				if got[key], err = strconv.Atoi(f[6]); err != nil {
					t.Fatal(err)
				}
			}
			for key, n := range want {
				if got[key] != n {
					t.Errorf("%s: %d, want %d", key, got[key], n)
				}
			}
			if len(got) != len(want) || len(want) < 100 {
				t.Errorf("%d counts, want %d", len(got), len(want))
			}
		})
	}
}

// TestZoneOfCustomersChanges: after a version of the definition with another time zone a
// period that has new messages is counted by the new zone's dates, all of its messages, and
// the count by the former zone's is gone: of a date there is one. What has no new messages
// stays as it was counted.
func TestZoneOfCustomersChanges(t *testing.T) {
	ctx := context.Background()
	server := embeddedtest.ClickHouseForTest(t)
	for seed, zones := range [][2]string{{"Europe/Berlin", "UTC"}, {"America/New_York", "Asia/Kathmandu"}, {"Asia/Tokyo", "Europe/Berlin"}} {
		t.Run(zones[1], func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(seed), 4))
			d := sinktest.NewDatabase(t, server.Options(), fmt.Sprintf("zone_%d", seed))
			counter := &customers.Counter{Conn: d.Conn, Database: d.Name, Generation: 1, Topic: topic}
			var in [2]*time.Location
			activate := func(version int) {
				t.Helper()
				definition := fmt.Sprintf(`{"name":"shop","version":%d,"activated_at":"1997-0%d-01T00:00:00Z","timezone":%q,"models":[],"segments":[]}`, version, version, zones[version-1])
				if err := d.Insert(ctx, []batch.Record{{Topic: "lapwing.definitions", Name: "definitions", Offset: int64(version), Generation: 1, Key: []byte("shop"), Value: []byte(definition)}}); err != nil {
					t.Fatal(err)
				}
				var err error
				if in[version-1], err = time.LoadLocation(zones[version-1]); err != nil {
					t.Fatal(err)
				}
			}
			count := func(all []batch.Record) {
				t.Helper()
				if err := d.Insert(ctx, all); err != nil {
					t.Fatal(err)
				}
				if _, err := counter.Count(ctx, 0, all[len(all)-1].Offset+1); err != nil {
					t.Fatal(err)
				}
			}
			activate(1)
			old, before := messages(rng, 0, in[0], time.March, []int{0, 1, 2, 3, 14, 15, 27, 28, 30, 31}, 120)
			count(old)
			activate(2)
			recent, after := messages(rng, 0, in[1], time.March, []int{28, 29, 30}, 40)
			for i := range recent {
				recent[i].Offset += int64(len(old))
			}
			count(recent[:20])
			count(recent[20:])

			// The place of a row: its grain, its date in the new zone (of hours, the instant),
			// and what is counted; and the dates that have new messages.
			touched := map[string]bool{}
			place := func(key string) (place string, fresh bool) {
				f := strings.SplitN(key, " ", 5) // lane, grain, date, time, what
				at, err := time.Parse(time.DateTime, f[2]+" "+f[3])
				if err != nil {
					t.Fatal(err)
				}
				if f[1] == "hour" {
					return key, touched["day "+at.In(in[1]).Format(time.DateOnly)]
				}
				period := f[1] + " " + at.Add(12*time.Hour).In(in[1]).Format(time.DateOnly)
				return period + " " + f[4], touched[period]
			}
			now := slices.Concat(before, after)
			for _, a := range after {
				if !a.TooLate {
					y, m, day := a.EventTime.Time().In(in[1]).Date()
					date := time.Date(y, m, day, 0, 0, 0, 0, time.UTC)
					touched["day "+date.Format(time.DateOnly)] = true
					touched["week "+date.AddDate(0, 0, -(int(date.Weekday())+6)%7).Format(time.DateOnly)] = true
					touched["month "+date.AddDate(0, 0, 1-day).Format(time.DateOnly)] = true
				}
			}
			want := map[string]int{}
			stays := 0
			for key, n := range byHand(before, 0, in[0]) {
				if _, fresh := place(key); !fresh {
					want[key] = n
					stays++
				}
			}
			for key, n := range byHand(now, 0, in[1]) {
				if _, fresh := place(key); fresh {
					want[key] = n
				}
			}
			if stays < 20 || len(want) < stays+20 {
				t.Fatalf("%d counts stay, %d are new: too few to tell", stays, len(want)-stays)
			}
			text, err := d.Text(ctx, "SELECT concat(toString(lane), ' ', grain, ' ', toString(toDateTime(period, 'UTC')), ' ', event, '/', model, '/', stage) AS key, count FROM "+d.Name+".aggregates WHERE measure = 'customers' AND definition = 'shop'")
			if err != nil {
				t.Fatal(err)
			}
			got, places := map[string]int{}, map[string]string{}
			for line := range strings.Lines(text) {
				key, n, _ := strings.Cut(strings.Trim(line, "()\n"), ",")
				key = strings.Trim(key, "'")
				if got[key], err = strconv.Atoi(n); err != nil {
					t.Fatal(err)
				}
				p, _ := place(key)
				if places[p] != "" {
					t.Errorf("two counts of %s: %s and %s", p, places[p], key)
				}
				places[p] = key
			}
			for key, n := range want {
				if got[key] != n {
					t.Errorf("%s: %d, want %d", key, got[key], n)
				}
			}
			for key, n := range got {
				if _, ok := want[key]; !ok {
					t.Errorf("%s: %d, want no such count", key, n)
				}
			}
		})
	}
}

// TestForgottenIsNotCountedAnew: a message that comes late, into a period of which the
// table has begun to forget messages, leaves its count as it was.
func TestForgottenIsNotCountedAnew(t *testing.T) {
	ctx := context.Background()
	d := sinktest.NewDatabase(t, embeddedtest.ClickHouseForTest(t).Options(), "forgotten")
	counter := &customers.Counter{Conn: d.Conn, Database: d.Name, Generation: 1, Topic: topic}
	message := func(offset int64, customer string, days int) batch.Record {
		at := instant.Of(time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -days).Add(12 * time.Hour))
		a := record.Activity{CustomerID: customer, EventTime: at, Type: "track", Event: "Any", SessionStart: at}
		return batch.Record{Topic: topic, Name: "activity", Offset: offset, Generation: 1, Key: []byte(customer), Value: a.AppendJSON(nil)}
	}
	definition := `{"name":"shop","version":1,"activated_at":"1997-01-01T00:00:00Z","timezone":"UTC","models":[],"segments":[]}`
	if err := d.Insert(ctx, []batch.Record{
		{Topic: "lapwing.definitions", Name: "definitions", Generation: 1, Key: []byte("shop"), Value: []byte(definition)},
		message(0, "a", 100), message(1, "b", 100), message(2, "a", 3), message(3, "b", 3),
	}); err != nil {
		t.Fatal(err)
	}
	counts := func(next int64) string {
		t.Helper()
		if _, err := counter.Count(ctx, 0, next); err != nil {
			t.Fatal(err)
		}
		text, err := d.Text(ctx, "SELECT grain, period < now() - toIntervalDay(50) AS old, count FROM forgotten.aggregates WHERE measure = 'customers' AND grain = 'day' ORDER BY period")
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	if got, want := counts(4), "('day',1,2)\n('day',0,2)\n"; got != want {
		t.Fatalf("counted %q, want %q", got, want)
	}
	if err := d.Conn.Exec(ctx, "ALTER TABLE forgotten.activity_log MODIFY TTL toDateTime(event_time) + toIntervalDay(90)"); err != nil {
		t.Fatal(err)
	}
	if err := d.Insert(ctx, []batch.Record{message(4, "c", 100), message(5, "c", 3)}); err != nil {
		t.Fatal(err)
	}
	if got, want := counts(6), "('day',1,2)\n('day',0,3)\n"; got != want {
		t.Errorf("after the table forgot some, counted %q, want %q", got, want)
	}
}
