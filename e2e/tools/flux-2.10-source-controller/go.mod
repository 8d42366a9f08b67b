// Pins source-controller of Flux 2.10. The module proxy does not serve all that it requires: what is below stands for that, and is
// added to the go.mod of its authors. Nothing of it has to do with what is written to a cluster, but for `artifact`: the archives.
module ferroflux/e2e/tools/flux-2.10-source-controller

go 1.27.0

toolchain go1.27.4

require (
	github.com/fluxcd/source-controller v1.10.1
	github.com/fluxcd/source-controller/api v1.10.1
)

// Added to the copy.
require gitlab.com/gitlab-org/api/client-go v1.46.0 // indirect

replace (
	github.com/fluxcd/pkg/apis/crypto => ../flux-2.10-missing/crypto
	github.com/fluxcd/pkg/artifact => github.com/fluxcd/pkg/artifact v0.18.0
	github.com/fluxcd/pkg/http/transport => github.com/fluxcd/pkg/http/transport v0.8.0
	github.com/fluxcd/pkg/lockedfile => github.com/fluxcd/pkg/lockedfile v0.8.0
	github.com/fluxcd/pkg/masktoken => github.com/fluxcd/pkg/masktoken v0.9.0
	github.com/fluxcd/pkg/spiffe => ../flux-2.10-missing/spiffe
	github.com/google/go-containerregistry/pkg/authn/k8schain => github.com/google/go-containerregistry/pkg/authn/k8schain v0.0.0-20250225234217-098045d5e61f
	github.com/mozillazg/docker-credential-acr-helper => github.com/mozillazg/docker-credential-acr-helper v0.4.0
	github.com/mozillazg/docker-credential-acr-helper/pkg/acr => ../flux-2.10-missing/none
	github.com/opencontainers/go-digest/blake3 => github.com/opencontainers/go-digest/blake3 v0.0.0-20250813155314-89707e38ad1a
	github.com/sigstore/cosign/v3 => github.com/sigstore/cosign/v3 v3.1.3
)
