//! What people are told of a chart that was built.

const PULLED: &str = "pulled";
const PACKAGED: &str = "packaged";

/// Of one that is yet to be built.
pub fn new(name: &str, version: &str) -> String {
    format!("new '{name}' chart with version '{version}'")
}

/// Of one that was stored as it was pulled, or was packaged here.
pub fn built(is_packaged: bool, name: &str, version: &str, values_files: &[String]) -> String {
    let action = if is_packaged { PACKAGED } else { PULLED };
    let summary = format!("{action} '{name}' chart with version '{version}'");
    if values_files.is_empty() {
        return summary;
    }
    format!("{summary} and merged values files [{}]", values_files.join(" "))
}

/// The reason that goes with such a text; none with that of a chart that is yet to be built.
pub fn reason(summary: &str) -> Option<&'static str> {
    match summary.split(' ').next() {
        Some(PULLED) => Some("ChartPullSucceeded"),
        Some(PACKAGED) => Some("ChartPackageSucceeded"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_tells_its_reason() {
        let files = ["a.yaml".to_owned(), "b.yaml".to_owned()];
        let packaged = built(true, "app", "1.2.3+1", &files);
        assert_eq!(
            packaged,
            "packaged 'app' chart with version '1.2.3+1' and merged values files [a.yaml b.yaml]"
        );
        assert_eq!(reason(&packaged), Some("ChartPackageSucceeded"));
        let pulled = built(false, "app", "1.2.3", &[]);
        assert_eq!(pulled, "pulled 'app' chart with version '1.2.3'");
        assert_eq!(reason(&pulled), Some("ChartPullSucceeded"));
        assert_eq!(reason(&new("app", "1.2.3")), None);
    }
}
