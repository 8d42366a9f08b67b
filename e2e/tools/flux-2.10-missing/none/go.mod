// Takes the place of a module that the module proxy does not serve, so that its packages come from the version of another module
// that still has them.
module ferroflux/e2e/tools/flux-2.10-missing/none

go 1.26.0
