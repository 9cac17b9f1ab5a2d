// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/decimal"
	"lapwing/schemas/event"
	"lapwing/schemas/instant"
)

type sendFlags struct {
	kafka kafkaFlags
	topic string
	at    string
}

func (a *app) sendCommand() *cobra.Command {
	var f sendFlags
	c := &cobra.Command{
		Use:   "send CUSTOMER EVENT [KEY=VALUE…] | send JSON",
		Short: "Send an event by hand",
		Long: `Sends one track event of a customer, with properties, or a whole message as JSON. It is
checked first, as the service will; messageId and timestamp are filled in if they are
missing. The record's key is the customer.`,
		Example: `  lapwing send u1 'Order Completed' order_id=o-17 total=40.00
  lapwing send '{"type":"identify","userId":"u1","traits":{"country":"FR"}}'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.send(cmd.Context(), &f, args) },
	}
	f.kafka.add(c)
	c.Flags().StringVar(&f.topic, "topic", "", "input `TOPIC` (default the file's first input, else events)")
	c.Flags().StringVar(&f.at, "at", "", "when it happened (RFC 3339, or a date: midnight UTC; default now)")
	return c
}

func (a *app) send(ctx context.Context, f *sendFlags, args []string) error {
	at := instant.Of(time.Now())
	if f.at != "" {
		var ok bool
		if at, ok = instant.Parse(f.at); !ok {
			return usageError("--at %q is no time; write it like 2026-01-31 or 2026-01-31T12:00:00Z", f.at)
		}
	}
	value, err := messageOf(args, at)
	if err != nil {
		return err
	}
	now := time.Now()
	var m event.Message
	cause := event.NewDecoder(event.NewProjection(), event.DefaultLimits()).Decode(value, instant.Of(now), &m)
	if cause != "" {
		return fmt.Errorf("this message would be a dead letter (%s), so it was not sent: %s", cause, value)
	}
	p, err := f.kafka.place(ctx, a)
	if err != nil {
		return err
	}
	if f.topic == "" {
		f.topic = p.input
	}
	client, err := kgo.NewClient(append(p.opts, kgo.RecordDeliveryTimeout(reachTimeout))...)
	if err != nil {
		return fmt.Errorf("create the Kafka client: %w", err)
	}
	defer client.Close()
	r, err := client.ProduceSync(ctx, &kgo.Record{Topic: f.topic, Key: m.Customer, Value: value, Timestamp: now}).First()
	if err != nil {
		if ctx.Err() != nil {
			return interrupted(ctx)
		}
		return fmt.Errorf("send to topic %s: %w", f.topic, err)
	}
	_, err = fmt.Fprintf(a.stdout, "sent to %s, partition %d, offset %d: %s\n", r.Topic, r.Partition, r.Offset, value)
	return err
}

// messageOf is the message that the arguments describe.
func messageOf(args []string, at instant.Instant) ([]byte, error) {
	message := map[string]any{}
	if strings.HasPrefix(strings.TrimSpace(args[0]), "{") {
		if len(args) > 1 {
			return nil, usageError("after a message as JSON comes nothing more")
		}
		decoder := json.NewDecoder(strings.NewReader(args[0]))
		decoder.UseNumber()
		if err := decoder.Decode(&message); err != nil {
			return nil, fmt.Errorf("read the message: %w", err)
		}
	} else {
		if len(args) < 2 {
			return nil, usageError("say what the customer did: lapwing send %s 'Order Completed' total=40.00", args[0])
		}
		if strings.TrimSpace(args[0]) == "" || strings.TrimSpace(args[1]) == "" {
			return nil, usageError("the customer and the event need a name: lapwing send u1 'Order Completed' total=40.00")
		}
		properties := map[string]any{}
		for _, pair := range args[2:] {
			key, text, ok := strings.Cut(pair, "=")
			if !ok || key == "" {
				return nil, usageError("%q is not understood; properties are written key=value", pair)
			}
			properties[key] = jsonValue(text)
		}
		message["type"], message["event"], message["userId"], message["properties"] = "track", args[1], args[0], properties
	}
	for key, value := range map[string]any{"messageId": uuid.NewString(), "timestamp": at.String()} {
		if _, ok := message[key]; !ok {
			message[key] = value
		}
	}
	return json.Marshal(message)
}

// jsonValue reads numbers, true, false, null, lists and objects as they are; everything
// else is text.
func jsonValue(text string) any {
	_, number := decimal.Parse(text)
	if number || text == "true" || text == "false" || text == "null" ||
		(strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") || strings.HasPrefix(text, `"`)) && json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	return text
}
