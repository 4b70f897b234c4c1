use std::time::Duration;

use aws_lc_rs::digest;
use evergrant_core::attempts::NoAttemptLog;
use evergrant_core::brake::Brake;
use evergrant_core::change::{ChangeSet, ClientHealth, Write};
use evergrant_core::clock::Timestamp;
use evergrant_core::ids::{ReplicaName, TenantId};
use evergrant_core::provider::Limits;
use evergrant_core::refresh::{self, Ports};
use evergrant_core::store::Directory as _;
use evergrant_core::testing::clock::ManualClock;
use evergrant_core::testing::coordinator::MemoryCoordinator;
use evergrant_core::testing::store::MemoryStore;
use evergrant_providers::{Catalogue, OAuthClient};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic_types::StatusExt as _;

use super::*;
use crate::grpc::caller::{CallerRule, Callers, Identity};

const ENTRY: &str = "name = \"acme\"\ntoken_url = \"https://acme.example/token\"\n\
    sources = [\"https://acme.example\"]";

fn sha256(text: &str) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest.as_ref().try_into().unwrap()
}

/// `reader` may read in one tenant, `little` is the admin of one, `root` of all.
fn gate() -> Gate {
    let one = Some(vec![TenantId::parse("t1").unwrap()]);
    let rule = |name: &str, tenants: Option<Vec<TenantId>>, permission| CallerRule {
        name: name.to_owned(),
        identity: Identity::Token(sha256(name)),
        tenants,
        allow: vec![permission],
        rate: None,
    };
    let rules = vec![
        rule("reader", one.clone(), Permission::CredentialRead),
        rule("little", one, Permission::Admin),
        rule("root", None, Permission::Admin),
        rule("getter", None, Permission::TokenGet),
    ];
    Gate::new(Callers::new(rules, 1, ManualClock::new()).unwrap())
}

fn key(client: &str) -> ClientKey {
    ClientKey {
        provider: ProviderName::parse("acme").unwrap(),
        client: ClientName::parse(client).unwrap(),
    }
}

fn oauth_client(name: &str) -> OAuthClient {
    OAuthClient {
        name: ClientName::parse(name).unwrap(),
        provider: ProviderName::parse("acme").unwrap(),
        client_id: "id".into(),
        client_secrets: vec!["hush".into()],
        redirect_uris: Vec::new(),
        parameters: BTreeMap::new(),
        private_key: None,
        key_id: None,
        alternates: Vec::new(),
        limits: Limits {
            concurrent: Some(8),
            per_minute: Some(600),
        },
    }
}

fn service() -> (Providers, Arc<MemoryStore>) {
    let mut catalogue = Catalogue::empty();
    catalogue.add(ENTRY, "test").unwrap();
    let clock = ManualClock::new();
    let clients = ["main", "other"].map(oauth_client).into();
    let providers = HttpProviders::new(Arc::new(catalogue), clients, clock.clone()).unwrap();
    let providers = Arc::new(providers);
    let store = Arc::new(MemoryStore::new(clock.clone()));
    let coordinator = MemoryCoordinator::new();
    let ports = Ports {
        store: store.clone(),
        locks: coordinator.clone(),
        escrow: coordinator.clone(),
        bus: coordinator,
        providers: providers.clone(),
        clock: clock.clone(),
        attempts: Arc::new(NoAttemptLog),
        replica: ReplicaName::parse("replica").unwrap(),
    };
    let limits = refresh::Limits {
        attempt_timeout: Duration::from_secs(1),
        store_timeout: Duration::from_secs(1),
        lease: Duration::from_secs(5),
        per_client: 64,
    };
    let broker = Broker::new(
        ports,
        limits,
        10,
        &TaskTracker::new(),
        CancellationToken::new(),
    );
    let service = Providers::new(Arc::new(broker), store.clone(), providers, gate(), clock);
    (service, store)
}

fn with<T>(caller: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {caller}").parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    request
}

async fn listed(service: &Providers, caller: &str) -> Result<Vec<v1::Provider>, Status> {
    let request = with(caller, v1::ListProvidersRequest::default());
    let response = service.list_providers(request).await?;
    Ok(response.into_inner().providers)
}

async fn released(
    service: &Providers,
    caller: &str,
    client: &str,
    verdict: i32,
) -> Result<v1::ReleaseBrakeResponse, Status> {
    let request = v1::ReleaseBrakeRequest {
        provider: "acme".into(),
        client: client.into(),
        verdict,
    };
    let response = service.release_brake(with(caller, request)).await?;
    Ok(response.into_inner())
}

async fn brake(store: &MemoryStore) {
    brake_client(store, "main").await;
}

async fn brake_client(store: &MemoryStore, client: &str) {
    let at = Timestamp::from_millis(1_700_000_000_000);
    let brake = Brake {
        client: key(client),
        since: at,
        refused: 10,
        refreshed: 3,
        provider_error: "invalid_grant".into(),
        next_probe_at: at,
    };
    let health = ClientHealth {
        client: key(client),
        rejected: false,
        since: at,
        provider_error: "invalid_client".into(),
        message: String::new(),
        rejected_at: Some(at),
    };
    let change = ChangeSet {
        revision: 0,
        writes: vec![Write::SetBrake(brake), Write::SetClientHealth(health)],
        events: Vec::new(),
    };
    store.apply(&change).await.unwrap();
}

#[tokio::test]
async fn a_provider_is_listed_with_how_its_clients_stand() {
    let (service, store) = service();
    brake(&store).await;
    let providers = listed(&service, "reader").await.unwrap();
    let [acme] = &providers[..] else {
        panic!("{providers:?}");
    };
    assert_eq!(acme.name, "acme");
    let expected = [v1::GrantType::AuthorizationCode, v1::GrantType::Static];
    assert_eq!(acme.grant_types, expected.map(i32::from));
    let [main, other] = &acme.clients[..] else {
        panic!("{:?}", acme.clients);
    };
    assert_eq!(main.breaker(), v1::BreakerState::Closed);
    assert_eq!(main.last_rejection_code, "invalid_client");
    assert!(main.last_rejected_at.is_some());
    let brake = main.brake.as_ref().unwrap();
    assert_eq!((brake.refused, brake.refreshed, brake.held), (10, 3, 0));
    let budget = main.budget.as_ref().unwrap();
    assert_eq!((budget.concurrent, budget.per_minute), (8, 600));
    assert_eq!((budget.in_use, budget.throttled_until), (0, None));
    assert_eq!((other.brake.as_ref(), other.last_rejected_at), (None, None));
}

#[tokio::test]
async fn who_may_read_anywhere_may_list_and_an_admin_of_all_may_release() {
    let (service, store) = service();
    brake(&store).await;
    for caller in ["reader", "little", "root"] {
        assert!(listed(&service, caller).await.is_ok(), "{caller}");
    }
    let denied = tonic::Code::PermissionDenied;
    assert_eq!(listed(&service, "getter").await.unwrap_err().code(), denied);
    let retry = v1::BrakeVerdict::Retry.into();
    for caller in ["reader", "little", "getter"] {
        let refused = released(&service, caller, "main", retry).await;
        assert_eq!(refused.unwrap_err().code(), denied, "{caller}");
    }
    let done = released(&service, "root", "main", retry).await.unwrap();
    assert_eq!((done.was_engaged, done.grants), (true, 0));
    let again = released(&service, "root", "main", retry).await.unwrap();
    assert!(!again.was_engaged);
}

#[tokio::test]
async fn a_release_says_which_client_and_what() {
    let (service, _) = service();
    for (client, verdict, field) in [
        ("main", 0, "verdict"),
        ("main", 9, "verdict"),
        ("a b", 1, "client"),
        ("", 1, "client"),
    ] {
        let refused = released(&service, "root", client, verdict).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        assert!(refused.message().contains(field), "{}", refused.message());
    }
    let elsewhere = v1::ReleaseBrakeRequest {
        provider: "acne".into(),
        client: "main".into(),
        verdict: 1,
    };
    let refused = service.release_brake(with("root", elsewhere)).await;
    let refused = refused.unwrap_err();
    let details = refused.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "UNKNOWN_PROVIDER");
    assert!(refused.message().contains("acne"), "{}", refused.message());
    let unknown = v1::ListProvidersRequest {
        provider: "acne".into(),
    };
    let refused = service.list_providers(with("root", unknown)).await;
    assert!(refused.unwrap_err().message().contains("acne"));
}

#[tokio::test]
async fn a_client_that_is_neither_configured_nor_held_is_refused_with_what_may_have_been_meant() {
    let (service, store) = service();
    let refused = released(&service, "root", "mian", 1).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    let details = refused.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "UNKNOWN_CLIENT");
    assert_eq!(
        refused.message(),
        "client mian of provider acme is not in the configuration, and nothing of it is held; did you mean main?"
    );
    // It was in the configuration when its grants were held.
    brake_client(&store, "gone-since").await;
    let left_over = released(&service, "root", "gone-since", 1).await.unwrap();
    assert!(left_over.was_engaged);
    let again = released(&service, "root", "gone-since", 1).await;
    assert!(again.unwrap_err().message().contains("gone-since"));
    let idle = released(&service, "root", "other", 1).await.unwrap();
    assert!(!idle.was_engaged, "it is known, and nothing of it is held");
}
