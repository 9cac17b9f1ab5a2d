// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"lapwing/schemas/instant"
	"lapwing/stream/oracle"
)

// metaOp is one operation of a plan. Its number stays with it however the list is cut.
type metaOp struct {
	number  int
	kind    metaKind
	at      instant.Instant // event time, or where the clocks go
	payload string          // events only; one line
	of      int             // again only: the number of the event that comes a second time
}

type metaKind string

const (
	metaEvent metaKind = "event" // a message
	metaAgain metaKind = "again" // the very same message once more
	metaClock metaKind = "clock" // the clock of every source goes at least here
)

// metaPlan is all that a failure needs to be seen again: what is promised, the
// definition, the operations and the configurations under which they are to agree.
type metaPlan struct {
	seed       uint64
	promise    metaPromise
	definition string
	ops        []metaOp
	configs    []metaConfig
}

// The text form of a plan: a line each, in this order. Lines that begin with "//" are
// comments.
//
//	seed 17
//	promise ordered
//	| lapwing: 1
//	config lanes=1 … do=#12+40ms:kill:one
//	#3 event 1997-01-01T06:00:00Z {"type":"track",…}
//	#4 again #3
//	#5 clock 1997-01-02T00:00:00Z
func (p *metaPlan) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d\npromise %s\n", p.seed, p.promise)
	for line := range strings.Lines(p.definition) {
		b.WriteString("| " + line)
	}
	for i := range p.configs {
		b.WriteString("config " + p.configs[i].String() + "\n")
	}
	for _, o := range p.ops {
		b.WriteString(o.String() + "\n")
	}
	return b.String()
}

func (o metaOp) String() string {
	switch o.kind {
	case metaAgain:
		return fmt.Sprintf("#%d again #%d", o.number, o.of)
	case metaClock:
		return fmt.Sprintf("#%d clock %s", o.number, o.at)
	default:
		return fmt.Sprintf("#%d event %s %s", o.number, o.at, o.payload)
	}
}

func parseMetaPlan(text string) (*metaPlan, error) {
	p := &metaPlan{}
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		if err := p.parseLine(lines.Text()); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return p, lines.Err()
}

func (p *metaPlan) parseLine(line string) (err error) {
	word, rest, _ := strings.Cut(line, " ")
	switch {
	case line == "" || strings.HasPrefix(line, "//"):
	case word == "|":
		p.definition += rest + "\n"
	case word == "seed":
		p.seed, err = strconv.ParseUint(rest, 10, 64)
	case word == "promise":
		p.promise = metaPromise(rest)
		if !slices.Contains(metaPromises, p.promise) {
			err = fmt.Errorf("unknown promise %q", rest)
		}
	case word == "config":
		var c metaConfig
		c, err = parseMetaConfig(rest)
		p.configs = append(p.configs, c)
	case strings.HasPrefix(word, "#"):
		var o metaOp
		o, err = parseMetaOp(word, rest)
		if err == nil && o.kind == metaAgain && p.op(o.of) == nil {
			err = fmt.Errorf("#%d comes again before it came", o.of)
		}
		p.ops = append(p.ops, o)
	default:
		err = fmt.Errorf("unknown word %q", word)
	}
	return err
}

func parseMetaOp(word, rest string) (o metaOp, err error) {
	if o.number, err = strconv.Atoi(word[1:]); err != nil {
		return o, fmt.Errorf("read the number of an operation: %w", err)
	}
	kind, rest, _ := strings.Cut(rest, " ")
	o.kind = metaKind(kind)
	if o.kind == metaAgain {
		o.of, err = strconv.Atoi(strings.TrimPrefix(rest, "#"))
		return o, err
	}
	at, payload, _ := strings.Cut(rest, " ")
	var ok bool
	if o.at, ok = instant.Parse(at); !ok || o.kind != metaClock && o.kind != metaEvent {
		return o, fmt.Errorf("no operation: %s %s %s", word, kind, at)
	}
	o.payload = payload
	return o, nil
}

func readMetaPlan(path string) (*metaPlan, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read operations: %w", err)
	}
	p, err := parseMetaPlan(string(text))
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", path, err)
	}
	return p, nil
}

func (p *metaPlan) op(number int) *metaOp {
	for i := range p.ops {
		if p.ops[i].number == number {
			return &p.ops[i]
		}
	}
	return nil
}

// with is the plan with other operations. What comes again without having come is
// left out.
func (p *metaPlan) with(ops []metaOp) *metaPlan {
	out := *p
	out.ops = nil
	for _, o := range ops {
		if o.kind != metaAgain || out.op(o.of) != nil {
			out.ops = append(out.ops, o)
		}
	}
	return &out
}

// metaMessage is one record as it will be produced.
type metaMessage struct {
	op       int
	customer string
	at       instant.Instant
	payload  string
	again    bool
	bad      bool // nothing can be made of it
	tick     bool // only there to move clocks
	end      bool // no message: the sources end at at, for now
	routed   bool // of a tick: to which way in it belongs
	ties     []string
}

// messages are the plan's events in the order of the list. What the clocks need, ticks,
// is the same messages under every configuration.
func (p *metaPlan) messages() []metaMessage {
	var out []metaMessage
	for _, o := range p.ops {
		switch o.kind {
		case metaClock:
			out = append(out, metaMessage{op: o.number, at: o.at, end: true})
			for _, t := range metaTickers {
				payload := fmt.Sprintf(`{"type":"track","event":"Tick","messageId":"%s-%d","userId":%q,"timestamp":%q}`, t.name, o.number, t.name, o.at)
				out = append(out, metaMessage{op: o.number, customer: t.name, at: o.at, payload: payload, tick: true, routed: t.routed})
			}
		case metaAgain:
			of := p.op(o.of)
			m := of.message()
			m.op, m.again = o.number, true
			out = append(out, m)
		default:
			out = append(out, o.message())
		}
	}
	return out
}

// message of an event. Ties are what keeps it in line with others of its customer: of
// a repeated messageId and of a repeated key the first that is read counts, and
// messages of one instant without messageId, and traits of one instant where none
// are sorted by it, go by their arrival.
func (o *metaOp) message() metaMessage {
	m := metaMessage{op: o.number, at: o.at, payload: o.payload}
	read, ok := oracle.Decode([]byte(o.payload))
	if !ok {
		m.bad, m.customer = true, "nobody"
		return m
	}
	m.customer = read.Customer
	var fields struct {
		MessageID  string `json:"messageId"`
		Event      string
		Properties struct {
			OrderID json.RawMessage `json:"order_id"`
		}
		Traits map[string]any
	}
	_ = json.Unmarshal([]byte(o.payload), &fields) // the oracle has read it
	m.ties = append(m.ties, "id "+fields.MessageID)
	if fields.MessageID == "" || fields.Traits != nil {
		m.ties = append(m.ties, "at "+o.at.String())
	}
	if fields.Event == "Order Completed" && fields.Properties.OrderID != nil {
		m.ties = append(m.ties, "key "+string(fields.Properties.OrderID))
	}
	return m
}

func (m *metaMessage) tied(to *metaMessage) bool {
	return m.customer == to.customer && slices.ContainsFunc(m.ties, func(t string) bool { return slices.Contains(to.ties, t) })
}

// ticker is a customer who does nothing, as often as the clocks need it: one for
// every source there can be.
type ticker struct {
	name   string
	routed bool
}

var metaTickers = newMetaTickers()

func newMetaTickers() []ticker {
	wanted := map[string]bool{}
	for _, lanes := range metaLanes {
		for lane := range lanes {
			wanted[fmt.Sprintf("%d/%d", lane, lanes)] = true
		}
	}
	var out []ticker
	for n := 0; len(wanted) > 0; n++ {
		name := fmt.Sprintf("tick%d", n)
		found := false
		for _, lanes := range metaLanes {
			home := fmt.Sprintf("%d/%d", Home(name, lanes), lanes)
			found = found || wanted[home]
			delete(wanted, home)
		}
		if found {
			out = append(out, ticker{name: name})
		}
	}
	for n := range metaRoutedPartitions {
		out = append(out, ticker{name: fmt.Sprintf("tock%d", n), routed: true})
	}
	return out
}

// last is the latest instant of the plan.
func (p *metaPlan) last() instant.Instant {
	last := day0
	for _, o := range p.ops {
		if o.kind != metaAgain {
			last = max(last, o.at)
		}
	}
	return last
}

// until is where all clocks go in the end. No customer ends at this very millisecond:
// an event of the same instant could still keep it, and the worker waits for that.
func (p *metaPlan) until() instant.Instant { return p.last().Add(11*time.Hour + 7*time.Millisecond) }
