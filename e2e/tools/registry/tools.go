//go:build tools

// Package tools pins the OCI registry that tests start.
package tools

import _ "github.com/distribution/distribution/v3/cmd/registry"
