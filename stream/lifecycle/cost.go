// SPDX-License-Identifier: Apache-2.0

package lifecycle

// A message's expressions read what strangers wrote: lists within lists, texts as long
// as a message. What they cost is counted, by what is looked at and what is made, and
// bounded for all expressions over one message together. Beyond it everything read is
// unknown. The count depends on message and definition alone, never on time.
//
// Conditions read the customer, whose parts are bounded: they cost nothing here.

const (
	// messageBudget is what the expressions over one message may cost together: some
	// 25 MB looked at, or 6 MB of texts made, at most tens of milliseconds.
	messageBudget = 100_000
	// readBytes and madeBytes are what costs as much as one step.
	readBytes = 256
	madeBytes = 64
)

// spend takes a cost off the message's budget; false if there is none left.
func (ev *eval) spend(cost int) bool {
	if ev.msg == nil {
		return true
	}
	ev.budget -= cost
	return ev.budget >= 0
}

// read is a value of the message. What is shorter than a step's bytes costs nothing.
func (ev *eval) read(raw []byte) value {
	if len(raw) >= readBytes && !ev.spend(len(raw)/readBytes) {
		return value{}
	}
	return fromJSON(raw)
}

// field is an object's member.
func (ev *eval) field(v value, name string) value {
	if !ev.spend(1 + len(v.raw)/readBytes) {
		return value{}
	}
	return v.field(name)
}

// each calls fn with a list's members until it returns false. It is false itself if
// the budget ends before that.
func (ev *eval) each(list value, fn func(value) bool) (whole bool) {
	whole = true
	list.each(func(v value) bool {
		if !ev.spend(1 + (len(v.raw)+len(v.s))/readBytes) {
			whole = false
			return false
		}
		return fn(v)
	})
	return whole
}

// elements are a list's members, all of them in memory; ok is false if the budget
// ends before that.
func (ev *eval) elements(list value) (out []value, ok bool) {
	if list.raw == nil {
		return list.list, ev.spend(1 + len(list.list))
	}
	ok = ev.each(list, func(v value) bool {
		out = append(out, v)
		return true
	})
	return out, ok
}

// equal compares two values.
func (ev *eval) equal(a, b value) tri {
	if !ev.spend(a.weight() + b.weight()) {
		return unknown
	}
	return equal(a, b)
}

// weight is what it costs to compare a value: lists and objects are taken apart.
func (v value) weight() int {
	switch {
	case v.kind == isText:
		return len(v.s) / readBytes
	case v.kind != isList && v.kind != isObject:
		return 0
	case v.raw != nil:
		return len(v.raw) / 2
	}
	sum := len(v.list)
	for i := range v.list {
		sum += v.list[i].weight()
	}
	return sum
}
