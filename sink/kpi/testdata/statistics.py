# SPDX-License-Identifier: Apache-2.0
"""Writes statistics.json: reference figures of the statistics in SQL.

    pip install scipy==1.17.1 statsmodels==0.15.0
    python statistics.py > statistics.json

Each line is a call of one expression of schemas/clickhouse/with/statistics.sql, its
arguments, and what SciPy or statsmodels say. What neither has (the mixture sequential
test) is integrated numerically from its definition.
"""
import json
import math

from scipy import integrate, optimize, stats
from statsmodels.stats.proportion import (
    confint_proportions_2indep,
    proportion_confint,
    proportions_ztest,
)

out = []


def row(name, *args, want):
    out.append([name, list(map(float, args)), None if want is None else float(want)])


pairs = [(0, 1), (1, 1), (0, 30), (3, 10), (1, 97), (50, 100), (99, 100), (7, 1234), (120, 4000), (81234, 912345), (5, 1000000)]
for k, n in pairs:
    low, high = proportion_confint(k, n, method="wilson")
    row("wilsonLow", k, n, want=low)
    row("wilsonHigh", k, n, want=high)

for k1, n1 in pairs:
    for k0, n0 in [(0, 10), (2, 10), (10, 10), (31, 1000), (9000, 100000)]:
        low, high = confint_proportions_2indep(k1, n1, k0, n0, method="newcomb", compare="diff")
        row("newcombeLow", k1, n1, k0, n0, want=low)
        row("newcombeHigh", k1, n1, k0, n0, want=high)
        if k1 > 0 and k0 > 0:
            low, high = confint_proportions_2indep(k1, n1, k0, n0, method="log", compare="ratio")
            row("ratioOf", k1, n1, k0, n0, want=(k1 / n1) / (k0 / n0))
            row("ratioLow", k1, n1, k0, n0, want=low)
            row("ratioHigh", k1, n1, k0, n0, want=high)
        else:
            row("ratioOf", k1, n1, k0, n0, want=None)
        if 0 < k1 + k0 < n1 + n0:
            z, p = proportions_ztest([k1, k0], [n1, n0])
            row("pooledZ", k1, n1, k0, n0, want=z)
            row("normalTails", z, want=p)
        else:
            row("pooledZ", k1, n1, k0, n0, want=None)

for z in [0, 1e-9, 0.3, -1, 1.959963984540054, 2.5, -4, 6, 9]:
    row("normalTails", z, want=2 * stats.norm.sf(abs(z)))

for deviation, n1, n0 in [(0.3, 1000, 1000), (0.218, 9000, 1000), (120.5, 50, 70)]:
    row("detectable", deviation, n1, n0, want=(stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * deviation * math.sqrt(1 / n1 + 1 / n0))

for df in range(1, 25):
    for x in [0, 1e-6, 0.5, 1, 3.84, 9, 20, 47.5, 110]:
        row("chiSquareTail", x, df, want=stats.chi2.sf(x, df))

freedoms = [10, 10.7, 13.25, 21, 29.3, 57, 99.9, 150, 199.5, 200, 200.5, 333.3, 1000, 12345.6, 1e6, 3e8]
for df in freedoms:
    row("studentPoint", df, want=stats.t.ppf(0.975, df))
    for t in [0, 1e-6, 0.2, 0.7, 1, 1.5, 1.96, 2.2, -2.6, 3, 4, 5, 6.5, 8, 12, 25, 60]:
        row("studentTails", t, df, want=2 * stats.t.sf(abs(t), df))

for n1, v1, n0, v0 in [(30, 4.0, 40, 9.0), (900, 12345.6, 100, 23456.7), (90000, 2.5, 10000, 0.1), (31, 1e6, 1e6, 1.0)]:
    mean = 1.0
    t, p = stats.ttest_ind_from_stats(mean, math.sqrt(v1), int(n1), 0, math.sqrt(v0), int(n0), equal_var=False)
    row("welchError", n1, v1, n0, v0, want=mean / t)
    # The degrees of freedom, back from the p-value that they gave.
    row("welchP", mean, n1, v1, n0, v0, want=p)

for values in [[0, 0, 0, 1], [-3, 5, 5, 8, 100], [7] * 20 + [9] * 3, [0] * 990 + list(range(1, 5000, 500)), [10, 10, 10, 1]]:
    n, total, squares, cubes = len(values), sum(values), sum(v**2 for v in values), sum(v**3 for v in values)
    row("skewnessOf", n * squares - total**2, n * n * cubes - 3 * n * total * squares + 2 * total**3, want=stats.skew(values))

# By its definition: the third central moment of the difference of two means over the
# second to the power of 3/2, for values with the second 1 and the third the skewness.
for skewness, n1, n0 in [(1, 1000, 30), (1.09, 1000, 30), (3, 1000, 220), (3, 1000, 100), (-3, 100, 1000), (40, 500, 500), (40, 500, 490), (7, 1e6, 1224), (7, 1e6, 1220), (0, 1e6, 30)]:
    of_the_difference = (skewness / n1**2 - skewness / n0**2) / (1 / n1 + 1 / n0) ** 1.5
    row("welchHolds", skewness, n1, n0, want=abs(of_the_difference) < 0.2)


def mixture(z, m):
    """The likelihood ratio of N(0, 0.1²) effects, in standard deviations, against none."""
    s = math.sqrt(m)
    peak = 0.01 * m / (1 + 0.01 * m) * z / s  # where the integrand is greatest
    width = 0.1 / math.sqrt(1 + 0.01 * m)
    top = stats.norm.logpdf(z, peak * s, 1) + stats.norm.logpdf(peak, 0, 0.1)
    area, _ = integrate.quad(lambda e: math.exp(stats.norm.logpdf(z, e * s, 1) + stats.norm.logpdf(e, 0, 0.1) - top), peak - 12 * width, peak + 12 * width, epsabs=0, epsrel=1e-12, limit=500)
    return math.log(area) + top - stats.norm.logpdf(z, 0, 1)


for m in [1, 12, 90, 900, 9000, 123456.7]:
    for z in [0, 0.5, -1.3, 1.96, 2.8, 3.3, -4, 6]:
        row("sequentialTail", z, m, want=min(1, math.exp(-mixture(z, m))))
    row("sequentialPoint", m, want=optimize.brentq(lambda z: mixture(z, m) - math.log(20), 0.1, 200, xtol=1e-13, rtol=1e-14))

for k1, n1, k0, n0 in [(0, 10, 0, 10), (50, 900, 2, 100), (2, 900, 9, 100), (4000, 90000, 500, 10000)]:
    pooled = (k1 + k0) / (n1 + n0)
    a1, a0 = (k1 + 1) / (n1 + 2), (k0 + 1) / (n0 + 2)
    row("sequentialError", k1, n1, k0, n0, want=math.sqrt(max(pooled * (1 - pooled) * (1 / n1 + 1 / n0), a1 * (1 - a1) / n1 + a0 * (1 - a0) / n0)))

print("[\n" + ",\n".join(json.dumps(r) for r in out) + "\n]")
