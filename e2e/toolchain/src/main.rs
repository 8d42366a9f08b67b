//! Builds programs before the tests that run them, so that no test waits for a compiler.

use std::path::PathBuf;

use anyhow::{Result, bail};
use toolchain::{
    FluxControllers, NodeToolchain, Release, Toolchain, cosign, ensure_all, fake_gcs_server, flux, gitea,
    helm, helm_oracle, prometheus_crds, referrers_registry, registry, sops, versitygw,
};

const USAGE: &str = "usage: toolchain NAME...
Builds programs from their Go modules, unless they are in the cache, and prints where they are:
  cosign            cosign
  fake-gcs-server   a store that speaks Google's JSON API
  kubernetes        etcd, API server, controller manager, and kubectl unless a new one is installed
  flux              Flux's command line client
  flux-2.9-controllers
                    the controllers of Flux 2.9 for sources, Kustomizations and HelmReleases
  flux-2.10-controllers
                    those of Flux 2.10, as far as they can be had
  gitea             a Git forge
  helm              Helm
  helm-oracle       Helm as a library, which answers rows of charts and values
  node              what runs Pods, beside the system's runc, iptables and network plugins
  prometheus-crds   the definitions of Prometheus's operator, as its authors generate them
  referrers-registry
                    an OCI registry that lists referrers
  registry          an OCI registry
  sops              SOPS, and what makes keys of age
  versitygw         a store that speaks S3";

fn main() -> Result<()> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    ensure_all(&names)?;
    for name in &names {
        let programs = match name.as_str() {
            "kubernetes" => {
                let built = Toolchain::ensure()?;
                vec![built.etcd, built.apiserver, built.controller_manager, built.kubectl]
            }
            "cosign" => vec![cosign()?],
            "fake-gcs-server" => vec![fake_gcs_server()?],
            "flux" => vec![flux()?],
            "flux-2.9-controllers" => flux_controllers(Release::V2_9)?,
            "flux-2.10-controllers" => flux_controllers(Release::V2_10)?,
            "gitea" => vec![gitea()?.program],
            "helm" => vec![helm()?],
            "helm-oracle" => vec![helm_oracle()?],
            "node" => vec![NodeToolchain::ensure()?.kubelet],
            "prometheus-crds" => vec![prometheus_crds()?],
            "referrers-registry" => vec![referrers_registry()?],
            "registry" => vec![registry()?],
            "sops" => {
                let built = sops()?;
                vec![built.program, built.age_keygen]
            }
            "versitygw" => vec![versitygw()?],
            _ => bail!("unknown program {name:?}\n{USAGE}"),
        };
        for program in programs {
            println!("{}", program.display());
        }
    }
    Ok(())
}

fn flux_controllers(release: Release) -> Result<Vec<PathBuf>> {
    let built = FluxControllers::ensure(release)?;
    Ok(vec![built.source, built.kustomize, built.helm])
}
