//! Logs in the shape of zap as controller-runtime sets it up: one JSON object a line with `level`, `ts`,
//! `msg` and the fields of the surrounding reconcile. `flux logs` parses these.

use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    Layer,
    filter::{FilterFn, LevelFilter},
    fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter, format::Writer},
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

/// `--log-level`. Libraries tell no more than their warnings, see [`is_shown`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// Details of each reconcile.
    Debug,
    /// What changed.
    Info,
    /// Failures only.
    Error,
}

impl LogLevel {
    fn of_our_crates(self) -> LevelFilter {
        match self {
            Self::Trace => LevelFilter::TRACE,
            Self::Debug => LevelFilter::DEBUG,
            Self::Info => LevelFilter::INFO,
            Self::Error => LevelFilter::ERROR,
        }
    }

    /// The most detailed level that anything has which is enabled; spans of ours are at `info`.
    fn hint(self) -> LevelFilter {
        self.of_our_crates().max(LevelFilter::INFO)
    }

    fn of_libraries(self) -> LevelFilter {
        match self {
            Self::Trace | Self::Debug => LevelFilter::WARN,
            Self::Info | Self::Error => LevelFilter::ERROR,
        }
    }
}

/// The crates of this workspace, which print no secrets.
const OUR_CRATES: &[&str] = &[
    "api",
    "apply",
    "artifact",
    "artifact_generator",
    "artifact_storage",
    "auth",
    "bucket",
    "budget",
    "clusters",
    "cosign",
    "expression",
    "git",
    "glob",
    "gojson",
    "goregexp",
    "gotemplate",
    "gourl",
    "helm",
    "helm_actions",
    "helm_chart",
    "helm_controller",
    "helm_release",
    "helm_repository",
    "helm_state",
    "helm_values",
    "identity",
    "kms",
    "kustomize",
    "kustomize_controller",
    "managed_clusters",
    "net",
    "notation",
    "oci",
    "overlay",
    "references",
    "runtime",
    "secret",
    "sops",
    "source",
    "source_controller",
    "source_watcher",
    "sprig",
    "strconv",
    "strvals",
    "substitute",
    "values_schema",
    "verification",
    "versions",
    "yaml",
];

/// Whether what is written with this target and level is in the log.
///
/// HTTP, TLS, SSH and Git libraries show headers, bodies and keys in their details, and those may be secrets: below warnings they
/// say nothing, whatever `--log-level` is. kube's client logs whole bodies that it cannot decode, at every level, so it is silent.
fn is_shown(log_level: LogLevel, target: &str, level: Level) -> bool {
    let name = target.split("::").next().unwrap_or_default();
    if OUR_CRATES.contains(&name) {
        return level <= log_level.of_our_crates();
    }
    let is_kube_client = target == "kube_client::client" || target.starts_with("kube_client::client::");
    !is_kube_client && level <= log_level.of_libraries()
}

/// Spans of ours are there at every level: failures are told with the object that they are about.
fn is_enabled(log_level: LogLevel, metadata: &Metadata<'_>) -> bool {
    // Not more than the hint says, by which others are asked: tracing relies on that.
    let level = if metadata.is_span() { Level::ERROR } else { *metadata.level() };
    *metadata.level() <= log_level.hint() && is_shown(log_level, metadata.target(), level)
}

/// Installs the process-wide logger on standard error. Called once, before anything logs. Of a panic it has the place alone: what it
/// says may quote what it was about, secrets too.
pub fn init(encoding: Encoding, level: LogLevel) {
    subscriber(encoding, level, std::io::stderr).init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(logger = "runtime", place, "panic");
    }));
}

fn subscriber<W>(encoding: Encoding, level: LogLevel, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines =
        tracing_subscriber::fmt::layer().event_format(Zap { encoding }).with_ansi(false).with_writer(writer);
    // Libraries have spans and events at every level in their innermost loops: the hint spares them the question.
    let enabled =
        FilterFn::new(move |metadata| is_enabled(level, metadata)).with_max_level_hint(level.hint());
    tracing_subscriber::registry().with(SpanFields).with(lines).with(enabled)
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
        written_at(LogLevel::Info, encoding, work)
    }

    fn written_at(level: LogLevel, encoding: Encoding, work: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        tracing::subscriber::with_default(subscriber(encoding, level, move || writer.clone()), work);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn libraries_say_no_more_than_warnings_and_kubes_client_says_nothing() {
        use LogLevel::{Debug, Error, Info, Trace};
        let most = |log_level, target: &str| {
            let levels = [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR];
            levels.into_iter().find(|level| is_shown(log_level, target, *level))
        };
        for target in ["git::http", "source_controller", "kustomize_controller::pass::end", "runtime"] {
            let shown = [Trace, Debug, Info, Error].map(|log_level| most(log_level, target));
            let all = [Level::TRACE, Level::DEBUG, Level::INFO, Level::ERROR].map(Some);
            assert_eq!(shown, all, "{target}");
        }
        let libraries = [
            "russh::client",
            "ssh_key",
            "h2::codec::framed_read",
            "hyper::proto::h1::io",
            "hyper_util::client",
            "rustls::client::hs",
            "kube_runtime::watcher",
            "kube_client::config",
            "reqwest::connect",
            "gix_transport",
            "tower::buffer",
            "git2",
            "sources::x",
            "netlink",
            "",
        ];
        for target in libraries {
            let shown = [Trace, Debug, Info, Error].map(|log_level| most(log_level, target));
            let warnings = [Level::WARN, Level::WARN, Level::ERROR, Level::ERROR].map(Some);
            assert_eq!(shown, warnings, "{target}");
        }
        for target in ["kube_client::client", "kube_client::client::builder"] {
            assert_eq!([Trace, Debug, Info, Error].map(|log_level| most(log_level, target)), [None; 4]);
        }
    }

    #[test]
    fn all_crates_of_the_workspace_are_ours() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let folders = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let crates = folders.filter(|entry| entry.path().join("Cargo.toml").exists());
        let mut names: Vec<_> =
            crates.map(|entry| entry.file_name().into_string().unwrap().replace('-', "_")).collect();
        names.sort();
        assert_eq!(names, OUR_CRATES);
    }

    #[test]
    fn the_details_of_libraries_are_in_no_log_and_neither_are_their_spans() {
        let text = written_at(LogLevel::Trace, Encoding::Json, || {
            let request = tracing::span!(target: "kube_client::client", Level::ERROR, "HTTP", url = "canary");
            let _entered = request.entered();
            let span = tracing::trace_span!("fetch", name = "app");
            let _within = span.entered();
            tracing::trace!(target: "h2::codec", header = "authorization: canary");
            tracing::debug!(target: "hyper::proto", "canary");
            tracing::error!(target: "kube_client::client", body = "canary", "failed to decode");
            tracing::trace!("ours");
        });
        assert!(!text.contains("canary"), "{text}");
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["msg"], &line["name"]), (&json!("ours"), &json!("app")));
    }

    #[test]
    fn nothing_is_enabled_beyond_the_hint_however_it_is_asked() {
        // As another subscriber beside ours would have it asked.
        let all = tracing_subscriber::registry().with(LevelFilter::TRACE);
        let detailed = tracing::subscriber::with_default(all, || tracing::trace_span!("detail"));
        let metadata = detailed.metadata().unwrap();
        for level in [LogLevel::Error, LogLevel::Info, LogLevel::Debug] {
            assert!(!is_enabled(level, metadata), "{level:?}");
        }
        assert!(is_enabled(LogLevel::Trace, metadata));
    }

    #[test]
    fn failures_are_told_with_their_object_at_every_level() {
        let text = written_at(LogLevel::Error, Encoding::Json, || {
            let span = tracing::info_span!("reconcile", name = "app");
            span.in_scope(|| {
                tracing::info!("no failure");
                tracing::error!("failed");
            });
        });
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["msg"], &line["name"]), (&json!("failed"), &json!("app")));
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
