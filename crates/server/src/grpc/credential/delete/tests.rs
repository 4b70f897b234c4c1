use std::time::Duration;

use evergrant_core::attempts::NoAttemptLog;
use evergrant_core::broker::Broker;
use evergrant_core::change::plan::CreateCredential;
use evergrant_core::ids::{CredentialKey, ReplicaName};
use evergrant_core::provider::{CallError, Revocation, Verdict};
use evergrant_core::refresh::{Limits, Ports};
use evergrant_core::store::Directory as _;
use evergrant_core::testing::clock::ManualClock;
use evergrant_core::testing::coordinator::MemoryCoordinator;
use evergrant_core::testing::provider::{ScriptedProviders, failure};
use evergrant_core::testing::store::MemoryStore;
use evergrant_proto::v1::{ErrorReason, RevocationOutcome as Outcome};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Code;
use tonic::metadata::MetadataMap;

use super::*;
use crate::grpc::caller::Caller;
use crate::grpc::record::Notes;
use crate::grpc::{deadline, sample};

/// The service over ports in memory, with credentials of one account or of one each.
struct Stage {
    store: Arc<MemoryStore>,
    provider: Arc<ScriptedProviders>,
    broker: Broker,
    service: Deletions,
}

impl Stage {
    fn new() -> Self {
        let clock = ManualClock::new();
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let provider = ScriptedProviders::new(clock.clone());
        let coordinator = MemoryCoordinator::new();
        let ports = Ports {
            store: store.clone(),
            locks: coordinator.clone(),
            escrow: coordinator.clone(),
            bus: coordinator,
            providers: provider.clone(),
            clock: clock.clone(),
            attempts: Arc::new(NoAttemptLog),
            replica: ReplicaName::parse("replica").unwrap(),
        };
        let limits = Limits {
            attempt_timeout: Duration::from_secs(15),
            store_timeout: Duration::from_secs(5),
            lease: Duration::from_secs(45),
            per_client: 64,
        };
        let stop = CancellationToken::new();
        let broker = Broker::new(ports, limits, 100, &TaskTracker::new(), stop);
        let service = Deletions::new(broker.registry(), broker.revoker(), clock);
        Self {
            store,
            provider,
            broker,
            service,
        }
    }

    async fn store(&self, name: &str, account: Option<&str>) {
        let sample = sample::grant().facts;
        let new = CreateCredential {
            key: key(name),
            client: sample.client,
            grant_type: sample.grant_type,
            account: account.map(str::to_owned),
            labels: std::collections::BTreeMap::new(),
            tokens: self.provider.consent(name),
            issued_at: ManualClock::START,
            renewal: Default::default(),
        };
        let registry = self.broker.registry();
        registry.create_credential(&new).await.unwrap();
    }

    async fn delete(&self, name: &str, revoke: bool) -> Deleted {
        self.delete_within(name, revoke, "60S").await
    }

    async fn delete_within(&self, name: &str, revoke_at_provider: bool, timeout: &str) -> Deleted {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", timeout.parse().unwrap());
        let deadline = deadline::of(&metadata);
        let call = Call::new(
            "DeleteCredential",
            Caller::trusted(),
            None,
            deadline,
            Notes::default(),
        );
        let request = v1::DeleteCredentialRequest {
            tenant_id: key(name).tenant.to_string(),
            credential_id: name.to_owned(),
            revoke_at_provider,
        };
        let answer = self.service.delete(&call, request).await?;
        let outcome = answer.revocation_outcome();
        let sharing = answer.sharing_credential_ids;
        Ok((answer.revoked_at_provider, outcome, sharing))
    }

    async fn is_there(&self, name: &str) -> bool {
        let found = self.store.credential(&key(name)).await;
        found.unwrap().is_some()
    }
}

/// Whether the provider confirmed it, what became of the grant, and who shares it.
type Deleted = Result<(bool, Outcome, Vec<String>), ApiError>;

fn revoked() -> Deleted {
    Ok((true, Outcome::Revoked, Vec::new()))
}

fn key(name: &str) -> CredentialKey {
    credential_key("acme", name).unwrap()
}

#[tokio::test]
async fn the_answer_says_what_became_of_the_grant_at_the_provider() {
    let stage = Stage::new();
    stage.store("sole", None).await;
    stage.store("one", Some("T1")).await;
    stage.store("other", Some("T1")).await;
    stage.store("stays", None).await;
    assert_eq!(stage.delete("sole", true).await, revoked());
    let shared = (false, Outcome::GrantShared, vec!["other".to_owned()]);
    assert_eq!(stage.delete("one", true).await, Ok(shared));
    assert_eq!(stage.delete("other", true).await, revoked());
    let cannot = Ok(Revocation::NotSupported);
    stage.provider.answer_next_revocation(cannot);
    let not_supported = (false, Outcome::NotSupported, Vec::new());
    assert_eq!(stage.delete("stays", true).await, Ok(not_supported));
    assert_eq!(stage.provider.revocations().len(), 3);
    for name in ["sole", "one", "other", "stays"] {
        assert!(!stage.is_there(name).await, "{name}");
    }
}

#[tokio::test]
async fn nobody_is_asked_to_revoke_who_was_not_to_be_asked() {
    let stage = Stage::new();
    stage.store("c", None).await;
    let not_requested = (false, Outcome::NotRequested, Vec::new());
    assert_eq!(stage.delete("c", false).await, Ok(not_requested));
    assert!(stage.provider.revocations().is_empty());
    let again = stage.delete("c", true).await.unwrap_err();
    assert_eq!(again.reason(), ErrorReason::CredentialNotFound);
}

#[tokio::test]
async fn a_provider_that_fails_is_told_by_its_reason_and_nothing_is_deleted() {
    let stage = Stage::new();
    stage.store("c", None).await;
    let throttled = CallError {
        retry_after: Some(Duration::from_secs(42)),
        ..failure(Verdict::RateLimit, "slow_down")
    };
    let faults = [
        (
            failure(Verdict::Transient, ""),
            "PROVIDER_UNAVAILABLE",
            Code::Unavailable,
            1,
        ),
        (
            failure(Verdict::Client, "invalid_client"),
            "CLIENT_REJECTED",
            Code::FailedPrecondition,
            1,
        ),
        (
            failure(Verdict::Protocol, ""),
            "PROVIDER_PROTOCOL_ERROR",
            Code::Unavailable,
            1,
        ),
        (
            throttled,
            "PROVIDER_RATE_LIMITED",
            Code::ResourceExhausted,
            42,
        ),
    ];
    for (fault, reason, code, wait) in faults {
        stage.provider.answer_next_revocation(Err(fault));
        let error = stage.delete("c", true).await.unwrap_err();
        assert_eq!((error.reason_name(), error.code()), (reason, code));
        assert_eq!(error.wait(), Some(Duration::from_secs(wait)));
        assert!(
            error.message().ends_with("; nothing was deleted"),
            "{error:?}"
        );
        assert!(stage.is_there("c").await);
    }
    assert_eq!(stage.delete("c", true).await, revoked());
}

#[tokio::test(start_paused = true)]
async fn a_caller_whose_deadline_passes_first_learns_that_the_work_goes_on() {
    let stage = Stage::new();
    stage.store("c", None).await;
    let held = stage.provider.hold_next_revocation();
    let error = stage.delete_within("c", true, "5S").await.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::RefreshInProgress);
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert!(
        error.message().contains("it may be deleted yet"),
        "{error:?}"
    );
    held.release();
    let gone = stage.delete("c", true).await.unwrap_err();
    assert_eq!(gone.reason(), ErrorReason::CredentialNotFound);
    assert_eq!(stage.provider.revocations().len(), 1);
}
