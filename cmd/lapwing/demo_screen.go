// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// demoScreen is what the demo tells while it works. On a terminal the line of the step
// at hand is written over.
type demoScreen struct {
	w        io.Writer
	terminal bool
	begin    time.Time
}

func newDemoScreen(a *app) *demoScreen {
	return &demoScreen{w: a.stdout, terminal: isTerminal(a.stdout), begin: time.Now()}
}

// say prints a line. A terminal that has gone away ends the demo by its signal, not here.
func (s *demoScreen) say(format string, args ...any) { _, _ = fmt.Fprintf(s.w, format+"\n", args...) }

func (s *demoScreen) title(of string) {
	s.say("Lapwing on this machine: a broker, ClickHouse, and %s.\n", of)
}

// done is one step that is done.
func (s *demoScreen) done(what, how string) {
	s.say("  ✓ %-11s %s", what, how)
}

// wait shows how far a step is, several times a second, until work returns.
func (s *demoScreen) wait(ctx context.Context, what string, progress func(context.Context) string, work func(context.Context) error) error {
	finished := make(chan error, 1)
	go func() { finished <- work(ctx) }()
	if !s.terminal {
		return <-finished
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-finished:
			_, _ = fmt.Fprint(s.w, "\r\x1b[K")
			return err
		case <-tick.C:
			_, _ = fmt.Fprintf(s.w, "\r\x1b[K  … %-11s %s", what, progress(ctx))
		}
	}
}

// count is so many of a number as a bar and in words.
func (s *demoScreen) count(n, of int64, noun string) string {
	return fmt.Sprintf("%s %s %s", bar(float64(n)/float64(max(of, 1)), 30), grouped(n), noun)
}

// bar is a share from 0 to 1 as a bar of so many characters.
func bar(share float64, width int) string {
	full := int(min(max(share, 0), 1) * float64(width))
	return strings.Repeat("█", full) + strings.Repeat("░", width-full)
}

func (s *demoScreen) whatNext(d *demo) {
	s.say("\nThat took %.1f seconds. What next:", time.Since(s.begin).Seconds())
	if d.base.truth == nil {
		s.say(`  leave it all up: query it, send an order, watch the change
      %[1]s demo --keep
  see what campaigns do whose effect is known: a made-up shop
      %[1]s demo --preset e-commerce
  see why one customer is where it is, and until when
      %[1]s replay -d preset:customer-value --explain 00004 sample:cdnow
  see the records that other services subscribe to
      %[1]s replay -d preset:customer-value sample:cdnow | head -3
  have the definition behind all this as a file of your own
      %[1]s init --preset customer-value --campaigns`, program())
		return
	}
	s.say(`  leave it all up: query it, send an event, watch what comes of it
      %[1]s demo --preset %[2]s --keep
  make a base of your own, with its definition and its truth
      %[1]s generate --preset %[2]s --customers 20000 -o base.jsonl.zst
      %[1]s replay -d base.yaml --only assignments,conversions base.jsonl.zst | head -3
  have the definition behind all this as a file of your own
      %[1]s init --preset %[2]s --campaigns
  see the real shop
      %[1]s demo`, program(), d.base.preset)
}

// kept says where everything is and what to try.
func (s *demoScreen) kept(d *demo) {
	ch := d.clickhouse
	s.say(`
All of it stays up until Ctrl-C:
  Kafka       %s
  ClickHouse  http://%s and %s (native), database %s
              user %s, password %s

For another terminal:
  export LAPWING_KAFKA_BROKERS=%s
  export LAPWING_CLICKHOUSE='clickhouse://%s:%s@%s/%s'`,
		d.broker.Addrs()[0], ch.HTTPAddr, ch.NativeAddr, ch.Database, ch.User, ch.Password,
		d.broker.Addrs()[0], ch.User, ch.Password, ch.NativeAddr, ch.Database)
	view := "kpi_campaign_lift"
	if d.base.truth == nil {
		view = "kpi_new_to_second"
		s.say(`
A walk. Follow the changes in one terminal, and send an order in another:
  %[1]s tail
  %[1]s send 00001 'Order Completed' --at 1998-07-01T09:00:00Z order_id=mine-1 total=24.90
Customer 00001 was lost since January 1998; a moment later tail shows the way back. The order also
moved the clock of that customer's lane on to 1 July, so what fell due there comes with it.
Who falls due is at risk, and so assigned to the campaign: %[1]s tail assignments`, program())
	} else {
		s.say(`
A walk. Follow in one terminal who is assigned to which campaign, and have the clock go on in another:
  %[1]s tail assignments
  %[1]s send u0000001 'Product Viewed' --at %[2]s
The event moves the clock of that customer's lane on by a month, so what fell due there comes with it: whom
campaigns wait for, in which arm, with the stages and segments held at that instant.`,
			program(), d.latest.Add(30*24*time.Hour))
	}
	s.say(`
Ask ClickHouse, with curl or any of its clients:
  curl -u %[1]s:%[2]s 'http://%[3]s/?database=%[4]s' --data-binary 'SELECT to_stage, count() FROM (SELECT customer_id, argMax("to", sequence) AS to_stage FROM stage_changes GROUP BY customer_id) GROUP BY to_stage'
  clickhouse-client --host 127.0.0.1 --port %[5]s --user %[1]s --password %[2]s --database %[4]s --query 'SELECT * FROM %[6]s'`,
		ch.User, ch.Password, ch.HTTPAddr, ch.Database, port(ch.NativeAddr), view)
}

// program is how this program was called; what `go run` builds is gone afterwards.
func program() string {
	if path, err := os.Executable(); err == nil && strings.Contains(path, "go-build") {
		return "go run ./cmd/lapwing"
	}
	return os.Args[0]
}

func port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }
