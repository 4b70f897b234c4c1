//! Claims on applying a change: all of it or nothing.

use std::collections::BTreeMap;

use super::StoreHarness;
use super::sample::{
    Subject, T0, client, due, faults, integration_key, key, new_credential, new_grant,
    new_integration, restored, revoked, tokens,
};
use crate::change::{ChangeSet, ClientHealth, NewGrant, Write};
use crate::grant::GrantState;
use crate::ids::{Epoch, Generation, GrantId, OwnerToken};
use crate::integration::{Integration, IntegrationStatus};
use crate::store::{ApplyError, Credential};

impl Subject {
    async fn head(&self) -> u64 {
        self.0.position().await.unwrap().head
    }

    /// Tries `writes` with an event, and checks that nothing came of it.
    pub(super) async fn conflicts(&self, writes: Vec<Write>) {
        let before = (self.head().await, self.revision().await);
        let what = format!("{writes:?}");
        let applied = self.try_apply(writes, vec![restored("a")]).await;
        assert_eq!(applied, Err(ApplyError::Conflict), "{what}");
        let after = (self.head().await, self.revision().await);
        assert_eq!(after, before, "{what}");
        let (events, _) = self.0.events_after(before.0, 10).await.unwrap();
        assert_eq!(events, [], "{what}");
    }

    async fn stored_credential(&self, name: &str) -> Credential {
        let view = self.0.credential(&key(name)).await.unwrap();
        view.unwrap().credential
    }

    async fn stored_integration(&self, name: &str) -> Integration {
        let found = self.0.integration(&integration_key(name)).await;
        found.unwrap().unwrap()
    }
}

fn store_tokens(grant: &GrantId, base: u64) -> Write {
    Write::StoreTokens {
        grant: grant.clone(),
        base: Generation(base),
        next: Generation(base + 1),
        tokens: Box::new(tokens("next")),
        issued_at: T0,
        dates: due(None),
        consent: true,
        account: None,
        idle: false,
    }
}

fn invalidate(grant: &GrantId, generation: u64, epoch: Option<u64>) -> Write {
    Write::InvalidateGrant {
        grant: grant.clone(),
        generation: Generation(generation),
        epoch: epoch.map(Epoch),
        invalidation: revoked("gone"),
    }
}

fn labels(name: &str, version: u64) -> Write {
    Write::UpdateCredentialLabels {
        key: key(name),
        version,
        labels: BTreeMap::from([("team".into(), "blue".into())]),
    }
}

fn health(rejected: bool) -> Write {
    Write::SetClientHealth(ClientHealth {
        client: client("slack"),
        rejected,
        since: T0,
        provider_error: String::new(),
        message: String::new(),
        rejected_at: None,
    })
}

/// E1
pub async fn a_change_is_applied_with_its_events_and_raises_versions_once(
    harness: &impl StoreHarness,
) {
    let subject = Subject::of(harness);
    let old = subject.add_slack(&["a"]).await;
    let new = new_grant("t1", "slack");
    let to = new.id.clone();
    let revision = subject.revision().await;
    let change = ChangeSet {
        revision,
        writes: vec![
            Write::DeleteGrant(old.clone()),
            labels("a", 1),
            Write::MoveCredential {
                key: key("a"),
                from: old.clone(),
                to: to.clone(),
            },
            Write::InsertCredential(new_credential(key("b"), &to)),
            Write::InsertGrant(Box::new(new)),
        ],
        events: vec![restored("a"), restored("b")],
    };
    assert_eq!(subject.0.apply(&change).await.unwrap(), 2);
    assert_eq!(subject.revision().await, revision + 1);
    assert_eq!(subject.0.grant(&old).await.unwrap(), None);
    let moved = subject.stored_credential("a").await;
    assert_eq!((&moved.grant, moved.version), (&to, 2));
    assert_eq!(moved.labels["team"], "blue");
    let added = subject.stored_credential("b").await;
    assert_eq!(added, new_credential(key("b"), &to));
    let (events, _) = subject.0.events_after(0, 9).await.unwrap();
    let told: Vec<_> = events
        .iter()
        .map(|event| (event.seq, &event.body))
        .collect();
    assert_eq!(told, [(1, &restored("a")), (2, &restored("b"))]);
}

pub async fn a_stale_revision_conflicts(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    let revision = subject.revision().await;
    let change = |revision| ChangeSet {
        revision,
        writes: vec![Write::TouchGrant(grant.clone())],
        events: vec![restored("a")],
    };
    assert_eq!(subject.0.apply(&change(revision)).await.unwrap(), 1);
    for stale in [revision, revision + 2] {
        let applied = subject.0.apply(&change(stale)).await;
        assert_eq!(applied, Err(ApplyError::Conflict));
    }
    assert_eq!(subject.version(&grant).await, 2);
    assert_eq!(subject.head().await, 1);
    assert_eq!(subject.revision().await, revision + 1);
}

pub async fn one_unmet_expectation_undoes_the_whole_change(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    let new = new_grant("t1", "slack");
    let new_id = new.id.clone();
    let writes = vec![
        Write::InsertGrant(Box::new(new)),
        Write::InsertCredential(new_credential(key("b"), &new_id)),
        Write::InsertIntegration(new_integration("i", &["a"])),
        labels("a", 1),
        health(true),
        store_tokens(&grant, 1),
    ];
    let before = subject.0.grant(&grant).await.unwrap();
    for position in 0..=writes.len() {
        let mut spoiled = writes.clone();
        spoiled.insert(position, Write::DeleteCredential(key("nobody")));
        subject.conflicts(spoiled).await;
    }
    assert_eq!(subject.0.grant(&grant).await.unwrap(), before);
    assert_eq!(subject.0.grant(&new_id).await.unwrap(), None);
    assert_eq!(subject.0.credential(&key("b")).await.unwrap(), None);
    assert_eq!(subject.stored_credential("a").await.version, 1);
    let integration = subject.0.integration(&integration_key("i")).await;
    assert_eq!(integration.unwrap(), None);
    subject.write(writes).await;
}

pub async fn every_kind_of_write_expects_its_row(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    let nowhere = GrantId::random();
    let owner = OwnerToken::random();
    let lease = std::time::Duration::from_secs(45);
    let claimed = subject.0.claim(&grant, Generation(1), &owner, lease).await;
    let epoch = claimed.unwrap().unwrap().epoch.0;
    let ghost = Integration {
        version: 2,
        ..new_integration("ghost", &[])
    };
    for unmet in [
        store_tokens(&grant, 2),
        store_tokens(&nowhere, 1),
        invalidate(&grant, 2, None),
        invalidate(&grant, 1, Some(epoch + 1)),
        Write::TouchGrant(nowhere.clone()),
        Write::DeleteGrant(nowhere.clone()),
        labels("a", 2),
        labels("nobody", 1),
        Write::MoveCredential {
            key: key("a"),
            from: nowhere.clone(),
            to: grant.clone(),
        },
        Write::DeleteCredential(key("nobody")),
        Write::UpdateIntegration(ghost),
        Write::DeleteIntegration(integration_key("ghost")),
    ] {
        subject.conflicts(vec![unmet]).await;
    }
    subject
        .write(vec![invalidate(&grant, 1, Some(epoch))])
        .await;
    subject
        .conflicts(vec![invalidate(&grant, 1, Some(epoch))])
        .await;
    let facts = subject.0.grant(&grant).await.unwrap().unwrap().facts;
    assert_eq!(facts.state, GrantState::Invalidated(revoked("gone")));
    assert_eq!(facts.lease, None);

    subject.write(vec![health(true)]).await;
    subject.conflicts(vec![health(true)]).await;
    subject.write(vec![health(false)]).await;
    subject.conflicts(vec![health(false)]).await;
}

pub async fn several_grants_have_one_account_and_no_two_rows_one_name(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let with_account = || {
        Box::new(NewGrant {
            account: Some("T0".into()),
            ..new_grant("t1", "slack")
        })
    };
    let [first, second] = [with_account(), with_account()];
    let both = [&first, &second].map(|new| Write::InsertGrant(new.clone()));
    subject.write(both.into()).await;
    for known in [&first, &second] {
        let stored = subject.0.grant(&known.id).await.unwrap().unwrap();
        assert_eq!(stored.facts.account, known.account);
    }
    subject.conflicts(vec![Write::InsertGrant(first)]).await;

    let learnt = subject.add_slack(&["a"]).await;
    let again = || Write::InsertCredential(new_credential(key("a"), &learnt));
    let fresh = || Write::InsertCredential(new_credential(key("b"), &learnt));
    subject.conflicts(vec![again()]).await;
    subject.conflicts(vec![fresh(), fresh()]).await;
    let integration = || Write::InsertIntegration(new_integration("i", &[]));
    subject.write(vec![integration()]).await;
    subject.conflicts(vec![integration()]).await;
}

pub async fn no_credential_is_left_without_its_grant(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    let nowhere = GrantId::random();
    subject
        .conflicts(vec![Write::DeleteGrant(grant.clone())])
        .await;
    let orphan = new_credential(key("b"), &nowhere);
    subject
        .conflicts(vec![Write::InsertCredential(orphan)])
        .await;
    let to_nowhere = Write::MoveCredential {
        key: key("a"),
        from: grant.clone(),
        to: nowhere,
    };
    subject.conflicts(vec![to_nowhere]).await;
    let both = vec![
        Write::DeleteGrant(grant.clone()),
        Write::DeleteCredential(key("a")),
    ];
    subject.write(both).await;
    assert_eq!(subject.0.grant_of(&key("a")).await.unwrap(), None);
}

pub async fn an_integration_changes_its_needs(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    subject.add_slack(&["a", "b"]).await;
    let first = new_integration("i", &["b", "a"]);
    subject
        .write(vec![Write::InsertIntegration(first.clone())])
        .await;
    let stored = subject.stored_integration("i").await;
    assert_eq!(faults(&stored), [("a", ""), ("b", "")]);
    assert_eq!(stored.labels, first.labels);

    let mut second = new_integration("i", &["c", "b"]);
    second.version = 2;
    second.facts.paused = true;
    second.facts.needs_config = true;
    second.facts.processing = true;
    second.status = IntegrationStatus::Disabled;
    second.cause = "because".into();
    second.labels.clear();
    subject
        .write(vec![Write::UpdateIntegration(second.clone())])
        .await;
    let stored = subject.stored_integration("i").await;
    assert_eq!(faults(&stored), [("b", ""), ("c", "deleted")]);
    assert_eq!(stored.facts.needs.len(), 2);
    second.facts.needs.clone_from(&stored.facts.needs);
    assert_eq!(stored, second);

    let stale = Integration {
        version: 2,
        ..new_integration("i", &[])
    };
    subject
        .conflicts(vec![Write::UpdateIntegration(stale)])
        .await;
    let bare = Integration {
        version: 3,
        ..new_integration("i", &[])
    };
    subject.write(vec![Write::UpdateIntegration(bare)]).await;
    assert_eq!(faults(&subject.stored_integration("i").await), []);
    subject
        .write(vec![Write::DeleteIntegration(integration_key("i"))])
        .await;
    let view = subject.0.credential(&key("b")).await.unwrap().unwrap();
    assert_eq!(view.integrations, []);
}

pub async fn a_restored_grant_is_as_good_as_new(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    subject.invalidate(&grant, "gone").await;
    let restore = Write::StoreTokens {
        grant: grant.clone(),
        base: Generation(1),
        next: Generation(2),
        tokens: Box::new(tokens("next")),
        issued_at: T0,
        dates: due(Some(T0)),
        consent: true,
        account: Some("T0".into()),
        idle: false,
    };
    subject.write(vec![restore]).await;
    let stored = subject.0.grant(&grant).await.unwrap().unwrap();
    assert_eq!(stored.facts.state, GrantState::Active);
    assert_eq!(stored.facts.generation, Generation(2));
    assert_eq!(stored.facts.account.as_deref(), Some("T0"));
    assert_eq!(stored.tokens, tokens("next"));
    assert_eq!(subject.0.due(T0, 9, 9).await.unwrap().len(), 1);

    subject.write(vec![store_tokens(&grant, 2)]).await;
    let stored = subject.0.grant(&grant).await.unwrap().unwrap();
    assert_eq!(
        stored.facts.account.as_deref(),
        Some("T0"),
        "none leaves it"
    );
}

pub async fn a_touch_beside_another_write_adds_nothing(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    let touch = || Write::TouchGrant(grant.clone());
    subject
        .write(vec![touch(), store_tokens(&grant, 1), touch()])
        .await;
    assert_eq!(subject.version(&grant).await, 2);
    subject.write(vec![touch(), touch()]).await;
    assert_eq!(subject.version(&grant).await, 3);
    let both = vec![store_tokens(&grant, 2), invalidate(&grant, 2, None)];
    subject.conflicts(both).await;
}
