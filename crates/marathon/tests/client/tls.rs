//! A server that speaks TLS with a certificate of an authority of its own, and asks for one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use marathon::client::{Client, ClientConfig, Identity, Url};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::server::json;
use crate::{block_on, config, fixture};

/// Serves `{"apps":[]}` to whoever shows a certificate of the authority.
fn server() -> Url {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certificates = |name: &str| {
        let pem = fixture(name);
        CertificateDer::pem_slice_iter(&pem).map(Result::unwrap).collect::<Vec<_>>()
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates("tls/ca.pem"));
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            certificates("tls/server.pem"),
            PrivateKeyDer::from_pem_slice(&fixture("tls/server.key")).unwrap(),
        )
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/p/", listener.local_addr().unwrap()).parse().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            thread::spawn(move || {
                let connection = ServerConnection::new(config).unwrap();
                let mut stream = BufReader::new(StreamOwned::new(connection, stream));
                // A client that isn't let in breaks off, and that is what the test is about.
                let mut lines = stream.by_ref().lines().map_while(Result::ok);
                let Some(first) = lines.next() else { return };
                lines.find(String::is_empty);
                let body = match first.contains(" /p/v2/pods") {
                    true => "[]",
                    false => r#"{"apps":[]}"#,
                };
                let stream = stream.get_mut();
                let _ = stream.write_all(&json(body));
                stream.conn.send_close_notify();
                let _ = stream.flush();
            });
        }
    });
    url
}

fn read(config: &ClientConfig) -> Result<(), String> {
    let read = block_on(Client::new(config).unwrap().read_snapshot());
    read.map(drop).map_err(|error| error.to_string())
}

#[test]
fn a_server_is_trusted_by_its_authority_and_is_shown_who_we_are() {
    let unknown = config(vec![server()]);
    let error = read(&unknown).unwrap_err();
    assert!(error.contains("no connection") && error.contains("ertificate"), "{error}");

    let nobody = ClientConfig { ca: Some(fixture("tls/ca.pem")), ..unknown };
    let error = read(&nobody).unwrap_err();
    assert!(error.contains("ertificate"), "{error}");

    let identity = Identity::new(&fixture("tls/client.pem"), &fixture("tls/client.key"));
    let known = ClientConfig { identity: Some(identity), ..nobody };
    assert_eq!(read(&known), Ok(()));
}
