// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"slices"

	"lapwing/schemas/definition"
	"lapwing/schemas/event"
	"lapwing/schemas/record"
)

// exposureDef is one of the definition's `messages`: what tells that something was shown
// to a customer, or what became of it.
type exposureDef struct {
	match         []definition.Match
	channel, step string
	campaign      func(*eval) value
	machine       func(*eval) tri // nil: nothing tells
}

func (c *compiler) compileMessages() {
	for i := range c.def.Messages {
		src := &c.def.Messages[i]
		var reads bitset
		x := exposureDef{match: src.Match, channel: src.Channel.Value, step: src.Step.Value}
		x.campaign = c.expression(src.Campaign, exprCompiler{scope: scopeMessage, reads: &reads})
		if !src.Machine.IsZero() {
			x.machine = c.condition(src.Machine, scopeMessage, &reads, nil)
		}
		c.exposures = append(c.exposures, x)
		for _, m := range x.match {
			if m.Type != "track" || m.Event == "" || m.Name != "" {
				c.exposeOthers = true
				continue
			}
			c.exposing[m.Event] = true
			c.eventNames[m.Event] = m.Event
		}
	}
	c.pagePath = c.project([]string{"context", "page"})
	c.appPath = c.project([]string{"context", "app"})
}

// expose adds what the message tells of. Each of `messages` that it fits counts.
func (m *Model) expose(msg *event.Message, ev *eval, in *input) {
	if !m.exposeOthers && !m.exposing[string(msg.Event)] {
		return
	}
	for i := range m.exposures {
		x := &m.exposures[i]
		if !fits(x.match, msg) {
			continue
		}
		e := record.Exposure{Channel: x.channel, Step: x.step}
		if campaign, ok := x.campaign(ev).text(); ok {
			e.Campaign = cutKey(campaign)
		}
		if x.machine != nil {
			e.Machine = x.machine(ev) == yes
		}
		in.exposures = append(in.exposures, e)
	}
}

// received reports whether the message tells only of what was sent to the customer, and
// not of the customer coming: it is an exposure, no page or screen, and nobody clicked.
func (in *input) received() bool {
	if len(in.exposures) == 0 || string(in.kind) == "page" || string(in.kind) == "screen" {
		return false
	}
	return !slices.ContainsFunc(in.exposures, func(e record.Exposure) bool { return e.Step == record.StepClicked && !e.Machine })
}

// platform is where a message comes from.
type platform uint8

// The platforms, as numbered in held messages.
const (
	platformUnknown platform = iota
	platformApp
	platformSite
)

func (p platform) String() string {
	switch p {
	case platformApp:
		return "app"
	case platformSite:
		return "site"
	default:
		return ""
	}
}

// platformOf tells an app from a site: by the message's type, else by what the SDKs of
// either put into its context. Those of sites name an app, too; those of apps no page.
func (m *Model) platformOf(msg *event.Message) platform {
	switch {
	case string(msg.Type) == "screen":
		return platformApp
	case string(msg.Type) == "page", holdsObject(msg.Raw(m.pagePath)):
		return platformSite
	case holdsObject(msg.Raw(m.appPath)):
		return platformApp
	default:
		return platformUnknown
	}
}

func holdsObject(raw []byte) bool { return len(raw) > 0 && raw[0] == '{' }

// appendExposures writes what a held message tells of, and where it comes from.
func appendExposures(b []byte, in *input) []byte {
	b = appendUint(append(b, byte(in.platform)), uint64(len(in.exposures)))
	for i := range in.exposures {
		e := &in.exposures[i]
		b = appendText(appendText(appendText(b, e.Campaign), e.Channel), e.Step)
		b = append(b, flag(e.Machine, 1))
	}
	return b
}

func (d *decoder) exposures(in *input) {
	in.platform = platform(d.byte())
	if in.platform > platformSite {
		d.fail()
		return
	}
	if n := d.len(4); n > 0 {
		in.exposures = make([]record.Exposure, n)
	}
	for i := range in.exposures {
		in.exposures[i] = record.Exposure{Campaign: d.text(), Channel: d.text(), Step: d.text(), Machine: d.bool()}
	}
}

// messageTypes are the types of messages, as themselves.
var messageTypes = []string{"track", "identify", "alias", "page", "screen", "group"} //nolint:gochecknoglobals // a constant

func (c *compiler) nameTypes() {
	for _, kind := range messageTypes {
		if _, ok := c.eventNames[kind]; !ok {
			c.eventNames[kind] = kind
		}
	}
}

// cloneExposures copies what an input only views.
func cloneExposures(all []record.Exposure) []record.Exposure {
	out := slices.Clone(all)
	for i := range out {
		out[i].Campaign = string([]byte(out[i].Campaign))
	}
	return out
}
