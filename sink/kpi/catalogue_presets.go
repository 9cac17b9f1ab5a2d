// SPDX-License-Identifier: Apache-2.0

package kpi

import "slices"

// The words of activity_mode.
const (
	activityReferenced = "referenced"
	activityAll        = "all"
)

// presetKPIs are what the presets are for: the KPIs of each stage, with the preset's own
// names of events. Another definition fills in its own with --param.
func presetKPIs() []KPI {
	return slices.Concat(commerceKPIs(), mediaKPIs(), travelKPIs(), financeKPIs(), onboardingKPIs(), growthKPIs())
}

// event is a parameter that names an event of the definition.
func event(name, standard, meaning string) Param {
	return Param{Name: name, Default: standard, Event: true, Meaning: meaning}
}

func days(standard, meaning string) Param {
	return Param{Name: "days", Default: standard, Number: true, Meaning: meaning}
}

func stage(standard string) Param {
	return Param{Name: "stage", Default: standard, Meaning: "only this stage; empty: all, and those without one"}
}

const whereStage = ` AND (@stage = '' OR ifNull(stage, '') = @stage)`

// sessionEvents is a KPI of an event in sessions begun by a stage.
func sessionEvents(name, title, group, of, standard, what string) KPI {
	return KPI{
		Name: name, Title: title, Group: group, Stage: of, View: "kpi_session_events",
		Meaning:   "How often " + what + " in sessions begun by customers of the stage, app and site apart; sessions are all that such customers began in the period.",
		Numerator: "occurrences of the event in sessions begun by the stage", Denominator: "sessions begun by the stage", Time: "in the period", Unit: "occurrences; occurrences per session",
		Query: `SELECT model, period, stage, platform, occurrences, sessions, per_session, closed FROM {{db}}.kpi_session_events` + whereGrain + ` AND event = @event` + whereStage +
			` ORDER BY model, period, stage, platform`,
		Params: []Param{event("event", standard, "the event that is counted"), stage(of)},
		layout: layout{split: "model", bars: []string{"occurrences"}},
	}
}

// sessionsBegun is a KPI of the sessions themselves.
func sessionsBegun(name, title, group, of string) KPI {
	return KPI{
		Name: name, Title: title, Group: group, Stage: of, View: "kpi_sessions",
		Meaning:   "Sessions begun by customers who were in the stage just before, app and site apart.",
		Numerator: "sessions begun by customers of the stage", Denominator: "sessions of the period (share)", Time: "in the period in which they began", Unit: "sessions",
		Query:  `SELECT model, period, stage, platform, sessions, share, closed FROM {{db}}.kpi_sessions` + whereGrain + whereStage + ` ORDER BY model, period, stage, platform`,
		Params: []Param{stage(of)},
		layout: layout{split: "model", bars: []string{"sessions"}},
	}
}

// doing is a KPI of the distinct customers who did something.
func doing(name, title, group, of, standard, who string) KPI {
	return KPI{
		Name: name, Title: title, Group: group, Stage: of, View: "kpi_event_customers", Activity: activityReferenced,
		Meaning:     "Distinct customers who " + who + ", by the stage just before the session, and their share of the customers of that stage who did anything in the period that the definition counts.",
		Numerator:   "distinct customers with the event",
		Denominator: "distinct customers with any event of the definition", Time: "in the period", Unit: "customers; share of customers",
		Query: `SELECT model, period, stage, customers, occurrences, seen, customer_rate` + closedPeriod + ` FROM {{db}}.kpi_event_customers(event = @event)` + whereGrain + whereStage +
			` ORDER BY model, period, stage`,
		Params: []Param{event("event", standard, "what they did"), stage(of)},
		layout: layout{split: "model", bars: []string{"customers"}},
	}
}

// following is a KPI of one event after another.
func following(name, title, group, of, first, then, within, meaning string) KPI {
	return KPI{
		Name: name, Title: title, Group: group, Stage: of, View: "kpi_followed", Activity: activityReferenced,
		Meaning:     meaning + " Only occurrences whose days have passed are in the rate; closed says how many.",
		Numerator:   "of those, occurrences with the second event after them, within the days",
		Denominator: "occurrences of the first event whose days have passed", Time: "by the period of the first event; days of 24 hours", Unit: "share of occurrences; median in days",
		Query:  `SELECT period, occurrences, k.closed AS with_window_closed, followed, followed_rate, median_days` + closedPeriod + ` FROM {{db}}.kpi_followed(first = @first, then = @then, days = @days) AS k WHERE grain = @grain ORDER BY period`,
		Params: []Param{event("first", first, "the event that begins"), event("then", then, "the event that is waited for"), days(within, "how long it is waited for")},
		layout: layout{bars: []string{"followed_rate"}},
	}
}

// visiting is a KPI of the customers in a stage who come.
func visiting(name, title, group, of, by string) KPI {
	return KPI{
		Name: name, Title: title, Group: group, Stage: of, View: "kpi_stage_visits", Activity: activityReferenced, By: by,
		Meaning:   "Customers who were in the stage at the start of the period and came at least once in it / customers in the stage at its start.",
		Numerator: "of those, customers with at least one visit in the period", Denominator: "customers in the stage at the start of the period", Time: "from the start of the period to its end", Unit: "share of customers",
		Query:  `SELECT model, period, stage, at_start, visited, visited_rate, closed FROM {{db}}.kpi_stage_visits(event = @event)` + whereGrain + whereStage + ` ORDER BY model, period, stage`,
		Params: []Param{event("event", "activity", "what a visit is"), stage(of)},
		layout: layout{split: "model", bars: []string{"visited_rate"}},
	}
}

// targeted is a KPI of a campaign's goal.
func targeted(name, title, group, of, campaign, goal, did string) KPI {
	return KPI{
		Name: name, Title: title, Group: group, Stage: of, View: "kpi_campaign_conversion",
		Meaning: "Of the customers assigned to the campaign, those who " + did + " within the goal's window, beside the holdout. Only customers whose window has closed; the others are open. " +
			"campaign-lift has the difference, and whether it is more than chance.",
		Numerator: "of those, customers with at least one conversion", Denominator: "customers assigned whose window has closed", Time: closedWindows, Unit: "share of customers",
		Query: `SELECT campaign, goal, model, target, variant, targeted, converted, conversion_rate, rate_low, rate_high, open FROM {{db}}.kpi_campaign_conversion` + whereTarget +
			` ORDER BY campaign, goal, model, target, holdout, variant`,
		Params: []Param{
			{Name: "campaign", Default: campaign, Meaning: "the campaign"}, {Name: "goal", Default: goal, Meaning: "its goal"}, byParam,
		},
		layout: layout{split: "campaign", interval: [3]string{"rate_low", "conversion_rate", "rate_high"}, holdout: true},
	}
}

func commerceKPIs() []KPI {
	const group = "e-commerce"
	return []KPI{
		sessionEvents("product-views", "Product views in sessions begun by inactive customers", group, "inactive", "product_view", "products were looked at"),
		{
			Name: "targeted-product-views", Title: "Product views by the targeted segment", Group: group, Stage: "lapsing", View: "kpi_targeted_events", Activity: activityReferenced,
			Meaning:     "Products looked at by those who were targeted, within the days after their assignment, per variant and beside the holdout, of everyone or by the stage or segments at the assignment. Only assignments whose days have passed.",
			Numerator:   "occurrences of the event within the days after the assignment",
			Denominator: "customers assigned whose days have passed", Time: "to date; days of 24 hours after each assignment", Unit: "occurrences per assigned customer",
			Query: `SELECT campaign, by, model, target, variant, holdout, assigned, open, customers, occurrences, on_app, on_site, per_customer FROM {{db}}.kpi_targeted_events(event = @event, days = @days)` +
				whereCampaign + ` AND by = @by AND (@by != 'stage' OR @model = '' OR model = @model) ORDER BY campaign, model, target, holdout, variant`,
			Params: []Param{event("event", "product_view", "the event that is counted"), days("14", "length of the window"), campaignParams[0], byParam},
			layout: layout{split: "campaign", bars: []string{"per_customer"}, hide: []string{"by", "holdout"}, holdout: true},
		},
		{
			Name: "views-per-purchase", Title: "Product views per purchase by stage", Group: group, Stage: "loyal", View: "kpi_events_per_order",
			Meaning:   "Products looked at per purchase, both in sessions begun by customers of the stage.",
			Numerator: "product views in sessions begun by the stage", Denominator: "purchases in such sessions", Time: "in the period", Unit: "views per purchase",
			Query:  `SELECT model, period, stage, occurrences, orders, per_order, closed FROM {{db}}.kpi_events_per_order(event = @event, order = @order)` + whereGrain + whereStage + ` ORDER BY model, period, stage`,
			Params: []Param{event("event", "product_view", "the event that is counted"), event("order", "purchase", "the order"), stage("")},
			layout: layout{split: "model", bars: []string{"per_order"}},
		},
		targeted("favoured", "Targeted customers who favoured a product", group, "active", "favourites", "favoured", "favoured a product"),
		targeted("joined-rewards", "Targeted customers who joined the rewards programme", group, "loyal", "rewards", "joined", "joined the rewards programme"),
		{
			Name: "carts", Title: "Carts abandoned and recovered", Group: group, View: "kpi_carts", Activity: activityReferenced,
			Meaning:     "Carts left alone for rest_minutes, and what became of them: recovered by an order less than forgotten_days after the last product was put in, through the channel of the last click in between (none: without one), lost, or still open.",
			Numerator:   "carts with the outcome and channel",
			Denominator: "carts abandoned in the period", Time: "by the period in which they were abandoned", Unit: "share of carts",
			Query: `SELECT period, outcome, channel, carts, abandoned, share` + closedPeriod + ` FROM {{db}}.kpi_carts(add = @add, order = @order, clicks = @clicks, rest_minutes = @rest_minutes, forgotten_days = @forgotten_days)` +
				` WHERE grain = @grain ORDER BY period, outcome DESC, channel`,
			Params: []Param{
				event("add", "cart_add", "a product is put into the cart"), event("order", "purchase", "the order"),
				{Name: "clicks", Default: "email_click=email,push_tap=push,sms_click=sms", Meaning: "event=channel, separated by commas"},
				{Name: "rest_minutes", Default: "60", Number: true, Meaning: "how long nothing happens until a cart is abandoned; as cart_rests of the preset"},
				{Name: "forgotten_days", Default: "7", Number: true, Meaning: "how long a cart can be recovered; as cart_forgotten of the preset"},
			},
			layout: layout{bars: []string{"carts"}},
		},
		{
			Name: "visits-without-order", Title: "Visits with a view but no order", Group: group, View: "kpi_visits_without_order", Activity: activityReferenced,
			Meaning:   "Sessions in which a product was looked at and nothing was ordered / sessions in which a product was looked at.",
			Numerator: "of those, sessions without an order", Denominator: "sessions with at least one view", Time: "by the period of the first view or order", Unit: "share of sessions",
			Query:  `SELECT period, platform, visits, without_order, without_order_rate` + closedPeriod + ` FROM {{db}}.kpi_visits_without_order(view = @view, order = @order) WHERE grain = @grain ORDER BY period, platform`,
			Params: []Param{event("view", "product_view", "what is looked at"), event("order", "purchase", "the order")},
			layout: layout{bars: []string{"without_order_rate"}},
		},
	}
}

func mediaKPIs() []KPI {
	const group = "media"
	return []KPI{
		visiting("came-back", "Inactive readers who came back", group, "inactive", "month"),
		targeted("targeted-came-back", "Targeted readers who came back", group, "inactive", "come-back", "came_back", "came back to app or site"),
		visiting("lapsing-visits", "Lapsing readers who visited", group, "lapsing", "week"),
		doing("partner-benefits", "Readers who use partner benefits", group, "active", "benefit_used", "used what partners offer"),
		following("trial-to-paid", "From trial to subscription", group, "loyal", "trial_started", "subscription_started", "30", "Trials that a subscription followed within the days / trials."),
		following("renewal", "Renewal", group, "loyal", "subscription_started", "subscription_renewed", "35", "Subscriptions that were renewed within the days / subscriptions begun."),
		following("resubscription", "Subscribed again", group, "loyal", "subscription_ended", "subscription_started", "90", "Ended subscriptions that were taken again within the days / subscriptions that ended."),
		targeted("targeted-resubscription", "Targeted customers who subscribed again", group, "loyal", "win-back", "subscribed", "subscribed again"),
	}
}

func travelKPIs() []KPI {
	const group = "travel"
	return []KPI{
		sessionsBegun("return-visits", "Return visits", group, "inactive"),
		{
			Name: "engagement", Title: "Engagement: time on site and pages seen", Group: group, Stage: "inactive", View: "kpi_engagement", Activity: activityAll,
			Meaning:   "Sessions begun by customers of the stage: mean time from the first to the last message, and mean number of pages.",
			Numerator: "time from the first to the last message; pages and screens", Denominator: "sessions begun by the stage", Time: "by the period in which the sessions began", Unit: "minutes, pages per session",
			Query:  `SELECT model, period, stage, sessions, customers, minutes_per_session, pages_per_session, messages_per_session` + closedPeriod + ` FROM {{db}}.kpi_engagement` + whereGrain + whereStage + ` ORDER BY model, period, stage`,
			Params: []Param{stage("inactive")},
			layout: layout{split: "model", bars: []string{"minutes_per_session"}},
		},
		sessionEvents("articles-read", "Articles read in return visits", group, "inactive", "article_read", "articles were read"),
		{
			Name: "messages", Title: "Messages opened, and booked after opening", Group: group, Stage: "lapsing", View: "kpi_messages", Activity: activityReferenced,
			Meaning:     "Customers to whom a campaign's message was delivered: how many opened it themselves, for how many only a machine did, how many clicked, and how many of those who opened it booked within the days after.",
			Numerator:   "customers who opened it themselves; of those, customers who booked",
			Denominator: "customers to whom it was delivered; customers who opened it", Time: "by the period of the delivery; days of 24 hours after the open", Unit: "share of customers",
			Query: `SELECT model, period, campaign, channel, stage, delivered, opened_by_people, opened_by_machines, clicked_by_people, ordered_after_open, open_rate, click_rate, order_rate` + closedPeriod + ` FROM {{db}}.kpi_messages(order = @order, days = @days)` +
				whereGrain + whereStage + ` ORDER BY model, period, campaign, channel, stage`,
			Params: []Param{event("order", "booking", "the order"), days("14", "how long after the open an order counts"), stage("lapsing")},
			layout: layout{split: "model", bars: []string{"open_rate", "order_rate"}, hide: []string{"click_rate"}},
		},
		targeted("deal-booked", "Targeted travellers who booked the offered deal", group, "lapsing", "deals", "booked_deal", "booked the deal"),
		doing("reviews", "Travellers who post reviews", group, "active", "review", "posted a review"),
		doing("booked-with-points", "Travellers who book with points", group, "loyal", "points_booking", "booked with points"),
		{
			Name: "browse-to-booking", Title: "From first browse to booking", Group: group, Stage: "loyal", View: "kpi_time_to_order", Activity: activityReferenced,
			Meaning:   "Time from the first browse since the booking before (or ever) to the booking: median and mean. Bookings without a browse are counted, and have no time.",
			Numerator: "time from the first browse to the booking", Denominator: "bookings after a browse (mean)", Time: "by the period of the booking", Unit: "days of 24 hours",
			Query:  `SELECT period, orders, after_event, median_days, mean_days` + closedPeriod + ` FROM {{db}}.kpi_time_to_order(event = @event, order = @order) WHERE grain = @grain ORDER BY period`,
			Params: []Param{event("event", "browse", "what looking around is"), event("order", "booking", "the booking")},
			layout: layout{bars: []string{"median_days"}},
		},
	}
}

func financeKPIs() []KPI {
	const group = "finance"
	return []KPI{
		sessionsBegun("inactive-sessions", "Sessions begun by inactive users", group, "inactive"),
		sessionsBegun("lapsing-sessions", "Sessions begun by lapsing users", group, "lapsing"),
		sessionEvents("feature-message-clicks", "Clicks on in-app messages about features", group, "lapsing", "feature_message_clicked", "messages about a feature were clicked"),
		targeted("offer-accepted", "Targeted users who accepted the offer", group, "active", "offer", "accepted", "accepted the offer"),
		targetedRise("more-sessions", "Rise in sessions against before", group, "active", "offer", "more_sessions", "sessions"),
		bankLinked(group),
	}
}

// targetedRise is a KPI of a campaign's goal with a baseline.
func targetedRise(name, title, group, of, campaign, goal, what string) KPI {
	return KPI{
		Name: name, Title: title, Group: group, Stage: of, View: "kpi_campaign_rise", Needs: keyBaseline,
		Meaning: "Of the customers assigned to the campaign: " + what + " in the goal's window less those in one as long just before the assignment, per customer, beside the same of the holdout. " +
			"Whoever is targeted for being active comes less often afterwards, by chance alone: so the difference to the holdout is the effect.",
		Numerator: what + " in the window, less those before", Denominator: "customers assigned whose window has closed", Time: closedWindows, Unit: what + " per customer",
		Query: `SELECT campaign, goal, model, target, variant, assigned, rise_per_assigned, holdout_assigned, holdout_rise_per_assigned, difference, difference_low, difference_high, open, verdict FROM {{db}}.kpi_campaign_rise` + whereTarget +
			` ORDER BY campaign, goal, model, target, variant NULLS LAST`,
		Params: []Param{
			{Name: "campaign", Default: campaign, Meaning: "the campaign"}, {Name: "goal", Default: goal, Meaning: "its goal"}, byParam,
		},
		layout: layout{split: "campaign", interval: [3]string{"difference_low", "difference", "difference_high"}, together: true},
	}
}

// bankLinked is by all stages: whoever is loyal has linked one already, so it is how
// customers become loyal.
func bankLinked(group string) KPI {
	k := doing("bank-linked", "Users who link a bank account", group, "loyal", "bank_linked", "linked a bank account")
	k.Meaning += " Without a linked account nobody is loyal: the stages are those it was done in."
	k.Params[1] = stage("")
	return k
}

func onboardingKPIs() []KPI {
	const group = "saas-onboarding"
	of := func(name, title, standard, meaning string) KPI {
		return KPI{
			Name: name, Title: title, Group: group, Stage: "trial", View: "kpi_onboarding", Activity: activityReferenced,
			Meaning:     meaning + " By the period of the first start; only customers whose days have passed are in the rates.",
			Numerator:   "of those, customers with the events within the days after the start",
			Denominator: "customers who started whose days have passed", Time: "by the period of the first start; days of 24 hours", Unit: "share of customers",
			Query: `SELECT period, customers, k.closed AS with_window_closed, used_any, used_all, used_any_rate, used_all_rate, mean_share` + closedPeriod + ` FROM {{db}}.kpi_onboarding(start = @start, events = @events, days = @days) AS k` +
				` WHERE grain = @grain ORDER BY period`,
			Params: []Param{event("start", "trial_started", "what begins the first week"), {Name: "events", Default: standard, Event: true, Meaning: "events separated by commas"}, days("7", "length of the window")},
			layout: layout{bars: []string{"used_all_rate"}},
		}
	}
	return []KPI{
		of("tutorial-first-week", "Tutorial completed in the first week", "tutorial_completed", "Share of those who started that completed the tutorial within the days."),
		of("key-features-first-week", "Key features used in the first week", "key_1_used,key_2_used,key_3_used", "Share of those who started that used any, and all, of the key features within the days, and the mean share of them that was used."),
		following("trial-to-paying", "From trial to paying", group, "trial", "trial_started", "subscription_started", "30", "Trials that a subscription followed within the days / trials."),
	}
}

func growthKPIs() []KPI {
	const group = "growth"
	return []KPI{
		{
			Name: "invitations", Title: "Invited, joined, bought", Group: group, View: "kpi_invitations", Activity: activityReferenced,
			Meaning:     "Invitations sent and accepted, customers who joined by one, and how many of those bought within the days after joining.",
			Numerator:   "of those, customers with an order within the days after joining",
			Denominator: "customers who joined by an invitation whose days have passed", Time: "by the period of each event; days of 24 hours after joining", Unit: "share of customers",
			Query: `SELECT period, invitations, inviters, accepted_invitations, advocates, joiners, k.closed AS with_window_closed, bought, bought_rate` + closedPeriod + ` FROM {{db}}.kpi_invitations(sent = @sent, accepted = @accepted, joined = @joined, order = @order, days = @days) AS k` +
				` WHERE grain = @grain ORDER BY period`,
			Params: []Param{
				event("sent", "invite_sent", "an invitation is sent"), event("accepted", "invite_accepted", "of the one who invited: it was accepted"),
				event("joined", "joined_by_invite", "of the other: joined by an invitation"), event("order", "purchase", "the order"), days("30", "how long after joining an order counts"),
			},
			layout: layout{bars: []string{"joiners", "bought_rate"}},
		},
		{
			Name: "advocates", Title: "Advocates", Group: group, View: "kpi_segment_population",
			Meaning:   "Customers who have brought in others: the segment of that name at the end of each period.",
			Numerator: "customers in the segment", Time: "at the end of the period", Unit: "customers",
			Query:  `SELECT segment, period, customers, entered, left, closed FROM {{db}}.kpi_segment_population WHERE grain = @grain AND segment = @segment ORDER BY period`,
			Params: []Param{{Name: "segment", Default: "advocates", Meaning: "the segment"}},
			layout: layout{bars: []string{"customers"}},
		},
		{
			Name: "thresholds", Title: "Proposals for thresholds", Group: group, View: "kpi_thresholds", Activity: activityReferenced,
			Meaning:   "What \"high value\" could mean in this base: the 80th percentile of what a customer spent in the last 365 days, of a single value, and of how many each customer had. Put the figure under params.",
			Numerator: "80th percentile, linear interpolation", Time: "the 365 days of 24 hours up to the clock", Unit: "money; occurrences",
			Query:  `SELECT * FROM {{db}}.kpi_thresholds ORDER BY event`,
			layout: layout{counts: []string{"frequent"}},
		},
	}
}
