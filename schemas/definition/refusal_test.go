// SPDX-License-Identifier: Apache-2.0

package definition_test

import (
	"strings"
	"testing"

	"lapwing/schemas/definition"
)

// refusals are broken definitions with every problem they must be told, in order.
var refusals = []struct {
	name   string
	source string // the minimal definition stands before it, unless it has a line `lapwing:`
	want   string
	schema bool // the JSON Schema can express it, and must refuse it too
}{
	// The contract's "check refuses".
	{"unknown key", "currencie: EUR", "6:1: the definition has no key \"currencie\"; did you mean `currency`?", true},
	{"unknown key, nothing near", "xyz: 1", "6:1: the definition has no key \"xyz\"; there are: lapwing, name, version, timezone, currency, dedupe, lateness, retain, limits, publish_from, global_holdout, params, traits, events, models, segments, campaigns, messages, sessions, aggregates", true},
	{"unknown key of an event", "events: {e: {match: A, were: x}}", "6:24: event \"e\" has no key \"were\"; did you mean `where`?", true},
	{"unknown key of a pattern", "events: {e: {match: {typ: page}}}", "6:22: `match` has no key \"typ\"; did you mean `type`?", true},
	{"unknown key of a refund", "events: {e: {match: A, key: k, refund: {match: B, keys: k, key: k}}}", "6:51: `refund` has no key \"keys\"; did you mean `key`?", true},
	{"unknown key of a stage", "models: [{name: m, stages: [{stage: a, wehn: x, when: true}]}]", "6:40: a stage has no key \"wehn\"; did you mean `when`?", true},
	{"unknown key of retain", "retain: {anonymus: 1d}", "6:9: `retain` needs the key `anonymous`\n6:10: `retain` has no key \"anonymus\"; did you mean `anonymous`?", true},
	{"duplicate key", "currency: EUR\ncurrency: USD", "7:1: duplicate key \"currency\": it stands on line 6 too; keep one of them", false},
	{"duplicate key inside", "events: {e: {match: A, match: B}}", "6:24: duplicate key \"match\": it stands on line 6 too; keep one of them", false},
	{"duplicate event", "events:\n  e: {match: A}\n  e: {match: B}", "8:3: duplicate event \"e\": it stands on line 7 too; keep one of them", false},
	{"duplicate param", "params: {p: 1, p: 2}", "6:16: duplicate param \"p\": it stands on line 6 too; keep one of them", false},
	{"duplicate model", "models:\n  - {name: m, stages: [{stage: a, when: true}]}\n  - {name: m, stages: [{stage: a, when: true}]}", "8:12: duplicate model \"m\": it stands on line 7 too; give one of them another name", false},
	{"duplicate stage", "models: [{name: m, stages: [{stage: a, when: x}, {stage: a, when: true}]}]", "6:58: duplicate stage \"a\": it stands on line 6 too; give one of them another name", false},
	{"duplicate segment", "lapwing: 1\nname: n\nversion: 1\nsegments:\n  - {name: s, when: x}\n  - {name: s, when: y}", "6:12: duplicate segment \"s\": it stands on line 5 too; give one of them another name", false},
	{"tag", "currency: !!str EUR", "6:11: YAML tags are not allowed; quote a text that begins with !", false},
	{"condition that begins with !", "models: [{name: m, stages: [{stage: a, when: !known('x')}]}]", "6:46: YAML tags are not allowed; quote a text that begins with !", false},
	{"condition that begins with ! and has blanks", "models:\n  - name: m\n    stages:\n      - stage: a\n        when: !in_stage('a', 'b') && x", "10:15: YAML tags are not allowed; quote a text that begins with !", false},
	{"anchor and alias", "dedupe: &a 1d\nlateness: *a", "6:9: YAML anchors are not allowed; quote a text that begins with &\n7:11: YAML aliases are not allowed; quote a text that begins with *", false},
	{"merge key", "events: {a: {match: X, <<: {key: k}}}", "6:24: YAML merge keys are not allowed", false},
	{"explicit key", "? currency\n: EUR", "6:1: keys introduced by ? are not allowed; quote a text that begins with ?", false},
	{"directive", "lapwing: 1\n", "", false}, // replaced below
	{"two documents", "---\nlapwing: 1", "6:1: a second document begins here: a file holds one definition", false},
	{"empty condition", "models: [{name: m, stages: [{stage: a, when: \"\"}, {stage: b, when: ' '}]}]", "6:46: `when` is empty: write something between the quotes\n6:68: `when` is empty: write something between the quotes", true},
	{"condition left blank", "models:\n  - name: m\n    stages:\n      - stage: a\n        when:", "10:9: `when` has no value: write one behind the colon", true},
	{"condition no text", "models: [{name: m, stages: [{stage: a, when: [x]}]}]", "6:46: `when` must be a text, not a list", true},
	{"empty where", "events: {e: {match: A, where: ''}}", "6:31: `where` is empty: write something between the quotes", true},

	// What YAML makes of a condition that needs quotes.
	{"condition that begins with a quote", "models:\n  - name: m\n    stages:\n      - stage: a\n        when: 'a' == 'b'", "10:19: the value ended before this; quote a text that begins with a quote as a whole, such as \"'a' == 'b'\"", false},
	{"condition that begins with a quote in braces", "models: [{name: m, stages: [{stage: a, when: 'a' == 'b'}]}]", "6:50: the text ends before this, at its quote; quote a text that begins with a quote as a whole, such as \"'a' == 'b'\"", false},
	{"condition that begins with a double quote in braces", "params: {p: \"a\" == 'b', q: 1}", "6:17: the text ends before this, at its quote; quote a text that begins with a quote as a whole, such as \"'a' == 'b'\"", false},
	{"match that begins with a quote in brackets", "events: {e: {match: ['A' B]}}", "6:26: the text ends before this, at its quote; quote a text that begins with a quote as a whole, such as \"'a' == 'b'\"", false},
	{"a brace that is missing", "events:\n  e: {match: 'A'\n  f: {match: B}", "8:3: a comma or the closing } is missing before this", false},
	{"condition with a colon", "models:\n  - name: m\n    stages:\n      - stage: a\n        when: x ? a: b", "10:15: a second `: ` stands in this value; quote a text that contains `: `", false},
	{"condition with a comma in braces", "models: [{name: m, stages: [{stage: a, when: f(a, b)}]}]", "6:46: the last stage must be for everybody left: its `when` must be true, not \"f(a\"; put a stage behind it that is for the others\n6:51: \"b)\" has no value; in braces, quote a text that contains a comma", false},
	{"condition with a quote and a comma in braces", "models: [{name: m, stages: [{stage: a, when: f('a', 'b')}]}]", "6:53: this is no `key: value`; in braces, quote a text that contains a comma", false},
	{"condition with a comment inside", "models:\n  - name: m\n    stages:\n      - stage: a\n        when: x == ' #b'\n      - {stage: b, when: true}", "10:22: a comment begins here, inside a quoted text: quote `when` as a whole", false},
	{"where with a comment inside", "events:\n  e:\n    match: A\n    where: name == \"it's #b\"", "9:26: a comment begins here, inside a quoted text: quote `where` as a whole", false},
	{"condition with a comment inside, in braces", "events:\n  e: {match: A, where: name == 'x #y'}\n  f: {match: B}", "7:35: a comment begins here, inside a quoted text: quote the text as a whole", false},
	{"condition with a comment inside, in the last braces", "events:\n  e: {match: A, where: name == 'x #y'}", "7:35: a comment begins here, inside a quoted text: quote the text as a whole", false},
	{"condition with a comment inside, in brackets", "events: {e: {match: A}}\nmodels: [x == 'b #y']", "7:18: a comment begins here, inside a quoted text: quote the text as a whole", false},
	{"a comment inside that is not what is wrong", "events:\n  e: {match: 'A' B}\n  f: {match: C, where: 'x #y'\n    }", "7:18: the text ends before this, at its quote; quote a text that begins with a quote as a whole, such as \"'a' == 'b'\"", false},

	// Header.
	{"nothing", "lapwing:\n", "1:1: `lapwing` has no value: write one behind the colon\n1:1: the definition needs the key `name`\n1:1: the definition needs the key `version`\n1:1: the definition has neither `models` nor `segments`: there is nothing to compute", true},
	{"another format", "lapwing: 2\nname: n\nversion: 1\nsegments: [{name: s, when: x}]", "1:10: format \"2\" is not known: this version reads `lapwing: 1`", true},
	{"no mapping", "- lapwing: 1", "1:1: the definition must be a mapping with `lapwing`, `name`, `version`, `timezone`, `currency`, `dedupe`, `lateness`, `retain`, `limits`, `publish_from`, `global_holdout`, `params`, `traits`, `events`, `models`, `segments`, `campaigns`, `messages`, `sessions` or `aggregates`, not a list", true},
	{"empty", "# lapwing: nothing\n", "1:1: the file is empty: it must begin with `lapwing: 1`", false},
	{"name", "lapwing: 1\nname: Customer\nversion: 1\nsegments: [{name: s, when: x}]", "2:7: definition \"Customer\" is no name: expected a to z first, then a to z, 0 to 9, _ and -, at most 63 characters; did you mean `customer`?", true},
	{"name too long", "lapwing: 1\nname: " + strings.Repeat("n", 64) + "\nversion: 1\nsegments: [{name: s, when: x}]", "2:7: definition \"" + strings.Repeat("n", 60) + "…\" is no name: expected a to z first, then a to z, 0 to 9, _ and -, at most 63 characters", true},
	{"version 0", "lapwing: 1\nname: n\nversion: 0\nsegments: [{name: s, when: x}]", "3:10: version \"0\" is not a whole number from 1, written plainly, such as `version: 2`", true},
	{"version 1.5", "lapwing: 1\nname: n\nversion: 1.5\nsegments: [{name: s, when: x}]", "3:10: version \"1.5\" is not a whole number from 1, written plainly, such as `version: 2`", true},
	{"version quoted", "lapwing: 1\nname: n\nversion: '2'\nsegments: [{name: s, when: x}]", "3:11: version \"2\" is not a whole number from 1, written plainly, such as `version: 2`", true},
	{"version with a leading zero", "lapwing: 1\nname: n\nversion: 010\nsegments: [{name: s, when: x}]", "3:10: version \"010\" begins with a 0, and to some readers of YAML is another number; did you mean `10`?", false},
	{"version hexadecimal", "lapwing: 1\nname: n\nversion: 0x1F\nsegments: [{name: s, when: x}]", "3:10: version \"0x1F\" is not a whole number from 1, written plainly, such as `version: 2`", false},
	{"timezone", "timezone: Mars/Olympus", "6:11: time zone \"Mars/Olympus\" is not known: expected a name such as UTC or Europe/Berlin", false},
	{"timezone of the machine", "timezone: Local", "6:11: time zone \"Local\" is not known: expected a name such as UTC or Europe/Berlin", true},
	{"currency", "currency: euro", "6:11: currency \"euro\" is no ISO 4217 code: expected three capitals, such as EUR; did you mean `EUR`?", true},
	{"duration without unit", "dedupe: 7", "6:9: `dedupe`: \"7\" is no duration: write a whole number and s, m, h, d or w, such as 15m, 24h, 90d, 2w; did you mean `7d`?", true},
	{"duration in months", "dedupe: 7mo", "6:9: `dedupe`: \"7mo\" is no duration: write a whole number and s, m, h, d or w, such as 15m, 24h, 90d, 2w; did you mean `210d`?", true},
	{"duration below 0", "lateness: -1m", "6:11: `lateness`: \"-1m\" is no duration: write a whole number and s, m, h, d or w, such as 15m, 24h, 90d, 2w", true},
	{"duration too long", "lateness: 3661d", "6:11: `lateness`: 3661d is too long: at most 3660d", false},
	{"duration far too long", "lateness: 99999999999999999999999w", "6:11: `lateness`: 99999999999999999999999w is too long: at most 3660d", false},
	{"retention of nothing", "retain: {anonymous: 0d}", "6:21: `anonymous` must be longer than 0, and is 0d", true},
	{"retention no mapping", "retain: 90d", "6:9: `retain` must be a mapping with `anonymous`, not a text", true},
	{"limits no mapping", "limits: 5", "6:9: `limits` must be a mapping with `traits`, `trait_bytes`, `held`, `held_bytes`, `by_values` or `favourite_values`, not a text", true},
	{"limits of nothing", "limits: {}", "6:9: `limits` is empty: set one, or take the key out", true},
	{"unknown key of limits", "limits: {trait: 5}", "6:10: `limits` has no key \"trait\"; did you mean `traits`?", true},
	{"limit of none", "limits: {traits: 0, by_values: 0, held: 0}", "6:18: `traits` is 0: expected 1 to 10000\n6:32: `by_values` is 0: expected 1 to 10000\n6:41: `held` is 0: expected 1 to 100000", true},
	{"limit below none", "limits: {held: -1}", "6:16: `held` is -1: expected 1 to 100000", true},
	{"limit too large", "limits: {traits: 10001, trait_bytes: 2MiB, held_bytes: 99999999999MiB}", "6:18: `traits` is 10001: expected 1 to 10000\n6:38: `trait_bytes` is 2MiB: expected 1 to 1MiB\n6:56: `held_bytes` is 99999999999MiB: expected 1 to 4MiB", true},
	{"limit with a wrong unit", "limits: {trait_bytes: 64KB, held_bytes: 1.5MiB, traits: 1KiB}", "6:23: `trait_bytes`: \"64KB\" is no size: write a whole number of bytes, or one with KiB or MiB, such as 64KiB\n6:41: `held_bytes`: \"1.5MiB\" is no size: write a whole number of bytes, or one with KiB or MiB, such as 64KiB\n6:57: `traits`: \"1KiB\" is no whole number", true},
	{"limit as a text", "limits: {held: '5', trait_bytes: '64'}", "6:17: `held`: \"5\" is no whole number\n6:35: `trait_bytes`: \"64\" is no size: write a whole number of bytes, or one with KiB or MiB, such as 64KiB", true},
	{"publish_from", "publish_from: 2026-02-30", "6:15: `publish_from` \"2026-02-30\" is no time from 1970 to 2200: expected RFC 3339, such as 2026-03-01T00:00:00Z, or a date", false},
	{"publish_from in the year 10000", "publish_from: 10000-01-01T00:00:00Z", "6:15: `publish_from` \"10000-01-01T00:00:00Z\" is no time from 1970 to 2200: expected RFC 3339, such as 2026-03-01T00:00:00Z, or a date", true},
	{"no value", "currency:\ntimezone: ~", "6:1: `currency` has no value: write one behind the colon\n7:1: `timezone` has no value: write one behind the colon", true},
	{"global_holdout", "global_holdout: 5", "6:17: `global_holdout`: \"5\" is no share: write a percentage with at most 2 decimals, such as 10% or 2.5%", true},

	// Params.
	{"params no mapping", "params: [1]", "6:9: `params` must be a mapping of names to values, not a list", true},
	{"param's name", "params: {Big: 1}", "6:10: param \"Big\" is no name: expected a to z first, then a to z, 0 to 9, _ and -, at most 63 characters; did you mean `big`?", true},
	{"param with a minus", "params: {a-b: 1}", "6:11: param \"a-b\" has a -, which conditions would read as minus: use _", true},
	{"param without value", "params: {a: }", "6:10: param \"a\" has no value: write a number, a text, a duration or a boolean", true},
	{"param of a list", "params: {a: [1]}", "6:13: param \"a\" must be a number, a text, a duration or a boolean, not a list", true},
	{"param no number", "params: {a: 1_000}", "6:13: param \"a\": \"1_000\" is neither a number (such as 500 or 0.25, below 10^14) nor a duration (such as 90d, at most 3660d); quote it if it is a text; did you mean `1000`?", false},
	{"param too large", "params: {a: 100000000000000}", "6:13: param \"a\": \"100000000000000\" is neither a number (such as 500 or 0.25, below 10^14) nor a duration (such as 90d, at most 3660d); quote it if it is a text", true},

	// Traits.
	{"traits no mapping", "traits: [age]", "6:9: `traits` must be a mapping of names to types, not a list", true},
	{"trait without type", "traits: {age: }", "6:10: trait \"age\" has no type: expected `number`, `text`, `bool`, `time` or `list`", true},
	{"trait of no type", "traits: {age: numbr, vip: boolean, tags: [a]}", "6:15: trait \"age\": \"numbr\" is no type: expected `number`, `text`, `bool`, `time` or `list`; did you mean `number`?\n6:27: trait \"vip\": \"boolean\" is no type: expected `number`, `text`, `bool`, `time` or `list`\n6:42: trait \"tags\" must be a text, not a list", true},
	{"trait twice", "traits: {age: number, age: text}", "6:23: duplicate trait \"age\": it stands on line 6 too; keep one of them", false},

	// Events.
	{"events no mapping", "events: [e]", "6:9: `events` must be a mapping of names to events, not a list", true},
	{"event's name", "events: {Purchase: {match: A}}", "6:10: event \"Purchase\" is no name: expected a to z first, then a to z, 0 to 9, _ and -, at most 63 characters; did you mean `purchase`?", true},
	{"event of nothing", "events:\n  e:", "7:3: event \"e\" has no value: give it a `match`, such as {match: Order Completed}, or a `from` and a `gap`", true},
	{"event without match", "events: {e: {}}", "6:10: event \"e\" needs the key `match`, or `from` and `gap`", true},
	{"event as a text", "events: {e: Order Completed}", "6:13: event \"e\" must be a mapping with `match`, `where`, `value`, `key`, `refund`, `from`, `gap`, `first` or `resolution`, not a text", true},
	{"match of an empty list", "events: {e: {match: []}}", "6:21: `match` is empty: list at least one", true},
	{"match of nothing", "events: {e: {match: {}}}", "6:21: `match` is empty: it would fit every message; give it a `type`, `event` or `name`", true},
	{"match of an empty text", "events: {e: {match: ''}}", "6:21: `match` is empty: write something between the quotes", true},
	{"match in a list of lists", "events: {e: {match: [[A]]}}", "6:22: `match` must be an event's name, a mapping with `type`, `event` or `name`, or a list of these, not a list", true},
	{"derived with match", "events: {a: {match: A}, e: {from: a, gap: 1h, match: A, where: x, value: v, key: k, refund: {match: R, key: k}}}", "6:47: event \"e\" is derived by `from` and has no `match` of its own: take it out, or put it on the source\n6:57: event \"e\" is derived by `from` and has no `where` of its own: take it out, or put it on the source\n6:67: event \"e\" is derived by `from` and has no `value` of its own: take it out, or put it on the source\n6:77: event \"e\" is derived by `from` and has no `key` of its own: take it out, or put it on the source\n6:85: event \"e\" is derived by `from` and has no `refund` of its own: take it out, or put it on the source", true},
	{"derived without gap", "events: {a: {match: A}, e: {from: a}}", "6:25: event \"e\" needs the key `gap`", true},
	{"gap of nothing", "events: {a: {match: A}, e: {from: a, gap: 0s}}", "6:43: `gap` must be longer than 0, and is 0s", true},
	{"gap without from", "events: {a: {match: A, gap: 1h, first: true}}", "6:24: `gap` goes with `from`, which event \"a\" does not have: take it out\n6:33: `first` goes with `from`, which event \"a\" does not have: take it out", true},
	{"first no boolean", "events: {a: {match: A}, e: {from: a, gap: 1h, first: 1}}", "6:54: `first` must be true or false, not \"1\"", true},
	{"from nowhere", "events: {visit: {match: A}, e: {from: vist, gap: 1h}}", "6:39: event \"vist\" is not defined; did you mean `visit`?", false},
	{"from itself", "events: {e: {from: e, gap: 1h}}", "6:20: event \"e\" comes from itself, in a circle: one of the events in it needs a `match` in place of its `from`", false},
	{"from in a circle", "events: {a: {from: b, gap: 1h}, b: {from: c, gap: 1h}, c: {from: a, gap: 1h}, d: {from: a, gap: 1h}}", "6:66: event \"a\" comes from itself, in a circle: one of the events in it needs a `match` in place of its `from`", false},
	{"resolution", "events: {e: {match: A, resolution: 1d}}", "6:36: `resolution` \"1d\" is not known: the only one is 1h", true},
	{"refund without key", "events: {e: {match: A, refund: {match: B}}}", "6:24: event \"e\" needs a `key`, by which a refund finds its occurrence\n6:32: `refund` needs the key `key`", true},
	{"refund without match", "events: {e: {match: A, key: k, refund: {key: k}}}", "6:40: `refund` needs the key `match`", true},

	// Models and segments.
	{"models empty", "models: []", "6:9: `models` is empty: list at least one", true},
	{"model without all", "models: [{}]", "6:10: a model needs the key `name`\n6:10: a model needs the key `stages`", true},
	{"stages empty", "models: [{name: m, stages: []}]", "6:28: `stages` is empty: list at least one", true},
	{"last stage's when", "models: [{name: m, stages: [{stage: a, when: x}]}]", "6:46: the last stage must be for everybody left: its `when` must be true, not \"x\"; put a stage behind it that is for the others", false},
	{"order lists one twice", "models: [{name: m, stages: [{stage: a, when: x}, {stage: b, when: true}], order: [a, b, a]}]", "6:89: `order` lists stage \"a\" twice: it stands on line 6 too; keep one of them", true},
	{"order forgets one", "models: [{name: m, stages: [{stage: a, when: x}, {stage: b, when: true}], order: [b]}]", "6:75: `order` must list every stage, worst to best: \"a\" is missing", false},
	{"order knows another", "models: [{name: m, stages: [{stage: lost, when: x}, {stage: b, when: true}], order: [lost, b, losst]}]", "6:95: the model has no stage \"losst\"; did you mean `lost`?", false},
	{"churned knows another", "models: [{name: m, stages: [{stage: a, when: true}], churned: [b], at_risk: [c]}]", "6:64: the model has no stage \"b\"; there are: a\n6:78: the model has no stage \"c\"; there are: a", false},
	{"churned no list", "models: [{name: m, stages: [{stage: a, when: true}], churned: a}]", "6:63: `churned` must be a list, not a text", true},
	{"segment with both", "lapwing: 1\nname: n\nversion: 1\nsegments: [{name: s, when: x, by: y}]", "4:31: segment \"s\" has both `when` and `by`: one of them must go", true},
	{"segment with neither", "lapwing: 1\nname: n\nversion: 1\nsegments: [{name: s}]", "4:12: segment \"s\" needs the key `when` or `by`", true},
	{"segments no list", "lapwing: 1\nname: n\nversion: 1\nsegments: {s: x}", "4:11: `segments` must be a list, not a mapping", true},
	{"message without all", "messages: [{match: A}]", "6:12: a message needs the key `channel`\n6:12: a message needs the key `step`\n6:12: a message needs the key `campaign`", true},

	// Sessions and aggregates.
	{"sessions without a gap", "sessions: {}", "6:11: `sessions` needs the key `gap`", true},
	{"sessions that never go on", "sessions: {gap: 0s}", "6:17: `gap` must be longer than 0, and is 0s", true},
	{"aggregates of nothing", "aggregates: {}", "6:13: `aggregates` is empty: give it `by` or `close_after`, or take the key out", true},
	{"aggregates by nothing", "aggregates: {by: []}", "6:18: `by` is empty: list at least one", true},
	{"aggregates by what is not there", "aggregates: {by: [al]}", "6:19: there is no segment \"al\"; did you mean `all`?", false},
	{"aggregates by one twice", "aggregates: {by: [all, all]}", "6:24: segment \"all\" is listed on line 6 already", true},
	{"aggregates that close at once", "aggregates: {close_after: 0d}", "6:27: `close_after` must be longer than 0, and is 0d", true},

	// Campaigns.
	{"campaigns no list", "campaigns: {c: x}", "6:12: `campaigns` must be a list, not a mapping", true},
	{"campaign without all", "campaigns: [{}]", "6:13: a campaign needs the key `name`\n6:13: a campaign needs the key `audience` or `assigned`", true},
	{"campaign twice", "campaigns: [{name: c, audience: x, variants: {a: 100%}}, {name: c, audience: x, variants: {a: 100%}}]", "6:65: duplicate campaign \"c\": it stands on line 6 too; give one of them another name", false},
	{"audience and assigned", "campaigns: [{name: c, audience: x, variants: {a: 100%}, assigned: {match: A}}]", "6:57: campaign \"c\" has both `audience` and `assigned`: one of them must go", true},
	{"audience without variants", "campaigns: [{name: c, audience: x}]", "6:13: campaign \"c\" needs the key `variants`, such as {a: 90%} beside a holdout of 10%", true},
	{"assigned with what belongs to an audience", "campaigns: [{name: c, assigned: {match: A}, salt: s, exclude: [d], consent: email}, {name: d, assigned: {match: B}}]", "6:45: `salt` goes with `audience`: who is assigned by another system is not chosen here; take it out\n6:54: `exclude` goes with `audience`: who is assigned by another system is not chosen here; take it out\n6:68: `consent` goes with `audience`: who is assigned by another system is not chosen here; take it out", true},
	{"assigned without match", "campaigns: [{name: c, assigned: {where: x}}]", "6:33: `assigned` needs the key `match`", true},
	{"shares below the whole", "campaigns: [{name: c, audience: x, holdout: 10%, variants: {a: 89.99%}}]", "6:50: the shares of campaign \"c\" and its holdout sum to 99.99%: they must sum to 100%", false},
	{"shares beyond the whole", "campaigns: [{name: c, audience: x, holdout: 10%, variants: {a: 90%, b: 1%}}]", "6:50: the shares of campaign \"c\" and its holdout sum to 101%: they must sum to 100%", false},
	{"share without percent", "campaigns: [{name: c, audience: x, holdout: 10, variants: {a: 0.9}}]", "6:45: `holdout`: \"10\" is no share: write a percentage with at most 2 decimals, such as 10% or 2.5%\n6:63: variant \"a\": \"0.9\" is no share: write a percentage with at most 2 decimals, such as 10% or 2.5%", true},
	{"share of three decimals", "campaigns: [{name: c, audience: x, variants: {a: 33.333%, b: {share: 66.667%}}}]", "6:50: variant \"a\": \"33.333%\" is no share: write a percentage with at most 2 decimals, such as 10% or 2.5%\n6:70: `share`: \"66.667%\" is no share: write a percentage with at most 2 decimals, such as 10% or 2.5%", true},
	{"share beyond all", "campaigns: [{name: c, audience: x, variants: {a: 101%}}]", "6:50: variant \"a\": 101% is more than all: a share is at most 100%", true},
	{"share below none", "campaigns: [{name: c, audience: x, variants: {a: -1%}}]", "6:50: variant \"a\": \"-1%\" is no share: write a percentage with at most 2 decimals, such as 10% or 2.5%", true},
	{"variant called holdout", "campaigns: [{name: c, audience: x, variants: {holdout: 10%, a: 90%}}]", "6:47: `holdout` is no variant: put its share beside `variants`", false},
	{"variant's name", "campaigns: [{name: c, audience: x, variants: {A: 100%}}]", "6:47: variant \"A\" is no name: expected a to z first, then a to z, 0 to 9, _ and -, at most 63 characters; did you mean `a`?", true},
	{"variant twice", "campaigns: [{name: c, audience: x, variants: {a: 100%, a: 100%}}]", "6:56: duplicate variant \"a\": it stands on line 6 too; keep one of them", false},
	{"variant without share", "campaigns: [{name: c, audience: x, variants: {a: {length: short}, b: }}]", "6:47: variant \"a\" needs the key `share`\n6:67: variant \"b\" has no share: write one, such as 45%", true},
	{"variant of a list", "campaigns: [{name: c, audience: x, variants: {a: [1]}}]", "6:50: variant \"a\" must be a share, such as 45%, or a mapping with `share` and its properties, not a list", true},
	{"a property's name", "campaigns: [{name: c, audience: x, variants: {a: {share: 100%, Length: [1]}}}]", "6:64: property \"Length\" is no name: expected a to z first, then a to z, 0 to 9, _ and -, at most 63 characters; did you mean `length`?\n6:72: property \"Length\" must be a text, not a list", true},
	{"no variants", "campaigns: [{name: c, audience: x, variants: {}}]", "6:46: `variants` is empty: name at least one, such as {a: 90%}", true},
	{"variants no mapping", "campaigns: [{name: c, audience: x, variants: [a]}]", "6:46: `variants` must be a mapping of names to shares, not a list", true},
	{"goals empty", "campaigns: [{name: c, audience: x, variants: {a: 100%}, goals: []}]", "6:64: `goals` is empty: list at least one", true},
	{"goal without all", "campaigns: [{name: c, audience: x, variants: {a: 100%}, goals: [{}]}]", "6:65: a goal needs the key `name`\n6:65: a goal needs the key `event` or `when`\n6:65: a goal needs the key `within`", true},
	{"goal with both", "events: {e: {match: A}}\ncampaigns: [{name: c, audience: x, variants: {a: 100%}, goals: [{name: g, event: e, when: y, within: 1d}]}]", "7:85: goal \"g\" has both `event` and `when`: one of them must go", true},
	{"goal twice", "events: {e: {match: A}}\ncampaigns: [{name: c, audience: x, variants: {a: 100%}, goals: [{name: g, event: e, within: 1d}, {name: g, event: e, within: 2d}]}]", "7:105: duplicate goal \"g\": it stands on line 7 too; give one of them another name", false},
	{"goal of an event that is not there", "events: {purchase: {match: A}}\ncampaigns: [{name: c, audience: x, variants: {a: 100%}, goals: [{name: g, event: purchse, within: 1d}]}]", "7:82: event \"purchse\" is not defined; did you mean `purchase`?", false},
	{"goal of a condition with a value", "campaigns: [{name: c, audience: x, variants: {a: 100%}, goals: [{name: g, when: y, within: 1d, value: first, baseline: true}]}]", "6:96: `value` goes with `event`, which goal \"g\" does not have: take it out\n6:110: `baseline` goes with `event`, which goal \"g\" does not have: take it out", true},
	{"goal's value", "events: {e: {match: A}}\ncampaigns: [{name: c, audience: x, variants: {a: 100%}, goals: [{name: g, event: e, within: 0d, value: totl, baseline: yes}]}]", "7:93: `within` must be longer than 0, and is 0d\n7:104: `value` \"totl\" is not known: expected `first` or `total`; did you mean `total`?\n7:120: `baseline` must be true or false, not \"yes\"", true},
	{"first against a baseline", "events: {e: {match: A}}\ncampaigns: [{name: c, audience: x, variants: {a: 100%}, goals: [{name: g, event: e, within: 1d, value: first, baseline: true}]}]", "7:97: goal \"g\" compares two windows: its `value` can be `total`, or left out to count, not `first`", false},
	{"end before start", "campaigns: [{name: c, audience: x, variants: {a: 100%}, start: 2026-03-01, end: 2026-03-01}]", "6:76: campaign \"c\" ends before it starts: `end` must be later than `start`", false},
	{"start no time", "campaigns: [{name: c, audience: x, variants: {a: 100%}, start: soon}]", "6:64: `start` \"soon\" is no time from 1970 to 2200: expected RFC 3339, such as 2026-03-01T00:00:00Z, or a date", true},
	{"every of nothing", "campaigns: [{name: c, audience: x, variants: {a: 100%}, every: 0d}]", "6:64: `every` must be longer than 0, and is 0d", true},
	{"excluded itself, another twice, and none", "campaigns: [{name: c, audience: x, variants: {a: 100%}, exclude: [c, d, d, e]}, {name: d, audience: x, variants: {a: 100%}}]", "6:67: campaign \"c\" excludes itself: who was assigned is assigned again only with `every`; take it out\n6:73: `exclude` lists campaign \"d\" twice: it stands on line 6 too; keep one of them\n6:76: campaign \"e\" is not defined; there are: c, d", true},
	{"max of nothing", "campaigns: [{name: c, audience: x, variants: {a: 100%}, every: 1d, max: 0}]", "6:73: `max` \"0\" is no whole number from 1: it is how often one customer is assigned at most", true},
	{"cost of nothing", "campaigns: [{name: c, audience: x, variants: {a: 100%}, cost: {}}]", "6:63: `cost` is empty: give it an `amount` and what it is `per`, or what is `fixed`", true},
	{"cost per without amount", "campaigns: [{name: c, audience: x, variants: {a: 100%}, cost: {per: sent}}, {name: d, audience: x, variants: {a: 100%}, cost: {amount: 1}}]", "6:64: `per` needs the key `amount` beside it\n6:128: `amount` needs the key `per` beside it", true},
	{"cost below nothing", "campaigns: [{name: c, audience: x, variants: {a: 100%}, cost: {fixed: -1, currency: euro}}]", "6:71: `fixed`: \"-1\" is no amount: write a number from 0, such as 500 or 0.002\n6:85: currency \"euro\" is no ISO 4217 code: expected three capitals, such as EUR; did you mean `EUR`?", true},
	{"margin no share", "campaigns: [{name: c, audience: x, variants: {a: 100%}, margin: 0.4}]", "6:65: `margin`: \"0.4\" is no share: write a percentage with at most 2 decimals, such as 10% or 2.5%", true},
	{"unknown key of a campaign", "campaigns: [{name: c, audience: x, variants: {a: 100%}, hodlout: 10%}]", "6:57: a campaign has no key \"hodlout\"; did you mean `holdout`?", true},
	// What is no text, or no YAML.
	{"NUL", "currency: E\x00R", "6:12: the control character U+0000 is not allowed", false},
	{"NUL by escape", `currency: "EU\0"`, "6:12: currency \"EU\\x00\" is no ISO 4217 code: expected three capitals, such as EUR\n6:14: the text holds a character that is not allowed (NUL, or no character at all)", false},
	{"invalid UTF-8", "currency: é\xff", "6:12: the file is not valid UTF-8 here", false},
	{"a quote that does not end", "currency: 'EUR", "6:11: a text begins with ' here and does not end: the closing ' is missing", false},
	{"a bracket that does not end", "models: [", "6:9: [ is opened here and not closed: ] is missing", false},
	{"tab as indentation", "events:\n\te: {match: A}", "7:1: a tab stands here where only spaces may: YAML is indented with spaces", false},
	{"tab after spaces", "models:\n  - name: m\n  \tstages: []", "8:3: a tab stands here where only spaces may: YAML is indented with spaces", false},
	{"tab after a dash", "models:\n  -\tname: m", "7:4: a tab stands here where only spaces may: YAML is indented with spaces", false},
	{"tab before a dash", "models:\n\t- name: m", "7:1: a tab stands here where only spaces may: YAML is indented with spaces", false},
	{"tab in a block text", "currency: |\n\tEUR", "7:1: a tab stands here where only spaces may: YAML is indented with spaces", false},
	{"tab in a quoted text", "params:\n  a: \"b\n\tc\"", "8:1: a tab stands here where only spaces may: YAML is indented with spaces", false},
	{"reserved character", "currency: @EUR", "6:11: '@' is a reserved character; quote a text that begins with it", false},
	{"key too long", strings.Repeat("k", 64) + ": 1", "6:1: a key of 64 characters: at most 63 are allowed", true},
}

// whole is the file of a case of refusals.
func whole(source string) string {
	if strings.Contains(source, "lapwing:") && !strings.HasPrefix(source, "---") {
		return source
	}
	return minimal + source + "\n"
}

func TestRefusals(t *testing.T) {
	for _, c := range refusals {
		t.Run(c.name, func(t *testing.T) {
			source := whole(c.source)
			if c.name == "directive" {
				source, c.want = "%YAML 1.2\n---\n"+minimal, "1:1: YAML directives are not allowed; quote a text that begins with %"
			}
			d, problems := definition.Parse("def.yaml", []byte(source))
			if got := strings.TrimSuffix(report(problems), "\n"); got != c.want {
				t.Errorf("problems:\n%s\nwant:\n%s\nof:\n%s", got, c.want, source)
			}
			if d != nil {
				t.Error("a definition was returned in spite of them")
			}
		})
	}
}

func TestAStageThatHidesTheOthersIsAWarning(t *testing.T) {
	d, problems := definition.Parse("def.yaml", []byte(minimal+"models: [{name: m, stages: [{stage: a, when: true}, {stage: b, when: true}]}]\n"))
	const want = "6:46: warning: `when` is always true: the stages after \"a\" can never hold\n"
	if got := report(problems); got != want || d == nil {
		t.Errorf("problems:\n%swant:\n%s(definition: %v)", got, want, d != nil)
	}
}

func TestEverythingAtOnce(t *testing.T) {
	const source = `lapwing: 1
nmae: everything
version: -1
currency: dollars
events:
  Purchase: {match: Order Completed}
  session: {from: visits, gap: soon}
models:
  - name: value
    stages:
      - {stage: a, when: ""}
      - {stage: a, when: "true"}
`
	_, problems := definition.Parse("def.yaml", []byte(source))
	lines := map[int]int{}
	for _, p := range problems {
		lines[p.Pos.Line]++
	}
	// Line 1 for the missing name; two on line 7.
	want := map[int]int{1: 1, 2: 1, 3: 1, 4: 1, 6: 1, 7: 2, 11: 1, 12: 1}
	if len(problems) != 9 {
		t.Errorf("%d problems, want 9", len(problems))
	}
	for line, n := range want {
		if lines[line] != n {
			t.Errorf("line %d: %d problems, want %d:\n%s", line, lines[line], n, report(problems))
		}
	}
}

func TestAFileOfMoreThan1MiBIsRefusedWhateverItsSize(t *testing.T) {
	const want = "1:1: the file has more than 1 MiB, which is the most that a definition may have\n"
	most := minimal + strings.Repeat("#", 1<<20-len(minimal))
	if d, problems := definition.Parse("def.yaml", []byte(most)); d == nil {
		t.Errorf("refused at 1 MiB:\n%s", report(problems))
	}
	for _, more := range []int{1, 1 << 20} {
		d, problems := definition.Parse("def.yaml", []byte(most+strings.Repeat("#", more)))
		if got := report(problems); got != want || d != nil {
			t.Errorf("%d bytes more: problems:\n%swant:\n%s(definition: %v)", more, got, want, d != nil)
		}
	}
}

// A quote inside a quoted text of the other kind does not begin one.
func TestACommentAfterAConditionIsFine(t *testing.T) {
	for _, when := range []string{`known('a')`, `trait('a') == "it's"`, `trait('a') == 'the "b'`, `trait('a') == 'it\'s'`} {
		d := mustParse(t, minimal+"  - name: s\n    when: "+when+" # why\n")
		if got := d.Segments[1].When.Value; got != when {
			t.Errorf("read as %q, want %q", got, when)
		}
	}
}
