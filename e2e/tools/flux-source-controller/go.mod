// Pins Flux's source-controller, which is built with the dependencies of its own go.mod and go.sum: the newest release of Flux 2.9
// whose modules the module proxy serves to everybody (later ones need versions of github.com/fluxcd/pkg/artifact that it may refuse).
module ferroflux/e2e/tools/flux-source-controller

go 1.26.0

require (
	github.com/fluxcd/source-controller v1.9.0
	github.com/fluxcd/source-controller/api v1.9.0
)
