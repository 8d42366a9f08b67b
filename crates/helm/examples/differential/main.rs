//! Renders random charts with this engine and with the real Helm and reports every difference.
//!
//! ```text
//! cargo run --release -p helm --example differential -- ORACLE HELM-TEMPLATE [CASES [FIRST-SEED]]
//! ```
//!
//! `ORACLE` is the program of `e2e/tools/helm-oracle`, `HELM-TEMPLATE` the one of this crate. A seed makes a text of one template, the
//! values that charts see, or what a whole chart becomes. A difference is made smaller and printed: the chart and both answers.
//! Exit status 1 when there was any. What `docs/differences.md` lists is counted apart.

mod chart;
mod expression;
mod functions;
mod oracle;
#[path = "../../../kustomize/examples/differential/random.rs"]
mod random;
mod shrink;
mod template;
mod values;

use std::process::ExitCode;

use anyhow::{Context, Result};
use oracle::{Answer, ENDED, Program, Row};
use random::Random;

/// Real Helm and ours, asked for one kind of answer.
struct Pair {
    theirs: Program,
    ours: Program,
}

enum Outcome {
    Same,
    BothFailed(String),
    Listed,
    Unstable,
    Different(Box<(Answer, Answer)>),
}

fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: differential ORACLE HELM-TEMPLATE [CASES [FIRST-SEED]]";
    let (oracle, ours) = (arguments.next().context(usage)?, arguments.next().context(usage)?);
    let cases: u64 = arguments.next().map_or(Ok(2000), |text| text.parse())?;
    let first: u64 = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let (functions, lenient) = (functions::all(), functions::lenient());
    let pair = |theirs, here| Pair { theirs: Program::new(&oracle, theirs), ours: Program::new(&ours, here) };
    let (mut texts, mut seen) = (pair("table", "table"), pair("values", "values"));
    let mut charts = pair("template", "manifests");
    let (mut same, mut both_failed, mut listed, mut unstable, mut different) = (0, 0, 0, 0, 0);
    for seed in first..first + cases {
        let random = &mut Random::new(seed);
        let (pair, mut row) = match random.below(10) {
            0..=5 => (&mut texts, chart::text_row(random, &functions)),
            6 | 7 => (&mut seen, chart::values_row(random)),
            _ => (&mut charts, chart::chart_row(random, &lenient)),
        };
        row.id = seed;
        match pair.compare(&row)? {
            Outcome::Same => same += 1,
            Outcome::BothFailed(why) => {
                both_failed += 1;
                if std::env::var_os("SHOW_FAILURES").is_some() {
                    println!("--- seed {seed} fails in both: {why}");
                }
            }
            Outcome::Listed => listed += 1,
            Outcome::Unstable => unstable += 1,
            Outcome::Different(answers) => {
                different += 1;
                let (row, answers) = shrink::shrink(&row, *answers, |row| match pair.compare(row)? {
                    Outcome::Different(answers) => Ok(Some(*answers)),
                    _ => Ok(None),
                })?;
                println!("=== seed {seed}\n{}", report(&row, &answers));
            }
        }
    }
    println!(
        "{cases} charts: {same} the same, {both_failed} failed in both, {listed} listed, {unstable} without an order in Helm itself, {different} different"
    );
    Ok(if different == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Pair {
    fn compare(&mut self, row: &Row) -> Result<Outcome> {
        let theirs = self.theirs.ask(row)?;
        if theirs.unstable {
            return Ok(Outcome::Unstable);
        }
        let ours = self.ours.ask(row)?;
        Ok(match (&theirs.err, &ours.err) {
            _ if is_listed(&theirs, &ours) => Outcome::Listed,
            (None, None) if theirs.out == ours.out && theirs.notes == ours.notes => Outcome::Same,
            (Some(one), Some(other)) if one == other => Outcome::BothFailed(one.clone()),
            _ => Outcome::Different(Box::new((theirs, ours))),
        })
    }
}

/// What is known to differ: `docs/differences.md` has the reasons.
fn is_listed(theirs: &Answer, ours: &Answer) -> bool {
    let says = |answer: &Answer, text: &str| {
        answer.err.as_deref().is_some_and(|err| err.contains(text))
            || answer.out.as_ref().is_some_and(|out| out.to_string().contains(text))
    };
    // The reader of TOML has its own words.
    says(theirs, "toml: line") && says(ours, "toml: line")
        // Only the first document counts, and Helm's reader ends behind it.
        || says(ours, "did not find expected <document start>")
        // Go has words for each fault of UTF-8.
        || says(theirs, "UTF-8") && says(ours, "yaml: invalid UTF-8")
        // What holds itself ends Helm's process, or is no JSON.
        || says(theirs, ENDED) && !says(ours, ENDED)
        || says(ours, "a value is nested more than")
}

fn report(row: &Row, (theirs, ours): &(Answer, Answer)) -> String {
    let mut out = String::new();
    let mut section =
        |name: &str, text: &str| out.push_str(&format!("--- {name}\n{}\n", text.trim_end_matches('\n')));
    let own = [("templates/t.yaml", &row.template), ("values.yaml", &row.chart_values)];
    for (name, text) in own.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?))) {
        section(name, text);
    }
    row.files.iter().for_each(|(name, text)| section(name, text));
    row.values.iter().for_each(|text| section("-f", text));
    let flags = [
        ("--set", &row.set),
        ("--set-string", &row.set_string),
        ("--set-json", &row.set_json),
        ("--set-literal", &row.set_literal),
    ];
    for (flag, texts) in flags {
        texts.iter().for_each(|text| section(flag, text));
    }
    section("Helm", &shown(theirs));
    section("here", &shown(ours));
    out
}

fn shown(answer: &Answer) -> String {
    let text = match (&answer.out, &answer.err) {
        (_, Some(err)) => format!("error: {err}"),
        (Some(serde_json::Value::String(text)), _) => format!("{text:?}"),
        (Some(values), _) => values.to_string(),
        (None, None) => "nothing".to_owned(),
    };
    if answer.notes.is_empty() { text } else { format!("{text}\nnotes: {:?}", answer.notes) }
}
