// SPDX-License-Identifier: Apache-2.0

package chfront

import (
	"math/big"

	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/shopspring/decimal"
)

func columnType(name string) column.Type { return column.Type(name) }

func bigInt(i int) *big.Int { return new(big.Int).Lsh(big.NewInt(int64(i)), 100) }

func dec(i int) decimal.Decimal { return decimal.New(int64(i), -2) }
