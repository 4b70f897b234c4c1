//! Nothing that a run leaves behind or says shows a secret: database, Redis, journal, logs, audit trail,
//! metrics, output.

mod needles;
mod remains;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evergrant_proto::v1::{Credential, TokenMaterial};
use evergrant_providers::sandbox::{DEFAULT_CLIENT_ID, Fault, NewGrant, Point, RotationMode};
use toml::{Table, Value};

use self::needles::Needles;
use self::remains::{names, tables, take_in};
use crate::harness::caller::{Caller, credential, expired, fresh};
use crate::harness::cli::evergrant;
use crate::harness::eventually::eventually;
use crate::harness::replica::Replica;
use crate::harness::replica::config::ReplicaConfig;
use crate::harness::scene::{CLIENT, SOON, Scene};

const CALLER_TOKEN: &str = "caller-token-57b0c5a2e91d4f6f";
const CALLER_SHA256: &str = "c7267d3a51f448731c84696131cd8bf030d2c68ab8658471b63cd6b04c4f53ff";
const CLIENT_SECRET: &str = "client-secret-8f3e62bb0a7c4d19";
const OLD_SECRET: &str = "client-secret-of-before-21c9e7";
const OLD_KEY: &[u8; 32] = b"old-sealing-key-of-32-bytes-here";
const NEW_KEY: &[u8; 32] = b"new-sealing-key-of-32-bytes-here";

/// What all tokens of the sandbox begin with, those that no test ever sees included.
const TOKEN_PREFIXES: [&str; 2] = ["sbx_at_", "sbx_rt_"];

#[tokio::test]
async fn a_run_on_sqlite_shows_no_secret() -> Result<()> {
    a_run_shows_no_secret(Scene::on_sqlite().await?).await
}

#[tokio::test]
async fn a_run_on_postgres_and_redis_shows_no_secret() -> Result<()> {
    a_run_shows_no_secret(Scene::with_redis().await?).await
}

async fn a_run_shows_no_secret(scene: Scene) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut run = Run::begin(scene, folder.path())?;
    let replica = run.start(&run.config("k1"), "the first log").await?;
    run.live(&replica).await?;
    run.hold_in_escrow(&replica).await?;
    run.commands(&replica).await?;
    run.stop(replica, "the first log").await?;

    // The second life opens everything with the new key alone.
    let config = run.config("k2").unset("keys.k1");
    let replica = run.start(&config, "the second log").await?;
    let caller = replica.caller().with_token(CALLER_TOKEN);
    for id in ["kept", "refreshed", "reconnected"] {
        caller.token(id).await.with_context(|| id.to_owned())?;
    }
    run.look("the database while it is used").await?;
    let planted = run.plant(&caller).await?;
    run.stop(replica, "the second log").await?;
    let lines = std::fs::read(run.audit_lines())?;
    ensure!(lines.windows(8).any(|part| part == b"GetToken"), "no lines");
    run.haystacks
        .push(("the lines of the audit trail".to_owned(), lines));

    for (place, haystack) in &run.haystacks {
        ensure!(!haystack.is_empty(), "{place} is empty");
        let hits = run.needles.hits(haystack);
        let shown: Vec<_> = hits
            .iter()
            .take(5)
            .map(|hit| around(haystack, *hit))
            .collect();
        ensure!(hits.is_empty(), "{place} shows\n{}", shown.join("\n"));
    }
    // The same search finds what is put at the end of a log or of metrics.
    for (_, haystack) in run
        .haystacks
        .iter()
        .filter(|(place, _)| place.contains("log"))
    {
        let mut spoilt = haystack[haystack.len().saturating_sub(1_000)..].to_vec();
        spoilt.extend_from_slice(STANDARD.encode(format!("x{CLIENT_SECRET}")).as_bytes());
        let found = run.needles.found_in(&spoilt);
        ensure!(
            found == ["the client's secret in base64"],
            "found only {found:?}"
        );
    }
    for place in run.planted_places() {
        let mut haystacks = planted.iter().filter(|(name, _)| name.contains(place));
        let shown = haystacks.any(|(_, haystack)| {
            let found = run.needles.found_in(haystack);
            found.iter().any(|name| name.starts_with("a planted token"))
                && found.iter().any(|name| name.starts_with("a token sbx_rt_"))
        });
        ensure!(shown, "what was planted is not found in {place}");
    }
    Ok(())
}

/// A run, what it must not show, and all that it left.
struct Run {
    scene: Scene,
    needles: Needles,
    haystacks: Vec<(String, Vec<u8>)>,
    folder: PathBuf,
}

impl Run {
    fn begin(scene: Scene, folder: &Path) -> Result<Self> {
        let secrets = [CLIENT_SECRET.to_owned(), OLD_SECRET.to_owned()];
        scene
            .sandbox
            .control()
            .set_client(DEFAULT_CLIENT_ID, &secrets[..1]);
        let mut needles = Needles::default();
        for (name, secret) in [
            ("the caller's token", CALLER_TOKEN),
            ("the client's secret", CLIENT_SECRET),
            ("the client's other secret", OLD_SECRET),
        ] {
            needles.add(name, secret.as_bytes());
        }
        for (name, key) in [("the old key", OLD_KEY), ("the new key", NEW_KEY)] {
            needles.add(name, key);
            needles.add(name, STANDARD.encode(key).as_bytes());
        }
        for prefix in TOKEN_PREFIXES {
            needles.add(&format!("a token {prefix}"), prefix.as_bytes());
        }
        std::fs::write(folder.join("k1"), STANDARD.encode(OLD_KEY))?;
        std::fs::write(folder.join("k2"), STANDARD.encode(NEW_KEY))?;
        Ok(Self {
            scene,
            needles,
            haystacks: Vec::new(),
            folder: folder.to_owned(),
        })
    }

    fn audit_lines(&self) -> PathBuf {
        self.folder.join("audit.jsonl")
    }

    /// Secrets of every source: text, environment, file and command.
    fn config(&self, active: &str) -> ReplicaConfig {
        let from = |source: &str, what: Value| Table::from_iter([(source.to_owned(), what)]);
        let file = |name: &str| Value::from(self.folder.join(name).to_string_lossy().into_owned());
        let print = Value::Array(vec!["cat".into(), file("k2")]);
        let variable = from("env", "CLIENT_SECRET".into());
        let secrets = vec![OLD_SECRET.into(), Value::Table(variable)];
        self.scene
            .config()
            .set("keys.active", active)
            .set("keys.k1", from("file", file("k1")))
            .set("keys.k2", from("command", print))
            .set(&format!("clients.{CLIENT}.client_secret"), secrets)
            .set("callers", vec![caller_rule()])
            .set("audit.lines", self.audit_lines().display().to_string())
            .env("CLIENT_SECRET", CLIENT_SECRET)
            .env("RUST_LOG", "trace")
    }

    fn grant(&mut self, name: &str) -> Result<NewGrant> {
        let grant = self.scene.sandbox.grant(RotationMode::Strict)?;
        for token in [grant.access_token.expose(), grant.refresh_token.expose()] {
            self.needles.add(name, token.as_bytes());
        }
        Ok(grant)
    }

    /// Everything that may happen to a credential.
    async fn live(&mut self, replica: &Replica) -> Result<()> {
        let caller = replica.caller().with_token(CALLER_TOKEN);
        let store = async |id: &str, material: TokenMaterial| {
            caller.store(credential(id), material).await.map(drop)
        };
        let grant = self.grant("a token that is kept")?;
        store("kept", fresh(&grant)).await?;
        let grant = self.grant("a token of an answer that is brought")?;
        let (access_token, refresh_token) =
            (grant.access_token.expose(), grant.refresh_token.expose());
        let answer = serde_json::json!({
            "access_token": access_token,
            "refresh_token": refresh_token,
            // What is odd is told in the log.
            "expires_in": [access_token],
        });
        store("answered", answered(&answer)).await?;
        let refusal = serde_json::json!({ "access_token": [access_token], "error": refresh_token });
        ensure!(store("refused", answered(&refusal)).await.is_err());
        let grant = self.grant("a token that is refreshed")?;
        store("refreshed", expired(&grant)).await?;
        self.told(&caller, "refreshed").await?;
        ensure!(caller.refused("refreshed", 2).await?.generation == 3);

        let grant = self.grant("a token that is revoked")?;
        store("reconnected", fresh(&grant)).await?;
        self.scene.sandbox.control().revoke_grant(&grant.family)?;
        ensure!(caller.refused("reconnected", 1).await.is_err());
        let grant = self.grant("a token of a reconnect")?;
        caller
            .reconnect("reconnected", expired(&grant), false)
            .await?;
        self.told(&caller, "reconnected").await?;
        store("reported", fresh(&self.grant("a token that is reported")?)).await?;
        caller.invalidate("reported").await?;

        // Providers that repeat what they were sent.
        for (id, code, status) in [
            ("echoed", "temporarily_unavailable", 400),
            ("killed", "invalid_grant", 400),
            ("broken", "server_error", 500),
            ("strange", "no such code", 418),
        ] {
            let grant = self.grant("a token that is echoed")?;
            let echo = format!(
                "{} {} {CLIENT_SECRET} {OLD_SECRET}",
                grant.refresh_token.expose(),
                grant.access_token.expose()
            );
            let body = serde_json::json!({
                "error": code,
                "error_description": format!("bad request: {echo}"),
                "refresh_token": grant.refresh_token.expose(),
            });
            let fault = Fault::Status {
                status,
                body: body.to_string(),
                content_type: "application/json".to_owned(),
                at: Point::BeforeProcessing,
            };
            self.scene.sandbox.fail_always(&grant, fault)?;
            store(id, expired(&grant)).await?;
            ensure!(caller.token(id).await.is_err(), "{id}");
        }
        Ok(())
    }

    /// Asks for a token, which is a secret from then on.
    async fn told(&mut self, caller: &Caller, id: &str) -> Result<()> {
        let answer = caller.token(id).await?;
        self.needles
            .add("a token that was answered", answer.access_token.as_bytes());
        Ok(())
    }

    /// A token set that was issued while the database is away: it is in escrow alone.
    async fn hold_in_escrow(&mut self, replica: &Replica) -> Result<()> {
        if self.scene.postgres.is_none() {
            return Ok(());
        }
        let grant = self.grant("a token in escrow")?;
        let gate = self.scene.sandbox.hold(&grant, Point::AfterProcessing);
        let caller = replica.caller().with_token(CALLER_TOKEN);
        caller.store(credential("held"), expired(&grant)).await?;
        gate.arrival().await?;
        self.scene.postgres().stop().await?;
        gate.open();
        let redis = self.scene.redis();
        let dump = eventually("an entry in escrow", SOON, async || {
            let dump = redis.dump().await.ok()?;
            let key = b"evergrant:escrow:";
            dump.windows(key.len())
                .any(|part| part == key)
                .then_some(dump)
        });
        self.haystacks
            .push(("redis with an entry in escrow".to_owned(), dump.await?));
        self.scene.postgres().start_again().await?;
        eventually("the commit", SOON, async || {
            let told = caller.credential("held").await.ok()?;
            (told.generation == 2).then_some(())
        })
        .await
    }

    /// What an operator runs, and reads.
    async fn commands(&mut self, replica: &Replica) -> Result<()> {
        let text = replica.metrics_text().await?;
        self.haystacks
            .push(("/metrics".to_owned(), text.into_bytes()));
        let server = format!("http://{}", replica.grpc());
        let config = self
            .config("k2")
            .env("EVERGRANT_SERVER", server)
            .env("EVERGRANT_AUTH_TOKEN", CALLER_TOKEN);
        let lost = config.clone().unset("keys.k1");
        let bad = config.clone().set("keys.k3", format!("{CLIENT_SECRET}!"));
        eventually("records", SOON, async || {
            let ended = evergrant(&config, &["audit", "verify"]).await.ok()?;
            (ended.code == Some(0)).then_some(())
        })
        .await?;
        for (config, code, words) in [
            (&config, 0, "keys rotate --dry-run"),
            (&config, 0, "keys rotate --pause 1ms"),
            (&config, 0, "keys verify -o json"),
            (&config, 0, "config check --run-commands"),
            (&config, 0, "config print"),
            (&config, 0, "credential list -o json"),
            (&config, 0, "credential get killed"),
            (&config, 0, "credential get echoed"),
            (&config, 1, "token get echoed"),
            (&config, 0, "token get kept"),
            (&config, 0, "token get kept -o json"),
            (&config, 0, "provider show acme"),
            (&config, 0, "audit list --limit 1000 -o json"),
            (&config, 0, "audit verify"),
            (&lost, 0, "keys verify"),
            (&bad, 64, "config check"),
            (&bad, 64, "serve"),
        ] {
            let words: Vec<_> = words.split(' ').collect();
            let ended = evergrant(config, &words).await?;
            ensure!(ended.code == Some(code), "{words:?}: {ended:?}");
            let printed = format!("{}{}", ended.stdout, ended.stderr);
            self.haystacks
                .push((format!("{words:?}"), printed.into_bytes()));
        }
        Ok(())
    }

    async fn start(&self, config: &ReplicaConfig, log: &str) -> Result<Replica> {
        Replica::start(&config.clone().log_to(self.folder.join(log))).await
    }

    /// Ends the replica and takes in its metrics and its log.
    async fn stop(&mut self, mut replica: Replica, log: &str) -> Result<()> {
        let text = replica.metrics_text().await?;
        self.haystacks
            .push(("/metrics".to_owned(), text.into_bytes()));
        replica.terminate()?;
        ensure!(replica.end().await?.success(), "{}", replica.log());
        let whole = std::fs::read(self.folder.join(log))?;
        ensure!(
            whole.windows(6).any(|part| part == b" TRACE"),
            "{log} tells all"
        );
        self.haystacks.push((log.to_owned(), whole));
        Ok(())
    }

    /// Takes in the database, the journal and Redis as they are now.
    async fn look(&mut self, when: &str) -> Result<()> {
        let found = self.left_behind().await?;
        let found = found.into_iter();
        self.haystacks
            .extend(found.map(|(name, bytes)| (format!("{name} ({when})"), bytes)));
        Ok(())
    }

    async fn left_behind(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut found = Vec::new();
        if let Some(file) = self.scene.sqlite_file() {
            let folder = file.parent().context("the database is in a folder")?;
            take_in(folder, &mut found)?;
            for name in ["evergrant.db", "evergrant.db-wal", "evergrant.db.journal"] {
                let there = found.iter().any(|(path, _)| path.ends_with(name));
                ensure!(there, "{name} is not among {:?}", names(&found));
            }
        }
        if let Some(postgres) = &self.scene.postgres {
            found.push(("all tables".to_owned(), tables(&postgres.url()).await?));
            take_in(postgres.files(), &mut found)?;
        }
        if let Some(redis) = &self.scene.redis {
            found.push(("redis".to_owned(), redis.dump().await?));
        }
        found.retain(|(_, bytes)| !bytes.is_empty());
        Ok(found)
    }

    /// Puts a token where none belongs, and gives what the run then leaves behind.
    async fn plant(&mut self, caller: &Caller) -> Result<Vec<(String, Vec<u8>)>> {
        let token = "sbx_rt_planted-0b7e4c11d2";
        self.needles.add("a planted token", token.as_bytes());
        let grant = self.grant("the token of a label")?;
        let labelled = Credential {
            labels: [("note".to_owned(), token.to_owned())].into(),
            ..credential("labelled")
        };
        caller.store(labelled, fresh(&grant)).await?;
        if let Some(redis) = &self.scene.redis {
            redis
                .command(&["SET", "planted", &STANDARD.encode(token)])
                .await?;
        }
        self.left_behind().await
    }

    /// Where something can be planted, by a part of the name.
    fn planted_places(&self) -> &'static [&'static str] {
        match self.scene.redis {
            None => &["evergrant.db"],
            Some(_) => &["all tables", "/pg_wal/", "redis"],
        }
    }
}

/// What stands around a hit, for whoever must find out how it got there.
fn around(haystack: &[u8], (at, name): (usize, &str)) -> String {
    let part = &haystack[at.saturating_sub(200)..haystack.len().min(at + 100)];
    format!("{name}: {:?}", String::from_utf8_lossy(part))
}

fn caller_rule() -> Value {
    let rule = [
        ("name", Value::from("billing")),
        ("token_sha256", CALLER_SHA256.into()),
        ("tenants", Value::Array(vec!["*".into()])),
        ("allow", Value::Array(vec!["admin".into()])),
    ];
    Value::Table(
        rule.into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    )
}

/// What a token endpoint answered to somebody else.
fn answered(answer: &serde_json::Value) -> TokenMaterial {
    TokenMaterial {
        token_response: answer.to_string(),
        ..TokenMaterial::default()
    }
}
