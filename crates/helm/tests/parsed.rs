//! A chart is parsed once, however often it is rendered.
#![allow(clippy::unwrap_used)]

use helm::{Capabilities, Costs, HelmVersion, Input, KubeVersion, ParsedChart, Release, World};
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
    let input = Input {
        release: &Release {
            name: "r".to_owned(),
            namespace: "ns".to_owned(),
            revision: 1,
            is_upgrade: false,
        },
        values: &values,
        capabilities: &Capabilities {
            kube_version: KubeVersion::parse("v1.33.0").unwrap(),
            api_versions: Vec::new(),
            helm_version: HelmVersion::default(),
        },
        world: &World::default(),
        costs: &Costs::default(),
        skips_schema: false,
        post_renderer: None,
        is_stopped: &|| false,
    };
    helm::render(chart, &input).unwrap().manifest()
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
