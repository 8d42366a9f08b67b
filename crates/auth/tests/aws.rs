//! AWS against recorded answers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::time::{Duration, UNIX_EPOCH};

use auth::AccessToken;
use auth::aws::{Credentials, assume_role, controller_token, sts_url};
use support::{Request, Server, environment, http, useless};

const ROLE: &str = "arn:aws:iam::123456789012:role/reader";
const STS: &str = "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">
  <AssumeRoleWithWebIdentityResult>
    <AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/reader/s</Arn></AssumedRoleUser>
    <Credentials>
      <AccessKeyId>ASIA1</AccessKeyId>
      <SecretAccessKey>secret/1+</SecretAccessKey>
      <SessionToken>session==</SessionToken>
      <Expiration>2030-01-02T03:04:05Z</Expiration>
    </Credentials>
  </AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>";
const JSON: &str = r#"{"AccessKeyId": "ASIA1", "SecretAccessKey": "secret/1+", "Token": "session==", "Expiration": "2030-01-02T03:04:05Z"}"#;

fn credentials(token: AccessToken) -> Credentials {
    let AccessToken::Aws(credentials) = token else { panic!("no keys") };
    assert_eq!((credentials.access_key.as_str(), credentials.secret_key.expose()), ("ASIA1", "secret/1+"));
    assert!(!format!("{credentials:?}").contains("secret/"));
    credentials
}

fn assert_temporary(token: AccessToken) {
    let credentials = credentials(token);
    assert_eq!(credentials.session_token.unwrap().expose(), "session==");
    assert_eq!(credentials.expires, UNIX_EPOCH + Duration::from_secs(1_893_553_445));
}

#[tokio::test]
async fn a_role_is_taken_with_the_token_of_a_service_account() {
    let server = Server::saying(200, STS);
    let env = environment(&[("AWS_ENDPOINT_URL_STS", &server.url)]);
    let token = assume_role(
        ROLE,
        "sa.ns.us-east-1.fluxcd.io",
        "a.jwt",
        &sts_url(None, "us-east-1", &env).unwrap(),
        &http(),
    )
    .await;
    assert_temporary(token.unwrap());
    assert_eq!(
        server.asked()[0].body,
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Freader\
         &RoleSessionName=sa.ns.us-east-1.fluxcd.io&WebIdentityToken=a.jwt"
    );
}

#[tokio::test]
async fn the_controller_uses_variables_then_web_identity_then_its_container_then_its_machine() {
    let answer = |request: &Request| {
        Some(match request.line.as_str() {
            "POST /" => (200, STS.to_owned()),
            "PUT /latest/api/token" => (200, "imds\n".to_owned()),
            "GET /latest/meta-data/iam/security-credentials/" => (200, "node-role\n".to_owned()),
            "GET /latest/meta-data/iam/security-credentials/node-role" | "GET /pod" => (200, JSON.to_owned()),
            other => (404, other.to_owned()),
        })
    };
    let server = Server::start(answer);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "of.pod\n").unwrap();
    let file = file.path().to_str().unwrap();
    let pod = format!("{}/pod", server.url);
    let all = [
        ("HOSTNAME", "source-controller-0"),
        ("AWS_ENDPOINT_URL_STS", server.url.as_str()),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &server.url),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &pod),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file),
        ("AWS_ROLE_ARN", ROLE),
        ("AWS_ACCESS_KEY_ID", "ASIA1"),
        ("AWS_SECRET_ACCESS_KEY", "secret/1+"),
    ];
    let token = controller_token(&environment(&all), "eu-west-1", None, &http()).await.unwrap();
    assert_eq!(credentials(token).session_token, None);
    assert!(server.asked().is_empty());
    for count in [7, 5, 3] {
        assert_temporary(
            controller_token(&environment(&all[..count]), "eu-west-1", None, &http()).await.unwrap(),
        );
    }
    let asked = server.asked();
    let session = "&RoleSessionName=source-controller-0&WebIdentityToken=of.pod";
    assert!(asked[0].body.ends_with(session), "{}", asked[0].body);
    assert_eq!((asked[1].line.as_str(), asked[1].header("authorization")), ("GET /pod", "of.pod"));
    assert_eq!(asked[2].header("x-aws-ec2-metadata-token-ttl-seconds"), "300");
    assert_eq!(asked[3].header("x-aws-ec2-metadata-token"), "imds");
    assert_eq!(asked[4].header("x-aws-ec2-metadata-token"), "imds");
}

#[tokio::test]
async fn answers_that_are_none_are_named() {
    for (server, expected) in useless() {
        let env = environment(&[("AWS_ENDPOINT_URL_STS", &server.url)]);
        let text = assume_role(ROLE, "s", "a.jwt", &sts_url(None, "r", &env).unwrap(), &http())
            .await
            .unwrap_err()
            .to_string();
        assert!(text.starts_with(&format!("failed to assume role with web identity: {expected}")), "{text}");
        let env = environment(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &server.url)]);
        let text = controller_token(&env, "r", None, &http()).await.unwrap_err().to_string();
        assert!(text.starts_with(&format!("failed to get container credentials: {expected}")), "{text}");
        let env = environment(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &server.url)]);
        let text = controller_token(&env, "r", None, &http()).await.unwrap_err().to_string();
        assert!(text.starts_with("failed to get credentials of the instance: "), "{text}");
    }
}
