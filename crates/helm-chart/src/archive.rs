//! Charts from archives: names and sizes are checked as by Helm, and nothing is written anywhere.

use std::io::Read;

use artifact::unpack::{self, Member, UnpackError};

use crate::chart::{Chart, File, load_files, read_metadata_file, read_requirements};
use crate::error::LoadError;
use crate::limits::{Allowance, LimitError, Limits};
use crate::metadata::Metadata;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Loads a chart from a `tar.gz`, whose first folder is the chart.
///
/// # Errors
/// Whatever is wrong with the archive or the chart.
pub fn load_archive(archive: impl Read, limits: &Limits) -> Result<Chart, LoadError> {
    load_within(archive, &mut Allowance::new(limits))
}

pub(crate) fn load_within(archive: impl Read, allowance: &mut Allowance<'_>) -> Result<Chart, LoadError> {
    let mut files = Vec::new();
    each(archive, &allowance.unpacking(), allowance.limits, &mut |name, member| {
        allowance.file(&name, member.size)?;
        files.push(File { name, modified: Some(member.modified), data: content(member)?.into() });
        Ok(())
    })?;
    if files.is_empty() {
        return Err(LoadError::NoFiles);
    }
    load_files(files, allowance)
}

/// Reads Chart.yaml, and requirements.yaml, of an archive, and looks at the names of all else.
///
/// # Errors
/// Whatever is wrong with the archive or these files; they are not validated.
pub fn read_metadata(archive: impl Read, limits: &Limits) -> Result<Metadata, LoadError> {
    let mut allowance = Allowance::new(limits);
    let mut metadata: Option<Metadata> = None;
    each(archive, &allowance.unpacking(), limits, &mut |name, member| {
        allowance.file(&name, member.size)?;
        match name.as_str() {
            "Chart.yaml" => {
                read_metadata_file(&content(member)?, metadata.get_or_insert_default(), limits)?;
            }
            "requirements.yaml" => {
                read_requirements(&content(member)?, metadata.get_or_insert_default(), limits)?;
            }
            _ => {}
        }
        Ok(())
    })?;
    metadata.ok_or(LoadError::NoMetadata)
}

type Visit<'a> = dyn FnMut(String, Member<'_>) -> Result<(), LoadError> + 'a;

/// Hands over each file by its name within the chart.
fn each(
    archive: impl Read,
    bounds: &unpack::Limits,
    limits: &Limits,
    visit: &mut Visit<'_>,
) -> Result<(), LoadError> {
    let mut failure = None;
    let unpacked = unpack::members(archive, bounds, &mut |member| {
        if member.is_directory {
            return Ok(());
        }
        clean_name(member.name).and_then(|name| visit(name, member)).map_err(|error| {
            failure = Some(error);
            "see the failure".into()
        })
    });
    match (failure, unpacked) {
        (Some(error), Err(UnpackError::Sink { .. })) => Err(error),
        (_, Err(error)) if error.is_too_many_bytes() => Err(LimitError::Bytes(limits.bytes).into()),
        (_, unpacked) => unpacked.map_err(LoadError::Unpack),
    }
}

fn content(member: Member<'_>) -> Result<Vec<u8>, LoadError> {
    let mut data = Vec::new();
    let read = member.content.read_to_end(&mut data);
    // A stream that broke says so itself when the closure has ended.
    read.map_err(|error| LoadError::Unpack(UnpackError::Tar(error)))?;
    if data.starts_with(BYTE_ORDER_MARK) {
        data.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(data)
}

/// The name without its first folder. Archives that were made on Windows may have `\` between folders.
fn clean_name(name: &[u8]) -> Result<String, LoadError> {
    let name = std::str::from_utf8(name).map_err(|_| LoadError::IllegalName)?;
    let delimiter = if name.contains('\\') { '\\' } else { '/' };
    let (first, rest) = name.split_once(delimiter).unwrap_or((name, ""));
    let rest = rest.replace(delimiter, "/");
    if rest.starts_with('/') {
        return Err(LoadError::AbsolutePath);
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in rest.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.pop().is_none() => return Err(LoadError::ParentDirectory),
            ".." => {}
            part => parts.push(part),
        }
    }
    let [folder, ..] = parts.as_slice() else { return Err(LoadError::Outside(name.to_owned())) };
    // As in Helm, where the beginning of a text is looked at.
    if folder.starts_with("..") {
        return Err(LoadError::ParentDirectory);
    }
    let is_drive = matches!(folder.as_bytes(), [letter, b':'] if letter.is_ascii_alphabetic());
    if (is_drive && parts.len() > 1) || rest.contains('\0') {
        return Err(LoadError::IllegalName);
    }
    if first == "Chart.yaml" {
        return Err(LoadError::NotInBaseDirectory);
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned_or_refused_as_by_helm() {
        for (name, expected) in [
            ("app/Chart.yaml", Ok("Chart.yaml")),
            ("app/./templates//a.yaml", Ok("templates/a.yaml")),
            ("app/templates/../a", Ok("a")),
            ("app\\templates\\a.yaml", Ok("templates/a.yaml")),
            ("./Chart.yaml", Ok("Chart.yaml")),
            ("app//etc/passwd", Err("chart illegally contains absolute paths")),
            ("app/../../x", Err("chart illegally references parent directory")),
            ("app/..x", Err("chart illegally references parent directory")),
            ("app", Err("chart illegally contains content outside the base directory: \"app\"")),
            ("app/.", Err("chart illegally contains content outside the base directory: \"app/.\"")),
            ("app/c:/x", Err("chart contains illegally named files")),
            ("Chart.yaml/x", Err("chart yaml not in base directory")),
        ] {
            let cleaned = clean_name(name.as_bytes()).map_err(|error| error.to_string());
            assert_eq!(cleaned, expected.map(str::to_owned).map_err(str::to_owned), "{name}");
        }
    }
}
