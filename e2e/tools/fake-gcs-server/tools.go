//go:build tools

// Package tools pins the store of Google that tests start.
package tools

import _ "github.com/fsouza/fake-gcs-server"
