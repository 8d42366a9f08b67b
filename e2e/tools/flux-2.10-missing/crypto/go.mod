// Stands for a module of Flux 2.10 that the module proxy does not serve: what identities of service accounts at clouds are configured by.
module github.com/fluxcd/pkg/apis/crypto

go 1.26.0
