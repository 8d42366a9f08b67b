//go:build ignore

// Records what Flux composes of values and how it digests them: package chartutil of fluxcd/pkg. Floats are written with a point, so that
// they differ from integers.
//
// In an empty folder:
//
//	go mod init record
//	go mod edit -replace github.com/opencontainers/go-digest=github.com/opencontainers/go-digest@v1.0.1-0.20231025023718-d50d2fec9c98
//	go get github.com/fluxcd/pkg/chartutil@v1.27.2 github.com/fluxcd/pkg/apis/meta@v1.30.2 sigs.k8s.io/controller-runtime@v0.24.1
//	go run values.go < values.seeds > values.jsonl
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strconv"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/chartutil"
	"github.com/go-logr/logr"
	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"
)

type row struct {
	References []meta.ValuesReference       `json:"references,omitempty"`
	// The entries of ConfigMaps and Secrets, by kind and name: no other object is there.
	Data       map[string]map[string]string `json:"data,omitempty"`
	Values     json.RawMessage              `json:"values,omitempty"`
	Out        json.RawMessage              `json:"out,omitempty"`
	Digest     string                       `json:"digest,omitempty"`
	Err        string                       `json:"err,omitempty"`
}

// What json.Marshal writes, with a point in each float.
func write(b *bytes.Buffer, value any) {
	switch v := value.(type) {
	case map[string]any:
		keys, _ := json.Marshal(v)
		var order map[string]json.RawMessage
		_ = json.Unmarshal(keys, &order)
		b.WriteByte('{')
		first := true
		for _, k := range sorted(order) {
			if !first {
				b.WriteByte(',')
			}
			first = false
			name, _ := json.Marshal(k)
			b.Write(name)
			b.WriteByte(':')
			write(b, v[k])
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, item := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			write(b, item)
		}
		b.WriteByte(']')
	case float64:
		text := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(text, ".e") {
			text += ".0"
		}
		b.WriteString(text)
	default:
		text, _ := json.Marshal(v)
		b.Write(text)
	}
}

func sorted(m map[string]json.RawMessage) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	for i := range keys {
		for j := i + 1; j < len(keys); j++ {
			if keys[j] < keys[i] {
				keys[i], keys[j] = keys[j], keys[i]
			}
		}
	}
	return keys
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var r row
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			panic(err.Error() + lines.Text())
		}
		builder := fake.NewClientBuilder()
		for id, data := range r.Data {
			kind, name, _ := strings.Cut(id, "/")
			metadata := metav1.ObjectMeta{Namespace: "ns", Name: name}
			if kind == "Secret" {
				binary := map[string][]byte{}
				for k, v := range data {
					binary[k] = []byte(v)
				}
				builder = builder.WithObjects(&corev1.Secret{ObjectMeta: metadata, Data: binary})
			} else {
				builder = builder.WithObjects(&corev1.ConfigMap{ObjectMeta: metadata, Data: data})
			}
		}
		var values map[string]any
		if r.Values != nil {
			_ = yaml.Unmarshal(r.Values, &values)
		}
		out, err := chartutil.ChartValuesFromReferences(context.Background(), logr.Discard(), builder.Build(), "ns", values, r.References...)
		if err != nil {
			r.Err = err.Error()
		} else {
			var b bytes.Buffer
			write(&b, map[string]any(out))
			r.Out = b.Bytes()
			r.Digest = chartutil.DigestValues(digest.SHA256, out).String()
		}
		line := bytes.Buffer{}
		encoder := json.NewEncoder(&line)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(r); err != nil {
			panic(err)
		}
		os.Stdout.Write(line.Bytes())
	}
}
