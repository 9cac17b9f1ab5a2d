-- SPDX-License-Identifier: Apache-2.0
--
-- KPI views of campaigns: what did they change? Customers are counted as assigned,
-- whatever reached them, and only those whose window has closed: assigned_at + within
-- at or before the clock. The targeted segment is the stage and the segments held at
-- the assignment.
--
-- Assignments and conversions are both counted by arm and targeted segment, then the
-- few groups are joined, never the rows. Stages and segments overlap: rows do not add
-- up. A customer who was assigned more than once (every) counts once in each group.

CREATE OR REPLACE VIEW {{db}}.campaign_clock
(
    definition String COMMENT 'Name of the live definition.',
    generation UInt16 COMMENT 'Generation that the views show.',
    timezone String COMMENT 'Time zone of the live definition.',
    currency String COMMENT 'Currency of the live definition; empty if it names none.',
    now_ms Int64 COMMENT 'The clock of the KPIs, in milliseconds since 1970; -1 without data.',
    campaigns Array(String) COMMENT 'Campaigns of the live definition.',
    goals Array(Array(Tuple(String, Int64, String))) COMMENT 'For each of them its goals, with the length of their windows in milliseconds and what a conversion is worth: none, first, total, or rise against a baseline.',
    arms Array(Array(Tuple(String, Float64))) COMMENT 'For each of them its arms with their shares: the holdout, under an empty name, then the variants.',
    factors Array(Array(Tuple(String, String, String))) COMMENT 'For each of them the properties of its variants: variant, factor, level.',
    ended Array(Bool) COMMENT 'For each of them whether the clock has passed its end.',
    windows Array(Int64) COMMENT 'The lengths of all goals'' windows, in milliseconds.',
    shares_since Array(UInt32) COMMENT 'For each campaign the version of the definition since which its shares have been the same.',
    again Array(String) COMMENT 'Campaigns that assigned a customer more than once.',
    changed Array(String) COMMENT 'Campaigns that assigned a customer before their shares were what they are.',
    known Tuple(definition String, generation UInt16, timezone String, currency String, now_ms Int64, campaigns Array(String), goals Array(Array(Tuple(String, Int64, String))), arms Array(Array(Tuple(String, Float64))), factors Array(Array(Tuple(String, String, String))), ended Array(Bool), windows Array(Int64), shares_since Array(UInt32), again Array(String), changed Array(String)) COMMENT 'All of that as one value, which a query reads once.'
)
AS WITH
    assumeNotNull((
        SELECT groupArray((name, rounds, oldest))
        FROM
        (
            SELECT toString(campaign) AS name, max(round) AS rounds, minIf(definition_version, round = 1) AS oldest
            FROM {{db}}.assignments_log
            WHERE _generation = (SELECT generation FROM {{db}}.current_generation) AND definition = (SELECT name FROM {{db}}.live_definition)
            GROUP BY campaign
        )
    )) AS assigned
SELECT
    l.name AS definition,
    assumeNotNull((SELECT generation FROM {{db}}.current_generation)) AS generation,
    l.timezone AS timezone,
    ifNull(l.currency, '') AS currency,
    ifNull((SELECT toUnixTimestamp64Milli(clock) FROM {{db}}.kpi_clock), -1) AS now_ms,
    arrayMap(c -> tupleElement(c, 'name'), file) AS campaigns,
    arrayMap(c -> arrayMap(g -> (tupleElement(g, 1), tupleElement(g, 2), multiIf(tupleElement(g, 4), 'rise', empty(tupleElement(g, 3)), 'none', tupleElement(g, 3))), tupleElement(c, 'goals')), file) AS goals,
    arrayMap(c -> arrayPushFront(arrayMap(v -> (tupleElement(v, 1), tupleElement(v, 2)), tupleElement(c, 'variants')), ('', tupleElement(c, 'holdout'))), file) AS arms,
    arrayMap(c -> arrayFlatten(arrayMap(v -> arrayMap(p -> (tupleElement(v, 1), tupleElement(p, 1), tupleElement(p, 2)), tupleElement(v, 3)), tupleElement(c, 'variants'))), file) AS factors,
    arrayMap(c -> CAST(ifNull(toUnixTimestamp64Milli(parseDateTime64BestEffortOrNull(tupleElement(c, 'end'), 3, 'UTC')) <= now_ms, false) AS Bool), file) AS ended,
    arraySort(arrayDistinct(arrayFlatten(arrayMap(c -> arrayMap(g -> tupleElement(g, 2), tupleElement(c, 'goals')), file)))) AS windows,
    arrayMap(c -> arrayMax(arrayConcat([toUInt32(0)], arrayMap(v -> tupleElement(v, 1),
        arrayFilter(v -> NOT has(tupleElement(v, 2), (tupleElement(c, 'name'), tupleElement(c, 'holdout'), arrayMap(x -> (tupleElement(x, 1), tupleElement(x, 2)), tupleElement(c, 'variants')))), f.former)))) + 1, file) AS shares_since,
    arrayMap(a -> tupleElement(a, 1), arrayFilter(a -> tupleElement(a, 2) > 1, assigned)) AS again,
    arrayMap(a -> tupleElement(a, 1), arrayFilter(a -> has(campaigns, tupleElement(a, 1)) AND tupleElement(a, 3) < shares_since[indexOf(campaigns, tupleElement(a, 1))], assigned)) AS changed,
    CAST((definition, generation, timezone, currency, now_ms, campaigns, goals, arms, factors, ended, windows, shares_since, again, changed), 'Tuple(definition String, generation UInt16, timezone String, currency String, now_ms Int64, campaigns Array(String), goals Array(Array(Tuple(String, Int64, String))), arms Array(Array(Tuple(String, Float64))), factors Array(Array(Tuple(String, String, String))), ended Array(Bool), windows Array(Int64), shares_since Array(UInt32), again Array(String), changed Array(String))') AS known
FROM
(
    SELECT
        *,
        JSONExtract(campaigns, 'Array(Tuple(name String, holdout Float64, variants Array(Tuple(name String, share Float64, properties Array(Tuple(name String, value String)))), goals Array(Tuple(name String, within_ms Int64, value String, baseline Bool)), end String))') AS file
    FROM {{db}}.live_definition
) AS l
CROSS JOIN
(
    SELECT groupArray((version, JSONExtract(campaigns, 'Array(Tuple(name String, holdout Float64, variants Array(Tuple(name String, share Float64))))'))) AS former
    FROM {{db}}.definitions
    WHERE name = (SELECT name FROM {{db}}.live_definition) AND version < (SELECT version FROM {{db}}.live_definition)
) AS f
COMMENT 'What all campaign views read first: one row.';

CREATE OR REPLACE VIEW {{db}}.campaign_former
(
    campaign String COMMENT 'Campaign of the live definition.',
    customer_id String COMMENT 'Customer whose first assignment was made with other shares.'
)
AS WITH
    (SELECT known FROM {{db}}.campaign_clock) AS known,
    tupleElement(known, 'changed') AS changed
SELECT
    CAST(l.campaign, 'String') AS campaign,
    customer_id
FROM {{db}}.assignments_log AS l
WHERE notEmpty(changed) AND _generation = tupleElement(known, 'generation') AND definition = tupleElement(known, 'definition')
    AND has(changed, l.campaign) AND round = 1
    AND definition_version < tupleElement(known, 'shares_since')[indexOf(tupleElement(known, 'campaigns'), l.campaign)]
COMMENT 'Customers whose arm was drawn before the shares of the campaign were what they are. If customers behave otherwise since, arms that were filled at other times differ by that alone: what compares arms leaves these customers out.';

CREATE OR REPLACE VIEW {{db}}.campaign_assigned
(
    campaign String COMMENT 'Campaign of the live definition.',
    goal String COMMENT 'Goal of the campaign.',
    kind String COMMENT 'What a conversion is worth: none, first, total, or rise against a baseline.',
    by String COMMENT 'Whom the row is about: everyone assigned, those in a stage at the assignment, or those in a segment.',
    model String COMMENT 'Stage model, if by is stage; else empty.',
    target String COMMENT 'The stage or segment held at the assignment; empty for everyone.',
    arm String COMMENT 'Variant; empty for the holdout, and where another system gave it no name.',
    holdout Bool COMMENT 'Whether the row is about the holdout.',
    assigned UInt64 COMMENT 'Customers assigned whose window has closed.',
    open UInt64 COMMENT 'Customers assigned whose window is still open; not in assigned.',
    comparable UInt64 COMMENT 'Of both, those first assigned since the shares have been what they are: what the sample-ratio test looks at.',
    compared UInt64 COMMENT 'Of assigned, the same: what is compared with other arms.'
)
AS WITH
    (SELECT known FROM {{db}}.campaign_clock) AS known,
    tupleElement(known, 'now_ms') AS now_ms,
    tupleElement(known, 'windows') AS windows,
    tupleElement(known, 'campaigns') AS campaigns,
    tupleElement(known, 'goals') AS goals,
    tupleElement(known, 'again') AS again,
    tupleElement(known, 'changed') AS changed
SELECT
    campaign,
    tupleElement(aim, 1) AS goal,
    tupleElement(aim, 3) AS kind,
    tupleElement(held, 1) AS by,
    tupleElement(held, 2) AS model,
    tupleElement(held, 3) AS target,
    arm,
    holdout,
    ifNull(closed[indexOf(windows, tupleElement(aim, 2))], 0) AS assigned,
    toUInt64(customers - assigned) AS open,
    of_the_shares AS comparable,
    ifNull(closed_of_the_shares[indexOf(windows, tupleElement(aim, 2))], 0) AS compared
FROM
(
    SELECT
        campaign,
        arm,
        holdout,
        held,
        sum(people) AS customers,
        sumForEach(gone) AS closed,
        sumIf(people, NOT former) AS of_the_shares,
        sumForEachIf(gone, NOT former) AS closed_of_the_shares
    FROM
    (
        -- One row per customer where a campaign assigned customers more than once,
        -- else one for all (who is empty).
        SELECT
            campaign,
            arm,
            holdout,
            held,
            former,
            if(who = '', sum(n), 1) AS people,
            if(who = '', sumForEach(passed), arrayMap(p -> toUInt64(p > 0), sumForEach(passed))) AS gone
        FROM
        (
            SELECT
                who,
                former,
                n,
                passed,
                CAST(_group, 'Tuple(String, Nullable(String), Bool, Map(String, String), Array(String))') AS kept,
                tupleElement(kept, 1) AS campaign,
                ifNull(tupleElement(kept, 2), '') AS arm,
                tupleElement(kept, 3) AS holdout,
                arrayJoin(arrayConcat(
                    [('everyone', '', '')],
                    arrayMap((m, s) -> ('stage', m, s), mapKeys(tupleElement(kept, 4)), mapValues(tupleElement(kept, 4))),
                    arrayMap(s -> ('segment', '', s), tupleElement(kept, 5)))) AS held
            FROM
            (
                SELECT
                    _group,
                    if(notEmpty(again), if(has(again, campaign), customer_id, ''), '') AS who,
                    if(notEmpty(changed), if(has(changed, campaign), (toString(campaign), customer_id) IN (SELECT campaign, customer_id FROM {{db}}.campaign_former), false), false) AS former,
                    count() AS n,
                    sumForEach(arrayMap(w -> toUInt64(toUnixTimestamp64Milli(effective_at) + w <= now_ms), windows)) AS passed
                FROM {{db}}.assignments_log FINAL
                WHERE _generation = tupleElement(known, 'generation') AND definition = tupleElement(known, 'definition')
                GROUP BY _group, who, former
            )
        )
        GROUP BY campaign, arm, holdout, held, who, former
    )
    GROUP BY campaign, arm, holdout, held
)
ARRAY JOIN goals[indexOf(campaigns, campaign)] AS aim
COMMENT 'Customers assigned, by campaign, goal, targeted segment and arm.';

CREATE OR REPLACE VIEW {{db}}.campaign_converted
(
    campaign String COMMENT 'Campaign of the live definition.',
    goal String COMMENT 'Goal of the campaign.',
    kind String COMMENT 'What a conversion is worth: none, first, total, or rise against a baseline.',
    by String COMMENT 'Whom the row is about: everyone assigned, those in a stage at the assignment, or those in a segment.',
    model String COMMENT 'Stage model, if by is stage; else empty.',
    target String COMMENT 'The stage or segment held at the assignment; empty for everyone.',
    arm String COMMENT 'Variant; empty for the holdout, and where another system gave it no name.',
    holdout Bool COMMENT 'Whether the row is about the holdout.',
    former Bool COMMENT 'Whether it is about customers first assigned before the shares were what they are (campaign_former): nothing compares them with others.',
    converted UInt64 COMMENT 'Customers whose window has closed, with at least one conversion.',
    conversions UInt64 COMMENT 'Their conversions: one per customer and round. Where rounds overlap (every below within), one event converts each open round: its value is in total once for each.',
    total Int256 COMMENT 'Sum of their values in the currency of the definition, in ten-thousandths.',
    squares Int256 COMMENT 'Sum over customers of the squared sum of the customer''s values, in the square of that.',
    cubes Int256 COMMENT 'The same of the cubed sum, in the cube of that.',
    valued UInt64 COMMENT 'Of the customers, those whose values do not sum up to 0.',
    without_rate UInt64 COMMENT 'Conversions whose value, or of a total a part, is in another currency without a rate: they count, that money does not.',
    orders UInt64 COMMENT 'Occurrences of the goal''s event in the values summed, such as orders.'
)
AS WITH
    (SELECT known FROM {{db}}.campaign_clock) AS known,
    tupleElement(known, 'now_ms') AS now_ms,
    tupleElement(known, 'windows') AS windows,
    tupleElement(known, 'campaigns') AS campaigns,
    tupleElement(known, 'goals') AS goals,
    tupleElement(known, 'again') AS again,
    tupleElement(known, 'changed') AS changed,
    tupleElement(known, 'currency') AS currency_of_all
SELECT
    campaign,
    goal,
    kind,
    tupleElement(held, 1) AS by,
    tupleElement(held, 2) AS model,
    tupleElement(held, 3) AS target,
    arm,
    holdout,
    former,
    sum(customers) AS converted,
    sum(records) AS conversions,
    sum(amount) AS total,
    sum(squared) AS squares,
    sum(cubed) AS cubes,
    sum(nonzero) AS valued,
    sum(unrated) AS without_rate,
    sum(items) AS orders
FROM
(
    SELECT
        campaign,
        goal,
        kind,
        arm,
        holdout,
        held,
        former,
        if(who = '', sum(n), 1) AS customers,
        sum(n) AS records,
        sum(s) AS amount,
        if(who = '', sum(ss), sum(s) * sum(s)) AS squared,
        if(who = '', sum(sss), sum(s) * sum(s) * sum(s)) AS cubed,
        if(who = '', sum(z), toUInt64(sum(s) != 0)) AS nonzero,
        sum(u) AS unrated,
        sum(o) AS items
    FROM
    (
        SELECT
            who,
            former,
            n,
            s,
            ss,
            sss,
            z,
            u,
            o,
            CAST(_group, 'Tuple(String, Nullable(String), Bool, Map(String, String), Array(String), String)') AS kept,
            tupleElement(kept, 1) AS campaign,
            ifNull(tupleElement(kept, 2), '') AS arm,
            tupleElement(kept, 3) AS holdout,
            tupleElement(kept, 6) AS goal,
            arrayFirst(g -> tupleElement(g, 1) = goal, goals[indexOf(campaigns, campaign)]) AS live,
            tupleElement(live, 3) AS kind,
            arrayJoin(arrayConcat(
                [('everyone', '', '')],
                arrayMap((m, s) -> ('stage', m, s), mapKeys(tupleElement(kept, 4)), mapValues(tupleElement(kept, 4))),
                arrayMap(s -> ('segment', '', s), tupleElement(kept, 5)))) AS held
        FROM
        (
            -- Conversions without a value.
            SELECT
                _group,
                if(notEmpty(again), if(has(again, campaign), customer_id, ''), '') AS who,
                if(notEmpty(changed), if(has(changed, campaign), (toString(campaign), customer_id) IN (SELECT campaign, customer_id FROM {{db}}.campaign_former), false), false) AS former,
                arrayCount(w -> toUnixTimestamp64Milli(assigned_at) + w <= now_ms, windows) AS passed,
                count() AS n,
                toInt256(0) AS s,
                toInt256(0) AS ss,
                toInt256(0) AS sss,
                toUInt64(0) AS z,
                toUInt64(0) AS u,
                toUInt64(0) AS o
            FROM {{db}}.conversions_log FINAL
            WHERE _generation = tupleElement(known, 'generation') AND definition = tupleElement(known, 'definition') AND value IS NULL
            GROUP BY _group, who, former, passed
            UNION ALL
            SELECT
                _group,
                who,
                former,
                arrayCount(w -> toUnixTimestamp64Milli(at) + w <= now_ms, windows) AS passed,
                count() AS n,
                sum(ifNull(units, 0)) AS s,
                sum(ifNull(units, 0) * ifNull(units, 0)) AS ss,
                sum(ifNull(units, 0) * ifNull(units, 0) * ifNull(units, 0)) AS sss,
                countIf(units != 0) AS z,
                countIf(units IS NULL OR without > 0) AS u,
                sumIf(many, units IS NOT NULL) AS o
            FROM
            (
                SELECT
                    c._group AS _group,
                    c.who AS who,
                    c.former AS former,
                    c.at AS at,
                    c.many AS many,
                    c.without AS without,
                    toInt256(multiIf(
                        c.money IN ('', currency_of_all) OR currency_of_all = '', toDecimal128(c.latest, 4),
                        r.rate > 0, roundBankers(toDecimal128(c.latest, 4) * r.rate, 4),
                        NULL) * 10000) AS units
                FROM
                (
                    SELECT
                        _group,
                        if(notEmpty(again), if(has(again, campaign), customer_id, ''), '') AS who,
                        if(notEmpty(changed), if(has(changed, campaign), (toString(campaign), customer_id) IN (SELECT campaign, customer_id FROM {{db}}.campaign_former), false), false) AS former,
                        assigned_at AS at,
                        assumeNotNull(value) AS latest,
                        ifNull(toString(currency), '') AS money,
                        toUInt64(ifNull(occurrences, 0)) AS many,
                        unpriced AS without,
                        toDate(effective_at, tupleElement(known, 'timezone')) AS day
                    FROM {{db}}.conversions_log FINAL
                    WHERE _generation = tupleElement(known, 'generation') AND definition = tupleElement(known, 'definition') AND value IS NOT NULL
                        AND _once NOT IN (SELECT _once FROM {{db}}.conversions_log WHERE _generation = tupleElement(known, 'generation') AND sequence > 1)
                    UNION ALL
                    -- Of a total that was corrected, the last record: it has a sequence above 1.
                    SELECT
                        any(_group) AS _group,
                        any(if(notEmpty(again), if(has(again, campaign), customer_id, ''), '')) AS who,
                        any(if(notEmpty(changed), if(has(changed, campaign), (toString(campaign), customer_id) IN (SELECT campaign, customer_id FROM {{db}}.campaign_former), false), false)) AS former,
                        any(assigned_at) AS at,
                        argMax(assumeNotNull(value), sequence) AS latest,
                        argMax(ifNull(toString(currency), ''), sequence) AS money,
                        toUInt64(argMax(ifNull(occurrences, 0), sequence)) AS many,
                        argMax(unpriced, sequence) AS without,
                        toDate(argMax(effective_at, sequence), tupleElement(known, 'timezone')) AS day
                    FROM {{db}}.conversions_log FINAL
                    WHERE _generation = tupleElement(known, 'generation') AND definition = tupleElement(known, 'definition') AND value IS NOT NULL
                        AND _once IN (SELECT _once FROM {{db}}.conversions_log WHERE _generation = tupleElement(known, 'generation') AND sequence > 1)
                    GROUP BY _once
                ) AS c
                LEFT JOIN {{db}}.rates AS r ON r.currency = c.money AND r.day = c.day
            )
            GROUP BY _group, who, former, passed
        )
        WHERE notEmpty(tupleElement(live, 1)) AND indexOf(windows, tupleElement(live, 2)) <= passed
    )
    GROUP BY campaign, goal, kind, arm, holdout, held, who, former
)
GROUP BY campaign, goal, kind, held, arm, holdout, former
SETTINGS join_use_nulls = 0
COMMENT 'Customers who converted and what it was worth, by campaign, goal, targeted segment and arm; closed windows only.';

CREATE OR REPLACE VIEW {{db}}.campaign_comparisons
(
    campaign String COMMENT 'Campaign of the live definition.',
    goal String COMMENT 'Goal of the campaign.',
    kind String COMMENT 'What a conversion is worth: none, first, total, or rise against a baseline.',
    by String COMMENT 'Whom the row is about: everyone assigned, those in a stage at the assignment, or those in a segment.',
    model String COMMENT 'Stage model, if by is stage; else empty.',
    target String COMMENT 'The stage or segment held at the assignment; empty for everyone.',
    comparison String COMMENT 'variant: one variant against the holdout; variants: all together against it; factor: the variants with one level of a factor against those with its other levels.',
    variant String COMMENT 'The variant; empty for the other comparisons.',
    factor String COMMENT 'The factor; empty for the other comparisons.',
    level String COMMENT 'Its level; empty for the other comparisons.',
    n1 Float64 COMMENT 'Treated customers whose window has closed. Here and in what follows only those first assigned since the shares of the campaign have been what they are.',
    k1 Float64 COMMENT 'Of them, those who converted.',
    t1 Int256 COMMENT 'Sum of their values, in ten-thousandths.',
    q1 Int256 COMMENT 'Sum of the squares of their values.',
    c1 Int256 COMMENT 'Sum of the cubes of their values.',
    z1 UInt64 COMMENT 'Of the customers, those whose value is not 0.',
    n0 Float64 COMMENT 'The same of those compared with.',
    k0 Float64 COMMENT 'Of them, those who converted.',
    t0 Int256 COMMENT 'Sum of their values, in ten-thousandths.',
    q0 Int256 COMMENT 'Sum of the squares of their values.',
    c0 Int256 COMMENT 'Sum of the cubes of their values.',
    z0 UInt64 COMMENT 'Of the customers, those whose value is not 0.',
    conversions UInt64 COMMENT 'Conversions of the treated: one per customer and round.',
    o1 UInt64 COMMENT 'Orders in the values of the treated.',
    o0 UInt64 COMMENT 'The same of those compared with.',
    without_rate UInt64 COMMENT 'Conversions of both whose value, or of a total a part, is in another currency without a rate.',
    open UInt64 COMMENT 'Customers of all arms whose window is still open.',
    held_out Bool COMMENT 'Whether there is a holdout: it has a share, or somebody was held out.',
    former UInt64 COMMENT 'Customers of both who are left out, since they were first assigned when the shares were others (campaign_former).',
    planned Bool COMMENT 'Whether the planned size is reached: the campaign has ended, and no window is open.',
    sample_ratio_p Nullable(Float64) COMMENT 'How often chance alone would spread customers over the arms so unevenly; null if that cannot be told.'
)
AS WITH
    {{statistics}},
    (list) -> ('', arraySum(a -> tupleElement(a, 2), list), arraySum(a -> tupleElement(a, 3), list), arraySum(a -> tupleElement(a, 4), list), arraySum(a -> tupleElement(a, 5), list), arraySum(a -> tupleElement(a, 6), list), arraySum(a -> tupleElement(a, 7), list), arraySum(a -> tupleElement(a, 8), list), arraySum(a -> tupleElement(a, 9), list), arraySum(a -> tupleElement(a, 10), list), arraySum(a -> tupleElement(a, 11), list)) AS together,
    (SELECT known FROM {{db}}.campaign_clock) AS known
SELECT
    campaign,
    goal,
    kind,
    by,
    model,
    target,
    tupleElement(pair, 1) AS comparison,
    tupleElement(pair, 2) AS variant,
    tupleElement(pair, 3) AS factor,
    tupleElement(pair, 4) AS level,
    toFloat64(tupleElement(one, 2)) AS n1,
    toFloat64(tupleElement(one, 3)) AS k1,
    tupleElement(one, 4) AS t1,
    tupleElement(one, 5) AS q1,
    tupleElement(one, 10) AS c1,
    tupleElement(one, 11) AS z1,
    toFloat64(tupleElement(other, 2)) AS n0,
    toFloat64(tupleElement(other, 3)) AS k0,
    tupleElement(other, 4) AS t0,
    tupleElement(other, 5) AS q0,
    tupleElement(other, 10) AS c0,
    tupleElement(other, 11) AS z0,
    tupleElement(one, 6) AS conversions,
    tupleElement(one, 8) AS o1,
    tupleElement(other, 8) AS o0,
    tupleElement(one, 7) + tupleElement(other, 7) AS without_rate,
    open,
    CAST(held > 0 OR arrayExists(a -> tupleElement(a, 1) = '', shares) AS Bool) AS held_out,
    tupleElement(one, 9) + tupleElement(other, 9) AS former,
    CAST(has_ended AND open = 0 AS Bool) AS planned,
    sample_ratio AS sample_ratio_p
FROM
(
    SELECT *, tupleElement(pair, 5)[1] AS one, tupleElement(pair, 5)[2] AS other
    FROM
    (
        SELECT
            *,
            arrayJoin(arrayConcat(
                -- An arm that another system gave no name has no row of its own beside
                -- others: its row would be taken for that of all variants together.
                arrayMap(a -> ('variant', tupleElement(a, 1), '', '', [a, control]), arrayFilter(a -> tupleElement(a, 1) != '' OR length(treated) = 1, treated)),
                if(length(treated) > 1, [('variants', '', '', '', [together(treated), control])], []),
                arrayMap(l -> ('factor', '', tupleElement(l, 1), tupleElement(l, 2), [
                        together(arrayFilter(a -> has(properties, (tupleElement(a, 1), tupleElement(l, 1), tupleElement(l, 2))), treated)),
                        together(arrayFilter(a -> arrayExists(p -> tupleElement(p, 1) = tupleElement(a, 1) AND tupleElement(p, 2) = tupleElement(l, 1) AND tupleElement(p, 3) != tupleElement(l, 2), properties), treated))]),
                    if(by = 'everyone', arraySort(arrayDistinct(arrayMap(p -> (tupleElement(p, 2), tupleElement(p, 3)), properties))), [])))) AS pair
        FROM
        (
            SELECT
                *,
                together(held_out) AS control,
                multiIf(
                    length(shares) < 2 OR customers = 0, NULL,
                    arrayExists(o -> tupleElement(o, 2) > 0 AND NOT has(arrayMap(a -> tupleElement(a, 1), shares), tupleElement(o, 1)), observed), 0,
                    arrayMin(a -> customers * tupleElement(a, 2), shares) < 5, NULL,
                    chiSquareTail(arraySum(a -> pow(arraySum(o -> if(tupleElement(o, 1) = tupleElement(a, 1), tupleElement(o, 2), 0), observed) - customers * tupleElement(a, 2), 2) / (customers * tupleElement(a, 2)), shares), length(shares) - 1)) AS sample_ratio
            FROM
            (
                SELECT *, arraySum(o -> tupleElement(o, 2), observed) AS customers
                FROM
                (
                    SELECT
                        *,
                        indexOf(tupleElement(known, 'campaigns'), campaign) AS n,
                        tupleElement(known, 'factors')[n] AS properties,
                        tupleElement(known, 'ended')[n] AS has_ended,
                        arrayFilter(a -> tupleElement(a, 2) > 0, tupleElement(known, 'arms')[n]) AS shares,
                        anyIf(seen, by = 'everyone') OVER (PARTITION BY campaign) AS observed
                    FROM
                    (
                        SELECT
                            a.campaign AS campaign,
                            a.goal AS goal,
                            a.kind AS kind,
                            a.by AS by,
                            a.model AS model,
                            a.target AS target,
                            arraySort(groupArrayIf((a.arm, a.compared, c.converted, c.total, c.squares, c.conversions, c.without_rate, c.orders, a.assigned + a.open - a.comparable, c.cubes, c.valued), NOT a.holdout)) AS treated,
                            groupArrayIf((a.arm, a.compared, c.converted, c.total, c.squares, c.conversions, c.without_rate, c.orders, a.assigned + a.open - a.comparable, c.cubes, c.valued), a.holdout) AS held_out,
                            groupArray((a.arm, a.comparable)) AS seen,
                            sum(a.comparable - a.compared) AS open,
                            sumIf(a.comparable, a.holdout) AS held
                        FROM {{db}}.campaign_assigned AS a
                        LEFT JOIN {{db}}.campaign_converted AS c
                            ON c.campaign = a.campaign AND c.goal = a.goal AND c.by = a.by AND c.model = a.model AND c.target = a.target AND c.arm = a.arm AND c.holdout = a.holdout AND NOT c.former
                        GROUP BY a.campaign, a.goal, a.kind, a.by, a.model, a.target
                    )
                )
            )
        )
    )
)
SETTINGS join_use_nulls = 0
COMMENT 'What the statistics of campaigns compare: treated customers (1) with others (0).';

CREATE OR REPLACE VIEW {{db}}.campaign_rate_tests
(
    campaign String COMMENT 'Campaign of the live definition.',
    goal String COMMENT 'Goal of the campaign.',
    by String COMMENT 'Whom the row is about: everyone assigned, those in a stage at the assignment, or those in a segment.',
    model String COMMENT 'Stage model, if by is stage; else empty.',
    target String COMMENT 'The stage or segment held at the assignment; empty for everyone.',
    comparison String COMMENT 'variant, variants or factor, as in campaign_comparisons.',
    variant String COMMENT 'The variant; empty for the other comparisons.',
    factor String COMMENT 'The factor; empty for the other comparisons.',
    level String COMMENT 'Its level; empty for the other comparisons.',
    n1 UInt64 COMMENT 'Treated customers whose window has closed.',
    k1 UInt64 COMMENT 'Of them, those who converted.',
    n0 UInt64 COMMENT 'The same of those compared with.',
    k0 UInt64 COMMENT 'Of them, those who converted.',
    open UInt64 COMMENT 'Customers of all arms whose window is still open.',
    held_out Bool COMMENT 'Whether there is a holdout.',
    former UInt64 COMMENT 'Customers of both who are left out, since they were first assigned when the shares were others (campaign_former).',
    difference Nullable(Float64) COMMENT 'k1 / n1 - k0 / n0.',
    difference_low Nullable(Float64) COMMENT 'Lower end of its interval (Newcombe).',
    difference_high Nullable(Float64) COMMENT 'Upper end.',
    ratio Nullable(Float64) COMMENT '(k1 / n1) / (k0 / n0); null if either is 0.',
    ratio_low Nullable(Float64) COMMENT 'Lower end of its interval (by the logarithm).',
    ratio_high Nullable(Float64) COMMENT 'Upper end.',
    always_valid_p Nullable(Float64) COMMENT 'p-value that holds however often one looks.',
    always_valid_p_holm Nullable(Float64) COMMENT 'The same, corrected by Holm for all variants and segments of the goal, each kind for itself.',
    always_valid_low Nullable(Float64) COMMENT 'Lower end of the interval of the difference that holds at all times together.',
    always_valid_high Nullable(Float64) COMMENT 'Upper end.',
    p_value Nullable(Float64) COMMENT 'Fixed-horizon p-value; null until the planned size is reached.',
    p_value_holm Nullable(Float64) COMMENT 'The same, corrected by Holm.',
    minimum_detectable_effect Nullable(Float64) COMMENT 'The least difference that a test of this size at 5 % finds in 80 of 100 cases.',
    sample_ratio_p Nullable(Float64) COMMENT 'p-value of the sample-ratio test of the campaign; null if it cannot be made.',
    enough Bool COMMENT 'Whether each side has at least 5 conversions and 5 customers without one, to be expected if both convert alike.'
)
AS WITH {{statistics}}
SELECT
    campaign,
    goal,
    by,
    model,
    target,
    comparison,
    variant,
    factor,
    level,
    toUInt64(a.n1) AS n1,
    toUInt64(a.k1) AS k1,
    toUInt64(a.n0) AS n0,
    toUInt64(a.k0) AS k0,
    open,
    held_out,
    former,
    if(told, r1 - r0, NULL) AS difference,
    if(told, newcombeLow(a.k1, a.n1, a.k0, a.n0), NULL) AS difference_low,
    if(told, newcombeHigh(a.k1, a.n1, a.k0, a.n0), NULL) AS difference_high,
    if(told, ratioOf(a.k1, a.n1, a.k0, a.n0), NULL) AS ratio,
    if(told, ratioLow(a.k1, a.n1, a.k0, a.n0), NULL) AS ratio_low,
    if(told, ratioHigh(a.k1, a.n1, a.k0, a.n0), NULL) AS ratio_high,
    p AS always_valid_p,
    if(p IS NULL, NULL, max(least(1, tests_left * p)) OVER (PARTITION BY campaign, goal, by, comparison, factor ORDER BY p ASC NULLS LAST RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) AS always_valid_p_holm,
    if(tested, r1 - r0 - margin, NULL) AS always_valid_low,
    if(tested, r1 - r0 + margin, NULL) AS always_valid_high,
    q AS p_value,
    if(q IS NULL, NULL, max(least(1, fixed_tests_left * q)) OVER (PARTITION BY campaign, goal, by, comparison, factor ORDER BY q ASC NULLS LAST RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) AS p_value_holm,
    if(told AND pooled > 0, detectable(sqrt(pooled * (1 - pooled)), a.n1, a.n0), NULL) AS minimum_detectable_effect,
    sample_ratio_p,
    enough
FROM
(
    -- Holm: the smallest p-value times the number of tests, the next times one less, …,
    -- never below the one before. Equal ones count alike (RANGE), in whatever order they come.
    SELECT
        *,
        count(p) OVER (PARTITION BY campaign, goal, by, comparison, factor) + 1 - row_number() OVER (PARTITION BY campaign, goal, by, comparison, factor ORDER BY p ASC NULLS LAST) AS tests_left,
        count(q) OVER (PARTITION BY campaign, goal, by, comparison, factor) + 1 - row_number() OVER (PARTITION BY campaign, goal, by, comparison, factor ORDER BY q ASC NULLS LAST) AS fixed_tests_left
    FROM
    (
        SELECT
            *,
            sequentialPoint(pairs) * error AS margin,
            if(tested, sequentialTail((r1 - r0) / error, pairs), NULL) AS p,
            if(tested AND planned, normalTails(pooledZ(k1, n1, k0, n0)), NULL) AS q
        FROM
        (
            SELECT
                *,
                CAST(least(n1, n0) * least(pooled, 1 - pooled) >= 5 AS Bool) AS enough,
                told AND enough AS tested,
                sequentialError(k1, n1, k0, n0) AS error,
                n1 * n0 / (n1 + n0) AS pairs
            FROM
            (
                SELECT
                    *,
                    k1 / n1 AS r1,
                    k0 / n0 AS r0,
                    n1 > 0 AND n0 > 0 AND NOT ifNull(sample_ratio_p < 0.001, false) AS told,
                    if(n1 + n0 = 0, 0, (k1 + k0) / (n1 + n0)) AS pooled
                FROM {{db}}.campaign_comparisons
                WHERE kind != 'rise'
            )
        )
    )
) AS a
COMMENT 'Conversion rates compared, with all statistics: what kpi_campaign_lift and kpi_campaign_factors show.';

CREATE OR REPLACE VIEW {{db}}.kpi_campaign_lift
(
    campaign String COMMENT 'Campaign of the live definition.',
    goal String COMMENT 'Goal of the campaign.',
    by String COMMENT 'Whom the row is about: everyone assigned, those in a stage at the assignment, or those in a segment. Rows of stages and segments overlap and do not add up.',
    model String COMMENT 'Stage model, if by is stage; else empty.',
    target String COMMENT 'The stage or segment held at the assignment; empty for everyone.',
    variant Nullable(String) COMMENT 'The variant; null for all variants together.',
    assigned UInt64 COMMENT 'Customers given the variant whose window has closed.',
    converted UInt64 COMMENT 'Of them, those with at least one conversion.',
    conversion_rate Nullable(Float64) COMMENT 'converted / assigned, 0 to 1.',
    holdout_assigned UInt64 COMMENT 'Customers of the holdout whose window has closed.',
    holdout_converted UInt64 COMMENT 'Of them, those with at least one conversion.',
    holdout_rate Nullable(Float64) COMMENT 'holdout_converted / holdout_assigned, 0 to 1.',
    difference Nullable(Float64) COMMENT 'conversion_rate - holdout_rate; null without a holdout, and if the assignment is broken.',
    difference_low Nullable(Float64) COMMENT 'Lower end of its 95 % interval (Newcombe), for one look.',
    difference_high Nullable(Float64) COMMENT 'Upper end.',
    ratio Nullable(Float64) COMMENT 'conversion_rate / holdout_rate; null if either is 0.',
    ratio_low Nullable(Float64) COMMENT 'Lower end of its 95 % interval (by the logarithm), for one look.',
    ratio_high Nullable(Float64) COMMENT 'Upper end.',
    always_valid_p Nullable(Float64) COMMENT 'p-value that holds however often one looks (mixture sequential test); null until there is enough data.',
    always_valid_p_holm Nullable(Float64) COMMENT 'The same, corrected by Holm for the variants and the stages or segments of the goal: what the verdict goes by.',
    always_valid_low Nullable(Float64) COMMENT 'Lower end of the 95 % interval of the difference that holds at all times together.',
    always_valid_high Nullable(Float64) COMMENT 'Upper end.',
    p_value Nullable(Float64) COMMENT 'Fixed-horizon p-value (pooled z); null until the planned size is reached: the campaign has ended and no window is open.',
    p_value_holm Nullable(Float64) COMMENT 'The same, corrected by Holm.',
    minimum_detectable_effect Nullable(Float64) COMMENT 'The least difference that a test of this size at 5 % finds in 80 of 100 cases.',
    sample_ratio_p Nullable(Float64) COMMENT 'p-value of the sample-ratio test (chi-square) of the campaign; null if another system assigns, or for less than 5 expected in an arm.',
    open UInt64 COMMENT 'Customers of all arms whose window is still open: not counted yet.',
    former UInt64 COMMENT 'Customers of the variant and of the holdout who are left out of all that is counted here: they were first assigned when the shares of the campaign were others, and customers may have behaved otherwise then.',
    verdict String COMMENT 'assignment is broken, no holdout, not enough data yet, more than the holdout, fewer than the holdout, or no difference shown yet.'
)
AS SELECT
    campaign,
    goal,
    by,
    model,
    target,
    nullIf(t.variant, '') AS variant,
    n1 AS assigned,
    k1 AS converted,
    if(n1 = 0, NULL, k1 / n1) AS conversion_rate,
    n0 AS holdout_assigned,
    k0 AS holdout_converted,
    if(n0 = 0, NULL, k0 / n0) AS holdout_rate,
    difference,
    difference_low,
    difference_high,
    ratio,
    ratio_low,
    ratio_high,
    always_valid_p,
    always_valid_p_holm,
    always_valid_low,
    always_valid_high,
    p_value,
    p_value_holm,
    minimum_detectable_effect,
    sample_ratio_p,
    open,
    former,
    multiIf(
        ifNull(sample_ratio_p < 0.001, false), 'assignment is broken',
        NOT held_out, 'no holdout',
        n0 = 0 OR n1 = 0 OR NOT enough, 'not enough data yet',
        always_valid_p_holm > 0.05, 'no difference shown yet',
        difference > 0, 'more than the holdout',
        'fewer than the holdout') AS verdict
FROM {{db}}.campaign_rate_tests AS t
WHERE comparison IN ('variant', 'variants')
COMMENT 'Lift: conversion rate of each variant against the holdout, per targeted segment. The sample-ratio test comes first.';

CREATE OR REPLACE VIEW {{db}}.kpi_campaign_factors
(
    campaign String COMMENT 'Campaign of the live definition.',
    goal String COMMENT 'Goal of the campaign.',
    factor String COMMENT 'A property of the variants, such as tone.',
    level String COMMENT 'One of its values.',
    assigned UInt64 COMMENT 'Customers given a variant with this level, whose window has closed.',
    converted UInt64 COMMENT 'Of them, those with at least one conversion.',
    conversion_rate Nullable(Float64) COMMENT 'converted / assigned, 0 to 1.',
    others_assigned UInt64 COMMENT 'Customers given a variant with another level of the factor, whose window has closed.',
    others_converted UInt64 COMMENT 'Of them, those with at least one conversion.',
    others_rate Nullable(Float64) COMMENT 'others_converted / others_assigned, 0 to 1.',
    difference Nullable(Float64) COMMENT 'conversion_rate - others_rate: the effect of the level, over all other factors as they were mixed.',
    difference_low Nullable(Float64) COMMENT 'Lower end of its 95 % interval (Newcombe), for one look.',
    difference_high Nullable(Float64) COMMENT 'Upper end.',
    ratio Nullable(Float64) COMMENT 'conversion_rate / others_rate; null if either is 0.',
    ratio_low Nullable(Float64) COMMENT 'Lower end of its 95 % interval (by the logarithm), for one look.',
    ratio_high Nullable(Float64) COMMENT 'Upper end.',
    always_valid_p Nullable(Float64) COMMENT 'p-value that holds however often one looks; null until there is enough data.',
    always_valid_p_holm Nullable(Float64) COMMENT 'The same, corrected by Holm for the levels of the factor, of which two are one test: what the verdict goes by.',
    p_value Nullable(Float64) COMMENT 'Fixed-horizon p-value (pooled z); null until the planned size is reached.',
    p_value_holm Nullable(Float64) COMMENT 'The same, corrected by Holm.',
    minimum_detectable_effect Nullable(Float64) COMMENT 'The least difference that a test of this size at 5 % finds in 80 of 100 cases.',
    sample_ratio_p Nullable(Float64) COMMENT 'p-value of the sample-ratio test of the campaign; null if it cannot be made.',
    former UInt64 COMMENT 'Customers of the level and of the others who are left out of all that is counted here: they were first assigned when the shares of the campaign were others, and customers may have behaved otherwise then.',
    verdict String COMMENT 'assignment is broken, no other level, not enough data yet, more than the others, fewer than the others, or no difference shown yet.'
)
AS SELECT
    campaign,
    goal,
    factor,
    level,
    n1 AS assigned,
    k1 AS converted,
    if(n1 = 0, NULL, k1 / n1) AS conversion_rate,
    n0 AS others_assigned,
    k0 AS others_converted,
    if(n0 = 0, NULL, k0 / n0) AS others_rate,
    difference,
    difference_low,
    difference_high,
    ratio,
    ratio_low,
    ratio_high,
    always_valid_p,
    if(levels = 2, always_valid_p, t.always_valid_p_holm) AS always_valid_p_holm,
    t.p_value AS p_value,
    if(levels = 2, t.p_value, t.p_value_holm) AS p_value_holm,
    minimum_detectable_effect,
    sample_ratio_p,
    former,
    multiIf(
        ifNull(sample_ratio_p < 0.001, false), 'assignment is broken',
        levels = 1, 'no other level',
        NOT enough, 'not enough data yet',
        always_valid_p_holm > 0.05, 'no difference shown yet',
        difference > 0, 'more than the others',
        'fewer than the others') AS verdict
FROM
(
    SELECT *, count() OVER (PARTITION BY campaign, goal, factor) AS levels
    FROM {{db}}.campaign_rate_tests
    WHERE comparison = 'factor'
) AS t
COMMENT 'Multivariate tests: conversion rate with each level of a factor against its other levels.';

CREATE OR REPLACE VIEW {{db}}.campaign_mean_tests
(
    campaign String COMMENT 'Campaign of the live definition.',
    goal String COMMENT 'Goal of the campaign.',
    kind String COMMENT 'What a conversion is worth: first, total, or rise against a baseline.',
    by String COMMENT 'Whom the row is about: everyone assigned, those in a stage at the assignment, or those in a segment.',
    model String COMMENT 'Stage model, if by is stage; else empty.',
    target String COMMENT 'The stage or segment held at the assignment; empty for everyone.',
    comparison String COMMENT 'variant, variants or factor, as in campaign_comparisons.',
    variant String COMMENT 'The variant; empty for the other comparisons.',
    factor String COMMENT 'The factor; empty for the other comparisons.',
    level String COMMENT 'Its level; empty for the other comparisons.',
    n1 UInt64 COMMENT 'Treated customers whose window has closed.',
    k1 UInt64 COMMENT 'Of them, those with a conversion.',
    conversions UInt64 COMMENT 'Their conversions: one per customer and round.',
    total1 Decimal(38, 4) COMMENT 'Sum of their values.',
    mean1 Nullable(Float64) COMMENT 'total1 / n1: zeros included.',
    o1 UInt64 COMMENT 'Orders in total1.',
    n0 UInt64 COMMENT 'The same of those compared with.',
    k0 UInt64 COMMENT 'Of them, those with a conversion.',
    total0 Decimal(38, 4) COMMENT 'Sum of their values.',
    mean0 Nullable(Float64) COMMENT 'total0 / n0.',
    o0 UInt64 COMMENT 'Orders in total0.',
    without_rate UInt64 COMMENT 'Conversions of both with money in another currency without a rate: that is not in the sums.',
    open UInt64 COMMENT 'Customers of all arms whose window is still open.',
    held_out Bool COMMENT 'Whether there is a holdout.',
    former UInt64 COMMENT 'Customers of both who are left out, since they were first assigned when the shares were others (campaign_former).',
    difference Nullable(Float64) COMMENT 'mean1 - mean0.',
    difference_low Nullable(Float64) COMMENT 'Lower end of its interval (Welch).',
    difference_high Nullable(Float64) COMMENT 'Upper end.',
    always_valid_p Nullable(Float64) COMMENT 'p-value that holds however often one looks.',
    always_valid_p_holm Nullable(Float64) COMMENT 'The same, corrected by Holm for all variants and segments of the goal, each kind for itself.',
    always_valid_low Nullable(Float64) COMMENT 'Lower end of the interval of the difference that holds at all times together.',
    always_valid_high Nullable(Float64) COMMENT 'Upper end.',
    p_value Nullable(Float64) COMMENT 'Fixed-horizon p-value (Welch); null until the planned size is reached, and while the interval is.',
    p_value_holm Nullable(Float64) COMMENT 'The same, corrected by Holm.',
    minimum_detectable_effect Nullable(Float64) COMMENT 'The least difference that a test of this size at 5 % finds in 80 of 100 cases.',
    sample_ratio_p Nullable(Float64) COMMENT 'p-value of the sample-ratio test of the campaign; null if it cannot be made.',
    enough Bool COMMENT 'Whether each side has at least 30 customers, and at least 5 whose value is not 0.',
    welch_holds Bool COMMENT 'Whether the values are even enough for the figures of one look (Welch): the skewness of the difference of the means is below 0.2 (Cochran). A few large values in a tiny holdout are not.'
)
AS WITH {{statistics}}
SELECT
    campaign,
    goal,
    kind,
    by,
    model,
    target,
    comparison,
    variant,
    factor,
    level,
    toUInt64(a.n1) AS n1,
    toUInt64(a.k1) AS k1,
    conversions,
    CAST(toDecimal256(t1, 4) / 10000 AS Decimal(38, 4)) AS total1,
    if(a.n1 = 0, NULL, m1) AS mean1,
    a.o1 AS o1,
    toUInt64(a.n0) AS n0,
    toUInt64(a.k0) AS k0,
    CAST(toDecimal256(t0, 4) / 10000 AS Decimal(38, 4)) AS total0,
    if(a.n0 = 0, NULL, m0) AS mean0,
    a.o0 AS o0,
    without_rate,
    open,
    held_out,
    former,
    if(told, m1 - m0, NULL) AS difference,
    if(tested AND welch_holds, m1 - m0 - studentPoint(freedom) * error, NULL) AS difference_low,
    if(tested AND welch_holds, m1 - m0 + studentPoint(freedom) * error, NULL) AS difference_high,
    p AS always_valid_p,
    if(p IS NULL, NULL, max(least(1, tests_left * p)) OVER (PARTITION BY campaign, goal, by, comparison, factor ORDER BY p ASC NULLS LAST RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) AS always_valid_p_holm,
    if(tested, m1 - m0 - margin, NULL) AS always_valid_low,
    if(tested, m1 - m0 + margin, NULL) AS always_valid_high,
    q AS p_value,
    if(q IS NULL, NULL, max(least(1, fixed_tests_left * q)) OVER (PARTITION BY campaign, goal, by, comparison, factor ORDER BY q ASC NULLS LAST RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) AS p_value_holm,
    if(tested, detectable(sqrt(pooled), a.n1, a.n0), NULL) AS minimum_detectable_effect,
    sample_ratio_p,
    enough,
    welch_holds
FROM
(
    SELECT
        *,
        count(p) OVER (PARTITION BY campaign, goal, by, comparison, factor) + 1 - row_number() OVER (PARTITION BY campaign, goal, by, comparison, factor ORDER BY p ASC NULLS LAST) AS tests_left,
        count(q) OVER (PARTITION BY campaign, goal, by, comparison, factor) + 1 - row_number() OVER (PARTITION BY campaign, goal, by, comparison, factor ORDER BY q ASC NULLS LAST) AS fixed_tests_left
    FROM
    (
        SELECT
            *,
            toFloat64(t1) / 10000 / n1 AS m1,
            toFloat64(t0) / 10000 / n0 AS m0,
            varianceOf(n1, toInt256(n1) * q1 - t1 * t1) / 1e8 AS v1,
            varianceOf(n0, toInt256(n0) * q0 - t0 * t0) / 1e8 AS v0,
            toInt256(n1 + n0) AS n,
            n * (q1 + q0) - (t1 + t0) * (t1 + t0) AS scatter,
            varianceOf(n1 + n0, scatter) / 1e8 AS pooled,
            CAST(welchHolds(skewnessOf(scatter, n * n * (c1 + c0) - 3 * n * (t1 + t0) * (q1 + q0) + 2 * (t1 + t0) * (t1 + t0) * (t1 + t0)), n1, n0) AS Bool) AS welch_holds,
            n1 > 0 AND n0 > 0 AND NOT ifNull(sample_ratio_p < 0.001, false) AS told,
            CAST(least(n1, n0) >= 30 AND least(z1, z0) >= 5 AND least(v1, v0) > 0 AS Bool) AS enough,
            told AND enough AS tested,
            welchError(n1, v1, n0, v0) AS error,
            welchFreedom(n1, v1, n0, v0) AS freedom,
            n1 * n0 / (n1 + n0) AS pairs,
            greatest(error, sqrt(pooled / pairs)) AS wide,
            sequentialPoint(pairs) * wide AS margin,
            if(tested, sequentialTail((m1 - m0) / wide, pairs), NULL) AS p,
            if(tested AND welch_holds AND planned, studentTails((m1 - m0) / error, freedom), NULL) AS q
        FROM {{db}}.campaign_comparisons
        WHERE kind != 'none'
    )
) AS a
COMMENT 'Values per assigned customer compared, with all statistics: what kpi_campaign_revenue and kpi_campaign_rise show.';

CREATE OR REPLACE VIEW {{db}}.kpi_campaign_revenue
(
    campaign String COMMENT 'Campaign of the live definition.',
    goal String COMMENT 'Goal of the campaign, with value: first or total.',
    by String COMMENT 'Whom the row is about: everyone assigned, those in a stage at the assignment, or those in a segment. Rows of stages and segments overlap and do not add up.',
    model String COMMENT 'Stage model, if by is stage; else empty.',
    target String COMMENT 'The stage or segment held at the assignment; empty for everyone.',
    variant Nullable(String) COMMENT 'The variant; null for all variants together.',
    currency String COMMENT 'Currency of the money: that of the live definition. Money in another counts at the rate of the event''s day.',
    assigned UInt64 COMMENT 'Customers given the variant whose window has closed.',
    buyers UInt64 COMMENT 'Of them, those with at least one conversion.',
    conversions UInt64 COMMENT 'Their conversions: one per customer and round.',
    revenue Decimal(38, 4) COMMENT 'Sum of their conversions'' values. Those of value: total have refunds taken off; those of value: first are as they were at the conversion. Where rounds overlap (every below within), an order converts each open round, and its value counts in each.',
    revenue_per_assigned Nullable(Float64) COMMENT 'revenue / assigned: who bought nothing counts 0.',
    revenue_per_buyer Nullable(Float64) COMMENT 'revenue / buyers.',
    orders UInt64 COMMENT 'Orders in the revenue: occurrences of the goal''s event, refunded ones too.',
    average_order_value Nullable(Float64) COMMENT 'revenue / orders.',
    holdout_assigned UInt64 COMMENT 'Customers of the holdout whose window has closed.',
    holdout_buyers UInt64 COMMENT 'Of them, those with at least one conversion.',
    holdout_revenue Decimal(38, 4) COMMENT 'Sum of their conversions'' values.',
    holdout_per_assigned Nullable(Float64) COMMENT 'holdout_revenue / holdout_assigned.',
    holdout_average_order_value Nullable(Float64) COMMENT 'holdout_revenue / orders in it.',
    difference Nullable(Float64) COMMENT 'revenue_per_assigned - holdout_per_assigned; null without a holdout, and if the assignment is broken.',
    difference_low Nullable(Float64) COMMENT 'Lower end of its 95 % interval (Welch), for one look; null until there is enough data, of which values that differ widely need more: 25 times their squared skewness in a holdout that is much smaller (Cochran).',
    difference_high Nullable(Float64) COMMENT 'Upper end.',
    always_valid_p Nullable(Float64) COMMENT 'p-value that holds however often one looks; null until there is enough data.',
    always_valid_p_holm Nullable(Float64) COMMENT 'The same, corrected by Holm for the variants and the stages or segments of the goal: what the verdict goes by.',
    always_valid_low Nullable(Float64) COMMENT 'Lower end of the 95 % interval of the difference that holds at all times together.',
    always_valid_high Nullable(Float64) COMMENT 'Upper end.',
    p_value Nullable(Float64) COMMENT 'Fixed-horizon p-value (Welch); null until the planned size is reached, and while the interval is.',
    p_value_holm Nullable(Float64) COMMENT 'The same, corrected by Holm.',
    minimum_detectable_effect Nullable(Float64) COMMENT 'The least difference that a test of this size at 5 % finds in 80 of 100 cases.',
    sample_ratio_p Nullable(Float64) COMMENT 'p-value of the sample-ratio test of the campaign; null if it cannot be made.',
    without_rate UInt64 COMMENT 'Conversions, of the holdout too, with money in a currency without a rate: it has no value here.',
    open UInt64 COMMENT 'Customers of all arms whose window is still open: not counted yet.',
    former UInt64 COMMENT 'Customers of the variant and of the holdout who are left out of all that is counted here: they were first assigned when the shares of the campaign were others, and customers may have behaved otherwise then.',
    verdict String COMMENT 'assignment is broken, no holdout, not enough data yet, more than the holdout, less than the holdout, or no difference shown yet.'
)
AS SELECT
    campaign,
    goal,
    by,
    model,
    target,
    nullIf(t.variant, '') AS variant,
    ifNull((SELECT currency FROM {{db}}.live_definition), '') AS currency,
    n1 AS assigned,
    k1 AS buyers,
    conversions,
    total1 AS revenue,
    mean1 AS revenue_per_assigned,
    if(k1 = 0, NULL, toFloat64(total1) / k1) AS revenue_per_buyer,
    o1 AS orders,
    if(o1 = 0, NULL, toFloat64(total1) / o1) AS average_order_value,
    n0 AS holdout_assigned,
    k0 AS holdout_buyers,
    total0 AS holdout_revenue,
    mean0 AS holdout_per_assigned,
    if(o0 = 0, NULL, toFloat64(total0) / o0) AS holdout_average_order_value,
    difference,
    difference_low,
    difference_high,
    always_valid_p,
    always_valid_p_holm,
    always_valid_low,
    always_valid_high,
    p_value,
    p_value_holm,
    minimum_detectable_effect,
    sample_ratio_p,
    without_rate,
    open,
    former,
    multiIf(
        ifNull(sample_ratio_p < 0.001, false), 'assignment is broken',
        NOT held_out, 'no holdout',
        n0 = 0 OR n1 = 0 OR NOT enough, 'not enough data yet',
        always_valid_p_holm > 0.05, 'no difference shown yet',
        difference > 0, 'more than the holdout',
        'less than the holdout') AS verdict
FROM {{db}}.campaign_mean_tests AS t
WHERE comparison IN ('variant', 'variants') AND kind IN ('first', 'total')
COMMENT 'Revenue per assigned customer of each variant against the holdout, per targeted segment; zeros included.';

CREATE OR REPLACE VIEW {{db}}.kpi_campaign_rise
(
    campaign String COMMENT 'Campaign of the live definition.',
    goal String COMMENT 'Goal of the campaign, with a baseline.',
    by String COMMENT 'Whom the row is about: everyone assigned, those in a stage at the assignment, or those in a segment. Rows of stages and segments overlap and do not add up.',
    model String COMMENT 'Stage model, if by is stage; else empty.',
    target String COMMENT 'The stage or segment held at the assignment; empty for everyone.',
    variant Nullable(String) COMMENT 'The variant; null for all variants together.',
    assigned UInt64 COMMENT 'Customers given the variant whose window has closed.',
    rise Decimal(38, 4) COMMENT 'Sum over them of what happened in the window less what happened in one as long before the assignment.',
    rise_per_assigned Nullable(Float64) COMMENT 'rise / assigned.',
    holdout_assigned UInt64 COMMENT 'Customers of the holdout whose window has closed.',
    holdout_rise Decimal(38, 4) COMMENT 'The same sum over them.',
    holdout_rise_per_assigned Nullable(Float64) COMMENT 'holdout_rise / holdout_assigned.',
    difference Nullable(Float64) COMMENT 'rise_per_assigned - holdout_rise_per_assigned; null without a holdout, and if the assignment is broken.',
    difference_low Nullable(Float64) COMMENT 'Lower end of its 95 % interval (Welch), for one look; null until there is enough data, of which values that differ widely need more: 25 times their squared skewness in a holdout that is much smaller (Cochran).',
    difference_high Nullable(Float64) COMMENT 'Upper end.',
    always_valid_p Nullable(Float64) COMMENT 'p-value that holds however often one looks; null until there is enough data.',
    always_valid_p_holm Nullable(Float64) COMMENT 'The same, corrected by Holm for the variants and the stages or segments of the goal: what the verdict goes by.',
    always_valid_low Nullable(Float64) COMMENT 'Lower end of the 95 % interval of the difference that holds at all times together.',
    always_valid_high Nullable(Float64) COMMENT 'Upper end.',
    p_value Nullable(Float64) COMMENT 'Fixed-horizon p-value (Welch); null until the planned size is reached, and while the interval is.',
    p_value_holm Nullable(Float64) COMMENT 'The same, corrected by Holm.',
    sample_ratio_p Nullable(Float64) COMMENT 'p-value of the sample-ratio test of the campaign; null if it cannot be made.',
    open UInt64 COMMENT 'Customers of all arms whose window is still open: not counted yet.',
    former UInt64 COMMENT 'Customers of the variant and of the holdout who are left out of all that is counted here: they were first assigned when the shares of the campaign were others, and customers may have behaved otherwise then.',
    verdict String COMMENT 'assignment is broken, no holdout, not enough data yet, more than the holdout, less than the holdout, or no difference shown yet.'
)
AS SELECT
    campaign,
    goal,
    by,
    model,
    target,
    nullIf(t.variant, '') AS variant,
    n1 AS assigned,
    total1 AS rise,
    mean1 AS rise_per_assigned,
    n0 AS holdout_assigned,
    total0 AS holdout_rise,
    mean0 AS holdout_rise_per_assigned,
    difference,
    difference_low,
    difference_high,
    always_valid_p,
    always_valid_p_holm,
    always_valid_low,
    always_valid_high,
    p_value,
    p_value_holm,
    sample_ratio_p,
    open,
    former,
    multiIf(
        ifNull(sample_ratio_p < 0.001, false), 'assignment is broken',
        NOT held_out, 'no holdout',
        n0 = 0 OR n1 = 0 OR NOT enough, 'not enough data yet',
        always_valid_p_holm > 0.05, 'no difference shown yet',
        difference > 0, 'more than the holdout',
        'less than the holdout') AS verdict
FROM {{db}}.campaign_mean_tests AS t
WHERE comparison IN ('variant', 'variants') AND kind = 'rise'
COMMENT 'Outcomes against a baseline, such as the rise in sessions: each variant against the holdout, per targeted segment.';

CREATE OR REPLACE VIEW {{db}}.campaign_costs
(
    campaign String COMMENT 'Campaign of the live definition that names a cost.',
    variant Nullable(String) COMMENT 'Variant; null for the campaign as a whole, messages to others than those given a variant included.',
    messages UInt64 COMMENT 'Exposures with the step that costs, to date.',
    cost Nullable(Decimal(38, 4)) COMMENT 'The fixed cost and that of the messages, in the currency of the definition; null if a rate is missing. Of a variant: its own, and of the campaign''s fixed cost the part by its share.',
    compared_messages UInt64 COMMENT 'Of messages, those to customers that are compared: not those of campaign_former.',
    compared_cost Nullable(Decimal(38, 4)) COMMENT 'The fixed cost, whole, and that of compared_messages.'
)
AS WITH
    (SELECT known FROM {{db}}.campaign_clock) AS known,
    ifNull((SELECT currency FROM {{db}}.live_definition), '') AS of_all,
    assumeNotNull((SELECT timezone FROM {{db}}.live_definition)) AS zone,
    (
        SELECT groupArray((campaign, ifNull(cost_per, ''), toDecimal128(ifNull(cost_amount, 0), 4), toDecimal128(ifNull(cost_fixed, 0), 4), ifNull(cost_currency, ''), assumeNotNull(toDate(ifNull(starts_at, (SELECT activated_at FROM {{db}}.definitions ORDER BY activated_at, version LIMIT 1)), zone))))
        FROM {{db}}.campaigns
        WHERE cost_currency IS NOT NULL OR cost_amount > 0 OR cost_fixed > 0
            OR campaign IN (SELECT campaign FROM {{db}}.campaign_variants WHERE cost_currency IS NOT NULL)
    ) AS own,
    (
        SELECT groupArray((campaign, assumeNotNull(variant), share, ifNull(cost_per, ''), toDecimal128(ifNull(cost_amount, 0), 4), toDecimal128(ifNull(cost_fixed, 0), 4), ifNull(cost_currency, '')))
        FROM {{db}}.campaign_variants
        WHERE NOT holdout
    ) AS arms
SELECT
    campaign,
    CAST(nullIf(row, ''), 'Nullable(String)') AS variant,
    sum(n) AS messages,
    if(countIf(worth IS NULL) > 0, NULL, CAST(sum(ifNull(worth, 0)) AS Decimal(38, 4))) AS cost,
    sum(compared) AS compared_messages,
    if(countIf(compared_worth IS NULL) > 0, NULL, CAST(sum(ifNull(compared_worth, 0)) AS Decimal(38, 4))) AS compared_cost
FROM
(
    SELECT
        l.campaign AS campaign,
        l.n AS n,
        l.compared AS compared,
        if(l.n > 0, l.compared, 1) AS times,
        arrayJoin(arrayConcat(if(l.whole, [''], []), if(notEmpty(l.arm), [l.arm], []))) AS row,
        multiIf(l.price = 0, toDecimal128(0, 4), l.money IN ('', of_all) OR of_all = '', toDecimal128(l.price * if(l.n > 0, l.n, 1), 4), r.rate > 0, roundBankers(toDecimal128(l.price * if(l.n > 0, l.n, 1), 4) * r.rate, 4), NULL) AS worth,
        multiIf(l.price = 0 OR times = 0, toDecimal128(0, 4), l.money IN ('', of_all) OR of_all = '', toDecimal128(l.price * times, 4), r.rate > 0, roundBankers(toDecimal128(l.price * times, 4) * r.rate, 4), NULL) AS compared_worth
    FROM
    (
        -- The campaign's fixed cost, once for the whole and once in parts; the variants' own.
        SELECT
            tupleElement(line, 1) AS campaign,
            tupleElement(line, 2) AS arm,
            tupleElement(line, 3) = 1 AS whole,
            toUInt64(0) AS n,
            toUInt64(0) AS compared,
            tupleElement(line, 4) AS price,
            tupleElement(line, 5) AS money,
            tupleElement(line, 6) AS day
        FROM
        (
            SELECT
                c,
                arrayFilter(a -> tupleElement(a, 1) = tupleElement(c, 1), assumeNotNull(arms)) AS mine,
                arraySum(a -> tupleElement(a, 3), mine) AS shares,
                arrayJoin(arrayConcat(
                    [(tupleElement(c, 1), '', toUInt8(1), tupleElement(c, 4), tupleElement(c, 5), tupleElement(c, 6))],
                    arrayMap(a -> (tupleElement(c, 1), tupleElement(a, 2), toUInt8(1), tupleElement(a, 6), tupleElement(a, 7), tupleElement(c, 6)), mine),
                    arrayMap(a -> (tupleElement(c, 1), tupleElement(a, 2), toUInt8(0), if(shares = 0, toDecimal128(0, 4), toDecimal128(round(toFloat64(tupleElement(c, 4)) * tupleElement(a, 3) / shares, 4), 4)), tupleElement(c, 5), tupleElement(c, 6)), mine))) AS line
            FROM (SELECT arrayJoin(assumeNotNull(own)) AS c)
        )
        UNION ALL
        -- Messages, at the variant's price if it names one.
        SELECT
            campaign,
            tupleElement(by_arm, 2) AS arm,
            true AS whole,
            sum(m) AS n,
            sumIf(m, NOT former) AS compared,
            tupleElement(term, 2) AS price,
            tupleElement(term, 3) AS money,
            day
        FROM
        (
            SELECT
                e.campaign AS campaign,
                e.step AS step,
                e.day AS day,
                e.m AS m,
                a.arm AS given,
                a.former AS former,
                arrayFirst(b -> tupleElement(b, 1) = e.campaign AND tupleElement(b, 2) = given, assumeNotNull(arms)) AS by_arm,
                arrayFirst(c -> tupleElement(c, 1) = e.campaign, assumeNotNull(own)) AS by_all,
                if(notEmpty(tupleElement(by_arm, 4)),
                    (tupleElement(by_arm, 4), tupleElement(by_arm, 5), tupleElement(by_arm, 7)),
                    (tupleElement(by_all, 2), tupleElement(by_all, 3), tupleElement(by_all, 5))) AS term
            FROM
            (
                SELECT CAST(campaign, 'String') AS campaign, CAST(step, 'String') AS step, assumeNotNull(toDate(exposed_at, zone)) AS day, sipHash64(campaign, customer_id) AS k, count() AS m
                FROM {{db}}.exposures_log FINAL
                WHERE _generation = (SELECT generation FROM {{db}}.current_generation) AND has(arrayMap(c -> tupleElement(c, 1), assumeNotNull(own)), campaign)
                GROUP BY campaign, step, day, k
            ) AS e
            LEFT ANY JOIN
            (
                SELECT sipHash64(toString(l.campaign), customer_id) AS k, any(ifNull(toString(variant), '')) AS arm, countIf(round = 1 AND definition_version < tupleElement(known, 'shares_since')[indexOf(tupleElement(known, 'campaigns'), l.campaign)]) > 0 AS former
                FROM {{db}}.assignments_log AS l
                WHERE _generation = (SELECT generation FROM {{db}}.current_generation) AND definition = (SELECT name FROM {{db}}.live_definition)
                    AND has(arrayMap(c -> tupleElement(c, 1), assumeNotNull(own)), l.campaign)
                GROUP BY k
            ) AS a ON a.k = e.k
        )
        WHERE step = tupleElement(term, 1)
        GROUP BY campaign, arm, price, money, day
    ) AS l
    LEFT JOIN {{db}}.rates AS r ON r.currency = l.money AND r.day = l.day
)
GROUP BY campaign, row
SETTINGS join_use_nulls = 0
COMMENT 'What each campaign, and each of its variants, has cost to date: messages at the rate of their day, the fixed part at that of the campaign''s start.';

CREATE OR REPLACE VIEW {{db}}.campaign_reached
(
    campaign String COMMENT 'Campaign of the live definition.',
    goal String COMMENT 'Goal of the campaign.',
    kind String COMMENT 'What a conversion is worth: none, first, total, or rise against a baseline.',
    by String COMMENT 'Whom the row is about: everyone assigned, those in a stage at the assignment, or those in a segment.',
    model String COMMENT 'Stage model, if by is stage; else empty.',
    target String COMMENT 'The stage or segment held at the assignment; empty for everyone.',
    arm String COMMENT 'Variant; empty for the holdout, and where another system gave it no name.',
    holdout Bool COMMENT 'Whether the row is about the holdout.',
    assigned UInt64 COMMENT 'Customers assigned whose window has closed.',
    open UInt64 COMMENT 'Customers assigned whose window is still open; not in assigned.',
    exposed UInt64 COMMENT 'Of assigned, those with any exposure of the campaign at or after the assignment.',
    reached UInt64 COMMENT 'Of assigned, those with one that was delivered, opened or clicked, by whomever.',
    opened UInt64 COMMENT 'Of assigned, those with one that a person opened.',
    machine_opened UInt64 COMMENT 'Of assigned, those with one that a machine opened.',
    clicked UInt64 COMMENT 'Of assigned, those with one that a person clicked.'
)
AS WITH
    (SELECT known FROM {{db}}.campaign_clock) AS known,
    tupleElement(known, 'now_ms') AS now_ms,
    tupleElement(known, 'windows') AS windows,
    tupleElement(known, 'campaigns') AS campaigns,
    tupleElement(known, 'goals') AS goals,
    tupleElement(known, 'again') AS again,
    (list) -> arrayMap(x -> toUInt64(x > 0), list) AS once
SELECT
    campaign,
    tupleElement(aim, 1) AS goal,
    tupleElement(aim, 3) AS kind,
    tupleElement(held, 1) AS by,
    tupleElement(held, 2) AS model,
    tupleElement(held, 3) AS target,
    arm,
    holdout,
    ifNull(closed[indexOf(windows, tupleElement(aim, 2))], 0) AS assigned,
    toUInt64(customers - assigned) AS open,
    ifNull(e[indexOf(windows, tupleElement(aim, 2))], 0) AS exposed,
    ifNull(r[indexOf(windows, tupleElement(aim, 2))], 0) AS reached,
    ifNull(o[indexOf(windows, tupleElement(aim, 2))], 0) AS opened,
    ifNull(m[indexOf(windows, tupleElement(aim, 2))], 0) AS machine_opened,
    ifNull(c[indexOf(windows, tupleElement(aim, 2))], 0) AS clicked
FROM
(
    SELECT
        campaign, arm, holdout, held, sum(customers) AS customers, sumForEach(closed) AS closed,
        sumForEach(e) AS e, sumForEach(r) AS r, sumForEach(o) AS o, sumForEach(m) AS m, sumForEach(c) AS c
    FROM
    (
        SELECT
            campaign,
            arm,
            holdout,
            held,
            if(who = '', sum(n), 1) AS customers,
            if(who = '', sumForEach(passed), once(sumForEach(passed))) AS closed,
            if(who = '', sumForEach(e), once(sumForEach(e))) AS e,
            if(who = '', sumForEach(r), once(sumForEach(r))) AS r,
            if(who = '', sumForEach(o), once(sumForEach(o))) AS o,
            if(who = '', sumForEach(m), once(sumForEach(m))) AS m,
            if(who = '', sumForEach(c), once(sumForEach(c))) AS c
        FROM
        (
            SELECT
                *,
                CAST(_group, 'Tuple(String, Nullable(String), Bool, Map(String, String), Array(String))') AS kept,
                tupleElement(kept, 1) AS campaign,
                ifNull(tupleElement(kept, 2), '') AS arm,
                tupleElement(kept, 3) AS holdout,
                arrayJoin(arrayConcat(
                    [('everyone', '', '')],
                    arrayMap((m, s) -> ('stage', m, s), mapKeys(tupleElement(kept, 4)), mapValues(tupleElement(kept, 4))),
                    arrayMap(s -> ('segment', '', s), tupleElement(kept, 5)))) AS held
            FROM
            (
                SELECT
                    _group,
                    who,
                    count() AS n,
                    sumForEach(gone) AS passed,
                    sumForEach(if(x.any_ms > at_ms, gone, none)) AS e,
                    sumForEach(if(x.reached_ms > at_ms, gone, none)) AS r,
                    sumForEach(if(x.opened_ms > at_ms, gone, none)) AS o,
                    sumForEach(if(x.machine_ms > at_ms, gone, none)) AS m,
                    sumForEach(if(x.clicked_ms > at_ms, gone, none)) AS c
                FROM
                (
                    SELECT
                        _group,
                        if(notEmpty(again), if(has(again, campaign), customer_id, ''), '') AS who,
                        toUnixTimestamp64Milli(effective_at) AS at_ms,
                        arrayMap(w -> toUInt64(at_ms + w <= now_ms), windows) AS gone,
                        arrayMap(w -> toUInt64(0), windows) AS none,
                        sipHash64(campaign, customer_id) AS k
                    FROM {{db}}.assignments_log FINAL
                    WHERE _generation = tupleElement(known, 'generation') AND definition = tupleElement(known, 'definition')
                ) AS a
                LEFT ANY JOIN
                (
                    -- A millisecond later, so that 0 stands for never and > for at or after.
                    SELECT
                        sipHash64(campaign, customer_id) AS k,
                        max(toUnixTimestamp64Milli(exposed_at) + 1) AS any_ms,
                        maxIf(toUnixTimestamp64Milli(exposed_at) + 1, step IN ('delivered', 'opened', 'clicked')) AS reached_ms,
                        maxIf(toUnixTimestamp64Milli(exposed_at) + 1, step = 'opened' AND NOT machine) AS opened_ms,
                        maxIf(toUnixTimestamp64Milli(exposed_at) + 1, step = 'opened' AND machine) AS machine_ms,
                        maxIf(toUnixTimestamp64Milli(exposed_at) + 1, step = 'clicked' AND NOT machine) AS clicked_ms
                    FROM {{db}}.exposures_log
                    WHERE _generation = tupleElement(known, 'generation')
                    GROUP BY k
                ) AS x ON x.k = a.k
                GROUP BY _group, who
            )
        )
        GROUP BY campaign, arm, holdout, held, who
    )
    GROUP BY campaign, arm, holdout, held
)
ARRAY JOIN goals[indexOf(campaigns, campaign)] AS aim
SETTINGS join_use_nulls = 0
COMMENT 'Customers assigned and what reached them, by campaign, goal, targeted segment and arm.';

CREATE OR REPLACE VIEW {{db}}.kpi_campaign_conversion
(
    campaign String COMMENT 'Campaign of the live definition.',
    journey Nullable(String) COMMENT 'Journey the campaign is a step of.',
    step Nullable(String) COMMENT 'Step of the journey.',
    goal String COMMENT 'Goal of the campaign.',
    by String COMMENT 'Whom the row is about: everyone assigned, those in a stage at the assignment, or those in a segment. Rows of stages and segments overlap and do not add up.',
    model String COMMENT 'Stage model, if by is stage; else empty.',
    target String COMMENT 'The stage or segment held at the assignment; empty for everyone.',
    variant Nullable(String) COMMENT 'Variant; null for the holdout, and where another system gave it no name.',
    holdout Bool COMMENT 'Whether the row is about the holdout.',
    targeted UInt64 COMMENT 'Denominator: customers assigned whose window has closed, whatever reached them.',
    reached UInt64 COMMENT 'Of them, those with a message of the campaign delivered, opened or clicked at or after the assignment.',
    opened UInt64 COMMENT 'Of them, those who opened one.',
    machine_opened UInt64 COMMENT 'Of them, those for whom a machine opened one.',
    clicked UInt64 COMMENT 'Of them, those who clicked in one.',
    converted UInt64 COMMENT 'Numerator: of targeted, those with at least one conversion.',
    conversion_rate Nullable(Float64) COMMENT 'converted / targeted, 0 to 1.',
    rate_low Nullable(Float64) COMMENT 'Lower end of its 95 % interval (Wilson).',
    rate_high Nullable(Float64) COMMENT 'Upper end.',
    open UInt64 COMMENT 'Customers assigned whose window is still open: not counted yet.',
    leaked UInt64 COMMENT 'Of targeted, if this is the holdout: those with an exposure of the campaign all the same.'
)
AS WITH {{statistics}}
SELECT
    a.campaign AS campaign,
    p.journey AS journey,
    p.step AS step,
    a.goal AS goal,
    a.by AS by,
    a.model AS model,
    a.target AS target,
    nullIf(a.arm, '') AS variant,
    a.holdout AS holdout,
    a.assigned AS targeted,
    a.reached AS reached,
    a.opened AS opened,
    a.machine_opened AS machine_opened,
    a.clicked AS clicked,
    c.converted AS converted,
    if(targeted = 0, NULL, converted / targeted) AS conversion_rate,
    if(targeted = 0, NULL, wilsonLow(toFloat64(c.converted), toFloat64(a.assigned))) AS rate_low,
    if(targeted = 0, NULL, wilsonHigh(toFloat64(c.converted), toFloat64(a.assigned))) AS rate_high,
    a.open AS open,
    if(a.holdout, a.exposed, 0) AS leaked
FROM {{db}}.campaign_reached AS a
LEFT JOIN
(
    SELECT campaign, goal, by, model, target, arm, holdout, sum(converted) AS converted
    FROM {{db}}.campaign_converted
    GROUP BY campaign, goal, by, model, target, arm, holdout
) AS c
    ON c.campaign = a.campaign AND c.goal = a.goal AND c.by = a.by AND c.model = a.model AND c.target = a.target AND c.arm = a.arm AND c.holdout = a.holdout
LEFT JOIN {{db}}.campaigns AS p ON p.campaign = a.campaign
WHERE a.kind != 'rise'
SETTINGS join_use_nulls = 0
COMMENT 'Conversion rate: customers assigned with at least one conversion / customers assigned, per targeted segment and arm; closed windows only.';

CREATE OR REPLACE VIEW {{db}}.kpi_campaign_funnel
(
    campaign String COMMENT 'Campaign of the live definition.',
    goal String COMMENT 'Goal of the campaign.',
    variant Nullable(String) COMMENT 'Variant; null for the holdout, and where another system gave it no name.',
    holdout Bool COMMENT 'Whether the row is about the holdout.',
    position UInt8 COMMENT 'Place of the step, from 1.',
    funnel_step String COMMENT 'targeted, reached, opened, clicked or converted: a person may convert without the steps before.',
    customers UInt64 COMMENT 'Customers assigned whose window has closed, who came to the step.',
    share Nullable(Float64) COMMENT 'customers / targeted, 0 to 1.',
    of_the_former_rate Nullable(Float64) COMMENT 'customers / customers of the step before; may exceed 1, since clicks and conversions are not seen to follow from it.'
)
AS SELECT
    campaign,
    goal,
    variant,
    holdout,
    position,
    ['targeted', 'reached', 'opened', 'clicked', 'converted'][position] AS funnel_step,
    came[position] AS customers,
    if(targeted = 0, NULL, customers / targeted) AS share,
    if(position = 1 OR came[position - 1] = 0, NULL, customers / came[position - 1]) AS of_the_former_rate
FROM
(
    SELECT campaign, goal, variant, holdout, targeted, [targeted, reached, opened, clicked, converted] AS came
    FROM {{db}}.kpi_campaign_conversion
    WHERE by = 'everyone'
)
ARRAY JOIN CAST([1, 2, 3, 4, 5], 'Array(UInt8)') AS position
WHERE (SELECT count() FROM {{db}}.activity_refusal) = 0
COMMENT 'Funnel of each campaign: targeted, reached, opened, clicked, converted.';

CREATE OR REPLACE VIEW {{db}}.kpi_campaign_journey
(
    journey String COMMENT 'Journey.',
    step Nullable(String) COMMENT 'Step of the journey.',
    position UInt32 COMMENT 'Place of the step''s campaign in the file, from 1.',
    campaign String COMMENT 'Campaign that is the step.',
    goal String COMMENT 'Goal of the campaign.',
    targeted UInt64 COMMENT 'Customers given any variant whose window has closed.',
    reached UInt64 COMMENT 'Of them, those with a message delivered, opened or clicked.',
    opened UInt64 COMMENT 'Of them, those who opened one.',
    clicked UInt64 COMMENT 'Of them, those who clicked in one.',
    converted UInt64 COMMENT 'Of targeted, those with at least one conversion.',
    conversion_rate Nullable(Float64) COMMENT 'converted / targeted, 0 to 1.',
    holdout_targeted UInt64 COMMENT 'Customers of the holdout whose window has closed.',
    holdout_rate Nullable(Float64) COMMENT 'Of them, the share with at least one conversion.',
    open UInt64 COMMENT 'Customers of all arms whose window is still open.'
)
AS SELECT
    assumeNotNull(c.journey) AS journey,
    any(c.step) AS step,
    any(p.position) AS position,
    c.campaign AS campaign,
    c.goal AS goal,
    sumIf(c.targeted, NOT c.holdout) AS targeted,
    sumIf(c.reached, NOT c.holdout) AS reached,
    sumIf(c.opened, NOT c.holdout) AS opened,
    sumIf(c.clicked, NOT c.holdout) AS clicked,
    sumIf(c.converted, NOT c.holdout) AS converted,
    if(targeted = 0, NULL, converted / targeted) AS conversion_rate,
    sumIf(c.targeted, c.holdout) AS holdout_targeted,
    if(holdout_targeted = 0, NULL, sumIf(c.converted, c.holdout) / holdout_targeted) AS holdout_rate,
    sum(c.open) AS open
FROM (SELECT * FROM {{db}}.kpi_campaign_conversion WHERE by = 'everyone' AND journey IS NOT NULL) AS c
LEFT JOIN {{db}}.campaigns AS p ON p.campaign = c.campaign
WHERE (SELECT count() FROM {{db}}.activity_refusal) = 0
GROUP BY c.journey, c.campaign, c.goal
SETTINGS join_use_nulls = 0
COMMENT 'Journeys: what each step did to those assigned to it.';

CREATE OR REPLACE VIEW {{db}}.kpi_campaign_time_to_convert
(
    campaign String COMMENT 'Campaign of the live definition.',
    goal String COMMENT 'Goal of the campaign; not those with value: total or a baseline, which are counted when the window closes.',
    variant Nullable(String) COMMENT 'Variant; null for the holdout, and where another system gave it no name.',
    holdout Bool COMMENT 'Whether the row is about the holdout.',
    conversions UInt64 COMMENT 'Conversions in closed windows: one per customer and round.',
    median_days Float64 COMMENT 'Median time from the assignment to the conversion, in days of 24 hours, of those who converted.',
    p25_days Float64 COMMENT 'A quarter converted within this time (linear interpolation).',
    p75_days Float64 COMMENT 'Three quarters within this.',
    p90_days Float64 COMMENT 'Nine tenths within this.'
)
AS WITH
    (SELECT known FROM {{db}}.campaign_clock) AS known,
    arrayFirst(g -> tupleElement(g, 1) = goal, tupleElement(known, 'goals')[indexOf(tupleElement(known, 'campaigns'), toString(campaign))]) AS live
SELECT
    CAST(c.campaign, 'String') AS campaign,
    CAST(c.goal, 'String') AS goal,
    CAST(c.variant, 'Nullable(String)') AS variant,
    c.holdout AS holdout,
    length(days) AS conversions,
    tupleElement(quartiles, 1) AS median_days,
    tupleElement(quartiles, 2) AS p25_days,
    tupleElement(quartiles, 3) AS p75_days,
    tupleElement(quartiles, 4) AS p90_days
FROM
(
    SELECT
        campaign,
        goal,
        variant,
        holdout,
        groupArray(took) AS days,
        (quantileExactInclusive(0.5)(took), quantileExactInclusive(0.25)(took), quantileExactInclusive(0.75)(took), quantileExactInclusive(0.9)(took)) AS quartiles
    FROM
    (
        SELECT
            campaign,
            goal,
            variant,
            holdout,
            (toUnixTimestamp64Milli(effective_at) - toUnixTimestamp64Milli(assigned_at)) / 86400000 AS took
        FROM {{db}}.conversions_log FINAL
        WHERE _generation = tupleElement(known, 'generation') AND definition = tupleElement(known, 'definition')
            AND tupleElement(live, 3) IN ('none', 'first') AND toUnixTimestamp64Milli(assigned_at) + tupleElement(live, 2) <= tupleElement(known, 'now_ms')
    )
    GROUP BY campaign, goal, variant, holdout
) AS c
COMMENT 'Time from assignment to conversion.';

CREATE OR REPLACE VIEW {{db}}.kpi_campaign_by_period
(
    campaign String COMMENT 'Campaign of the live definition.',
    goal String COMMENT 'Goal of the campaign.',
    grain String COMMENT 'day, week (from Monday) or month, in the time zone of the live definition.',
    period Date32 COMMENT 'First local date of the period of the assignment.',
    variant Nullable(String) COMMENT 'Variant; null for the holdout, and where another system gave it no name.',
    holdout Bool COMMENT 'Whether the row is about the holdout.',
    assigned UInt64 COMMENT 'Denominator: customers assigned in the period whose window has closed.',
    converted UInt64 COMMENT 'Numerator: of them, those with at least one conversion.',
    conversion_rate Nullable(Float64) COMMENT 'converted / assigned, 0 to 1.',
    rate_low Nullable(Float64) COMMENT 'Lower end of its 95 % interval (Wilson).',
    rate_high Nullable(Float64) COMMENT 'Upper end.',
    open UInt64 COMMENT 'Customers assigned in the period whose window is still open.'
)
AS WITH
    {{statistics}},
    (SELECT known FROM {{db}}.campaign_clock) AS known,
    tupleElement(known, 'now_ms') AS now_ms,
    tupleElement(known, 'windows') AS windows,
    tupleElement(known, 'again') AS again
SELECT
    CAST(campaign, 'String') AS campaign,
    tupleElement(aim, 1) AS goal,
    grain,
    assumeNotNull(period) AS period,
    CAST(nullIf(arm, ''), 'Nullable(String)') AS variant,
    holdout,
    ifNull(closed[indexOf(windows, tupleElement(aim, 2))], 0) AS assigned,
    if(indexOf(bought_goals, goal) = 0, 0, bought[indexOf(bought_goals, goal)]) AS converted,
    if(assigned = 0, NULL, converted / assigned) AS conversion_rate,
    if(assigned = 0, NULL, wilsonLow(toFloat64(converted), toFloat64(assigned))) AS rate_low,
    if(assigned = 0, NULL, wilsonHigh(toFloat64(converted), toFloat64(assigned))) AS rate_high,
    toUInt64(customers - assigned) AS open
FROM
(
    SELECT
        a.campaign AS campaign,
        a.arm AS arm,
        a.holdout AS holdout,
        a.grain AS grain,
        a.period AS period,
        any(a.customers) AS customers,
        any(a.closed) AS closed,
        groupArray(c.goal) AS bought_goals,
        groupArray(c.converted) AS bought
    FROM
    (
        SELECT campaign, arm, holdout, grain, period, sum(customers) AS customers, sumForEach(closed) AS closed
        FROM
        (
            SELECT
                campaign, arm, holdout, grain, who,
                multiIf(grain = 'day', date, grain = 'week', date - (toDayOfWeek(date) - 1), date - (toDayOfMonth(date) - 1)) AS period,
                if(who = '', sum(n), 1) AS customers,
                if(who = '', sumForEach(passed), arrayMap(p -> toUInt64(p > 0), sumForEach(passed))) AS closed
            FROM
            (
                SELECT
                    toString(l.campaign) AS campaign,
                    ifNull(toString(l.variant), '') AS arm,
                    l.holdout AS holdout,
                    toDate32(l.effective_at, tupleElement(known, 'timezone')) AS date,
                    if(notEmpty(again), if(has(again, l.campaign), l.customer_id, ''), '') AS who,
                    count() AS n,
                    sumForEach(arrayMap(w -> toUInt64(toUnixTimestamp64Milli(l.effective_at) + w <= now_ms), windows)) AS passed
                FROM {{db}}.assignments_log AS l FINAL
                WHERE l._generation = tupleElement(known, 'generation') AND l.definition = tupleElement(known, 'definition')
                GROUP BY l.campaign, l.variant, l.holdout, date, who
            ) AS d
            CROSS JOIN (SELECT arrayJoin(['day', 'week', 'month']) AS grain) AS g
            GROUP BY campaign, arm, holdout, grain, who, period
        )
        GROUP BY campaign, arm, holdout, grain, period
    ) AS a
    LEFT JOIN
    (
        SELECT campaign, goal, arm, holdout, grain, period, sum(customers) AS converted
        FROM
        (
            SELECT
                campaign, goal, arm, holdout, grain, who,
                multiIf(grain = 'day', date, grain = 'week', date - (toDayOfWeek(date) - 1), date - (toDayOfMonth(date) - 1)) AS period,
                if(who = '', sum(n), 1) AS customers
            FROM
            (
                SELECT
                    toString(l.campaign) AS campaign,
                    toString(l.goal) AS goal,
                    ifNull(toString(l.variant), '') AS arm,
                    l.holdout AS holdout,
                    toDate32(l.assigned_at, tupleElement(known, 'timezone')) AS date,
                    if(notEmpty(again), if(has(again, l.campaign), l.customer_id, ''), '') AS who,
                    arrayFirst(g -> tupleElement(g, 1) = goal, tupleElement(known, 'goals')[indexOf(tupleElement(known, 'campaigns'), campaign)]) AS live,
                    uniqExact(l._once) AS n
                FROM {{db}}.conversions_log AS l FINAL
                WHERE l._generation = tupleElement(known, 'generation') AND l.definition = tupleElement(known, 'definition')
                    AND toUnixTimestamp64Milli(l.assigned_at) + tupleElement(live, 2) <= now_ms
                GROUP BY l.campaign, l.goal, l.variant, l.holdout, date, who
            ) AS d
            CROSS JOIN (SELECT arrayJoin(['day', 'week', 'month']) AS grain) AS g
            GROUP BY campaign, goal, arm, holdout, grain, who, period
        )
        GROUP BY campaign, goal, arm, holdout, grain, period
    ) AS c ON c.campaign = a.campaign AND c.arm = a.arm AND c.holdout = a.holdout AND c.grain = a.grain AND c.period = a.period
    GROUP BY a.campaign, a.arm, a.holdout, a.grain, a.period
)
ARRAY JOIN arrayFilter(g -> tupleElement(g, 3) != 'rise', tupleElement(known, 'goals')[indexOf(tupleElement(known, 'campaigns'), campaign)]) AS aim
SETTINGS join_use_nulls = 0
COMMENT 'Conversion rate by the date of the assignment.';

CREATE OR REPLACE VIEW {{db}}.kpi_campaign_observed
(
    campaign String COMMENT 'Campaign of the live definition.',
    channel String COMMENT 'Channel of the exposure.',
    from_step String COMMENT 'What the window is counted from: delivered, opened or clicked, by a person.',
    goal String COMMENT 'Goal of the campaign; not those with value: total or a baseline, whose conversions are counted when the window closes.',
    customers UInt64 COMMENT 'Denominator: customers whose first such exposure lies at least the goal''s window before the clock.',
    converted UInt64 COMMENT 'Numerator: of them, those with a conversion of the goal after that exposure and within its window.',
    observed_rate Nullable(Float64) COMMENT 'converted / customers, 0 to 1: observed, not caused.',
    open UInt64 COMMENT 'Customers whose window, counted so, is still open.',
    lift Nullable(Float64) COMMENT 'Always null: a holdout opens nothing, so there is nothing to compare with.',
    p_value Nullable(Float64) COMMENT 'Always null.',
    verdict String COMMENT 'not randomised.'
)
AS WITH
    (SELECT known FROM {{db}}.campaign_clock) AS known
SELECT
    campaign,
    channel,
    step AS from_step,
    tupleElement(aim, 1) AS goal,
    countIf(first_ms + tupleElement(aim, 2) <= tupleElement(known, 'now_ms')) AS customers,
    countIf(first_ms + tupleElement(aim, 2) <= tupleElement(known, 'now_ms')
        AND arrayExists(c -> tupleElement(c, 1) = tupleElement(aim, 1) AND tupleElement(c, 2) > first_ms AND tupleElement(c, 2) <= first_ms + tupleElement(aim, 2), times)) AS converted,
    if(customers = 0, NULL, converted / customers) AS observed_rate,
    count() - customers AS open,
    CAST(NULL, 'Nullable(Float64)') AS lift,
    CAST(NULL, 'Nullable(Float64)') AS p_value,
    'not randomised' AS verdict
FROM
(
    SELECT
        CAST(x.campaign, 'String') AS campaign,
        CAST(x.channel, 'String') AS channel,
        CAST(x.step, 'String') AS step,
        x.first_ms AS first_ms,
        c.times AS times
    FROM
    (
        SELECT campaign, channel, step, sipHash64(campaign, customer_id) AS k, toUnixTimestamp64Milli(min(exposed_at)) AS first_ms
        FROM {{db}}.exposures_log
        WHERE _generation = tupleElement(known, 'generation') AND step IN ('delivered', 'opened', 'clicked') AND NOT machine
        GROUP BY campaign, channel, step, customer_id
    ) AS x
    LEFT ANY JOIN
    (
        SELECT sipHash64(campaign, customer_id) AS k, groupArray((toString(goal), toUnixTimestamp64Milli(effective_at))) AS times
        FROM {{db}}.conversions_log
        WHERE _generation = tupleElement(known, 'generation') AND definition = tupleElement(known, 'definition')
        GROUP BY campaign, customer_id
    ) AS c ON c.k = x.k
)
ARRAY JOIN arrayFilter(g -> tupleElement(g, 3) IN ('none', 'first'), tupleElement(known, 'goals')[indexOf(tupleElement(known, 'campaigns'), campaign)]) AS aim
WHERE (SELECT count() FROM {{db}}.activity_refusal) = 0
GROUP BY campaign, channel, step, aim
SETTINGS join_use_nulls = 0
COMMENT 'Observed rates, counted from delivery, open or click, per channel: what followed, not what was caused.';

CREATE OR REPLACE VIEW {{db}}.kpi_attributed_revenue
(
    attribution String COMMENT 'last touch or first touch: two ways to share out the same revenue; do not add them up.',
    grain String COMMENT 'day, week (from Monday) or month, in the time zone of the live definition.',
    period Date32 COMMENT 'First local date of the period of the orders.',
    event String COMMENT 'Event of the definition that the orders counted as.',
    campaign Nullable(String) COMMENT 'Campaign of the live definition whose message was the touch; null for orders without one.',
    channel Nullable(String) COMMENT 'Channel of that message.',
    orders UInt64 COMMENT 'Orders, each under one campaign at most.',
    revenue Decimal(38, 4) COMMENT 'Sum of their values, refunds taken off, in the currency of the definition; all rows of an attribution and period together are the revenue of that period.',
    without_rate UInt64 COMMENT 'Of the orders, those in a currency without a rate of that day: not in revenue.',
    currency String COMMENT 'Currency of the live definition.'
)
AS WITH
    (SELECT known FROM {{db}}.campaign_clock) AS known,
    (
        SELECT groupArray((toString(campaign), e, w))
        FROM (SELECT campaign, assumeNotNull(event) AS e, max(within_ms) AS w FROM {{db}}.campaign_goals WHERE event IS NOT NULL GROUP BY campaign, event)
    ) AS aims
SELECT
    attribution,
    grain,
    multiIf(grain = 'day', date, grain = 'week', date - (toDayOfWeek(date) - 1), date - (toDayOfMonth(date) - 1)) AS period,
    event,
    nullIf(by_campaign, '') AS campaign,
    if(by_campaign = '', NULL, by_channel) AS channel,
    sum(n) AS orders,
    CAST(sum(worth) AS Decimal(38, 4)) AS revenue,
    sum(unrated) AS without_rate,
    assumeNotNull(tupleElement(known, 'currency')) AS currency
FROM
(
    SELECT
        tupleElement(one, 1) AS attribution,
        date,
        event,
        tupleElement(one, 2) AS by_campaign,
        tupleElement(one, 3) AS by_channel,
        count() AS n,
        sum(ifNull(money, 0)) AS worth,
        countIf(money IS NULL) AS unrated
    FROM
    (
        SELECT
            o.date AS date,
            CAST(o.event, 'String') AS event,
            multiIf(o.currency IN ('', tupleElement(known, 'currency')) OR tupleElement(known, 'currency') = '', toDecimal128(o.value, 4), r.rate > 0, roundBankers(toDecimal128(o.value, 4) * r.rate, 4), NULL) AS money,
            -- A touch counts for the goals on this event of its campaign, for their longest window.
            arraySort(arrayFilter(t -> o.ms > tupleElement(t, 1) AND arrayExists(a -> tupleElement(a, 1) = tupleElement(t, 2) AND tupleElement(a, 2) = o.event AND o.ms <= tupleElement(t, 1) + tupleElement(a, 3), assumeNotNull(aims)), x.touches)) AS touched,
            arrayJoin([
                ('last touch', tupleElement(touched[-1], 2), tupleElement(touched[-1], 3)),
                ('first touch', tupleElement(touched[1], 2), tupleElement(touched[1], 3))]) AS one
        FROM
        (
            SELECT
                customer_id,
                toString(i.event) AS event,
                toUnixTimestamp64Milli(ordered_at) AS ms,
                assumeNotNull(toDate32(ordered_at, tupleElement(known, 'timezone'))) AS date,
                toDate(ordered_at, tupleElement(known, 'timezone')) AS day,
                ifNull(toString(i.currency), '') AS currency,
                order_value AS value
            FROM {{db}}.order_items AS i
            WHERE item = 1
        ) AS o
        LEFT ANY JOIN
        (
            SELECT customer_id, groupArray((toUnixTimestamp64Milli(exposed_at), toString(l.campaign), toString(l.channel))) AS touches
            FROM {{db}}.exposures_log AS l FINAL
            WHERE _generation = tupleElement(known, 'generation') AND step IN ('delivered', 'opened', 'clicked') AND NOT machine
                AND has(arrayMap(a -> tupleElement(a, 1), assumeNotNull(aims)), l.campaign)
            GROUP BY customer_id
        ) AS x ON x.customer_id = o.customer_id
        LEFT JOIN {{db}}.rates AS r ON r.currency = o.currency AND r.day = o.day
    )
    GROUP BY attribution, date, event, by_campaign, by_channel
) AS d
CROSS JOIN (SELECT arrayJoin(['day', 'week', 'month']) AS grain) AS g
WHERE (SELECT count() FROM {{db}}.activity_refusal) = 0
GROUP BY attribution, grain, period, event, by_campaign, by_channel
SETTINGS join_use_nulls = 0
COMMENT 'Revenue shared out by last and by first touch: a message delivered, opened or clicked before the order and within the window of the campaign''s goals on the event.';

CREATE OR REPLACE VIEW {{db}}.kpi_campaign_return
(
    campaign String COMMENT 'Campaign of the live definition.',
    goal String COMMENT 'Goal of the campaign, with value: first or total.',
    variant Nullable(String) COMMENT 'The variant; null for the campaign as a whole: all variants together, and the cost of every message.',
    currency String COMMENT 'Currency of the money: that of the live definition.',
    treated UInt64 COMMENT 'Customers given the variant, or any, whose window has closed; after a change of shares only those first assigned since.',
    buyers UInt64 COMMENT 'Of them, those with at least one conversion.',
    revenue Decimal(38, 4) COMMENT 'Sum of their conversions'' values.',
    orders UInt64 COMMENT 'Orders in the revenue: occurrences of the goal''s event, refunded ones too.',
    average_order_value Nullable(Float64) COMMENT 'revenue / orders; null without orders.',
    revenue_lift Nullable(Float64) COMMENT 'Revenue per assigned customer less that of the holdout, times treated; null without a holdout, and if the assignment is broken.',
    revenue_lift_low Nullable(Float64) COMMENT 'Lower end of its 95 % interval (Welch), for one look; null until there is enough data, as in kpi_campaign_revenue.',
    revenue_lift_high Nullable(Float64) COMMENT 'Upper end.',
    messages UInt64 COMMENT 'Messages that cost, to date, without those to customers left out (former).',
    cost Nullable(Float64) COMMENT 'The fixed cost, whole, and that of the messages, to date; null if the campaign names none, or a rate is missing. Of a variant: its own, and of the campaign''s fixed cost the part by its share.',
    cost_per_buyer Nullable(Float64) COMMENT 'cost / buyers.',
    roas Nullable(Float64) COMMENT 'revenue_lift / cost.',
    margin Nullable(Float64) COMMENT 'Share of revenue that is kept; null if the campaign names none.',
    roi Nullable(Float64) COMMENT '(revenue_lift * margin - cost) / cost; null without a margin.',
    attributed_revenue Nullable(Float64) COMMENT 'Revenue of the orders whose last touch was the campaign, of the event of the goal: an order may count as several events; null for a variant.',
    attributed_cost Nullable(Float64) COMMENT 'The fixed cost and that of all messages, to date: attributed_revenue leaves nobody out; null for a variant.',
    attributed_roas Nullable(Float64) COMMENT 'attributed_revenue / attributed_cost: what a last touch takes for itself, not what was caused.',
    open UInt64 COMMENT 'Customers of all arms whose window is still open: their messages cost already, their revenue does not count yet.',
    former UInt64 COMMENT 'Customers of the variants and of the holdout who are left out of treated, revenue, lift, messages and cost: they were first assigned when the shares of the campaign were others.',
    verdict String COMMENT 'As in kpi_campaign_revenue.'
)
AS SELECT
    t.campaign AS campaign,
    t.goal AS goal,
    CAST(if(t.whole, NULL, t.arm), 'Nullable(String)') AS variant,
    t.currency AS currency,
    t.assigned AS treated,
    t.buyers AS buyers,
    t.revenue AS revenue,
    t.orders AS orders,
    t.average_order_value AS average_order_value,
    t.difference * treated AS revenue_lift,
    t.difference_low * treated AS revenue_lift_low,
    t.difference_high * treated AS revenue_lift_high,
    c.compared_messages AS messages,
    if(empty(c.campaign), NULL, toFloat64(c.compared_cost)) AS cost,
    if(buyers = 0, NULL, cost / buyers) AS cost_per_buyer,
    if(cost > 0, revenue_lift / cost, NULL) AS roas,
    toFloat64(p.margin) AS margin,
    if(cost > 0, (revenue_lift * margin - cost) / cost, NULL) AS roi,
    if(t.whole, toFloat64(a.revenue), NULL) AS attributed_revenue,
    if(empty(c.campaign) OR NOT t.whole, NULL, toFloat64(c.cost)) AS attributed_cost,
    if(attributed_cost > 0, attributed_revenue / attributed_cost, NULL) AS attributed_roas,
    t.open AS open,
    t.former AS former,
    t.verdict AS verdict
FROM
(
    -- Of a campaign with one variant, that row stands for the whole, too.
    SELECT *, ifNull(toString(variant), '') AS arm, whole, if(whole, '', arm) AS spent_by
    FROM (SELECT *, count() OVER (PARTITION BY campaign, goal) AS variants FROM {{db}}.kpi_campaign_revenue WHERE by = 'everyone')
    ARRAY JOIN multiIf(variant IS NULL, [true], variants = 1, [true, false], [false]) AS whole
) AS t
LEFT JOIN {{db}}.campaign_goals AS g ON g.campaign = t.campaign AND g.goal = t.goal
LEFT JOIN {{db}}.campaigns AS p ON p.campaign = t.campaign
LEFT JOIN (SELECT campaign, ifNull(variant, '') AS arm, compared_messages, cost, compared_cost FROM {{db}}.campaign_costs) AS c ON c.campaign = t.campaign AND c.arm = t.spent_by
LEFT JOIN
(
    SELECT assumeNotNull(campaign) AS campaign, event, sum(revenue) AS revenue
    FROM {{db}}.kpi_attributed_revenue
    WHERE grain = 'month' AND attribution = 'last touch' AND campaign IS NOT NULL
    GROUP BY campaign, event
) AS a ON a.campaign = t.campaign AND a.event = g.event
SETTINGS join_use_nulls = 0
COMMENT 'Return of each campaign: revenue lift over the holdout scaled to the treated, cost, ROAS and ROI.';

CREATE OR REPLACE VIEW {{db}}.kpi_campaign_trust
(
    campaign String COMMENT 'Campaign of the live definition.',
    variant Nullable(String) COMMENT 'Variant; null for the holdout, and where another system gave it no name.',
    holdout Bool COMMENT 'Whether the row is about the holdout.',
    assigned UInt64 COMMENT 'Customers assigned to the arm, whether their windows have closed or not.',
    comparable UInt64 COMMENT 'Of them, those assigned since the shares have been what they are.',
    share Nullable(Float64) COMMENT 'Planned share of the arm, 0 to 1; null if another system assigns.',
    expected Nullable(Float64) COMMENT 'Customers the arm should have of all comparable ones.',
    sample_ratio_p Nullable(Float64) COMMENT 'How often chance alone would spread them so unevenly (chi-square); null if another system assigns, or for less than 5 expected in an arm.',
    leaked UInt64 COMMENT 'Of assigned, if this is the holdout: those with an exposure of the campaign at or after the assignment.',
    crossed UInt64 COMMENT 'Of assigned, those who were also assigned to another campaign with the same goal, while the windows of both were open.',
    merged UInt64 COMMENT 'Of assigned, those with whom a customer of another arm was merged, whichever of the two was assigned first.',
    verdict String COMMENT 'assignment is broken (sample_ratio_p below 0.001), as planned, not enough data yet, or assigned elsewhere.'
)
AS WITH
    (SELECT known FROM {{db}}.campaign_clock) AS known,
    (
        -- Pairs of campaigns with a common goal: the event or the condition is the same.
        SELECT groupArray((a, b, wa, wb))
        FROM
        (
            SELECT toString(x.campaign) AS a, toString(y.campaign) AS b, max(x.within_ms) AS wa, max(y.within_ms) AS wb
            FROM {{db}}.campaign_goals AS x
            CROSS JOIN {{db}}.campaign_goals AS y
            WHERE x.campaign != y.campaign AND ifNull(x.event, '') = ifNull(y.event, '') AND ifNull(x.condition, '') = ifNull(y.condition, '')
            GROUP BY a, b
        )
    ) AS pairs
SELECT
    CAST(a.campaign, 'String') AS campaign,
    CAST(nullIf(a.arm, ''), 'Nullable(String)') AS variant,
    a.holdout AS holdout,
    a.assigned AS assigned,
    r.comparable AS comparable,
    if(r.all_shares > 0, r.share, NULL) AS share,
    if(r.all_shares > 0, r.share * r.everyone, NULL) AS expected,
    r.sample_ratio_p AS sample_ratio_p,
    a.leaked AS leaked,
    a.crossed AS crossed,
    a.merged AS merged,
    multiIf(r.all_shares = 0, 'assigned elsewhere', ifNull(r.sample_ratio_p < 0.001, false), 'assignment is broken', r.sample_ratio_p IS NULL, 'not enough data yet', 'as planned') AS verdict
FROM
(
    SELECT
        campaign,
        arm,
        holdout,
        count() AS assigned,
        countIf(holdout AND exposed_ms > first_ms) AS leaked,
        countIf(arrayExists(o -> tupleElement(o, 1) != campaign AND arrayExists(p -> tupleElement(p, 1) = campaign AND tupleElement(p, 2) = tupleElement(o, 1)
            AND arrayExists(s -> s < tupleElement(o, 2) + tupleElement(p, 4) AND tupleElement(o, 2) < s + tupleElement(p, 3), starts), assumeNotNull(pairs)), others)) AS crossed,
        countIf(arrayExists(o -> tupleElement(o, 1) = campaign AND (tupleElement(o, 2), tupleElement(o, 3)) != (arm, holdout), absorbed)) AS merged
    FROM
    (
        SELECT a.*, x.exposed_ms AS exposed_ms, o.others AS others, m.absorbed AS absorbed
        FROM
        (
            SELECT
                toString(l.campaign) AS campaign,
                customer_id,
                ifNull(any(toString(variant)), '') AS arm,
                any(l.holdout) AS holdout,
                groupArray(toUnixTimestamp64Milli(effective_at)) AS starts,
                arrayMin(starts) AS first_ms,
                sipHash64(campaign, customer_id) AS k
            FROM {{db}}.assignments_log AS l FINAL
            WHERE _generation = tupleElement(known, 'generation') AND definition = tupleElement(known, 'definition')
            GROUP BY l.campaign, customer_id
        ) AS a
        LEFT ANY JOIN
        (
            SELECT sipHash64(toString(campaign), customer_id) AS k, max(toUnixTimestamp64Milli(exposed_at) + 1) AS exposed_ms
            FROM {{db}}.exposures_log
            WHERE _generation = tupleElement(known, 'generation')
            GROUP BY k
        ) AS x ON x.k = a.k
        LEFT ANY JOIN
        (
            SELECT customer_id, groupArray((toString(campaign), toUnixTimestamp64Milli(effective_at))) AS others
            FROM {{db}}.assignments_log FINAL
            WHERE _generation = tupleElement(known, 'generation') AND definition = tupleElement(known, 'definition') AND notEmpty(assumeNotNull(pairs))
            GROUP BY customer_id
            HAVING uniqExact(campaign) > 1
        ) AS o ON o.customer_id = a.customer_id
        LEFT ANY JOIN
        (
            SELECT s.into AS into, groupUniqArray((toString(l.campaign), ifNull(toString(l.variant), ''), l.holdout)) AS absorbed
            FROM {{db}}.assignments_log AS l
            INNER JOIN
            (
                SELECT DISTINCT customer_id, assumeNotNull(merged_into) AS into
                FROM {{db}}.stage_changes_log
                WHERE _generation = tupleElement(known, 'generation') AND merged_into IS NOT NULL
            ) AS s ON s.customer_id = l.customer_id
            WHERE l._generation = tupleElement(known, 'generation') AND l.definition = tupleElement(known, 'definition')
            GROUP BY into
        ) AS m ON m.into = a.customer_id
    )
    GROUP BY campaign, arm, holdout
) AS a
INNER JOIN
(
    SELECT
        campaign,
        arm,
        holdout,
        comparable,
        tupleElement(arrayFirst(x -> tupleElement(x, 1) = arm, tupleElement(known, 'arms')[indexOf(tupleElement(known, 'campaigns'), campaign)]), 2) AS share,
        arraySum(x -> tupleElement(x, 2), tupleElement(known, 'arms')[indexOf(tupleElement(known, 'campaigns'), campaign)]) AS all_shares,
        sum(comparable) OVER (PARTITION BY campaign) AS everyone,
        t.p AS sample_ratio_p
    FROM
    (
        SELECT campaign, arm, holdout, any(comparable) AS comparable
        FROM {{db}}.campaign_assigned
        WHERE by = 'everyone'
        GROUP BY campaign, arm, holdout
    ) AS c
    LEFT JOIN
    (
        SELECT campaign, any(sample_ratio_p) AS p
        FROM {{db}}.campaign_comparisons
        WHERE by = 'everyone'
        GROUP BY campaign
    ) AS t ON t.campaign = c.campaign
) AS r ON r.campaign = a.campaign AND r.arm = a.arm AND r.holdout = a.holdout
SETTINGS join_use_nulls = 0
COMMENT 'Whether a campaign can be trusted: arms against their planned shares, leaks into the holdout, crossings, merges.';

CREATE OR REPLACE VIEW {{db}}.global_holdout
(
    customer_id String COMMENT 'Customer with a profile, under the identifier that stands after merges.',
    held_out Bool COMMENT 'Whether the live definition''s global_holdout keeps the customer out of every campaign.'
)
AS SELECT
    customer_id,
    -- As assignments are drawn: the first 8 bytes, big endian, of SHA-256 over the salt, a
    -- zero byte and the customer, modulo 10,000.
    CAST(reinterpretAsUInt64(reverse(substring(SHA256(concat('global', char(0), customer_id)), 1, 8))) % 10000
        < round(ifNull((SELECT global_holdout FROM {{db}}.live_definition), 0) * 10000) AS Bool) AS held_out
FROM {{db}}.profiles
COMMENT 'Who is kept out of every campaign: beside the others, what all campaigns together change. No record tells it. A global_holdout that was changed, or came when campaigns had already run, held out others before; and who was anonymous may have been in a campaign before being known.';
