// Package broker has what the controllers of Flux 2.10 need of it to be compiled. Using it is an error.
package broker

import (
	"context"
	"errors"

	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

// KubernetesObjectReference is whom a token is for.
type KubernetesObjectReference struct{ Group, Kind, Namespace, Name, UID string }

// Interface gets tokens.
type Interface interface {
	FetchJWTSVID(context.Context, KubernetesObjectReference, []string) (*jwtsvid.SVID, error)
}

// Client is a connection to whoever gives them.
type Client interface {
	Interface
	Close() error
}

// New fails.
func New(string, []string, *workloadapi.X509Source) (Client, error) {
	return nil, errors.New("SPIFFE is not part of this build of Flux")
}
