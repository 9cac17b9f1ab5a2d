-- SPDX-License-Identifier: Apache-2.0
--
-- Queries of the data dictionary; tests run each of them. A block is a line with the
-- view and the question, then one query. Unlike migrations this file may be changed.

-- current_generation: Which generation do the views show?
SELECT generation FROM {{db}}.current_generation;

-- stage_changes: What happened to one customer, and why?
SELECT effective_at, model, `from`, `to`, cause_type, cause_condition, cause_event
FROM {{db}}.stage_changes
WHERE customer_id = 'u1'
ORDER BY effective_at, model, sequence;

-- segment_changes: How many customers entered and left each segment?
SELECT segment, countIf(entered) AS came, countIf(NOT entered) AS went
FROM {{db}}.segment_changes
GROUP BY segment
ORDER BY segment;

-- assignments: How many customers has each campaign, by arm? (The holdout has no variant.)
SELECT campaign, variant, holdout, count() AS assignments, uniqExact(customer_id) AS customers
FROM {{db}}.assignments
GROUP BY campaign, variant, holdout
ORDER BY campaign, holdout, variant;

-- conversions: Which value has each customer's conversion now? (A corrected one has a greater sequence.)
SELECT campaign, goal, customer_id, round, argMax(value, sequence) AS value, any(currency) AS currency
FROM {{db}}.conversions
GROUP BY campaign, goal, customer_id, round
ORDER BY campaign, goal, customer_id, round
LIMIT 10;

-- profiles: Who is at risk, and when does that change if nothing happens?
SELECT customer_id, stages['value'].stage AS stage, stages['value'].next_stage AS next_stage, stages['value'].next_deadline AS next_deadline
FROM {{db}}.profiles
WHERE stages['value'].stage = 'at_risk'
ORDER BY next_deadline
LIMIT 10;

-- activity: How many messages of each event came on each of the last days, by platform?
SELECT toDate32(event_time) AS day, event, platform, count() AS messages
FROM {{db}}.activity
GROUP BY day, event, platform
ORDER BY day DESC, event, platform
LIMIT 20;

-- exposures: How many customers did each campaign reach, by channel and step? (Opens by machines are left out.)
SELECT campaign, channel, step, uniqExact(customer_id) AS customers
FROM {{db}}.exposures
WHERE NOT machine
GROUP BY campaign, channel, step
ORDER BY campaign, channel, step;

-- settings: By which settings does each lane count?
SELECT lane, since, activity, aggregates, session_gap_ms / 60000 AS session_gap_minutes
FROM {{db}}.settings
ORDER BY lane, since;

-- aggregates: How often did each event happen per month? (A total is the sum over lanes.)
SELECT period, event, sum(count) AS occurrences, sum(sum) AS value
FROM {{db}}.aggregates
WHERE measure = 'event' AND grain = 'month' AND model = '' AND segment = ''
GROUP BY period, event
ORDER BY period, event;

-- definitions: When did each version of a definition go live?
SELECT name, version, activated_at, timezone, currency
FROM {{db}}.definitions
ORDER BY activated_at;

-- rates: Which rate counts on each day?
SELECT currency, day, rate
FROM {{db}}.rates
ORDER BY currency, day;

-- unreadable: What could not be read, and why?
SELECT reason, count() AS records
FROM {{db}}.unreadable
GROUP BY reason
ORDER BY records DESC;

-- order_items: Which products brought most revenue?
SELECT product_id, any(name) AS name, sum(quantity) AS sold, sum(quantity * price) AS revenue, currency
FROM {{db}}.order_items
WHERE product_id IS NOT NULL
GROUP BY product_id, currency
ORDER BY revenue DESC
LIMIT 10;

-- stage_intervals: Who was in which stage at a given instant?
SELECT model, stage, uniqExact(customer_id) AS customers
FROM {{db}}.stage_intervals
WHERE entered_at <= '1997-06-01 00:00:00' AND (left_at IS NULL OR left_at > '1997-06-01 00:00:00')
GROUP BY model, stage
ORDER BY model, stage;

-- sessions: How long are sessions, by platform?
SELECT platform, count() AS sessions, avg(dateDiff('second', started_at, ended_at)) AS seconds, avg(messages) AS messages
FROM {{db}}.sessions
GROUP BY platform
ORDER BY platform;

-- activity_mode: What is kept of messages and of totals, and since when?
SELECT activity, since, aggregates, aggregates_since FROM {{db}}.activity_mode;

-- live_definition: Which definition is live?
SELECT name, version, timezone, currency FROM {{db}}.live_definition;

-- model_stages: Which stages are there, from worst to best?
SELECT model, position, stage, churned, at_risk
FROM {{db}}.model_stages
ORDER BY model, position;

-- campaigns: Which campaigns are there?
SELECT campaign, audience, holdout_share, starts_at, ends_at
FROM {{db}}.campaigns
ORDER BY position;

-- campaign_variants: Which arms has each campaign, with which share?
SELECT campaign, variant, holdout, share, properties
FROM {{db}}.campaign_variants
ORDER BY campaign, position;

-- campaign_goals: What is each campaign measured by, and for how long?
SELECT campaign, goal, event, condition, within_ms / 86400000 AS days, value
FROM {{db}}.campaign_goals
ORDER BY campaign, position;

-- kpi_clock: Up to when is there data?
SELECT clock, last_event, last_stage_change FROM {{db}}.kpi_clock;

-- kpi_periods: Which months are there, and are they over?
SELECT period, starts_at, ends_at, closed
FROM {{db}}.kpi_periods
WHERE grain = 'month'
ORDER BY period;

-- period_changes: Who left the stage active in each month?
SELECT period, customer_id, to_stage, cause_type
FROM {{db}}.period_changes
WHERE grain = 'month' AND from_stage = 'active'
ORDER BY period, customer_id
LIMIT 10;

-- period_transitions: How many changes had which cause?
SELECT starts_at, cause, sum(changes) AS changes
FROM {{db}}.period_transitions
WHERE grain = 'month'
GROUP BY starts_at, cause
ORDER BY starts_at, cause;

-- kpi_stage_population: How many customers were in each stage at the end of each month?
SELECT period, stage, customers, share, entered, left
FROM {{db}}.kpi_stage_population
WHERE model = 'value' AND grain = 'month'
ORDER BY period, position;

-- kpi_flow: Which changes led upward, and how many were there per week?
SELECT period, from_stage, to_stage, changes
FROM {{db}}.kpi_flow
WHERE model = 'value' AND grain = 'week' AND direction = 'up'
ORDER BY period, from_stage, to_stage;

-- kpi_flow_by_hour: What moved in the last hours?
SELECT hour, model, from_stage, to_stage, changes
FROM {{db}}.kpi_flow_by_hour
ORDER BY hour DESC, model, from_stage, to_stage
LIMIT 20;

-- kpi_churn: Which share of customers churned in each month?
SELECT period, at_start, churned, round(churn_rate, 3) AS churn_rate
FROM {{db}}.kpi_churn
WHERE model = 'value' AND grain = 'month' AND closed
ORDER BY period;

-- kpi_reactivation: Which share of lost and at-risk customers came back in each month?
SELECT period, at_start, reactivated, round(reactivation_rate, 3) AS reactivation_rate
FROM {{db}}.kpi_reactivation
WHERE model = 'value' AND grain = 'month' AND closed
ORDER BY period;

-- kpi_time_in_stage: How long do customers stay in each stage?
SELECT period, stage, spells, median
FROM {{db}}.kpi_time_in_stage
WHERE model = 'value' AND grain = 'month'
ORDER BY period, stage;

-- kpi_totals: What was sold to date?
SELECT event, orders, customers, revenue, refunded, currency FROM {{db}}.kpi_totals;

-- kpi_repeat_rate: Which share of buyers bought again?
SELECT event, customers, repeat_customers, repeat_rate FROM {{db}}.kpi_repeat_rate;

-- kpi_new_to_second: How many first buyers of each month bought again within 90 days?
SELECT cohort, first_buyers, within_90, rate_90
FROM {{db}}.kpi_new_to_second
WHERE event = 'purchase'
ORDER BY cohort;

-- kpi_revenue_by_stage: From customers in which stage did revenue come?
SELECT period, stage, orders, revenue, share, currency
FROM {{db}}.kpi_revenue_by_stage
WHERE model = 'value' AND grain = 'month' AND event = 'purchase'
ORDER BY period, stage;

-- kpi_events_by_hour: How many orders came in each of the last hours?
SELECT hour, occurrences, value, currency
FROM {{db}}.kpi_events_by_hour
WHERE event = 'purchase' AND model IS NULL
ORDER BY hour DESC
LIMIT 24;

-- orders: What is the median order worth?
SELECT event, quantileExact(0.5)(value) AS median_value, count() AS orders
FROM {{db}}.orders
GROUP BY event;

-- customer_orders: Who are the customers of most value?
SELECT customer_id, orders, revenue, recency_days
FROM {{db}}.customer_orders
WHERE event = 'purchase'
ORDER BY revenue DESC
LIMIT 10;

-- customer_rfm: Who buys much and often, but has not bought for long?
SELECT customer_id, rfm, recency_days, orders, revenue
FROM {{db}}.customer_rfm
WHERE event = 'purchase' AND recency_score <= 2 AND frequency_score >= 4 AND monetary_score >= 4
ORDER BY revenue DESC
LIMIT 10;

-- kpi_rfm: How many customers have which scores?
SELECT recency_score, frequency_score, monetary_score, customers, share
FROM {{db}}.kpi_rfm
WHERE event = 'purchase'
ORDER BY recency_score DESC, frequency_score DESC, monetary_score DESC;

-- kpi_lifetime_value: What has a customer of each cohort brought after 90 days?
SELECT cohort, first_buyers, value_90, currency
FROM {{db}}.kpi_lifetime_value
WHERE event = 'purchase'
ORDER BY cohort;

-- kpi_retention: Which share of each month's first buyers bought in the months after?
SELECT cohort, n, buyers, retention_rate
FROM {{db}}.kpi_retention
WHERE event = 'purchase' AND grain = 'month' AND closed
ORDER BY cohort, n;

-- kpi_stage_moves: Where were customers at the start of each month, and where at its end?
SELECT period, from_stage, to_stage, customers
FROM {{db}}.kpi_stage_moves
WHERE model = 'value' AND grain = 'month'
ORDER BY period, from_stage, to_stage;

-- kpi_events_per_order: How many products do customers of each stage look at per purchase?
SELECT period, stage, occurrences, orders, per_order
FROM {{db}}.kpi_events_per_order(event = 'product_view', order = 'purchase')
WHERE grain = 'month'
ORDER BY period, stage;

-- kpi_visits_without_order: How many visits looked at a product and ordered nothing?
SELECT period, platform, visits, without_order_rate
FROM {{db}}.kpi_visits_without_order(view = 'product_view', order = 'purchase')
WHERE grain = 'month'
ORDER BY period, platform;

-- kpi_stage_visits: Which share of the lapsing came back in the week?
SELECT period, at_start, visited, visited_rate
FROM {{db}}.kpi_stage_visits(event = 'activity')
WHERE grain = 'week' AND stage = 'lapsing'
ORDER BY period;

-- kpi_event_customers: How many customers of each stage post a review?
SELECT period, stage, customers, customer_rate
FROM {{db}}.kpi_event_customers(event = 'review')
WHERE grain = 'month'
ORDER BY period, stage;

-- kpi_followed: Which share of the trials became a subscription within 30 days?
SELECT period, occurrences, closed, followed_rate, median_days
FROM {{db}}.kpi_followed(first = 'trial_started', then = 'subscription_started', days = 30)
WHERE grain = 'month'
ORDER BY period;

-- kpi_time_to_order: How long is it from the first browse to the booking?
SELECT period, orders, after_event, median_days
FROM {{db}}.kpi_time_to_order(event = 'browse', order = 'booking')
WHERE grain = 'month'
ORDER BY period;

-- kpi_onboarding: Which share completes the tutorial in the first week?
SELECT period, closed, used_all, used_all_rate
FROM {{db}}.kpi_onboarding(start = 'trial_started', events = 'tutorial_completed', days = 7)
WHERE grain = 'month'
ORDER BY period;

-- kpi_carts: What became of abandoned carts, and through which channel?
SELECT period, outcome, channel, carts, share
FROM {{db}}.kpi_carts(add = 'cart_add', order = 'purchase', clicks = 'email_click=email,push_tap=push', rest_minutes = 60, forgotten_days = 7)
WHERE grain = 'month'
ORDER BY period, outcome, channel;

-- kpi_messages: How many open a message, and book after it?
SELECT period, campaign, channel, delivered, opened_by_people, opened_by_machines, open_rate, order_rate
FROM {{db}}.kpi_messages(order = 'booking', days = 14)
WHERE grain = 'month' AND stage = 'lapsing'
ORDER BY period, campaign, channel;

-- kpi_targeted_events: How much do the targeted look at, beside the holdout?
SELECT campaign, target AS stage, variant, holdout, assigned, per_customer
FROM {{db}}.kpi_targeted_events(event = 'product_view', days = 14)
WHERE by = 'stage'
ORDER BY campaign, stage, holdout, variant;

-- kpi_invitations: Who was invited, joined and bought?
SELECT period, invitations, joiners, closed, bought_rate
FROM {{db}}.kpi_invitations(sent = 'invite_sent', accepted = 'invite_accepted', joined = 'joined_by_invite', order = 'purchase', days = 30)
WHERE grain = 'month'
ORDER BY period;

-- global_holdout: What do all campaigns together bring?
SELECT held_out, count() AS customers, sum(revenue) / customers AS revenue_per_customer
FROM {{db}}.global_holdout AS g
LEFT JOIN
(
    SELECT customer_id, revenue
    FROM {{db}}.customer_orders
    WHERE event = 'purchase'
) AS o ON o.customer_id = g.customer_id
GROUP BY held_out
ORDER BY held_out;
