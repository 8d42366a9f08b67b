// Pins Flux's kustomize-controller, which is built with the dependencies of its own go.mod and go.sum.
module ferroflux/e2e/tools/flux-kustomize-controller

go 1.26.0

require (
	github.com/fluxcd/kustomize-controller v1.9.6
	github.com/fluxcd/kustomize-controller/api v1.9.6
)
