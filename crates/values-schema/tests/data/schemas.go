//go:build ignore

// Records what Helm says of schemas and values. The seeds are schemas and values made at random from all keywords of a draft, one of each
// kind of message, and some by hand. What Go says in another order when it is asked again has "anyOrder".
//
// In an empty folder:
//
//	go mod init record
//	go get helm.sh/helm/v4@v4.3.2
//	go run schemas.go < schemas.seeds > schemas.jsonl
package main

import (
	"bufio"
	"encoding/json"
	"os"

	"helm.sh/helm/v4/pkg/chart/common/util"
)

type row struct {
	Schema   string         `json:"schema"`
	Values   map[string]any `json:"values,omitempty"`
	Err      *string        `json:"err,omitempty"`
	AnyOrder bool           `json:"anyOrder,omitempty"`
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for in.Scan() {
		var r row
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			panic(err)
		}
		for range 200 {
			err := util.ValidateAgainstSingleSchema(r.Values, []byte(r.Schema))
			if err == nil {
				continue
			}
			text := err.Error()
			r.AnyOrder = r.AnyOrder || r.Err != nil && *r.Err != text
			r.Err = &text
		}
		if err := out.Encode(r); err != nil {
			panic(err)
		}
	}
}
