// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"math"
	"slices"
	"strings"
	_ "time/tzdata" // a definition's time zone must mean the same on every machine

	"github.com/google/cel-go/cel"
	celast "github.com/google/cel-go/common/ast"

	"lapwing/schemas/definition"
	"lapwing/schemas/event"
	"lapwing/schemas/instant"
)

// Model is a compiled definition: rules as closures over a fixed table of events.
// It is immutable and safe for concurrent use.
type Model struct {
	def         *definition.Definition
	publishFrom instant.Instant
	activation  int64 // who is in a campaign's audience then is assigned; math.MinInt64: before every event
	projection  *event.Projection

	events     []*eventDef
	byEvent    map[string][]int  // track events by name -> events they may be
	eventNames map[string]string // the keys of byEvent, as themselves
	otherwise  []int             // events with patterns for other messages
	refunds    []int             // events with a refund

	exposures    []exposureDef
	exposing     map[string]bool // track events that exposures match
	exposeOthers bool            // whether any matches other messages

	rules      []rule // models, segments, then campaigns, in file order
	evaluation []int  // rule indices in the order of evaluation
	modelRules []int  // rule indices of the models, in file order
	campaigns  []int  // rule indices of the campaigns, in file order
	retention  int64  // of anonymous customers, ms
	sessionGap int64
	lateness   int64
	dedupe     int64
	maxState   int // bytes of an encoded state
	unread     []string

	traitBits map[string]int
	knownBit  int

	globalHoldout int  // share of the customers that are in no campaign, in buckets
	assignedBy    bool // whether a campaign is assigned by messages

	currencyPath int // -1 without
	productsPath int
	pagePath     int
	appPath      int
}

// eventDef is one event of the definition.
type eventDef struct {
	index int
	bit   int
	name  string
	match []definition.Match
	where func(*eval) tri // nil: any
	value func(*eval) value
	key   func(*eval) value

	refund *refundDef

	source   *eventDef // of a derived event
	gap      int64
	first    bool
	children []*eventDef

	meaning meaning

	resolution int64
	residues   []int64 // remainders of the windows of counts, modulo an hour
	longest    int64   // longest window of a count with resolution

	keep        int   // instants to keep
	horizon     int64 // how far back; never = without end
	needsValues bool
	needsKeys   bool   // of each instant: a refund takes off its value
	props       []prop // properties read by unique

	width   int    // words of a row: instant, value if needed, key if needed, hashes of props
	keyAt   int    // place of the key in a row
	propsAt int    // and of the first property
	moneyAt int    // and of whether its value is money of another currency; 0: not kept
	slots   int    // how many properties have their texts kept
	pursued bool   // a campaign's goal is that it happens
	priced  bool   // a goal sums its values, which are money
	risen   bool   // and compares them with those before
	none    series // of customers to whom it never happened; never written to
}

// prop is one property whose texts are remembered per instant.
type prop struct {
	name   string
	path   int // of the message, for events of their own
	source int // index in the source's props, for derived events
	slot   int // of its texts in the series, if favourite reads them; else -1
}

type refundDef struct {
	match []definition.Match
	value func(*eval) value // nil: all of it
	key   func(*eval) value
}

// rule is a stage model, a segment or a campaign.
type rule struct {
	name     string
	bit      int
	model    bool
	campaign *campaignDef      // nil: a model or a segment
	stages   []stageDef        // a model's
	when     func(*eval) tri   // a segment's
	text     string            // the segment's or the audience's condition as written
	written  *written          // and as read, of when or byExpr
	by       bool              // one segment per value of byExpr
	byExpr   func(*eval) value // a trait's value
	reads    bitset
	closure  []int // this rule and all it reads, in evaluation order
}

type stageDef struct {
	name    string
	when    func(*eval) tri
	text    string
	written *written
}

// bitset marks what changed and what a rule reads. With more than 256 features
// two may share a bit; then a rule is evaluated more often than it must be.
type bitset [4]uint64

func (b *bitset) set(i int) { b[i>>6&3] |= 1 << (i & 63) }

func (b *bitset) meets(o *bitset) bool {
	return b[0]&o[0]|b[1]&o[1]|b[2]&o[2]|b[3]&o[3] != 0
}

// compiler gathers a Model and all that can be said against the definition.
type compiler struct {
	*Model
	problems       []definition.Problem
	checkers       map[scope]*cel.Env
	params         map[string]definition.Param
	traitTypes     map[string]definition.TraitType
	eventByName    map[string]*eventDef
	modelByName    map[string]int // rule indices before ordering
	segmentByName  map[string]int
	campaignByName map[string]int
	paths          [][]string
	bits           int
	weights        *[halfSteps]uint64 // of favourite; nil before the first
	atEnd          []func()
	compiled       *written // the last condition

	// What the lints look at; nil where nobody asked for them.
	parsed     map[placed]*celast.AST
	paramsRead map[string]bool
	lintBudget int
}

// Compile checks every condition of a definition that parsed without errors. The
// model is nil if one of the problems is not merely a warning.
func Compile(d *definition.Definition) (*Model, []definition.Problem) {
	return newCompiler(d).compile()
}

func newCompiler(d *definition.Definition) *compiler {
	c := &compiler{
		Model: &Model{
			def: d, publishFrom: d.PublishFrom, activation: math.MinInt64, globalHoldout: d.GlobalHoldout,
			retention: d.AnonymousRetention.Milliseconds(), lateness: d.Lateness.Milliseconds(), dedupe: d.Dedupe.Milliseconds(),
			sessionGap: d.SessionGap.Milliseconds(), exposing: map[string]bool{},
			byEvent: map[string][]int{}, eventNames: map[string]string{}, traitBits: map[string]int{}, currencyPath: -1, productsPath: -1,
		},
		params:      map[string]definition.Param{},
		traitTypes:  map[string]definition.TraitType{},
		checkers:    map[scope]*cel.Env{},
		eventByName: map[string]*eventDef{}, modelByName: map[string]int{}, segmentByName: map[string]int{}, campaignByName: map[string]int{},
	}
	c.knownBit = c.nextBit()
	for _, p := range d.Params {
		c.params[p.Name.Value] = p
	}
	for _, t := range d.Traits {
		c.traitTypes[t.Name.Value] = t.Type
	}
	return c
}

func (c *compiler) compile() (*Model, []definition.Problem) {
	c.declareEvents()
	c.declareRules()
	c.compileEvents()
	c.compileMessages()
	c.nameTypes()
	deps := c.compileRules()
	for _, f := range c.atEnd {
		f()
	}
	c.finishEvents()
	c.findMeanings()
	c.order(deps)
	c.findGoalMeanings()
	c.checkBounds()
	failed := definition.HasErrors(c.problems)
	if !failed && c.parsed != nil {
		c.lint()
	}
	c.widen()
	definition.Sort(c.problems)
	c.problems = slices.Compact(c.problems) // two counts of one comparison are told of once
	if failed {
		return nil, c.problems
	}
	c.projection = event.NewProjection(c.paths...)
	return c.Model, c.problems
}

func (c *compiler) problem(pos definition.Pos, format string, args ...any) {
	c.problems = append(c.problems, definition.Problem{Pos: pos, Message: fmt.Sprintf(format, args...)})
}

func (c *compiler) warn(pos definition.Pos, format string, args ...any) {
	c.problems = append(c.problems, definition.Problem{Pos: pos, Message: fmt.Sprintf(format, args...), Warning: true})
}

func (c *compiler) nextBit() int {
	c.bits++
	return c.bits - 1
}

func (c *compiler) traitBit(name string) int {
	bit, ok := c.traitBits[name]
	if !ok {
		bit = c.nextBit()
		c.traitBits[name] = bit
	}
	return bit
}

// project asks the decoder for a path and returns its index.
func (c *compiler) project(keys []string) int {
	for i, p := range c.paths {
		if slices.Equal(p, keys) {
			return i
		}
	}
	c.paths = append(c.paths, slices.Clone(keys))
	return len(c.paths) - 1
}

func (c *compiler) declareEvents() {
	for i := range c.def.Events {
		src := &c.def.Events[i]
		e := &eventDef{
			index: i, bit: c.nextBit(), name: src.Name.Value, match: src.Match,
			gap: src.Gap.Milliseconds(), first: src.First, resolution: src.Resolution.Milliseconds(),
		}
		c.events = append(c.events, e)
		c.eventByName[e.name] = e
	}
	for i := range c.def.Events {
		if from := c.def.Events[i].From; !from.IsZero() {
			if source, ok := c.eventByName[from.Value]; ok {
				c.events[i].source = source
				source.children = append(source.children, c.events[i])
			}
		}
	}
}

func (c *compiler) declareRules() {
	for _, m := range c.def.Models {
		r := rule{name: m.Name.Value, bit: c.nextBit(), model: true}
		for _, s := range m.Stages {
			r.stages = append(r.stages, stageDef{name: s.Name.Value, text: strings.TrimSpace(s.When.Value)})
		}
		c.modelByName[r.name] = len(c.rules)
		c.rules = append(c.rules, r)
	}
	for _, s := range c.def.Segments {
		r := rule{name: s.Name.Value, bit: c.nextBit(), by: !s.By.IsZero(), text: strings.TrimSpace(s.When.Value)}
		if r.by {
			r.text = strings.TrimSpace(s.By.Value)
		}
		c.segmentByName[r.name] = len(c.rules)
		c.rules = append(c.rules, r)
	}
	c.declareCampaigns()
}

// expression compiles one expression of any type; x says where it stands.
func (c *compiler) expression(text definition.Text, x exprCompiler) func(*eval) value {
	if strings.TrimSpace(text.Value) == "" {
		return nil // left out where it must not be: the parser has said so
	}
	ast, ok := c.parseCEL(text, x.scope)
	if !ok {
		return nil
	}
	x.compiler, x.text, x.ast = c, text, ast
	if x.scope == scopeCondition {
		x.nodes = map[int64]node{}
	}
	n := x.compile(ast.Expr())
	if x.scope == scopeCondition && n.declared != "" && n.kind == isList {
		c.problem(x.place(text, ast, ast.Expr()), "%s, and a list names no segment", n.declared)
	}
	c.compiled = newWritten(&x)
	return n.v
}

// condition compiles an expression that must be true or false.
func (c *compiler) condition(text definition.Text, s scope, reads *bitset, deps map[int]bool) func(*eval) tri {
	if strings.TrimSpace(text.Value) == "" {
		return nil // left out where it must not be: the parser has said so
	}
	ast, ok := c.parseCEL(text, s)
	if !ok {
		return nil
	}
	if t := ast.GetType(ast.Expr().ID()).String(); t != "bool" && t != "dyn" {
		kind := plainKind(t)
		c.problem(text.Pos, "this is %s, and a condition is true or false%s", kind, compareIt(kind, "a condition"))
		c.problems[len(c.problems)-1].Width = text.Width()
		c.checkNames(text, s, ast)
		return nil
	}
	x := &exprCompiler{compiler: c, text: text, scope: s, ast: ast, reads: reads, deps: deps}
	if s == scopeCondition {
		x.nodes = map[int64]node{}
	}
	n := x.compile(ast.Expr())
	x.checkTruth(ast.Expr(), n)
	c.compiled = newWritten(x)
	return n.truth()
}

func (c *compiler) compileEvents() {
	for i := range c.def.Events {
		src, e := &c.def.Events[i], c.events[i]
		var reads bitset
		if !src.Where.IsZero() {
			e.where = c.condition(src.Where, scopeMessage, &reads, nil)
		}
		if !src.Value.IsZero() {
			e.value = c.expression(src.Value, exprCompiler{scope: scopeMessage, reads: &reads, lenient: true})
		}
		if !src.Key.IsZero() {
			e.key = c.expression(src.Key, exprCompiler{scope: scopeMessage, reads: &reads})
		}
		if src.Refund != nil {
			e.refund = &refundDef{match: src.Refund.Match}
			if !src.Refund.Value.IsZero() {
				e.refund.value = c.expression(src.Refund.Value, exprCompiler{scope: scopeMessage, reads: &reads, lenient: true})
			}
			e.refund.key = c.expression(src.Refund.Key, exprCompiler{scope: scopeMessage, reads: &reads})
			c.refunds = append(c.refunds, i)
		}
		if e.source != nil {
			continue
		}
		for _, m := range e.match {
			if m.Type == "track" && m.Event != "" && m.Name == "" {
				c.eventNames[m.Event] = m.Event
				if !slices.Contains(c.byEvent[m.Event], i) {
					c.byEvent[m.Event] = append(c.byEvent[m.Event], i)
				}
			} else if !slices.Contains(c.otherwise, i) {
				c.otherwise = append(c.otherwise, i)
			}
		}
		if e.key != nil && c.currencyPath < 0 {
			c.currencyPath = c.project([]string{"properties", "currency"})
			c.productsPath = c.project([]string{"properties", "products"})
		}
	}
}

func (c *compiler) compileRules() (deps []map[int]bool) {
	deps = make([]map[int]bool, len(c.rules))
	for i := range deps {
		deps[i] = map[int]bool{}
	}
	for i, m := range c.def.Models {
		r := &c.rules[i]
		for j, s := range m.Stages {
			r.stages[j].when = c.condition(s.When, scopeCondition, &r.reads, deps[i])
			r.stages[j].written = c.compiled
		}
	}
	for i, s := range c.def.Segments {
		i += len(c.def.Models)
		r := &c.rules[i]
		if r.by {
			r.byExpr = c.expression(s.By, exprCompiler{scope: scopeCondition, reads: &r.reads, deps: deps[i]})
		} else {
			r.when = c.condition(s.When, scopeCondition, &r.reads, deps[i])
		}
		r.written = c.compiled
	}
	c.compileCampaigns(deps)
	return deps
}

// property is the index in e.props of a property that is read; derived
// events read it from the message of their source.
func (c *compiler) property(e *eventDef, name string) int {
	for i := range e.props {
		if e.props[i].name == name {
			return i
		}
	}
	p := prop{name: name, path: -1, source: -1, slot: -1}
	if e.source != nil {
		p.source = c.property(e.source, name)
	} else {
		p.path = c.project([]string{"properties", name})
	}
	e.props = append(e.props, p)
	return len(e.props) - 1
}

func (e *eventDef) addResidue(r int64) {
	if !slices.Contains(e.residues, r) {
		e.residues = append(e.residues, r)
	}
}

// finishEvents settles what each series keeps. A derived event is recomputed over
// its source's newest instants, so both keep all that can be kept.
func (c *compiler) finishEvents() {
	for _, e := range c.events {
		if e.source != nil || len(e.children) > 0 {
			e.retain(maxKept, never)
		}
		e.needsKeys = e.refund != nil && e.needsValues
		e.keyAt = 1
		if e.needsValues {
			e.keyAt++
		}
		e.propsAt = e.keyAt
		if e.needsKeys {
			e.propsAt++
		}
		e.width = e.propsAt + len(e.props)
		if e.risen {
			e.moneyAt = e.width
			e.width++
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m { // sorted below
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func cutFirst(s string, sep byte) (before, after string, found bool) {
	return strings.Cut(s, string(sep))
}

// didYouMean is a hint naming the nearest of the names, or all if they are few.
func didYouMean(name string, names []string) string {
	if hint := definition.Suggest(name, names); hint != "" || len(names) == 0 || len(names) > 8 {
		return hint
	}
	return "; there are: " + strings.Join(names, ", ")
}
