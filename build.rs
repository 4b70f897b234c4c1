//! Stamps the git revision and the profile into the binary. It never fails: what is not known is `unknown`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=EVERGRANT_REVISION");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-env=EVERGRANT_REVISION={}", revision());
    println!("cargo:rustc-env=EVERGRANT_PROFILE={}", profile());
}

/// From the environment, for builds from an archive; else from git, if this is the top of its repository.
fn revision() -> String {
    let given = env::var("EVERGRANT_REVISION").ok();
    given
        .filter(|text| !text.is_empty() && !text.contains('\n'))
        .or_else(from_git)
        .unwrap_or_else(|| "unknown".to_owned())
}

fn from_git() -> Option<String> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR")?);
    // An archive that was unpacked inside another repository is not of that repository's revision.
    let top = PathBuf::from(git(&["rev-parse", "--show-toplevel"])?);
    if top.canonicalize().ok()? != here.canonicalize().ok()? {
        return None;
    }
    let watched = [
        Some("HEAD".to_owned()),
        git(&["symbolic-ref", "-q", "HEAD"]),
    ];
    for name in watched.into_iter().flatten() {
        if let Some(path) = git(&["rev-parse", "--git-path", &name])
            && Path::new(&path).exists()
        {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// The folder under `target`: cargo's own PROFILE says `release` for every profile that inherits it.
fn profile() -> String {
    let from_folder = env::var("OUT_DIR").ok().and_then(|out| {
        let folder = Path::new(&out).ancestors().nth(3)?.file_name()?;
        folder.to_str().map(str::to_owned)
    });
    from_folder
        .or_else(|| env::var("PROFILE").ok())
        .unwrap_or_else(|| "unknown".to_owned())
}
