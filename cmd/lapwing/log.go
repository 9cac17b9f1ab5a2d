// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func (l *logConfig) level() (zapcore.Level, error) { return zapcore.ParseLevel(l.Level) }

// logger writes to w as configured.
func (l *logConfig) logger(w io.Writer) (*zap.Logger, error) {
	level, err := l.level()
	if err != nil {
		return nil, err
	}
	settings := zap.NewProductionEncoderConfig()
	settings.EncodeTime = zapcore.ISO8601TimeEncoder
	settings.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(settings)
	if l.Format == "console" {
		encoder = zapcore.NewConsoleEncoder(settings)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), level)), nil
}
