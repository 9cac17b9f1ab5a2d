// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"lapwing/schemas/presets"
)

// sweep measures live latency before and while a definition follows the live one: all
// customers, that are in the store before, are brought over beside the live events.
func (b *bench) sweep(ctx context.Context, l load) error {
	c := lapwing{label: plainLapwing}
	for round := 1; round <= b.rounds; round++ {
		p, err := b.newPlace(fmt.Sprintf("sweep-%d", round), "", true)
		if err != nil {
			return err
		}
		err = b.fill(ctx, c, &p, b.customers, time.Now().AddDate(0, 0, -1))
		if err == nil {
			err = b.sweepOnce(ctx, c, p, l, round)
		}
		if err := errors.Join(err, b.leave(ctx, p)); err != nil {
			return err
		}
	}
	return b.report.finish(b.stdout, []string{"calm_p99_ms", "p50_ms", "p99_ms", "max_ms", "sweep_s", "customers_per_s", "cpu_s", "rss_peak_mb", "others_share"}, nil)
}

func (b *bench) sweepOnce(ctx context.Context, c lapwing, p place, l load, round int) error {
	next := filepath.Join(p.dir, "next.yaml")
	source, ok := presets.Get("customer-value")
	if !ok {
		return errors.New("there is no preset customer-value")
	}
	changed := strings.NewReplacer("\nversion: 1", "\nversion: 2", "'90d'", "'60d'").Replace(string(source))
	if err := os.WriteFile(next, []byte(changed), 0o600); err != nil {
		return fmt.Errorf("write the next definition: %w", err)
	}
	program, address, err := c.serve(ctx, b, p)
	if err != nil {
		return err
	}
	defer program.stop()
	if err := awaitReady(ctx, program, address); err != nil {
		return err
	}
	if err := pause(ctx, l.settle); err != nil {
		return err
	}
	var seen sightings
	var u usage
	var calm, began, ended time.Time
	err = b.underLoad(ctx, c.output(p), p.input, l.rate, uint64(round), seen.add, func(ctx context.Context) error {
		if err := pause(ctx, l.warm); err != nil {
			return err
		}
		calm = time.Now()
		if err := pause(ctx, l.length); err != nil {
			return err
		}
		m := beginMeter(b.brokerPID, program.tree)
		began = time.Now()
		out, err := exec.CommandContext(ctx, b.lapwing, "apply", "-c", filepath.Join(p.dir, "lapwing.yaml"), next).CombinedOutput() //nolint:gosec // our own program
		if err != nil {
			return fmt.Errorf("apply the next definition: %w: %s", err, out)
		}
		ended, u = time.Now(), m.read()
		return pause(ctx, straggle)
	})
	if err := errors.Join(err, program.alive()); err != nil {
		return err
	}
	before, during := latencies(seen.all(), calm, began), latencies(seen.all(), began, ended)
	if len(before) == 0 || len(during) == 0 {
		return fmt.Errorf("%d changes were visible before and %d during the sweep:\n%s", len(before), len(during), program.lastWords())
	}
	res := result{contender: c.name(), round: round}
	res.add("rate", float64(l.rate))
	res.add("calm_p50_ms", percentile(before, 0.5))
	res.add("calm_p99_ms", percentile(before, 0.99))
	res.add("samples", float64(len(during)))
	res.add("p50_ms", percentile(during, 0.5))
	res.add("p99_ms", percentile(during, 0.99))
	res.add("max_ms", percentile(during, 1))
	res.add("sweep_s", ended.Sub(began).Seconds())
	res.add("customers", float64(b.customers))
	res.add("customers_per_s", float64(b.customers)/ended.Sub(began).Seconds())
	res.addUsage(u)
	b.tell(res, "calm_p99_ms", "p99_ms", "sweep_s", "others_share")
	return b.report.add(res)
}
