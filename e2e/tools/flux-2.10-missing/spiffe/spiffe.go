// Package spiffe has what the controllers of Flux 2.10 need of it to be compiled. Using it is an error.
package spiffe

import (
	"crypto/tls"
	"errors"

	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

const (
	ControllerFlagAuthorizedArtifactClientSPIFFEID = "authorized-artifact-client-spiffe-id"
	ControllerFlagAuthorizedArtifactServerSPIFFEID = "authorized-artifact-server-spiffe-id"
	ControllerFlagAuthorizedEventServerSPIFFEID    = "authorized-event-server-spiffe-id"
	ControllerFlagSPIFFEBrokerEndpoint             = "spiffe-broker-endpoint"
	ControllerFlagSPIFFEBrokerID                   = "spiffe-broker-id"
)

// BuildTLSConfig fails.
func BuildTLSConfig(*workloadapi.X509Source, ...string) (*tls.Config, error) {
	return nil, errors.New("SPIFFE is not part of this build of Flux")
}
