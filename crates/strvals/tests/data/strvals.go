//go:build ignore

// Records what Helm's package strvals makes of texts. The seeds are texts made at random from the tokens that the package knows, one of each
// kind of answer, and some by hand. Floats are written with a point, so that they differ from integers.
//
// In an empty folder:
//
//	go mod init record
//	go get helm.sh/helm/v4@v4.3.2
//	go run strvals.go < strvals.seeds > strvals.jsonl
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"

	"helm.sh/helm/v4/pkg/strvals"
)

type row struct {
	Mode string         `json:"mode"`
	Text string         `json:"text"`
	Base map[string]any `json:"base,omitempty"`
	Out  any            `json:"out,omitempty"`
	Err  *string        `json:"err,omitempty"`
}

func marked(v any) any {
	switch v := v.(type) {
	case float64:
		text, _ := json.Marshal(v)
		if !bytes.ContainsAny(text, ".e") {
			text = append(text, ".0"...)
		}
		return json.RawMessage(text)
	case map[string]any:
		m := map[string]any{}
		for key, value := range v {
			m[key] = marked(value)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, value := range v {
			l[i] = marked(value)
		}
		return l
	}
	return v
}

func read(path []rune) (any, error) {
	if strings.HasPrefix(string(path), "no") {
		return nil, errors.New("open " + string(path) + ": no such file or directory")
	}
	return "content of " + string(path), nil
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for in.Scan() {
		var r, copy row
		for _, into := range []*row{&r, &copy} {
			if err := json.Unmarshal(in.Bytes(), into); err != nil {
				panic(err)
			}
		}
		values := copy.Base
		if values == nil {
			values = map[string]any{}
		}
		var err error
		switch r.Mode {
		case "set":
			err = strvals.ParseInto(r.Text, values)
		case "string":
			err = strvals.ParseIntoString(r.Text, values)
		case "literal":
			err = strvals.ParseLiteralInto(r.Text, values)
		case "json":
			err = strvals.ParseJSON(r.Text, values)
		case "file":
			err = strvals.ParseIntoFile(r.Text, values, read)
		}
		if err != nil {
			text := err.Error()
			r.Err = &text
		} else {
			r.Out = marked(values)
		}
		if err := out.Encode(r); err != nil {
			panic(err)
		}
	}
}
