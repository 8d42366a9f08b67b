//! What goes wrong with a chart, in Flux's words.

use std::fmt::Display;

use source::failure::{Failure, reason};

/// What stands in a condition in place of a reason that no build has.
const UNKNOWN: &str = "Unknown";

/// Texts of errors by which Flux takes them for errors of authentication; the last two are what stands here where Go says `tls`.
const OF_AUTHENTICATION: [&str; 7] = [
    "401",
    "unauthorized",
    "authentication required",
    "tls",
    "unknown certificate authority",
    "invalid peer certificate",
    "received fatal alert",
];

/// The spec means no chart.
pub fn reference(why: impl Display) -> Failure {
    Failure::fetch("InvalidChartReference", format!("invalid chart reference: {why}")).stalling()
}

/// The chart cannot be pulled.
pub fn pull(why: impl Display) -> Failure {
    Failure::fetch("ChartPullError", format!("chart pull error: {why}"))
}

/// The version cannot be marked.
pub fn metadata(why: impl Display) -> Failure {
    Failure::packaging("MetadataPatchError", format!("chart metadata patch error: {why}")).stalling()
}

/// Values files cannot be merged.
pub fn values(why: impl Display) -> Failure {
    Failure::packaging("ValuesFilesError", format!("values files merge error: {why}")).stalling()
}

/// Dependencies cannot be added.
pub fn dependency(why: impl Display) -> Failure {
    Failure::packaging("DependencyBuildError", format!("dependency build error: {why}"))
}

/// The chart cannot be packaged.
pub fn package(why: impl Display) -> Failure {
    Failure::packaging("ChartPackageError", format!("chart package error: {why}"))
}

/// The chart is not signed as it must be.
pub fn verification(why: impl Display) -> Failure {
    Failure::packaging("ChartVerificationError", format!("chart verification error: {why}")).unverified()
}

/// It is not known whom to trust.
pub fn trust(message: String) -> Failure {
    set_up(Failure::fetch(reason::VERIFICATION_ERROR, message)).unverified()
}

/// Something before the build failed: the event says what, the condition that it is unknown.
pub fn set_up(failure: Failure) -> Failure {
    let message = format!("unknown build error: {}", failure.message);
    failure.observed_as(UNKNOWN, message)
}

/// The repository does not let us in.
pub fn authentication(message: String) -> Failure {
    set_up(Failure::fetch(reason::AUTHENTICATION_FAILED, message))
}

/// A failure that may be one of authentication by its words.
pub fn of_repository(failure: Failure) -> Failure {
    match OF_AUTHENTICATION.iter().any(|word| failure.message.contains(word)) {
        true => {
            authentication(format!("failed to authenticate with the Helm repository: {}", failure.message))
        }
        false => failure,
    }
}

#[cfg(test)]
mod tests {
    use source::failure::Class;

    use super::*;

    #[test]
    fn failures_are_told_as_by_flux() {
        for (failure, condition, reason, message, class) in [
            (
                reference("x"),
                "FetchFailed",
                "InvalidChartReference",
                "invalid chart reference: x",
                Class::Stalling,
            ),
            (pull("x"), "FetchFailed", "ChartPullError", "chart pull error: x", Class::Generic),
            (
                metadata("x"),
                "BuildFailed",
                "MetadataPatchError",
                "chart metadata patch error: x",
                Class::Stalling,
            ),
            (values("x"), "BuildFailed", "ValuesFilesError", "values files merge error: x", Class::Stalling),
            (
                dependency("x"),
                "BuildFailed",
                "DependencyBuildError",
                "dependency build error: x",
                Class::Generic,
            ),
            (package("x"), "BuildFailed", "ChartPackageError", "chart package error: x", Class::Generic),
        ] {
            let message = message.to_owned();
            let expected = Failure {
                class,
                condition: Some(condition),
                reason,
                message,
                observed: None,
                is_unverified: false,
            };
            assert_eq!(failure, expected);
        }
    }

    #[test]
    fn a_chart_that_is_not_verified_is_told_in_two_conditions() {
        let (failure, message) = (verification("x"), "chart verification error: x".to_owned());
        assert_eq!((failure.condition, failure.reason), (Some("BuildFailed"), "ChartVerificationError"));
        assert_eq!((failure.message, failure.is_unverified), (message, true));
        let failure = trust("x".to_owned());
        assert_eq!((failure.condition, failure.reason), (Some("FetchFailed"), "VerificationError"));
        assert_eq!(failure.observed, Some(("Unknown", "unknown build error: x".to_owned())));
        assert_eq!((failure.message.as_str(), failure.is_unverified), ("x", true));
    }

    #[test]
    fn words_of_authentication_make_an_unknown_build_error() {
        let failure = of_repository(pull("status 401"));
        let message = "failed to authenticate with the Helm repository: chart pull error: status 401";
        assert_eq!((failure.reason, failure.message.as_str()), ("AuthenticationFailed", message));
        assert_eq!(failure.observed, Some(("Unknown", format!("unknown build error: {message}"))));
        for text in ["invalid peer certificate: UnknownIssuer", "received fatal alert: CertificateRequired"] {
            assert_eq!(of_repository(pull(text)).reason, "AuthenticationFailed", "{text}");
        }
        assert_eq!(of_repository(pull("status 404")), pull("status 404"));
    }
}
