// Pins SOPS, which is built with the dependencies of its own go.mod and go.sum.
module ferroflux/e2e/tools/sops

go 1.26.0

require github.com/getsops/sops/v3 v3.13.3
