//! Claims on what a snapshot holds.

use super::StoreHarness;
use super::sample::{
    Subject, T0, client, connecting, credential_id, faults, integration_key, key, new_grant,
    new_integration, tokens,
};
use crate::change::{ClientHealth, Connecting, Holder, NewGrant, Scope, Snapshot, Write};
use crate::grant::GrantState;
use crate::ids::{Generation, GrantId};

impl Subject {
    async fn snapshot(&self, scope: Scope) -> Snapshot {
        self.0.snapshot(&scope).await.unwrap()
    }

    async fn add_integration(&self, name: &str, needs: &[&str]) {
        let integration = new_integration(name, needs);
        self.write(vec![Write::InsertIntegration(integration)])
            .await;
    }
}

fn grants(snapshot: &Snapshot) -> Vec<GrantId> {
    let grants = snapshot.grants.iter();
    grants.map(|grant| grant.id.clone()).collect()
}

fn credentials(snapshot: &Snapshot) -> Vec<&str> {
    let rows = snapshot.credentials.iter();
    rows.map(|row| row.key.id.as_str()).collect()
}

fn integrations(snapshot: &Snapshot) -> Vec<&str> {
    let rows = snapshot.integrations.iter();
    rows.map(|row| row.key.id.as_str()).collect()
}

pub async fn a_grant_has_its_credentials_and_their_integrations(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["b", "a"]).await;
    let other = subject.add_slack(&["c"]).await;
    subject.invalidate(&other, "").await;
    subject.add_integration("i2", &["gone", "c", "b"]).await;
    subject.add_integration("i1", &["a"]).await;
    subject.add_integration("i3", &["c"]).await;

    let snapshot = subject.snapshot(Scope::Grant(grant.clone())).await;
    assert_eq!(grants(&snapshot), std::slice::from_ref(&grant));
    assert_eq!(credentials(&snapshot), ["a", "b"]);
    assert_eq!(integrations(&snapshot), ["i1", "i2"]);
    assert_eq!(
        faults(&snapshot.integrations[1]),
        [("b", ""), ("c", "grant revoked"), ("gone", "deleted")]
    );
    assert_eq!(snapshot.client, None);
    assert_eq!(snapshot.revision, subject.revision().await);
    let read = subject.0.grant(&grant).await.unwrap();
    assert_eq!(snapshot.grants, [read.unwrap().facts]);

    let nothing = subject.snapshot(Scope::Grant(GrantId::random())).await;
    assert!(nothing.grants.is_empty() && nothing.credentials.is_empty());
}

pub async fn a_credential_that_does_not_exist_has_the_integrations_that_need_it(
    harness: &impl StoreHarness,
) {
    let subject = Subject::of(harness);
    subject.add(new_grant("t2", "slack"), &["t2/new"]).await;
    subject.add_integration("i1", &["new"]).await;
    let scope = |connecting| Scope::Credential {
        key: key("new"),
        connecting,
    };
    let snapshot = subject.snapshot(scope(None)).await;
    assert!(snapshot.grants.is_empty() && snapshot.credentials.is_empty());
    assert_eq!(integrations(&snapshot), ["i1"]);
    assert_eq!(faults(&snapshot.integrations[0]), [("new", "deleted")]);

    let snapshot = subject.snapshot(scope(Some(connecting("nobody")))).await;
    assert_eq!(integrations(&snapshot), ["i1"]);
}

pub async fn an_account_has_the_grant_that_its_credentials_share(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let old = subject.add_slack(&["a", "b"]).await;
    let of_account = |grant: NewGrant| NewGrant {
        account: Some("T0".into()),
        ..grant
    };
    let shared = of_account(new_grant("t1", "slack"));
    let shared = subject.add(shared, &["c"]).await;
    for elsewhere in [new_grant("t2", "slack"), new_grant("t1", "google")] {
        subject.add(of_account(elsewhere), &[]).await;
    }
    subject.add_integration("i1", &["c"]).await;
    subject.add_integration("i2", &["b"]).await;

    let snapshot = subject.snapshot(of_the_account()).await;
    let mut both = [old, shared];
    both.sort();
    assert_eq!(grants(&snapshot), both);
    assert_eq!(snapshot.same_token, []);
    assert_eq!(credentials(&snapshot), ["a", "b", "c"]);
    assert_eq!(integrations(&snapshot), ["i1", "i2"]);
}

pub async fn an_account_has_all_its_grants(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let mut all = Vec::new();
    for name in ["a", "b", "c"] {
        let of_account = NewGrant {
            account: Some("T0".into()),
            ..new_grant("t1", "slack")
        };
        all.push(subject.add(of_account, &[name]).await);
    }
    all.sort();
    let snapshot = subject.snapshot(of_the_account()).await;
    assert_eq!(grants(&snapshot), all);
    assert_eq!(credentials(&snapshot), ["a", "b", "c"]);
}

/// Credential `a`, for which tokens of account `T0` are about to be stored.
fn of_the_account() -> Scope {
    Scope::Credential {
        key: key("a"),
        connecting: Some(connecting("T0")),
    }
}

pub async fn a_refresh_token_is_found_in_every_grant_of_its_tenant_and_client(
    harness: &impl StoreHarness,
) {
    let subject = Subject::of(harness);
    let with = |name: &str, grant: NewGrant| NewGrant {
        tokens: tokens(name),
        ..grant
    };
    let dead = subject
        .add(with("one", new_grant("t1", "slack")), &["a"])
        .await;
    subject.invalidate(&dead, "gone").await;
    subject
        .add(with("two", new_grant("t1", "slack")), &["b"])
        .await;
    for elsewhere in [new_grant("t2", "slack"), new_grant("t1", "google")] {
        subject.add(with("one", elsewhere), &[]).await;
    }
    subject.add_integration("i1", &["a"]).await;
    let refresh_token = |name: &str| tokens(name).refresh_token.map(|token| token.sha512_twice());
    let scope = |name: &str| Scope::Credential {
        key: key("new"),
        connecting: Some(Connecting {
            refresh_token: refresh_token(name),
            ..connecting("nobody")
        }),
    };
    let snapshot = subject.snapshot(scope("one")).await;
    let holder = Holder {
        id: dead.clone(),
        generation: Generation::FIRST,
        tokens: Some(tokens("one")),
    };
    assert_eq!(snapshot.same_token, [holder]);
    assert_eq!(grants(&snapshot), [dead]);
    assert_eq!(credentials(&snapshot), ["a"]);
    assert_eq!(integrations(&snapshot), ["i1"]);
    let snapshot = subject.snapshot(scope("three")).await;
    assert!(snapshot.same_token.is_empty() && snapshot.grants.is_empty());
}

pub async fn a_refresh_token_is_known_of_those_who_use_it_in_another_tenant_or_client(
    harness: &impl StoreHarness,
) {
    let subject = Subject::of(harness);
    subject.add(new_grant("t1", "slack"), &["a"]).await;
    subject.add(new_grant("t1", "google"), &["b", "c"]).await;
    let dead = subject.add(new_grant("t1", "github"), &["d"]).await;
    subject.invalidate(&dead, "gone").await;
    subject.add(new_grant("t2", "slack"), &["t2/e"]).await;
    let held = tokens("first")
        .refresh_token
        .map(|token| token.sha512_twice());
    for (refresh_token, expected) in [
        (held, &["t1/b", "t1/c", "t2/e"][..]),
        (Some([0; 64]), &[]),
        (None, &[]),
    ] {
        let scope = Scope::Credential {
            key: key("new"),
            connecting: Some(Connecting {
                refresh_token,
                ..connecting("nobody")
            }),
        };
        let snapshot = subject.snapshot(scope).await;
        let elsewhere = snapshot.elsewhere.iter().map(ToString::to_string);
        assert_eq!(elsewhere.collect::<Vec<_>>(), expected);
    }
}

pub async fn an_integration_has_its_credentials_and_the_wanted_ones(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let first = subject.add_slack(&["a"]).await;
    let second = subject.add_slack(&["b"]).await;
    subject.add_slack(&["c"]).await;
    subject.invalidate(&second, "token_revoked").await;
    subject.add_integration("i1", &["a"]).await;
    subject.add_integration("i2", &["a", "c"]).await;

    let scope = Scope::Integration {
        key: integration_key("i1"),
        credentials: vec![credential_id("b"), credential_id("gone")],
    };
    let snapshot = subject.snapshot(scope).await;
    assert_eq!(credentials(&snapshot), ["a", "b"]);
    assert_eq!(integrations(&snapshot), ["i1"]);
    assert_eq!(faults(&snapshot.integrations[0]), [("a", "")]);
    let mut both = [first, second.clone()];
    both.sort();
    assert_eq!(grants(&snapshot), both);
    let dead = snapshot.grants.iter().find(|g| g.id == second);
    assert_ne!(dead.unwrap().state, GrantState::Active);

    let scope = Scope::Integration {
        key: integration_key("new"),
        credentials: vec![credential_id("c")],
    };
    let snapshot = subject.snapshot(scope).await;
    assert_eq!(credentials(&snapshot), ["c"]);
    assert!(snapshot.integrations.is_empty());
}

pub async fn a_client_has_its_health(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let scope = || Scope::Client(client("slack"));
    assert_eq!(subject.snapshot(scope()).await.client, None);
    let health = ClientHealth {
        client: client("slack"),
        rejected: true,
        since: T0,
        provider_error: "invalid_client".into(),
        message: "who are you".into(),
        rejected_at: Some(T0),
    };
    subject
        .write(vec![Write::SetClientHealth(health.clone())])
        .await;
    assert_eq!(subject.snapshot(scope()).await.client, Some(health.clone()));
    let well = ClientHealth {
        rejected: false,
        ..health
    };
    subject
        .write(vec![Write::SetClientHealth(well.clone())])
        .await;
    assert_eq!(subject.snapshot(scope()).await.client, Some(well));
    let other = subject.snapshot(Scope::Client(client("google"))).await;
    assert_eq!(other.client, None);
}
