// Pins what enforces network policies, which is built with the dependencies of its own go.mod and go.sum.
module ferroflux/e2e/tools/kube-router

go 1.26.0

require github.com/cloudnativelabs/kube-router/v2 v2.1.0
