use aws_lc_rs::digest;
use tonic::metadata::MetadataMap;

use super::*;

fn sha256(text: &str) -> [u8; 32] {
    digest::digest(&digest::SHA256, text.as_bytes())
        .as_ref()
        .try_into()
        .unwrap()
}

fn callers() -> Callers {
    Callers::new(
        vec![CallerRule {
            name: "billing".into(),
            token_sha256: sha256("s3cret"),
            tenants: Some(vec![TenantId::parse("acme").unwrap()]),
            allow: vec![Permission::TokenGet],
        }],
        32,
    )
}

async fn recognised(metadata: &MetadataMap) -> Result<Caller, ApiError> {
    callers().recognise(metadata, None).await
}

#[tokio::test]
async fn the_tenants_of_a_caller_are_its_own() {
    let caller = recognised(&with("Bearer s3cret")).await.unwrap();
    let own = TenantId::parse("acme").unwrap();
    assert_eq!(
        caller.tenants(Permission::TokenGet).unwrap(),
        Some(vec![own])
    );
    assert!(caller.tenants(Permission::CredentialRead).is_err());
    let anybody = Callers::default()
        .recognise(&MetadataMap::new(), None)
        .await
        .unwrap();
    assert_eq!(anybody.tenants(Permission::CredentialRead).unwrap(), None);
}

fn with(header: &str) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    metadata.insert("authorization", header.parse().unwrap());
    metadata
}

#[tokio::test]
async fn a_caller_is_recognised_by_its_token_alone() {
    assert!(recognised(&with("Bearer s3cret")).await.is_ok());
    assert!(recognised(&with("bearer s3cret")).await.is_ok());
    for bad in ["Bearer wrong", "Basic s3cret", "Bearer", "s3cret"] {
        let error = recognised(&with(bad)).await.unwrap_err();
        assert_eq!(error.reason(), ErrorReason::Unauthenticated, "{bad}");
        assert!(!error.message().contains("s3cret"));
    }
    assert!(recognised(&MetadataMap::new()).await.is_err());
}

#[tokio::test]
async fn it_may_do_what_its_rule_says_where_its_rule_says() {
    let caller = recognised(&with("Bearer s3cret")).await.unwrap();
    let acme = TenantId::parse("acme").unwrap();
    let other = TenantId::parse("other").unwrap();
    assert!(caller.require(Permission::TokenGet, Some(&acme)).is_ok());
    for (permission, tenant) in [
        (Permission::TokenGet, Some(&other)),
        (Permission::TokenGet, None),
        (Permission::CredentialWrite, Some(&acme)),
    ] {
        assert!(caller.require(permission, tenant).is_err());
    }
    assert!(caller.tenants(Permission::TokenGet).is_ok());
    assert!(caller.tenants(Permission::Admin).is_err());
}

#[tokio::test]
async fn without_callers_everyone_is_trusted() {
    let caller = Callers::default()
        .recognise(&MetadataMap::new(), None)
        .await
        .unwrap();
    assert!(caller.require(Permission::Admin, None).is_ok());
}
