//! The names that a text of assignments assigns to, as `strvals` reads them.

/// A step of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Into a map.
    Key(String),
    /// Into a list.
    Index,
}

/// The names of a text without errors, each as its steps: `a.b[0]={x,y},c=1` has two.
pub(crate) fn names(text: &str) -> Vec<Vec<Step>> {
    let mut rest = text.chars().peekable();
    let mut names = Vec::new();
    while rest.peek().is_some() {
        names.push(name(&mut rest));
        // A list ends with a brace, whatever stands in it; anything else with a comma.
        let end = if rest.next_if_eq(&'{').is_some() { '}' } else { ',' };
        until(&mut rest, &[end]);
        if end == '}' {
            rest.next_if_eq(&',');
        }
    }
    names
}

fn name(rest: &mut impl Iterator<Item = char>) -> Vec<Step> {
    let mut steps = Vec::new();
    loop {
        let (key, stop) = until(rest, &['=', '[', '.']);
        // Behind an index there is none before the next sign.
        if !key.is_empty() || steps.is_empty() {
            steps.push(Step::Key(key));
        }
        match stop {
            Some('[') => {
                until(rest, &[']']);
                steps.push(Step::Index);
            }
            Some('.') => {}
            _ => return steps,
        }
    }
}

/// The characters before one of `stops`, and which; a backslash takes what is special from the next one.
fn until(rest: &mut impl Iterator<Item = char>, stops: &[char]) -> (String, Option<char>) {
    let mut text = String::new();
    while let Some(next) = rest.next() {
        match next {
            '\\' => text.extend(rest.next()),
            stop if stops.contains(&stop) => return (text, Some(stop)),
            other => text.push(other),
        }
    }
    (text, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_with_their_escapes_indexes_and_all_that_follow() {
        let shown = |text| {
            let step = |step: &Step| match step {
                Step::Key(key) => format!("/{key}"),
                Step::Index => "/#".to_owned(),
            };
            names(text).iter().map(|name| name.iter().map(step).collect::<String>()).collect::<Vec<_>>()
        };
        assert_eq!(shown("a=1"), ["/a"]);
        assert_eq!(shown(r"a.b\.c[0][1].d=x"), ["/a/b.c/#/#/d"]);
        assert_eq!(shown(r"a={x,y},b.c=x\,y=z,d="), ["/a", "/b/c", "/d"]);
        assert_eq!(shown(""), [""; 0]);
    }
}
