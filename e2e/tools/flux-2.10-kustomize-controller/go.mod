// Pins kustomize-controller of Flux 2.10. The module proxy does not serve all that it requires: what is below stands for that, and is
// added to the go.mod of its authors. Nothing of it has to do with what is written to a cluster.
module ferroflux/e2e/tools/flux-2.10-kustomize-controller

go 1.27.0

toolchain go1.27.4

require (
	github.com/fluxcd/kustomize-controller v1.10.1
	github.com/fluxcd/kustomize-controller/api v1.10.1
)

// Added to the copy.
replace (
	github.com/fluxcd/pkg/apis/crypto => ../flux-2.10-missing/crypto
	github.com/fluxcd/pkg/http/fetch => github.com/fluxcd/pkg/http/fetch v0.25.0
	github.com/fluxcd/pkg/masktoken => github.com/fluxcd/pkg/masktoken v0.9.0
	github.com/fluxcd/pkg/spiffe => ../flux-2.10-missing/spiffe
	github.com/opencontainers/go-digest/blake3 => github.com/opencontainers/go-digest/blake3 v0.0.0-20250813155314-89707e38ad1a
)
