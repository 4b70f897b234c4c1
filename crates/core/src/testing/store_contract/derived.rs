//! Claims on grants that mint with the means of another.

use super::StoreHarness;
use super::sample::{Subject, client, credential_id, key, new_grant, tokens};
use crate::change::{NewGrant, Scope, Write};
use crate::grant::{GrantType, Means, TokenSet};
use crate::ids::{Generation, GrantId};
use crate::scopes::ScopeSet;

fn set(scopes: &[&str]) -> ScopeSet {
    scopes.iter().map(ToString::to_string).collect()
}

fn minted(scopes: &[&str]) -> NewGrant {
    let means = Means {
        scopes: set(scopes),
        ..tokens("minted").means
    };
    NewGrant {
        grant_type: GrantType::ClientCredentials,
        tokens: TokenSet::to_mint(means),
        ..new_grant("t1", "slack")
    }
}

impl Subject {
    async fn derive(&self, parent: &GrantId, scopes: &[&str]) -> GrantId {
        let derived = NewGrant {
            parent: Some(parent.clone()),
            generation: Generation(1_700_000_000),
            ..minted(scopes)
        };
        self.add(derived, &[]).await
    }

    async fn derived(&self, parent: &GrantId, scopes: &[&str]) -> Option<GrantId> {
        let found = self.0.derived(parent, &set(scopes)).await.unwrap();
        found.map(|grant| grant.facts.id)
    }

    async fn grants_of(&self, scope: Scope) -> Vec<GrantId> {
        let snapshot = self.0.snapshot(&scope).await.unwrap();
        snapshot.grants.into_iter().map(|grant| grant.id).collect()
    }
}

pub async fn a_derived_grant_is_found_by_its_parent_and_its_scopes(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let parent = subject.add(minted(&[]), &["a"]).await;
    let other = subject.add(minted(&[]), &["b"]).await;
    let both = subject.derive(&parent, &["write \"ü\"", "read"]).await;
    let read = subject.derive(&parent, &["read"]).await;
    let elsewhere = subject.derive(&other, &["read"]).await;

    let found = subject.derived(&parent, &["read", "write \"ü\""]).await;
    assert_eq!(found, Some(both.clone()));
    assert_eq!(subject.derived(&parent, &["read"]).await, Some(read));
    assert_eq!(subject.derived(&other, &["read"]).await, Some(elsewhere));
    for scopes in [&["write"][..], &["read", "write"], &[]] {
        assert_eq!(subject.derived(&parent, scopes).await, None);
    }

    let grant = subject.0.grant(&both).await.unwrap().unwrap();
    assert_eq!(grant.facts.parent, Some(parent.clone()));
    assert_eq!(grant.facts.generation, Generation(1_700_000_000));
    assert!(grant.facts.refreshable && !grant.facts.has_token());
    let own = subject.0.grant_of(&key("a")).await.unwrap().unwrap();
    assert_eq!((own.facts.id, own.facts.parent), (parent, None));
    assert_eq!(own.tokens.means.parameters, grant.tokens.means.parameters);
    assert_eq!(own.tokens.means.signing_key, grant.tokens.means.signing_key);
}

pub async fn a_grant_has_those_that_are_derived_from_it(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let parent = subject.add(minted(&[]), &["a"]).await;
    let other = subject.add(minted(&[]), &["b"]).await;
    let one = subject.derive(&parent, &["one"]).await;
    let two = subject.derive(&parent, &["two"]).await;
    subject.derive(&other, &["one"]).await;
    let mut all = vec![parent.clone(), one, two];
    all.sort();
    assert_eq!(subject.grants_of(Scope::Grant(parent.clone())).await, all);
    let credential = Scope::Credential {
        key: key("a"),
        connecting: None,
    };
    assert_eq!(subject.grants_of(credential).await, all);
    let integration = Scope::Integration {
        key: super::sample::integration_key("i"),
        credentials: vec![credential_id("a")],
    };
    assert_eq!(subject.grants_of(integration).await, [parent]);
}

pub async fn no_derived_grant_is_left_without_its_parent(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let parent = subject.add(minted(&[]), &[]).await;
    let derived = subject.derive(&parent, &["read"]).await;
    let delete = |id: &GrantId| Write::DeleteGrant(id.clone());
    subject.conflicts(vec![delete(&parent)]).await;
    let stray = NewGrant {
        parent: Some(GrantId::random()),
        ..minted(&["read"])
    };
    subject
        .conflicts(vec![Write::InsertGrant(Box::new(stray))])
        .await;
    subject.write(vec![delete(&parent), delete(&derived)]).await;
    assert_eq!(subject.0.grant(&derived).await.unwrap(), None);
}

pub async fn derived_grants_do_not_count(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let parent = subject.add(minted(&[]), &["a"]).await;
    subject.derive(&parent, &["read"]).await;
    let counts = subject.0.count_by_state().await.unwrap();
    assert_eq!(counts, [(client("slack").provider, true, 1)]);
}

pub async fn every_grant_type_comes_back(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    for grant_type in [
        GrantType::AuthorizationCode,
        GrantType::ClientCredentials,
        GrantType::JwtBearer,
        GrantType::TokenExchange,
        GrantType::Static,
    ] {
        let new = NewGrant {
            grant_type,
            ..new_grant("t1", "slack")
        };
        let id = subject.add(new, &[]).await;
        let facts = subject.0.grant(&id).await.unwrap().unwrap().facts;
        assert_eq!(facts.grant_type, grant_type);
    }
}
