// Pins a Git forge, which is built with the dependencies of its own go.mod and go.sum.
module ferroflux/e2e/tools/gitea

go 1.26.0

require code.gitea.io/gitea v1.26.0
