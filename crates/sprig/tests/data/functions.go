//go:build ignore

// Records what Go's engine makes of calls of the functions that Helm 4.3 gives to templates: each function with arguments of
// the types that it takes, and with some that it does not take, chosen at random from a fixed seed.
//
// In an empty folder:
//
//	go mod init record
//	go get github.com/Masterminds/sprig/v3@v3.3.0 github.com/Masterminds/semver/v3@v3.5.0 sigs.k8s.io/yaml/goyaml.v3@v1.6.0 github.com/BurntSushi/toml@v1.6.0
//	TZ=UTC go run functions.go > functions.jsonl
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"reflect"
	"slices"
	"sort"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
	"github.com/Masterminds/sprig/v3"
	"sigs.k8s.io/yaml"
	yaml3 "sigs.k8s.io/yaml/goyaml.v3"
)

// How many calls of each function there are.
const calls = 30

// What is random, depends on the time or the machine, or has no order.
var skipped = []string{
	"ago", "now", "bcrypt", "htpasswd", "genPrivateKey", "buildCustomCert", "genCA", "genCAWithKey", "genSelfSignedCert",
	"genSelfSignedCertWithKey", "genSignedCert", "genSignedCertWithKey", "encryptAES", "randBytes", "uuidv4", "randAlphaNum", "randAlpha",
	"randAscii", "randNumeric", "randInt", "shuffle", "env", "expandenv", "getHostByName", "keys", "values", "derivePassword", "fail",
}

func text(data []byte, err error) string {
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(data), "\n")
}

func must(data []byte, err error) string {
	if err != nil {
		panic(err)
	}
	return strings.TrimSuffix(string(data), "\n")
}

func decoded(m map[string]any, err error) map[string]any {
	if err != nil {
		m["Error"] = err.Error()
	}
	return m
}

func items(a []any, err error) []any {
	if err != nil {
		return []any{err.Error()}
	}
	return a
}

func encodeToml(v any) (string, error) {
	b := bytes.Buffer{}
	err := toml.NewEncoder(&b).Encode(v)
	return b.String(), err
}

// As Helm's own functions are.
func functions() template.FuncMap {
	f := sprig.TxtFuncMap()
	f["toYaml"] = func(v any) string { return text(yaml.Marshal(v)) }
	f["mustToYaml"] = func(v any) string { return must(yaml.Marshal(v)) }
	f["toYamlPretty"] = func(v any) string {
		b := bytes.Buffer{}
		e := yaml3.NewEncoder(&b)
		e.SetIndent(2)
		err := e.Encode(v)
		return text(b.Bytes(), err)
	}
	f["fromYaml"] = func(s string) map[string]any {
		m := map[string]any{}
		err := yaml.Unmarshal([]byte(s), &m)
		return decoded(m, err)
	}
	f["fromYamlArray"] = func(s string) []any {
		a := []any{}
		err := yaml.Unmarshal([]byte(s), &a)
		return items(a, err)
	}
	f["toJson"] = func(v any) string { return text(json.Marshal(v)) }
	f["mustToJson"] = func(v any) string { return must(json.Marshal(v)) }
	f["fromJson"] = func(s string) map[string]any {
		m := map[string]any{}
		err := json.Unmarshal([]byte(s), &m)
		return decoded(m, err)
	}
	f["fromJsonArray"] = func(s string) []any {
		a := []any{}
		err := json.Unmarshal([]byte(s), &a)
		return items(a, err)
	}
	f["toToml"] = func(v any) string {
		s, err := encodeToml(v)
		if err != nil {
			return err.Error()
		}
		return s
	}
	f["mustToToml"] = func(v any) string {
		s, err := encodeToml(v)
		if err != nil {
			panic(err)
		}
		return s
	}
	f["fromToml"] = func(s string) map[string]any {
		m := map[string]any{}
		err := toml.Unmarshal([]byte(s), &m)
		return decoded(m, err)
	}
	return f
}

var texts = []string{
	"", "a", "abc", "Hello World", "foo bar_baz-Qux9", "ÄÖ ü ß", " x \n y ", "1", "-12.50", "010", "0x1F", "1_000", "a/b/../c.tar.gz",
	"/", "https://u:p%40@h.example:80/p/a%20b?q=1&r#f", "mailto:a@b", "//h/p", "1.2.3-rc.1+b", "v1.2", "^1.2.0-0", ">=1 <2 || 3.x", "[a-z]+",
	"(a)(b)?", "(?i)^H.*d$", "x*", "$1-${2}x", "[", "2006-01-02", "Mon Jan _2 15:04:05 MST 2006", "2024-02-29", "2024-02-29T13:04:05+02:00",
	"1h30m", "-1.5s", "UTC", "Asia/Kolkata", `{"a":[1,2.5,null],"b":"<&>"}`, `[1,"x"]`, `{"a":`, "a: 1\nb: [x, y]\n", "- 1\n- b: ~\n", "a: b: c",
	"YWJj", "YW=", "MFRGG===", "a = 1\n[b]\nc = \"x\"\n", "true", "null", "\t", "a,b,,c", ",", "HTTPServer2xx", "the quick brown fox jumps over the lazy dog",
	"string", "map", "<html> & 'q' \"d\"", "a\\b\"c", "日本語", "userAgent", "A-B_C d",
}

var values = []string{
	"nil", "true", "false", "0", "1", "3", "-7", "2.5", "-0.5", "1e10", "1234567.0", "0.1", "(int64 5)", "(list)", `(list 1 "a" nil 2.5)`, `(list "b" "a" "b")`,
	"(list 3 1 2 1)", `(list (dict "k" 1) (dict "k" 2))`, "(dict)", `(dict "a" 1 "b" (dict "c" "x"))`, `(dict "a" "" "b" false "l" (list 1 2))`, `(dict "path" "/x y" "host" "h" "scheme" "https")`,
	"(until 3)", `(splitList "," "x,y")`, `(split "," "x,y")`, `(toDate "2006-01-02" "2024-02-29")`, `(semver "1.2.3-rc.1")`, `"a"`, `"Hello World"`, `""`, `"12"`, `"0.30"`, `"multi\nline\n"`, `"yes"`,
	`(dict "n" nil "f" 1.0 "big" 123456789012.0 "s" "it's: #x")`, `(list (list 1 2) (list) "x")`, "(rest (list))",
}

var integers = []string{"0", "1", "2", "3", "-1", "5", "8", "20", "100"}
var maps = []string{"(dict)", `(dict "a" 1 "b" (dict "c" "x"))`, `(dict "a" 2 "d" (list 1))`, `(dict "b" (dict "c" "" "e" true) "a" 0)`, "nil", `(dict "path" "/x y" "host" "h:1" "scheme" "https" "query" "q" "userinfo" "u:p" "fragment" "f g")`}
var lists = []string{"nil", "(list)", `(list 1 "a")`}

func argument(r *rand.Rand, t reflect.Type) string {
	pick := func(from []string) string { return from[r.Intn(len(from))] }
	// Now and then what does not fit.
	if r.Intn(12) == 0 {
		return pick(values)
	}
	switch t {
	case reflect.TypeFor[string]():
		return fmt.Sprintf("%q", pick(texts))
	case reflect.TypeFor[bool]():
		return pick([]string{"true", "false"})
	case reflect.TypeFor[float64]():
		return pick([]string{"0.5", "0.0", "2.5"})
	case reflect.TypeFor[time.Time]():
		return `(toDate "2006-01-02T15:04:05Z07:00" "2024-02-29T13:04:05+02:00")`
	}
	switch t.Kind() {
	case reflect.Int:
		return pick(integers)
	case reflect.Map:
		return pick(maps)
	case reflect.Slice:
		return pick(lists)
	}
	if r.Intn(3) == 0 {
		return fmt.Sprintf("%q", pick(texts))
	}
	return pick(values)
}

func call(r *rand.Rand, name string, t reflect.Type) string {
	parts := []string{name}
	for i := range t.NumIn() {
		if t.IsVariadic() && i == t.NumIn()-1 {
			for range r.Intn(4) {
				parts = append(parts, argument(r, t.In(i).Elem()))
			}
			break
		}
		parts = append(parts, argument(r, t.In(i)))
	}
	return strings.Join(parts, " ")
}

// What is the time, or is known to differ: see the head of the crate.
func isKnown(name, call string) bool {
	showsNow := strings.HasPrefix(strings.ToLower(name), "date") || strings.HasPrefix(name, "htmlDate")
	hasTime := strings.Contains(call, "(toDate") || strings.Contains(call, "(int64")
	isCopy := strings.HasSuffix(strings.ToLower(name), "deepcopy") && strings.Contains(call, "semver")
	isSecondDocument := strings.HasPrefix(name, "fromYaml") && strings.Contains(call, "[a-z]+")
	return showsNow && !hasTime || isCopy || isSecondDocument
}

func main() {
	f := functions()
	names := []string{}
	for name := range f {
		if !slices.Contains(skipped, name) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	r := rand.New(rand.NewSource(1))
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for _, name := range names {
		seen := map[string]bool{}
		for range calls {
			c := call(r, name, reflect.TypeOf(f[name]))
			if seen[c] || isKnown(name, c) {
				continue
			}
			seen[c] = true
			source := fmt.Sprintf(`{{$x := %s}}{{printf "%%T" $x}} {{$x}} {{toJson $x}}`, c)
			t, err := template.New("t").Funcs(f).Option("missingkey=zero").Parse(source)
			b := strings.Builder{}
			if err == nil {
				err = t.Execute(&b, nil)
			}
			row := map[string]string{"call": c}
			if err != nil {
				row["error"] = err.Error()
			} else {
				row["output"] = b.String()
			}
			// JSON can hold nothing else, and TOML's reader has its own words.
			if !utf8.ValidString(row["output"]+row["error"]) || strings.Contains(row["output"], "toml: line") {
				continue
			}
			if err := out.Encode(row); err != nil {
				panic(err)
			}
		}
	}
}
