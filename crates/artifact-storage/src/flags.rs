//! StorageFlags of the storage, with upstream's names, defaults and environment variables.

use std::path::PathBuf;
use std::time::Duration;

use artifact::digest::Algorithm;
use artifact::store;
use net::{Pace, ServerOptions};
use runtime::flags::{address, duration, timeout};

/// The headings of `--help`.
mod heading {
    pub const STORAGE: &str = "Storage of artifacts";
    pub const ARTIFACT_SERVER: &str = "Artifact server";
}

/// hyper reads headers in a buffer of 8 KiB or more.
const MIN_HEADER_BYTES: i64 = 8 * 1024;

/// The host, at whose name others shall find the artifacts, has none.
#[derive(Debug, thiserror::Error)]
#[error("--storage-addr={0} needs the name of this host, which has none: give --storage-adv-addr")]
pub struct AddressError(String);

/// Where artifacts are stored, for how long, and how they are served.
#[derive(clap::Args, Clone, Debug)]
pub struct StorageFlags {
    /// Existing directory that artifacts are stored in.
    #[arg(long, help_heading = heading::STORAGE, env = "STORAGE_PATH", default_value = "/data")]
    pub storage_path: PathBuf,
    /// Address of the artifact server.
    #[arg(long, help_heading = heading::ARTIFACT_SERVER, env = "STORAGE_ADDRESS", default_value = ":9090", value_parser = address)]
    pub storage_addr: String,
    /// Host, port or base URL of the artifact server as others see it.
    #[arg(long, help_heading = heading::ARTIFACT_SERVER, env = "STORAGE_ADV_ADDR", default_value = "")]
    pub storage_adv_addr: String,
    /// Connections that the artifact server serves at once; further ones wait.
    #[arg(long, help_heading = heading::ARTIFACT_SERVER, default_value_t = 1024, value_parser = clap::value_parser!(u16).range(1..))]
    pub storage_max_connections: u16,
    /// Connections from one address that the artifact server serves at once; further ones are closed.
    #[arg(long, help_heading = heading::ARTIFACT_SERVER, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub storage_max_client_connections: u16,
    /// How long a client of the artifact server may take to send the headers of a request, and may stay idle between requests.
    #[arg(long, help_heading = heading::ARTIFACT_SERVER, default_value = "30s", value_parser = timeout)]
    pub storage_header_timeout: Duration,
    /// Bytes that the headers of a request to the artifact server may have.
    #[arg(long, help_heading = heading::ARTIFACT_SERVER, default_value_t = 16 * 1024, value_parser = clap::value_parser!(u32).range(MIN_HEADER_BYTES..))]
    pub storage_max_header_size: u32,
    /// How long a client of the artifact server may keep it waiting for each MiB that it takes.
    #[arg(long, help_heading = heading::ARTIFACT_SERVER, default_value = "1m", value_parser = timeout)]
    pub storage_write_timeout: Duration,
    /// File with the token that clients of the artifact server have to show as `Authorization: Bearer`; without it anybody may
    /// read artifacts. kustomize-controller has the same flag; Flux's controllers and client cannot read artifacts then.
    #[arg(long, help_heading = heading::ARTIFACT_SERVER)]
    pub artifact_token_file: Option<PathBuf>,
    /// How long an artifact that is not the current one is kept; 0 keeps none.
    #[arg(long, help_heading = heading::STORAGE, default_value = "1m", value_parser = duration)]
    pub artifact_retention_ttl: Duration,
    /// How many artifacts of an object are kept at most, the current one included.
    #[arg(long, help_heading = heading::STORAGE, default_value_t = 2)]
    pub artifact_retention_records: usize,
    /// Bytes that the artifacts of all sources of one namespace may have together, old ones and those in the making included; those
    /// of a single source may have more. By default half of the volume of --storage-path.
    #[arg(long, help_heading = heading::STORAGE)]
    pub namespace_artifact_max_size: Option<u64>,
    /// Algorithm of artifact digests: sha256, sha384, sha512, sha1 or blake3.
    #[arg(long, help_heading = heading::STORAGE, default_value = "sha256")]
    pub artifact_digest_algo: Algorithm,
    /// Name of this host, for the address of the artifact server.
    #[arg(long, env = "HOSTNAME", default_value = "", hide = true)]
    pub hostname: String,
}

impl StorageFlags {
    /// What clients of the artifact server may do; at the end, requests have up to `shutdown_grace`.
    pub fn server(&self, shutdown_grace: Duration) -> ServerOptions {
        let defaults = ServerOptions::default();
        ServerOptions {
            max_connections: self.storage_max_connections.into(),
            max_peer_connections: self.storage_max_client_connections.into(),
            header_timeout: self.storage_header_timeout,
            max_header_bytes: usize::try_from(self.storage_max_header_size).unwrap_or(usize::MAX),
            pace: Pace { time: self.storage_write_timeout, ..defaults.pace },
            shutdown_grace: defaults.shutdown_grace.min(shutdown_grace),
        }
    }

    /// How artifacts are stored.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub fn store(&self) -> Result<store::Options, AddressError> {
        let advertise = match self.storage_adv_addr.as_str() {
            "" => store::advertised_address(&self.storage_addr, &self.hostname)
                .ok_or_else(|| AddressError(self.storage_addr.clone()))?,
            given => given.to_owned(),
        };
        Ok(store::Options {
            algorithm: self.artifact_digest_algo,
            retention_ttl: self.artifact_retention_ttl,
            retention_records: self.artifact_retention_records,
            namespace_bytes: self.namespace_artifact_max_size,
            ..store::Options::new(advertise)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::*;

    const GRACE: Duration = Duration::from_secs(60);

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        storage: StorageFlags,
    }

    fn parse(args: &[&str]) -> Program {
        Program::try_parse_from([&["program"], args].concat()).unwrap()
    }

    #[test]
    fn an_address_without_a_port_has_no_urls() {
        let advertised = |args: &[&str]| parse(args).storage.store().map(|options| options.advertise);
        assert_eq!(advertised(&["--storage-addr=:9090"]).unwrap(), "localhost:9090");
        assert_eq!(advertised(&["--storage-adv-addr=sources.example.com."]).unwrap(), "sources.example.com.");
        assert!(Program::try_parse_from(["program", "--storage-addr=example.com"]).is_err());
        assert_eq!(parse(&[]).storage.server(Duration::from_secs(3)).shutdown_grace.as_secs(), 3);
    }

    #[test]
    fn clients_of_the_artifact_server_have_limits() {
        let limits = |flags: Program| {
            let options = flags.storage.server(GRACE);
            let numbers = (options.max_connections, options.max_peer_connections, options.max_header_bytes);
            let times = [options.header_timeout, options.pace.time, options.shutdown_grace];
            (numbers, times.map(|time| time.as_secs()))
        };
        assert_eq!(limits(parse(&[])), ((1024, 64, 16_384), [30, 60, 5]));
        let flags = [
            "--storage-max-connections=2000",
            "--storage-max-client-connections=100",
            "--storage-max-header-size=8192",
            "--storage-header-timeout=5s",
            "--storage-write-timeout=2m",
        ];
        assert_eq!(limits(parse(&flags)), ((2000, 100, 8192), [5, 120, 5]));
        for flag in [
            "--storage-max-connections=0",
            "--storage-max-client-connections=0",
            "--storage-max-header-size=8191",
            "--storage-header-timeout=0s",
            "--storage-write-timeout=0",
        ] {
            let parsed = Program::try_parse_from(["program", flag]);
            assert!(parsed.is_err(), "{flag}");
        }
    }

    #[test]
    fn an_unknown_digest_algorithm_ends_the_process() {
        assert!(Program::try_parse_from(["program", "--artifact-digest-algo=md5"]).is_err());
    }
}
