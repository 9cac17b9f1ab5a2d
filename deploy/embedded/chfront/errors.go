// SPDX-License-Identifier: Apache-2.0

package chfront

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// Codes of ClickHouse that the front gives by itself.
const (
	codeCannotReadAllData = 33
	codeNotImplemented    = 48
	codeSyntaxError       = 62
	codeReadonly          = 164
	codeTooManyQueries    = 202
	codeSessionNotFound   = 372
	codeSessionIsLocked   = 373
	codeQueryCancelled    = 394
	codeAuthentication    = 516
	codeUnknownException  = 1002
)

// exception is an answer to the client as ClickHouse words it.
type exception struct {
	code    int
	message string // without "Code: N. DB::Exception: "
}

func (e *exception) Error() string {
	return fmt.Sprintf("Code: %d. DB::Exception: %s", e.code, e.message)
}

func refuse(code int, format string, args ...any) error {
	return &exception{code: code, message: fmt.Sprintf(format, args...)}
}

var engineMessage = regexp.MustCompile(`(?s)^Code: (\d+)\. (?:DB::Exception: )?(.*)$`)

// asException makes any error an answer: ours as it is, the engine's message
// taken apart, and the rest as an unknown exception.
func asException(err error) *exception {
	var e *exception
	if errors.As(err, &e) {
		return e
	}
	message := strings.TrimRight(err.Error(), "\n")
	if m := engineMessage.FindStringSubmatch(message); m != nil {
		if code, err := strconv.Atoi(m[1]); err == nil {
			return &exception{code: code, message: m[2]}
		}
	}
	return &exception{code: codeUnknownException, message: message}
}

// httpStatus is the status that ClickHouse's HTTP interface gives to a code;
// all that is not the client's doing is 500.
func httpStatus(code int) int {
	switch code {
	case codeReadonly, 194, codeAuthentication, 497:
		return http.StatusForbidden
	case 6, 26, 27, 36, 38, 41, 42, 43, 53, codeSyntaxError, 69, 70, 72, 115, 117, 456, 457:
		return http.StatusBadRequest
	case 46, 47, 60, 81, 82, 218:
		return http.StatusNotFound
	case codeNotImplemented:
		return http.StatusNotImplemented
	case 159:
		return http.StatusRequestTimeout
	case codeTooManyQueries:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
