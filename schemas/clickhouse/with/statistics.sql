-- SPDX-License-Identifier: Apache-2.0
--
-- Statistics of the campaign views: named expressions, put behind the WITH of each
-- view that stands on {{statistics}}. They are no functions of the server: nothing
-- is left outside the database, and SHOW CREATE VIEW shows what was computed.
--
-- k of n are customers who converted of those assigned; 1 is the treated arm, 0 the
-- one it is compared with. All intervals are of 95 %. TestStatistics holds each of
-- them to figures of SciPy and statsmodels, to 1e-9.

-- Wilson's interval of a rate. E. B. Wilson, Probable inference, the law of
-- succession, and statistical inference, JASA 22 (1927). 1.9599… is the normal
-- distribution's 97.5 % point, 3.8414… its square. What rounding puts beyond 0 or 1 is
-- cut off.
(k, n) -> greatest(0, (k + 1.9207294103470617 - 1.959963984540054 * sqrt(greatest(0, k * (n - k) / n + 0.9603647051735309))) / (n + 3.8414588206941236)) AS wilsonLow,
(k, n) -> least(1, (k + 1.9207294103470617 + 1.959963984540054 * sqrt(greatest(0, k * (n - k) / n + 0.9603647051735309))) / (n + 3.8414588206941236)) AS wilsonHigh,

-- Newcombe's hybrid score interval of the difference of two rates, from their Wilson
-- intervals: R. G. Newcombe, Interval estimation for the difference between
-- independent proportions, Statistics in Medicine 17 (1998), method 10.
(k1, n1, k0, n0) -> k1 / n1 - k0 / n0 - sqrt(pow(k1 / n1 - wilsonLow(k1, n1), 2) + pow(wilsonHigh(k0, n0) - k0 / n0, 2)) AS newcombeLow,
(k1, n1, k0, n0) -> k1 / n1 - k0 / n0 + sqrt(pow(wilsonHigh(k1, n1) - k1 / n1, 2) + pow(k0 / n0 - wilsonLow(k0, n0), 2)) AS newcombeHigh,

-- The ratio of two rates, by its logarithm: D. Katz et al., Obtaining confidence
-- intervals for the risk ratio in cohort studies, Biometrics 34 (1978). None where an
-- arm has no conversion.
(k1, n1, k0, n0) -> if(k1 = 0 OR k0 = 0, NULL, (k1 / n1) / (k0 / n0)) AS ratioOf,
(k1, n1, k0, n0) -> if(k1 = 0 OR k0 = 0, NULL, (k1 / n1) / (k0 / n0) * exp(-1.959963984540054 * sqrt(greatest(0, 1 / k1 - 1 / n1 + 1 / k0 - 1 / n0)))) AS ratioLow,
(k1, n1, k0, n0) -> if(k1 = 0 OR k0 = 0, NULL, (k1 / n1) / (k0 / n0) * exp(1.959963984540054 * sqrt(greatest(0, 1 / k1 - 1 / n1 + 1 / k0 - 1 / n0)))) AS ratioHigh,

-- How often a normal deviate lies further from 0 than z, on either side.
(z) -> erfc(abs(z) / 1.4142135623730951) AS normalTails,

-- The fixed-horizon test of two rates with pooled variance; none where nobody or
-- everybody converted.
(k1, n1, k0, n0) -> if(k1 + k0 = 0 OR k1 + k0 = n1 + n0, NULL, (k1 / n1 - k0 / n0) / sqrt((k1 + k0) / (n1 + n0) * (1 - (k1 + k0) / (n1 + n0)) * (1 / n1 + 1 / n0))) AS pooledZ,

-- How large the difference must be for a test at 5 % to find it in 80 of 100 cases,
-- both arms scattering by deviation. 2.8015… = the normal's 97.5 % and 80 % points.
(deviation, n1, n0) -> 2.8015852181129685 * deviation * sqrt(1 / n1 + 1 / n0) AS detectable,

-- Pearson's chi-square: how often x is exceeded, with df degrees of freedom, by the
-- finite sums for whole df (Abramowitz and Stegun 26.4.4 and 26.4.5).
(x, df) -> if(df % 2 = 0,
    exp(-x / 2) * arraySum(j -> pow(x / 2, j) / tgamma(j + 1), range(toUInt64(intDiv(df, 2)))),
    erfc(sqrt(x / 2)) + exp(-x / 2) * arraySum(j -> pow(x / 2, j + 0.5) / tgamma(j + 1.5), range(toUInt64(intDiv(df, 2))))) AS chiSquareTail,

-- Welch's test of two means, from the number, sum and sum of squares of each arm's
-- values: standard error and degrees of freedom. B. L. Welch, Biometrika 34 (1947).
-- Sums are whole numbers (Int256), so that nothing cancels: scatter is n times the sum
-- of squares less the squared sum.
(n, scatter) -> toFloat64(scatter) / n / (n - 1) AS varianceOf,
(n1, v1, n0, v0) -> sqrt(v1 / n1 + v0 / n0) AS welchError,
(n1, v1, n0, v0) -> pow(v1 / n1 + v0 / n0, 2) / (pow(v1 / n1, 2) / (n1 - 1) + pow(v0 / n0, 2) / (n0 - 1)) AS welchFreedom,

-- Whether Welch's interval can be told: the t distribution fits a mean only if the
-- values are not too skew. W. G. Cochran, Sampling Techniques, 3rd ed. (1977), p. 42:
-- n > 25 G^2, G being the skewness of the values, keeps what should be wrong in 5 of
-- 100 cases below 6. That is a mean whose own skewness, G / sqrt(n), is below 0.2; here
-- it is asked of the difference of the two means, where the skewness of both arms
-- together counts by how unequal they are: most for a tiny holdout, whose few large
-- values decide, not at all for arms of one size. cubed is n^2 times the sum of cubes
-- less 3 n times the product of sum and sum of squares, and 2 times the cubed sum.
(scatter, cubed) -> toFloat64(cubed) / pow(toFloat64(scatter), 1.5) AS skewnessOf,
(skewness, n1, n0) -> 25 * pow(skewness * (1 / n0 - 1 / n1), 2) < 1 / n0 + 1 / n1 AS welchHolds,

-- Student's t with df >= 10, not only whole: the 97.5 % point, a polynomial in 1 / df
-- fitted to within 1e-13, and how often t is exceeded on either side, by the
-- substitution t = sqrt(df) tan(angle) and Gauss-Legendre quadrature in 16 points,
-- to within 1e-10. Beyond 200 degrees the ratio of gamma functions is its series.
(df) -> 1.95996398454014459 + (2.37227123018175785 + (2.82249864150137945 + (2.55584742629891168 + (1.58963528126427842 + (0.73028811524158219 + (0.667705266775355282 - 0.235279153062060956 / df) / df) / df) / df) / df) / df) / df AS studentPoint,
(df) -> if(df < 200, exp(lgamma((df + 1) / 2) - lgamma(df / 2)), sqrt(df / 2) * (1 - 1 / (4 * df) + 1 / (32 * df * df) + 5 / (128 * pow(df, 3)) - 21 / (2048 * pow(df, 4)))) / 1.7724538509055159 AS studentFactor,
(t, df) -> atan(least(abs(t), 7.5 + 300 / df) / sqrt(df)) AS studentAngle,
(t, df) -> greatest(0, 1 - 2 * studentFactor(df) * studentAngle(t, df) * arraySum((x, w) -> w * exp((1 - df) / 2 * log1p(pow(tan(studentAngle(t, df) * x), 2))),
    [0.0052995325041750307, 0.0277124884633837, 0.067184398806084122, 0.1222977958224985, 0.19106187779867811, 0.27099161117138632, 0.35919822461037054, 0.45249374508118129, 0.54750625491881877, 0.64080177538962946, 0.72900838882861363, 0.80893812220132189, 0.87770220417750155, 0.93281560119391593, 0.9722875115366163, 0.99470046749582497],
    [0.013576229705877088, 0.031126761969323728, 0.047579255841246303, 0.062314485627767036, 0.074797994408288354, 0.084578259697501323, 0.09130170752246182, 0.09472530522753432, 0.09472530522753432, 0.09130170752246182, 0.084578259697501323, 0.074797994408288354, 0.062314485627767036, 0.047579255841246303, 0.031126761969323728, 0.013576229705877088])) AS studentTails,

-- The always-valid verdict: a sequential test that stays right however often it is
-- looked at. A mixture likelihood ratio of a normal prior with the deviation 0.1 (in
-- standard deviations of one value) over the difference, against no difference; m =
-- n1 n0 / (n1 + n0) is the number of pairs the sample is worth and z the difference in
-- standard errors. H. Robbins, Annals of Mathematical Statistics 41 (1970); R. Johari,
-- P. Koomen, L. Pekelis, D. Walsh, Always valid inference, Operations Research 70
-- (2022); for estimated variances I. Waudby-Smith et al., Annals of Statistics 52 (2024).
-- The p-value is 1 / ratio; the interval is where the ratio stays below 20, so it
-- covers the truth at all times together in 95 of 100 cases. The standard error of two
-- rates is the greater of the pooled one and of that of each rate by itself with one
-- more conversion and one more customer without (A. Agresti, B. Caffo, The American
-- Statistician 54 (2000)): small holdouts and rare conversions stay within 5 %, too.
(k1, n1, k0, n0) -> sqrt(greatest(
    (k1 + k0) / (n1 + n0) * (1 - (k1 + k0) / (n1 + n0)) * (1 / n1 + 1 / n0),
    (k1 + 1) * (n1 - k1 + 1) / pow(n1 + 2, 2) / n1 + (k0 + 1) * (n0 - k0 + 1) / pow(n0 + 2, 2) / n0)) AS sequentialError,
(z, m) -> least(1, sqrt(1 + 0.01 * m) * exp(-z * z / 2 * (0.01 * m) / (1 + 0.01 * m))) AS sequentialTail,
(m) -> sqrt((1 + 1 / (0.01 * m)) * (log(1 + 0.01 * m) + 5.991464547107982)) AS sequentialPoint
