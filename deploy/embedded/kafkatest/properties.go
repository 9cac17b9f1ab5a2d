// SPDX-License-Identifier: Apache-2.0

package kafkatest

// testProperties make the broker quick to start, and to notice what tests do to it.
func testProperties() []string {
	return []string{
		// Fewer partitions to create on first use, and to load after a crash.
		"offsets.topic.num.partitions=2",
		"transaction.state.log.num.partitions=2",
		"share.coordinator.state.topic.num.partitions=1",
		// Groups may ask for sessions of a second.
		"group.min.session.timeout.ms=1000",
		// After SIGKILL the controller waits for the dead broker's session: 9 s by default.
		"broker.session.timeout.ms=1500",
		"broker.heartbeat.interval.ms=300",
		// A transaction past its timeout is aborted within a second, not within ten.
		"transaction.abort.timed.out.transaction.cleanup.interval.ms=1000",
	}
}
