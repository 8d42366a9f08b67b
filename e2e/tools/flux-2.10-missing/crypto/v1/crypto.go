// Package v1 has what the modules of Flux 2.10 need of it to be compiled. An object without a cloud provider has an empty
// configuration, as with Flux; whatever would need more is an error.
package v1

import (
	"errors"
	"time"
)

const (
	AnnotationCredentialProvider     = "credential.auth.fluxcd.io/provider"
	AnnotationCredentialType         = "credential.auth.fluxcd.io/type"
	AnnotationTransitEngineLoginPath = "transit-engine.auth.fluxcd.io/login-path"
	AnnotationTransitEngineRole      = "transit-engine.auth.fluxcd.io/role"

	CredentialProviderKubernetes = "kubernetes"
	CredentialProviderSPIFFE     = "spiffe"
	CredentialTypeJWT            = "jwt"

	DefaultAudienceAWS   = "sts.amazonaws.com"
	DefaultAudienceAzure = "api://AzureADTokenExchange"
	RegistryAWSPublicECR = "public.ecr.aws"

	ProviderAWS     = "aws"
	ProviderAzure   = "azure"
	ProviderGCP     = "gcp"
	ProviderGeneric = "generic"
)

type (
	Spec     struct{ Auth *AuthSpec }
	AuthSpec struct {
		Credential    *CredentialSpec
		AWS           *AWSSpec
		Azure         *AzureSpec
		GCP           *GCPSpec
		DockerHub     *DockerHubSpec
		TransitEngine *TransitEngineSpec
	}
	CredentialSpec struct {
		Provider, Type, Username string
		Expiration               time.Duration
		Audiences                []string
	}
	AWSSpec struct {
		RoleARN, STSEndpoint string
		Cluster              *AWSClusterSpec
	}
	AWSClusterSpec struct{ Region, Name string }
	AzureSpec      struct {
		TenantID, ClientID string
		Cluster            *AzureClusterSpec
	}
	AzureClusterSpec  struct{ SubscriptionID, ResourceGroup, Name string }
	GCPSpec           struct{ WorkloadIdentityProvider, ServiceAccount string }
	DockerHubSpec     struct{ OIDCConnectionID string }
	TransitEngineSpec struct{ LoginPath, Role string }

	// Option says what the configuration is for; all that matters here is whether it is for nothing.
	Option func(*options)

	options struct{ provider string }
)

var errNotHere = errors.New("identities at clouds are not part of this build of Flux")

// OptedIn tells whether an object asks for credentials by annotations.
func (*AuthSpec) OptedIn() bool { return false }

// BuildSpec gives an empty configuration.
func BuildSpec(opts ...Option) (*Spec, error) {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	if o.provider != "" && o.provider != ProviderGeneric {
		return nil, errNotHere
	}
	return &Spec{}, nil
}

func WithServiceProvider(provider string) Option { return func(o *options) { o.provider = provider } }

func WithAnnotations(map[string]string) Option { return func(*options) {} }
func WithCertSecretRef() Option                { return func(*options) {} }
func WithGitHubEnterpriseServer() Option       { return func(*options) {} }
func WithImagePullSecrets() Option             { return func(*options) {} }
func WithKubeConfigAudiences(string) Option    { return func(*options) {} }
func WithKubeConfigCluster(string) Option      { return func(*options) {} }
func WithOCI() Option                          { return func(*options) {} }
func WithSOPSVaultConfigMap() Option           { return func(*options) {} }
func WithSTSEndpoint(string, string) Option    { return func(*options) {} }
func WithSecretRefAuth() Option                { return func(*options) {} }
func WithSecretRefCerts() Option               { return func(*options) {} }

func GetDefaultAudienceGCP(string) string                      { return "" }
func GetAWSRoleSessionName(string, string, string) string      { return "" }
func GetAWSRegionFromArtifactRegistryInput(string) string      { return "" }
func GetAWSRegionFromCodeCommitURL(string) (string, error)     { return "", errNotHere }
func GetRegistryFromArtifactRepository(string) (string, error) { return "", errNotHere }
func ParseArtifactRepository(string, string) (string, error)   { return "", errNotHere }
func ParseClusterAddress(string) (string, error)               { return "", errNotHere }
func ParseGitRepository(string, string) (string, error)        { return "", errNotHere }
