// SPDX-License-Identifier: Apache-2.0

package writer

import (
	"errors"

	ch "github.com/ClickHouse/clickhouse-go/v2"
)

// Class says what an error of ClickHouse calls for.
type Class int

// The classes of errors.
const (
	// Retry: the same bytes may succeed later, or have succeeded unheard.
	Retry Class = iota + 1
	// Skip: ClickHouse refuses a value; the rest of the batch is good.
	Skip
	// Halt: only a person can help (schema, rights).
	Halt
)

// String is the class as a metric label.
func (c Class) String() string {
	switch c {
	case Retry:
		return "retry"
	case Skip:
		return "skip"
	case Halt:
		return "halt"
	default:
		return "unknown"
	}
}

// codes are exceptions of ClickHouse that are not retried, by code, as in
// src/Common/ErrorCodes.cpp of its source. Everything else is retried for ever: an
// unknown error must never lose a row.
var codes = map[int32]Class{
	// The value is refused.
	69:  Skip, // ARGUMENT_OUT_OF_BOUND
	131: Skip, // TOO_LARGE_STRING_SIZE
	321: Skip, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
	407: Skip, // DECIMAL_OVERFLOW
	469: Skip, // VIOLATED_CONSTRAINT
	// The schema is not this binary's.
	8:  Halt, // THERE_IS_NO_COLUMN
	16: Halt, // NO_SUCH_COLUMN_IN_TABLE
	20: Halt, // NUMBER_OF_COLUMNS_DOESNT_MATCH
	44: Halt, // ILLEGAL_COLUMN
	47: Halt, // UNKNOWN_IDENTIFIER
	50: Halt, // UNKNOWN_TYPE
	53: Halt, // TYPE_MISMATCH
	60: Halt, // UNKNOWN_TABLE
	62: Halt, // SYNTAX_ERROR
	70: Halt, // CANNOT_CONVERT_TYPE
	81: Halt, // UNKNOWN_DATABASE
	// The server is older than a setting that exactness rests on.
	115: Halt, // UNKNOWN_SETTING
	// Rights.
	164: Halt, // READONLY
	192: Halt, // UNKNOWN_USER
	193: Halt, // WRONG_PASSWORD
	194: Halt, // REQUIRED_PASSWORD
	497: Halt, // ACCESS_DENIED
	516: Halt, // AUTHENTICATION_FAILED
}

// Classify says what to do about err, by the exception's code, never by its text.
// An error without a code (network, timeout) is retried.
func Classify(err error) Class {
	if e, ok := errors.AsType[*ch.Exception](err); ok {
		if class, known := codes[e.Code]; known {
			return class
		}
		return Retry
	}
	if _, ok := errors.AsType[*fatalError](err); ok {
		return Halt
	}
	return Retry
}

// Code is the exception's code, or 0 for an error that is not ClickHouse's.
func Code(err error) int32 {
	if e, ok := errors.AsType[*ch.Exception](err); ok {
		return e.Code
	}
	return 0
}

// Fatal makes err one that is not retried.
func Fatal(err error) error { return &fatalError{err} }

type fatalError struct{ err error }

func (e *fatalError) Error() string { return e.err.Error() }
func (e *fatalError) Unwrap() error { return e.err }
