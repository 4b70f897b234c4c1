//! A user consents, in a real browser at a certified OAuth server, and the credential that this makes is kept alive.

mod account;
mod callback;
mod connect;
mod forged;
mod sandbox;
mod scopes;
mod two_requests;

use anyhow::{Context, Result};
use evergrant_proto::v1::{
    BeginAuthorizationRequest, BeginAuthorizationResponse, CompleteAuthorizationRequest,
    CompleteAuthorizationResponse, Credential, CredentialState,
};
use tempfile::TempDir;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::application::{Application, Brought};
use crate::harness::browser::Person;
use crate::harness::caller::{Caller, reason};
use crate::harness::oidc::{Elsewhere, OidcOptions, OidcProvider};
use crate::harness::postgres::Postgres;
use crate::harness::replica::Replica;
use crate::harness::replica::config::ReplicaConfig;

const CLIENT: &str = "oidc-main";
const PROVIDER: &str = "oidc";

/// The OAuth server, an application, and what replicas are made of.
struct Scene {
    oidc: OidcProvider,
    application: Application,
    config: ReplicaConfig,
    // Holds the database for as long as the scene lasts.
    _folder: TempDir,
}

impl Scene {
    async fn new() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("evergrant-e2e-store-")
            .tempdir()?;
        let url = format!("sqlite://{}", folder.path().join("evergrant.db").display());
        Self::on(&url, folder).await
    }

    async fn on(store_url: &str, folder: TempDir) -> Result<Self> {
        let (oidc, application) = tokio::try_join!(
            OidcProvider::start(OidcOptions::default()),
            Application::start()
        )?;
        let redirect_uris = vec![
            application.redirect_uri(),
            "http://127.0.0.1/callback".to_owned(),
            "http://127.0.0.1/oauth/callback".to_owned(),
        ];
        let config = ReplicaConfig::new(store_url)
            .provider(PROVIDER, oidc.consent_entry(PROVIDER, None))
            .client(CLIENT, PROVIDER, oidc.client_id(), oidc.client_secret())
            .set(&format!("clients.{CLIENT}.redirect_uris"), redirect_uris);
        Ok(Self {
            oidc,
            application,
            config,
            _folder: folder,
        })
    }

    /// Replaces the token endpoint and the keys that replicas to come are told of.
    fn elsewhere(mut self, elsewhere: Elsewhere) -> Self {
        let entry = self.oidc.consent_entry(PROVIDER, Some(elsewhere));
        self.config = self.config.provider(PROVIDER, entry);
        self
    }

    async fn replica(&self) -> Result<Replica> {
        Replica::start(&self.config).await
    }

    /// Begins at `replica`, and sends `person` to the provider and back to the application.
    async fn send(&self, replica: &Replica, person: Person) -> Result<Brought> {
        let begun = begin(replica, BeginAuthorizationRequest::default()).await?;
        let sight = person.visits(&begun.authorization_url).await?;
        anyhow::ensure!(sight.text == "back at the application", "{sight:?}");
        let brought = self.application.brought()?;
        assert_eq!(brought.state, begun.state);
        Ok(brought)
    }
}

/// Begins the consent for credential `c`, with what `more` says besides.
async fn begin(
    replica: &Replica,
    more: BeginAuthorizationRequest,
) -> Result<BeginAuthorizationResponse, Status> {
    let request = BeginAuthorizationRequest {
        credential: Some(Credential {
            credential_id: "c".to_owned(),
            provider: PROVIDER.to_owned(),
            ..Credential::default()
        }),
        scopes: vec!["openid".to_owned(), "offline_access".to_owned()],
        ..more
    };
    let answer = replica.credentials().begin_authorization(request).await?;
    Ok(answer.into_inner())
}

async fn complete(
    replica: &Replica,
    brought: &Brought,
) -> Result<CompleteAuthorizationResponse, Status> {
    let request = completion(brought);
    let answer = replica
        .credentials()
        .complete_authorization(request)
        .await?;
    Ok(answer.into_inner())
}

fn completion(brought: &Brought) -> CompleteAuthorizationRequest {
    let Brought {
        state,
        code,
        error,
        error_description,
        iss,
    } = brought.clone();
    CompleteAuthorizationRequest {
        state,
        code,
        error,
        error_description,
        issuer: iss,
    }
}

fn failed_precondition(reason: &str) -> (Code, String) {
    (Code::FailedPrecondition, reason.to_owned())
}

fn state_invalid() -> (Code, String) {
    failed_precondition("AUTHORIZATION_STATE_INVALID")
}

#[tokio::test]
async fn a_person_consents_and_the_credential_is_refreshed_and_reconnected() -> Result<()> {
    let scene = Scene::new().await?;
    let replica = scene.replica().await?;
    let caller = Caller::new(replica.channel());

    let brought = scene.send(&replica, Person::named("ada")).await?;
    let completed = complete(&replica, &brought).await?;
    assert!(completed.created);
    let credential = completed.credential.context("there is a credential")?;
    assert_eq!(credential.state(), CredentialState::Active);
    assert_eq!(credential.provider_account, "ada");
    assert_eq!(credential.scopes, ["openid", "offline_access"]);
    assert!(credential.refreshable);

    let first = caller.token("c").await?;
    assert!(scene.oidc.is_active(&first.access_token).await?);
    let second = caller.refused("c", first.generation).await?;
    assert_eq!(second.generation, first.generation + 1);
    assert_ne!(second.access_token, first.access_token);
    assert!(scene.oidc.is_active(&second.access_token).await?);

    let stranger = scene.send(&replica, Person::named("grace")).await?;
    let refused = complete(&replica, &stranger)
        .await
        .expect_err("another account");
    assert_eq!(reason(&refused), failed_precondition("ACCOUNT_MISMATCH"));
    assert_eq!(caller.token("c").await?.access_token, second.access_token);
    assert_eq!(caller.credential("c").await?.provider_account, "ada");

    let again = scene.send(&replica, Person::named("ada")).await?;
    let completed = complete(&replica, &again).await?;
    assert!(!completed.created);
    let third = caller.token("c").await?;
    assert_ne!(third.access_token, second.access_token);
    assert!(third.generation > second.generation);
    Ok(())
}

#[tokio::test]
async fn a_refusal_and_a_refused_code_store_nothing_and_cost_one_call_at_most() -> Result<()> {
    let scene = Scene::new().await?;
    let replica = scene.replica().await?;
    let caller = Caller::new(replica.channel());

    let brought = scene.send(&replica, Person::who_refuses("ada")).await?;
    assert_eq!(brought.error, "access_denied");
    let refused = complete(&replica, &brought).await.expect_err("she refused");
    assert_eq!(
        reason(&refused),
        failed_precondition("AUTHORIZATION_REFUSED")
    );
    let info = refused
        .get_details_error_info()
        .context("it has an ErrorInfo")?;
    assert_eq!(info.metadata["provider_error"], "access_denied");
    let again = complete(&replica, &brought).await.expect_err("it is spent");
    assert_eq!(reason(&again), state_invalid());
    assert!(scene.oidc.ledger().await?.entries.is_empty());

    let mut brought = scene.send(&replica, Person::named("ada")).await?;
    brought.code = "made-up".to_owned();
    let refused = complete(&replica, &brought)
        .await
        .expect_err("no such code");
    assert_eq!(
        reason(&refused),
        failed_precondition("AUTHORIZATION_REFUSED")
    );
    assert_eq!(scene.oidc.ledger().await?.count("grant.error"), 1);
    let missing = caller
        .credential("c")
        .await
        .expect_err("nothing was stored");
    assert_eq!(missing.code(), Code::NotFound);
    Ok(())
}

#[tokio::test]
async fn a_state_is_good_once_on_whichever_replica() -> Result<()> {
    let postgres = Postgres::start().await?;
    let scene = Scene::on(&postgres.url(), tempfile::tempdir()?).await?;
    let (one, two) = tokio::try_join!(scene.replica(), scene.replica())?;

    let brought = scene.send(&one, Person::named("ada")).await?;
    let (a, b) = tokio::join!(complete(&one, &brought), complete(&two, &brought));
    let (done, refused) = match (a, b) {
        (Ok(done), Err(refused)) | (Err(refused), Ok(done)) => (done, refused),
        both => anyhow::bail!("one wins: {both:?}"),
    };
    assert!(done.created);
    assert_eq!(reason(&refused), state_invalid());
    assert_eq!(scene.oidc.ledger().await?.count("grant.success"), 1);
    for replica in [&one, &two] {
        let token = Caller::new(replica.channel()).token("c").await?;
        assert!(scene.oidc.is_active(&token.access_token).await?);
    }
    Ok(())
}

#[tokio::test]
async fn a_state_of_another_tenant_is_unknown_and_stays_good_for_its_own() -> Result<()> {
    let own = caller_rule("own", "default", OWN_SHA256);
    let other = caller_rule("other", "elsewhere", OTHER_SHA256);
    let mut scene = Scene::new().await?;
    scene.config = scene.config.set("callers", vec![own, other]);
    let replica = scene.replica().await?;
    let mut credentials = replica.credentials();

    let request = BeginAuthorizationRequest {
        credential: Some(Credential {
            credential_id: "c".to_owned(),
            provider: PROVIDER.to_owned(),
            ..Credential::default()
        }),
        ..BeginAuthorizationRequest::default()
    };
    let elsewhere = credentials
        .begin_authorization(by("token-of-other", request.clone()))
        .await
        .expect_err("it is no tenant of its");
    assert_eq!(elsewhere.code(), Code::PermissionDenied);
    let begun = credentials.begin_authorization(by("token-of-own", request));
    let state = begun.await?.into_inner().state;

    let refusal = |state: &str| CompleteAuthorizationRequest {
        state: state.to_owned(),
        error: "access_denied".to_owned(),
        ..CompleteAuthorizationRequest::default()
    };
    for (token, expected) in [
        ("token-of-other", "AUTHORIZATION_STATE_INVALID"),
        ("token-of-own", "AUTHORIZATION_REFUSED"),
        ("token-of-own", "AUTHORIZATION_STATE_INVALID"),
    ] {
        let told = credentials.complete_authorization(by(token, refusal(&state)));
        let told = told.await.expect_err("nobody has a code");
        assert_eq!(reason(&told), failed_precondition(expected), "{token}");
    }
    Ok(())
}

/// Of `token-of-own`.
const OWN_SHA256: &str = "a88bb0b6447fe3d75a6b96ec56da3d7346e55209a6fab058f27851f57c3b1efb";
/// Of `token-of-other`.
const OTHER_SHA256: &str = "82a0d374b10bc2d3660a88327dddb67501017608fb70e38e8391f9075b86db9e";

fn caller_rule(name: &str, tenant: &str, token_sha256: &str) -> toml::Value {
    let mut rule = toml::Table::new();
    rule.insert("name".to_owned(), name.into());
    rule.insert("token_sha256".to_owned(), token_sha256.into());
    rule.insert("tenants".to_owned(), vec![tenant].into());
    rule.insert("allow".to_owned(), vec!["credential.write"].into());
    rule.into()
}

fn by<T>(token: &str, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let bearer = format!("Bearer {token}");
    let bearer = bearer.parse().expect("a token is visible ASCII");
    request.metadata_mut().insert("authorization", bearer);
    request
}
