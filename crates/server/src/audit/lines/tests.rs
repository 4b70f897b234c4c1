use super::*;
use crate::audit::chain::{ChainKey, Link, Mac};

fn records(from: u64, count: u64) -> Vec<Record> {
    let key = ChainKey::new(&[7; 32]);
    let after = Link {
        number: from - 1,
        mac: Mac([0; 32]),
    };
    let content = Content {
        at: 1_700_000_000_000,
        until: 1_700_000_001_500,
        count: 2,
        caller: "billing".into(),
        peer: "192.0.2.1".into(),
        action: "GetToken".into(),
        tenant: "acme".into(),
        credential: "slack-7".into(),
        integration: String::new(),
        provider: String::new(),
        client: String::new(),
        generation: 3,
        outcome: "OK".into(),
        detail: "a \"quoted\"\nline".into(),
    };
    key.chain(after, (0..count).map(|_| content.clone()))
}

fn numbers(path: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["number"].as_u64().unwrap()
    });
    lines.collect()
}

#[tokio::test]
async fn each_record_is_one_line_with_the_names_of_its_fields() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let mut lines = Lines::open(Target::File(path.clone())).unwrap();
    let written = records(1, 2);
    lines.take(&written);
    lines.close().await;
    assert_eq!(numbers(&path), [1, 2]);
    let text = std::fs::read_to_string(&path).unwrap();
    let first = text.lines().next().unwrap();
    let mac = written[0].mac;
    assert_eq!(
        first,
        format!(
            "{{\"number\":1,\"at\":\"2023-11-14T22:13:20Z\",\"until\":\"2023-11-14T22:13:21.5Z\",\"count\":2,\
             \"caller\":\"billing\",\"peer\":\"192.0.2.1\",\"action\":\"GetToken\",\"tenant\":\"acme\",\
             \"credential\":\"slack-7\",\"integration\":\"\",\"provider\":\"\",\"client\":\"\",\"generation\":3,\
             \"outcome\":\"OK\",\"detail\":\"a \\\"quoted\\\"\\nline\",\"mac\":\"{mac}\"}}"
        )
    );
    let mode = std::fs::metadata(&path).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_that_was_renamed_is_left_and_a_new_one_begun() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let rotated = folder.path().join("audit.jsonl.1");
    let mut sink = Sink::new(Target::File(path.clone()));
    sink.write(b"one\n").unwrap();
    std::fs::rename(&path, &rotated).unwrap();
    sink.write(b"two\n").unwrap();
    std::fs::remove_file(&path).unwrap();
    sink.write(b"three\n").unwrap();
    assert_eq!(std::fs::read(&rotated).unwrap(), b"one\n");
    assert_eq!(std::fs::read(&path).unwrap(), b"three\n");
}

#[test]
fn what_follows_a_failure_begins_on_a_line_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gone/audit.jsonl");
    let mut sink = Sink::new(Target::File(path.clone()));
    assert!(sink.write(b"one\n").is_err());
    std::fs::create_dir(folder.path().join("gone")).unwrap();
    sink.write(b"one\n").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"\none\n");
}

#[tokio::test]
async fn lines_that_are_not_taken_are_counted_and_told() {
    let (batches, mut taken) = mpsc::channel(1);
    let mut lines = Lines {
        batches,
        task: TaskTracker::new(),
        lost: 0,
    };
    lines.take(&records(1, 1));
    lines.take(&records(2, 3));
    lines.take(&records(5, 2));
    taken.recv().await.unwrap();
    lines.take(&records(7, 1));
    let text = String::from_utf8(taken.recv().await.unwrap()).unwrap();
    assert!(
        text.starts_with("{\"lines_lost\":5}\n{\"number\":7,"),
        "{text}"
    );
    lines.take(&records(8, 1));
    let text = String::from_utf8(taken.recv().await.unwrap()).unwrap();
    assert!(
        text.starts_with("{\"number\":8,"),
        "it is told once: {text}"
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none/audit.jsonl");
    let error = Lines::open(Target::File(path.clone())).unwrap_err();
    let begins = format!("{} cannot be written: ", path.display());
    assert!(error.to_string().starts_with(&begins), "{error}");
}
