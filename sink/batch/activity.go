// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"github.com/shopspring/decimal"

	ours "lapwing/schemas/decimal"
	"lapwing/schemas/event"
	"lapwing/schemas/record"
)

// activity adds one row of activity, and those of the exposures, orders and refunds that
// the message counted as. An order is an occurrence with a key that takes no refund.
func (b *Batch) activity(r *Record) error {
	a, err := record.DecodeActivity(r.Value)
	if err != nil {
		return err
	}
	occurrences := make([]any, 0, len(a.Occurrence))
	var products []product
	parsed := false
	for i := range a.Occurrence {
		o := &a.Occurrence[i]
		var value any
		if o.HasValue {
			value = money(o.Value)
		}
		occurrences = append(occurrences, []any{o.Event, o.At.Time(), value, null(o.Key), o.Refund})
		switch {
		case o.Key == "":
		case o.Refund:
			b.add(Refunds, r, Row{a.CustomerID, o.Event, o.Key, o.At.Time(), a.EventTime.Time(), money(o.Value), null(a.MessageID), uint32(i)})
		default:
			if !parsed {
				products, parsed = parseProducts(a.Products), true
			}
			b.order(r, &a, o, products)
		}
	}
	exposures := make([]any, 0, len(a.Exposures))
	for i, e := range a.Exposures {
		exposures = append(exposures, []any{e.Campaign, e.Channel, e.Step, e.Machine})
		b.add(Exposures, r, Row{a.CustomerID, a.EventTime.Time(), e.Campaign, e.Channel, e.Step, e.Machine, null(a.MessageID), a.Event, uint32(i)})
	}
	began := a.SessionStart
	if began.IsNone() {
		began = a.EventTime
	}
	b.add(Activity, r, Row{
		a.CustomerID, a.EventTime.Time(), null(a.MessageID), a.Type, a.Event, occurrences, exposures, stages(a.Stages), list(a.Segments),
		stages(a.SessionStages), began.Time(), a.Platform, a.TooLate, null(a.Currency), null(string(a.Products)),
	})
	return nil
}

func stages(all []record.StageAt) map[string]string {
	m := make(map[string]string, len(all))
	for _, s := range all {
		m[s.Model] = s.Stage
	}
	return m
}

// order adds one row per product; one row if the order names none.
func (b *Batch) order(r *Record, a *record.Activity, o *record.Occurrence, products []product) {
	var value ours.Decimal
	if o.HasValue {
		value = o.Value
	}
	if len(products) == 0 {
		b.add(OrderItems, r, Row{
			a.CustomerID, o.Event, o.Key, uint32(1), o.At.Time(), nil, nil, nil, nil, nil, null(a.Currency), money(value),
		})
		return
	}
	for i := range products {
		p := &products[i]
		b.add(OrderItems, r, Row{
			a.CustomerID, o.Event, o.Key, uint32(i + 1), o.At.Time(), p.id, p.name, p.category, p.quantity, p.price, null(a.Currency), money(value),
		})
		value = 0 // the whole order's value stands on item 1
	}
}

// product is one element of properties.products; each field a string, a decimal or
// nil for NULL.
type product struct{ id, name, category, quantity, price any }

// parseProducts reads properties.products as any SDK of the Segment spec may write
// it. What is no list has no products, what is no object is no product, and a field
// of another type counts as missing: the order itself is good all the same.
func parseProducts(raw []byte) []product {
	if len(raw) == 0 || raw[0] != '[' {
		return nil
	}
	var all []product
	event.Elements(raw, func(element []byte) bool {
		if len(element) == 0 || element[0] != '{' {
			return true
		}
		p := product{quantity: decimal.New(1, 0)}
		var id, legacy, sku any // of product_id, id (its old name) and sku the first that is there
		event.Fields(element, func(key string, value []byte) bool {
			switch key {
			case "product_id":
				id = text(value)
			case "id":
				legacy = text(value)
			case "sku":
				sku = text(value)
			case "name":
				p.name = text(value)
			case "category":
				p.category = text(value)
			case "quantity":
				if n := number(value); n != nil {
					p.quantity = n
				}
			case "price":
				p.price = number(value)
			}
			return true
		})
		for _, one := range []any{id, legacy, sku} {
			if one != nil {
				p.id = one
				break
			}
		}
		all = append(all, p)
		return true
	})
	return all
}

// text is a JSON string's content, a number's or boolean's text; nil for others.
func text(raw []byte) any {
	if len(raw) == 0 || raw[0] == '{' || raw[0] == '[' {
		return nil
	}
	s, ok := event.Text(raw)
	if !ok {
		return nil
	}
	return s
}

// number is a JSON number, or a string that holds one; nil for others.
func number(raw []byte) any {
	if len(raw) == 0 || raw[0] == 't' || raw[0] == 'f' {
		return nil
	}
	s, ok := text(raw).(string)
	if !ok {
		return nil
	}
	d, ok := ours.Parse(s)
	if !ok {
		return nil
	}
	return money(d)
}
