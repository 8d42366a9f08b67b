//! A chart is parsed once, however often it is rendered.
#![allow(clippy::unwrap_used)]

mod support;

use helm::{Costs, ParsedChart};
use helm_chart::{Limits, MemoryTree, load_directory};
use serde_json::{Map, json};

const TEMPLATES: usize = 200;

/// With much to parse and little to execute.
fn chart() -> ParsedChart {
    let mut tree = MemoryTree::default();
    tree.insert("c/Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.2.3\n");
    let never = "{{ if .Values.never }}{{ .Values.a | quote }}{{ end }}\n".repeat(20);
    for number in 0..TEMPLATES {
        tree.insert(&format!("c/templates/t{number}.yaml"), format!("a: {{{{ .Values.n }}}}\n{never}"));
    }
    ParsedChart::new(load_directory(&tree, "c", &Limits::default()).unwrap())
}

fn render(chart: &ParsedChart, number: usize) -> String {
    let values: Map<_, _> = [("n".to_owned(), json!(number))].into_iter().collect();
    support::render(chart, &values).unwrap().manifest()
}

#[test]
fn fifty_renderings_parse_each_template_once() {
    let chart = chart();
    assert_eq!(chart.parsed(), 0);
    for number in 0..50 {
        let manifest = render(&chart, number);
        assert_eq!(manifest.matches(&format!("a: {number}\n")).count(), TEMPLATES, "no answer is remembered");
        assert_eq!(chart.parsed(), TEMPLATES);
    }
}

#[test]
fn several_threads_parse_the_same_and_no_template_twice() {
    let (alone, together) = (chart(), chart());
    let costs = Costs { parsers: 4, ..Costs::default() };
    let values = [("n".to_owned(), json!(7))].into_iter().collect();
    let manifest = support::render_within(&together, &values, &costs).unwrap().manifest();
    assert_eq!(manifest, render(&alone, 7));
    assert_eq!(together.parsed(), TEMPLATES);
}

#[test]
fn with_several_threads_the_first_template_that_is_none_is_named() {
    let mut tree = MemoryTree::default();
    tree.insert("c/Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.2.3\n");
    for number in 0..TEMPLATES {
        tree.insert(&format!("c/templates/t{number:03}.yaml"), "{{ end }}");
    }
    let chart = || ParsedChart::new(load_directory(&tree, "c", &Limits::default()).unwrap());
    let message = |parsers| {
        let costs = Costs { parsers, ..Costs::default() };
        support::render_within(&chart(), &Map::new(), &costs).unwrap_err().to_string()
    };
    assert!(message(1).contains("c/templates/t199.yaml:1"), "{}", message(1));
    assert_eq!(message(4), message(1));
}
