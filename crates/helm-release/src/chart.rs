//! The chart of a release: what is stored of it, which is all but its subcharts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use helm::UsedChart;
use helm_chart::{Chart, File};
use jiff::Timestamp;
use yaml::{JsonFields, json_list, json_string};

use crate::json;

/// What Go writes for a time that was never set.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// A chart as Go writes it: with the subcharts in its metadata, and the values, that were used for a rendering.
pub fn chart_json(chart: &Chart, used: &UsedChart) -> String {
    let mut metadata = chart.metadata.clone();
    metadata.dependencies = used.dependencies.iter().cloned().map(Some).collect();
    let mut fields = JsonFields::default();
    fields.raw("metadata", &json::ordered(&metadata.to_json()));
    let lock = chart.lock.as_ref().map(|lock| json::ordered(&lock.to_json()));
    fields.raw("lock", lock.as_deref().unwrap_or("null"));
    fields.raw("templates", &files(&chart.templates));
    fields.raw("values", &yaml::canonical_json(&used.values.clone().into()));
    let schema = chart.schema.as_ref();
    let data = schema.map(|schema| json_string(&STANDARD.encode(&schema.data)));
    fields.raw("schema", data.as_deref().unwrap_or("null"));
    let modified = schema.and_then(|schema| time(schema.modified));
    fields.raw("schemamodtime", &json_string(modified.as_deref().unwrap_or(ZERO_TIME)));
    fields.raw("files", &files(&chart.files));
    fields.text("modtime", time(chart.modified).as_deref().unwrap_or_default());
    fields.finish()
}

fn files(files: &[File]) -> String {
    if files.is_empty() {
        return "null".to_owned();
    }
    let items: Vec<String> = files.iter().map(file).collect();
    json_list(&items)
}

fn file(file: &File) -> String {
    let mut fields = JsonFields::default();
    fields.raw("name", &json_string(&file.name));
    fields.raw("data", &json_string(&STANDARD.encode(&file.data)));
    fields.text("modtime", time(file.modified).as_deref().unwrap_or_default());
    fields.finish()
}

fn time(seconds: Option<u64>) -> Option<String> {
    let seconds = i64::try_from(seconds?).ok()?;
    Timestamp::from_second(seconds).ok().map(|time| time.to_string())
}
