// SPDX-License-Identifier: Apache-2.0

package kpi

// orderKPIs are of orders: occurrences of an event with a key.
func orderKPIs() []KPI {
	const group = "orders"
	return []KPI{
		{
			Name: "totals", Title: "Orders and revenue to date", Group: group, View: "kpi_totals",
			Meaning:   "Orders, distinct customers who ordered, and revenue. Revenue is the sum of the orders' values with refunds taken off; the average order value is revenue / orders.",
			Numerator: "revenue, refunds taken off", Denominator: "orders", Time: "to date", Unit: "money per order",
			Query: `SELECT * FROM {{db}}.kpi_totals ORDER BY event, currency`,
		},
		{
			Name: "repeat-rate", Title: "Repeat purchase", Group: group, View: "kpi_repeat_rate",
			Meaning:   "Customers with at least two orders / customers with at least one, to date.",
			Numerator: "customers with at least two orders", Denominator: "customers with at least one order", Time: "to date", Unit: "share of customers",
			Query:  `SELECT * FROM {{db}}.kpi_repeat_rate ORDER BY event`,
			layout: layout{bars: []string{"repeat_rate"}},
		},
		{
			Name: "new-to-second", Title: "New to second purchase", Group: group, View: "kpi_new_to_second",
			Meaning:   "First buyers of the month with a second order within 30, 60, 90, 180, 365 days / first buyers of the month. Only closed cohorts: all of the month's windows have ended.",
			Numerator: "of those, customers with a second order within the window after the first", Denominator: "customers whose first order ever lies in the month",
			Time: "by the month of the first order; days of 24 hours", Unit: "share of customers",
			Query:  `SELECT * FROM {{db}}.kpi_new_to_second ORDER BY event, cohort`,
			layout: layout{split: "event", hide: []string{"within_30", "within_60", "within_90", "within_180", "within_365"}},
		},
		{
			Name: "retention", Title: "Retention by cohort", Group: group, View: "kpi_retention",
			Meaning:   "Customers of a month's first buyers with an order in the n-th month after it / first buyers of the month. By the week, too.",
			Numerator: "of those, customers with an order in the n-th period after it", Denominator: "customers whose first order ever lies in the cohort's period",
			Time: "by the period of the first order", Unit: "share of customers",
			Query:  `SELECT event, cohort, n, first_buyers, buyers, retention_rate, closed FROM {{db}}.kpi_retention WHERE grain = if(@grain = 'week', 'week', 'month') ORDER BY event, cohort, n`,
			layout: layout{split: "event", down: "cohort", across: "n", value: "retention_rate", order: "n"},
		},
		{
			Name: "lifetime-value", Title: "Lifetime value", Group: group, View: "kpi_lifetime_value",
			Meaning:   "Net revenue of a month's first buyers 30, 90 and 365 days after the first order, per first buyer. Only closed cohorts. What is not here is a prediction.",
			Numerator: "net revenue of their orders within the window after the first, that included", Denominator: "customers whose first order ever lies in the month",
			Time: "by the month of the first order; days of 24 hours", Unit: "money per customer",
			Query:  `SELECT * FROM {{db}}.kpi_lifetime_value ORDER BY event, cohort`,
			layout: layout{split: "event", hide: []string{"revenue_30", "revenue_90", "revenue_365", "unpriced"}},
		},
		{
			Name: "rfm", Title: "Recency, frequency, monetary value", Group: group, View: "kpi_rfm",
			Meaning:   "Customers per score. A score is 1 + the number of quintile edges (20, 40, 60, 80 %, linear interpolation) strictly below the customer's value; recency is reversed, so that 5 is best in all three. customer_rfm has every customer.",
			Numerator: "customers with these scores", Denominator: "customers with an order", Time: "to date, at the clock", Unit: "share of customers",
			Query:  `SELECT event, recency_score, frequency_score, monetary_score, customers, share, orders, revenue, average_recency_days FROM {{db}}.kpi_rfm ORDER BY event, recency_score DESC, frequency_score DESC, monetary_score DESC`,
			layout: layout{split: "event", bars: []string{"customers"}},
		},
		{
			Name: "bought-together", Title: "Bought together", Group: group, View: "kpi_bought_together",
			Meaning:   "Who bought the product also bought the other: confidence is the share of the product's baskets that have the other, support that of all baskets that have both, lift how much more often than by chance. The 50 pairs with the most baskets.",
			Numerator: "baskets with both products", Denominator: "baskets with the first", Time: "to date", Unit: "share of baskets",
			Query: `SELECT event, product, other, both, support, confidence, lift, with_product, with_other, baskets FROM {{db}}.kpi_bought_together WHERE basket = @basket ORDER BY both DESC, lift DESC, product, other LIMIT 50`,
			Keep:  ` ORDER BY both DESC, lift DESC, product, other LIMIT 50 BY basket`,
			Params: []Param{
				{Name: "basket", Default: "order", Among: []string{"order", "customer"}, Meaning: "order: bought in one order; customer: bought by one customer, in one order or several"},
			},
			layout: layout{hide: []string{"with_product", "with_other", "baskets"}, percent: []string{"support", "confidence"}, bars: []string{"both"}},
		},
		{
			Name: "revenue-by-stage", Title: "Revenue by stage before the order", Group: group, View: "kpi_revenue_by_stage",
			Meaning:   "Revenue of the period's orders by the stage the customer was in just before each order; (first) is a customer's first event.",
			Numerator: "revenue of orders by customers who were in the stage", Denominator: "revenue of the period", Time: "in the period", Unit: "money",
			Query: `SELECT r.model AS model, event, period, r.stage AS stage, s.position AS position, orders, revenue, average_order_value, share, currency, closed FROM {{db}}.kpi_revenue_by_stage AS r` +
				` LEFT JOIN {{db}}.model_stages AS s ON s.model = r.model AND s.stage = r.stage` +
				` WHERE grain = @grain AND (@model = '' OR r.model = @model) ORDER BY model, event, period, position, stage`,
			layout: layout{split: "model", down: "period", across: "stage", value: "revenue", order: "position"},
		},
	}
}
