use super::*;

/// A kubeconfig whose current context is `c`, with these fields of its cluster and its user, and another user.
fn kubeconfig(cluster: &str, user: &str, other: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
         clusters: [{{name: k, cluster: {{{cluster}}}}}]\n\
         users: [{{name: u, user: {{{user}}}}}, {{name: other, user: {{{other}}}}}]\n"
    )
}

const SERVER: &str = "server: 'https://a.example:6443'";

async fn access(text: &str, trust: &Trust) -> Result<Access, String> {
    read(text.as_bytes(), "ns/s", trust).await.map_err(|error| error.to_string())
}

async fn refusal(text: &str) -> String {
    let error = access(text, &Trust::default()).await.err().unwrap();
    error.strip_prefix("invalid KubeConfig in secret 'ns/s': ").unwrap().to_owned()
}

#[tokio::test]
async fn files_are_refused_even_in_entries_that_are_not_used() {
    for (user, text) in [
        ("tokenFile: /t", "references a tokenFile, only an inline token is supported"),
        (
            "client-certificate: /c",
            "references a client-certificate file, only client-certificate-data is supported",
        ),
        ("client-key: /k", "references a client-key file, only client-key-data is supported"),
    ] {
        assert_eq!(refusal(&kubeconfig(SERVER, user, "token: t")).await, format!("user 'u' {text}"));
        assert_eq!(refusal(&kubeconfig(SERVER, "token: t", user)).await, format!("user 'other' {text}"));
    }
    let text = kubeconfig(&format!("{SERVER}, certificate-authority: /ca"), "token: t", "");
    let expected =
        "cluster 'k' references a certificate-authority file, only certificate-authority-data is supported";
    assert_eq!(refusal(&text).await, expected);
    let unused = kubeconfig(SERVER, "token: t", "").replace(
        "clusters: [",
        "clusters: [{name: spare, cluster: {server: s, certificate-authority: /ca}}, ",
    );
    assert_eq!(refusal(&unused).await, expected.replace("'k'", "'spare'"));
}

#[tokio::test]
async fn what_a_kubeconfig_holds_itself_is_kept() {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["me".to_owned()]).unwrap().self_signed(&key).unwrap();
    let encode = |pem: String| base64::Engine::encode(&base64::prelude::BASE64_STANDARD, pem);
    let (certificate, key) = (encode(certificate.pem()), encode(key.serialize_pem()));
    let user = format!("client-certificate-data: {certificate}, client-key-data: {key}");
    let text = kubeconfig(&format!("{SERVER}, tls-server-name: inner.example"), &user, "");
    let config = access(&text, &Trust::default()).await.unwrap().config;
    assert_eq!(config.tls_server_name.as_deref(), Some("inner.example"));
    assert_eq!(config.auth_info.client_certificate_data, Some(certificate));
    assert!(config.auth_info.client_key_data.is_some());
    let text = kubeconfig(SERVER, "username: me, password: p", "");
    let info = access(&text, &Trust::default()).await.unwrap().config.auth_info;
    assert!(info.username.as_deref() == Some("me") && info.password.is_some());
}

#[tokio::test]
async fn programs_and_plugins_are_dropped_and_missed_only_where_nothing_else_is() {
    let exec = "exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/evil}";
    let plugin = "auth-provider: {name: gcp}";
    for (user, what) in [(exec, "the program of user.exec"), (plugin, "an auth-provider")] {
        let expected = format!(
            "user 'u' has no credentials but {what}, which is not supported: use a token or a client certificate"
        );
        assert_eq!(refusal(&kubeconfig(SERVER, user, "")).await, expected);
        let access = access(&kubeconfig(SERVER, &format!("{user}, token: t"), ""), &Trust::default()).await;
        let info = access.unwrap().config.auth_info;
        assert!(info.exec.is_none() && info.auth_provider.is_none() && info.token.is_some());
    }
}

#[tokio::test]
async fn nothing_but_inline_credentials_is_handed_on_whatever_the_user_is_called() {
    let user = "exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/evil}, \
                auth-provider: {name: gcp, config: {cmd-path: /bin/evil}}, as: admin, as-uid: '1', \
                as-groups: ['system:masters'], as-user-extra: {a: [b]}, token: t, more: x";
    let text = kubeconfig(SERVER, user, user);
    let contexts = |user: &str| text.replace("{cluster: k, user: u}", &format!("{{cluster: k{user}}}"));
    let nameless = |text: String| text.replace("{name: u,", "{name: '',");
    for text in [
        text.clone(),
        contexts(", user: other"),
        nameless(contexts(", user: ''")),
        nameless(contexts("")),
        nameless(contexts(", user: null")),
        contexts(", user: ''").replace("{name: u, ", "{"),
        // The second of that name.
        text.replace("{name: other,", "{name: u,"),
    ] {
        let config =
            access(&text, &Trust::default()).await.unwrap_or_else(|error| panic!("{text}: {error}")).config;
        let shown = serde_json::to_value(&config.auth_info).unwrap();
        assert_eq!(shown, serde_json::json!({"token": "t"}), "{text}");
    }
    let only_exec = "exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/evil}";
    let text = nameless(kubeconfig(SERVER, only_exec, "").replace("user: u}", "user: ''}"));
    assert!(refusal(&text).await.starts_with("user '' has no credentials but the program of user.exec"));
    let anonymous = kubeconfig(SERVER, only_exec, "").replace("user: u}", "user: ''}");
    let info = access(&anonymous, &Trust::default()).await.unwrap().config.auth_info;
    assert_eq!(serde_json::to_value(&info).unwrap(), serde_json::json!({}));
}

#[tokio::test]
async fn aliases_and_sizes_have_limits() {
    let list = vec!["x"; 20_000].join(",");
    let aliases = vec!["*l"; 2000].join(",");
    for place in ["extensions", "more"] {
        let text = kubeconfig(SERVER, &format!("token: t, first: &l [{list}], {place}: [{aliases}]"), "");
        assert_eq!(
            refusal(&text).await,
            "it cannot be parsed: yaml: line 6: more than 1000 nodes copied by aliases"
        );
    }
    let text = kubeconfig(SERVER, &format!("token: t, more: [{}]", vec!["x"; 60_000].join(",")), "");
    assert_eq!(refusal(&text).await, "it cannot be parsed: yaml: line 6: more than 50000 nodes");
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let text = kubeconfig(SERVER, &format!("token: t, more: {deep}"), "");
    assert!(refusal(&text).await.starts_with("it cannot be parsed: yaml: "), "depth");
}

#[tokio::test]
async fn a_token_that_no_header_may_have_is_refused_and_not_quoted() {
    let text = kubeconfig(SERVER, "token: \"hunter2\\n\"", "");
    let expected = "the token of user 'u' has a line break or another character that no HTTP header may have";
    assert_eq!(refusal(&text).await, expected);
}

#[tokio::test]
async fn nobody_is_impersonated_by_a_kubeconfig() {
    let text = kubeconfig(SERVER, "token: t, as: admin, as-uid: '1', as-groups: ['system:masters']", "");
    let info = access(&text, &Trust::default()).await.unwrap().config.auth_info;
    assert_eq!((info.impersonate, info.impersonate_uid, info.impersonate_groups), (None, None, None));
}

#[tokio::test]
async fn the_server_is_verified_unless_the_process_allows_otherwise() {
    let text = kubeconfig(&format!("{SERVER}, insecure-skip-tls-verify: true"), "token: t", "");
    let invalid = |insecure_tls| {
        let (text, trust) = (text.clone(), Trust { insecure_tls, ..Trust::default() });
        async move { access(&text, &trust).await.unwrap().config.accept_invalid_certs }
    };
    assert!(!invalid(false).await);
    assert!(invalid(true).await);
}

#[tokio::test]
async fn the_server_is_one_that_may_be_asked() {
    for (server, text) in [
        ("", "cluster server is not set"),
        ("ftp://a.example", "cluster server 'ftp://a.example/' must use http or https"),
        (
            "https://u:secret@a.example",
            "cluster server 'https://a.example/' must not have a user or password",
        ),
        ("http://169.254.169.254", "cluster server connections to 169.254.169.254 are not allowed"),
        ("http://", "cluster server 'http://' is no URL: empty host"),
    ] {
        assert_eq!(refusal(&kubeconfig(&format!("server: '{server}'"), "token: t", "")).await, text);
    }
    let url = |cluster: &'static str| async move {
        let access = access(&kubeconfig(cluster, "token: t", ""), &Trust::default()).await;
        access.unwrap().config.cluster_url.to_string()
    };
    assert_eq!(url("server: 'a.example:8080'").await, "http://a.example:8080/");
    assert_eq!(
        url("server: 'https://a.example/k8s/clusters/c-1'").await,
        "https://a.example/k8s/clusters/c-1"
    );
}

#[tokio::test]
async fn a_proxy_is_taken_from_the_kubeconfig() {
    let text = kubeconfig(&format!("{SERVER}, proxy-url: 'http://u:p@proxy.example:3128'"), "token: t", "");
    let access = access(&text, &Trust::default()).await.unwrap();
    let proxy = access.route.proxy.unwrap();
    assert_eq!(proxy.url().as_str(), "http://proxy.example:3128/");
    assert_eq!(proxy.credentials().map(|(user, password)| (user, password.expose())), Some(("u", "p")));
    assert_eq!(access.config.proxy_url, None);
    let text = kubeconfig(&format!("{SERVER}, proxy-url: 'ftp://proxy.example'"), "token: t", "");
    let expected = "proxy URL must use one of the supported schemes (http, https, socks5), got 'ftp'";
    assert_eq!(refusal(&text).await, expected);
}

#[tokio::test]
async fn what_is_missing_is_named() {
    for (text, expected) in [
        ("", "current-context is not set"),
        ("current-context: a", "context 'a' does not exist"),
        ("current-context: a\ncontexts: [{name: a, context: {cluster: k}}]", "cluster 'k' does not exist"),
        (
            "current-context: a\ncontexts: [{name: a, context: {cluster: k, user: me}}]\nclusters: [{name: k, cluster: {}}]",
            "user 'me' does not exist",
        ),
    ] {
        assert_eq!(refusal(text).await, expected);
    }
}

#[tokio::test]
async fn what_cannot_be_parsed_is_not_quoted() {
    for text in ["users: hunter2", "users: [{name: u, user: {token: [hunter2]}}]", "a: 'hunter2", "\0hunter2"]
    {
        let error = refusal(text).await;
        assert!(error.starts_with("it cannot be parsed") && !error.contains("hunter2"), "{error}");
    }
    let text = kubeconfig(&format!("{SERVER}, certificate-authority-data: hunter2"), "token: t", "");
    let error = refusal(&text).await;
    assert!(
        error.starts_with("its certificates or keys cannot be read") && !error.contains("hunter2"),
        "{error}"
    );
}
