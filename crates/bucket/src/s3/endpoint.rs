//! Where a store is, what that says of the region, and how the URLs of its buckets are written.

use std::net::{Ipv4Addr, Ipv6Addr};

use url::Url;

/// Domains in which AWS has its services.
const AWS_DOMAINS: [&str; 2] = [".amazonaws.com", ".amazonaws.com.cn"];
/// Where a bucket of any region may be asked for.
const AWS_GLOBAL: &str = "s3.amazonaws.com";
/// Google's store, where it speaks S3.
const GOOGLE: &str = "storage.googleapis.com";
/// The domain of Alibaba's store.
const ALIYUN: &str = ".aliyuncs.com";

/// The address of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Url);

/// What is no address of a store. The texts are those of minio-go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// A path, or a scheme, which reads like one.
    #[error("Endpoint url cannot have fully qualified paths.")]
    Path,
    /// Neither a name nor an address.
    #[error("Endpoint: {0} does not follow ip address or domain name standards.")]
    Host(String),
}

impl Endpoint {
    /// Reads `<host>[:<port>]`, for plain HTTP if it is `insecure`.
    ///
    /// # Errors
    /// For anything else.
    pub fn parse(text: &str, insecure: bool) -> Result<Endpoint, EndpointError> {
        let scheme = if insecure { "http" } else { "https" };
        let invalid = || EndpointError::Host(secret::redact(text));
        let url = Url::parse(&format!("{scheme}://{text}")).map_err(|_| invalid())?;
        if url.path() != "/" {
            return Err(EndpointError::Path);
        }
        let is_plain = url.username().is_empty() && url.password().is_none();
        let has_more = url.query().is_some() || url.fragment().is_some();
        if !is_plain || has_more || !url.host_str().is_some_and(is_host) {
            return Err(invalid());
        }
        Ok(Endpoint(url))
    }

    /// Its host, without a port.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// Whether it is one of the hosts at which AWS has S3: whatever is sent there, nobody else sees. Machines of customers are in
    /// the same domain.
    pub fn is_of_aws(&self) -> bool {
        self.0.scheme() == "https"
            && self.0.port().is_none()
            && (self.is_aws_global() || self.region().is_some())
    }

    /// The region that the name of a host of AWS tells.
    pub fn region(&self) -> Option<&str> {
        let name = AWS_DOMAINS.iter().find_map(|domain| self.host().strip_suffix(domain))?;
        let (service, region) = match name.strip_suffix(".vpce") {
            // `<endpoint>.s3.<region>.vpce`
            Some(name) => {
                let (name, region) = name.rsplit_once('.')?;
                (name.rsplit('.').next()?, region)
            }
            None => match name.rsplit_once('.') {
                Some((service, region)) => (service, region),
                None => name.split_at_checked(3).filter(|(head, _)| *head == "s3-")?,
            },
        };
        let is_service =
            matches!(service, "s3" | "s3-" | "s3-fips" | "s3.dualstack" | "s3-fips.dualstack" | "bucket");
        let is_region = region.contains('-')
            && !region.starts_with("external-")
            && region.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        (is_service && is_region).then_some(region)
    }

    /// Whether lists are asked for in the first version of the protocol.
    pub(crate) fn lists_by_marker(&self) -> bool {
        self.host() == GOOGLE
    }

    /// The URL of a bucket in a region, which ends in a slash if there are keys to follow.
    pub(crate) fn bucket(&self, bucket: &str, region: &str) -> Url {
        let mut url = self.0.clone();
        if self.is_aws_global() && region != "us-east-1" {
            let china = if region.starts_with("cn-") { ".cn" } else { "" };
            // The name of a region has been checked, or this fails and the global host says where the bucket is.
            let _ = url.set_host(Some(&format!("s3.{region}.amazonaws.com{china}")));
        }
        if self.has_buckets_in_host(bucket) {
            let host = format!("{bucket}.{}", url.host_str().unwrap_or_default());
            if url.set_host(Some(&host)).is_ok() {
                return url;
            }
        }
        url.set_path(&format!("/{bucket}/"));
        url
    }

    /// The URL of a bucket where any region may be asked for it.
    pub(crate) fn location(&self, bucket: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("/{bucket}/"));
        url
    }

    fn is_aws_global(&self) -> bool {
        self.host() == AWS_GLOBAL
    }

    fn has_buckets_in_host(&self, bucket: &str) -> bool {
        let host = self.host();
        let is_known =
            self.is_aws_global() || self.region().is_some() || host == GOOGLE || host.ends_with(ALIYUN);
        // A certificate for any name is one for a single label.
        let fits = !(bucket.contains('.') && self.0.scheme() == "https");
        let is_label =
            bucket.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.'));
        is_known && fits && is_label
    }
}

fn is_host(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    if address.parse::<Ipv4Addr>().is_ok() || address.parse::<Ipv6Addr>().is_ok() {
        return true;
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    host.len() <= 255 && host.trim_end_matches('.').split('.').all(is_label)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        Endpoint::parse(text, false).unwrap()
    }

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        for text in ["minio.example.com:9000", "127.0.0.1:9000", "[::1]:9000", "localhost"] {
            assert!(Endpoint::parse(text, true).is_ok(), "{text}");
        }
        for text in ["https://minio.example.com", "h/bucket", "h:9000/x"] {
            assert_eq!(Endpoint::parse(text, false), Err(EndpointError::Path), "{text}");
        }
        for text in ["", "a b", "h:port", "me@h", "h?x", "-h", "a..b", "me:s3cret@h"] {
            let error = Endpoint::parse(text, false).unwrap_err().to_string();
            assert!(error.ends_with(" does not follow ip address or domain name standards."), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn hosts_of_aws_tell_their_region_and_hosts_of_its_customers_are_others() {
        for (host, region, is_of_aws) in [
            ("s3.amazonaws.com", None, true),
            ("s3.eu-west-1.amazonaws.com", Some("eu-west-1"), true),
            ("s3-eu-west-1.amazonaws.com", Some("eu-west-1"), true),
            ("s3.dualstack.eu-west-1.amazonaws.com", Some("eu-west-1"), true),
            ("s3-fips.us-gov-west-1.amazonaws.com", Some("us-gov-west-1"), true),
            ("s3.cn-north-1.amazonaws.com.cn", Some("cn-north-1"), true),
            ("bucket.vpce-1a2b.s3.us-east-1.vpce.amazonaws.com", Some("us-east-1"), true),
            ("s3-external-1.amazonaws.com", None, false),
            ("ec2-1-2-3-4.compute-1.amazonaws.com", None, false),
            ("evil.s3.eu-west-1.amazonaws.com", None, false),
            ("s3.eu-west-1.amazonaws.com.evil.org", None, false),
            ("s3.eu-west-1.amazonaws.com:8443", Some("eu-west-1"), false),
            ("minio.example.com", None, false),
        ] {
            let endpoint = endpoint(host);
            assert_eq!((endpoint.region(), endpoint.is_of_aws()), (region, is_of_aws), "{host}");
        }
        assert!(!Endpoint::parse("s3.amazonaws.com", true).unwrap().is_of_aws());
    }

    #[test]
    fn buckets_are_in_the_host_where_the_store_has_them_there() {
        for (host, bucket, region, url) in [
            ("s3.amazonaws.com", "abc", "us-east-1", "https://abc.s3.amazonaws.com/"),
            ("s3.amazonaws.com", "abc", "eu-west-1", "https://abc.s3.eu-west-1.amazonaws.com/"),
            ("s3.amazonaws.com", "abc", "cn-north-1", "https://abc.s3.cn-north-1.amazonaws.com.cn/"),
            ("s3.eu-west-1.amazonaws.com", "abc", "x", "https://abc.s3.eu-west-1.amazonaws.com/"),
            ("s3.eu-west-1.amazonaws.com", "a.bc", "x", "https://s3.eu-west-1.amazonaws.com/a.bc/"),
            ("storage.googleapis.com", "abc", "", "https://abc.storage.googleapis.com/"),
            ("oss-cn-beijing.aliyuncs.com", "abc", "", "https://abc.oss-cn-beijing.aliyuncs.com/"),
            ("minio.example.com:9000", "abc", "", "https://minio.example.com:9000/abc/"),
        ] {
            assert_eq!(endpoint(host).bucket(bucket, region).as_str(), url);
        }
        let plain = Endpoint::parse("s3.eu-west-1.amazonaws.com", true).unwrap();
        assert_eq!(plain.bucket("a.bc", "x").as_str(), "http://a.bc.s3.eu-west-1.amazonaws.com/");
    }
}
