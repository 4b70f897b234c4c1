use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::LazyLock;

use evergrant_core::testing::coordinator_contract::{Pair, entry};
use proptest::prelude::*;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::*;
use crate::seal::SealingKey;

evergrant_core::escrow_contract!(async {
    let (folder, path) = place();
    let journal = Arc::new(Journal::open(path, sealer("k1")).unwrap());
    Pair::new(journal.clone() as Arc<dyn Escrow>, journal).keeping(folder)
});

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    (folder, path)
}

/// A ring of one key, the same each time for the same id.
fn sealer(key: &str) -> Sealer {
    let bytes = [key.bytes().last().unwrap(); 32];
    let key_bytes = SealingKey::new(Zeroizing::new(bytes));
    Sealer::new(key, BTreeMap::from([(key.to_owned(), key_bytes)])).unwrap()
}

fn open(path: &Path) -> Journal {
    Journal::open(path, sealer("k1")).unwrap()
}

fn sorted(mut entries: Vec<EscrowEntry>) -> Vec<EscrowEntry> {
    entries.sort_by_key(|entry| (entry.grant.clone(), entry.base));
    entries
}

#[tokio::test]
async fn what_is_live_survives_reopening_and_is_left_behind() {
    let (_folder, path) = place();
    let [live, replaced, removed] = [(); 3].map(|()| GrantId::random());
    {
        let journal = open(&path);
        journal.put(&entry(&live, 1)).await.unwrap();
        journal.put(&entry(&replaced, 1)).await.unwrap();
        journal.put(&entry(&replaced, 2)).await.unwrap();
        journal.put(&entry(&removed, 1)).await.unwrap();
        journal.remove(&removed, Generation(1)).await.unwrap();
    }
    let journal = open(&path);
    assert_eq!(
        sorted(journal.left_behind().await.unwrap()),
        sorted(vec![entry(&live, 1), entry(&replaced, 2)])
    );
    assert_eq!(
        journal.find(&live, Generation(1)).await,
        Ok(Some(entry(&live, 1)))
    );
    assert_eq!(journal.find(&removed, Generation(1)).await, Ok(None));

    journal.remove(&live, Generation(1)).await.unwrap();
    journal.put(&entry(&replaced, 3)).await.unwrap();
    assert_eq!(journal.left_behind().await, Ok(Vec::new()));
}

#[tokio::test]
async fn an_entry_is_on_disk_when_put_returns() {
    let (_folder, path) = place();
    let journal = open(&path);
    let kept = entry(&GrantId::random(), 1);
    journal.put(&kept).await.unwrap();

    // What a process that was killed now would leave is what the file holds now.
    let (_other, copy) = place();
    std::fs::copy(&path, &copy).unwrap();
    assert_eq!(open(&copy).left_behind().await, Ok(vec![kept]));
}

#[tokio::test]
async fn a_write_goes_on_when_its_caller_is_gone() {
    let (_folder, path) = place();
    let kept = entry(&GrantId::random(), 1);
    {
        let journal = open(&path);
        let mut put = journal.put(&kept);
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(put.as_mut().poll(context).is_ready())
        });
        polled.await;
        drop(put);
    }
    assert_eq!(open(&path).left_behind().await, Ok(vec![kept]));
}

#[test]
fn a_journal_is_open_in_one_place_only() {
    let (_folder, path) = place();
    let first = open(&path);
    let refused = Journal::open(&path, sealer("k1")).err().unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
    assert!(refused.to_string().contains(path.to_str().unwrap()));
    drop(first);
    open(&path);
}

#[test]
fn only_its_owner_may_read_it() {
    let (_folder, path) = place();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    drop(open(&path));
    assert_eq!(mode(&path), 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    drop(open(&path));
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn another_file_is_refused_and_left_as_it_is() {
    let (_folder, path) = place();
    std::fs::write(&path, "somebody's notes").unwrap();
    let refused = Journal::open(&path, sealer("k1")).err().unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    assert_eq!(std::fs::read(&path).unwrap(), b"somebody's notes");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let (_folder, path) = place();
    let refused = Journal::open(path.join("journal"), sealer("k1"));
    assert!(
        refused
            .err()
            .unwrap()
            .to_string()
            .contains("journal/journal")
    );
}

#[tokio::test]
async fn nothing_secret_is_in_the_file() {
    let (_folder, path) = place();
    let journal = open(&path);
    journal.put(&entry(&GrantId::random(), 1)).await.unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for secret in ["refresh-1", "access-1", "example.com"] {
        let found = bytes
            .windows(secret.len())
            .any(|part| part == secret.as_bytes());
        assert!(!found, "{secret}");
    }
}

#[tokio::test]
async fn an_entry_of_an_unknown_key_waits_in_the_file_for_its_key() {
    let (_folder, path) = place();
    let kept = entry(&GrantId::random(), 1);
    open(&path).put(&kept).await.unwrap();
    {
        let keyless = Journal::open(&path, sealer("k2")).unwrap();
        assert_eq!(keyless.left_behind().await, Ok(Vec::new()));
        assert_eq!(keyless.find(&kept.grant, kept.base).await, Ok(None));
        keyless.put(&entry(&GrantId::random(), 1)).await.unwrap();
    }
    assert_eq!(open(&path).left_behind().await, Ok(vec![kept]));
}

#[tokio::test]
async fn a_torn_end_is_cut_and_the_journal_goes_on() {
    let (_folder, path) = place();
    let (first, second) = (entry(&GrantId::random(), 1), entry(&GrantId::random(), 1));
    open(&path).put(&first).await.unwrap();
    let whole = std::fs::metadata(&path).unwrap().len();
    open(&path).put(&second).await.unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(whole + 20).unwrap();

    let journal = open(&path);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), whole);
    assert_eq!(journal.left_behind().await, Ok(vec![first.clone()]));
    journal.put(&second).await.unwrap();
    drop(journal);
    assert_eq!(
        sorted(open(&path).left_behind().await.unwrap()),
        sorted(vec![first, second])
    );
}

/// What a journal of a few puts and removals holds, and every entry that was ever put into it.
static WRITTEN: LazyLock<(Vec<u8>, Vec<EscrowEntry>)> = LazyLock::new(|| {
    block_on(async {
        let (_folder, path) = place();
        let journal = open(&path);
        let grants = [(); 3].map(|()| GrantId::random());
        let mut put = Vec::new();
        for base in 1..4 {
            for grant in &grants {
                let entry = entry(grant, base);
                journal.put(&entry).await.unwrap();
                put.push(entry);
            }
            journal.remove(&grants[0], Generation(base)).await.unwrap();
        }
        drop(journal);
        (std::fs::read(&path).unwrap(), put)
    })
});

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

proptest! {
    #[test]
    fn a_damaged_journal_never_panics_and_never_yields_what_was_not_written(
        cut in prop::option::of(any::<prop::sample::Index>()),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8u8), 0..6),
    ) {
        let (mut bytes, put) = WRITTEN.clone();
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        let (_folder, path) = place();
        std::fs::write(&path, &bytes).unwrap();
        // A damaged header makes it another file, which is refused.
        if let Ok(journal) = Journal::open(&path, sealer("k1")) {
            block_on(async {
                for entry in journal.left_behind().await.unwrap() {
                    assert!(put.contains(&entry));
                }
                let next = entry(&GrantId::random(), 1);
                journal.put(&next).await.unwrap();
                drop(journal);
                let again = open(&path).left_behind().await.unwrap();
                assert!(again.contains(&next), "it goes on after the damage");
            });
        }
    }
}

#[tokio::test]
async fn live_entries_are_counted_by_their_key_while_the_journal_is_open() {
    let (_folder, path) = place();
    assert!(Journal::key_use_of(&path).unwrap().is_empty());
    let [old, new, removed] = [(); 3].map(|()| GrantId::random());
    {
        let journal = open(&path);
        journal.put(&entry(&old, 1)).await.unwrap();
        journal.put(&entry(&removed, 1)).await.unwrap();
    }
    let journal = Journal::open(&path, sealer("k2")).unwrap();
    journal.put(&entry(&new, 1)).await.unwrap();
    journal.remove(&removed, Generation(1)).await.unwrap();
    let counted = BTreeMap::from([("k1".to_owned(), 1), ("k2".to_owned(), 1)]);
    assert_eq!(journal.key_use(), counted);
    assert_eq!(Journal::key_use_of(&path).unwrap(), counted);

    std::fs::write(&path, "no journal").unwrap();
    assert!(Journal::key_use_of(&path).is_err());
}
