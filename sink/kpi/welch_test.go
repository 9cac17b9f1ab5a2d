// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"context"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"lapwing/deploy/embedded/embeddedtest"
	schema "lapwing/schemas/clickhouse"
)

// TestWelchIsToldWhereItHolds: of Welch's intervals of skewed revenue that are told, about 95
// of 100 hold the truth; where so many would not (a tiny holdout, and a few orders that are
// far larger than the others), none is told.
func TestWelchIsToldWhereItHolds(t *testing.T) {
	const seeds = 500
	conn, err := clickhouse.Open(embeddedtest.ClickHouseForTest(t).Options())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx := context.Background()
	if err := conn.Exec(ctx, `CREATE TABLE worlds (scenario UInt8, truth Float64, n1 Float64, k1 UInt64, t1 Int256, q1 Int256, c1 Int256, n0 Float64, k0 UInt64, t0 Int256, q0 Int256, c0 Int256) ENGINE = Memory`); err != nil {
		t.Fatal(err)
	}
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO worlds")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = batch.Close() }()
	scenarios := []struct {
		treated, out  int
		rate, lift    float64 // of who buys
		sigma         float64 // of the logarithm of what they pay
		told          bool
		least, atMost float64 // of 100 intervals so many hold the truth, told or not
	}{
		{10_000, 200, 0.05, 0, 1.5, false, 65, 82},
		{10_000, 200, 0.05, 0.025, 1.5, false, 65, 82},
		{9_000, 1_000, 0.02, 0, 1.5, false, 80, 91},
		{4_500, 500, 0.02, 0.01, 1, false, 84, 94},
		{4_500, 500, 0.2, 0.05, 0.5, true, 92, 98},
		{9_000, 1_000, 0.05, 0.02, 0.5, true, 92, 98},
		{300, 300, 0.2, 0, 1.5, true, 92, 99},
		{700, 600, 0.1, 0.03, 1, true, 92, 99},
	}
	for number, s := range scenarios {
		for seed := range seeds {
			rng := rand.New(rand.NewPCG(uint64(seed), uint64(number)))
			arm := func(n int, rate float64) []any {
				var bought uint64
				sums := [3]*big.Int{new(big.Int), new(big.Int), new(big.Int)}
				for range n {
					if rng.Float64() >= rate {
						continue
					}
					bought++
					paid := big.NewInt(int64(10_000 * 40 * math.Exp(rng.NormFloat64()*s.sigma)))
					power := big.NewInt(1)
					for _, sum := range sums {
						sum.Add(sum, power.Mul(power, paid))
					}
				}
				return []any{float64(n), bought, sums[0], sums[1], sums[2]}
			}
			row := append([]any{uint8(number), 40 * s.lift * math.Exp(s.sigma*s.sigma/2)}, arm(s.treated, s.rate+s.lift)...)
			if err := batch.Append(append(row, arm(s.out, s.rate)...)...); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	// As campaign_mean_tests has it, with its rule of what is enough data.
	rows, err := conn.Query(ctx, "WITH "+schema.Statistics+`
		SELECT scenario, count(), countIf(within), countIf(told), countIf(told AND within)
		FROM
		(
			SELECT
				*,
				toInt256(n1 + n0) AS n,
				n * (q1 + q0) - (t1 + t0) * (t1 + t0) AS scatter,
				welchHolds(skewnessOf(scatter, n * n * (c1 + c0) - 3 * n * (t1 + t0) * (q1 + q0) + 2 * (t1 + t0) * (t1 + t0) * (t1 + t0)), n1, n0) AS told,
				varianceOf(n1, toInt256(n1) * q1 - t1 * t1) / 1e8 AS v1,
				varianceOf(n0, toInt256(n0) * q0 - t0 * t0) / 1e8 AS v0,
				abs(toFloat64(t1) / 1e4 / n1 - toFloat64(t0) / 1e4 / n0 - truth) <= studentPoint(welchFreedom(n1, v1, n0, v0)) * welchError(n1, v1, n0, v0) AS within
			FROM worlds
			WHERE least(k1, k0) >= 5
		)
		GROUP BY scenario ORDER BY scenario`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	read := 0
	for rows.Next() {
		var number uint8
		var all, within, told, toldWithin uint64
		if err := rows.Scan(&number, &all, &within, &told, &toldWithin); err != nil {
			t.Fatal(err)
		}
		read++
		s := scenarios[number]
		covered := 100 * float64(within) / float64(all)
		t.Logf("%+v: of %d intervals %.1f %% hold the truth; %d are told, of which %d hold it", s, all, covered, told, toldWithin)
		if covered < s.least || covered > s.atMost {
			t.Errorf("%+v: %.1f %% of all intervals hold the truth, want %g to %g", s, covered, s.least, s.atMost)
		}
		switch {
		case s.told && (told < all*9/10 || toldWithin < told*91/100):
			t.Errorf("%+v: %d of %d intervals are told, of which %d hold the truth", s, told, all, toldWithin)
		case !s.told && told > all/50:
			t.Errorf("%+v: %d of %d intervals are told", s, told, all)
		}
	}
	if err := rows.Err(); err != nil || read != len(scenarios) {
		t.Fatalf("%d results, %v", read, err)
	}
}
