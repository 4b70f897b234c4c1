use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Error, Identity};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::server::health_reporter;
use zeroize::Zeroizing;

use super::*;
use crate::config::server::PemFile;
use crate::grpc::transport::{Leashes, serve};

fn pem(text: &str) -> PemFile {
    PemFile {
        path: "test.pem".into(),
        pem: Zeroizing::new(text.as_bytes().to_vec()),
    }
}

fn tls(client_ca: Option<&str>) -> Tls {
    Tls {
        cert: pem(LEAF),
        key: pem(LEAF_KEY),
        client_ca: client_ca.map(pem),
        client_auth: ClientAuth::Required,
    }
}

/// Asks a server with this configuration for its health. The server ends with the test.
async fn is_healthy(tls: &Tls, client: ClientTlsConfig) -> Result<bool, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_reporter, health) = health_reporter();
    let leashes = Leashes {
        look: Duration::from_secs(15),
        grace: Duration::from_secs(1),
    };
    let stop = CancellationToken::new();
    let (tls, routes) = (
        Acceptor::new(tls, Listener::Grpc).unwrap(),
        Routes::new(health),
    );
    let tasks = TaskTracker::new();
    tasks.spawn(serve(listener, Some(tls), routes, leashes, stop.clone()));
    let _ending = stop.drop_guard();

    let client = client
        .ca_certificate(Certificate::from_pem(AUTHORITY))
        .domain_name("localhost");
    let endpoint = Endpoint::from_shared(format!("https://{address}"))?;
    let channel = endpoint.tls_config(client)?.connect().await?;
    let mut client = HealthClient::new(channel);
    let answer = client.check(HealthCheckRequest::default());
    Ok(answer.await.is_ok())
}

#[tokio::test]
async fn a_server_with_a_certificate_is_trusted_by_its_authority() {
    assert!(
        is_healthy(&tls(None), ClientTlsConfig::new())
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn where_client_certificates_have_an_authority_nobody_else_is_served() {
    let tls = tls(Some(AUTHORITY));
    let shown = ClientTlsConfig::new().identity(Identity::from_pem(LEAF, LEAF_KEY));
    assert!(is_healthy(&tls, shown).await.unwrap());
    let served = is_healthy(&tls, ClientTlsConfig::new()).await;
    assert!(!served.unwrap_or(false));
}

#[tokio::test]
async fn a_client_that_speaks_another_protocol_is_refused() {
    let speaks = async |protocol: &str| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(AUTHORITY.as_bytes()).unwrap();
        roots.add(authority).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider);
        let client = client.with_safe_default_protocol_versions().unwrap();
        let mut client = client.with_root_certificates(roots).with_no_client_auth();
        client.alpn_protocols.push(protocol.into());
        let server = Acceptor::new(&tls(None), Listener::Inbound).unwrap();
        let accepting = async {
            let (socket, _) = listener.accept().await.unwrap();
            server.accept(socket).await
        };
        let connecting = async {
            let socket = tokio::net::TcpStream::connect(address).await.unwrap();
            let client = tokio_rustls::TlsConnector::from(Arc::new(client));
            client
                .connect("localhost".try_into().unwrap(), socket)
                .await
        };
        let (accepted, connected) = tokio::join!(accepting, connecting);
        accepted.is_ok() && connected.is_ok()
    };
    assert!(speaks("http/1.1").await);
    assert!(!speaks("h2").await);
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let mut tls = tls(None);
    tls.cert = pem(AUTHORITY);
    assert!(Acceptor::new(&tls, Listener::Grpc).is_err());
    tls.cert = pem("no PEM");
    assert!(Acceptor::new(&tls, Listener::Grpc).is_err());
}

// Made for these tests: an authority, and a certificate of it for `localhost`, good for servers and clients.

const AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBmTCCAT+gAwIBAgIUPW7Rh8ZOaCLTcn5gEgPa92gq2nswCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOdGVzdCBhdXRob3JpdHkwIBcNMjYxMTIxMTYwMTE1WhgPMjEy
NjEwMjgxNjAxMTVaMBkxFzAVBgNVBAMMDnRlc3QgYXV0aG9yaXR5MFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEhSFftDvpSZWU/mgU3AJBzeRcTi1Hc5bWlS31y1Jw
UG6v1J0ok3ZSt4pxRajSbzNWx0JdvJDhR9FRG5axQ8wJb6NjMGEwHQYDVR0OBBYE
FA8TLIzemuwXzH1VUbj2heYLcikuMB8GA1UdIwQYMBaAFA8TLIzemuwXzH1VUbj2
heYLcikuMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgIEMAoGCCqGSM49
BAMCA0gAMEUCIArI2ZSCOHFcwX20aIMO5Uu/J3ntrFIjcIYD9FLB3TS2AiEAuefi
ztOpY1BrtRtdVUl5qJviXSSDhYVyBs1Op6ExE5Q=
-----END CERTIFICATE-----
";

const LEAF: &str = "\
-----BEGIN CERTIFICATE-----
MIIBtTCCAVugAwIBAgIUYuFAZEKP1NfyOvdGTNbb67mPK7QwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOdGVzdCBhdXRob3JpdHkwIBcNMjYxMTIxMTYwMTE1WhgPMjEy
NjEwMjgxNjAxMTVaMBQxEjAQBgNVBAMMCWxvY2FsaG9zdDBZMBMGByqGSM49AgEG
CCqGSM49AwEHA0IABGLKhPu5aoHScuS1bl6tTHSRkHF3J5Yn31hg178POWEQkMRS
uhTSUP7xQbTtQEsHGSUfoSbXnv5w+sKKJj/2vhejgYMwgYAwFAYDVR0RBA0wC4IJ
bG9jYWxob3N0MB0GA1UdJQQWMBQGCCsGAQUFBwMBBggrBgEFBQcDAjAJBgNVHRME
AjAAMB0GA1UdDgQWBBRkuuIL8exnl/7iqRwjJeNkpphd8TAfBgNVHSMEGDAWgBQP
EyyM3prsF8x9VVG49oXmC3IpLjAKBggqhkjOPQQDAgNIADBFAiBCJW/lgkMMAZtD
gNlZs3RjbsmIulcUdlD4efv7KXdXhgIhAI48r229eyEjRxw5LQYVccVOJg89NTwV
DBjT/klxDKDh
-----END CERTIFICATE-----
";

const LEAF_KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgrz7KW7g+SlKcDire
YYlshsFrpb38/G/4MkT6oCmOcsyhRANCAARiyoT7uWqB0nLktW5erUx0kZBxdyeW
J99YYNe/DzlhEJDEUroU0lD+8UG07UBLBxklH6Em157+cPrCiiY/9r4X
-----END PRIVATE KEY-----
";
