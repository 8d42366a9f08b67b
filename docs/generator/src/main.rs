//! Writes the parts of the documentation that follow from the code into the folder that is its argument.

mod flags;

use std::path::PathBuf;

/// Names and contents of the files.
fn files() -> [(&'static str, String); 1] {
    [("flags.md", flags::markdown())]
}

fn main() -> std::io::Result<()> {
    for folder in std::env::args_os().skip(1).map(PathBuf::from) {
        for (name, content) in files() {
            let path = folder.join(name);
            std::fs::write(&path, content)?;
            println!("{}", path.display());
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The names in backquotes that all rows have in a column of a table.
    fn column(text: &str, at: usize) -> BTreeSet<&str> {
        let rows = text.lines().filter(|line| line.starts_with("| `"));
        rows.filter_map(|row| row.split(" | ").nth(at))
            .flat_map(|cell| cell.split('`').skip(1).step_by(2))
            .collect()
    }

    #[test]
    fn every_limit_is_explained_and_its_flags_exist() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let metrics = std::fs::read_to_string(docs.join("metrics.md")).unwrap();
        let (_, limits) = metrics.split_once("\n## Limits\n").unwrap();
        let (limits, _) = limits.split_once("\n## ").unwrap();
        let mut called = BTreeSet::from(["<kind>_passes".to_owned()]);
        for controller in std::fs::read_dir(docs.join("../crates")).unwrap() {
            let mut folders = vec![controller.unwrap().path().join("src")];
            while let Some(folder) = folders.pop() {
                for entry in std::fs::read_dir(folder).into_iter().flatten() {
                    let path = entry.unwrap().path();
                    match path.extension() {
                        None => folders.push(path),
                        Some(_) if path.ends_with("metrics/budget.rs") => {}
                        Some(_) => {
                            let text = std::fs::read_to_string(path).unwrap();
                            let names = text.split("metrics.budget(\"").skip(1);
                            called.extend(names.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
                        }
                    }
                }
            }
        }
        assert_eq!(column(limits, 0), called.iter().map(String::as_str).collect());
        let flags = flags::markdown();
        for flag in column(limits, 3) {
            assert!(flags.contains(&format!("| `{flag}` |")), "there is no flag {flag}");
        }
    }

    #[test]
    fn committed_files_are_current() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for (name, content) in files() {
            let committed = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
            assert!(committed == content, "docs/{name} is out of date: run `make docs`");
        }
    }
}
