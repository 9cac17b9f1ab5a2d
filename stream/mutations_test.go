// SPDX-License-Identifier: Apache-2.0

package stream

// mutation takes one guard out: in file, the text old, which is there exactly once,
// becomes new. The test must then fail.
type mutation struct {
	guard    string
	file     string // from the module's root
	old, new string
	test     string // as for go test -run
	// hangs: without the guard the test does not come to an end, rather than fail.
	hangs bool
}

// mutations are the guards of exactly once, rule by rule: how Kafka and its client
// have to be used so that nothing is lost and nothing doubled. Each names the narrowest
// test that notices. Two rules have none here: the release of the client is in no file
// of ours (TestClientIsNewEnough), and the context of an End cannot be cancelled, since
// session.end takes none.
func mutations() []mutation {
	const session, client, slot, restore = "stream/session.go", "stream/client.go", "stream/slot.go", "stream/restore.go"
	const (
		pin   = "ctx := kgo.PreTxnCommitFnContext(context.Background(), func("
		unpin = "ctx := context.WithValue(context.Background(), oversized{}, func("
	)
	return []mutation{
		{
			guard: "rule 1: every commit has the positions of all lanes", file: session, old: pin, new: unpin,
			test: "^TestZombieWithOnlyDeadlinesIsRefused$",
		},
		{
			guard: "rule 1, fault 4: every commit has the positions of all lanes", file: session, old: pin, new: unpin,
			test: "^TestChaos04EvictedMemberFiresDeadlines$",
		},
		{
			guard: "rule 2: a transaction of deadlines alone commits positions", file: session, old: pin, new: unpin,
			test: "^TestDeadlineOnlyTransactionIsFast$",
		},
		{
			guard: "rule 3, fault 8: a failed produce spoils the transaction", file: "stream/outbox.go",
			old:  "if err != nil && o.err == nil {",
			new:  "if err != nil && o.err == nil && r == nil {",
			test: "^TestChaos08ProduceFails$/^stage-changes$/^MESSAGE_TOO_LARGE$",
		},
		{
			guard: "rule 4: a broken session is opened anew", file: "stream/worker.go",
			old:  "		case halting(err):",
			new:  "		case err != nil:",
			test: "^TestChaos09ProducerErrors$/^protocol_2$/^EndTxn$/^PRODUCER_FENCED$",
		},
		{
			guard: "rule 4: what needs a human stops the worker", file: restore,
			old:  "if errors.Is(err, known) {",
			new:  "if errors.Is(err, known) && err == nil {",
			test: "^TestLostGroupOffsetsStopTheWorker$",
		},
		{
			guard: "rule 5: the transactional id outlives the process", file: client,
			old:  "kgo.TransactionalID(member),",
			new:  "kgo.TransactionalID(member + time.Now().String()),",
			test: "^TestSuccessorEndsWhatWasLeftOpen$",
		},
		{
			guard: "rule 5: the producer's id is asked for before joining", file: session,
			old:  "if _, _, err := s.Client().ProducerID(ctx); err != nil {",
			new:  "if err := ctx.Err(); err != nil {",
			test: "^TestIdleSuccessorEndsWhatWasLeftOpen$",
		},
		{
			guard: "rule 6, fault 5: an abort takes memory back", file: slot,
			old:  "if err := l.rollback(); err != nil {",
			new:  "if err := error(nil); err != nil || l == nil {",
			test: "^TestClockGoesBackWithAnAbort$",
		},
		{
			guard: "rule 6, fault 21: an abort takes a switch of definitions back", file: "stream/lane.go",
			old:  "	l.rollbackDefinitions()\n",
			new:  "",
			test: "^TestAbortTakesTheSwitchBack$",
		},
		{
			guard: "fault 21: deadlines before the switch are of the definition before", file: "stream/lifecycle/lineage.go",
			old:  "		made.advanceAll(s, customer, next.since, detected, out)\n		s = ",
			new:  "		s = ",
			test: "^TestDefinitionFollowsAtAnInstant$",
		},
		{
			guard: "rule 7: a member is known again", file: client,
			old:  "kgo.InstanceID(member),",
			new:  "",
			test: "^TestSuccessorEndsWhatWasLeftOpen$",
		},
		{
			guard: "rule 8, fault 17: a position that is gone is an error", file: client,
			old:  "kgo.ConsumeResetOffset(kgo.NoResetOffset()),",
			new:  "kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),",
			test: "^TestChaos17LogIsGone$/^input_truncated$",
		},
		{
			guard: "rule 8, fault 17: a position that is gone stops the worker", file: "stream/inputs.go",
			old:  "if !errors.Is(err, kerr.OffsetOutOfRange) {",
			new:  "if err != nil || !errors.Is(err, kerr.OffsetOutOfRange) {",
			test: "^TestChaos17LogIsGone$/^input_truncated$",
		},
		{
			guard: "rule 9: leaders are looked up again at once", file: client,
			old:  "kgo.MetadataMinAge(50 * time.Millisecond),",
			new:  "",
			test: "^TestProduceAfterACommitIsNotHeldUp$",
		},
		{
			guard: "rule 10: no end of a transaction in a callback", file: "stream/assignment.go",
			old:  "	s.taken = true\n	for _, ps := range partitions {",
			new:  "	_, _ = s.sess.End(context.Background(), kgo.TryAbort)\n	s.taken = true\n	for _, ps := range partitions {",
			test: "^TestRebalanceAbortsAreCounted$", hangs: true,
		},
		{
			guard: "rule 10: aborts are counted", file: session,
			old:  "{ s.metrics.aborts.WithLabelValues(s.role, why).Inc() }",
			new:  "{ _ = why }",
			test: "^TestRebalanceAbortsAreCounted$",
		},
		{
			guard: "rule 10: lanes are taken away as often as the group does", file: slot,
			old:  "kgo.Balancers(heedful{laneBalancer{cfg.address()}, s.given}),",
			new:  "kgo.Balancers(laneBalancer{cfg.address()}),",
			test: "^TestTwoRebalancesWithinOneTransaction$",
		},
		{
			guard: "questions are answered between two transactions", file: slot,
			old:  "		s.answer(lanes)\n	}\n",
			new:  "		s.answer(lanes)\n		s.inform(lanes)\n	}\n",
			test: "^TestOnlyWhatIsCommittedIsTold$",
		},
		{
			guard: "rule 10, fault 6: a new producer after an EndTxn without an answer", file: session,
			old:  "if err == nil && s.unanswered.noted.Load() {",
			new:  "if err == nil && s.unanswered == nil {",
			test: "^TestChaos06DelayedEndOfTransaction$/^older_protocol$",
		},
		{
			guard: "rule 11: only what was committed is read", file: client,
			old:  "kgo.FetchIsolationLevel(kgo.ReadCommitted()),",
			new:  "",
			test: "^TestReadToEndBehindATransactionThatIsAborted$",
		},
		{
			guard: "rule 11: a batch unpacks to a bounded size", file: client,
			old:  "kgo.MaxDecompressBatchBytes(cfg.batchBytes()),",
			new:  "",
			test: "^TestABatchThatUnpacksToTooMuchIsADeadLetter$/^routed_false$",
		},
		{
			guard: "rule 11: a fetch is bounded", file: client,
			old:  "kgo.FetchMaxBytes(cfg.fetchBytes()),",
			new:  "",
			test: "^TestClientSettings$",
		},
		{
			guard: "rule 11: a record goes where it is sent", file: client,
			old:  "kgo.RecordPartitioner(kgo.ManualPartitioner()),",
			new:  "",
			test: "^TestWorkerGivesTheFoldsRecords$",
		},
		{
			guard: "rule 12: transaction markers count", file: client,
			old:  "kgo.KeepControlRecords(),",
			new:  "",
			test: "^TestWallClockBehindAMarker$",
		},
		{
			guard: "rule 13: a restore waits for what is open", file: "stream/tail.go",
			old:  "if t.ends, err = adm.ListEndOffsets(ctx, topic); err == nil {",
			new:  "if t.ends, err = adm.ListCommittedOffsets(ctx, topic); err == nil {",
			test: "^TestRestoreBesideAnOpenTransaction$",
		},
		{
			guard: "rule 13: a restore ends behind an abort", file: "stream/tail.go",
			old:  "if !wanted {",
			new:  "if !wanted || r.Offset >= end {",
			test: "^TestReadToEndBehindATransactionThatIsAborted$",
		},
		{
			guard: "rule 14: positions of group and state are compared", file: restore,
			old:  "if o.Offset != p.NextOffset {",
			new:  "if o.Offset != p.NextOffset && p.Topic == `` {",
			test: "^TestLostGroupOffsetsStopTheWorker$",
		},
		{
			guard: "rule 14: a state that is gone is missed", file: restore,
			old:  "			if o.Offset >= 0 {\n				return",
			new:  "			if o.Offset >= 0 && topic == `` {\n				return",
			test: "^TestChaos17LogIsGone$/^changelog_recreated$",
		},
		{
			guard: "rule 15: the mailbox is kept for ever", file: "schemas/topics/topics.go",
			old:  "Name: Mailbox, Lanes: true, Forever: true,",
			new:  "Name: Mailbox, Lanes: true, Retention: 14 * day,",
			test: "^TestMailboxIsKeptForEver$",
		},
		{
			guard: "rule 15: the mailbox is trimmed below what all have committed", file: "stream/trim.go",
			old:  "least[lane] = min(at, o.At)",
			new:  "least[lane] = max(at, o.At)",
			test: "^TestTrimmingWaitsForOtherGenerations$",
		},
		{
			guard: "rule 16: a local store that was away for long is thrown away", file: restore,
			old:  "case known && mark.NextOffset < ends && age > changelog.tombstones:",
			new:  "case known && mark.NextOffset < ends && age < 0:",
			test: "^TestWhoWasErasedStaysErased$",
		},
		{
			guard: "rule 17: who stops for good leaves the group", file: slot,
			old:  "if ctx.Err() != nil && s.w.cfg.LeaveOnStop {",
			new:  "if ctx.Err() != nil && s.w.cfg.LeaveOnStop && s.num < 0 {",
			test: "^TestWhoStopsForGoodLeavesItsLanes$/^leave_on_stop_true$",
		},
		{
			guard: "rule 17: who comes back does not", file: slot,
			old:  "if ctx.Err() != nil && s.w.cfg.LeaveOnStop {",
			new:  "if ctx.Err() != nil {",
			test: "^TestWhoStopsForGoodLeavesItsLanes$/^leave_on_stop_false$",
		},
		{
			guard: "fault 17: a changelog is only appended to", file: slot,
			old:  "failed = s.fold.out.appended(lanes)",
			new:  "_ = s.fold.out.appended(lanes)",
			test: "^TestChaos17ChangelogRecreatedBeforeTheFirstWrite$",
		},
		{
			guard: "fault 17: a local store is of the topic that is there now", file: restore,
			old:  "if known && mark.Topic != changelog.topic {",
			new:  "if known && mark.Topic == [16]byte{} {",
			test: "^TestChaos17ChangelogRecreatedWhileALaneWasAway$",
		},
		{
			guard: "fault 18: a record's timestamp does not pass the wall clock", file: "stream/fold.go",
			old:  "newest = min(newest, f.now)",
			new:  "newest = min(newest, instant.Max)",
			test: "^TestChaos18FutureAndNoTime$",
		},
		{
			guard: "fault 22: the number of partitions is watched", file: "stream/watch.go",
			old:  "d.partitions > w.cfg.Lanes {",
			new:  "d.partitions < 0 {",
			test: "^TestChaos22PartitionsOfTheInputRaised$",
		},
	}
}
