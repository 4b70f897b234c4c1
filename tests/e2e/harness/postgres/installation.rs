//! The PostgreSQL that is installed, and the template that its servers start from.

use std::fs::File;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::unistd::{User, geteuid};
use tempfile::TempDir;

/// The database's superuser, who needs no password.
pub const USER: &str = "evergrant";

/// Where `initdb` and `postgres` are, and as whom they run.
pub struct Installation {
    bin: PathBuf,
    run_as: Option<User>,
}

impl Installation {
    /// The newest server of the distribution, else the one on the path.
    pub fn find() -> Result<Self> {
        let bin = candidates()
            .into_iter()
            .find(|bin| bin.join("initdb").is_file() && bin.join("postgres").is_file())
            .context("PostgreSQL's initdb and postgres are missing; scripts/test installs them")?;
        let run_as = if geteuid().is_root() {
            Some(User::from_name("postgres")?.context("there is no user postgres")?)
        } else {
            None
        };
        Ok(Self { bin, run_as })
    }

    /// A command that runs `program` in `folder`.
    pub fn command(&self, program: impl AsRef<Path>, folder: &Path) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.current_dir(folder).env("LC_ALL", "C");
        if let Some(user) = &self.run_as {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }

    /// A new folder with a copy of the template in `data`.
    pub async fn copy_of_template(&self) -> Result<TempDir> {
        let template = self.template().await?;
        let folder = tempfile::Builder::new()
            .prefix("evergrant-e2e-postgres-")
            .tempdir()?;
        self.hand_over(folder.path())?;
        let mut copy = self.command("/bin/cp", folder.path());
        copy.arg("-Rp")
            .arg(template)
            .arg(folder.path().join("data"));
        run(copy).await?;
        Ok(folder)
    }

    /// The template's data directory, which the first to ask makes, under a lock against other test processes.
    async fn template(&self) -> Result<PathBuf> {
        let mut version = Command::new(self.bin.join("initdb"));
        version.arg("--version");
        let version = run(version).await?;
        let number = version.rsplit(' ').next().unwrap_or_default();
        let number: String = number.chars().take_while(|c| !c.is_whitespace()).collect();

        // Not under target/, which the user postgres may not be able to reach.
        let root = std::env::temp_dir().join(format!("evergrant-e2e-{}", geteuid()));
        std::fs::create_dir_all(&root)?;
        let template = root.join(format!("postgres-{number}"));
        let lock = File::create(root.join("lock"))?;
        let _held = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
        if !template.exists() {
            let unfinished = tempfile::tempdir_in(&root)?;
            self.hand_over(unfinished.path())?;
            let mut initdb = self.command("initdb", unfinished.path());
            initdb
                .args([
                    "--auth=trust",
                    "--no-locale",
                    "--encoding=UTF8",
                    "--no-sync",
                ])
                .arg(format!("--username={USER}"))
                .arg("data");
            run(initdb).await?;
            std::fs::rename(unfinished.path().join("data"), &template)?;
        }
        Ok(template)
    }

    fn hand_over(&self, folder: &Path) -> Result<()> {
        if let Some(user) = &self.run_as {
            chown(folder, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        Ok(())
    }
}

fn candidates() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::env::var_os("EVERGRANT_E2E_POSTGRES_BIN")
        .map(PathBuf::from)
        .into_iter()
        .collect();
    for (root, prefix) in [
        ("/usr/lib/postgresql", ""),
        ("/opt/homebrew/opt", "postgresql"),
        ("/usr/local/opt", "postgresql"),
    ] {
        let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
        let mut versions: Vec<(u32, PathBuf)> = entries
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let version = name.strip_prefix(prefix)?.trim_start_matches('@').parse();
                Some((version.ok()?, entry.path().join("bin")))
            })
            .collect();
        versions.sort();
        found.extend(versions.into_iter().rev().map(|(_, bin)| bin));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    found.extend(std::env::split_paths(&path));
    found
}

/// Runs `command` to its end and gives what it printed.
pub async fn run(mut command: Command) -> Result<String> {
    tokio::task::spawn_blocking(move || {
        let output = command
            .output()
            .with_context(|| format!("cannot start {:?}", command.get_program()))?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command:?} failed:\n{stderr}");
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    })
    .await?
}
