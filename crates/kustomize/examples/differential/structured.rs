//! Texts that are YAML or JSON themselves, and replacements that reach into them.

use super::random::Random;

const VALUES: [&str; 14] = [
    "old",
    "'old' # note",
    "\"old\"",
    "5",
    "1.5",
    "true",
    "",
    "2001-01-01",
    "!!str 5",
    "!c old",
    "&x old",
    "{z: 1}",
    "[a, b] # list",
    "! old",
];
const JSON: [&str; 3] = [
    r#"{"host": "x", "more": "<&>", "n": [1e21, 1.0, {"a": null}], "o": {}}"#,
    "{\n  \"host\": \"x\",\n  \"more\": \"<&> \\u2028\",\n  \"n\": [1e21, 1.0, {\"a\": null}], \"o\": []\n}",
    "{host: x, more: &q {z: 1}, n: [*q], o: {<<: {a: 1}}}",
];
const FIELDS: [&str; 8] = ["host", "more", "n.0", "o", "o.a", "list.[name=a].v", "list.*.v", "made.up"];
const REPLACED_BY: [&str; 8] = ["new", "'12'", "'true'", "'a<b'", "'two\n\n  lines'", "''", "'a: b'", "'~'"];

/// A block scalar, indented by four.
pub fn text(random: &mut Random) -> String {
    let text = if random.chance(35) {
        random.pick(&JSON).to_owned()
    } else {
        let anchor = random.pick(&["", "base: &base\n  k: v # kv\nmerged:\n  <<: *base\n  own: 1\n"]);
        format!(
            "# head\n{anchor}host: {}\nmore: {}\nn: [1, 2]\no:\n  a: {}\nlist:\n- name: a\n  v: {}\n- {{name: b, v: 2}}\n# foot\n",
            random.pick(&VALUES),
            random.pick(&VALUES),
            random.pick(&VALUES),
            random.pick(&VALUES),
        )
    };
    text.lines().fold("|".to_owned(), |block, line| format!("{block}\n    {line}"))
}

/// An entry of `replacements` for the texts of ConfigMaps.
pub fn replacement(random: &mut Random) -> String {
    let value = random.pick(&REPLACED_BY);
    let key = random.pick(&["k", "l", "m"]);
    let field = random.pick(&FIELDS);
    let options =
        random.pick(&["", ", options: {create: true}", ", options: {create: true, delimiter: l, index: 1}"]);
    format!(
        "- sourceValue: {value}\n  targets: [{{select: {{kind: ConfigMap}}, fieldPaths: ['data.{key}.{field}']{options}}}]\n"
    )
}
