// Pins Helm, which is built with the dependencies of its own go.mod and go.sum.
module ferroflux/e2e/tools/helm

go 1.26.0

require helm.sh/helm/v4 v4.3.1
