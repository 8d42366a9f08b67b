// Records what Go's text/template/parse makes of the seeds and of every prefix of those that end with "!":
//
//	go run parse.go < parse.seeds > parse.jsonl
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"text/template/parse"
)

type row struct {
	Source string              `json:"source"`
	Error  string              `json:"error,omitempty"`
	Trees  map[string]string   `json:"trees,omitempty"`
	At     map[string][]string `json:"at,omitempty"`
}

func walk(tree *parse.Tree, node parse.Node, at *[]string) {
	place := func(n parse.Node) {
		location, _ := tree.ErrorContext(n)
		*at = append(*at, location)
	}
	list := func(l *parse.ListNode) {
		if l != nil {
			for _, n := range l.Nodes {
				walk(tree, n, at)
			}
		}
	}
	branch := func(b *parse.BranchNode) {
		walk(tree, b.Pipe, at)
		list(b.List)
		list(b.ElseList)
	}
	place(node)
	switch n := node.(type) {
	case *parse.ActionNode:
		walk(tree, n.Pipe, at)
	case *parse.PipeNode:
		for _, v := range n.Decl {
			place(v)
		}
		for _, c := range n.Cmds {
			walk(tree, c, at)
		}
	case *parse.CommandNode:
		for _, a := range n.Args {
			walk(tree, a, at)
		}
	case *parse.ChainNode:
		walk(tree, n.Node, at)
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.RangeNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	case *parse.TemplateNode:
		if n.Pipe != nil {
			walk(tree, n.Pipe, at)
		}
	}
}

func record(source string) row {
	funcs := map[string]any{"f": true, "g": true, "printf": true, "len": true}
	trees, err := parse.Parse("dir/t.yaml", source, "", "", funcs)
	if err != nil {
		return row{Source: source, Error: err.Error()}
	}
	r := row{Source: source, Trees: map[string]string{}, At: map[string][]string{}}
	for name, tree := range trees {
		r.Trees[name] = tree.Root.String()
		at := []string{}
		for _, n := range tree.Root.Nodes {
			walk(tree, n, &at)
		}
		r.At[name] = at
	}
	return r
}

func main() {
	sources := map[string]bool{}
	scanner := bufio.NewScanner(os.Stdin)
	for scanner.Scan() {
		line := scanner.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		quoted, prefixes := strings.CutSuffix(line, "!")
		seed, err := strconv.Unquote(quoted)
		if err != nil {
			panic(fmt.Sprintf("%s: %v", line, err))
		}
		sources[seed] = true
		if prefixes {
			for i := range seed {
				sources[seed[:i]] = true
			}
		}
	}
	sorted := []string{}
	for source := range sources {
		sorted = append(sorted, source)
	}
	sort.Strings(sorted)
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for _, source := range sorted {
		if err := out.Encode(record(source)); err != nil {
			panic(err)
		}
	}
}
