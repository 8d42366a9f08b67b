//! Microsoft Entra against recorded answers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::time::{Duration, SystemTime};

use auth::azure::{
    Application, Certificate, CertificateError, DEVOPS_SCOPE, Principal, Proof, controller_token,
    workload_token,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use support::{RsaKey, Server, environment, fields, http, opaque, useless};

const ANSWER: &str = r#"{"token_type": "Bearer", "expires_in": 3599, "access_token": "ey.secret"}"#;

fn application() -> Application {
    Application { tenant: "tenant-1".into(), client: "client".into() }
}

#[tokio::test]
async fn a_token_of_a_service_account_is_exchanged() {
    let server = Server::saying(200, ANSWER);
    let env = environment(&[("AZURE_AUTHORITY_HOST", &format!("{}/", server.url))]);
    let token = workload_token(&application(), "a.jwt", DEVOPS_SCOPE, &env, &http()).await.unwrap();
    assert_eq!(opaque(&token), "ey.secret");
    let life = token.expires().duration_since(SystemTime::now()).unwrap();
    assert!(life > Duration::from_secs(3500) && life <= Duration::from_secs(3599), "{life:?}");
    let request = &server.asked()[0];
    assert_eq!(request.line, "POST /tenant-1/oauth2/v2.0/token");
    assert_eq!(
        request.body,
        "grant_type=client_credentials&client_id=client&scope=499b84ac-1321-427f-aa17-267ca6975798%2F.default\
         &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=a.jwt"
    );
}

#[tokio::test]
async fn the_controller_uses_a_secret_then_workload_identity_then_the_managed_identity() {
    let server = Server::saying(200, &ANSWER.replace("3599", "\"3599\""));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "of.pod\n").unwrap();
    let file = file.path().to_str().unwrap();
    let all = [
        ("AZURE_AUTHORITY_HOST", server.url.as_str()),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", &server.url),
        ("AZURE_CLIENT_ID", "me"),
        ("AZURE_TENANT_ID", "tenant"),
        ("AZURE_FEDERATED_TOKEN_FILE", file),
        ("AZURE_CLIENT_SECRET", "pw"),
    ];
    for count in [6, 5, 3, 2] {
        let token = controller_token(DEVOPS_SCOPE, &environment(&all[..count]), &http()).await.unwrap();
        assert_eq!(opaque(&token), "ey.secret");
    }
    let [secret, workload, identity, any] = &server.asked()[..] else { panic!("four requests") };
    assert!(secret.body.ends_with("&client_secret=pw"), "{}", secret.body);
    assert!(workload.body.ends_with("&client_assertion=of.pod"), "{}", workload.body);
    let path = "GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=499b84ac-1321-427f-aa17-267ca6975798";
    assert_eq!(identity.line, format!("{path}&client_id=me"));
    assert_eq!(any.line, path);
    assert_eq!(any.header("metadata"), "true");
}

#[tokio::test]
async fn answers_that_are_none_are_named() {
    for (server, expected) in useless() {
        let env = environment(&[("AZURE_AUTHORITY_HOST", &server.url)]);
        let text = workload_token(&application(), "a.jwt", DEVOPS_SCOPE, &env, &http())
            .await
            .unwrap_err()
            .to_string();
        assert!(
            text.starts_with(&format!("failed to get a token from Microsoft Entra: {expected}")),
            "{text}"
        );
        let env = environment(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &server.url)]);
        let text = controller_token(DEVOPS_SCOPE, &env, &http()).await.unwrap_err().to_string();
        assert!(
            text.starts_with(&format!("failed to get a token of the managed identity: {expected}")),
            "{text}"
        );
    }
    let server = Server::saying(200, r#"{"access_token": "t", "expires_in": null}"#);
    let env = environment(&[("AZURE_AUTHORITY_HOST", &server.url)]);
    workload_token(&application(), "a.jwt", DEVOPS_SCOPE, &env, &http()).await.unwrap_err();
    let env = environment(&[
        ("AZURE_CLIENT_ID", "me"),
        ("AZURE_TENANT_ID", "tenant"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/nonexistent"),
    ]);
    let text = controller_token(DEVOPS_SCOPE, &env, &http()).await.unwrap_err().to_string();
    assert!(text.starts_with("unable to read the file of AZURE_FEDERATED_TOKEN_FILE: "), "{text}");
}

fn principal(server: &Server, proof: Proof) -> Principal {
    Principal { application: application(), proof, authority: server.url.parse().unwrap() }
}

#[tokio::test]
async fn an_application_proves_itself_with_its_secret() {
    let server = Server::saying(200, ANSWER);
    let principal = principal(&server, Proof::Secret(auth::Secret::new("pw&")));
    assert_eq!(opaque(&principal.token("scope/.default", &http()).await.unwrap()), "ey.secret");
    let request = &server.asked()[0];
    assert_eq!(request.line, "POST /tenant-1/oauth2/v2.0/token");
    assert_eq!(
        request.body,
        "grant_type=client_credentials&client_id=client&scope=scope%2F.default&client_secret=pw%26"
    );
    assert!(!format!("{principal:?}").contains("pw&"));
}

#[tokio::test]
async fn an_application_proves_itself_with_its_certificate() {
    let (server, key, other) = (Server::saying(200, ANSWER), RsaKey::generate(), RsaKey::generate());
    let certificate = |key: &RsaKey| {
        rcgen::CertificateParams::new(["a".to_owned()]).unwrap().self_signed(&key.pair).unwrap()
    };
    let [own, issuer] = [certificate(&key), certificate(&other)];
    // The key may stand anywhere, and the certificate need not be the first one.
    let pem = format!("{}{}{}", issuer.pem(), key.pem(), own.pem());
    for send_chain in [false, true] {
        let proof = Proof::Certificate(Certificate::from_pem(&pem, send_chain).unwrap());
        principal(&server, proof).token("scope", &http()).await.unwrap();
        let form = fields(&server.asked().pop().unwrap().body);
        assert_eq!(form["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        let (header, claims) = key.verify(&form["client_assertion"]);
        let thumbprint = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, own.der());
        assert_eq!(header["alg"], "PS256");
        assert_eq!(header["x5t#S256"], URL_SAFE_NO_PAD.encode(thumbprint));
        let chain = [own.der(), issuer.der()].map(|der| STANDARD.encode(der));
        assert_eq!(header.get("x5c").cloned(), send_chain.then(|| serde_json::json!(chain)));
        assert_eq!(claims["aud"], format!("{}/tenant-1/oauth2/v2.0/token", server.url));
        assert_eq!((&claims["iss"], &claims["sub"]), (&"client".into(), &"client".into()));
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["nbf"].as_u64().unwrap(), 600);
    }
    let error = |pem: &str| Certificate::from_pem(pem, false).unwrap_err();
    assert_eq!(error("MIIK binary of PKCS#12"), CertificateError::NotPem);
    assert_eq!(error(&key.pem()), CertificateError::NoCertificate);
    assert!(matches!(error(&own.pem()), CertificateError::Key(_)));
    assert_eq!(error(&format!("{}{}", issuer.pem(), key.pem())), CertificateError::Mismatch);
    let encrypted = key.pem().replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert_eq!(error(&format!("{}{encrypted}", own.pem())), CertificateError::Encrypted);
}
