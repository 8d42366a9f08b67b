//! Charts that want to stop, fill or leave what renders them: each ends with a message, in bounded time and memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::time::{Duration, Instant};

use helm::ParsedChart;
use helm_chart::{Chart, Limits, MemoryTree, load_directory};

/// What a test may take of an unoptimised build beside others. The charts would take hours without budgets.
const LONGEST: Duration = Duration::from_secs(120);

/// A message names each template that the error came through, as Helm's does.
const LONGEST_MESSAGE: usize = 256 << 10;

/// More than this is never in use: the budget for values and output, and as much again for what they are made of.
const MOST: usize = 900 << 20;

fn load(files: &[(&str, &str)]) -> Result<Chart, Box<dyn Error>> {
    let mut tree = MemoryTree::default();
    tree.insert("c/Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.2.3\n");
    for (name, text) in files {
        tree.insert(&format!("c/{name}"), *text);
    }
    Ok(load_directory(&tree, "c", &Limits::default())?)
}

fn rendered(files: &[(&str, &str)]) -> Result<String, String> {
    let render = || {
        let chart = ParsedChart::new(load(files)?);
        Ok(support::render(&chart, &serde_json::Map::new())?.manifest())
    };
    render().map_err(|error: Box<dyn Error>| {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    })
}

/// A line of `/proc/self/status`, in bytes.
fn memory(field: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// The message of a chart whose only template is this, in time.
fn refused(files: &[(&str, &str)]) -> String {
    let begin = Instant::now();
    let message = rendered(files).expect_err("a hostile chart is refused");
    assert!(begin.elapsed() < LONGEST, "{:?}: {message}", begin.elapsed());
    let start: String = message.chars().take(300).collect();
    assert!(message.len() < LONGEST_MESSAGE, "a message of {} bytes: {start}", message.len());
    let peak = memory("VmHWM:");
    assert!(peak < MOST, "{peak} bytes: {message}");
    message
}

fn template(text: &str) -> String {
    refused(&[("templates/t.yaml", text)])
}

/// Templates that never end, or end with more than there is; each says the file and the line.
const TEMPLATES: &[(&str, &str)] = &[
    ("{{ define `a` }}{{ include `a` . }}{{ end }}\n{{ include `a` . }}", "nested reference name: a"),
    ("{{ define `a` }}{{ template `a` . }}{{ end }}\n{{ template `a` . }}", "levels deep"),
    (
        "{{ define `a` }}{{ include `b` . }}{{ end }}{{ define `b` }}{{ include `a` . }}{{ end }}\n{{ include `a` . }}",
        "nested reference name",
    ),
    ("{{ $_ := set . `t` `{{ tpl .t . }}` }}\n{{ tpl .t . }}", "levels deep"),
    (
        "{{ $x := `aaaaaaaaaa` }}{{ range until 40 }}{{ $x = repeat 10 $x }}{{ end }}\n{{ $x }}",
        "more than 268435456 bytes",
    ),
    ("\n{{ repeat 1000000000000 `a` }}", "more than 268435456 bytes"),
    ("{{ $x := list 1 }}{{ range until 60 }}\n{{ $x = concat $x $x }}{{ end }}", "more than 268435456 bytes"),
    (
        "{{ define `a` }}{{ range until 1000 }}{{ range until 1000 }}{{ range until 1000 }}x{{ end }}{{ end }}{{ end }}{{ end }}\n{{ include `a` . }}",
        "more than",
    ),
    ("{{ range until 100000 }}\n{{ range until 100000 }}{{ end }}{{ end }}", "more than"),
    ("{{ $s := repeat 10000000 `ab` }}{{ range until 100000 }}\n{{ $_ := atoi $s }}{{ end }}", "more than"),
    (
        "{{ $s := repeat 10000000 `ab` }}{{ range until 100000 }}\n{{ $_ := toDate $s $s }}{{ end }}",
        "more than",
    ),
    (
        "{{ $l := list 1 }}{{ range until 40 }}{{ $l = list $l $l }}{{ end }}\n{{ deepCopy $l }}",
        "more than 268435456 bytes",
    ),
    ("\n{{ until 1000000000000 }}", "more than"),
    ("\n{{ untilStep 0 1000000000 1 | len }}", "more than"),
    ("\n{{ seq 1 10000000000 }}", "more than"),
    ("\n{{ indent 1000000000 `a` }}", "more than"),
    (
        "{{ define `x` }}{{ repeat 1000000 `x` }}{{ end }}{{ range until 1000 }}\n{{ include `x` . }}{{ end }}",
        "more than",
    ),
    ("\n{{ range until 100000000 }}{{ end }}", "more than"),
    ("\n{{ mustRegexMatch `((((a{1,99}){1,99}){1,99}){1,99})` `aaa` }}", "regexp"),
    ("\n{{ mustRegexReplaceAll `` (repeat 1000000 `a`) (repeat 1000 `b`) }}", "more than"),
    ("\n{{ wrapWith 1 (repeat 10000 `x`) (repeat 100000 `a b `) }}", "more than"),
    ("\n{{ randAlphaNum 10000000000 }}", "more than"),
    ("{{ $d := dict }}{{ $_ := set $d `d` $d }}\n{{ toYaml $d }}{{ fail (toJson $d) }}", "t.yaml:2"),
    ("{{ $d := dict }}{{ $_ := set $d `d` $d }}\n{{ deepCopy $d }}", "t.yaml:2"),
    (
        "\n{{ fromYaml (printf `a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g,*g]`) | toJson | fail }}",
        "document contains excessive aliasing",
    ),
];

#[test]
fn templates_without_end_are_stopped_where_they_are() {
    let mut wrong = Vec::new();
    for (source, expected) in TEMPLATES {
        let message = template(source);
        if !message.contains(expected) || !message.contains("c/templates/t.yaml:") {
            wrong.push(format!("{source}\n{message}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_long_message_of_the_author_has_no_marks() {
    let message = template("{{ fail (repeat 300000 `x`) }}");
    assert!(message.starts_with("execution error at (c/templates/t.yaml:1:3): xxx"), "{}", &message[..80]);
}

/// Go writes widths of up to a million; what is larger is no width.
#[test]
fn a_width_of_a_billion_is_none() {
    let text = rendered(&[("templates/t.yaml", "a: '{{ printf `%1000000000d` 1 }}'")]).unwrap();
    assert!(text.len() < 1000, "{} bytes", text.len());
}

/// Backtracking engines take 2^30 steps.
#[test]
fn expressions_that_explode_elsewhere_are_quick() {
    let source = "a: {{ regexMatch `^(a+)+$` (printf `%sb` (repeat 30 `a`)) }}{{ regexMatch `(x+x+)+y` (repeat 1000 `x`) }}";
    let begin = Instant::now();
    let text = rendered(&[("templates/t.yaml", source)]).unwrap();
    assert!(text.contains("a: falsefalse"), "{text}");
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[test]
fn a_million_values_are_too_many_or_rendered() {
    let mut values = String::with_capacity(12 << 20);
    for number in 0..1_000_000 {
        writeln!(values, "k{number}: 1").unwrap();
    }
    let message = refused(&[("values.yaml", &values), ("templates/t.yaml", "a: {{ len .Values }}")]);
    assert!(message.contains("values.yaml"), "{message}");
}

#[test]
fn values_that_grow_by_references_are_refused() {
    let mut values = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        writeln!(values, "a{level}: &a{level} [{}]", [before.as_str(); 10].join(", ")).unwrap();
    }
    let message = refused(&[("values.yaml", &values), ("templates/t.yaml", "a: {{ toJson .Values | len }}")]);
    assert!(message.contains("values.yaml"), "{message}");
    let deep = format!("a: {}{}", "[".repeat(100_000), "]".repeat(100_000));
    let message = refused(&[("values.yaml", &deep)]);
    assert!(message.contains("values.yaml"), "{message}");
}

#[test]
fn large_templates_are_refused_or_rendered_within_the_limits() {
    let comments = format!("{}a: 1\n", "# a comment of some length\n".repeat(150_000));
    assert!(rendered(&[("templates/t.yaml", &comments)]).is_ok());
    let beyond = "x".repeat(6 << 20);
    assert!(refused(&[("templates/t.yaml", &beyond)]).contains("templates/t.yaml"));
    // Each action is some bytes of source and some hundred of tree.
    let actions = "{{1}}".repeat(900_000);
    let message = refused(&[("templates/t.yaml", &actions)]);
    assert!(message.contains("t.yaml"), "{message}");
    for open in ["{{ if 1 }}", "{{ with 1 }}", "{{ range 1 }}", "{{ block `a` . }}"] {
        let message = template(&open.repeat(100_000));
        assert!(message.contains("t.yaml"), "{open}: {message}");
    }
    for (open, close) in [("(", ")"), ("(1 | print ", ")"), ("not (", ")")] {
        let message = template(&format!("{{{{ {}1{} }}}}", open.repeat(100_000), close.repeat(100_000)));
        assert!(message.contains("t.yaml"), "{open}: {message}");
    }
}

#[test]
fn an_output_that_is_no_object_or_a_bomb_is_refused() {
    let bomb = "metadata: &a\n  annotations:\n{{- range until 20 }}\n    k{{ . }}: &b{{ . }} [{{ if . }}*b{{ sub . 1 }}, *b{{ sub . 1 }}{{ end }}]\n{{- end }}\nkind: X\n";
    let message = refused(&[("templates/t.yaml", bomb)]);
    assert!(message.contains("c/templates/t.yaml"), "{message}");
    let deep = template("kind: X\nmetadata: {{ repeat 100000 `[` }}");
    assert!(deep.contains("c/templates/t.yaml"), "{deep}");
}

#[test]
fn schemas_never_fetch_and_end() {
    for (schema, expected) in [
        (r#"{"$ref": "http://192.0.2.1/schema.json"}"#, "192.0.2.1"),
        (r#"{"$ref": "file:///etc/passwd"}"#, "passwd"),
        (
            r##"{"$ref": "#/definitions/a", "definitions": {"a": {"$ref": "#/definitions/b"}, "b": {"$ref": "#/definitions/a"}}}"##,
            "",
        ),
        (
            r##"{"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}"##,
            "missing property 'a'",
        ),
        (r#"{"properties": {"s": {"pattern": "((((a{1,99}){1,99}){1,99}){1,99})"}}}"#, ""),
    ] {
        let message = refused(&[
            ("values.schema.json", schema),
            ("values.yaml", "s: aaa\n"),
            ("templates/t.yaml", "a: 1"),
        ]);
        assert!(message.contains(expected), "{schema}\n{message}");
        assert!(message.contains('c'), "{schema}\n{message}");
    }
}

/// A chart with a subchart `s` whose values are `values`, and which is declared so.
fn with_subchart(declared: &str, values: &str) -> Vec<(String, String)> {
    let own = |name: &str, rest: &str| format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\n{rest}");
    vec![
        ("Chart.yaml".into(), own("c", declared)),
        ("charts/s/Chart.yaml".into(), own("s", "")),
        ("charts/s/values.yaml".into(), values.into()),
        ("templates/t.yaml".into(), "a: 1".into()),
    ]
}

fn borrowed(files: &[(String, String)]) -> Vec<(&str, &str)> {
    files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect()
}

/// The message of its definitions, which are looked for on the stack of a usual thread.
fn definitions_refused(files: &[(String, String)]) -> String {
    let chart = load(&borrowed(files)).unwrap();
    let definitions = helm::crds(&chart, &serde_json::Map::new(), &helm::Costs::default(), &|| false);
    definitions.unwrap_err().source().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn imports_put_no_tables_into_each_other_without_end() {
    let import = |depth: usize| {
        let parent = vec!["a"; depth].join(".");
        format!(
            "dependencies: [{{name: s, version: 1.x, import-values: [{{child: m, parent: {parent}}}]}}]\n"
        )
    };
    let chart = |depth| with_subchart(&import(depth), "m: {a: 1}\n");
    let expected = "values that chart c imports are nested more than 500 levels deep";
    for depth in [600, 100_000] {
        let files = chart(depth);
        assert!(refused(&borrowed(&files)).ends_with(expected));
        assert_eq!(definitions_refused(&files), expected);
    }
    assert!(rendered(&borrowed(&chart(400))).is_ok());
    // Each of two imports is within the limit.
    let mut files = with_subchart(&import(300), "");
    files.retain(|(name, _)| name != "charts/s/Chart.yaml");
    files.extend([
        (
            "charts/s/Chart.yaml".into(),
            format!(
                "apiVersion: v2\nname: s\nversion: 1.0.0\n{}",
                import(300)
                    .replace("name: s", "name: t")
                    .replace("child: m", "child: q")
                    .replace("parent: a", "parent: m")
            ),
        ),
        ("charts/s/charts/t/Chart.yaml".into(), "apiVersion: v2\nname: t\nversion: 1.0.0\n".into()),
        ("charts/s/charts/t/values.yaml".into(), "q: {a: 1}\n".into()),
    ]);
    assert_eq!(definitions_refused(&files), expected);
}

#[test]
fn aliases_and_imports_multiply_charts_and_values_only_so_far() {
    let declared = |count: usize, rest: &str| {
        let entry = |number| format!("- {{name: s, version: 1.x, alias: x{number}{rest}}}\n");
        format!("dependencies:\n{}", (0..count).map(entry).collect::<String>())
    };
    let tables: String = (0..60_000).map(|number| format!("t{number}: {{a: 1}}\n")).collect();
    let most = "the values of the charts take more than 268435456 bytes";
    let message = refused(&borrowed(&with_subchart(&declared(50, ""), &tables)));
    assert!(message.ends_with(most), "{message}");
    let import = declared(100, ", import-values: [{child: m, parent: m}]");
    let nested: String = tables.lines().map(|line| format!("  {line}\n")).collect();
    let message = refused(&borrowed(&with_subchart(&import, &format!("m:\n{nested}"))));
    assert!(message.ends_with(most), "{message}");
    let mut files = with_subchart(&declared(50, ""), "");
    files.push(("values.yaml".into(), format!("global:\n{nested}")));
    let message = refused(&borrowed(&files));
    assert!(message.ends_with(most), "{message}");

    // 60 times 60 times 60.
    let mut files = with_subchart(&declared(60, ""), "");
    for (folder, name) in [("charts/s", "s"), ("charts/s/charts/s", "s"), ("charts/s/charts/s/charts/s", "s")]
    {
        let text = format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\n{}", declared(60, ""));
        files.push((format!("{folder}/Chart.yaml"), text));
    }
    let message = refused(&borrowed(&files));
    assert!(message.ends_with(most), "{message}");
    // Each of 150 has 150, whose values are nothing.
    let mut files = with_subchart(&declared(150, ""), "");
    files.retain(|(name, _)| name != "charts/s/Chart.yaml");
    let text = format!("apiVersion: v2\nname: s\nversion: 1.0.0\n{}", declared(150, ""));
    files.extend([
        ("charts/s/Chart.yaml".into(), text),
        ("charts/s/charts/s/Chart.yaml".into(), "apiVersion: v2\nname: s\nversion: 1.0.0\n".into()),
    ]);
    let message = refused(&borrowed(&files));
    assert!(message.ends_with("the chart uses more than 20000 subcharts"), "{message}");
    assert_eq!(definitions_refused(&files), "the chart uses more than 20000 subcharts");

    let off: String =
        (0..80_000).map(|at| format!("- {{name: n{at}, version: 1.x, condition: x{at}.on}}\n")).collect();
    let begin = Instant::now();
    let _ = rendered(&borrowed(&with_subchart(&format!("dependencies:\n{off}"), "")));
    assert!(begin.elapsed() < LONGEST, "{:?}", begin.elapsed());
}

#[test]
fn documents_with_many_aliases_are_read_only_so_far() {
    let each = "---\nkind: X\na: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: [{{ repeat 3 `*c,` }}1]\n";
    let message = template(&format!("{{{{ range until 100000 }}}}\n{each}{{{{ end }}}}"));
    assert!(message.contains("c/templates/t.yaml: the documents"), "{message}");
    let bomb = "---\n{{ $.Files.Get `d` }}\n";
    let mut lines = "a: &a [1,1,1,1,1,1,1,1,1,1]\n".to_owned();
    for (before, name) in "abcdefg".chars().zip("bcdefgh".chars()) {
        writeln!(lines, "{name}: &{name} [{}]", vec![format!("*{before}"); 10].join(",")).unwrap();
    }
    let text = format!("{{{{ range until 1000 }}}}{bomb}{{{{ end }}}}");
    let message = refused(&[("templates/t.yaml", &text), ("d", &lines)]);
    assert!(message.ends_with("document contains excessive aliasing"), "{message}");
}
