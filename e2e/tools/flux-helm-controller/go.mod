// Pins Flux's helm-controller, which is built with the dependencies of its own go.mod and go.sum.
module ferroflux/e2e/tools/flux-helm-controller

go 1.26.0

require (
	github.com/fluxcd/helm-controller v1.6.4
	github.com/fluxcd/helm-controller/api v1.6.4
)
