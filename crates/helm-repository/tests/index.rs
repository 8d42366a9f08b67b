//! Indexes as they come: YAML and JSON, odd ones, hostile ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::io::Write;

use helm_repository::{Body, Encoding, Entry, Index, IndexError, Limits, convert, read};
use serde_json::{Value, json};

fn body(text: &str) -> Body {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    Body { file, encoding: Encoding::Identity }
}

fn converted_with(text: &str, limits: &Limits) -> Result<(Index, String), IndexError> {
    let mut json = Vec::new();
    let index = convert(&body(text), limits, &|| true, &mut json)?;
    let json = String::from_utf8(json).unwrap();
    // What is written can be read, and is the same.
    let again = read(&body(&json), limits, &|| true)?;
    assert_eq!((again.len(), again.bytes()), (index.len(), index.bytes()));
    Ok((index, json))
}

fn converted(text: &str) -> Result<(Index, String), IndexError> {
    converted_with(text, &Limits::default())
}

const YAML: &str = r#"
apiVersion: v1
generated: "2024-05-01T10:00:00.5Z"
entries:
  podinfo:
  - apiVersion: v1
    created: "2024-05-01T10:00:00Z"
    description: "a <b> & c"
    digest: aa
    maintainers: [{name: me, email: me@example.org}]
    name: podinfo
    urls: [podinfo-6.1.0.tgz, other]
    version: 6.1.0
    keywords: [a, null]
  - name: podinfo
    version: v6.10.0
    urls: [https://charts.example.org/podinfo-6.10.0.tgz]
    annotations: {b: x, a: y}
    dependencies: [{name: redis, version: "17.0", repository: "", condition: redis.enabled}]
  - {name: podinfo, version: 7.0.0-rc.1, urls: [rc.tgz], deprecated: true}
  - name: podinfo
    version: latest
    urls: [x]
  - null
  alpha: [{name: alpha, version: "1.0", urls: []}]
  empty: []
  nothing:
"#;

#[test]
fn an_index_is_written_as_flux_writes_it() {
    let (index, json) = converted(YAML).unwrap();
    assert_eq!(index.len(), 4);
    let expected = concat!(
        r#"{"apiVersion":"v1","generated":"2024-05-01T10:00:00.5Z","entries":{"#,
        r#""alpha":[{"name":"alpha","version":"1.0","apiVersion":"v1","urls":[]}],"empty":[],"nothing":[],"podinfo":["#,
        r#"{"name":"podinfo","version":"7.0.0-rc.1","apiVersion":"v1","deprecated":true,"urls":["rc.tgz"]},"#,
        r#"{"name":"podinfo","version":"v6.10.0","apiVersion":"v1","annotations":{"a":"y","b":"x"},"#,
        r#""dependencies":[{"name":"redis","version":"17.0","repository":"","condition":"redis.enabled"}],"#,
        r#""urls":["https://charts.example.org/podinfo-6.10.0.tgz"]},"#,
        r#"{"name":"podinfo","version":"6.1.0","description":"a \u003cb\u003e \u0026 c","keywords":["a",""],"#,
        r#""maintainers":[{"name":"me","email":"me@example.org"}],"apiVersion":"v1","#,
        r#""urls":["podinfo-6.1.0.tgz","other"],"created":"2024-05-01T10:00:00Z","digest":"aa"}]}}"#
    );
    assert_eq!(json, expected);
}

#[test]
fn versions_are_found_as_flux_finds_them() {
    let (index, _) = converted(YAML).unwrap();
    let url =
        |name, version| index.find(name, version).map(|entry| entry.url).map_err(|error| error.to_string());
    let newest = "https://charts.example.org/podinfo-6.10.0.tgz";
    for (version, expected) in [
        ("", newest),
        ("*", newest),
        (">=6", newest),
        ("6.1.0", "podinfo-6.1.0.tgz"),
        ("~6.1", "podinfo-6.1.0.tgz"),
        ("v6.10.0", newest),
        ("6.10.0", newest),
        (">=7.0.0-0", "rc.tgz"),
        ("7.0.0-rc.1", "rc.tgz"),
    ] {
        assert_eq!(url("podinfo", version).as_deref(), Ok(expected), "{version}");
    }
    for (name, version, expected) in [
        ("Podinfo", "", "no chart name found"),
        ("empty", "", "no chart version found"),
        ("nothing", "1.0.0", "no chart version found"),
        ("podinfo", "8.x", "no 'podinfo' chart with version matching '8.x' found"),
        ("podinfo", "a b c", "improper constraint: \"a b c\""),
    ] {
        assert_eq!(url(name, version), Err(expected.to_owned()), "{name} {version}");
    }
    let alpha = index.find("alpha", "").unwrap();
    assert_eq!(alpha, Entry { name: "alpha", version: "1.0", url: "", digest: "" });
}

#[test]
fn of_versions_of_one_precedence_the_newest_counts() {
    let row = |version: &str, created: &str| json!({"name": "a", "version": version, "urls": [version], "created": created});
    let versions = [
        row("1.0.0+a", "2024-01-01T00:00:00Z"),
        row("1.0.0+b", "2024-03-01T00:00:00+01:00"),
        row("1.0.0+c", "2024-02-01T00:00:00Z"),
        json!({"name": "a", "version": "1.0.0+d", "urls": ["1.0.0+d"]}),
    ];
    let text = json!({"apiVersion": "v1", "entries": {"a": versions}}).to_string();
    let (index, _) = converted(&text).unwrap();
    assert_eq!(index.find("a", "1.x").unwrap().version, "1.0.0+b");
    assert_eq!(index.find("a", "1.0.0+c").unwrap().version, "1.0.0+c");
}

#[test]
fn json_may_have_more_fields_than_yaml() {
    let entry = json!({"name": "a", "version": "1.0.0", "urls": ["u"], "new": {"x": [1]}});
    let json = json!({"apiVersion": "v1", "more": [1, {}], "entries": {"a": [entry]}}).to_string();
    assert_eq!(converted(&json).unwrap().0.len(), 1);
    for yaml in [
        "apiVersion: v1\nmore: 1\n",
        "apiVersion: v1\nentries: {a: [{name: a, version: 1.0.0, new: 1}]}\n",
        "apiVersion: v1\napiVersion: v1\n",
        // Flow style is YAML where it is not JSON.
        "{apiVersion: v1, more: 1}",
    ] {
        assert!(matches!(converted(yaml), Err(IndexError::Format(_))), "{yaml}");
    }
    assert!(converted("{apiVersion: v1, entries: {a: [{name: a, version: 1.0.0}]}}").unwrap().0.len() == 1);
}

#[test]
fn what_is_no_chart_is_left_out() {
    let good = json!({"name": "a", "version": "1.0.0", "urls": ["u"]});
    let mut bad = Vec::new();
    for (field, value) in [
        ("name", json!(null)),
        ("name", json!("..")),
        ("name", json!("a/b")),
        ("version", json!("")),
        ("version", json!("one")),
        ("type", json!("plugin")),
    ] {
        let mut entry = good.clone();
        entry[field] = value;
        bad.push(entry);
    }
    bad.push(good);
    let text = json!({"apiVersion": "v1", "entries": {"a": bad}}).to_string();
    assert_eq!(converted(&text).unwrap().0.len(), 1);
}

#[test]
fn what_is_no_index_is_named() {
    let error = |text: &str| converted(text).map(|_| ()).unwrap_err().to_string();
    assert_eq!(error(""), "empty index.yaml file");
    assert_eq!(error("\n  \n"), "empty index.yaml file");
    assert_eq!(error("entries: {}"), "no API version specified");
    assert_eq!(error("{}"), "no API version specified");
    assert_eq!(error(r#"{"apiVersion": null, "entries": null}"#), "no API version specified");
    for text in ["- a", "a: [", "<html></html>", "{\"apiVersion\": \"v1\"", "[1]", "apiVersion: {a: b}", "\0"]
    {
        assert!(matches!(converted(text), Err(IndexError::Format(_))), "{text}");
    }
    let time = r#"{"apiVersion":"v1","entries":{"a":[{"name":"a","version":"1.0.0","created":"now"}]}}"#;
    assert!(error(time).contains("cannot read the time \"now\""), "{}", error(time));
}

#[test]
fn a_chart_that_is_named_twice_is_the_last_one() {
    let text = r#"{"apiVersion":"v1","entries":{"a":[{"name":"a","version":"2.0.0"}],"a":[{"name":"a","version":"1.0.0"}]}}"#;
    assert_eq!(converted(text).unwrap().0.find("a", "").unwrap().version, "1.0.0");
}

#[test]
fn hostile_indexes_end_with_an_error() {
    let limits = Limits { index_bytes: 100_000, versions: 10, ..Limits::default() };
    let entry = "{name: a, version: 1.0.0}";
    let list = |count: usize| format!("apiVersion: v1\nentries: {{a: [{}]}}", vec![entry; count].join(", "));
    assert_eq!(converted_with(&list(10), &limits).unwrap().0.len(), 10);
    let error = |text: &str| converted_with(text, &limits).map(|_| ()).unwrap_err().to_string();
    assert!(error(&list(11)).contains("more than 10 versions"), "{}", error(&list(11)));
    let large = format!("{}\n#{}", list(1), "x".repeat(100_000));
    assert_eq!(error(&large), "index exceeds the maximum index file size of 100000 bytes");
    let json = format!("{{\"apiVersion\": \"v1\", \"x\": \"{}\"}}", "x".repeat(100_000));
    assert_eq!(error(&json), "index exceeds the maximum index file size of 100000 bytes");

    let mut bomb = String::from("apiVersion: v1\nannotations:\n  a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        let before = format!("*a{}, ", level - 1).repeat(9);
        bomb.push_str(&format!("  a{level}: &a{level} [{before}x]\n"));
    }
    assert!(matches!(converted_with(&bomb, &limits), Err(IndexError::Format(_))));
    let many = format!("apiVersion: v1\nannotations: {{a: &a x, b: [{}]}}", "*a, ".repeat(5000));
    assert!(matches!(converted_with(&many, &limits), Err(IndexError::Format(_))));
    for (open, close) in [("[", "]"), ("{a: ", "}")] {
        let deep = format!("apiVersion: v1\nannotations: {}{}", open.repeat(20_000), close.repeat(20_000));
        assert!(matches!(converted_with(&deep, &Limits::default()), Err(IndexError::Format(_))), "{open}");
        let deep = format!("{{\"annotations\": {}{}}}", "[".repeat(20_000), "]".repeat(20_000));
        assert!(matches!(converted_with(&deep, &Limits::default()), Err(IndexError::Format(_))));
    }

    // A few bytes that become many.
    let mut file = tempfile::tempfile().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(&mut file, flate2::Compression::fast());
    gzip.write_all(b"apiVersion: v1\n#").unwrap();
    gzip.write_all(&vec![b'x'; 10 << 20]).unwrap();
    gzip.finish().unwrap();
    let compressed = Body { file, encoding: Encoding::Gzip };
    let error = read(&compressed, &limits, &|| true).unwrap_err().to_string();
    assert_eq!(error, "index exceeds the maximum index file size of 100000 bytes");
}

#[test]
fn who_is_told_to_stop_stops() {
    let error = convert(&body(YAML), &Limits::default(), &|| false, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("context deadline exceeded"), "{error}");
}

#[test]
fn a_version_costs_its_texts_and_little_more() {
    let versions: Vec<Value> = (0..1000)
        .map(|n| json!({"name": "a", "version": format!("1.0.{n}"), "urls": ["u"], "description": "x".repeat(1000)}))
        .collect();
    let text = json!({"apiVersion": "v1", "entries": {"a": versions}}).to_string();
    let (index, _) = converted(&text).unwrap();
    assert!(index.bytes() < 1000 * 64, "{}", index.bytes());
}
