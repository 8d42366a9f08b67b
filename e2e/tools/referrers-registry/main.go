// An OCI registry in memory that lists referrers, on a port of the loopback address.
package main

import (
	"io"
	"log"
	"net/http"
	"os"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	silent := registry.Logger(log.New(io.Discard, "", 0))
	handler := registry.New(registry.WithReferrersSupport(true), silent)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], handler))
}
