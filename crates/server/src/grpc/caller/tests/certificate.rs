//! Callers that show a certificate.

use rcgen::string::Ia5String;
use rcgen::{CertificateParams, KeyPair, SanType};

use super::*;
use crate::grpc::peer::{ClientCertificate, Peer};

const API: &str = "spiffe://example.org/ns/shop/sa/api";

fn rule(name: &str, identity: Identity) -> CallerRule {
    CallerRule {
        name: name.into(),
        identity,
        tenants: None,
        allow: vec![Permission::TokenGet],
        rate: None,
    }
}

fn callers() -> Callers {
    let san = |text: &str| Identity::San(San::parse(text).unwrap());
    let rules = vec![
        rule("api", san(API)),
        rule("batch", san("batch.example.org")),
        rule("billing", Identity::Token(sha256("s3cret"))),
    ];
    Callers::new(rules, 1, ManualClock::new()).unwrap()
}

/// A peer whose certificate has these names and ends in `year`.
fn peer(names: &[&str], year: i32) -> Peer {
    let mut params = CertificateParams::default();
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    params.subject_alt_names = names
        .iter()
        .map(|name| match name.contains("://") {
            true => SanType::URI(Ia5String::try_from(*name).unwrap()),
            false => SanType::DnsName(Ia5String::try_from(*name).unwrap()),
        })
        .collect();
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Peer {
        address: ([192, 0, 2, 1], 4_711).into(),
        certificate: Some(ClientCertificate::parse(certificate.der()).unwrap()),
    }
}

async fn named(metadata: &MetadataMap, peer: &Peer) -> Result<String, ApiError> {
    let caller = callers().recognise(metadata, Some(peer)).await?;
    Ok(caller.name().unwrap().to_owned())
}

#[tokio::test]
async fn a_certificate_names_the_caller_that_has_one_of_its_names() {
    let none = MetadataMap::new();
    for (names, caller) in [
        (&[API][..], "api"),
        (&["Batch.Example.ORG"], "batch"),
        (&["other.example.org", API], "api"),
    ] {
        assert_eq!(named(&none, &peer(names, 2_100)).await.unwrap(), caller);
    }
    for names in [
        &[][..],
        &["example.org"],
        &["*.example.org"],
        &["spiffe://example.org/ns/shop/sa/API"],
        &["spiffe://example.org/ns/shop/sa/api/"],
        &[API, "batch.example.org"],
    ] {
        let error = named(&none, &peer(names, 2_100)).await.unwrap_err();
        assert_eq!(error.reason(), ErrorReason::Unauthenticated, "{names:?}");
    }
}

#[tokio::test]
async fn a_connection_does_not_outlive_its_certificate() {
    let error = named(&MetadataMap::new(), &peer(&[API], 2_000)).await;
    assert_eq!(
        error.unwrap_err().message(),
        "the client certificate has expired"
    );
}

#[tokio::test]
async fn a_token_decides_alone_if_there_is_one() {
    let peer = peer(&[API], 2_100);
    assert_eq!(
        named(&with("Bearer s3cret"), &peer).await.unwrap(),
        "billing"
    );
    for unknown in ["Bearer wrong", "Basic s3cret"] {
        let error = named(&with(unknown), &peer).await.unwrap_err();
        assert_eq!(error.reason(), ErrorReason::Unauthenticated);
    }
}
