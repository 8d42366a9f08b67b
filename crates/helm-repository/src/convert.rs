//! Reads an index, once and as a stream, and writes it again as Flux stores it.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use versions::Version;

use crate::body::{Body, BodyError};
use crate::index::{Index, NewEntry};
use crate::limits::Limits;
use crate::version::{ChartVersion, VersionSeed, escape_html};

/// Why an index cannot be read. The first two texts are Helm's.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// There is nothing in it.
    #[error("empty index.yaml file")]
    Empty,
    /// It does not say what it is.
    #[error("no API version specified")]
    NoApiVersion,
    /// It is too large.
    #[error("index exceeds the maximum index file size of {0} bytes")]
    TooLarge(u64),
    /// It is neither YAML nor JSON, or has other content than an index.
    #[error("{0}")]
    Format(String),
    /// A file cannot be read or written.
    #[error("failed to read or write a file of the index")]
    Io(#[from] io::Error),
}

/// Reads an index and writes it as JSON, charts by name and versions from the highest on.
///
/// What is in memory is [`Index`] and one version; the rest waits in a temporary file. Blocks. `go_on` is asked now and then.
///
/// # Errors
/// When it cannot be read, or is no index.
pub fn convert(
    body: &Body,
    limits: &Limits,
    go_on: &dyn Fn() -> bool,
    output: &mut dyn Write,
) -> Result<Index, IndexError> {
    let mut reading = Reading::new(limits, go_on, Some(BufWriter::new(tempfile::tempfile()?)));
    reading.run(body)?;
    reading.finish(Some(output))
}

/// Reads an index for what finding charts needs.
///
/// # Errors
/// As [`convert`].
pub fn read(body: &Body, limits: &Limits, go_on: &dyn Fn() -> bool) -> Result<Index, IndexError> {
    let mut reading = Reading::new(limits, go_on, None);
    reading.run(body)?;
    reading.finish(None)
}

struct Reading<'a> {
    limits: &'a Limits,
    go_on: &'a dyn Fn() -> bool,
    is_strict: bool,
    /// All versions as JSON, in the order of the index.
    spool: Option<BufWriter<File>>,
    spooled: u64,
    api_version: String,
    /// The other fields of the index.
    head: Map<String, Value>,
    /// Names of charts, in the order of the index.
    names: Vec<String>,
    numbers: HashMap<String, u32>,
    text: String,
    rows: Vec<Row>,
}

/// A version: where its texts and its JSON are.
struct Row {
    chart: u32,
    version: (u32, u32),
    url: (u32, u32),
    digest: (u32, u32),
    created: i64,
    json: (u64, u32),
}

impl<'a> Reading<'a> {
    fn new(limits: &'a Limits, go_on: &'a dyn Fn() -> bool, spool: Option<BufWriter<File>>) -> Self {
        Self {
            limits,
            go_on,
            is_strict: false,
            spool,
            spooled: 0,
            api_version: String::new(),
            head: Map::new(),
            names: Vec::new(),
            numbers: HashMap::new(),
            text: String::new(),
            rows: Vec::new(),
        }
    }

    /// JSON is read as JSON, where fields that Helm does not know are allowed; all else is YAML, where they are not.
    fn run(&mut self, body: &Body) -> Result<(), IndexError> {
        let mut reader = BufReader::new(body.reader(self.limits.index_bytes)?);
        match first_byte(&mut reader).map_err(too_large)? {
            None => return Err(IndexError::Empty),
            Some(b'{') => {
                let mut json = serde_json::Deserializer::from_reader(&mut reader);
                let read = Root(self).deserialize(&mut json).and_then(|()| json.end());
                match read {
                    Ok(()) => return self.check(),
                    Err(error) if error.is_io() => return Err(too_large(error.into())),
                    Err(error) if error.is_syntax() || error.is_eof() => self.begin_again()?,
                    Err(error) => return Err(IndexError::Format(error.to_string())),
                }
            }
            Some(_) => {}
        }
        self.is_strict = true;
        let options = yaml_options(self.limits);
        let reader = body.reader(self.limits.index_bytes)?;
        let mut is_too_large = false;
        let watched = Watched { inner: reader, is_too_large: &mut is_too_large };
        let read = serde_saphyr::with_deserializer_from_reader_with_options(watched, options, |yaml| {
            Root(self).deserialize(yaml)
        });
        match read {
            _ if is_too_large => Err(IndexError::TooLarge(self.limits.index_bytes)),
            Ok(()) => self.check(),
            Err(error) => Err(IndexError::Format(error.without_snippet().to_string())),
        }
    }

    fn begin_again(&mut self) -> Result<(), IndexError> {
        let spool =
            self.spool.take().map(BufWriter::into_inner).transpose().map_err(|error| error.into_error())?;
        let spool = spool.map(|mut file| {
            file.rewind()?;
            file.set_len(0)?;
            Ok::<_, io::Error>(BufWriter::new(file))
        });
        *self = Self::new(self.limits, self.go_on, spool.transpose()?);
        Ok(())
    }

    fn check(&self) -> Result<(), IndexError> {
        if self.api_version.is_empty() { Err(IndexError::NoApiVersion) } else { Ok(()) }
    }

    /// The number of a chart; of one that is there already, the former versions go.
    fn chart(&mut self, name: String) -> u32 {
        if let Some(number) = self.numbers.get(&name) {
            let number = *number;
            self.rows.retain(|row| row.chart != number);
            return number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.clone());
        self.numbers.insert(name, number);
        number
    }

    fn add(&mut self, chart: u32, version: &ChartVersion) -> Result<(), String> {
        if !(self.go_on)() {
            return Err("context deadline exceeded".to_owned());
        }
        let created = version.created().map_err(|text| format!("cannot read the time {text:?}"))?;
        if !version.is_valid() {
            return Ok(());
        }
        if self.rows.len() >= self.limits.versions {
            return Err(format!("more than {} versions", self.limits.versions));
        }
        let json = match &mut self.spool {
            None => (0, 0),
            Some(spool) => {
                let json = version.to_json().map_err(|error| error.to_string())?;
                spool.write_all(json.as_bytes()).map_err(|error| error.to_string())?;
                let start = self.spooled;
                self.spooled += json.len() as u64;
                (start, u32::try_from(json.len()).map_err(|error| error.to_string())?)
            }
        };
        let row = Row {
            chart,
            version: self.keep(version.text("version")),
            url: self.keep(version.url()),
            digest: self.keep(version.text("digest")),
            created,
            json,
        };
        self.rows.push(row);
        Ok(())
    }

    /// The bytes of an index, and so of its texts, are fewer than 4 GiB.
    fn keep(&mut self, text: &str) -> (u32, u32) {
        let start = self.text.len();
        self.text.push_str(text);
        (u32::try_from(start).unwrap_or(u32::MAX), u32::try_from(text.len()).unwrap_or(0))
    }

    fn part(&self, (start, length): (u32, u32)) -> &str {
        let start = start as usize;
        self.text.get(start..start + length as usize).unwrap_or_default()
    }

    fn finish(mut self, output: Option<&mut dyn Write>) -> Result<Index, IndexError> {
        let mut spool = match self.spool.take() {
            Some(spool) => Some(spool.into_inner().map_err(|error| error.into_error())?),
            None => None,
        };
        let mut output = output.map(|output| BufWriter::with_capacity(64 << 10, output));
        let mut order: Vec<(usize, &str)> = self.names.iter().map(String::as_str).enumerate().collect();
        order.sort_by_key(|(_, name)| *name);
        let mut rows = self.rows.iter().collect::<Vec<_>>();
        rows.sort_by_key(|row| row.chart);
        let mut index = Index::default();
        self.begin(&mut output)?;
        for (place, (number, name)) in order.into_iter().enumerate() {
            let first = rows.partition_point(|row| (row.chart as usize) < number);
            let end = rows.partition_point(|row| row.chart as usize <= number);
            let mut sorted: Vec<(Option<Version>, &Row)> = rows
                .get(first..end)
                .unwrap_or_default()
                .iter()
                .map(|row| (Version::parse_loose(self.part(row.version)), *row))
                .collect();
            sorted.sort_by(|(a, _), (b, _)| b.cmp(a));
            if let (Some(output), Some(spool)) = (&mut output, &mut spool) {
                let comma = if place > 0 { "," } else { "" };
                write!(output, "{comma}{}:[", text_json(name)?)?;
                for (place, (_, row)) in sorted.iter().enumerate() {
                    output.write_all(if place > 0 { b"," } else { b"" })?;
                    spool.seek(SeekFrom::Start(row.json.0))?;
                    io::copy(&mut Read::by_ref(spool).take(row.json.1.into()), output)?;
                }
                output.write_all(b"]")?;
            }
            index.push(
                name,
                sorted.iter().map(|(_, row)| NewEntry {
                    version: self.part(row.version),
                    url: self.part(row.url),
                    digest: self.part(row.digest),
                    created: row.created,
                }),
            );
        }
        self.end(&mut output)?;
        index.shrink();
        Ok(index)
    }

    /// What comes before the charts: Go writes fields in the order of its struct.
    fn begin<W: Write>(&self, output: &mut Option<W>) -> Result<(), IndexError> {
        let Some(output) = output else { return Ok(()) };
        output.write_all(b"{")?;
        if let Some(value) = self.head.get("serverInfo") {
            write!(output, "\"serverInfo\":{},", escape_html(&value.to_string()))?;
        }
        write!(output, "\"apiVersion\":{}", text_json(&self.api_version)?)?;
        if let Some(value) = self.head.get("generated") {
            write!(output, ",\"generated\":{}", escape_html(&value.to_string()))?;
        }
        output.write_all(b",\"entries\":{")?;
        Ok(())
    }

    fn end<W: Write>(&self, output: &mut Option<W>) -> Result<(), IndexError> {
        let Some(output) = output else { return Ok(()) };
        output.write_all(b"}")?;
        for name in ["publicKeys", "annotations"] {
            if let Some(value) = self.head.get(name) {
                write!(output, ",\"{name}\":{}", escape_html(&value.to_string()))?;
            }
        }
        output.write_all(b"}")?;
        output.flush()?;
        Ok(())
    }
}

fn text_json(text: &str) -> io::Result<String> {
    Ok(escape_html(&serde_json::to_string(text)?))
}

/// The first byte that is no white space; it stays to be read.
fn first_byte(reader: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        let buffer = reader.fill_buf()?;
        match buffer.iter().position(|byte| !byte.is_ascii_whitespace()) {
            Some(place) => {
                let byte = buffer.get(place).copied();
                reader.consume(place);
                return Ok(byte);
            }
            None if buffer.is_empty() => return Ok(None),
            None => {
                let count = buffer.len();
                reader.consume(count);
            }
        }
    }
}

/// The error of a body with too many bytes, else the error that there is.
fn too_large(error: io::Error) -> IndexError {
    let limit =
        error.get_ref().and_then(|inner| inner.downcast_ref::<BodyError>()).map(|BodyError(limit)| *limit);
    limit.map_or(IndexError::Io(error), IndexError::TooLarge)
}

/// The YAML parser keeps the text of an error alone.
struct Watched<'a, R> {
    inner: R,
    is_too_large: &'a mut bool,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner
            .read(buffer)
            .inspect_err(|error| *self.is_too_large |= error.kind() == io::ErrorKind::FileTooLarge)
    }
}

fn yaml_options(limits: &Limits) -> serde_saphyr::Options {
    let bytes = usize::try_from(limits.index_bytes).unwrap_or(usize::MAX);
    let mut budget = serde_saphyr::Budget::default();
    budget.max_reader_input_bytes = None;
    // Every value has a byte at least.
    budget.max_events = bytes;
    budget.max_nodes = bytes;
    budget.max_total_scalar_bytes = bytes;
    budget.max_depth = limits.depth;
    budget.max_documents = 1;
    budget.max_anchors = limits.aliases;
    budget.max_aliases = limits.aliases;
    budget.max_merge_keys = 0;
    let mut options = serde_saphyr::Options::default();
    options.budget = Some(budget);
    options.with_snippet = false;
    options
}

/// The whole index.
struct Root<'r, 'a>(&'r mut Reading<'a>);

impl<'de> DeserializeSeed<'de> for Root<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Root<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an index of charts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reading = self.0;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "apiVersion" => reading.api_version = map.next_value::<Option<String>>()?.unwrap_or_default(),
                "generated" => {
                    if let Some(text) = map.next_value::<Option<String>>()? {
                        reading.head.insert(key, text.into());
                    }
                }
                "serverInfo" | "publicKeys" | "annotations" => {
                    let value = map.next_value::<Value>()?;
                    if !value.is_null() {
                        reading.head.insert(key, value);
                    }
                }
                "entries" => map.next_value_seed(Entries(reading))?,
                _ if reading.is_strict => {
                    return Err(serde::de::Error::custom(format_args!("unknown field \"{key}\"")));
                }
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(())
    }
}

/// The charts.
struct Entries<'r, 'a>(&'r mut Reading<'a>);

impl<'de> DeserializeSeed<'de> for Entries<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("charts by name")
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let chart = self.0.chart(name);
            map.next_value_seed(Versions { reading: &mut *self.0, chart })?;
        }
        Ok(())
    }
}

/// The versions of a chart.
struct Versions<'r, 'a> {
    reading: &'r mut Reading<'a>,
    chart: u32,
}

impl<'de> DeserializeSeed<'de> for Versions<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Versions<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of versions of a chart")
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Versions { reading, chart } = self;
        while let Some(version) = seq.next_element_seed(VersionSeed { is_strict: reading.is_strict })? {
            if let Some(version) = version {
                reading.add(chart, &version).map_err(serde::de::Error::custom)?;
            }
        }
        Ok(())
    }
}
