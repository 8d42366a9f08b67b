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
    use std::path::Path;

    use super::*;

    #[test]
    fn committed_files_are_current() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for (name, content) in files() {
            let committed = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
            assert!(committed == content, "docs/{name} is out of date: run `make docs`");
        }
    }
}
