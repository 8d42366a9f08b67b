//! What functions take and give, so that random calls of them mostly fit.

/// What an argument or a result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Any,
    Text,
    Integer,
    /// An integer that decides how much there is of something.
    Count,
    Float,
    /// What functions make a number of: texts and booleans, too.
    Number,
    Bool,
    List,
    Map,
    Time,
    Version,
    VersionText,
    Range,
    Regex,
    Duration,
    Layout,
    Zone,
    Json,
    Yaml,
    Toml,
    Url,
    Path,
    Encoded,
    Format,
}

/// A function.
#[derive(Debug)]
pub struct Function {
    pub name: &'static str,
    pub takes: Vec<Kind>,
    /// Whether the last argument may come again, or not at all.
    pub repeats: bool,
    pub gives: Kind,
}

/// A name; a letter each argument, `*` if the last one repeats; what it gives. Left out is what is random, tells the time, or has no order.
const TABLE: &str = "
    abbrev iS S; abbrevboth iiS S; add N* I; add1 N I; add1f N F; addf N* F; adler32sum S S; all A* B; and AA* A; any A* B; append LA L;
    atoi S I; b32dec e S; b32enc S S; b64dec e S; b64enc S S; base P S; biggest N* I; camelcase S S; cat A* S; ceil N F; chunk iL L; clean P S;
    coalesce A* A; compact L L; concat L* L; contains SS B; date YT S; dateInZone YTZ S; dateModify DT T; date_modify DT T; deepCopy A A; deepEqual AA B;
    default AA A; dict SASA M; dig SSAM A; dir P S; div NN I; divf NN* F; duration N S; durationDays D F; durationHours D F; durationMicroseconds D I;
    durationMilliseconds D I; durationMinutes D F; durationNanoseconds D I; durationRound N S; durationRoundTo DD A; durationSeconds D F;
    durationTruncateTo DD A; durationWeeks D F; empty A B; eq AA* B; eq NN B; eq SS* B; ext P S; fail S S; first L A; float64 N F; floor N F; fromJson J M;
    fromJsonArray J L; fromToml O M; fromYaml E M; fromYamlArray E L; ge NN B; get MS A; gt FF B; has AL B; hasKey MS B; hasPrefix SS B; hasSuffix SS B;
    html S S; htmlDate T S; htmlDateInZone TZ S; indent iS S; index AA A; index LI A; index MS A; initial L L; initials S S; int N I; int64 N I; isAbs P B;
    join SA S; js S S; kebabcase S S; kindIs SA B; kindOf A S; last L A; le SS B; len A I; list A* L; lookup SSSS M; lower S S; lt II B; max N* I; maxf N* F;
    merge MM* M; mergeOverwrite MM* M; min N* I; minf N* F; mod NN I; mul NN* I; mulf NN* F; mustAppend LA L; mustChunk iL L; mustCompact L L;
    mustDateModify DT T; mustDeepCopy A A; mustFirst L A; mustFromJson J A; mustHas AL B; mustInitial L L; mustLast L A; mustMerge MM* M;
    mustMergeOverwrite MM* M; mustPrepend LA L; mustPush LA L; mustRegexFind RS S; mustRegexFindAll RSi L; mustRegexMatch RS B;
    mustRegexReplaceAll RSS S; mustRegexReplaceAllLiteral RSS S; mustRegexSplit RSi L; mustRest L L; mustReverse L L; mustSlice LII L; mustToDate YS T;
    mustToDuration D A; mustToJson A S; mustToPrettyJson A S; mustToRawJson A S; mustToToml M S; mustToYaml A S; mustUniq L L; mustWithout LA* L; ne SS B;
    nindent iS S; nospace S S; not A B; omit MS* M; or AA* A; osBase P S; osClean P S; osDir P S; osExt P S; osIsAbs P B; pick MS* M; pluck SM* L; plural SSN S;
    prepend LA L; print A* S; printf fA* S; println A* S; push LA L; quote A* S; regexFind RS S; regexFindAll RSi L; regexMatch RS B; regexQuoteMeta S S;
    regexReplaceAll RSS S; regexReplaceAllLiteral RSS S; regexSplit RSi L; repeat iS S; replace SSS S; required SA A; rest L L; reverse L L; round Ni F;
    semver X V; semverCompare CX B; seq i* S; set MSA M; sha1sum S S; sha256sum S S; sha512sum S S; slice LI L; slice LII L; slice SII S; snakecase S S; sortAlpha L L;
    split SS M; splitList SS L; splitn SiS M; squote A* S; sub NN I; subf NN* F; substr IIS S; swapcase S S; ternary AAB A; title S S; toDate YS T; toDecimal A I;
    toJson A S; toPrettyJson A S; toRawJson A S; toString A S; toStrings A L; toToml M S; toYaml A S; toYamlPretty A S; trim S S; trimAll SS S; trimPrefix SS S;
    trimSuffix SS S; trunc IS S; tuple A* L; typeIs SA B; typeIsLike SA B; typeOf A S; uniq L L; unixEpoch T S; unset MS M; until i L; untilStep iii L;
    untitle S S; upper S S; urlJoin M S; urlParse U M; urlquery S* S; without LA* L; wrap iS S; wrapWith iSS S
";

fn kind(letter: char) -> Kind {
    match letter {
        'S' => Kind::Text,
        'I' => Kind::Integer,
        'i' => Kind::Count,
        'F' => Kind::Float,
        'N' => Kind::Number,
        'B' => Kind::Bool,
        'L' => Kind::List,
        'M' => Kind::Map,
        'T' => Kind::Time,
        'V' => Kind::Version,
        'X' => Kind::VersionText,
        'C' => Kind::Range,
        'R' => Kind::Regex,
        'D' => Kind::Duration,
        'Y' => Kind::Layout,
        'Z' => Kind::Zone,
        'J' => Kind::Json,
        'E' => Kind::Yaml,
        'O' => Kind::Toml,
        'U' => Kind::Url,
        'P' => Kind::Path,
        'e' => Kind::Encoded,
        'f' => Kind::Format,
        _ => Kind::Any,
    }
}

/// What often ends a rendering. It is left out of whole charts, where one failure hides all else.
const STRICT: &[&str] = &[
    "atoi",
    "biggest",
    "chunk",
    "concat",
    "div",
    "divf",
    "durationRoundTo",
    "durationTruncateTo",
    "eq",
    "fail",
    "first",
    "ge",
    "index",
    "len",
    "list",
    "max",
    "min",
    "mod",
    "required",
    "semver",
    "semverCompare",
    "slice",
    "substr",
    "urlParse",
    "initial",
    "last",
    "rest",
    "reverse",
    "uniq",
    "without",
    "has",
    "append",
    "prepend",
    "push",
    "merge",
    "mergeOverwrite",
    "dig",
    "pluck",
    "get",
    "set",
    "unset",
    "pick",
    "omit",
    "hasKey",
    "compact",
    "maxf",
    "minf",
    "mulf",
    "addf",
    "subf",
    "repeat",
    "deepCopy",
    "wrap",
    "wrapWith",
    "abbrev",
    "abbrevboth",
    "until",
    "untilStep",
    "splitn",
    "indent",
    "nindent",
];

/// The functions of the table that seldom fail.
pub fn lenient() -> Vec<Function> {
    let is_lenient =
        |function: &Function| !STRICT.contains(&function.name) && !function.name.starts_with("must");
    all().into_iter().filter(is_lenient).collect()
}

/// All functions of the table.
pub fn all() -> Vec<Function> {
    let parse = |entry: &'static str| {
        let mut words = entry.split_whitespace();
        let (name, takes, gives) = (words.next()?, words.next()?, words.next()?);
        let repeats = takes.ends_with('*');
        let takes = takes.trim_end_matches('*').chars().map(kind).collect();
        Some(Function { name, takes, repeats, gives: gives.chars().next().map(kind)? })
    };
    TABLE.split(';').filter_map(parse).collect()
}
