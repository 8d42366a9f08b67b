//! SSH servers that want something of their clients. OpenSSH does not, so this one is made for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use e2e::sshd::keygen;
use git::{Auth, Connector, Limits, Remote};
use net::Deadline;
use russh::keys::PrivateKey;
use russh::server::{self, ChannelOpenHandle, Config, Handle, Handler, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, Disconnect};
use secret::Secret;
use tempfile::TempDir;

/// What the server does instead of running a program.
#[derive(Clone, Copy, Debug)]
enum Whim {
    Session,
    Agent,
    ForwardedTcp,
    ForwardedStream,
    DirectTcp,
    DirectStream,
    X11,
    Farewell,
}

impl Whim {
    async fn act(self, client: Handle) {
        let opened = match self {
            Whim::Session => client.channel_open_session().await,
            Whim::Agent => client.channel_open_agent().await,
            Whim::ForwardedTcp => client.channel_open_forwarded_tcpip("a", 1, "b", 2).await,
            Whim::ForwardedStream => client.channel_open_forwarded_streamlocal("/a").await,
            Whim::DirectTcp => client.channel_open_direct_tcpip("127.0.0.1", 1, "b", 2).await,
            Whim::DirectStream => client.channel_open_direct_streamlocal("/a").await,
            Whim::X11 => client.channel_open_x11("a", 1).await,
            Whim::Farewell => {
                let words = format!("\u{1b}[31m{}", "bye ".repeat(5000));
                let _ = client.disconnect(Disconnect::ByApplication, words, String::new()).await;
                return;
            }
        };
        assert!(opened.is_err(), "{self:?} was accepted");
    }
}

impl Handler for Whim {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        _: &str,
        _: VerifiedPublicKey<'_>,
    ) -> Result<server::Auth, russh::Error> {
        Ok(server::Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        _: ChannelId,
        _: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        tokio::spawn(self.act(session.handle()));
        Ok(())
    }
}

#[test]
fn a_server_gets_no_channel_and_its_last_words_are_short() {
    let dir = TempDir::new().unwrap();
    let (host, user) =
        (keygen(dir.path(), "host", "ed25519", &[]), keygen(dir.path(), "user", "ed25519", &[]));
    let config = Arc::new(Config {
        keys: vec![PrivateKey::from_openssh(&host.private).unwrap()],
        ..Config::default()
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for whim in [
        Whim::Session,
        Whim::Agent,
        Whim::ForwardedTcp,
        Whim::ForwardedStream,
        Whim::DirectTcp,
        Whim::DirectStream,
        Whim::X11,
        Whim::Farewell,
    ] {
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let config = config.clone();
        let served = runtime.spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            // How it ends is the client's choice.
            let _ = server::run_stream(config, stream, whim).await.unwrap().await;
        });
        let auth = Auth::Key {
            identity: Secret::new(&user.private),
            passphrase: None,
            known_hosts: format!("[127.0.0.1]:{port} {}", host.public),
        };
        let remote = Remote::new(&format!("ssh://127.0.0.1:{port}/r")).unwrap().with_auth(auth).unwrap();
        let deadline = Deadline::new(Duration::from_secs(30));
        let error =
            Connector::default().connect(&remote, &Limits::default(), &deadline).unwrap_err().to_string();
        match whim {
            Whim::Farewell => {
                assert!(error.starts_with("ssh: [31mbye bye"), "{error}");
                assert!(error.len() < 1100, "{} bytes", error.len());
            }
            _ => assert_eq!(error, "ssh: the server opened a channel", "{whim:?}"),
        }
        runtime.block_on(served).unwrap();
    }
}
