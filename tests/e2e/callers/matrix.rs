//! Every method of every service for every kind of caller, in its own tenant and in another one's.

mod table;

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use evergrant_proto::FILE_DESCRIPTOR_SET;
use evergrant_proto::v1::{CreateCredentialRequest, Credential, GetTokenRequest};
use http::uri::PathAndQuery;
use prost::Message as _;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use self::table::{PERMISSIONS, ROWS, Row, Where};
use super::{AUDIENCE, Stage, jwt, rule, san, with};
use crate::harness::authority::Issued;
use crate::harness::caller::{credential, fresh, reason};
use crate::harness::jwt_issuer::{JwtIssuer, SigningKey};
use crate::harness::replica::Replica;
use crate::harness::scene::Scene;
use evergrant_providers::sandbox::RotationMode;

const OWN: &str = "default";
const FOREIGN: &str = "globex";
const SPIFFE: &str = "spiffe://example.org/ns/shop/sa/api";
const SUBJECT: &str = "system:serviceaccount:shop:api";

/// What becomes of a request before anything is done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Nobody knows who asks.
    Unknown,
    /// The caller may not.
    Denied,
    /// It is dealt with, whatever comes of it.
    Admitted,
}

/// Who asks, and what it may do.
struct Asker {
    name: String,
    channel: Channel,
    token: Option<String>,
    /// `None`: it is no caller.
    rights: Option<Rights>,
}

#[derive(Clone, Copy)]
struct Rights {
    permission: &'static str,
    all_tenants: bool,
}

impl Rights {
    fn verdict(self, row: &Row, tenant: &str) -> Verdict {
        let may = self.permission == row.needs || self.permission == "admin";
        let here = match row.of {
            Where::Tenant => tenant == OWN || self.all_tenants,
            Where::AnyOfItsOwn => true,
            Where::All => self.all_tenants,
        };
        match may && here {
            true => Verdict::Admitted,
            false => Verdict::Denied,
        }
    }
}

#[tokio::test]
async fn every_method_lets_in_whom_it_should_and_nobody_else() -> Result<()> {
    assert_eq!(
        methods().context("the descriptors decode")?,
        ROWS.iter().map(|row| row.path.to_owned()).collect(),
        "each method has its row in the table"
    );
    let key = SigningKey::new("k")?;
    let issuer = JwtIssuer::start(&[&key]).await?;
    let stage = Stage::new(callers(&issuer)).await?;
    let stage = Stage {
        scene: stage.scene.set("server.tls.client_auth", "optional"),
        ..stage
    };
    let replica = stage.scene.replica("replica").await?;
    for asker in askers(&stage, &replica, &issuer, &key).await? {
        for row in ROWS {
            for tenant in [OWN, FOREIGN] {
                let expected = match asker.rights {
                    None => Verdict::Unknown,
                    Some(rights) => rights.verdict(row, tenant),
                };
                let status = call(&asker, row, tenant).await;
                let verdict = match status.code() {
                    Code::Unauthenticated => Verdict::Unknown,
                    Code::PermissionDenied => Verdict::Denied,
                    Code::Unimplemented => anyhow::bail!("{} is not served", row.path),
                    _ => Verdict::Admitted,
                };
                let (name, path) = (&asker.name, row.path);
                ensure!(verdict == expected, "{name}, {path}, {tenant}: {status:?}");
            }
        }
    }

    // The handshake already refuses a certificate of an authority that nobody named.
    let foreign = crate::harness::authority::Authority::new("another")?.issue(&[SPIFFE])?;
    if let Ok(channel) = stage.channel(&replica, Some(&foreign)).await {
        let refused = super::ask(&channel, None).await;
        let refused = refused.err().context("a foreign certificate is served")?;
        ensure!(reason(&refused).1.is_empty(), "{refused:?}");
    }
    Ok(())
}

/// One caller for each permission and for each kind of proof, in one tenant but for the last.
fn callers(issuer: &JwtIssuer) -> Vec<toml::Value> {
    let mut callers: Vec<_> = PERMISSIONS
        .iter()
        .map(|permission| rule(permission, permission, OWN, &[permission]))
        .collect();
    let in_own = |mut caller: toml::Value| {
        let table = caller.as_table_mut().expect("a caller is a table");
        table.insert("tenants".to_owned(), vec![toml::Value::from(OWN)].into());
        caller
    };
    callers.push(in_own(san("by-certificate", SPIFFE, &["token.get"])));
    callers.push(in_own(jwt("by-jwt", issuer, SUBJECT, &["token.get"])));
    callers.push(rule("root", "root", "*", &["admin"]));
    callers
}

async fn askers(
    stage: &Stage,
    replica: &Replica,
    issuer: &JwtIssuer,
    key: &SigningKey,
) -> Result<Vec<Asker>> {
    let plain = stage.channel(replica, None).await?;
    let asker = |name: &str, token: Option<String>, rights| Asker {
        name: name.to_owned(),
        channel: plain.clone(),
        token,
        rights,
    };
    let rights = |permission| {
        Some(Rights {
            permission,
            all_tenants: false,
        })
    };
    let token = |audience, seconds| issuer.token(key, SUBJECT, audience, seconds).map(Some);
    let root = Rights {
        permission: "admin",
        all_tenants: true,
    };
    let mut askers = vec![
        asker("nobody", None, None),
        asker("an unknown token", Some("token-of-nobody".to_owned()), None),
        asker("an expired JWT", token(AUDIENCE, -60)?, None),
        asker(
            "a JWT for another audience",
            token("someone-else", 600)?,
            None,
        ),
        asker("a JWT", token(AUDIENCE, 600)?, rights("token.get")),
        asker("root", Some("root".to_owned()), Some(root)),
    ];
    for permission in PERMISSIONS {
        let token = Some((*permission).to_owned());
        askers.push(asker(permission, token, rights(permission)));
    }
    let named = stage.clients.issue(&[SPIFFE])?;
    let other = stage
        .clients
        .issue(&["spiffe://example.org/ns/shop/sa/web"])?;
    let shown = async |name: &str, issued: &Issued, token: Option<&str>, rights| {
        let channel = stage.channel(replica, Some(issued)).await?;
        let token = token.map(str::to_owned);
        anyhow::Ok(Asker {
            channel,
            ..asker(name, token, rights)
        })
    };
    askers.push(shown("a certificate", &named, None, rights("token.get")).await?);
    askers.push(shown("a certificate of nobody", &other, None, None).await?);
    let both = "a certificate and an unknown token";
    askers.push(shown(both, &named, Some("token-of-nobody"), None).await?);
    let both = "a certificate and the token of another caller";
    let token = Some("event.watch");
    askers.push(shown(both, &named, token, rights("event.watch")).await?);
    Ok(askers)
}

/// All methods of the services of this project, e.g. `TokenService/GetToken`.
fn methods() -> Result<BTreeSet<String>> {
    let files = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET)?;
    let mut methods = BTreeSet::new();
    for service in files.file.iter().flat_map(|file| &file.service) {
        for method in &service.method {
            methods.insert(format!("{}/{}", service.name(), method.name()));
        }
    }
    Ok(methods)
}

async fn call(asker: &Asker, row: &Row, tenant: &str) -> Status {
    let message = Bytes::from((row.message)(tenant));
    let answer = async {
        let mut client = tonic::client::Grpc::new(asker.channel.clone());
        let ready = client.ready().await;
        ready.map_err(|error| Status::internal(error.to_string()))?;
        let path: PathAndQuery = format!("/evergrant.v1.{}", row.path)
            .parse()
            .expect("it is a path");
        let request: Request<Bytes> = with(message, asker.token.as_deref());
        let answer = client.server_streaming(request, path, Raw).await?;
        answer.into_inner().message().await
    };
    answer
        .await
        .map_or_else(|status| status, |_| Status::ok(""))
}

/// Messages as they are.
#[derive(Debug, Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put(buffer, message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        let length = bytes::Buf::remaining(buffer);
        bytes::Buf::advance(buffer, length);
        Ok(Some(()))
    }
}

#[tokio::test]
async fn who_may_not_look_cannot_tell_what_is_there() -> Result<()> {
    let scene = Scene::on_sqlite().await?.set(
        "callers",
        vec![
            rule("root", "root", "*", &["admin"]),
            rule("stranger", "stranger", "elsewhere", &["admin"]),
        ],
    );
    let replica = scene.replica("replica").await?;
    let grant = scene.sandbox.grant(RotationMode::Strict)?;
    let create = CreateCredentialRequest {
        credential: Some(Credential {
            tenant_id: FOREIGN.to_owned(),
            ..credential("there")
        }),
        material: Some(fresh(&grant)),
    };
    replica
        .credentials()
        .create_credential(with(create, Some("root")))
        .await?;
    let asked = async |id: &str, token: &str| {
        let request = GetTokenRequest {
            tenant_id: FOREIGN.to_owned(),
            credential_id: id.to_owned(),
            ..GetTokenRequest::default()
        };
        replica.tokens().get_token(with(request, Some(token))).await
    };
    let (there, nowhere) = (
        asked("there", "stranger").await,
        asked("nowhere", "stranger").await,
    );
    let there = there.expect_err("it is another tenant's");
    let nowhere = nowhere.expect_err("it does not exist");
    assert_eq!(there.code(), Code::PermissionDenied);
    assert_eq!(there.code(), nowhere.code());
    assert_eq!(there.message(), nowhere.message());
    assert_eq!(there.details(), nowhere.details());
    assert!(asked("there", "root").await.is_ok());
    let missing = asked("nowhere", "root").await;
    assert_eq!(super::code_of(missing), Code::NotFound);
    Ok(())
}
