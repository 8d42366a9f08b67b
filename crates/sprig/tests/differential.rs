//! What Helm 4.3.1 answers to templates that differed here before: `make differential` found them, and recorded the answers.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use gotemplate::{Budget, Limits, MissingKey, Run, Set, Value};

/// Templates, and the text of each or a part of its error.
const ANSWERS: &[(&str, &str)] = &[
    (r#"{{ b32dec "YWI=" }}"#, "illegal base32 data at input byte 4"),
    (r#"{{ b32dec "MZ======MZ======" }}"#, "illegal base32 data at input byte 2"),
    (r#"{{ b32dec "MZ======M" }}"#, "f"),
    (r#"{{ b32dec "MZXW6===M" }}"#, "foo"),
    (r#"{{ b32dec "MZX=====" }}"#, "illegal base32 data at input byte 3"),
    (r#"{{ b32dec "MZ==A===" }}"#, "illegal base32 data at input byte 3"),
    (r#"{{ b32dec "M=======" }}"#, "illegal base32 data at input byte 1"),
    (r#"{{ b32dec "MZXW6YTBOI======" }}"#, "foobar"),
    (r#"{{ b32dec "MZXW6" }}"#, "illegal base32 data at input byte 0"),
    (r#"{{ b32dec "mz======" }}"#, "illegal base32 data at input byte 0"),
    (r#"{{ b64dec "YW=a" }}"#, "illegal base64 data at input byte 2"),
    (r#"{{ b64dec "YW=" }}"#, "illegal base64 data at input byte 3"),
    (r#"{{ b64dec "YQ==YQ==" }}"#, "illegal base64 data at input byte 4"),
    (r#"{{ b64dec "Y===" }}"#, "illegal base64 data at input byte 1"),
    (r#"{{ b64dec "YWI" }}"#, "illegal base64 data at input byte 0"),
    (r#"{{ fromToml "d = 2020-01-01\n" }}"#, "map[d:2020-01-01 00:00:00 +0000 date-local]"),
    (r#"{{ fromToml "t = 07:32:00.5\n" }}"#, "map[t:0000-01-01 07:32:00.5 +0000 time-local]"),
    (
        r#"{{ fromToml "t = 2020-01-01T07:32:00\nz = 1979-05-27T07:32:00-08:00\nu = 2020-01-01T07:32:00Z\n" }}"#,
        "map[t:2020-01-01 07:32:00 +0000 datetime-local u:2020-01-01 07:32:00 +0000 UTC z:1979-05-27 07:32:00 -0800 -0800]",
    ),
    (
        r#"{{ fromToml "d = 2020-01-01\nt = 07:32:00.5\nl = 2020-01-01 07:32:00\nz = 1979-05-27T07:32:00-08:00\n" | toToml }}"#,
        "d = 2020-01-01\nl = 2020-01-01T07:32:00\nt = 07:32:00.5\nz = 1979-05-27T07:32:00-08:00\n",
    ),
    (
        r#"{{ fromToml "[[a]]\nx = 1\n[[a.b]]\ny = [[1],[2]]\n[[a]]\n" | printf "%#v" }}"#,
        r#"map[string]interface {}{"a":[]map[string]interface {}{map[string]interface {}{"b":[]map[string]interface {}{map[string]interface {}{"y":[]interface {}{[]interface {}{1}, []interface {}{2}}}}, "x":1}, map[string]interface {}{}}}"#,
    ),
    (
        r#"{{ fromToml "a = [{x = 1}, {}]\nb = [[1]]\nc = []\n" | printf "%#v" }}"#,
        r#"map[string]interface {}{"a":[]interface {}{map[string]interface {}{"x":1}, map[string]interface {}{}}, "b":[]interface {}{[]interface {}{1}}, "c":[]interface {}{}}"#,
    ),
    (r#"{{ fromToml "[[a]]\nx = 1\n" | toYaml }}"#, "a:\n- x: 1"),
    (
        r#"{{ fromToml "i = 9223372036854775807\nh = 0xff\no = 0o17\nb = 0b11\nu = 1_000\nm = -5\np = +7\nf = 1_0.5e+3\ni2 = -inf\n" | printf "%v" }}"#,
        "map[b:3 f:10500 h:255 i:9223372036854775807 i2:-Inf m:-5 o:15 p:7 u:1000]",
    ),
    (r#"{{ eq (toDate "2006-01-02" "2020-01-01") (toDate "2006-01-02" "2020-01-01") }}"#, "true"),
    (r#"{{ eq (toDate "2006-01-02" "2020-01-01") (toDate "2006-01-02" "2020-01-02") }}"#, "false"),
    (
        r#"{{ eq (toDate "2006-01-02Z07:00" "2020-01-01+02:00") (toDate "2006-01-02Z07:00" "2020-01-01+02:00") }}"#,
        "true",
    ),
    (r#"{{ $t := toDate "2006-01-02Z07:00" "2020-01-01+02:00" }}{{ eq $t $t }}{{ ne $t $t }}"#, "truefalse"),
    (
        r#"{{ $i := 1 }}{{ derivePassword $i "long" "p" "u" "s" }}"#,
        "wrong type for value; expected uint32; got int",
    ),
    (r#"{{ derivePassword 4294967297 "long" "p" "u" "s" }}"#, "Rude2$QafoJela"),
    (r#"{{ derivePassword "x" "long" "p" "u" "s" }}"#, r#"expected unsigned integer; found "x""#),
    (
        r#"{{ derivePassword (semver "1.2.3").Major "long" "p" "u" "s" }}"#,
        "wrong type for value; expected uint32; got uint64",
    ),
    (r#"{{ "x\u0085y" | toYaml | toJson }}"#, r#""x y""#),
    (
        r#"{{ list "\u0085" "a \u0085 b" "a\u0085\u0085b" "a \u0085 \u0085 \u0085  b" "\u0085\"q\"" | toYaml | toJson }}"#,
        r#""- ' '\n- a b\n- |-\n  a\n  b\n- |-\n  a\n\n  b\n- ' \"q\"'""#,
    ),
    (r#"{{ "\x7f" | toYaml | toJson }}"#, r#""""#),
    (r#"{{ mustToYaml "\x7f" }}"#, "error calling mustToYaml: yaml: control characters are not allowed"),
    (r#"{{ mustToYaml "\ufffe" }}"#, "error calling mustToYaml: yaml: control characters are not allowed"),
    (r#"{{ toYaml "a\ufeffb" | toJson }}"#, r#""\"a\\uFEFFb\"""#),
    (r#"{{ toYaml "\u0090" }}"#, ""),
    (r#"{{ dict "a\u0085b" 1 | toYaml | toJson }}"#, r#""""#),
    (r#"{{ toYaml "\x01" | toJson }}"#, r#""\"\\x01\"""#),
    (r#"{{ toYamlPretty "a\u0085b\x7f" | toJson }}"#, r#""\"a\\Nb\\x7F\"""#),
    (r#"{{ mustToYaml (dict "x" 1 "a\u0085\u0085b" 1) }}"#, "yaml: line 2: did not find expected ',' or '}'"),
    (
        r#"{{ mustToYaml (dict "b" "x\u0085y" "c\u0085" 1) }}"#,
        "yaml: line 2: did not find expected ',' or '}'",
    ),
    (r#"{{ tuple (semver "1") (semver "v1.2-a") | deepCopy }}"#, "[0.0.0 0.0.0]"),
    (
        r#"{{ $v := semver "v1.2-a" | deepCopy }}{{ $v }}|{{ $v.Original }}|{{ $v.Prerelease }}|{{ typeOf $v }}"#,
        "0.0.0|||*semver.Version",
    ),
    (
        r#"{{ mustToDate "-0700" "52677" }}"#,
        r#"error calling mustToDate: parsing time "52677": time zone offset minute out of range"#,
    ),
    (
        r#"{{ mustToDate "-0700" "+2577" }}"#,
        r#"error calling mustToDate: parsing time "+2577": time zone offset minute out of range"#,
    ),
    (
        r#"{{ mustToDate "-07:00" "+25:00" }}"#,
        r#"error calling mustToDate: parsing time "+25:00": time zone offset hour out of range"#,
    ),
    (
        r#"{{ mustToDate "-07:00:00" "+05:00:61" }}"#,
        r#"error calling mustToDate: parsing time "+05:00:61": time zone offset second out of range"#,
    ),
    (
        r#"{{ mustToDate "-0700" "+24601" }}"#,
        r#"error calling mustToDate: parsing time "+24601": extra text: "1""#,
    ),
    (
        r#"{{ mustToDate "-0700" "+246" }}"#,
        r#"error calling mustToDate: parsing time "+246" as "-0700": cannot parse "+246" as "-0700""#,
    ),
    (r#"{{ mustToDate "-0700" "+2460" }}"#, r#"0000-01-01 00:00:00 +2500 +2500"#),
    (
        r#"{{ mustToDate "-0700" "x2460" }}"#,
        r#"error calling mustToDate: parsing time "x2460" as "-0700": cannot parse "x2460" as "-0700""#,
    ),
    (
        r#"{{ mustToDate "Z07:00" "+05-30" }}"#,
        r#"error calling mustToDate: parsing time "+05-30" as "Z07:00": cannot parse "+05-30" as "Z07:00""#,
    ),
    (r#"{{ mustToDate "-07" "-03" }}"#, r#"0000-01-01 00:00:00 -0300 -0300"#),
    (
        r#"{{ mustToDate "-0700" "+99x1" }}"#,
        r#"error calling mustToDate: parsing time "+99x1": time zone offset hour out of range"#,
    ),
    (r#"{{ mustToDate "2006Z070000" "2020+010203" }}"#, r#"2020-01-01 00:00:00 +0102 +0102"#),
    (r#"{{ toToml (fromJson "null") }}"#, ""),
    (r#"{{ toToml (dict "d" (list (list "a" nil) (dict))) }}"#, "toml: cannot encode array with nil element"),
    (r#"{{ toToml (dict "a" (fromJson "null") "b" 1) }}"#, "b = 1\n"),
    (r#"{{ toToml (dict "d" (list (list (list nil)))) }}"#, "toml: cannot encode array with nil element"),
    (r#"{{ toToml (dict "d" (list (dict "x" (list nil)))) }}"#, "toml: cannot encode array with nil element"),
    (
        r#"{{ toToml (dict "d" (dict "x" (list (dict "y" (list (list nil))))))}}"#,
        "toml: cannot encode array with nil element",
    ),
];

fn render(source: &str) -> String {
    let host: Arc<dyn sprig::Host> = Arc::new(sprig::System);
    let mut set = Set::new("t", sprig::functions(&host), Limits::default(), MissingKey::Zero);
    set.parse("t", source.as_bytes()).unwrap();
    let text = set.execute(&Run::new(Budget::default(), &|| false), "t", Value::Nil);
    text.map_or_else(|error| error.to_string(), |text| text.to_string())
}

#[test]
fn what_differed_once_is_what_helm_answers() {
    for (source, expected) in ANSWERS {
        let found = render(source);
        let is_equal = found == *expected || found.starts_with("template:") && found.ends_with(expected);
        assert!(is_equal, "{source}\n  Helm: {expected}\n  here: {found}");
    }
}
