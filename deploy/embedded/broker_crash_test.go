// SPDX-License-Identifier: Apache-2.0

//go:build !noembedded

package embedded

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const brokerChildDir = "LAPWING_TEST_BROKER_DIR"

// TestBrokerChild is the process that TestBrokerSurvivesSIGKILL kills: a broker and a
// producer that prints each value once it is acknowledged. By itself it does nothing.
func TestBrokerChild(t *testing.T) {
	dir := os.Getenv(brokerChildDir)
	if dir == "" {
		return
	}
	b := startBroker(t, BrokerConfig{Dir: dir})
	plain := brokerClient(t, b.Addrs(), kgo.DefaultProduceTopic("plain"))
	createBrokerTopic(t, plain, 1, nil, "plain")
	createBrokerTopic(t, plain, 1, nil, "transactional")
	tx := brokerClient(t, b.Addrs(), kgo.DefaultProduceTopic("transactional"), kgo.TransactionalID("slot-0"))
	for i := 0; ; i++ {
		if err := plain.ProduceSync(t.Context(), kgo.StringRecord(strconv.Itoa(i))).FirstErr(); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("acked plain %d\n", i)
		if err := tx.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := tx.ProduceSync(t.Context(), kgo.StringRecord(strconv.Itoa(i))).FirstErr(); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("open transactional %d\n", i)
		if err := tx.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("acked transactional %d\n", i)
	}
}

// Killed while it writes, the broker has all that it acknowledged, in order and once,
// when it opens the folder again; and no transaction stays open.
func TestBrokerSurvivesSIGKILL(t *testing.T) {
	dir := t.TempDir()
	acked := map[string]int{"plain": -1, "transactional": -1} // the highest value acknowledged
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBrokerChild$")
	child.Env = append(os.Environ(), brokerChildDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		word := strings.Fields(lines.Text())
		if len(word) != 3 {
			t.Logf("child: %s", lines.Text())
			continue
		}
		n, err := strconv.Atoi(word[2])
		if err != nil {
			t.Logf("child: %s", lines.Text())
			continue
		}
		if word[0] == "acked" {
			acked[word[1]] = n
		}
		// Dying between the open and the end of a transaction is the hard case.
		if word[0] == "open" && n == 200 {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil || acked["plain"] < 200 {
		t.Fatalf("the child ended by itself: %v, acknowledged %v", err, acked)
	}

	b := startBroker(t, BrokerConfig{Dir: dir})
	ctx, cancel := context.WithTimeout(t.Context(), brokerPatience)
	defer cancel()
	for topic, last := range acked {
		reader := brokerClient(t, b.Addrs(), kgo.ConsumeTopics(topic),
			kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
		got, err := readBroker(ctx, reader, last+1)
		if err != nil {
			t.Fatalf("%s after SIGKILL: %v", topic, err)
		}
		for i := range got {
			if got[i] != strconv.Itoa(i) {
				t.Fatalf("%s after SIGKILL: record %d is %s; acknowledged up to %d", topic, i, got[i], last)
			}
		}
		admin := kadm.NewClient(reader)
		end, err := admin.ListEndOffsets(ctx, topic)
		if err != nil {
			t.Fatal(err)
		}
		stable, err := admin.ListCommittedOffsets(ctx, topic)
		if err != nil {
			t.Fatal(err)
		}
		e, _ := end.Lookup(topic, 0)
		s, _ := stable.Lookup(topic, 0)
		if e.Offset != s.Offset {
			t.Errorf("%s after SIGKILL: stable up to %d of %d: a transaction is still open", topic, s.Offset, e.Offset)
		}
	}
}
