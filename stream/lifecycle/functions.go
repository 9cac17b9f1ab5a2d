// SPDX-License-Identifier: Apache-2.0

package lifecycle

// result is the static type of a function.
type result uint8

const (
	resultBool result = iota
	resultNumber
	resultAny
	resultSpan // a duration
	resultText
)

// argument is what a function's argument names; all are constant texts.
type argument uint8

const (
	argEvent argument = iota
	argWindow
	argSpan // a window that may be the customer's own rhythm
	argHalfLife
	argOffset // a duration that may be negative
	argProperty
	argTrait
	argModel
	argStage
	argSegment
	argCampaign
	argVariant
	argGoal
)

var argumentNames = map[argument]string{
	argEvent: "event", argWindow: "window", argSpan: "window", argHalfLife: "half_life", argOffset: "offset", argProperty: "property",
	argTrait: "trait", argModel: "model", argStage: "stage", argSegment: "segment",
	argCampaign: "campaign", argVariant: "variant", argGoal: "goal",
}

// function is one function of the condition language. The table below is the single
// source of what exists and of what each means; the reference is made from it.
type function struct {
	name     string
	args     []argument
	required int // how many of args must be given
	result   result

	signature string // how it is written: count(event[, window])
	summary   string // one line: what it is for
	exact     string // what it means, at its boundaries and where nothing is known
	cost      string // of one evaluation; n are the instants kept of the event
	state     string // what a customer's state keeps for it, in bytes as encoded
	bound     string // why its window cannot be left out; empty if it can, or needs no reason
}

// What several functions keep, or cost, alike.
const (
	stateTally    = "the first and the last instant and the number of all, once per event however many functions read it: up to 40 bytes"
	stateInstants = "the newest 4,096 instants of the window, once per event: 2 to 7 bytes each"
	stateValues   = stateInstants + ", and 1 to 10 for the value"
	stateTrait    = "the traits of the customer, which are kept anyway: their names and JSON, within `trait_bytes` of `limits`"
	stateEnrolled = "the customer's part in the campaign, which is kept anyway"
	statePlace    = "the customer's place in it, which is kept anyway: up to 50 bytes"
	costConstant  = "constant"
	costSeveral   = "one step for each instant in the window, after each event of that name and whenever one of them leaves the window"
)

// functions are in the order of the reference: what happened and when, how much of it,
// then what is known of the customer and where it stands.
var functions = []function{
	{
		name: "never", args: []argument{argEvent}, required: 1, result: resultBool,
		signature: "never(event)",
		summary:   "The customer has not done it yet.",
		exact:     "True until the first occurrence is applied, then false for ever. It has no window: a time of quiet is idle().",
		cost:      costConstant,
		state:     stateTally,
	},
	{
		name: "seen", args: []argument{argEvent, argSpan}, required: 2, result: resultBool,
		signature: "seen(event, window)",
		summary:   "The customer did it lately.",
		exact:     "True while the last occurrence lies in (now - window, now]: it ends exactly at last + window. False for who never did it. The window may be a rhythm: unknown while that is unknown.",
		cost:      costConstant + ", with a rhythm that of rhythm()",
		state:     stateTally,
	},
	{
		name: "idle", args: []argument{argEvent, argSpan}, required: 2, result: resultBool,
		signature: "idle(event, window)",
		summary:   "The customer did it once, but not lately.",
		exact:     "True from exactly last + window on, until it happens again. False for who never did it: for those, write never(event) || idle(event, window). The window may be a rhythm, as in idle('purchase', 2 * rhythm('purchase')): unknown while that is unknown.",
		cost:      costConstant + ", with a rhythm that of rhythm()",
		state:     stateTally,
	},
	{
		name: "first", args: []argument{argEvent, argWindow}, required: 2, result: resultBool,
		signature: "first(event, window)",
		summary:   "The customer did it for the first time lately.",
		exact:     "True while the first occurrence ever lies in (now - window, now]: it ends exactly at first + window and never comes back. An earlier occurrence that arrives late moves it.",
		cost:      costConstant,
		state:     stateTally,
	},
	{
		name: "after", args: []argument{argEvent, argEvent}, required: 2, result: resultBool,
		signature: "after(event, event)",
		summary:   "The customer did the first and has not done the second since.",
		exact:     "True if the first event happened, and the second never did or its last occurrence is earlier than the first's last. At the same instant: false.",
		cost:      costConstant,
		state:     stateTally,
	},
	{
		name: "rhythm", args: []argument{argEvent}, required: 1, result: resultSpan,
		signature: "rhythm(event)",
		summary:   "The customer's own pace: the median time between two occurrences.",
		exact: "The median of the gaps between successive instants among the newest 4,096 occurrences, in event time; equal instants are a gap of 0. Of an even number of gaps it is the mean of " +
			"the middle two, cut to the millisecond. Unknown with fewer than 2 gaps (3 occurrences). It is a duration: the window of idle and seen, alone or times a number above 0 that is written out " +
			"(the product is cut to the millisecond, a window is at least 1 ms and at most 3,660 days), or compared with a duration or another rhythm: rhythm('purchase') <= '30d'. Exact also with `resolution: 1h`.",
		cost:  "up to five looks at each instant kept, after each event of that name and at each deadline of a condition that reads it; no memory",
		state: "the newest 4,096 instants, once per event: 2 to 7 bytes each",
	},
	{
		name: "count", args: []argument{argEvent, argWindow}, required: 1, result: resultNumber,
		signature: "count(event[, window])",
		summary:   "How often the customer did it.",
		exact: "The number of occurrences in (now - window, now]; without a window of all ever. 0 if there is none. Compared with a number it may be at most 4,096, " +
			"and in sums, products and comparisons with other values it counts the newest 4,096. With `resolution: 1h` on the event it counts without a bound, and an " +
			"occurrence at t leaves at the first full UTC hour at or after t + window.",
		cost: "a binary search in the instants kept; without a window constant; with `resolution: 1h` one step for each hour of the window that has occurrences",
		state: "compared with a number n: the newest n instants of the window, 2 to 7 bytes each, else the newest 4,096; without a window the number alone; with " +
			"`resolution: 1h` up to 17 bytes for each hour of the longest window that has occurrences, once for each remainder of windows by an hour",
	},
	{
		name: "count_since", args: []argument{argEvent, argEvent}, required: 2, result: resultNumber,
		signature: "count_since(event, other)",
		summary:   "How often the customer did the first since it last did the other.",
		exact: "The number of occurrences of the first event that are strictly later than the other's last; of the same instant: not counted. All of them if the other never happened. " +
			"It reads the newest 4,096, so that compared with a number it may be at most 4,096. Exact also with `resolution: 1h`.",
		cost:  "a binary search in the instants kept",
		state: "compared with a number n: the newest n instants of the first event, 2 to 7 bytes each, else the newest 4,096; of the other the last",
	},
	{
		name: "sum", args: []argument{argEvent, argWindow}, required: 1, result: resultNumber,
		signature: "sum(event[, window])",
		summary:   "What the values of its occurrences come to.",
		exact: "The sum of the event's `value` over the newest 4,096 occurrences in (now - window, now], less their refunds; without a window over the newest 4,096 of all. " +
			"0 if there is none. An occurrence without a numeric value adds nothing. Unknown if it reaches 10^14.",
		cost:  costSeveral,
		state: stateValues,
	},
	{
		name: "avg", args: []argument{argEvent, argWindow}, required: 1, result: resultNumber,
		signature: "avg(event[, window])",
		summary:   "What the values of its occurrences are on average.",
		exact: "The sum divided by the number of occurrences that have a numeric value, rounded half to even at 4 places; window, refunds and bound as for sum(). " +
			"Unknown if no occurrence has a value.",
		cost:  costSeveral,
		state: stateValues,
	},
	{
		name: "min", args: []argument{argEvent, argWindow}, required: 1, result: resultNumber,
		signature: "min(event[, window])",
		summary:   "The least value of its occurrences.",
		exact:     "The least numeric value less its refunds; window and bound as for sum(). Unknown if no occurrence has a value.",
		cost:      costSeveral,
		state:     stateValues,
	},
	{
		name: "max", args: []argument{argEvent, argWindow}, required: 1, result: resultNumber,
		signature: "max(event[, window])",
		summary:   "The greatest value of its occurrences.",
		exact:     "The greatest numeric value less its refunds; window and bound as for sum(). Unknown if no occurrence has a value.",
		cost:      costSeveral,
		state:     stateValues,
	},
	{
		name: "days", args: []argument{argEvent, argWindow}, required: 2, result: resultNumber,
		signature: "days(event, window)",
		summary:   "On how many days the customer did it.",
		exact: "The number of distinct days, in the definition's `timezone`, that hold one of the newest 4,096 occurrences in (now - window, now]. The window is exact: it does not " +
			"begin at midnight, and a day counts until its last occurrence has left the window. 0 if there is none.",
		cost:  costSeveral,
		state: stateInstants,
		bound: "without a window it would have to remember every day for ever",
	},
	{
		name: "unique", args: []argument{argEvent, argProperty, argWindow}, required: 3, result: resultNumber,
		signature: "unique(event, property, window)",
		summary:   "How many different values a property of it had.",
		exact: "The number of different values of a top-level key of `properties` among the newest 4,096 occurrences in (now - window, now], compared by their JSON text (7 and \"7\" are one). " +
			"Missing and null are none. An event derived from another reads the other's message. Two values are taken for one with a chance below 10^-12.",
		cost:  costSeveral + "; it takes memory for the different values meanwhile",
		state: stateInstants + ", and 8 for each property that is read",
		bound: "without a window it would have to remember every value for ever",
	},
	{
		name: "favourite", args: []argument{argEvent, argProperty, argHalfLife}, required: 2, result: resultText,
		signature: "favourite(event, property[, half_life])",
		summary:   "The value that a property of it has most, the latest counting most.",
		exact: "The text of the value of a top-level key of `properties` that weighs most among the newest 4,096 occurrences. An occurrence weighs 2^-(k/1024), cut to 50 binary places, where k is how many " +
			"1024ths of the half-life (30d unless given) it lies before the newest of them, cut; so the sums are whole numbers, the same on every machine and in every order of arrival. Of equal sums the value seen last " +
			"counts, then the lesser by bytes. Values are compared by their JSON text (7 and \"7\" are one) and the result is a text; null, lists, objects and values over 256 bytes have no part. " +
			"Texts are kept of the values seen last, `favourite_values` of `limits` many (256): others have no part. All weights fall alike, so it changes with events alone. Unknown without a value. " +
			"An event derived from another reads the other's message.",
		cost:  "one step for each instant kept and a search among the values, after each event of that name and at each deadline of a condition that reads it",
		state: "the newest 4,096 instants, once per event: 2 to 7 bytes each, and 8 for the property; of each value kept its text and up to 9 bytes",
	},
	{
		name: "count_from", args: []argument{argEvent, argEvent, argWindow}, required: 3, result: resultNumber,
		signature: "count_from(anchor, event, window)",
		summary:   "How often the customer did it within a time after the first anchor.",
		exact: "The number of occurrences of the event in (first anchor, first anchor + window], of its newest 4,096. 0 without an anchor. It changes with events alone: " +
			"what has been counted stays.",
		cost:  "two binary searches in the instants kept",
		state: "the newest 4,096 instants of the event, once per event: 2 to 7 bytes each; of the anchor the first",
	},
	{
		name: "trait", args: []argument{argTrait}, required: 1, result: resultAny,
		signature: "trait(name)",
		summary:   "The value of a trait of the customer.",
		exact: "What the identify, or context.traits, with the latest event time said; at equal times the later arrival. Missing and null are unknown. " +
			"The name is a top-level key. One that `traits` declares is of its type or unknown: a numeric text is a number, a time is RFC 3339 and compares with timestamp('…').",
		cost:  "a binary search in the traits, and reading the value",
		state: stateTrait,
	},
	{
		name: "known", args: []argument{argTrait}, required: 1, result: resultBool,
		signature: "known(name)",
		summary:   "The customer has a trait.",
		exact:     "True if the trait has a value other than null, and one of its type if `traits` declares it. Never unknown.",
		cost:      "a binary search in the traits, and reading the value",
		state:     stateTrait,
	},
	{
		name: "anonymous", required: 0, result: resultBool,
		signature: "anonymous()",
		summary:   "The customer has not said who it is.",
		exact:     "True until the customer's first message with a usable userId, then false.",
		cost:      costConstant,
		state:     "one bit, which is kept anyway",
	},
	{
		name: "due", args: []argument{argTrait, argOffset}, required: 2, result: resultBool,
		signature: "due(trait, offset)",
		summary:   "A time held in a trait has come.",
		exact: "True from exactly the trait's instant plus the offset on; the offset may be negative ('-7d' is a week before). The trait is an RFC 3339 text, a date alone is midnight UTC. " +
			"Unknown if the trait is missing or no such time.",
		cost:  "a binary search in the traits, and reading the value",
		state: stateTrait,
	},
	{
		name: "in_stage", args: []argument{argModel, argStage}, required: 2, result: resultBool,
		signature: "in_stage(model, stage)",
		summary:   "The customer is in a stage.",
		exact:     "True if the model's stage is this one, as just evaluated at this instant. Models and segments must not read one another in a circle.",
		cost:      costConstant,
		state:     statePlace,
	},
	{
		name: "stage_for", args: []argument{argModel, argStage, argWindow}, required: 3, result: resultBool,
		signature: "stage_for(model, stage, window)",
		summary:   "The customer has been in a stage for some time.",
		exact:     "True from exactly since + window on, if the customer is in the stage; since is when it entered it last. A change away and back at one instant begins anew.",
		cost:      costConstant,
		state:     statePlace,
	},
	{
		name: "in_segment", args: []argument{argSegment}, required: 1, result: resultBool,
		signature: "in_segment(name)",
		summary:   "The customer is in a segment.",
		exact:     "True if the customer is in the segment, as just evaluated at this instant. Of a `by:` segment one value is named: in_segment('country=FR').",
		cost:      costConstant,
		state:     statePlace,
	},
	{
		name: "assigned", args: []argument{argCampaign, argVariant}, required: 1, result: resultBool,
		signature: "assigned(campaign[, variant])",
		summary:   "The customer was assigned in a campaign.",
		exact: "True from the assignment on, for ever, in the holdout too; with a variant only for who has that one. It sees what was just evaluated at this instant. " +
			"Campaigns, models and segments must not read one another in a circle.",
		cost:  costConstant,
		state: stateEnrolled,
	},
	{
		name: "converted", args: []argument{argCampaign, argGoal}, required: 2, result: resultBool,
		signature: "converted(campaign, goal)",
		summary:   "The customer reached a goal of a campaign.",
		exact:     "True from the first record of a conversion on, for ever, whatever round it belongs to: of a goal with `value: total` from the instant at which its window closes.",
		cost:      costConstant,
		state:     stateEnrolled,
	},
}
