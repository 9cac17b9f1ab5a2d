// SPDX-License-Identifier: Apache-2.0

package kafkabroker

import (
	"strings"
	"testing"
)

func TestPomNamesTheSameVersion(t *testing.T) {
	if want := "<kafka.version>" + Version + "</kafka.version>"; !strings.Contains(string(pom), want) {
		t.Errorf("pom.xml does not contain %s", want)
	}
}

func TestJavaThatIsTooOldIsNamed(t *testing.T) {
	for _, ok := range []string{"openjdk version \"17.0.15\" 2025-04-15\n", "java version \"21\" 2023-09-19 LTS\n"} {
		if err := checkJavaVersion(ok); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
	for printed, want := range map[string]string{"java version \"1.8.0_392\"\n": "Java 1,", "openjdk version \"11.0.2\" 2019": "Java 11,", "": "no version"} {
		if err := checkJavaVersion(printed); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want it to name %q", printed, err, want)
		}
	}
}

func TestOwnPropertiesOverrideOurs(t *testing.T) {
	text := serverProperties("/d", "127.0.0.1:1", "127.0.0.1:2", []string{"offsets.topic.num.partitions=7"})
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if got := lines[len(lines)-1]; got != "offsets.topic.num.partitions=7" {
		t.Errorf("the last line is %q", got)
	}
}
