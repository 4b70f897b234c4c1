use std::fs;

use super::load;

#[test]
fn a_database_that_cannot_be_written_is_told_and_the_look_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let check = |path: &str| {
        let config = load(&format!("[store]\nurl = \"sqlite://{path}\""), &[]);
        config.unwrap().check_store()
    };
    let database = folder.path().join("e.db");
    let database = database.to_str().unwrap();
    check(database).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    fs::write(database, "x").unwrap();
    check(database).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    // Nobody, not even root, can make files there.
    for (path, place) in [
        ("/proc/e.db", "/proc"),
        ("/nowhere/e.db", "/nowhere"),
        (
            folder.path().to_str().unwrap(),
            folder.path().to_str().unwrap(),
        ),
    ] {
        let why = check(path).unwrap_err().to_string();
        let start = format!("store.url: {place} cannot be written: ");
        assert!(why.starts_with(&start), "{why}");
        assert!(why.ends_with("(evergrant.toml:2)"), "{why}");
    }
}

#[test]
fn a_file_for_lines_that_cannot_be_written_is_told_by_its_path_and_none_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let check = |path: &str, more: &str| {
        let config = load(&format!("[audit]\nlines = \"{path}\"\n{more}"), &[]);
        config.unwrap().check_audit_lines()
    };
    let lines = folder.path().join("audit.jsonl");
    check(lines.to_str().unwrap(), "").unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    check("stdout", "").unwrap();
    check("/nowhere/audit.jsonl", "mode = \"off\"").unwrap();
    for (path, place) in [
        ("/nowhere/audit.jsonl", "/nowhere"),
        (
            folder.path().to_str().unwrap(),
            folder.path().to_str().unwrap(),
        ),
    ] {
        let why = check(path, "").unwrap_err().to_string();
        let start = format!("audit.lines: {place} cannot be written: ");
        assert!(why.starts_with(&start), "{why}");
        assert!(why.ends_with("(evergrant.toml:2)"), "{why}");
    }
}
