//! The Deployments that run a controller of Flux, and their flags.

use clap::error::ErrorKind;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Container};
use kube::{Api, ResourceExt, api::ListParams};

use super::{Preflight, PreflightError, read};
use crate::{app::Arguments, flags};

/// A Deployment that runs the controller in a cluster of Flux.
pub(super) struct FluxDeployment {
    pub namespace: String,
    /// `Deployment/name`.
    pub object: String,
    /// The name of its service account.
    pub account: String,
}

impl Preflight {
    /// The Deployments in a namespace that run the controller `name`, each with its arguments, of which those that would be refused
    /// are told and left out. If there is none it is the defaults, which are about all objects.
    pub(super) async fn deployments<A: Arguments>(
        &mut self,
        name: &str,
        namespace: &str,
    ) -> Result<Vec<(Option<FluxDeployment>, A)>, PreflightError> {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), namespace);
        let listed = api.list(&ListParams::default()).await;
        let listed = listed.map_err(|source| read("deployments", source))?;
        let mut found = Vec::new();
        for deployment in listed {
            let spec = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
            let container = spec.and_then(|spec| spec.containers.iter().find(|c| runs(c, name)));
            let (Some(spec), Some(container)) = (spec, container) else { continue };
            let object = format!("Deployment/{}", deployment.name_any());
            let given = container.args.clone().unwrap_or_default();
            for problem in refused::<A>(name, &given) {
                self.find(Some(namespace.to_owned()), object.clone(), problem);
            }
            let account = spec.service_account_name.clone().unwrap_or_else(|| "default".to_owned());
            let deployment = FluxDeployment { namespace: namespace.to_owned(), object, account };
            found.push((Some(deployment), understood(name, namespace, &given)?));
        }
        if found.is_empty() {
            let problem = format!("runs no {name}; its flags and rights are not checked");
            self.find(Some(namespace.to_owned()), format!("Namespace/{namespace}"), problem);
            found.push((None, understood(name, namespace, &[])?));
        }
        Ok(found)
    }
}

/// Whether a container has the image of a controller, from whatever registry.
fn runs(container: &Container, name: &str) -> bool {
    let image = container.image.as_deref().unwrap_or_default();
    let image = image.split('@').next().unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    last.split(':').next() == Some(name)
}

/// The flags that would end the process, each with the reason.
fn refused<A: Arguments>(name: &str, arguments: &[String]) -> Vec<String> {
    let all: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let error = match parse::<A>(name, &all) {
        Ok(parsed) => return parsed.shared().check().err().map(|e| e.to_string()).into_iter().collect(),
        Err(error) => error,
    };
    let told =
        |flag: &[&str]| Some(format!("{}: {}", flag.join(" "), flags::reason(&alone::<A>(name, flag)?)));
    let found: Vec<String> = each(&all).filter_map(told).collect();
    // Flags can be wrong together.
    if found.is_empty() { vec![flags::reason(&error)] } else { found }
}

/// The arguments without those that are refused, or that need others which are not there.
fn understood<A: Arguments>(name: &str, namespace: &str, arguments: &[String]) -> Result<A, PreflightError> {
    let all: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let own = format!("--runtime-namespace={namespace}");
    let those = |is_known: fn(&str, &[&str]) -> bool| {
        let known = each(&all).filter(|flag| is_known(name, flag)).flatten().copied();
        parse(name, &known.chain([&*own]).collect::<Vec<_>>())
    };
    let parsed = those(|name, flag| alone::<A>(name, flag).is_none());
    let parsed = parsed.or_else(|_| those(|name, flag| parse::<A>(name, flag).is_ok()));
    parsed.map_err(|error| PreflightError::Flags(flags::reason(&error)))
}

fn parse<A: Arguments>(name: &str, arguments: &[&str]) -> Result<A, clap::Error> {
    flags::try_parse_from([&[name], arguments].concat())
}

/// What is wrong with a flag by itself. What it needs beside it may be given.
fn alone<A: Arguments>(name: &str, flag: &[&str]) -> Option<clap::Error> {
    parse::<A>(name, flag).err().filter(|error| error.kind() != ErrorKind::MissingRequiredArgument)
}

/// The flags one by one, each with the value behind it if that is an argument of its own.
fn each<'a, 'b>(arguments: &'a [&'b str]) -> impl Iterator<Item = &'a [&'b str]> {
    arguments.chunk_by(|_, next| !next.starts_with('-'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{flags::Flags, gates::Gates};

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        shared: Flags,
        #[arg(long)]
        hosts: Option<String>,
        #[arg(long, requires = "hosts")]
        token: Option<String>,
        #[arg(skip)]
        gates: Gates,
    }

    impl Arguments for Program {
        fn shared(&self) -> &Flags {
            &self.shared
        }

        fn gates(&self) -> &Gates {
            &self.gates
        }
    }

    fn owned(arguments: &[&str]) -> Vec<String> {
        arguments.iter().map(|argument| (*argument).to_owned()).collect()
    }

    #[test]
    fn each_flag_that_would_end_the_process_is_named() {
        let refused = |arguments: &[&str]| refused::<Program>("program", &owned(arguments));
        assert!(
            refused(&["--log-level=info", "--watch-label-selector", "a=b", "--enable-leader-election"])
                .is_empty()
        );
        assert_eq!(
            refused(&["--sops-age-secret=x", "--log-level=info", "--log-encoding", "xml", "--xyz", "1"]),
            [
                "--sops-age-secret=x: unexpected argument '--sops-age-secret' found",
                "--log-encoding xml: invalid value 'xml' for '--log-encoding <LOG_ENCODING>'; [possible values: json, console]",
                "--xyz 1: unexpected argument '--xyz' found",
            ]
        );
        assert_eq!(
            refused(&["--token=x", "--hosts=h", "--xyz"]),
            ["--xyz: unexpected argument '--xyz' found"],
            "a flag that needs another one, which is there"
        );
        let missing = "the following required arguments were not provided: --hosts <HOSTS>";
        assert_eq!(refused(&["--token=x", "--log-level=info"]), [missing]);
        let together = refused(&["--min-retry-delay=1h"]);
        assert_eq!(together, ["--max-retry-delay must not be less than --min-retry-delay"]);
    }

    #[test]
    fn objects_are_those_that_the_deployment_looks_after() {
        let scope = |arguments: &[&str]| {
            let scope = understood::<Program>("program", "flux", &owned(arguments)).unwrap().shared.scope();
            (scope.namespace, scope.labels)
        };
        assert_eq!(scope(&["--unknown", "--watch-all-namespaces"]), (None, None));
        assert_eq!(scope(&["--watch-all-namespaces=false"]), (Some("flux".to_owned()), None));
        assert_eq!(
            scope(&["--log-level=loud", "--watch-all-namespaces=false"]),
            (Some("flux".to_owned()), None)
        );
        assert_eq!(scope(&["--token=x", "--watch-all-namespaces=false"]), (Some("flux".to_owned()), None));
        assert_eq!(scope(&["--watch-label-selector", "a in (b)"]), (None, Some("a in (b)".to_owned())));
    }

    #[test]
    fn a_controller_is_known_by_the_last_part_of_its_image() {
        let runs = |image: &str| {
            runs(&Container { image: Some(image.to_owned()), ..Container::default() }, "source-controller")
        };
        for image in [
            "ghcr.io/fluxcd/source-controller:v1.9.0",
            "localhost:5000/source-controller",
            "mirror.example.com/a/b/source-controller:v1@sha256:00",
            "source-controller@sha256:00",
        ] {
            assert!(runs(image), "{image}");
        }
        for image in ["", "ghcr.io/fluxcd/helm-controller:v1", "source-controller/x", "my-source-controller"]
        {
            assert!(!runs(image), "{image}");
        }
    }
}
