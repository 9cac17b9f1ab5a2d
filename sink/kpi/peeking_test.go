// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"lapwing/deploy/embedded/embeddedtest"
	schema "lapwing/schemas/clickhouse"
)

// TestPeekingDaily: without an effect, who looks at the always-valid p-value every day for
// 90 days is alarmed in at most 5 % of campaigns, and noise; with the fixed-horizon one in
// far more. A clear effect is found in nearly all.
func TestPeekingDaily(t *testing.T) {
	const campaigns, days, perDay, holdout = 400, 90, 200, 0.1
	conn, err := clickhouse.Open(embeddedtest.ClickHouseForTest(t).Options())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx := context.Background()
	if err := conn.Exec(ctx, "CREATE TABLE looks (truth UInt8, seed UInt32, k1 Float64, n1 Float64, k0 Float64, n0 Float64) ENGINE = Memory"); err != nil {
		t.Fatal(err)
	}
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO looks")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = batch.Close() }()
	truths := []struct {
		treated, out float64 // conversion rates
		effect       bool
	}{{0.03, 0.03, false}, {0.2, 0.2, false}, {0.12, 0.06, true}}
	for truth, r := range truths {
		for seed := range campaigns {
			rng := rand.New(rand.NewPCG(uint64(seed), uint64(truth)))
			var k1, n1, k0, n0 float64
			for range days {
				for range perDay {
					if rng.Float64() < holdout {
						n0++
						if rng.Float64() < r.out {
							k0++
						}
					} else {
						n1++
						if rng.Float64() < r.treated {
							k1++
						}
					}
				}
				if err := batch.Append(uint8(truth), uint32(seed), k1, n1, k0, n0); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	// As campaign_rate_tests has it, with its rule of what is enough data.
	rows, err := conn.Query(ctx, "WITH "+schema.Statistics+`
		SELECT truth, countIf(valid <= 0.05) / count(), countIf(fixed <= 0.05) / count()
		FROM
		(
			SELECT
				truth,
				seed,
				min(sequentialTail((k1 / n1 - k0 / n0) / sequentialError(k1, n1, k0, n0), n1 * n0 / (n1 + n0))) AS valid,
				min(normalTails(pooledZ(k1, n1, k0, n0))) AS fixed
			FROM looks
			WHERE least(n1, n0) * least((k1 + k0) / (n1 + n0), 1 - (k1 + k0) / (n1 + n0)) >= 5
			GROUP BY truth, seed
		)
		GROUP BY truth ORDER BY truth`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	read := 0
	for rows.Next() {
		var truth uint8
		var valid, fixed float64
		if err := rows.Scan(&truth, &valid, &fixed); err != nil {
			t.Fatal(err)
		}
		read++
		t.Logf("rates %+v: always-valid %.3f, fixed-horizon %.3f", truths[truth], valid, fixed)
		const noise = 0.033 // three standard errors of 5 % in 400 campaigns
		switch {
		case truths[truth].effect && valid < 0.9:
			t.Errorf("rates %+v: the effect was found in %.3f of the campaigns only", truths[truth], valid)
		case !truths[truth].effect && valid > 0.05+noise:
			t.Errorf("rates %+v: %.3f false alarms", truths[truth], valid)
		case !truths[truth].effect && fixed < 0.1:
			t.Errorf("rates %+v: looking daily at the fixed-horizon p-value alarmed in %.3f only, so this test shows nothing", truths[truth], fixed)
		}
	}
	if err := rows.Err(); err != nil || read != len(truths) {
		t.Fatalf("%d results, %v", read, err)
	}
}
