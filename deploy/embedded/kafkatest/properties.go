// SPDX-License-Identifier: Apache-2.0

package kafkatest

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
		"auto.create.topics.enable=false", // a test that forgets a topic must not pass
		// One node: nothing is replicated.
		"default.replication.factor=1",
		"offsets.topic.replication.factor=1",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"share.coordinator.state.topic.replication.factor=1",
		"share.coordinator.state.topic.min.isr=1",
		// Fewer partitions to create on first use, and to load after a crash.
		"offsets.topic.num.partitions=2",
		"transaction.state.log.num.partitions=2",
		"share.coordinator.state.topic.num.partitions=1",
		// Groups form at once, and may ask for sessions of a second.
		"group.initial.rebalance.delay.ms=0",
		"group.min.session.timeout.ms=1000",
		// After SIGKILL the controller waits for the dead broker's session: 9 s by default.
		"broker.session.timeout.ms=1500",
		"broker.heartbeat.interval.ms=300",
		// A transaction past its timeout is aborted within a second, not within ten.
		"transaction.abort.timed.out.transaction.cleanup.interval.ms=1000",
	}, extra...)
	return strings.Join(lines, "\n") + "\n"
}
