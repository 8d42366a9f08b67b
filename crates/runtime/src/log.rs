//! Logs in the shape of zap as controller-runtime sets it up: one JSON object a line with `level`, `ts`,
//! `msg` and the fields of the surrounding reconcile. `flux logs` parses these.

use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    Layer,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};

/// `--log-encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Encoding {
    /// One JSON object a line.
    Json,
    /// `ts level msg {fields}`, tab separated.
    Console,
}

/// `--log-level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogLevel {
    /// Everything, libraries included.
    Trace,
    /// Details of each reconcile.
    Debug,
    /// What changed.
    Info,
    /// Failures only.
    Error,
}

/// Installs the process-wide logger on standard error. Called once, before anything logs.
pub fn init(encoding: Encoding, level: LogLevel) {
    // kube's client logs whole bodies that it cannot decode, and those may be Secrets: never, at any level.
    let filter = match level {
        LogLevel::Trace => "trace,kube_client::client=off",
        LogLevel::Debug => {
            "debug,kube_client::client=off,hyper=info,h2=info,rustls=info,tower=info,kube=info,reqwest=info,gix=info"
        }
        LogLevel::Info => "info,kube_runtime=error,kube_client=error,kube_client::client=off,tower=error",
        LogLevel::Error => "error,kube_client::client=off",
    };
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Zap { encoding })
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .with_filter(tracing_subscriber::EnvFilter::new(filter));
    tracing_subscriber::registry().with(SpanFields).with(lines).init();
}

/// Keeps each span's fields as JSON so that a line can carry them flat.
struct SpanFields;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanFields {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Value::String(format!("{value:?}")));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        // `output` is a JSON value; tracing has no such field type. Any other text is a text, whatever its author wrote.
        let parsed = if field.name() == "output" { serde_json::from_str(value).ok() } else { None };
        self.put(field, parsed.unwrap_or_else(|| Value::String(value.to_owned())));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, Value::String(crate::error::chain(value)));
    }
}

/// controller-runtime names the object once more, under its kind: `"GitRepository": {"name", "namespace"}`.
fn add_object(line: &mut Map<String, Value>) {
    let text = |key: &str| line.get(key).and_then(Value::as_str).map(str::to_owned);
    if let (Some(kind), Some(name), Some(namespace)) =
        (text("controllerKind"), text("name"), text("namespace"))
    {
        line.insert(kind, json!({ "name": name, "namespace": namespace }));
    }
}

struct Zap {
    encoding: Encoding,
}

impl<S, N> FormatEvent<S, N> for Zap
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let message = fields.0.shift_remove("message").unwrap_or_else(|| "".into());
        let now = Timestamp::now();
        let ts = now.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string();
        let level = match *event.metadata().level() {
            Level::TRACE => "trace",
            Level::DEBUG => "debug",
            // zap has no warnings; upstream logs such lines at info.
            Level::INFO | Level::WARN => "info",
            Level::ERROR => "error",
        };
        let mut line = Map::new();
        let mut put = |key: &str, value: Value| drop(line.insert(key.to_owned(), value));
        if self.encoding == Encoding::Json {
            put("level", level.into());
            put("ts", ts.clone().into());
            put(
                "logger",
                fields.0.shift_remove("logger").unwrap_or_else(|| event.metadata().target().into()),
            );
            put("msg", message.clone());
        }
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(inherited) = span.extensions().get::<Fields>() {
                inherited.0.iter().for_each(|(k, v)| put(k, v.clone()));
            }
        }
        fields.0.into_iter().for_each(|(k, v)| put(&k, v));
        add_object(&mut line);
        let line = serde_json::to_string(&line).map_err(|_| fmt::Error)?;
        match self.encoding {
            Encoding::Json => writeln!(writer, "{line}"),
            Encoding::Console => {
                // One event is one line: a line break in it could pass for another event.
                let message = message.as_str().unwrap_or_default().replace(['\r', '\n'], " ");
                writeln!(writer, "{ts}\t{}\t{message}\t{line}", level.to_uppercase())
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(work: impl FnOnce()) -> Value {
        serde_json::from_str(&written(Encoding::Json, work)).unwrap()
    }

    fn written(encoding: Encoding, work: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let lines = tracing_subscriber::fmt::layer()
            .event_format(Zap { encoding })
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(SpanFields).with(lines), work);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_text_that_looks_like_json_stays_a_text() {
        let line = logged(|| tracing::info!(error = r#"{"level": "error"}"#, "failed"));
        assert_eq!(line["error"], r#"{"level": "error"}"#);
    }

    #[test]
    fn an_event_is_one_line_whatever_its_message_holds() {
        let text = written(Encoding::Console, || tracing::info!("first\nsecond\r\nthird"));
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("first second  third"), "{text}");
    }

    #[test]
    fn a_line_has_zaps_keys_and_the_reconciles_fields_flat() {
        let line = logged(|| {
            let span = tracing::info_span!(
                "reconcile",
                controller = "gitrepository",
                controllerKind = "GitRepository",
                namespace = "flux-system",
                name = "app",
                reconcileID = "1"
            );
            span.in_scope(|| tracing::info!(output = r#"{"ConfigMap/x":"created"}"#, "stored \"it\""));
        });
        assert_eq!(line["level"], "info");
        assert_eq!(line["msg"], "stored \"it\"");
        assert_eq!(line["controller"], "gitrepository");
        assert_eq!(line["GitRepository"], json!({ "name": "app", "namespace": "flux-system" }));
        assert_eq!(line["output"]["ConfigMap/x"], "created");
        assert!(line["ts"].as_str().unwrap().ends_with('Z'));
    }
}
