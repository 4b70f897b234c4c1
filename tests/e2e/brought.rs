//! Tokens that were obtained elsewhere are stored as a consent would have stored them.

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evergrant_proto::v1::{ReconnectCredentialRequest, TokenMaterial};
use serde_json::Value;
use tempfile::NamedTempFile;
use tonic::Code;

use crate::harness::caller::{in_seconds, reason};
use crate::harness::replica::{Replica, verb};
use crate::harness::scene::Scene;

const GITHUB: &str = r#"{"access_token":"ghu_1","expires_in":28800,"refresh_token":"ghr_1",
    "refresh_token_expires_in":15897600,"scope":"","token_type":"bearer"}"#;
const SLACK_BOT: &str = r#"{"ok":true,"app_id":"A1","access_token":"xoxb-1","token_type":"bot","scope":"chat:write",
    "bot_user_id":"U0","authed_user":{"id":"U1"},"team":{"id":"T1","name":"Acme"},"enterprise":null}"#;
const SLACK_USER: &str = r#"{"ok":true,"app_id":"A1","authed_user":{"id":"U1","scope":"search:read",
    "access_token":"xoxp-1","token_type":"user","refresh_token":"xoxe-1","expires_in":43200},"team":{"id":"T1"}}"#;
const SALESFORCE: &str = r#"{"access_token":"00D!1","refresh_token":"5Ae1","signature":"s",
    "instance_url":"https://acme.my.salesforce.com","id":"https://login.salesforce.com/id/00D/005",
    "token_type":"Bearer","issued_at":"1767225600000"}"#;

/// A replica with a client of each of these providers, none of which it ever calls.
struct Stage {
    server: String,
    replica: Replica,
    _scene: Scene,
}

impl Stage {
    async fn begin() -> Result<Self> {
        let mut scene = Scene::on_sqlite().await?;
        for provider in ["github", "salesforce", "shopify", "slack", "zoom"] {
            let key = |name: &str| format!("clients.{provider}-main.{name}");
            scene = scene
                .set(&key("provider"), provider)
                .set(&key("client_id"), "id")
                .set(&key("client_secret"), "secret");
        }
        let replica = scene.replica("replica").await?;
        Ok(Self {
            server: format!("http://{}", replica.grpc()),
            replica,
            _scene: scene,
        })
    }

    /// `evergrant credential create ID --provider PROVIDER …`: what it prints.
    async fn create(&self, id: &str, provider: &str, more: &[&str]) -> Result<Value> {
        let words = ["credential", "create", id, "--provider", provider];
        let output = ["-o", "json", "--server", &self.server];
        Ok(serde_json::from_str(
            &verb(&[&words[..], more, &output].concat()).await?,
        )?)
    }

    /// The same with `text` as the answer of the token endpoint.
    async fn answered(&self, id: &str, provider: &str, text: &str) -> Result<Value> {
        let file = file(text)?;
        let path = file.path().to_string_lossy();
        self.create(id, provider, &["--token-response", &path])
            .await
    }
}

fn file(text: &str) -> Result<NamedTempFile> {
    let file = NamedTempFile::new()?;
    std::fs::write(file.path(), text)?;
    Ok(file)
}

/// How many seconds from now a printed time is, to the minute.
fn minutes_ahead(time: &Value) -> Result<i64> {
    let time = time.as_str().unwrap_or_default();
    let end: prost_types::Timestamp = time.parse()?;
    let ahead = end.seconds - in_seconds(0).seconds;
    Ok((ahead + 30) / 60)
}

fn why(outcome: Result<Value>) -> Result<String> {
    match outcome {
        Ok(stored) => anyhow::bail!("it was stored: {stored}"),
        Err(error) => Ok(error.to_string()),
    }
}

#[tokio::test]
async fn what_a_token_endpoint_answered_fits_as_it_came() -> Result<()> {
    let stage = Stage::begin().await?;

    let github = stage.answered("github", "github", GITHUB).await?;
    assert_eq!(minutes_ahead(&github["expires_at"])?, 480);
    let refresh_end = minutes_ahead(&github["refresh_expires_at"])?;
    assert_eq!(refresh_end, 15_897_600 / 60);

    let bot = stage.answered("bot", "slack", SLACK_BOT).await?;
    assert_eq!(bot["provider_account"], "T1", "by which reports find it");
    assert_eq!(bot["scopes"], serde_json::json!(["chat:write"]));

    let user = stage.answered("user", "slack", SLACK_USER).await?;
    assert_eq!(user["provider_account"], "T1:U1");
    assert_eq!(minutes_ahead(&user["expires_at"])?, 720);
    assert_eq!(user["refreshable"], true);
    let token = stage.replica.caller().token("user").await?;
    assert_eq!(token.access_token, "xoxp-1");
    assert_eq!(token.metadata["team_id"], "T1");

    stage.answered("crm", "salesforce", SALESFORCE).await?;
    let token = stage.replica.caller().token("crm").await?;
    let instance = &token.metadata["instance_url"];
    assert_eq!(instance, "https://acme.my.salesforce.com");
    Ok(())
}

#[tokio::test]
async fn the_operator_alone_is_told_of_a_refresh_token_in_two_tenants() -> Result<()> {
    let stage = Stage::begin().await?;
    let answer = file(GITHUB)?;
    let answer = answer.path().to_string_lossy();
    let mut stored = Vec::new();
    for tenant in ["one", "two"] {
        let more = ["--token-response", &answer, "--tenant", tenant];
        stored.push(stage.create("mail", "github", &more).await?);
    }
    let fields = |stored: &Value| {
        stored
            .as_object()
            .map(|fields| fields.keys().cloned().collect())
    };
    let [first, second]: [Option<Vec<String>>; 2] = [fields(&stored[0]), fields(&stored[1])];
    assert_eq!(first, second, "the second is answered like the first");
    assert_ne!(stored[0]["grant_id"], stored[1]["grant_id"]);

    let log = stage.replica.log();
    let mut lines = log.lines();
    let warning = lines.find(|line| line.contains("credentials of other tenants or clients hold"));
    let warning = warning.unwrap_or_default();
    ensure!(
        warning.contains("one/mail") && warning.contains("two/mail"),
        "{log}"
    );
    ensure!(!log.contains("ghr_1"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_refusal_is_no_answer_and_is_not_repeated() -> Result<()> {
    let stage = Stage::begin().await?;
    let refusal = r#"{"ok":false,"error":"hush"}"#;
    let told = why(stage.answered("c", "slack", refusal).await)?;
    let expected = "--token-response: catalogue entry slack: it is a refusal and no success: \
                    response.failure says so of /ok";
    ensure!(told.contains(expected), "{told}");
    ensure!(!told.contains("hush"), "{told}");
    let gone = stage.replica.caller().credential("c").await;
    assert_eq!(gone.expect_err("nothing is stored").code(), Code::NotFound);
    Ok(())
}

#[tokio::test]
async fn an_answer_that_names_another_account_reconnects_nothing_unless_that_is_meant() -> Result<()>
{
    let stage = Stage::begin().await?;
    stage.answered("bot", "slack", SLACK_BOT).await?;
    let of_another = SLACK_BOT.replace("T1", "T2").replace("xoxb-1", "xoxb-2");
    let ask = |allow_account_change| ReconnectCredentialRequest {
        credential_id: "bot".to_owned(),
        material: Some(TokenMaterial {
            token_response: of_another.clone(),
            ..TokenMaterial::default()
        }),
        allow_account_change,
        ..ReconnectCredentialRequest::default()
    };
    let mut client = stage.replica.credentials();
    let refusal = client.reconnect_credential(ask(false)).await;
    let refusal = reason(&refusal.expect_err("it is of another team"));
    let mismatch = (Code::FailedPrecondition, "ACCOUNT_MISMATCH".to_owned());
    assert_eq!(refusal, mismatch);
    let token = stage.replica.caller().token("bot").await?;
    assert_eq!(token.access_token, "xoxb-1");

    client.reconnect_credential(ask(true)).await?;
    let token = stage.replica.caller().token("bot").await?;
    assert_eq!(token.access_token, "xoxb-2");
    let stored = stage.replica.caller().credential("bot").await?;
    assert_eq!(stored.provider_account, "T2");
    Ok(())
}

#[tokio::test]
async fn a_static_token_ends_when_it_says_itself() -> Result<()> {
    let stage = Stage::begin().await?;
    let material = |ahead: i64| {
        let claims = format!("{{\"exp\":{}}}", in_seconds(ahead).seconds);
        let token = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
        file(&format!("{{\"access_token\":\"{token}\"}}"))
    };
    let create = async |id: &str, ahead: i64| {
        let file = material(ahead)?;
        let path = file.path().to_string_lossy();
        let words = ["--grant-type", "static", "--material", &path];
        stage.create(id, "github", &words).await
    };

    let stored = create("lives", 3_600).await?;
    assert_eq!(minutes_ahead(&stored["expires_at"])?, 60);
    let forecast = verb(&["forecast", "-o", "json", "--server", &stage.server]).await?;
    let forecast: Value = serde_json::from_str(&forecast)?;
    assert_eq!(forecast["ends"][0]["credential_id"], "lives", "{forecast}");

    let told = why(create("over", -60).await)?;
    ensure!(told.contains(" access_token of --material: "), "{told}");
    Ok(())
}

#[tokio::test]
async fn what_a_providers_url_needs_is_an_argument_and_a_secret_is_none() -> Result<()> {
    let stage = Stage::begin().await?;
    let tokens = file(r#"{"access_token":"shpat_1","refresh_token":"shprt_1","expires_in":3600}"#)?;
    let path = tokens.path().to_string_lossy();
    let shop = "shop=acme.myshopify.com";
    let told = why(stage.create("s", "shopify", &["--material", &path]).await)?;
    ensure!(
        told.contains(" --placeholder shop: catalogue entry shopify"),
        "{told}"
    );
    let words = ["--material", &path, "--placeholder", shop];
    stage.create("s", "shopify", &words).await?;
    let token = stage.replica.caller().token("s").await?;
    assert_eq!(token.metadata["shop"], "acme.myshopify.com");

    let minted = ["--grant-type", "client-credentials", "--parameter"];
    let words = [&minted[..], &["account_id=a1"]].concat();
    stage.create("z", "zoom", &words).await?;
    let words = [&minted[..], &["client_secret=hush"]].concat();
    let told = why(stage.create("y", "zoom", &words).await)?;
    ensure!(told.contains("give it with --parameter-file"), "{told}");
    Ok(())
}
