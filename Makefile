# SPDX-License-Identifier: Apache-2.0
# Short names for what CONTRIBUTING.md tells; the checks themselves are .ci/run.
.PHONY: build test fmt lint check demo

TOOL := go tool -modfile=.ci/tools/go.mod

build:
	go build -o lapwing ./cmd/lapwing

test:
	go test ./...

fmt:
	$(TOOL) golangci-lint fmt ./...

lint:
	$(TOOL) golangci-lint run ./...

check:
	.ci/run

demo:
	go run ./cmd/lapwing demo
