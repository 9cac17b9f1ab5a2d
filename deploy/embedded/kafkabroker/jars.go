// SPDX-License-Identifier: Apache-2.0

package kafkabroker

import (
	"context"
	_ "embed" // the list of jars
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"

	"lapwing/deploy/embedded/internal/filelock"
)

// Version is the version of the broker that Start runs; pom.xml names the same.
const Version = "4.3.1"

// copyPlugin resolves pom.xml into a folder; pinned, or Maven takes the newest.
const copyPlugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

// minJava is the oldest Java that a Kafka 4 broker runs on.
const minJava = 17

//go:embed pom.xml
var pom []byte

// javaVersionLine finds the major version in what `java -version` prints, of 17.0.15 or 21 alike.
var javaVersionLine = regexp.MustCompile(`version "(\d+)`)

// ErrLacking means that this machine has no Java that can run the broker, or no way to
// fetch the broker.
var ErrLacking = errors.New("this machine lacks what a real Kafka broker needs")

// findJava returns the path of a Java that can run the broker.
func findJava(ctx context.Context) (string, error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return "", fmt.Errorf("find Java %d or later, which runs the Kafka broker: %w", minJava, err)
	}
	out, err := exec.CommandContext(ctx, java, "-version").CombinedOutput() //nolint:gosec // G204: found on the PATH by a fixed name
	if err != nil {
		return "", fmt.Errorf("run %s -version: %w: %s", java, err, out)
	}
	if err := checkJavaVersion(string(out)); err != nil {
		return "", fmt.Errorf("check %s: %w", java, err)
	}
	return java, nil
}

func checkJavaVersion(printed string) error {
	m := javaVersionLine.FindStringSubmatch(printed)
	if m == nil {
		return fmt.Errorf("no version in %q", printed)
	}
	if major, err := strconv.Atoi(m[1]); err != nil || major < minJava {
		return fmt.Errorf("found Java %s, the Kafka broker needs %d or later", m[1], minJava)
	}
	return nil
}

// fetchJars returns the folder with the broker's jars: from the user's cache, or by
// Maven into it. Processes that start together wait for one download; a download cut
// short leaves nothing that looks complete. announce is told before a download begins.
func fetchJars(ctx context.Context, announce func(string)) (_ string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the user's cache folder: %w", err)
	}
	root := filepath.Join(cache, "lapwing", "kafka")
	libs := filepath.Join(root, Version)
	if _, err := os.Stat(libs); err == nil {
		return libs, nil
	}
	if err := os.MkdirAll(root, 0o750); err != nil {
		return "", fmt.Errorf("create cache folder: %w", err)
	}
	lock, err := filelock.Acquire(filepath.Join(root, Version+".lock"))
	if err != nil {
		return "", fmt.Errorf("wait for another download: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	if _, err := os.Stat(libs); err == nil {
		return libs, nil // the process that held the lock fetched them
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("look for the broker's jars: %w", err)
	}

	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return "", fmt.Errorf("find Maven, which fetches the Kafka broker: %w", err)
	}
	work, err := os.MkdirTemp(root, "download-")
	if err != nil {
		return "", fmt.Errorf("create download folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	pomFile := filepath.Join(work, "pom.xml")
	if err := os.WriteFile(pomFile, pom, 0o600); err != nil {
		return "", fmt.Errorf("write pom.xml: %w", err)
	}
	announce(fmt.Sprintf("fetching Apache Kafka %s (44 MB) with Maven into %s", Version, libs))
	done := filepath.Join(work, "libs")
	// -C: a jar whose checksum does not match its repository's is refused.
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "-C", "-f", pomFile, copyPlugin, //nolint:gosec // G204: found on the PATH by a fixed name
		"-DoutputDirectory="+done, "-DincludeScope=runtime")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("fetch the Kafka broker with Maven: %w: %s", err, lastLines(string(out), 5))
	}
	if err := os.Rename(done, libs); err != nil {
		return "", fmt.Errorf("put the broker's jars in place: %w", err)
	}
	return libs, nil
}
