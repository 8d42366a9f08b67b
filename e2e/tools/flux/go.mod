// Pins Flux's command line client, which is built with the dependencies of its own go.mod and go.sum, and the controllers whose
// manifests it installs.
module ferroflux/e2e/tools/flux

go 1.26.0

require (
	github.com/fluxcd/flux2/v2 v2.9.5
	github.com/fluxcd/helm-controller v1.6.4
	github.com/fluxcd/kustomize-controller v1.9.5
	github.com/fluxcd/source-controller v1.9.5
)
