//! Random charts: files with subcharts, dependencies, hooks and notes.

use std::collections::BTreeMap;

use helm::manifests::INSTALL_ORDER;

use super::expression::quoted;
use super::functions::{Function, Kind};
use super::oracle::Row;
use super::random::Random;
use super::template::Template;
use super::values;

/// Kinds that have no place in the order.
const OTHER_KINDS: &[&str] = &["Thing", "Alpha", "deployment", "List"];
const EVENTS: &[&str] = &[
    "pre-install",
    "post-install",
    "pre-delete",
    "post-delete",
    "pre-upgrade",
    "post-upgrade",
    "pre-rollback",
    "post-rollback",
    "test",
    "test-success",
    "test-failure",
    "crd-install",
    "unknown",
    "pre-install,post-upgrade",
    "Pre-Install",
    " test , pre-install",
    "",
];
const WEIGHTS: &[&str] =
    &["'5'", "\"-5\"", "'0'", "'x'", "''", "\"1.5\"", "' 1'", "'+3'", "'10'", "'2147483648'"];
const SEPARATORS: &[&str] = &[
    "---\n",
    "\n---\n",
    "--- \n",
    "---\n\n",
    "---\n---\n",
    "\n\n---\n# c\n",
    "--- # c\n",
    "----\n",
    "---\t\n",
    "---\r\n",
];

/// A chart that is being written.
struct Files<'a> {
    random: &'a mut Random,
    functions: &'a [Function],
    is_lenient: bool,
    files: BTreeMap<String, String>,
}

/// A row with small templates that call many functions.
pub fn text_row(random: &mut Random, functions: &[Function]) -> Row {
    let named: Vec<String> = ["h.one", "h.two"].map(str::to_owned).to_vec();
    let mut files = Files { random, functions, is_lenient: false, files: BTreeMap::new() };
    files.helpers("templates/_h.tpl", &named);
    let template = files.template(&named, 3);
    let Files { random, files, .. } = files;
    let mut row = Row {
        template: Some(template),
        chart_values: Some(values::file(random, 10)),
        files,
        ..Row::default()
    };
    user_values(random, &mut row);
    row
}

/// A row about what each chart sees of the values.
pub fn values_row(random: &mut Random) -> Row {
    let mut files = Files { random, functions: &[], is_lenient: true, files: BTreeMap::new() };
    files.charts(false);
    let Files { random, files, .. } = files;
    let mut row = Row { chart_values: Some(values::file(random, 20)), files, ..Row::default() };
    if let Some(text) = &mut row.chart_values {
        text.push_str(&for_subcharts(random));
    }
    user_values(random, &mut row);
    row
}

/// A row with a whole chart.
pub fn chart_row(random: &mut Random, functions: &[Function]) -> Row {
    let mut files = Files { random, functions, is_lenient: true, files: BTreeMap::new() };
    files.charts(true);
    let Files { random, files, .. } = files;
    let mut row = Row { chart_values: Some(values::file(random, 10)), files, ..Row::default() };
    if let Some(text) = &mut row.chart_values {
        text.push_str(&for_subcharts(random));
    }
    if random.chance(50) {
        user_values(random, &mut row);
    }
    row.upgrade = random.chance(20);
    row.include_crds = random.chance(30);
    row
}

fn user_values(random: &mut Random, row: &mut Row) {
    for _ in 0..random.below(3) {
        let mut text = values::file(random, 60);
        if !row.files.is_empty() {
            text.push_str(&for_subcharts(random));
        }
        if random.chance(5) {
            text.push_str(random.pick(&["---\ni: 5\n", "---\n", "a: [\n", "s: null\n", "i: 1\n", "# end"]));
        }
        row.values.push(text);
    }
    if random.chance(30) {
        row.set.push(values::set(random));
    }
    if random.chance(10) {
        row.set_string.push(values::set(random));
    }
    if random.chance(10) {
        row.set_json.push(values::set_json(random));
    }
    if random.chance(8) {
        row.set_literal.push(values::set(random));
    }
}

/// Tables of subcharts in a parent's values, and what enables them.
fn for_subcharts(random: &mut Random) -> String {
    let mut out = String::new();
    for name in ["sub", "other", "alias"] {
        if random.chance(40) {
            let enabled = random.pick(&["true", "false", "'yes'", "null", "1"]);
            let table = match random.below(60) {
                0 => "null".to_owned(),
                1 => "5".to_owned(),
                2 => "{}".to_owned(),
                _ => format!(
                    "{{enabled: {enabled}, s: {}, m: {{a: {}}}, leaf: {{i: 3}}, global: {{g: {}}}}}",
                    random.pick(&["x", "null", "1"]),
                    random.pick(&["1", "null", "{}"]),
                    random.pick(&["1", "null", "{k: 1}"])
                ),
            };
            out.push_str(&format!("{name}: {table}\n"));
        }
    }
    if random.chance(30) {
        out.push_str(&format!(
            "tags: {{front: {}, back: {}}}\n",
            random.pick(&["true", "false", "'x'"]),
            random.pick(&["true", "false"])
        ));
    }
    out
}

impl Files<'_> {
    fn add(&mut self, name: &str, text: String) {
        self.files.insert(name.to_owned(), text);
    }

    fn template(&mut self, named: &[String], depth: usize) -> String {
        let mut template = Template::new(self.random, self.functions, named, self.is_lenient);
        template.block(if depth < 3 { 2 } else { 4 }, depth);
        template.end()
    }

    fn helpers(&mut self, file: &str, names: &[String]) {
        let mut out = String::new();
        for (index, name) in names.iter().enumerate() {
            // Those before it, so that none calls itself.
            let before: Vec<String> = names.iter().take(index).cloned().collect();
            let body = self.template(&before, 1);
            let dash = self.random.pick(&["", "-"]);
            out.push_str(&format!("{{{{{dash} define {} }}}}{body}{{{{ end {dash}}}}}\n", quoted(name)));
        }
        self.add(file, out);
    }

    /// The chart at the top with its subcharts.
    fn charts(&mut self, renders: bool) {
        let mut metadata =
            "apiVersion: v2\nname: c\nversion: 1.2.3\nappVersion: '4.5'\ndependencies:\n".to_owned();
        let mut any = false;
        for name in ["sub", "other"] {
            if !self.random.chance(60) {
                continue;
            }
            self.subchart(&format!("charts/{name}"), name, renders);
            if self.random.chance(75) {
                any = true;
                metadata.push_str(&self.dependency(name));
            }
            if name == "sub" && self.random.chance(30) {
                any = true;
                metadata.push_str(
                    &self.dependency(name).replace("- name: sub\n", "- name: sub\n  alias: alias\n"),
                );
            }
        }
        if !any {
            metadata = metadata.replace("dependencies:\n", "");
        }
        if self.random.chance(10) {
            metadata.push_str(self.random.pick(&[
                "kubeVersion: '>=1.20'\n",
                "kubeVersion: '<1.20'\n",
                "type: application\n",
                "icon: i\n",
                "description: d\n",
            ]));
        }
        self.add("Chart.yaml", metadata);
        if renders {
            self.documents("", "c");
            if self.random.chance(40) {
                let notes = self.template(&["c.one".to_owned()], 1);
                self.add("templates/NOTES.txt", notes);
            }
            if self.random.chance(20) {
                self.add("crds/x.yaml", "kind: CustomResourceDefinition\nmetadata: {name: x}\n".to_owned());
            }
        }
    }

    fn dependency(&mut self, name: &str) -> String {
        let mut out = format!(
            "- name: {name}\n  version: {}\n",
            self.random.pick(&["'*'", "'*'", "0.1.0", "'>=0.1'", "'^1'"])
        );
        if self.random.chance(50) {
            let condition = self.random.pick(&[
                "sub.enabled",
                "other.enabled",
                "missing.x",
                "t",
                "global.g",
                "alias.enabled,sub.enabled",
                "s",
                "sub.enabled, t",
            ]);
            out.push_str(&format!("  condition: '{condition}'\n"));
        }
        if self.random.chance(30) {
            out.push_str(&format!(
                "  tags: [{}]\n",
                self.random.pick(&["front", "back", "front, back", "unknown"])
            ));
        }
        if self.random.chance(40) {
            let imports = self.random.pick(&[
                "[data]",
                "[data, other]",
                "[{child: m, parent: imported}]",
                "[{child: missing, parent: x}]",
                "[{child: exports.data, parent: .}]",
                "[{child: s, parent: s2}]",
                "[absent]",
                "[{child: m, parent: m}]",
            ]);
            out.push_str(&format!("  import-values: {imports}\n"));
        }
        out
    }

    fn subchart(&mut self, folder: &str, name: &str, renders: bool) {
        let mut values = values::file(self.random, 40);
        if self.random.chance(50) {
            values.push_str(&format!(
                "exports:\n  data: {{k: 1, s: {}}}\n  other: {{k: {}}}\n",
                self.random.pick(&["e", "null"]),
                self.random.pick(&["5", "{x: 1}"])
            ));
        }
        if self.random.chance(20) {
            values.push_str(&format!("enabled: {}\n", self.random.pick(&["true", "false"])));
        }
        self.add(&format!("{folder}/Chart.yaml"), format!("apiVersion: v2\nname: {name}\nversion: 0.1.0\n"));
        self.add(&format!("{folder}/values.yaml"), values);
        if self.random.chance(40) && !folder.contains("leaf") {
            self.subchart(&format!("{folder}/charts/leaf"), "leaf", renders);
        }
        if renders {
            self.documents(&format!("{folder}/"), name);
        }
    }

    /// Templates whose text is documents of YAML.
    fn documents(&mut self, folder: &str, name: &str) {
        // All charts have this one: the one of the chart at the top counts.
        let named = vec![format!("{name}.one"), "shared".to_owned()];
        self.helpers(&format!("{folder}templates/_h.tpl"), &named);
        for file in ["a.yaml", "b/c.yaml", "z.yml", "b.txt"] {
            if !self.random.chance(45) {
                continue;
            }
            let mut text = self.random.pick(&["", "", "\n", "# first\n", "---\n", "\n\n---\n"]).to_owned();
            for index in 0..=self.random.below(3) {
                if index > 0 {
                    text.push_str(self.random.pick(SEPARATORS));
                }
                let document = self.document(&named);
                text.push_str(&document);
            }
            text.push_str(self.random.pick(&["", "\n", "\n\n", "  \n", "\n---\n"]));
            self.add(&format!("{folder}templates/{file}"), text);
        }
    }

    fn document(&mut self, named: &[String]) -> String {
        if self.random.chance(4) {
            return self
                .random
                .pick(&[
                    "# only a comment\n",
                    "\n",
                    "{{- if false }}\nkind: X\n{{- end }}\n",
                    "{}\n",
                    "{{/* x */}}",
                    "# {{ .Chart.Name }}\n",
                    "\n# c\n\n",
                    "null\n",
                ])
                .to_owned();
        }
        if self.random.below(300) == 0 {
            return self.random.pick(&["- kind: X\n", "kind: [\n", "text\n"]).to_owned();
        }
        let kinds = if self.random.below(9) == 0 { OTHER_KINDS } else { INSTALL_ORDER };
        let kind = self.random.pick(kinds);
        let name = self.random.pick(&[
            "one",
            "two",
            "x-{{ .Release.Name }}",
            "{{ .Chart.Name }}",
            "{{ .Values.s | toString | quote }}",
        ]);
        let mut out = format!("apiVersion: v1\nkind: {kind}\nmetadata:\n  name: {name}\n");
        if self.random.chance(30) {
            out.push_str("  annotations:\n");
            if self.random.chance(80) {
                out.push_str(&format!("    helm.sh/hook: {}\n", quoted(self.random.pick(EVENTS))));
            }
            if self.random.chance(60) {
                out.push_str(&format!("    helm.sh/hook-weight: {}\n", self.random.pick(WEIGHTS)));
            }
            if self.random.chance(30) {
                out.push_str(&format!(
                    "    helm.sh/hook-delete-policy: {}\n",
                    self.random.pick(&["hook-succeeded", "before-hook-creation,hook-failed", "x"])
                ));
            }
            if self.random.chance(15) {
                out.push_str(&format!("    helm.sh/resource-policy: {}\n", self.random.pick(&["keep", "x"])));
            }
        }
        let mut template = Template::new(self.random, self.functions, named, self.is_lenient);
        let expression = template.expression(Kind::Any, 2);
        out.push_str(&format!("data:\n  k: {{{{ {expression} | toJson | quote }}}}\n"));
        if self.random.chance(40) {
            let name = quoted(&named.first().cloned().unwrap_or_default());
            out.push_str(&format!("  l: {{{{ include {name} $ | toJson }}}}\n"));
        }
        if self.random.chance(10) {
            out.push_str("  block: |+\n    kept\n\n");
        }
        out
    }
}
