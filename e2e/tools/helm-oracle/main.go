// Renders charts with the real Helm: rows come in on the standard input, one JSON object a line, and answers go out on the standard output.
//
// The argument says what a row asks for:
//
//	table     the text of templates/t.yaml
//	values    the values that each enabled chart sees
//	template  what `helm template` prints, and the notes
//
// Helm has maps in which Go's order decides. A row is therefore answered twice; if the answers differ, "unstable" is set.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"helm.sh/helm/v4/pkg/action"
	chartapi "helm.sh/helm/v4/pkg/chart"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/cli/values"
	"helm.sh/helm/v4/pkg/engine"
	"helm.sh/helm/v4/pkg/getter"
	release "helm.sh/helm/v4/pkg/release/v1"
)

// Row is a chart, values for it and how to render it.
type Row struct {
	ID          json.RawMessage   `json:"id"`
	Template    *string           `json:"t"`
	ChartValues *string           `json:"v"`
	Files       map[string]string `json:"files"`
	Values      []string          `json:"values"`
	Set         []string          `json:"set"`
	SetString   []string          `json:"setString"`
	SetJSON     []string          `json:"setJson"`
	SetLiteral  []string          `json:"setLiteral"`
	SetFile     map[string]string `json:"setFile"`
	APIVersions []string          `json:"apiVersions"`
	Upgrade     bool              `json:"upgrade"`
	SkipSchema  bool              `json:"skipSchema"`
	IncludeCRDs bool              `json:"includeCRDs"`
	PostRender  string            `json:"postRender"`
}

// Answer is what Helm makes of a row.
type Answer struct {
	ID       json.RawMessage `json:"id"`
	Out      any             `json:"out,omitempty"`
	Err      *string         `json:"err,omitempty"`
	Notes    string          `json:"notes,omitempty"`
	Unstable bool            `json:"unstable,omitempty"`
}

const (
	metadata    = "apiVersion: v2\nname: c\nversion: 1.2.3\nappVersion: 4.5.6\n"
	releaseName = "r"
	namespace   = "ns"
	kubeVersion = "v1.33.0"
	asked       = "c/templates/t.yaml"
)

func main() {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	answer, known := map[string]func(*Row) (any, string, error){"table": text, "values": seen, "template": printed}[strings.Join(os.Args[1:], " ")]
	if !known {
		fmt.Fprintln(os.Stderr, "usage: helm-oracle table|values|template")
		os.Exit(2)
	}
	// The files of a row are named in errors, without a folder.
	folder, err := os.MkdirTemp("", "helm-oracle-")
	check(err)
	defer os.RemoveAll(folder)
	check(os.Chdir(folder))
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var row Row
			check(json.Unmarshal(line, &row))
			first, second := try(answer, &row), try(answer, &row)
			a, err := encode(first)
			check(err)
			b, err := encode(second)
			check(err)
			if !bytes.Equal(a, b) {
				first.Unstable = true
				a, err = encode(first)
				check(err)
			}
			_, _ = out.Write(a)
			check(out.Flush())
		}
		if err != nil {
			return
		}
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func encode(answer Answer) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(answer)
	return text.Bytes(), err
}

func try(answer func(*Row) (any, string, error), row *Row) (result Answer) {
	result.ID = row.ID
	defer func() {
		if panicked := recover(); panicked != nil {
			text := fmt.Sprint("panic: ", panicked)
			result.Out, result.Err = nil, &text
		}
	}()
	out, notes, err := answer(row)
	if err != nil {
		text := err.Error()
		result.Err = &text
		return result
	}
	result.Out, result.Notes = out, notes
	return result
}

// The chart of a row. Helm changes charts that it renders, so that each is loaded anew.
func (row *Row) chart() (*chart.Chart, error) {
	var files []*archive.BufferedFile
	add := func(name, text string) {
		files = append(files, &archive.BufferedFile{Name: name, Data: []byte(text)})
	}
	if _, given := row.Files["Chart.yaml"]; !given {
		add("Chart.yaml", metadata)
	}
	if row.Template != nil {
		add("templates/t.yaml", *row.Template)
	}
	if row.ChartValues != nil {
		add("values.yaml", *row.ChartValues)
	}
	for name, text := range row.Files {
		add(name, text)
	}
	// As a folder is read.
	slices.SortFunc(files, func(a, b *archive.BufferedFile) int { return strings.Compare(a.Name, b.Name) })
	return loader.LoadFiles(files)
}

// The values that the user gives, merged.
func (row *Row) values() (map[string]any, error) {
	options := values.Options{Values: row.Set, StringValues: row.SetString, JSONValues: row.SetJSON, LiteralValues: row.SetLiteral}
	for number, text := range row.Values {
		name := fmt.Sprintf("v%d.yaml", number)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			return nil, err
		}
		options.ValueFiles = append(options.ValueFiles, name)
	}
	number := 0
	for key, text := range row.SetFile {
		name := fmt.Sprintf("f%d", number)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			return nil, err
		}
		options.FileValues = append(options.FileValues, key+"="+name)
		number++
	}
	return options.MergeValues(getter.Providers{})
}

func (row *Row) capabilities() (*common.Capabilities, error) {
	version, err := common.ParseKubeVersion(kubeVersion)
	if err != nil {
		return nil, err
	}
	capabilities := common.DefaultCapabilities.Copy()
	capabilities.KubeVersion = *version
	capabilities.APIVersions = append(capabilities.APIVersions, row.APIVersions...)
	return capabilities, nil
}

// What templates see.
func (row *Row) scope() (*chart.Chart, common.Values, error) {
	given, err := row.values()
	if err != nil {
		return nil, nil, err
	}
	loaded, err := row.chart()
	if err != nil {
		return nil, nil, err
	}
	if err := chartutil.ProcessDependencies(loaded, given); err != nil {
		return nil, nil, fmt.Errorf("chart dependencies processing failed: %w", err)
	}
	capabilities, err := row.capabilities()
	if err != nil {
		return nil, nil, err
	}
	options := common.ReleaseOptions{Name: releaseName, Namespace: namespace, Revision: 1, IsInstall: !row.Upgrade, IsUpgrade: row.Upgrade}
	scope, err := util.ToRenderValuesWithSchemaValidation(loaded, given, options, capabilities, row.SkipSchema)
	return loaded, scope, err
}

func text(row *Row) (any, string, error) {
	loaded, scope, err := row.scope()
	if err != nil {
		return nil, "", err
	}
	texts, err := engine.Render(loaded, scope)
	if err != nil {
		return nil, "", err
	}
	out, rendered := texts[asked]
	if !rendered {
		return nil, "", errors.New(asked + " is not rendered")
	}
	return out, "", nil
}

func seen(row *Row) (any, string, error) {
	loaded, scope, err := row.scope()
	if err != nil {
		return nil, "", err
	}
	out := map[string]any{}
	collect(loaded, scope, out)
	return out, "", nil
}

// Each chart sees the table of its name, as Helm's engine has it.
func collect(loaded *chart.Chart, scope common.Values, out map[string]any) {
	own := common.Values{}
	if loaded.IsRoot() {
		own, _ = scope["Values"].(common.Values)
		if plain, is := scope["Values"].(map[string]any); is {
			own = plain
		}
	} else if table, err := scope.Table("Values." + loaded.Name()); err == nil {
		own = table
	}
	out[loaded.ChartFullPath()] = typed(map[string]any(own))
	for _, dependency := range loaded.Dependencies() {
		collect(dependency, common.Values{"Values": own}, out)
	}
}

// A value whose floats are written with a point or an exponent, so that they differ from integers.
func typed(value any) any {
	switch value := value.(type) {
	case common.Values:
		return typed(map[string]any(value))
	case map[string]any:
		out := map[string]any{}
		for key, entry := range value {
			out[key] = typed(entry)
		}
		return out
	case []any:
		out := make([]any, len(value))
		for index, item := range value {
			out[index] = typed(item)
		}
		return out
	case float64:
		if value == math.Trunc(value) && math.Abs(value) < 1e15 {
			return json.RawMessage(strconv.FormatFloat(value, 'f', 1, 64))
		}
		return json.RawMessage(strconv.FormatFloat(value, 'e', -1, 64))
	default:
		return value
	}
}

// A post-renderer that changes nothing.
type unchanged struct{}

func (unchanged) Run(documents *bytes.Buffer) (*bytes.Buffer, error) {
	return documents, nil
}

func printed(row *Row) (any, string, error) {
	given, err := row.values()
	if err != nil {
		return nil, "", err
	}
	loaded, err := row.chart()
	if err != nil {
		return nil, "", err
	}
	required := make([]chartapi.Dependency, 0, len(loaded.Metadata.Dependencies))
	for _, dependency := range loaded.Metadata.Dependencies {
		required = append(required, dependency)
	}
	if err := action.CheckDependencies(loaded, required); err != nil {
		return nil, "", fmt.Errorf("an error occurred while checking for chart dependencies. You may need to run 'helm dependency build' to fetch missing dependencies: %w", err)
	}
	version, err := common.ParseKubeVersion(kubeVersion)
	if err != nil {
		return nil, "", err
	}
	install := action.NewInstall(action.NewConfiguration())
	install.DryRunStrategy = action.DryRunClient
	install.ReleaseName, install.Namespace = releaseName, namespace
	install.Replace = true
	install.KubeVersion = version
	install.APIVersions = row.APIVersions
	install.IsUpgrade = row.Upgrade
	install.IncludeCRDs = row.IncludeCRDs
	install.SkipSchemaValidation = row.SkipSchema
	if row.PostRender != "" {
		install.PostRenderer, install.PostRenderStrategy = unchanged{}, action.PostRenderStrategy(row.PostRender)
	}
	installed, err := install.Run(loaded, given)
	if err != nil {
		return nil, "", err
	}
	made, is := installed.(*release.Release)
	if !is {
		return nil, "", fmt.Errorf("a release of type %T", installed)
	}
	var out strings.Builder
	fmt.Fprintln(&out, strings.TrimSpace(made.Manifest))
	for _, hook := range made.Hooks {
		fmt.Fprintf(&out, "---\n# Source: %s\n%s\n", hook.Path, hook.Manifest)
	}
	return out.String(), made.Info.Notes, nil
}
