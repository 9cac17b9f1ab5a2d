-- SPDX-License-Identifier: Apache-2.0
--
-- KPIs of single customers by their orders: recency, frequency and monetary value,
-- lifetime value, retention, what is bought together, and proposals for thresholds.
-- Periods, clock and sides are those of 0003.

CREATE OR REPLACE VIEW {{db}}.orders
(
    customer_id String COMMENT 'The customer.',
    event LowCardinality(String) COMMENT 'Event of the definition that the order counted as, for example purchase.',
    order_key String COMMENT 'The order: the deduplication key of the event.',
    ordered_at DateTime64(3, 'UTC') COMMENT 'Time of the order.',
    value Nullable(Decimal(18, 4)) COMMENT 'Value of the order, refunds taken off, in the currency of the live definition, at the rate of the order''s local day; null if it is in another currency and rates has none.'
)
AS SELECT
    o.customer_id AS customer_id,
    o.event AS event,
    o.order_key AS order_key,
    o.ordered_at AS ordered_at,
    multiIf(
        o.own, CAST(o.net, 'Nullable(Decimal(18, 4))'),
        r.rate = 0, NULL,
        toDecimal64OrNull(toString(round(toDecimal128(o.net, 4) * r.rate, 4)), 4)) AS value
FROM
(
    SELECT
        customer_id,
        toString(event) AS event,
        order_key,
        ordered_at,
        order_value AS net,
        ifNull(toString(currency), '') AS money,
        toDate32(ordered_at, assumeNotNull((SELECT timezone FROM {{db}}.live_definition))) AS date,
        money = '' OR money = ifNull((SELECT currency FROM {{db}}.live_definition), money) AS own
    FROM {{db}}.order_items
    WHERE item = 1
) AS o
LEFT JOIN (SELECT toString(currency) AS money, toDate32(day) AS date, rate FROM {{db}}.rates) AS r ON r.money = o.money AND r.date = o.date
SETTINGS join_use_nulls = 0
COMMENT 'One row per order, with its value in the currency of the live definition.';

CREATE OR REPLACE VIEW {{db}}.customer_orders
(
    event LowCardinality(String) COMMENT 'Event of the definition that the orders counted as.',
    customer_id String COMMENT 'The customer.',
    orders UInt64 COMMENT 'Frequency: orders to date.',
    revenue Decimal(38, 4) COMMENT 'Monetary value and lifetime value to date: sum of the orders'' values, refunds taken off, in the currency of the live definition.',
    unpriced UInt64 COMMENT 'Orders in another currency without a rate of their day: they count as orders, and not in revenue.',
    average_order_value Nullable(Float64) COMMENT 'revenue / orders that have a value; null if none has.',
    first_order DateTime64(3, 'UTC') COMMENT 'Time of the first order.',
    last_order DateTime64(3, 'UTC') COMMENT 'Time of the last order.',
    recency_days Float64 COMMENT 'Recency: from the last order to the clock, in days of 24 hours.'
)
AS SELECT
    event,
    customer_id,
    count() AS orders,
    ifNull(sum(value), 0) AS revenue,
    countIf(value IS NULL) AS unpriced,
    if(orders = unpriced, NULL, toFloat64(revenue) / (orders - unpriced)) AS average_order_value,
    min(ordered_at) AS first_order,
    max(ordered_at) AS last_order,
    (toUnixTimestamp64Milli(assumeNotNull((SELECT clock FROM {{db}}.kpi_clock))) - toUnixTimestamp64Milli(last_order)) / 86400000 AS recency_days
FROM {{db}}.orders
GROUP BY event, customer_id
COMMENT 'Recency, frequency, monetary value, average order value and lifetime value to date of every customer with an order.';

CREATE OR REPLACE VIEW {{db}}.customer_rfm
(
    event LowCardinality(String) COMMENT 'Event of the definition that the orders counted as.',
    customer_id String COMMENT 'The customer.',
    orders UInt64 COMMENT 'Frequency: orders to date.',
    revenue Decimal(38, 4) COMMENT 'Monetary value: sum of the orders'' values, refunds taken off, in the currency of the live definition.',
    recency_days Float64 COMMENT 'From the last order to the clock, in days of 24 hours.',
    recency_score UInt8 COMMENT '5 for the fifth of the customers whose last order is the latest, to 1: 6 - (1 + number of quintile edges strictly below).',
    frequency_score UInt8 COMMENT '1 + number of quintile edges strictly below orders: 5 is the best.',
    monetary_score UInt8 COMMENT '1 + number of quintile edges strictly below revenue: 5 is the best.',
    rfm String COMMENT 'The three scores in this order, for example 543.'
)
AS SELECT
    c.event AS event,
    c.customer_id AS customer_id,
    c.orders AS orders,
    c.revenue AS revenue,
    c.recency_days AS recency_days,
    toUInt8(5 - arrayCount(edge -> edge < 5 * toInt128(c.silence), e.silence_edges)) AS recency_score,
    toUInt8(1 + arrayCount(edge -> edge < 5 * toInt128(c.orders), e.orders_edges)) AS frequency_score,
    toUInt8(1 + arrayCount(edge -> edge < 5 * c.units, e.units_edges)) AS monetary_score,
    concat(toString(recency_score), toString(frequency_score), toString(monetary_score)) AS rfm
FROM
(
    SELECT event, customer_id, orders, revenue, recency_days, toInt128(revenue * 10000) AS units, -toUnixTimestamp64Milli(last_order) AS silence
    FROM {{db}}.customer_orders
) AS c
INNER JOIN
(
    -- Five times the edges, so that linear interpolation stays exact: the edge at share
    -- k/5 of n sorted values lies at (n - 1) * k / 5 after the first.
    SELECT
        event,
        arrayMap(k -> 5 * silences[intDiv((n - 1) * k, 5) + 1] + ((n - 1) * k % 5) * (silences[intDiv((n - 1) * k, 5) + 2] - silences[intDiv((n - 1) * k, 5) + 1]), range(1, 5)) AS silence_edges,
        arrayMap(k -> 5 * counts[intDiv((n - 1) * k, 5) + 1] + ((n - 1) * k % 5) * (counts[intDiv((n - 1) * k, 5) + 2] - counts[intDiv((n - 1) * k, 5) + 1]), range(1, 5)) AS orders_edges,
        arrayMap(k -> 5 * moneys[intDiv((n - 1) * k, 5) + 1] + ((n - 1) * k % 5) * (moneys[intDiv((n - 1) * k, 5) + 2] - moneys[intDiv((n - 1) * k, 5) + 1]), range(1, 5)) AS units_edges
    FROM
    (
        SELECT
            event,
            count() AS n,
            arraySort(groupArray(toInt128(-toUnixTimestamp64Milli(last_order)))) AS silences,
            arraySort(groupArray(toInt128(orders))) AS counts,
            arraySort(groupArray(toInt128(revenue * 10000))) AS moneys
        FROM {{db}}.customer_orders
        GROUP BY event
    )
) AS e ON e.event = c.event
COMMENT 'RFM scores of every customer with an order.';

CREATE OR REPLACE VIEW {{db}}.kpi_rfm
(
    event LowCardinality(String) COMMENT 'Event of the definition that the orders counted as.',
    recency_score UInt8 COMMENT '5 for the fifth of the customers whose last order is the latest, to 1.',
    frequency_score UInt8 COMMENT '5 for the fifth with the most orders, to 1.',
    monetary_score UInt8 COMMENT '5 for the fifth with the greatest revenue, to 1.',
    customers UInt64 COMMENT 'Customers with these scores.',
    share Float64 COMMENT 'customers / customers with an order, 0 to 1.',
    orders UInt64 COMMENT 'Their orders to date.',
    revenue Decimal(38, 4) COMMENT 'Their revenue to date, refunds taken off, in the currency of the live definition.',
    average_recency_days Float64 COMMENT 'Mean time from the last order to the clock, in days of 24 hours.'
)
AS SELECT
    event,
    recency_score,
    frequency_score,
    monetary_score,
    n AS customers,
    n / sum(n) OVER (PARTITION BY event) AS share,
    bought AS orders,
    money AS revenue,
    silence AS average_recency_days
FROM
(
    SELECT event, recency_score, frequency_score, monetary_score, count() AS n, sum(orders) AS bought, sum(revenue) AS money, sum(toInt64(round(recency_days * 86400000))) / n / 86400000 AS silence
    FROM {{db}}.customer_rfm
    GROUP BY event, recency_score, frequency_score, monetary_score
)
COMMENT 'RFM: customers per score of recency, frequency and monetary value.';

CREATE OR REPLACE VIEW {{db}}.kpi_lifetime_value
(
    event LowCardinality(String) COMMENT 'Event of the definition that the orders counted as.',
    cohort Date32 COMMENT 'Month of the first order ever, by its first local date, in the time zone of the live definition.',
    first_buyers UInt64 COMMENT 'Denominator: customers whose first order ever lies in the month.',
    revenue_30 Nullable(Decimal(38, 4)) COMMENT 'Net revenue of their orders at most 30 days of 24 hours after the first, the first included; null until the cohort closes: 30 days after its month at the clock.',
    value_30 Nullable(Float64) COMMENT 'revenue_30 / first_buyers, in the currency of the live definition; null until the cohort closes.',
    revenue_90 Nullable(Decimal(38, 4)) COMMENT 'The same within 90 days; null until 90 days after the month.',
    value_90 Nullable(Float64) COMMENT 'revenue_90 / first_buyers; null until the cohort closes.',
    revenue_365 Nullable(Decimal(38, 4)) COMMENT 'The same within 365 days; null until 365 days after the month.',
    value_365 Nullable(Float64) COMMENT 'revenue_365 / first_buyers; null until the cohort closes.',
    unpriced UInt64 COMMENT 'Orders of the cohort in another currency without a rate of their day: no revenue.',
    currency Nullable(String) COMMENT 'Currency of the live definition.'
)
AS SELECT
    event,
    cohort,
    count() AS first_buyers,
    if(any(age_ms) >= 30 * 86400000, sum(until_30), NULL) AS revenue_30,
    toFloat64(revenue_30) / first_buyers AS value_30,
    if(any(age_ms) >= 90 * 86400000, sum(until_90), NULL) AS revenue_90,
    toFloat64(revenue_90) / first_buyers AS value_90,
    if(any(age_ms) >= 365 * 86400000, sum(until_365), NULL) AS revenue_365,
    toFloat64(revenue_365) / first_buyers AS value_365,
    sum(without) AS unpriced,
    (SELECT currency FROM {{db}}.live_definition) AS currency
FROM
(
    SELECT
        event,
        first - (toDayOfMonth(first) - 1) AS cohort,
        toUnixTimestamp64Milli(assumeNotNull((SELECT clock FROM {{db}}.kpi_clock)))
            - toUnixTimestamp64Milli(toDateTime64(addMonths(cohort, 1), 3, assumeNotNull((SELECT timezone FROM {{db}}.live_definition)))) AS age_ms,
        without,
        arraySum(o -> if(o.1 <= began + 30 * 86400000, o.2, toDecimal128(0, 4)), orders) AS until_30,
        arraySum(o -> if(o.1 <= began + 90 * 86400000, o.2, toDecimal128(0, 4)), orders) AS until_90,
        arraySum(o -> if(o.1 <= began + 365 * 86400000, o.2, toDecimal128(0, 4)), orders) AS until_365
    FROM
    (
        SELECT
            event,
            min(toUnixTimestamp64Milli(ordered_at)) AS began,
            toDate32(min(ordered_at), assumeNotNull((SELECT timezone FROM {{db}}.live_definition))) AS first,
            countIf(value IS NULL) AS without,
            groupArray((toUnixTimestamp64Milli(ordered_at), toDecimal128(ifNull(value, 0), 4))) AS orders
        FROM {{db}}.orders
        GROUP BY event, customer_id
    )
)
GROUP BY event, cohort
COMMENT 'Lifetime value: net revenue per first buyer 30, 90 and 365 days after the first order, by the month of that; closed cohorts only.';

CREATE OR REPLACE VIEW {{db}}.kpi_retention
(
    event LowCardinality(String) COMMENT 'Event of the definition that the orders counted as.',
    grain String COMMENT 'week (from Monday) or month, in the time zone of the live definition.',
    cohort Date32 COMMENT 'First local date of the period of the first order ever.',
    n UInt32 COMMENT 'How many periods later; 0 is the cohort''s own.',
    first_buyers UInt64 COMMENT 'Denominator: customers whose first order ever lies in the cohort''s period.',
    buyers UInt64 COMMENT 'Numerator: of them, with at least one order in the n-th period after it.',
    retention_rate Float64 COMMENT 'buyers / first_buyers, 0 to 1.',
    closed Bool COMMENT 'Whether the clock has passed the end of the n-th period.'
)
AS SELECT
    event,
    grain,
    cohort,
    toUInt32(n) AS n,
    counts[toInt64(0)] AS first_buyers,
    counts[toInt64(n)] AS buyers,
    buyers / first_buyers AS retention_rate,
    CAST(n < last AS Bool) AS closed
FROM
(
    SELECT
        event,
        grain,
        any(date) AS cohort,
        any(last) AS last,
        sumMap(map(later, toUInt64(1))) AS counts
    FROM
    (
        SELECT
            event,
            grain,
            index,
            if(grain = 'week', toDate32('1969-12-29') + 7 * index, makeDate32(intDiv(index, 12), index % 12 + 1, 1)) AS date,
            if(grain = 'week', intDiv(dateDiff('day', toDate32('1969-12-29'), today), 7), toInt64(toYear(today) * 12 + toMonth(today) - 1)) - index AS last,
            arrayJoin(arrayMap(i -> i - index, indexes)) AS later,
            today
        FROM
        (
            SELECT
                event,
                grain,
                groupUniqArray(if(grain = 'week', intDiv(dateDiff('day', toDate32('1969-12-29'), date), 7), toInt64(toYear(date) * 12 + toMonth(date) - 1))) AS indexes,
                arrayMin(indexes) AS index,
                toDate32(assumeNotNull((SELECT clock FROM {{db}}.kpi_clock)), assumeNotNull((SELECT timezone FROM {{db}}.live_definition))) AS today
            FROM
            (
                SELECT event, customer_id, toDate32(ordered_at, assumeNotNull((SELECT timezone FROM {{db}}.live_definition))) AS date
                FROM {{db}}.order_items_log FINAL
                WHERE _generation = (SELECT generation FROM {{db}}.current_generation) AND item = 1
            ) AS o
            CROSS JOIN (SELECT arrayJoin(['week', 'month']) AS grain) AS g
            GROUP BY event, grain, customer_id
        )
    )
    GROUP BY event, grain, index
)
ARRAY JOIN range(toUInt64(last + 1)) AS n
COMMENT 'Retention by cohort: first buyers of the period with an order in the n-th period after it / first buyers of the period.';

CREATE OR REPLACE VIEW {{db}}.baskets
(
    event LowCardinality(String) COMMENT 'Event of the definition that the orders counted as.',
    basket String COMMENT 'order: the products of one order; customer: those of all orders of a customer.',
    products Array(String) COMMENT 'Its different products, 1 to 100 of them, sorted.'
)
AS SELECT
    event,
    basket,
    arraySort(groupUniqArray(product)) AS products
FROM
(
    SELECT toString(event) AS event, customer_id, order_key, ordered_at, assumeNotNull(product_id) AS product
    FROM {{db}}.order_items_log FINAL
    WHERE _generation = (SELECT generation FROM {{db}}.current_generation) AND product_id IS NOT NULL
) AS i
CROSS JOIN (SELECT arrayJoin(['order', 'customer']) AS basket) AS g
GROUP BY event, basket, customer_id, if(basket = 'order', (order_key, ordered_at), ('', toDateTime64(0, 3, 'UTC')))
HAVING length(products) <= 100
COMMENT 'Different products of each order, and of each customer.';

CREATE OR REPLACE VIEW {{db}}.kpi_bought_together
(
    event LowCardinality(String) COMMENT 'Event of the definition that the orders counted as.',
    basket String COMMENT 'order: bought in one order; customer: bought by one customer, in one order or several.',
    product String COMMENT 'Product bought.',
    other String COMMENT 'Product also bought.',
    both UInt64 COMMENT 'Baskets with both.',
    with_product UInt64 COMMENT 'Baskets with product.',
    with_other UInt64 COMMENT 'Baskets with other.',
    baskets UInt64 COMMENT 'Baskets with any named product; those with more than 100 different ones are left out.',
    support Float64 COMMENT 'both / baskets, 0 to 1.',
    confidence Float64 COMMENT 'both / with_product, 0 to 1: who bought product also bought other.',
    lift Float64 COMMENT 'confidence / (with_other / baskets): above 1, bought together more often than by chance.'
)
AS SELECT
    event,
    basket,
    product,
    other,
    both,
    with_product,
    with_other,
    baskets,
    both / baskets AS support,
    both / with_product AS confidence,
    both / with_product / (with_other / baskets) AS lift
FROM
(
    -- Baskets, products and pairs are counted in one pass: 0, 1 and 2 products.
    SELECT
        event,
        basket,
        tupleElement(part, 1) AS n,
        tupleElement(part, 2) AS product,
        tupleElement(part, 3) AS other,
        count() AS both,
        maxIf(both, n = 1) OVER (PARTITION BY event, basket, product) AS with_product,
        maxIf(both, n = 1) OVER (PARTITION BY event, basket, other) AS with_other,
        maxIf(both, n = 0) OVER (PARTITION BY event, basket) AS baskets
    FROM
    (
        SELECT
            event,
            basket,
            arrayJoin(arrayConcat(
                [(toUInt8(0), '', '')],
                arrayMap(x -> (toUInt8(1), x, x), products),
                arrayFlatten(arrayMap(x -> arrayMap(y -> (toUInt8(2), x, y), arrayFilter(y -> y != x, products)), products)))) AS part
        FROM {{db}}.baskets
    )
    GROUP BY event, basket, part
)
WHERE n = 2
COMMENT 'Bought together: who bought a product also bought the other, with support, confidence and lift.';
