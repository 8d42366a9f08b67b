// Stands for a module of Flux 2.10 that the module proxy does not serve: certificates and tokens by SPIFFE, which is off by default.
module github.com/fluxcd/pkg/spiffe

go 1.26.0

require github.com/spiffe/go-spiffe/v2 v2.9.0
