//! Values that the user gives: files, then single ones, each by the rules of its flag.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Map, Value};
use strvals::{Flag, Limits};

#[derive(clap::Args)]
pub struct Flags {
    /// A file of values.
    #[arg(short = 'f', long)]
    values: Vec<PathBuf>,
    /// Values: key1=val1,key2=val2
    #[arg(long)]
    set: Vec<String>,
    /// Values that are texts.
    #[arg(long)]
    set_string: Vec<String>,
    /// Values that are JSON.
    #[arg(long)]
    set_json: Vec<String>,
    /// Values that are taken as they are.
    #[arg(long)]
    set_literal: Vec<String>,
    /// Values that are what is in files.
    #[arg(long)]
    set_file: Vec<String>,
}

/// All values, those of later flags over those of earlier ones.
pub fn merge(flags: &Flags) -> Result<Map<String, Value>> {
    let mut merged = Map::new();
    for file in &flags.values {
        let data = std::fs::read(file).with_context(|| file.display().to_string())?;
        add_yaml(&mut merged, &file.display().to_string(), &data)?;
    }
    let read =
        &mut |file: &str| std::fs::read_to_string(file).map_err(|error| format!("open {file}: {error}"));
    for (flag, texts) in [
        (Flag::Json, &flags.set_json),
        (Flag::Set, &flags.set),
        (Flag::String, &flags.set_string),
        (Flag::File, &flags.set_file),
        (Flag::Literal, &flags.set_literal),
    ] {
        for text in texts {
            flag.apply(text, &mut merged, read, &Limits::default())?;
        }
    }
    Ok(merged)
}

/// Puts the documents of a file over values.
pub fn add_yaml(values: &mut Map<String, Value>, name: &str, data: &[u8]) -> Result<()> {
    let read = helm_chart::read_values(data, &yaml::Limits::default());
    let mut read = read.with_context(|| format!("failed to parse {name}"))?;
    helm_chart::floats(&mut read);
    yaml::merge_values(values, read);
    Ok(())
}
