//! What `--help` shows and what a mistake in the arguments says: for a terminal of 80 columns, and for the log of a Pod.

use clap::{Arg, Command, builder::PossibleValue};

use crate::preflight::VERB;

/// The headings of `--help`: what flags are about.
pub mod heading {
    #![expect(missing_docs, reason = "the texts say it")]
    pub const SCOPE: &str = "Objects looked after";
    pub const CONCURRENCY: &str = "Work at once";
    pub const INTERVALS: &str = "Retries and times";
    pub const ENDPOINTS: &str = "Endpoints";
    pub const EVENTS: &str = "Events and logs";
    pub const API_SERVER: &str = "API server";
    pub const LEADER: &str = "Leader election and shutdown";
    pub const GATES: &str = "Feature gates";
}

/// Columns that `--help` needs.
const COLUMNS: usize = 80;
/// By how much clap indents the text below a flag.
const INDENT: usize = 10;

/// A flag and what there is to say about it, for `--help` and the documentation.
pub struct Description {
    /// The sentence.
    pub text: String,
    /// Its default, if it has one that is not empty.
    pub default: Option<String>,
    /// The environment variable that sets it.
    pub variable: Option<String>,
    /// Its values, if these are few.
    pub values: Vec<String>,
}

impl Description {
    /// What is to be said of a flag.
    pub fn of(arg: &Arg) -> Self {
        let text = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let variable = arg.get_env().map(|name| name.to_string_lossy().into_owned());
        let values = arg.get_possible_values();
        let is_shown = |value: &&PossibleValue| !value.is_hide_set();
        Self {
            text: if text.ends_with('.') { text } else { format!("{text}.") },
            default: Some(defaults.join(",")).filter(|default| !default.is_empty()),
            variable,
            values: values.iter().filter(is_shown).map(|value| value.get_name().to_owned()).collect(),
        }
    }

    fn line(&self) -> String {
        let Self { text, default, variable, values } = self;
        let values = (!values.is_empty()).then(|| format!(" [possible values: {}]", values.join(", ")));
        let default = default.as_ref().map(|default| format!(" [default: {default}]"));
        let variable = variable.as_ref().map(|name| format!(" [env: {name}]"));
        [Some(text.clone()), values, default, variable].into_iter().flatten().collect()
    }
}

/// Has a command's `--help` fit a terminal. It names environment variables and never tells what they hold.
pub(super) fn readable(command: Command) -> Command {
    let command = command.next_line_help(true).mut_args(|arg| {
        if arg.is_hide_set() {
            return arg;
        }
        let text = wrapped(&Description::of(&arg).line(), COLUMNS - INDENT);
        arg.help(text).hide_default_value(true).hide_env(true).hide_possible_values(true)
    });
    let syntax = "Flags are given as --flag=value or --flag value; a boolean may be bare, which means true, and has its value after \
                  an equals sign otherwise. Of a flag that is given twice the last one counts, unless it is a list. An \
                  environment variable counts where its flag is not given.";
    let preflight = format!(
        "With the word {VERB} in place of flags, the program says what would not work if it took over a cluster from Flux, and \
         ends. It only reads; `{VERB} --help` says more."
    );
    command.after_help(format!("{}\n\n{}", wrapped(syntax, COLUMNS), wrapped(&preflight, COLUMNS)))
}

/// A text in lines of so many columns, broken between words.
fn wrapped(text: &str, columns: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

/// What is wrong with the arguments, in one line: the log of a Pod shows lines, and the last ones first.
pub(crate) fn one_line(error: &clap::Error) -> String {
    format!("error: {} (--help lists the flags)", reason(error))
}

/// What is wrong with the arguments.
pub(crate) fn reason(error: &clap::Error) -> String {
    let text = error.to_string();
    let is_said = |line: &&str| {
        !line.is_empty() && !line.starts_with("Usage:") && !line.starts_with("For more information")
    };
    let lines: Vec<_> = text.lines().map(str::trim).filter(is_said).collect();
    let joined = lines.join("; ").replace(":; ", ": ");
    joined.strip_prefix("error: ").unwrap_or(&joined).to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::flags::{Flags, try_parse_from};

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        _flags: Flags,
        #[arg(long, requires = "_other")]
        _one: Option<String>,
        #[arg(long)]
        _other: Option<String>,
    }

    fn said(args: &[&str]) -> clap::Error {
        try_parse_from::<Program>([&["program"], args].concat()).map(drop).unwrap_err()
    }

    #[test]
    fn help_is_grouped_and_fits_eighty_columns() {
        let help = said(&["--help"]).to_string();
        let wide: Vec<_> = help.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(wide.is_empty(), "{wide:?}");
        let headings: Vec<_> =
            help.lines().filter(|line| line.ends_with(':') && !line.starts_with(' ')).collect();
        let expected = [
            "Options:",
            "Endpoints:",
            "Events and logs:",
            "Objects looked after:",
            "Retries and times:",
            "Leader election and shutdown:",
            "API server:",
        ];
        assert_eq!(headings, expected);
        assert!(help.contains(
            "  --max-retry-delay <MAX_RETRY_DELAY>\n          Longest delay after failures. [default: 15m]\n"
        ));
        assert!(help.contains("\n\nWith the word preflight in place of flags, "), "{help}");
        assert!(help.contains("          Log verbosity. [possible values: trace, debug, info, error] [default:\n          info]\n"));
    }

    #[test]
    fn help_tells_no_value_of_an_environment_variable() {
        // A variable that every process has.
        let arg = Arg::new("a").long("a").env("PATH").default_value("x").help("Text");
        let help = readable(Command::new("p").arg(arg)).render_help().to_string();
        assert!(help.contains("          Text. [default: x] [env: PATH]\n"), "{help}");
        assert!(!help.contains(&std::env::var("PATH").unwrap()));
    }

    #[test]
    fn a_mistake_is_one_line() {
        for (arg, line) in [
            (
                "--min-retry-delay=fast",
                "error: invalid value 'fast' for '--min-retry-delay <MIN_RETRY_DELAY>': time: invalid duration \"fast\" (--help lists the flags)",
            ),
            (
                "--log-level=loud",
                "error: invalid value 'loud' for '--log-level <LOG_LEVEL>'; [possible values: trace, debug, info, error] (--help lists the flags)",
            ),
            (
                "--log-leve=info",
                "error: unexpected argument '--log-leve' found; tip: a similar argument exists: '--log-level' (--help lists the flags)",
            ),
            (
                "--one=1",
                "error: the following required arguments were not provided: --other <OTHER> (--help lists the flags)",
            ),
            ("word", "error: unexpected argument 'word' found (--help lists the flags)"),
        ] {
            assert_eq!(one_line(&said(&[arg])), line);
        }
    }
}
