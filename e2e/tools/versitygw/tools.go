//go:build tools

// Package tools pins the store of S3 that tests start.
package tools

import _ "github.com/versity/versitygw/cmd/versitygw"
