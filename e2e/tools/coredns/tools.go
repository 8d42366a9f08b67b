//go:build tools

// Package tools pins the DNS server of clusters with a node.
package tools

import _ "github.com/coredns/coredns"
