//! What the metadata service of a machine, or of a node of GKE, tells.

use super::{Answer, GcpError, SCOPES};
use crate::http::form;
use crate::{AccessToken, Environment, Http, HttpError};

/// The address, so that no resolver can lead elsewhere.
const METADATA_HOST: &str = "169.254.169.254";

/// The cluster of GKE that this process runs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GkeCluster {
    project: String,
    location: String,
    name: String,
}

impl GkeCluster {
    /// Asks the metadata service.
    ///
    /// # Errors
    /// When it does not tell, for example because this is no cluster of GKE.
    pub async fn of_metadata(environment: &Environment, http: &Http) -> Result<GkeCluster, GcpError> {
        let ask = async |what: &'static str, path: &str| {
            let answer = http.text(request(environment, http, path)).await;
            let answer = answer.map(|text| text.trim().to_owned());
            let given = answer.and_then(|text| match text.is_empty() {
                true => Err(HttpError::Malformed("empty value".to_owned())),
                false => Ok(text),
            });
            given.map_err(|source| GcpError::Cluster { what, source })
        };
        Ok(GkeCluster {
            project: ask("project ID", "project/project-id").await?,
            location: ask("location", "instance/attributes/cluster-location").await?,
            name: ask("name", "instance/attributes/cluster-name").await?,
        })
    }

    /// Whom tokens of service accounts are for that are exchanged: the pool of the project.
    pub fn pool(&self) -> String {
        format!("{}.svc.id.goog", self.project)
    }

    /// For whom such a token is exchanged.
    pub fn audience(&self) -> String {
        let GkeCluster { project, location, name } = self;
        let cluster = format!("projects/{project}/locations/{location}/clusters/{name}");
        format!("identitynamespace:{}:https://container.googleapis.com/v1/{cluster}", self.pool())
    }
}

/// A token of the service account of the machine.
pub(super) async fn token(environment: &Environment, http: &Http) -> Result<AccessToken, GcpError> {
    let query = form([("scopes", SCOPES.join(",").as_str())]);
    let request = request(environment, http, &format!("instance/service-accounts/default/token?{query}"));
    http.json::<Answer>(request).await.map(Answer::token).map_err(GcpError::Metadata)
}

fn request(environment: &Environment, http: &Http, path: &str) -> reqwest::RequestBuilder {
    let host = environment.get("GCE_METADATA_HOST").unwrap_or(METADATA_HOST);
    http.get(format!("http://{host}/computeMetadata/v1/{path}")).header("Metadata-Flavor", "Google")
}
