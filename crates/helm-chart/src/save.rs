//! Packaging: a chart as an archive, with the order, the headers and the marks that Helm gives it.
//!
//! The same chart gives the same bytes: what does not come from an archive has the time 0, where Helm takes the clock.

use std::io::{self, Write};

use artifact::archive::header;
use flate2::{Compression, GzBuilder};

use crate::chart::{Chart, File};
use crate::metadata::{API_VERSION_2, ValidationError};

/// What Helm writes into the extra field of gzip.
const GZIP_EXTRA: &[u8] = b"+aHR0cHM6Ly95b3V0dS5iZS96OVV6MWljandyTQo=";
const GZIP_COMMENT: &[u8] = b"Helm";
/// Go's gzip does not say which system it runs on.
const UNKNOWN_SYSTEM: u8 = 255;
const FILE_MODE: u64 = 0o644;
const TAR_END: [u8; 2 * header::TAR_BLOCK_BYTES] = [0; 2 * header::TAR_BLOCK_BYTES];

/// Why a chart cannot be packaged.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// Its metadata is not allowed.
    #[error("failed to package chart: chart validation")]
    Validation(#[from] ValidationError),
    /// Its schema is no JSON.
    #[error("failed to package chart: invalid JSON in values.schema.json")]
    Schema,
    /// The archive cannot be written.
    #[error("failed to write chart to file")]
    Write(#[from] io::Error),
}

/// Writes a chart as a `tar.gz` and gives the writer back.
///
/// # Errors
/// See [`SaveError`].
pub fn save<W: Write>(chart: &Chart, out: W) -> Result<W, SaveError> {
    chart.metadata.clone().validate()?;
    let gzip = GzBuilder::new()
        .extra(GZIP_EXTRA)
        .comment(GZIP_COMMENT)
        .operating_system(UNKNOWN_SYSTEM)
        .write(out, Compression::default());
    let mut tar = Tar(gzip);
    tar.chart(chart, "")?;
    tar.0.write_all(&TAR_END)?;
    Ok(tar.0.finish()?)
}

struct Tar<W>(W);

impl<W: Write> Tar<W> {
    fn chart(&mut self, chart: &Chart, prefix: &str) -> Result<(), SaveError> {
        let name = &chart.metadata.name;
        let base = format!("{prefix}{name}");
        let metadata = chart.metadata.to_yaml();
        self.file(&base, "Chart.yaml", metadata.as_bytes(), chart.modified.unwrap_or(0))?;
        if let Some(lock) = chart.lock.as_ref().filter(|_| chart.metadata.api_version == API_VERSION_2) {
            self.file(&base, "Chart.lock", lock.to_yaml().as_bytes(), lock.seconds())?;
        }
        if let Some(schema) = &chart.schema
            && serde_json::from_slice::<serde::de::IgnoredAny>(&schema.data).is_err()
        {
            return Err(SaveError::Schema);
        }
        let first = chart.values_file.iter().chain(&chart.schema);
        for File { name, modified, data } in first.chain(&chart.templates).chain(&chart.files) {
            self.file(&base, name, data, modified.unwrap_or(0))?;
        }
        // As deep as the loader let it be.
        for dependency in &chart.dependencies {
            self.chart(dependency, &format!("{base}/charts/"))?;
        }
        Ok(())
    }

    fn file(&mut self, base: &str, name: &str, data: &[u8], modified: u64) -> io::Result<()> {
        let (path, size) = (format!("{base}/{name}"), data.len() as u64);
        self.0.write_all(&header::regular(path.as_bytes(), FILE_MODE, size, modified))?;
        self.0.write_all(data)?;
        self.0.write_all(header::padding(size))
    }
}
