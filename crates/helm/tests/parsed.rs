//! A chart is parsed once, however often it is rendered.
#![allow(clippy::unwrap_used)]

mod support;

use helm::ParsedChart;
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
