//! Makes a row smaller that shows a difference.

use anyhow::Result;

use super::oracle::{Answer, Row};

type Answers = (Answer, Answer);

/// How often both programs are asked at most.
const TRIES: usize = 400;

/// Leaves out of a row what the difference does not need. `differs` answers whether one is left.
pub fn shrink(
    row: &Row,
    answers: Answers,
    mut differs: impl FnMut(&Row) -> Result<Option<Answers>>,
) -> Result<(Row, Answers)> {
    let mut best = (row.clone(), answers);
    let mut tries = 0;
    loop {
        let mut found = false;
        for smaller in smaller(&best.0) {
            tries += 1;
            if tries > TRIES {
                return Ok(best);
            }
            if let Some(answers) = differs(&smaller)? {
                best = (smaller, answers);
                found = true;
                break;
            }
        }
        if !found {
            return Ok(best);
        }
    }
}

/// Rows that lack something, those that lack much first.
fn smaller(row: &Row) -> Vec<Row> {
    let mut out = Vec::new();
    for name in row.files.keys() {
        let mut less = row.clone();
        less.files.remove(name);
        out.push(less);
        // A subchart as a whole.
        if let Some(folder) = name.strip_suffix("Chart.yaml").filter(|folder| !folder.is_empty()) {
            let mut less = row.clone();
            less.files.retain(|name, _| !name.starts_with(folder));
            out.push(less);
        }
    }
    let lists: [fn(&mut Row) -> &mut Vec<String>; 5] = [
        |row| &mut row.values,
        |row| &mut row.set,
        |row| &mut row.set_string,
        |row| &mut row.set_json,
        |row| &mut row.set_literal,
    ];
    for list in lists {
        let count = list(&mut row.clone()).len();
        for index in 0..count {
            let mut less = row.clone();
            list(&mut less).remove(index);
            out.push(less);
        }
        for index in 0..count {
            let text = list(&mut row.clone()).get(index).cloned().unwrap_or_default();
            for text in without_pieces(&lines(&text)) {
                let mut less = row.clone();
                if let Some(place) = list(&mut less).get_mut(index) {
                    *place = text;
                }
                out.push(less);
            }
        }
    }
    if let Some(template) = &row.template {
        out.extend(shorter(template).into_iter().map(|text| Row { template: Some(text), ..row.clone() }));
    }
    if let Some(values) = &row.chart_values {
        out.extend(
            without_pieces(&lines(values))
                .into_iter()
                .map(|text| Row { chart_values: Some(text), ..row.clone() }),
        );
    }
    for (name, text) in &row.files {
        let texts = if name.contains("templates/") { shorter(text) } else { without_pieces(&lines(text)) };
        for text in texts {
            let mut less = row.clone();
            less.files.insert(name.clone(), text);
            out.push(less);
        }
    }
    out
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// Texts without some of their pieces: half of them, a quarter, … one.
fn without_pieces(pieces: &[&str]) -> Vec<String> {
    let mut out = Vec::new();
    let mut size = pieces.len();
    while size > 0 {
        for from in (0..pieces.len()).step_by(size) {
            let kept = pieces.iter().enumerate().filter(|(index, _)| !(from..from + size).contains(index));
            out.push(kept.map(|(_, piece)| *piece).collect());
        }
        size /= 2;
    }
    out
}

/// A template without some actions, or with only a part of one.
fn shorter(template: &str) -> Vec<String> {
    let pieces = pieces(template);
    let mut out = without_pieces(&pieces);
    for (index, piece) in pieces.iter().enumerate().filter(|(_, piece)| piece.starts_with("{{")) {
        let inner = piece.trim_matches(|c| "{}- ".contains(c));
        let mut parts: Vec<String> =
            groups(inner).into_iter().map(|group| format!("{{{{ {group} }}}}")).collect();
        parts.extend(inner.rsplit_once(" | ").map(|(before, _)| format!("{{{{ {before} }}}}")));
        let (before, after) =
            (pieces.get(..index).unwrap_or_default(), pieces.get(index + 1..).unwrap_or_default());
        out.extend(parts.iter().map(|part| [&before.concat(), part.as_str(), &after.concat()].concat()));
    }
    out
}

/// Actions and what is between them.
fn pieces(template: &str) -> Vec<&str> {
    let (mut out, mut rest) = (Vec::new(), template);
    while !rest.is_empty() {
        let end = match rest.find("{{") {
            Some(0) => rest.find("}}").map_or(rest.len(), |end| end + 2),
            Some(start) => start,
            None => rest.len(),
        };
        let (piece, after) = rest.split_at(end);
        out.push(piece);
        rest = after;
    }
    out
}

/// What is in parentheses, the outer ones first.
fn groups(text: &str) -> Vec<&str> {
    let mut open = Vec::new();
    let mut out: Vec<&str> = Vec::new();
    for (at, c) in text.char_indices() {
        match c {
            '(' => open.push(at + 1),
            ')' => out.extend(open.pop().and_then(|from| text.get(from..at))),
            _ => {}
        }
    }
    out.sort_by_key(|group| std::cmp::Reverse(group.len()));
    out
}
