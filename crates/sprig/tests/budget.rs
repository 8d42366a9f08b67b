//! What strangers ask for ends within the budget.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use gotemplate::{Budget, Error, Exhausted, Limits, MissingKey, Run, Set, Value};

fn render(source: &str, budget: Budget) -> Result<usize, Error> {
    let host: Arc<dyn sprig::Host> = Arc::new(sprig::System);
    let mut set = Set::new("t", sprig::functions(&host), Limits::default(), MissingKey::Zero);
    set.parse("t", source.as_bytes()).unwrap();
    Ok(set.execute(&Run::new(budget, &|| false), "t", Value::Nil)?.len())
}

fn budget() -> Budget {
    Budget { steps: 2_000_000, output: 1 << 20, memory: 4 << 20, ..Budget::default() }
}

#[test]
fn what_is_too_large_is_not_made() {
    let many = "9223372036854775807";
    let text = r#"{{$x := repeat 100000 "ab "}}"#;
    for source in [
        format!(r#"{{{{repeat {many} "ab"}}}}"#),
        format!(r#"{{{{repeat 3 "ab" | indent {many}}}}}"#),
        format!(r#"{{{{nindent {many} "a"}}}}"#),
        format!("{{{{until {many}}}}}"),
        format!("{{{{untilStep 0 {many} 2}}}}"),
        "{{seq 9000000000000000000}}".to_owned(),
        format!("{{{{randAlphaNum {many}}}}}"),
        format!("{{{{randBytes {many}}}}}"),
        format!("{text}{{{{replace \"\" $x $x}}}}"),
        format!("{text}{{{{replace \"a\" $x $x}}}}"),
        format!("{text}{{{{splitList \"\" $x}}}}"),
        format!("{text}{{{{wrapWith 1 $x $x}}}}"),
        format!("{text}{{{{splitList \" \" $x | join $x}}}}"),
        format!("{text}{{{{regexReplaceAll \"a\" $x $x}}}}"),
        r#"{{$x := repeat 100000 "$0"}}{{regexReplaceAll ".*" $x $x}}"#.to_owned(),
        format!("{text}{{{{regexFindAll \"\" $x -1}}}}"),
        format!("{text}{{{{splitList \" \" $x | chunk 1}}}}"),
        r#"{{$x := repeat 200000 "- 1\n"}}{{fromYamlArray $x}}"#.to_owned(),
        r#"{{$x := printf "[%s1]" (repeat 200000 "1,")}}{{mustFromJson $x}}"#.to_owned(),
        r#"{{$x := printf "a = [%s1]" (repeat 200000 "1,")}}{{fromToml $x}}"#.to_owned(),
        "{{$x := until 50000}}{{toYaml $x}}".to_owned(),
        r#"{{$d := dict "k" 1}}{{range until 20}}{{$_ := set $d "k" (list $d.k $d.k)}}{{end}}{{deepCopy $d}}"#
            .to_owned(),
        r#"{{$d := dict "k" 1}}{{range until 20}}{{$_ := set $d "k" (list $d.k $d.k)}}{{end}}{{toJson $d}}"#
            .to_owned(),
        r#"{{$d := dict "k" 1}}{{range until 20}}{{$_ := set $d "k" (list $d.k $d.k)}}{{end}}{{toToml $d}}"#
            .to_owned(),
    ] {
        let start = Instant::now();
        let result = render(&source, budget());
        assert!(matches!(result, Err(Error::Exhausted(_))), "{source}: {result:?}");
        assert!(start.elapsed() < Duration::from_secs(10), "{source}: {:?}", start.elapsed());
    }
}

#[test]
fn what_takes_long_costs_steps() {
    for source in [
        r#"{{range until 10}}{{bcrypt "p"}}{{end}}"#,
        r#"{{range until 10}}{{htpasswd "u" "p"}}{{end}}"#,
        r#"{{derivePassword 1 "long" "p" "u" "s"}}"#,
        r#"{{genPrivateKey "rsa"}}"#,
        r#"{{range until 10}}{{genCA "c" 1}}{{end}}"#,
        r#"{{range until 1000}}{{genPrivateKey "ecdsa"}}{{end}}"#,
        r#"{{$x := until 5000}}{{uniq $x}}"#,
        r#"{{$x := until 5000}}{{without $x $x}}{{range $x}}{{has -1 $x}}{{end}}"#,
        r#"{{range until 100}}{{regexMatch "\\pL{100}" ""}}{{end}}"#,
        r#"{{$x := repeat 50000 "a"}}{{$p := repeat 500 "(a|ab)*"}}{{range until 100}}{{regexMatch $p $x}}{{end}}"#,
        r#"{{$x := repeat 50000 "z"}}{{$p := repeat 50000 "a"}}{{range until 100}}{{$_ := trimAll $p $x}}{{end}}"#,
    ] {
        let result = render(source, budget());
        assert!(matches!(result, Err(Error::Exhausted(Exhausted::Steps(_)))), "{source}: {result:?}");
    }
}

#[test]
fn values_within_themselves_end_functions_that_walk_into_them() {
    for call in [
        "toJson",
        "toPrettyJson",
        "toYaml",
        "toYamlPretty",
        "toToml",
        "deepCopy",
        "deepEqual (dict)",
        "quote",
        "merge (dict)",
    ] {
        let source = format!(r#"{{{{$d := dict}}}}{{{{$_ := set $d "d" $d}}}}{{{{$_ := {call} $d}}}}"#);
        match call {
            // Those look no deeper than they must.
            "deepEqual (dict)" | "merge (dict)" => assert!(render(&source, budget()).is_ok(), "{source}"),
            _ => assert!(matches!(render(&source, budget()), Err(Error::Exhausted(_))), "{source}"),
        }
    }
    let both = r#"{{$d := dict}}{{$_ := set $d "d" $d}}{{$e := dict}}{{$_ := set $e "d" $e}}"#;
    for call in ["deepEqual $d $e", "merge $d $e", "mergeOverwrite $d $e"] {
        let result = render(&format!("{both}{{{{$_ := {call}}}}}"), budget());
        assert!(matches!(result, Err(Error::Exhausted(_))), "{call}: {result:?}");
    }
}

#[test]
fn regular_expressions_have_a_limit_of_size() {
    for (pattern, error) in [
        (r"\\pL{1000}", "expression too large"),
        ("(((a{30}){30}){30})", "invalid repeat count"),
        ("a{1001}", "invalid repeat count"),
    ] {
        let result = render(&format!(r#"{{{{mustRegexMatch "{pattern}" ""}}}}"#), Budget::default());
        assert!(
            result.as_ref().is_err_and(|found| found.to_string().contains(error)),
            "{pattern}: {result:?}"
        );
    }
    let nested = format!("{}a{}", "(".repeat(2000), ")".repeat(2000));
    let result = render(&format!(r#"{{{{mustRegexMatch "{nested}" ""}}}}"#), Budget::default());
    assert!(result.is_err_and(|found| found.to_string().contains("expression nests too deeply")));
}
