// SPDX-License-Identifier: Apache-2.0

//go:build noembedded

package embedded

// Broker stands for the embedded broker, which this build does not have.
type Broker struct{}

// StartBroker returns ErrBrokerLeftOut, or what is wrong with cfg.
func StartBroker(cfg BrokerConfig) (*Broker, error) {
	if _, err := cfg.listenAddr(); err != nil {
		return nil, err
	}
	return nil, ErrBrokerLeftOut
}

// Addrs is empty: there is no broker.
func (*Broker) Addrs() []string { return nil }

// Close does nothing.
func (*Broker) Close() error { return nil }
