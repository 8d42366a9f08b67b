//go:build ignore

// Records what Go's text/template and fmt make of templates: of the seeds, and of those that every kind of value goes into.
//
//	go run exec.go < exec.seeds > exec.jsonl
//	go run exec.go fmt > fmt.jsonl
//
// A seed is a Go string literal; before it may stand "zero" or "error", for the option missingkey. The data and the functions are
// those of ../world/mod.rs.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"text/template"
)

type files map[string][]byte

func (f files) Get(name string) string                  { return string(f[name]) }
func (f files) Join(sep string, names ...string) string { return strings.Join(names, sep) }

type versions []string

func (v versions) Has(name string) bool {
	for _, version := range v {
		if version == name {
			return true
		}
	}
	return false
}

type caps struct {
	Version string
	Count   int
	Tags    []string
}

func (c *caps) Fail(text string) (string, error) { return "", errors.New(text) }

type kube struct {
	Major string
}

func (k *kube) String() string { return "v" + k.Major }

type point struct {
	X, Y int
}

type named struct {
	name  string
	value any
}

func world() []named {
	return []named{
		{"t", true},
		{"f", false},
		{"zero", 0},
		{"one", 1},
		{"neg", -42},
		{"i64", int64(7)},
		{"u8", uint8(200)},
		{"u64", uint64(math.MaxUint64)},
		{"flt", 1.5},
		{"fzero", math.Copysign(0, -1)},
		{"big", 1234567.0},
		{"huge", -1e21},
		{"tiny", 1e-7},
		{"inf", math.Inf(1)},
		{"nan", math.NaN()},
		{"cplx", complex(1, -2.5)},
		{"empty", ""},
		{"str", "abc"},
		{"uni", "ä€😀\n\x01"},
		{"tick", "a`b\\\"c"},
		{"raw", "a\xffb"},
		{"bytes", []byte("hi")},
		{"list", []any{1, "a", nil, 2.5}},
		{"strs", []string{"x", "y z"}},
		{"elist", []any{}},
		{"map", map[string]any{"b": 1, "a": []any{true, "x"}, "n": nil}},
		{"smap", map[string]string{"k": "v", "j": "w"}},
		{"emap", map[string]any{}},
		{"nested", map[string]any{"l": []any{map[string]any{"x": 1.0, "y": map[string]any{"z": "deep"}}}}},
		{"nil", nil},
		{"files", files{"a.txt": []byte("A\n"), "b.txt": []byte("B")}},
		{"versions", versions{"v1", "apps/v1"}},
		{"caps", &caps{"v4", 2, []string{"p", "q"}}},
		{"kube", &kube{"33"}},
		{"point", point{3, 4}},
	}
}

func data() map[string]any {
	m := map[string]any{}
	for _, n := range world() {
		m[n.name] = n.value
	}
	return m
}

func funcs(t *template.Template) template.FuncMap {
	execute := func(t *template.Template, data any) (string, error) {
		var b strings.Builder
		err := t.Execute(&b, data)
		return b.String(), err
	}
	return template.FuncMap{
		"add":      func(a, b int) int { return a + b },
		"upper":    func(s string) string { return strings.ToUpper(s) },
		"same":     func(v any) any { return v },
		"nothing":  func() any { return nil },
		"list":     func(v ...any) []any { return v },
		"nilWords": func() []string { return nil },
		"nilItems": func() []any { return nil },
		"nilTable": func() map[string]any { return nil },
		"strings":  func() []string { return []string{"p", "q"} },
		"fail":     func(s string) (string, error) { return "", errors.New(s) },
		"bool":     func(v bool) string { return fmt.Sprint("b:", v) },
		"float":    func(v float64) string { return fmt.Sprint("f:", v) },
		"int64":    func(v int64) int64 { return v },
		"uint64":   func(v uint64) uint64 { return v },
		"byte":     func(v uint8) uint8 { return v },
		"complex":  func(v complex128) complex128 { return v },
		"items":    func(v []any) string { return fmt.Sprint("l:", len(v)) },
		"words":    func(v []string) string { return fmt.Sprint("s:", len(v)) },
		"table":    func(v map[string]any) string { return fmt.Sprint("m:", len(v)) },
		"texts":    func(v map[string]string) string { return fmt.Sprint("t:", len(v)) },
		"capsOf":   func(v *caps) string { return fmt.Sprint("c:", v != nil) },
		"sum": func(name string, v ...int) string {
			s := 0
			for _, n := range v {
				s += n
			}
			return fmt.Sprint(name, s)
		},
		"dict": func(v ...any) map[string]any {
			m := map[string]any{}
			for i := 0; i+1 < len(v); i += 2 {
				m[v[i].(string)] = v[i+1]
			}
			return m
		},
		"set": func(m map[string]any, key string, v any) map[string]any {
			m[key] = v
			return m
		},
		"include": func(name string, data any) (string, error) {
			var b strings.Builder
			err := t.ExecuteTemplate(&b, name, data)
			return b.String(), err
		},
		"tpl": func(source string, data any) (string, error) {
			c, err := t.Clone()
			if err != nil {
				return "", err
			}
			c.Funcs(funcs(c))
			c, err = c.New("gotpl").Parse(source)
			if err != nil {
				return "", err
			}
			return execute(c, data)
		},
	}
}

type row struct {
	Source  string `json:"source"`
	Missing string `json:"missing,omitempty"`
	Output  string `json:"output,omitempty"`
	Error   string `json:"error,omitempty"`
}

func record(source, missing string) row {
	option := missing
	if option == "" {
		option = "default"
	}
	root := template.New("gotpl").Option("missingkey=" + option)
	root.Funcs(funcs(root))
	if _, err := root.New("dir/t.yaml").Parse(source); err != nil {
		return row{Source: source, Missing: missing, Error: err.Error()}
	}
	var b strings.Builder
	err := root.ExecuteTemplate(&b, "dir/t.yaml", data())
	r := row{Source: source, Missing: missing, Output: b.String()}
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

// The raw string is no UTF-8, and JSON cannot hold what it prints as.
func isText(name string) bool { return name != "raw" }

func seeds() []row {
	rows := []row{}
	scanner := bufio.NewScanner(os.Stdin)
	for scanner.Scan() {
		line := scanner.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		missing := ""
		for _, option := range []string{"zero", "error"} {
			if rest, found := strings.CutPrefix(line, option+" "); found {
				missing, line = option, rest
			}
		}
		seed, err := strconv.Unquote(line)
		if err != nil {
			panic(fmt.Sprintf("%s: %v", line, err))
		}
		rows = append(rows, record(seed, missing))
	}
	return rows
}

func generated() []row {
	rows := []row{}
	add := func(format string, args ...any) { rows = append(rows, record(fmt.Sprintf(format, args...), "")) }
	one := []string{
		"{{.%s}}", "{{if .%s}}yes{{else}}no{{end}}", "{{with .%s}}{{.}}{{end}}", "{{not .%s}}", "{{len .%s}}",
		"{{range .%s}}<{{.}}>{{else}}none{{end}}", "{{range $i, $e := .%s}}{{$i}}={{$e}};{{end}}", "{{.%s.x}}", "{{.%s.x.y}}",
		"{{$v := .%s}}{{$v.x}}", "{{(.%s).x}}", "{{index .%s}}", "{{index .%s 1}}", "{{index .%s \"b\"}}", "{{index .list .%s}}",
		"{{index .map .%s}}", "{{slice .%s 1}}", "{{slice .%s 0 1}}", "{{slice .%s}}", "{{html .%s}}", "{{js .%s}}", "{{urlquery .%s}}", "{{print .%s}}",
		"{{println .%s 1}}", "{{print 1 .%s 2 \"s\"}}", "{{.%s | print 1}}", "{{printf \"%%v %%T\" .one .%s}}", "{{printf .%s}}", "{{call .%s}}", "{{.%s 1}}", "{{1 | .%s}}",
		"{{and .%s 1}}", "{{or .%s 1}}", "{{.%s | and 1}}", "{{same .%s}}", "{{(same .%s).x}}", "{{same .%s | upper}}", "{{template \"q\" .%s}}{{define \"q\"}}{{.}}{{end}}",
	}
	for _, n := range world() {
		if !isText(n.name) {
			continue
		}
		for _, format := range one {
			if n.name == "u64" && strings.Contains(format, "range") {
				continue // It would never end.
			}
			add(format, n.name)
		}
		for _, f := range []string{"upper", "bool", "float", "int64", "uint64", "byte", "complex", "items", "words", "table", "texts", "capsOf", "sum", "add 1"} {
			add("{{%s .%s}}", f, n.name)
			add("{{.%s | %s}}", n.name, f)
			add("{{%s $.%s}}{{$x := .%s}}{{%s $x}}", f, n.name, n.name, f)
		}
		for _, other := range world() {
			if !isText(other.name) {
				continue
			}
			for _, f := range []string{"eq", "lt"} {
				add("{{%s .%s .%s}}", f, n.name, other.name)
			}
		}
		for _, f := range []string{"ne", "le", "gt", "ge"} {
			add("{{%s .%s 1}}{{%s 1 .%s}}", f, n.name, f, n.name)
			add("{{%s .%s .str}}", f, n.name)
		}
	}
	for _, f := range []string{"upper", "bool", "float", "int64", "uint64", "byte", "complex", "items", "words", "table", "capsOf", "sum", "same", "len", "not", "eq 1", "index .list", "print", "printf"} {
		for _, literal := range []string{"", "1", "-1", "1.0", "1.5", "300", "'a'", "1i", "0x10", "0x1p4", "1e3", "18446744073709551615", "true", "\"s\"", "`s`", "nil", ".", "$", "(1)", "(nothing)", "nothing", ".map.missing", "$.nil", "(add 1 2)", "strings", "1 2"} {
			add("{{%s %s}}", f, literal)
			add("{{%s | %s}}", literal, f)
		}
	}
	return rows
}

func formats() []string {
	list := []string{}
	for _, verb := range "vTtdsqxXobcUeEfFgGOpw" {
		for _, flags := range []string{"", "+", "#", "+#", "0", "-", " ", "8", "-8", "08", "+08", "3", ".2", ".0", "8.3", "-8.1", "#x"[:1] + "8", " +6", "# "} {
			list = append(list, "%"+flags+string(verb))
		}
	}
	return list
}

// Addresses differ from run to run.
func hasAddress(v any) bool {
	switch reflect.ValueOf(v).Kind() {
	case reflect.Slice, reflect.Map, reflect.Pointer:
		return true
	}
	return false
}

func main() {
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	encode := func(v any) {
		if err := out.Encode(v); err != nil {
			panic(err)
		}
	}
	if len(os.Args) > 1 {
		for _, format := range formats() {
			texts := []string{}
			for _, n := range world() {
				if strings.HasSuffix(format, "p") && hasAddress(n.value) || !isText(n.name) {
					texts = append(texts, "-")
					continue
				}
				texts = append(texts, fmt.Sprintf(format, n.value))
			}
			encode(map[string]any{"format": format, "texts": texts})
		}
		return
	}
	address := regexp.MustCompile("0x[0-9a-f]{6,}")
	for _, r := range append(seeds(), generated()...) {
		if !address.MatchString(r.Output + r.Error) {
			encode(r)
		}
	}
}
