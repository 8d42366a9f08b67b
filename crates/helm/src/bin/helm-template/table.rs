//! `helm-template table` and `helm-template values`: small charts in, texts out.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, Write};

use anyhow::{Context, Result, bail};
use helm::{
    Capabilities, Costs, HelmVersion, Input, KubeVersion, ParsedChart, PostRenderStrategy, PostRenderer,
    Release, World,
};
use helm_chart::{Limits, MemoryTree, load_directory};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use strvals::Flag;

use crate::{api_versions, disk, template, user_values};

const CHART: &str = "apiVersion: v2\nname: c\nversion: 1.2.3\nappVersion: 4.5.6\ndescription: table\n";

/// A line of standard input.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Row {
    id: Value,
    /// templates/t.yaml
    t: Option<String>,
    /// values.yaml
    v: Option<String>,
    /// Files of values.
    values: Vec<String>,
    /// More files of the chart.
    files: BTreeMap<String, String>,
    set: Vec<String>,
    set_string: Vec<String>,
    set_json: Vec<String>,
    set_literal: Vec<String>,
    /// What is in a file, by what it is assigned to.
    set_file: BTreeMap<String, String>,
    api_versions: Vec<String>,
    upgrade: bool,
    /// `combined`, `separate` or `nohooks`: the documents go through a post-renderer that changes nothing.
    post_render: String,
    skip_schema: bool,
    #[serde(rename = "includeCRDs")]
    include_crds: bool,
}

/// A post-renderer that changes nothing.
struct Unchanged;

impl PostRenderer for Unchanged {
    fn run(&self, documents: &str) -> Result<String, Box<dyn Error + Send + Sync>> {
        Ok(documents.to_owned())
    }
}

/// Answers each line with one.
pub fn run(answer: Answer) -> Result<(), Box<dyn Error>> {
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let row: Row = serde_json::from_str(&line?)?;
        let answered = match row.ask(answer) {
            Ok(Out { out, notes }) if notes.is_empty() => json!({"id": row.id, "out": out}),
            Ok(Out { out, notes }) => json!({"id": row.id, "out": out, "notes": notes}),
            Err(error) => json!({"id": row.id, "err": crate::chain(error.as_ref())}),
        };
        writeln!(output, "{answered}")?;
        output.flush()?;
    }
    Ok(())
}

/// What becomes of a row.
#[derive(Default)]
pub struct Out {
    out: Value,
    notes: String,
}

type Answer = fn(&Row, &ParsedChart, &Input<'_>) -> Result<Out, Box<dyn Error>>;

/// The text of templates/t.yaml.
pub fn render(_: &Row, chart: &ParsedChart, input: &Input<'_>) -> Result<Out, Box<dyn Error>> {
    let rendered = helm::render_files(chart, input)?;
    let text = rendered.files.get("c/templates/t.yaml").context("templates/t.yaml was not rendered")?;
    Ok(Out { out: String::from_utf8_lossy(text).into(), ..Out::default() })
}

/// Manifests, hooks and notes.
pub fn manifests(row: &Row, chart: &ParsedChart, input: &Input<'_>) -> Result<Out, Box<dyn Error>> {
    template::check_dependencies(chart.chart())?;
    let rendered = helm::render(chart, input)?;
    let crds = if row.include_crds {
        helm::crds(chart.chart(), input.values, input.costs, input.is_stopped)?
    } else {
        Vec::new()
    };
    let printed = template::printed(&rendered, &crds, |_| true);
    Ok(Out { out: String::from_utf8_lossy(&printed).into(), notes: rendered.notes })
}

/// The values of each chart.
pub fn values(_: &Row, chart: &ParsedChart, input: &Input<'_>) -> Result<Out, Box<dyn Error>> {
    let seen = helm::values(chart, input)?;
    let out = Value::Object(seen.into_iter().map(|(path, values)| (path, values.into())).collect());
    Ok(Out { out, ..Out::default() })
}

impl Row {
    fn ask(&self, answer: Answer) -> Result<Out, Box<dyn Error>> {
        let mut tree = MemoryTree::default();
        tree.insert("c/Chart.yaml", CHART);
        for (name, text) in [("templates/t.yaml", &self.t), ("values.yaml", &self.v)] {
            if let Some(text) = text {
                tree.insert(&format!("c/{name}"), text.as_str());
            }
        }
        for (name, text) in &self.files {
            tree.insert(&format!("c/{name}"), text.as_str());
        }
        let values = self.user_values()?;
        let known = api_versions::KNOWN.iter().map(|version| (*version).to_owned());
        let input = Input {
            release: &Release {
                name: "r".to_owned(),
                namespace: "ns".to_owned(),
                revision: 1,
                is_upgrade: self.upgrade,
            },
            values: &values,
            defaults: None,
            capabilities: &Capabilities {
                kube_version: KubeVersion::parse("v1.33.0")?,
                api_versions: known.chain(self.api_versions.iter().cloned()).collect(),
                helm_version: HelmVersion::default(),
            },
            world: &World::default(),
            costs: &Costs::default(),
            skips_schema: self.skip_schema,
            post_renderer: self.post_render()?,
            is_stopped: &|| false,
        };
        let chart = disk::plain(load_directory(&tree, "c", &Limits::default()))?;
        answer(self, &ParsedChart::new(chart), &input)
    }

    fn post_render(&self) -> Result<Option<(&dyn PostRenderer, PostRenderStrategy)>> {
        let strategy = match self.post_render.as_str() {
            "" => return Ok(None),
            "combined" => PostRenderStrategy::Combined,
            "separate" => PostRenderStrategy::Separate,
            "nohooks" => PostRenderStrategy::NoHooks,
            other => bail!("unknown post-render strategy: '{other}'"),
        };
        Ok(Some((&Unchanged, strategy)))
    }

    fn user_values(&self) -> Result<Map<String, Value>> {
        let mut values = Map::new();
        for (index, text) in self.values.iter().enumerate() {
            user_values::add_yaml(&mut values, &format!("v{index}.yaml"), text.as_bytes())?;
        }
        let limits = strvals::Limits::default();
        for (flag, texts) in
            [(Flag::Json, &self.set_json), (Flag::Set, &self.set), (Flag::String, &self.set_string)]
        {
            for text in texts {
                flag.apply(text, &mut values, &mut |_| Err(String::new()), &limits)?;
            }
        }
        for (name, content) in &self.set_file {
            let text = format!("{name}=file");
            Flag::File.apply(&text, &mut values, &mut |_| Ok(content.clone()), &limits)?;
        }
        for text in &self.set_literal {
            Flag::Literal.apply(text, &mut values, &mut |_| Err(String::new()), &limits)?;
        }
        Ok(values)
    }
}
