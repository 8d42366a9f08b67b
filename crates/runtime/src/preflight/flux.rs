//! The Deployments that run a controller of Flux: their flags and rights.

use clap::error::ErrorKind;
use k8s_openapi::api::{
    apps::v1::Deployment,
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
    core::v1::Container,
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, PostParams},
};

use super::{Preflight, PreflightError, Right, read};
use crate::{app::Arguments, flags, watch::Scope};

impl Preflight {
    /// Looks at the Deployments in a namespace that run the controller `name`. What they look after is what is looked at
    /// afterwards; where there is none, everything is.
    pub(super) async fn look_at_flux<A: Arguments>(
        &mut self,
        name: &str,
        namespace: &str,
        rights: &[Right],
    ) -> Result<(), PreflightError> {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), namespace);
        let listed = deployments.list(&ListParams::default()).await;
        let listed = listed.map_err(|source| read("deployments", source))?;
        for deployment in listed {
            let spec = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
            let container = spec.and_then(|spec| spec.containers.iter().find(|c| runs(c, name)));
            let (Some(spec), Some(container)) = (spec, container) else { continue };
            let object = format!("Deployment/{}", deployment.name_any());
            let arguments = container.args.clone().unwrap_or_default();
            let problems = refused::<A>(name, &arguments);
            self.scopes.push(scope::<A>(name, namespace, &arguments));
            problems.into_iter().for_each(|p| self.find(Some(namespace.to_owned()), object.clone(), p));
            let account = spec.service_account_name.as_deref().unwrap_or("default");
            let user = format!("system:serviceaccount:{namespace}:{account}");
            for right in rights {
                if !self.may(&user, right).await? {
                    let (verb, group, resource) = right;
                    let group = if group.is_empty() { String::new() } else { format!(" of {group}") };
                    let problem = format!("ServiceAccount/{account} may not {verb} {resource}{group}");
                    self.find(Some(namespace.to_owned()), object.clone(), problem);
                }
            }
        }
        if self.scopes.is_empty() {
            let problem = format!("runs no {name}; its flags and rights are not looked at");
            self.find(Some(namespace.to_owned()), format!("Namespace/{namespace}"), problem);
            self.scopes.push(Scope::default());
        }
        Ok(())
    }

    async fn may(&self, account: &str, right: &Right) -> Result<bool, PreflightError> {
        let (verb, group, resource) = right;
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let attributes = ResourceAttributes {
            verb: Some((*verb).to_owned()),
            group: Some((*group).to_owned()),
            resource: Some(resource.to_owned()),
            subresource: Some(subresource.to_owned()),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            user: Some(account.to_owned()),
            groups: Some(vec!["system:serviceaccounts".to_owned()]),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let answer = reviews.create(&PostParams::default(), &review).await;
        let answer = answer.map_err(|source| read(&format!("the rights of {account}"), source))?;
        Ok(answer.status.is_some_and(|status| status.allowed))
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
    let parse = |arguments: &[&str]| flags::try_parse_from::<A>([&[name], arguments].concat());
    let all: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let error = match parse(&all) {
        Ok(parsed) => return parsed.shared().check().err().map(|e| e.to_string()).into_iter().collect(),
        Err(error) => error,
    };
    let alone = |flag: &[&str]| {
        // What it needs beside it may be given.
        let error = parse(flag).err().filter(|error| error.kind() != ErrorKind::MissingRequiredArgument)?;
        Some(format!("{}: {}", flag.join(" "), flags::reason(&error)))
    };
    let found: Vec<String> = each(&all).filter_map(alone).collect();
    // Flags can be wrong together.
    if found.is_empty() { vec![flags::reason(&error)] } else { found }
}

/// The flags one by one, each with the value behind it if that is an argument of its own.
fn each<'a, 'b>(arguments: &'a [&'b str]) -> impl Iterator<Item = &'a [&'b str]> {
    arguments.chunk_by(|_, next| !next.starts_with('-'))
}

/// What a controller with these flags looks after; others do not matter, so they may be wrong.
fn scope<A: Arguments>(name: &str, namespace: &str, arguments: &[String]) -> Scope {
    let all: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (own, watch) = (format!("--runtime-namespace={namespace}"), "--watch-");
    let of_scope = each(&all).filter(|flag| flag.first().is_some_and(|name| name.starts_with(watch)));
    let given = [name, &own].into_iter().chain(of_scope.flatten().copied());
    flags::try_parse_from::<A>(given).map(|parsed| parsed.shared().scope()).unwrap_or_default()
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
    fn what_is_looked_at_is_what_the_deployment_looks_after() {
        let scope = |arguments: &[&str]| {
            let scope = scope::<Program>("program", "flux", &owned(arguments));
            (scope.namespace, scope.labels)
        };
        assert_eq!(scope(&["--unknown", "--watch-all-namespaces"]), (None, None));
        assert_eq!(scope(&["--watch-all-namespaces=false"]), (Some("flux".to_owned()), None));
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
