//! Who may call: rights are looked at before anything is done.

mod handshake;
mod identity;
mod matrix;
mod rate;
mod reload;

use anyhow::Result;
use aws_lc_rs::digest;
use evergrant_proto::v1::token_service_client::TokenServiceClient;
use evergrant_proto::v1::{
    CreateCredentialRequest, GetTokenRequest, GetTokenResponse, WatchRequest,
};
use evergrant_providers::sandbox::RotationMode;
use toml::{Table, Value};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

use crate::harness::authority::{Authority, Issued, TlsFiles};
use crate::harness::caller::{credential, fresh, request};
use crate::harness::jwt_issuer::JwtIssuer;
use crate::harness::replica::Replica;
use crate::harness::scene::Scene;

/// Has every right in every tenant.
const BILLING: &str = "token-of-billing";
/// May watch, in the default tenant alone.
const REPORTING: &str = "token-of-reporting";

// E7
#[tokio::test]
async fn a_caller_without_the_right_gets_no_token_and_causes_no_call() -> Result<()> {
    let scene = Scene::on_sqlite().await?.set(
        "callers",
        vec![
            rule("billing", BILLING, "*", &["token.get", "credential.write"]),
            rule("reporting", REPORTING, "default", &["event.watch"]),
        ],
    );
    let replica = scene.replica("replica").await?;
    // A token that is still good for a while, so that nobody renews it meanwhile and only a report would.
    let grant = scene.sandbox.grant(RotationMode::Strict)?;
    let create = CreateCredentialRequest {
        credential: Some(credential("c")),
        material: Some(fresh(&grant)),
    };
    replica
        .credentials()
        .create_credential(with(create, Some(BILLING)))
        .await?;

    for (token, code) in [
        (None, Code::Unauthenticated),
        (Some("token-of-nobody"), Code::Unauthenticated),
        (Some(REPORTING), Code::PermissionDenied),
    ] {
        let refusal = report(&replica, token).await.expect_err("it has no right");
        assert_eq!(refusal.code(), code, "{token:?}: {refusal:?}");
    }
    assert_eq!(scene.sandbox.calls_for(&grant), 0);

    let elsewhere = WatchRequest {
        tenant_id: "somebody-else".to_owned(),
        ..WatchRequest::default()
    };
    let refusal = replica
        .events()
        .watch(with(elsewhere, Some(REPORTING)))
        .await;
    let refusal = match refusal {
        Err(refusal) => refusal,
        Ok(stream) => stream
            .into_inner()
            .message()
            .await
            .expect_err("it has no right"),
    };
    assert_eq!(refusal.code(), Code::PermissionDenied);
    replica
        .events()
        .watch(with(WatchRequest::default(), Some(REPORTING)))
        .await?;

    assert_eq!(report(&replica, Some(BILLING)).await?.generation, 2);
    assert_eq!(scene.sandbox.calls_for(&grant), 1);
    Ok(())
}

#[tokio::test]
async fn without_callers_nothing_but_loopback_is_listened_on() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let config = scene.config().set("server.listen", "0.0.0.0:0");
    let (code, log) = Replica::run_to_end(&config).await?;
    assert_eq!(code, Some(64), "{log}");
    assert!(log.contains("callers"), "{log}");
    Ok(())
}

/// Reports that the first token was refused, which costs a call to the provider.
async fn report(replica: &Replica, token: Option<&str>) -> Result<GetTokenResponse, Status> {
    use evergrant_proto::v1::get_token_request::Rejected;
    let report = GetTokenRequest {
        rejected: Some(Rejected::RejectedGeneration(1)),
        ..request("c")
    };
    let mut client = TokenServiceClient::new(replica.channel());
    client
        .get_token(with(report, token))
        .await
        .map(tonic::Response::into_inner)
}

/// What the tokens of issuers are for.
pub const AUDIENCE: &str = "evergrant";

/// A scene whose replicas speak TLS, and the authorities of both sides.
struct Stage {
    scene: Scene,
    servers: Authority,
    clients: Authority,
    files: TlsFiles,
}

impl Stage {
    async fn new(callers: Vec<Value>) -> Result<Self> {
        let (servers, clients) = (Authority::new("servers")?, Authority::new("clients")?);
        let files = TlsFiles::new(&servers.issue(&["localhost"])?, &clients)?;
        let path = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
        let scene = Scene::on_sqlite().await?;
        let scene = scene
            .set("server.tls.cert", path(files.cert()))
            .set("server.tls.key", path(files.key()))
            .set("server.tls.client_ca", path(files.client_ca()))
            .set("callers", callers);
        Ok(Self {
            scene,
            servers,
            clients,
            files,
        })
    }

    /// A connection that shows `identity` if there is one.
    async fn channel(&self, replica: &Replica, identity: Option<&Issued>) -> Result<Channel> {
        self.channel_trusting(replica, &self.servers, identity)
            .await
    }

    async fn channel_trusting(
        &self,
        replica: &Replica,
        servers: &Authority,
        identity: Option<&Issued>,
    ) -> Result<Channel> {
        let endpoint = Endpoint::from_shared(format!("https://{}", replica.grpc()))?;
        let endpoint = endpoint.tls_config(servers.client(identity))?;
        Ok(endpoint.connect().await?)
    }
}

/// Asks for the token of a credential that does not exist: who may ask learns that.
pub async fn ask(
    channel: &Channel,
    token: Option<&str>,
) -> Result<Response<GetTokenResponse>, Status> {
    let mut client = TokenServiceClient::new(channel.clone());
    client.get_token(with(request("c"), token)).await
}

fn code_of<T>(answer: Result<T, Status>) -> Code {
    answer.map_or_else(|status| status.code(), |_| Code::Ok)
}

fn with<T>(message: T, token: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().expect("it is plain text");
        request.metadata_mut().insert("authorization", value);
    }
    request
}

/// A caller with the bearer token `token`.
fn rule(name: &str, token: &str, tenant: &str, allow: &[&str]) -> Value {
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    let digits: String = digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    caller(name, ("token_sha256", digits.into()), tenant, allow)
}

/// A caller in all tenants whose token is its name, and which may ask so often.
pub fn rated(name: &str, per_second: i64, burst: i64) -> Value {
    let mut rule = rule(name, name, "*", &["token.get"]);
    let rate = Table::from_iter([
        ("per_second".to_owned(), per_second.into()),
        ("burst".to_owned(), burst.into()),
    ]);
    let table = rule.as_table_mut().expect("a rule is a table");
    table.insert("rate".to_owned(), rate.into());
    rule
}

/// A caller in all tenants with a certificate of this name.
fn san(name: &str, san: &str, allow: &[&str]) -> Value {
    caller(name, ("san", san.into()), "*", allow)
}

/// A caller in all tenants with tokens of `issuer`, whose keys its discovery document finds.
pub fn jwt(name: &str, issuer: &JwtIssuer, subject: &str, allow: &[&str]) -> Value {
    let claims = [
        ("issuer", issuer.url()),
        ("audience", AUDIENCE.to_owned()),
        ("subject", subject.to_owned()),
    ];
    let claims = claims.map(|(name, value)| (name.to_owned(), Value::from(value)));
    let claims = Value::Table(Table::from_iter(claims));
    caller(name, ("jwt", claims), "*", allow)
}

fn caller(name: &str, identity: (&str, Value), tenant: &str, allow: &[&str]) -> Value {
    let list = |words: &[&str]| {
        words
            .iter()
            .map(|&word| Value::from(word))
            .collect::<Vec<_>>()
    };
    Value::Table(Table::from_iter([
        ("name".to_owned(), name.into()),
        (identity.0.to_owned(), identity.1),
        ("tenants".to_owned(), list(&[tenant]).into()),
        ("allow".to_owned(), list(allow).into()),
    ]))
}
