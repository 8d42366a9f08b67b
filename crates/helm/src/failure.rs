//! What Helm says about templates that cannot be read or executed (`pkg/engine/engine.go`).

use gotemplate::Error;

/// Around the message of `required` and `fail`, which is told alone.
pub(crate) const MESSAGE_START: &str = "HELM_ERR_START";
pub(crate) const MESSAGE_END: &str = "HELM_ERR_END";

/// About a file that is no template.
pub(crate) fn parsing(file: &str, error: &str) -> String {
    let parts: Vec<&str> = error.split(": ").collect();
    match parts.as_slice() {
        [_, place, .., message] => format!("parse error at ({place}): {message}"),
        [_, message] => format!("parse error at ({message}): {message}"),
        _ => format!("parse error in ({file}): {error}"),
    }
}

/// About a template that failed. `end` is where the budget ended, if it did.
pub(crate) fn executing(file: &str, error: &Error, end: Option<&str>) -> String {
    let text = error.to_string();
    match error {
        Error::Exhausted(_) => return format!("execution error at ({}): {text}", end.unwrap_or(file)),
        Error::Execution { .. } => {}
        _ => return text,
    }
    let mut parts = text.splitn(3, ": ");
    let (Some(_), Some(place), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return format!("execution error in ({file}): {text}");
    };
    if let Some(message) = marked(rest) {
        return format!("execution error at ({place}): {message}");
    }
    // Go has each error twice: as what a template failed with, and as the text that was made for it.
    let mut frames: Vec<Frame> = Vec::new();
    let mut current = Some(error);
    while let Some(error) = current {
        let Some(frame) = Frame::parse(&error.to_string()) else { return text };
        if frames.last() != Some(&frame) {
            frames.push(frame);
        }
        current = match error {
            Error::Execution { cause, .. } => cause.as_deref(),
            _ => None,
        };
    }
    frames.iter().map(Frame::shown).collect::<String>().trim().to_owned()
}

/// From the first mark to the last, or to the end where that was cut off.
fn marked(text: &str) -> Option<&str> {
    let (_, after) = text.split_once(MESSAGE_START)?;
    Some(after.rsplit_once(MESSAGE_END).map_or(after, |(message, _)| message))
}

/// One place that an error came through.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    location: String,
    executed: String,
    message: String,
}

impl Frame {
    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("template: ")?;
        if rest.starts_with("no template ") {
            return Some(Self { location: String::new(), executed: String::new(), message: text.to_owned() });
        }
        if let Some(frame) = Self::parse_executing(rest) {
            return Some(frame);
        }
        let (location, message) = rest.rsplit_once(": ")?;
        Some(Self { location: location.to_owned(), executed: String::new(), message: first(message) })
    }

    /// `PLACE: executing "NAME" at <EXPRESSION>: MESSAGE`
    fn parse_executing(rest: &str) -> Option<Self> {
        let (location, after) = rest.split_once(": executing ")?;
        let (name, after) = after.strip_prefix('"')?.split_once('"')?;
        let (expression, message) = after.strip_prefix(" at <")?.split_once(">: ")?;
        Some(Self {
            location: location.to_owned(),
            executed: format!("executing \"{name}\" at <{expression}>:"),
            message: first(message),
        })
    }

    fn shown(&self) -> String {
        let mut shown = String::new();
        for (part, end) in [(&self.location, "\n  "), (&self.executed, "\n    "), (&self.message, "\n")] {
            if !part.is_empty() {
                shown.push_str(part);
                shown.push_str(end);
            }
        }
        shown
    }
}

/// What comes before the error that is chained behind.
fn first(message: &str) -> String {
    message.split(" template:").next().unwrap_or_default().to_owned()
}
