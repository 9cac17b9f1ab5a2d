// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"lapwing/schemas/definition"
	"lapwing/schemas/topics"
	"lapwing/sink"
	"lapwing/sink/writer"
	"lapwing/stream"
)

// Variables of the environment that stand above the file.
const (
	brokersVariable       = "LAPWING_KAFKA_BROKERS"
	kafkaPasswordVariable = "LAPWING_KAFKA_PASSWORD" //nolint:gosec // the name of a variable, not a password
)

// config is lapwing.yaml: what all parts share, then a section per part.
type config struct {
	Definition string `yaml:"definition"` // a file, or preset:NAME
	Generation uint32 `yaml:"generation"`
	// CreateTopics makes topics that are missing, inputs too, when the service starts.
	CreateTopics bool   `yaml:"create_topics"`
	HTTP         string `yaml:"http"` // host:port of health, metrics and questions about customers
	// Advertise is the host:port at which other instances reach HTTP, to pass on questions
	// about the customers this one has; empty: HTTP itself, if that is a loopback address.
	Advertise string `yaml:"advertise"`
	// Pprof is the host:port of profiles, a loopback one; empty: those are served with
	// health if that is on a loopback address.
	Pprof      string            `yaml:"pprof"`
	Memory     memoryConfig      `yaml:"memory"`
	Kafka      kafkaConfig       `yaml:"kafka"`
	Stream     stream.Config     `yaml:"stream"`
	Sink       sink.Config       `yaml:"sink"`
	ClickHouse writer.Connection `yaml:"clickhouse"`
	Log        logConfig         `yaml:"log"`
}

type memoryConfig struct {
	Limit byteSize `yaml:"limit"` // what the process should stay below
}

// byteSize is a number of bytes, written such as 512MiB or 2GB.
type byteSize int64

// UnmarshalYAML reads a size with its unit, or a number of bytes.
func (b *byteSize) UnmarshalYAML(text []byte) error {
	n, err := humanize.ParseBytes(strings.Trim(string(text), "\" '\n"))
	if err != nil || n > math.MaxInt64 {
		return fmt.Errorf("%q is no size: want such as 512MiB or 2GiB", strings.TrimSpace(string(text)))
	}
	*b = byteSize(n)
	return nil
}

// MarshalYAML writes the size with the largest unit that divides it.
func (b byteSize) MarshalYAML() (any, error) {
	for _, unit := range []struct {
		size int64
		name string
	}{{humanize.GiByte, "GiB"}, {humanize.MiByte, "MiB"}, {humanize.KiByte, "KiB"}} {
		if b != 0 && int64(b)%unit.size == 0 {
			return fmt.Sprintf("%d%s", int64(b)/unit.size, unit.name), nil
		}
	}
	return int64(b), nil
}

type kafkaConfig struct {
	Brokers []string   `yaml:"brokers"`
	Prefix  string     `yaml:"prefix"` // before the name of each of Lapwing's topics
	TLS     tlsConfig  `yaml:"tls"`
	SASL    saslConfig `yaml:"sasl"`
}

type tlsConfig struct {
	Enabled     bool   `yaml:"enabled"`
	CA          string `yaml:"ca"`          // file; empty: the system's
	Certificate string `yaml:"certificate"` // file, with Key: this client's own
	Key         string `yaml:"key"`
}

type saslConfig struct {
	Mechanism string `yaml:"mechanism"` // plain, scram-sha-256 or scram-sha-512; empty: none
	User      string `yaml:"user"`
	Password  string `yaml:"password"`
}

type logConfig struct {
	Level  string `yaml:"level"`  // debug, info, warn or error
	Format string `yaml:"format"` // json or console
}

// sharedFields are set once for all parts; the parts' own are filled from them.
const sharedFields = "set it once for all parts: kafka.brokers, kafka.prefix, generation, clickhouse.database, clickhouse.cluster"

func defaultConfig() config {
	c := config{
		Generation: 1, CreateTopics: true, HTTP: "127.0.0.1:9644",
		Memory:     memoryConfig{Limit: humanize.GiByte},
		Kafka:      kafkaConfig{Brokers: []string{"127.0.0.1:9092"}, Prefix: topics.DefaultPrefix},
		Stream:     stream.Default(),
		Sink:       sink.Default(),
		ClickHouse: writer.DefaultConnection(),
		Log:        logConfig{Level: "info", Format: "json"},
	}
	// Empty, so that a file which sets them is noticed.
	c.Stream.Brokers, c.Stream.Prefix, c.Stream.Generation = nil, "", 0
	c.Stream.StateDir = "lapwing-state"
	c.Sink.Brokers, c.Sink.Prefix, c.Sink.Generation, c.Sink.Database = nil, "", 0, ""
	return c
}

// loadConfig reads and checks a file. All that is wrong is said at once.
func (a *app) loadConfig(path string) (*config, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the user names it
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no file %s; deploy/lapwing.example.yaml is one to start from", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	c := defaultConfig()
	err = yaml.NewDecoder(bytes.NewReader(text), yaml.Strict(), yaml.CustomUnmarshaler(readDuration)).Decode(&c)
	if err != nil && !errors.Is(err, io.EOF) { // an empty file is all defaults
		if e, ok := errors.AsType[yaml.Error](err); ok && e.GetToken() != nil {
			at := e.GetToken().Position
			return nil, fmt.Errorf("%s:%d:%d: %s", path, at.Line, at.Column, whatIsWrong(e))
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := c.complete(a.env); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &c, nil
}

// readDuration takes Go's durations, and days and weeks as definitions write them.
func readDuration(d *time.Duration, text []byte) error {
	var word string
	if err := yaml.Unmarshal(text, &word); err != nil {
		word = string(text)
	}
	var err error
	if *d, err = time.ParseDuration(word); err == nil {
		return nil
	}
	if *d, err = definition.ParseDuration(word); err != nil {
		return fmt.Errorf("%q is no duration: want such as 500ms, 10s or 24h", word)
	}
	return nil
}

// whatIsWrong is the library's message, without Go's words.
func whatIsWrong(e yaml.Error) string {
	if _, ok := errors.AsType[*yaml.UnknownFieldError](e); ok {
		return fmt.Sprintf("there is no key %q here; deploy/lapwing.example.yaml has them all", e.GetToken().Value)
	}
	mismatch, ok := errors.AsType[*yaml.TypeError](e)
	if !ok {
		return e.GetMessage()
	}
	want := "another kind of value"
	switch kind := mismatch.DstType.Kind(); {
	case kind == reflect.Bool:
		want = "true or false"
	case kind >= reflect.Int && kind <= reflect.Uint64:
		want = "a whole number"
	case kind == reflect.String:
		want = "a text"
	case kind == reflect.Slice:
		want = "a list"
	case kind == reflect.Struct:
		want = "a section with keys of its own"
	}
	return fmt.Sprintf("%q does not fit here: want %s", e.GetToken().Value, want)
}

// complete takes what the environment says, hands what is shared to the parts, and checks.
func (c *config) complete(env func(string) string) error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if len(c.Stream.Brokers)+len(c.Sink.Brokers) > 0 || c.Stream.Prefix+c.Sink.Prefix+c.Sink.Database+c.Sink.Cluster != "" ||
		c.Stream.Generation != 0 || c.Sink.Generation != 0 {
		bad("the sections stream and sink have no brokers, prefix, generation, database or cluster of their own: %s", sharedFields)
	}
	if brokers := env(brokersVariable); brokers != "" {
		c.Kafka.Brokers = strings.Split(brokers, ",")
	}
	if password := env(kafkaPasswordVariable); password != "" {
		c.Kafka.SASL.Password = password
	}
	if address := env(clickHouseVariable); address != "" {
		if err := setAddress(&c.ClickHouse, address); err != nil {
			problems = append(problems, err)
		}
	}
	if c.Stream.Instance == "" {
		name, err := os.Hostname()
		if err != nil {
			bad("stream.instance: %w; give this process a name that it keeps", err)
		}
		c.Stream.Instance = name
	}
	c.Stream.Brokers, c.Stream.Prefix, c.Stream.Generation = c.Kafka.Brokers, c.Kafka.Prefix, c.Generation
	c.Stream.MemoryLimit = int64(c.Memory.Limit)
	c.Sink.Brokers, c.Sink.Prefix, c.Sink.Generation, c.Sink.Database = c.Kafka.Brokers, c.Kafka.Prefix, int(c.Generation), c.ClickHouse.Database
	c.Sink.Cluster = c.ClickHouse.Cluster
	if c.Definition == "" {
		bad(`definition is "": want a file, or preset:NAME`)
	}
	host, _, err := net.SplitHostPort(c.HTTP)
	if err != nil || host == "" {
		bad("http is %q: want host:port, such as 127.0.0.1:9644", c.HTTP)
	}
	c.Stream.Advertise = c.Advertise
	if c.Advertise == "" && isLoopbackHost(host) {
		c.Stream.Advertise = c.HTTP
	}
	if at, port, err := net.SplitHostPort(c.Advertise); c.Advertise != "" && (err != nil || at == "" || port == "0" || net.ParseIP(at).IsUnspecified()) {
		bad("advertise is %q: want the host:port at which other instances reach this one, such as 10.0.0.7:9644", c.Advertise)
	}
	if host, _, err := net.SplitHostPort(c.Pprof); c.Pprof != "" && (err != nil || !isLoopbackHost(host)) {
		bad("pprof is %q: %s", c.Pprof, loopbackOnly)
	}
	if _, err := c.Log.level(); err != nil {
		bad("log.level is %q: want debug, info, warn or error", c.Log.Level)
	}
	if c.Log.Format != "json" && c.Log.Format != "console" {
		bad("log.format is %q: want json or console", c.Log.Format)
	}
	if _, err := c.Kafka.options(); err != nil {
		problems = append(problems, err)
	}
	if err := c.Stream.Validate(); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			if !strings.HasPrefix(line, "memory.") { // a section of its own
				line = "stream." + line
			}
			bad("%s", line)
		}
	}
	problems = append(problems, c.Sink.Validate(), c.ClickHouse.Validate())
	return errors.Join(problems...)
}

func isLoopbackHost(host string) bool { return host == "localhost" || net.ParseIP(host).IsLoopback() }

// options are how the Kafka clients reach a cluster that asks for TLS or a password.
func (k *kafkaConfig) options() ([]kgo.Opt, error) {
	var opts []kgo.Opt
	if t := k.TLS; t.Enabled {
		settings := &tls.Config{MinVersion: tls.VersionTLS12}
		if t.CA != "" {
			pem, err := os.ReadFile(t.CA)
			if err != nil {
				return nil, fmt.Errorf("kafka.tls.ca: %w", err)
			}
			settings.RootCAs = x509.NewCertPool()
			if !settings.RootCAs.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("kafka.tls.ca: %s holds no certificate in PEM", t.CA)
			}
		}
		if t.Certificate != "" || t.Key != "" {
			own, err := tls.LoadX509KeyPair(t.Certificate, t.Key)
			if err != nil {
				return nil, fmt.Errorf("kafka.tls.certificate and key: %w", err)
			}
			settings.Certificates = []tls.Certificate{own}
		}
		opts = append(opts, kgo.DialTLSConfig(settings))
	} else if t.CA+t.Certificate+t.Key != "" {
		return nil, errors.New("kafka.tls.enabled is false, but files are named: want enabled: true, or no files")
	}
	switch s := k.SASL; s.Mechanism {
	case "":
		if s.User+s.Password != "" {
			return nil, errors.New(`kafka.sasl.mechanism is "": want plain, scram-sha-256 or scram-sha-512 for a user`)
		}
	case "plain":
		opts = append(opts, kgo.SASL(plain.Auth{User: s.User, Pass: s.Password}.AsMechanism()))
	case "scram-sha-256":
		opts = append(opts, kgo.SASL(scram.Auth{User: s.User, Pass: s.Password}.AsSha256Mechanism()))
	case "scram-sha-512":
		opts = append(opts, kgo.SASL(scram.Auth{User: s.User, Pass: s.Password}.AsSha512Mechanism()))
	default:
		return nil, fmt.Errorf("kafka.sasl.mechanism is %q: want plain, scram-sha-256 or scram-sha-512", s.Mechanism)
	}
	return opts, nil
}

func (a *app) configCommand() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "config -c FILE",
		Short: "Check a configuration and print it, defaults and environment included",
		Long: `Reads lapwing.yaml as run does, refuses unknown keys, and prints every setting that
would be in force. Passwords are not printed.`,
		Example: "  lapwing config -c lapwing.yaml",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if path == "" {
				return usageError("say which file: -c lapwing.yaml")
			}
			c, err := a.loadConfig(path)
			if err != nil {
				return err
			}
			for _, secret := range []*string{&c.Kafka.SASL.Password, &c.ClickHouse.Password} {
				if *secret != "" {
					*secret = "(set)"
				}
			}
			// What is shared is printed once, where it is set, so that the output can be a file.
			c.Stream.Brokers, c.Stream.Prefix, c.Stream.Generation = nil, "", 0
			c.Sink.Brokers, c.Sink.Prefix, c.Sink.Generation, c.Sink.Database, c.Sink.Cluster = nil, "", 0, "", ""
			text, err := yaml.Marshal(c)
			if err != nil {
				return fmt.Errorf("print the configuration: %w", err)
			}
			_, err = a.stdout.Write(text)
			return err
		},
	}
	c.Flags().StringVarP(&path, "config", "c", "", "the configuration file")
	return c
}
