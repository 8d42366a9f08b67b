// Pins cosign, which is built with the dependencies of its own go.mod and go.sum.
module ferroflux/e2e/tools/cosign

go 1.26.0

require github.com/sigstore/cosign/v3 v3.1.3
