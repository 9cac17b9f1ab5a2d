// SPDX-License-Identifier: Apache-2.0

package kafkabroker

import (
	"fmt"
	"strings"
)

// serverProperties is the broker's settings. Later lines override earlier ones, as in
// any properties file, so extra comes last.
func serverProperties(data, client, controller string, extra []string) string {
	lines := append([]string{
		"process.roles=broker,controller",
		"node.id=1",
		"controller.quorum.voters=1@" + controller,
		fmt.Sprintf("listeners=PLAINTEXT://%s,CONTROLLER://%s", client, controller),
		"advertised.listeners=PLAINTEXT://" + client,
		"controller.listener.names=CONTROLLER",
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"inter.broker.listener.name=PLAINTEXT",
		"log.dirs=" + data,
		"auto.create.topics.enable=false", // a forgotten topic is an error
		// One node: nothing is replicated.
		"default.replication.factor=1",
		"offsets.topic.replication.factor=1",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"share.coordinator.state.topic.replication.factor=1",
		"share.coordinator.state.topic.min.isr=1",
		// Groups form at once.
		"group.initial.rebalance.delay.ms=0",
	}, extra...)
	return strings.Join(lines, "\n") + "\n"
}
