//! Claims on listings: every filter, and pages.

use std::collections::BTreeMap;

use super::StoreHarness;
use super::sample::{
    Subject, client, credential_id, integration_key, key, new_credential, new_grant,
    new_integration, tenant,
};
use crate::change::Write;
use crate::grant::GrantState;
use crate::integration::IntegrationStatus;
use crate::store::{CredentialQuery, IntegrationQuery};

impl Subject {
    async fn list(&self, query: CredentialQuery) -> Vec<String> {
        let views = self.0.list_credentials(&query).await.unwrap();
        let keys = views.iter().map(|view| view.credential.key.to_string());
        keys.collect()
    }

    async fn list_integrations(&self, query: IntegrationQuery) -> Vec<String> {
        let rows = self.0.list_integrations(&query).await.unwrap();
        rows.iter().map(|row| row.key.id.to_string()).collect()
    }
}

fn any() -> CredentialQuery {
    CredentialQuery {
        limit: 100,
        ..CredentialQuery::default()
    }
}

/// Names whose order differs between byte order and a language's.
const NAMES: [&str; 6] = ["t1/B", "t1/_", "t1/a", "t1/a-b", "t1/ab", "t2/a"];

pub async fn credentials_are_listed_by_key_in_pages(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    subject
        .add_slack(&["t1/ab", "t1/_", "t1/a-b", "t1/B", "t1/a"])
        .await;
    subject.add(new_grant("t2", "slack"), &["t2/a"]).await;
    assert_eq!(subject.list(any()).await, NAMES);
    let mut paged: Vec<String> = Vec::new();
    loop {
        let after = paged.last().map(|last| key(last));
        let page = subject
            .list(CredentialQuery {
                after,
                limit: 2,
                ..any()
            })
            .await;
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, NAMES);
    assert!(subject.list(CredentialQuery::default()).await.is_empty());
}

pub async fn every_filter_of_credentials_holds(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let dead = subject.add_slack(&["dead", "dead-too"]).await;
    subject.invalidate(&dead, "gone").await;
    subject.add(new_grant("t1", "google"), &["mail"]).await;
    subject.add(new_grant("t2", "slack"), &["t2/mail"]).await;
    subject
        .write(vec![Write::InsertIntegration(new_integration(
            "i2",
            &["mail"],
        ))])
        .await;
    subject
        .write(vec![Write::InsertIntegration(new_integration(
            "i1",
            &["mail"],
        ))])
        .await;

    let of_t1 = CredentialQuery {
        tenant: Some(tenant("t1")),
        ..any()
    };
    assert_eq!(
        subject.list(of_t1).await,
        ["t1/dead", "t1/dead-too", "t1/mail"]
    );
    let ids = vec![
        credential_id("mail"),
        credential_id("dead"),
        credential_id("none"),
    ];
    let by_id = CredentialQuery { ids, ..any() };
    assert_eq!(subject.list(by_id).await, ["t1/dead", "t1/mail", "t2/mail"]);
    let providers = vec![client("google").provider, client("none").provider];
    let by_provider = CredentialQuery { providers, ..any() };
    assert_eq!(subject.list(by_provider).await, ["t1/mail"]);
    let by_state = |invalidated| CredentialQuery {
        invalidated: Some(invalidated),
        ..any()
    };
    assert_eq!(
        subject.list(by_state(true)).await,
        ["t1/dead", "t1/dead-too"]
    );
    assert_eq!(subject.list(by_state(false)).await, ["t1/mail", "t2/mail"]);
    let narrow = CredentialQuery {
        tenant: Some(tenant("t1")),
        ids: vec![credential_id("mail")],
        providers: vec![client("google").provider],
        invalidated: Some(false),
        after: Some(key("dead")),
        ..any()
    };
    let views = subject.0.list_credentials(&narrow).await.unwrap();
    let [view] = views.as_slice() else {
        panic!("{} found", views.len());
    };
    assert_eq!(
        view.integrations,
        [integration_key("i1").id, integration_key("i2").id]
    );
    assert_eq!(view.grant.state, GrantState::Active);
    let single = subject.0.credential(&key("mail")).await.unwrap();
    assert_eq!(single.as_ref(), Some(view));
    let elsewhere = subject.0.credential(&key("t2/mail")).await.unwrap();
    assert_eq!(elsewhere.unwrap().integrations, [], "tenants never meet");
}

pub async fn labels_of_odd_characters_are_kept_and_found(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&[]).await;
    let odd = [
        ("plain", "value"),
        ("with \"quotes\"", "it's"),
        ("a.b[0]$", "%_\\"),
        ("ключ", "日本\n\t😀"),
        ("", ""),
    ];
    let labels: BTreeMap<String, String> = odd
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut labelled = new_credential(key("odd"), &grant);
    labelled.labels.clone_from(&labels);
    let mut plain = new_credential(key("plain"), &grant);
    plain.labels.insert("plain".into(), "value".into());
    let writes = vec![
        Write::InsertCredential(labelled),
        Write::InsertCredential(plain),
    ];
    subject.write(writes).await;

    let view = subject.0.credential(&key("odd")).await.unwrap().unwrap();
    assert_eq!(view.credential.labels, labels);
    let find = |labels: &[(&str, &str)]| {
        let labels = labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        subject.list(CredentialQuery {
            labels: labels.collect(),
            ..any()
        })
    };
    assert_eq!(find(&odd).await, ["t1/odd"]);
    assert_eq!(find(&odd[..1]).await, ["t1/odd", "t1/plain"]);
    for (name, value) in &odd[1..] {
        assert_eq!(find(&[(name, value)]).await, ["t1/odd"], "{name:?}");
        assert_eq!(find(&[(name, "other")]).await, [""; 0], "{name:?}");
    }
    assert_eq!(find(&[odd[0], ("none", "")]).await, [""; 0]);
}

pub async fn integrations_are_listed_by_name_with_every_filter(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    subject.add_slack(&["a"]).await;
    for (name, needs, status) in [
        ("c", &["a"][..], IntegrationStatus::Enabled),
        ("a", &["gone", "a"][..], IntegrationStatus::Error),
        ("B", &[][..], IntegrationStatus::NeedsConfig),
    ] {
        let mut integration = new_integration(name, needs);
        integration.status = status;
        subject
            .write(vec![Write::InsertIntegration(integration)])
            .await;
    }
    let all = || IntegrationQuery {
        tenant: tenant("t1"),
        status: None,
        credential: None,
        after: None,
        limit: 100,
    };
    assert_eq!(subject.list_integrations(all()).await, ["B", "a", "c"]);
    let page = IntegrationQuery {
        after: Some(integration_key("B").id),
        limit: 1,
        ..all()
    };
    assert_eq!(subject.list_integrations(page).await, ["a"]);
    let broken = IntegrationQuery {
        status: Some(IntegrationStatus::Error),
        ..all()
    };
    assert_eq!(subject.list_integrations(broken).await, ["a"]);
    let dependants = IntegrationQuery {
        credential: Some(credential_id("a")),
        ..all()
    };
    assert_eq!(
        subject.list_integrations(dependants.clone()).await,
        ["a", "c"]
    );
    let rows = subject.0.list_integrations(&dependants).await.unwrap();
    let single = subject.0.integration(&integration_key("a")).await.unwrap();
    assert_eq!(rows.first(), single.as_ref());
    assert_eq!(single.unwrap().facts.needs.len(), 2, "with all its needs");
    let elsewhere = IntegrationQuery {
        tenant: tenant("t2"),
        ..all()
    };
    assert_eq!(subject.list_integrations(elsewhere).await, [""; 0]);
}

pub async fn what_does_not_exist_is_none(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    assert_eq!(subject.0.grant_of(&key("a")).await.unwrap(), None);
    assert_eq!(subject.0.credential(&key("a")).await.unwrap(), None);
    let nothing = subject.0.integration(&integration_key("a")).await;
    assert_eq!(nothing.unwrap(), None);
}

pub async fn the_store_answers_a_ping(harness: &impl StoreHarness) {
    Subject::of(harness).0.ping().await.unwrap();
}
