use std::ffi::OsString;
use std::path::Path;

use metrics_exporter_prometheus::PrometheusBuilder;

use super::*;
use crate::seal::Sealer;

fn config(folder: &Path, more: &str) -> Config {
    let file = folder.join("evergrant.toml");
    let store = folder.join("e.db");
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"\"\n\
         shutdown_timeout = \"100ms\"\n[store]\nurl = \"sqlite://{}\"\n{more}",
        store.display()
    );
    std::fs::write(&file, text).unwrap();
    Config::load(Some(&file), std::iter::empty(), Vec::new()).unwrap()
}

async fn start(config: &Config, life: &Lifecycle) -> Result<Replica, StartError> {
    let metrics = PrometheusBuilder::new().build_recorder().handle();
    Replica::start(config, metrics, life.clone()).await
}

/// A life in which the replica sealed something.
async fn live_once(config: &Config) {
    let life = Lifecycle::new();
    let replica = start(config, &life).await.unwrap();
    life.drain();
    replica.finish().await.unwrap();
}

/// `evergrant keys verify`: its exit code, and what it wrote to standard error.
fn verify_keys(config: &Path) -> (u8, String) {
    let build = crate::Build {
        version: "0",
        revision: "test",
        profile: "test",
    };
    let words = ["evergrant", "keys", "verify", "--config"].map(OsString::from);
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let words = words.into_iter().chain([config.into()]);
    let exit = crate::cli::run_with(build, words, &mut out, &mut notes);
    (exit as u8, String::from_utf8(notes).unwrap())
}

#[tokio::test]
async fn a_shutdown_that_leaves_something_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), "");
    live_once(&config).await;

    let life = Lifecycle::new();
    let replica = start(&config, &life).await.unwrap();
    life.tracker().spawn(std::future::pending::<()>());
    life.drain();
    let left = replica.finish().await.unwrap_err();
    let none = Unfinished {
        refreshes: 0,
        streams: 0,
        records: 0,
    };
    assert_eq!(left, none);
}

#[tokio::test]
async fn a_key_file_that_was_lost_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), "");
    live_once(&config).await;
    let key = folder.path().join("e.db.key");
    let lost = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();

    let error = start(&config, &Lifecycle::new()).await.unwrap_err();
    assert!(error.is_configuration());
    let line = error.to_string();
    let expected = format!("keys: the key file {} does not exist, ", key.display());
    assert!(
        line.starts_with(&expected) && line.contains("what key file-"),
        "{line}"
    );
    assert!(!key.exists(), "none is made in its place");

    let file = folder.path().join("evergrant.toml");
    let told = tokio::task::spawn_blocking(move || verify_keys(&file));
    let (code, told) = told.await.unwrap();
    assert_ne!(code, 0, "{told}");
    assert!(
        told.contains("what file-") && told.contains("does not exist"),
        "{told}"
    );

    std::fs::write(&key, lost).unwrap();
    live_once(&config).await;
}

#[tokio::test]
async fn a_sealing_key_that_is_not_configured_is_a_mistake_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let key = |id: &str| {
        let key = crate::config::keys::encode(&crate::seal::SealingKey::generate());
        format!("[keys]\nactive = \"{id}\"\n{id} = \"{}\"\n", key.as_str())
    };
    live_once(&config(folder.path(), &key("k1"))).await;
    let error = start(&config(folder.path(), &key("k2")), &Lifecycle::new()).await;
    let error = error.unwrap_err();
    assert!(error.is_configuration());
    assert_eq!(
        error.to_string(),
        "keys: sealing key k1 is not configured, and is needed to open what it sealed; \
         if it is gone for good, name it in keys.lost"
    );
}

/// `[keys]` with a key of each id, the same each time, that seals with the first.
fn keys(ids: &[&str]) -> String {
    let key = |id: &&str| {
        let bytes = zeroize::Zeroizing::new([id.as_bytes()[1]; 32]);
        let key = crate::config::keys::encode(&crate::seal::SealingKey::new(bytes));
        format!("{id} = \"{}\"\n", key.as_str())
    };
    let all: String = ids.iter().map(key).collect();
    format!("[keys]\nactive = \"{}\"\n{all}", ids[0])
}

#[tokio::test]
async fn one_value_of_an_unknown_key_in_store_or_journal_stops_the_start_unless_the_key_is_lost() {
    for place in ["the store", "the journal"] {
        let folder = tempfile::tempdir().unwrap();
        let both = config(folder.path(), &keys(&["k2", "k1"]));
        live_once(&both).await;
        let (_, ring) = config(folder.path(), &keys(&["k1"]))
            .sealing_keys()
            .unwrap();
        let sealer = Sealer::new("k1", ring).unwrap();
        let kept = evergrant_core::testing::coordinator_contract::entry(
            &evergrant_core::ids::GrantId::random(),
            1,
        );
        if place == "the store" {
            let store = SqlStore::connect(&both.store.url, sealer, StoreOptions::default());
            drop(store.await.unwrap_err());
            let (_, ring) = config(folder.path(), &keys(&["k1", "k2"]))
                .sealing_keys()
                .unwrap();
            let sealer = Sealer::new("k1", ring).unwrap();
            let store = SqlStore::connect(&both.store.url, sealer, StoreOptions::default());
            let store = store.await.unwrap();
            let kept = evergrant_core::store::GrantStore::keep_orphan(
                &store,
                &kept.grant,
                kept.base,
                &kept.tokens,
                "late",
            );
            kept.await.unwrap();
            store.close().await;
            live_once(&both).await;
        } else {
            let path = both.refresh.journal.clone().unwrap();
            let journal = crate::journal::Journal::open(path, sealer).unwrap();
            evergrant_core::coordinator::Escrow::put(&journal, &kept)
                .await
                .unwrap();
        }

        let without = config(folder.path(), &keys(&["k2"]));
        let error = start(&without, &Lifecycle::new()).await.unwrap_err();
        assert!(error.is_configuration(), "{place}: {error}");
        assert!(
            error
                .to_string()
                .starts_with("keys: sealing key k1 is not configured"),
            "{place}: {error}"
        );
        let lost = keys(&["k2"]).replace("[keys]", "[keys]\nlost = [\"k1\"]");
        live_once(&config(folder.path(), &lost)).await;
        live_once(&both).await;
    }
}
