//! What makes no sense is refused at once, with the field that is wrong, and changes nothing.

use anyhow::Result;
use evergrant_proto::v1::get_token_request::Rejected;
use evergrant_proto::v1::{
    BatchGetTokensRequest, Credential, GetTokenRequest, GrantType, Integration, TokenMaterial,
    WatchRequest,
};
use evergrant_providers::sandbox::RotationMode;
use sqlx::ConnectOptions;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::harness::caller::{credential, fresh, in_seconds, reason, request};
use crate::harness::postgres::Postgres;
use crate::harness::replica::Replica;
use crate::harness::scene::Scene;

#[tokio::test]
async fn a_malformed_request_for_a_token_names_its_field() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    scene.fresh_credential(&replica, "c").await?;
    let duration = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    let requests = [
        ("credential_id", request("")),
        ("credential_id", request("with space")),
        ("credential_id", request(&"x".repeat(4_000))),
        (
            "tenant_id",
            GetTokenRequest {
                tenant_id: "a/b".to_owned(),
                ..request("c")
            },
        ),
        (
            "min_validity",
            GetTokenRequest {
                min_validity: duration(-1, 0),
                ..request("c")
            },
        ),
        (
            "min_validity",
            GetTokenRequest {
                min_validity: duration(1, -1),
                ..request("c")
            },
        ),
        (
            "min_validity",
            GetTokenRequest {
                min_validity: duration(0, 2_000_000_000),
                ..request("c")
            },
        ),
        (
            "rejected_token_sha256",
            GetTokenRequest {
                rejected: Some(Rejected::RejectedTokenSha256(vec![1; 31].into())),
                ..request("c")
            },
        ),
        (
            "scopes",
            GetTokenRequest {
                scopes: vec!["read".to_owned()],
                ..request("c")
            },
        ),
    ];

    for (field, request) in requests {
        let refusal = replica.caller().ask(request).await;
        names(&refusal.expect_err(field), field);
    }
    Ok(())
}

#[tokio::test]
async fn what_is_not_there_is_not_found_in_any_tenant() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    scene.fresh_credential(&replica, "c").await?;

    for (tenant, id) in [("", "unknown"), ("somebody-else", "c")] {
        let request = GetTokenRequest {
            tenant_id: tenant.to_owned(),
            ..request(id)
        };
        let refusal = replica.caller().ask(request).await.expect_err(id);
        assert_eq!(
            reason(&refusal),
            (Code::NotFound, "CREDENTIAL_NOT_FOUND".to_owned())
        );
    }
    Ok(())
}

#[tokio::test]
async fn contradictory_material_is_refused_and_stores_nothing() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    let good = fresh(&scene.sandbox.grant(RotationMode::Strict)?);
    let text = |text: &str| text.to_owned();
    let materials = [
        ("no token at all", credential("c"), TokenMaterial::default()),
        (
            "an end that no calendar has",
            credential("c"),
            TokenMaterial {
                refresh_expires_at: Some(prost_types::Timestamp {
                    seconds: i64::MAX,
                    nanos: 0,
                }),
                ..good.clone()
            },
        ),
        (
            "a moment that is none",
            credential("c"),
            TokenMaterial {
                expires_at: Some(prost_types::Timestamp {
                    seconds: 0,
                    nanos: -5,
                }),
                ..good.clone()
            },
        ),
        (
            "a static grant with a refresh token",
            Credential {
                grant_type: GrantType::Static.into(),
                ..credential("c")
            },
            good.clone(),
        ),
        (
            "a label that no database can keep",
            Credential {
                labels: [(text("team"), text("a\0b"))].into(),
                ..credential("c")
            },
            good.clone(),
        ),
        (
            "an account that no database can keep",
            Credential {
                provider_account: text("a\0b"),
                ..credential("c")
            },
            good.clone(),
        ),
        ("an id with a space", credential("a b"), good.clone()),
    ];

    for (what, credential, material) in materials {
        let refusal = replica.caller().store(credential, material).await;
        let refusal = refusal.expect_err(what);
        assert_eq!(refusal.code(), Code::InvalidArgument, "{what}: {refusal:?}");
    }
    let refusal = replica.caller().credential("c").await.expect_err("nothing");
    assert_eq!(refusal.code(), Code::NotFound);
    Ok(())
}

#[tokio::test]
async fn an_unknown_provider_or_client_is_named() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    let good = fresh(&scene.sandbox.grant(RotationMode::Strict)?);

    let stranger = Credential {
        provider: "nobody".to_owned(),
        ..credential("c")
    };
    let refusal = replica.caller().store(stranger, good.clone()).await;
    let (_, why) = reason(&refusal.expect_err("there is no such provider"));
    assert_eq!(why, "UNKNOWN_PROVIDER");

    let stranger = Credential {
        client: "nobody".to_owned(),
        ..credential("c")
    };
    let refusal = replica.caller().store(stranger, good).await;
    let (_, why) = reason(&refusal.expect_err("there is no such client"));
    assert_eq!(why, "UNKNOWN_CLIENT");
    Ok(())
}

#[tokio::test]
async fn messages_of_excessive_size_are_refused_and_the_service_goes_on() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    scene.fresh_credential(&replica, "c").await?;
    let huge = TokenMaterial {
        access_token: "x".repeat(20 << 20),
        ..TokenMaterial::default()
    };

    let refusal = replica.caller().store(credential("huge"), huge).await;
    let code = refusal.expect_err("it is too large").code();
    assert!(
        matches!(
            code,
            Code::OutOfRange | Code::ResourceExhausted | Code::InvalidArgument
        ),
        "{code:?}"
    );
    let many = BatchGetTokensRequest {
        requests: vec![request("c"); 1_001],
        ..BatchGetTokensRequest::default()
    };
    let refusal = replica.tokens().batch_get_tokens(many).await;
    names(&refusal.expect_err("they are too many"), "requests");

    assert_eq!(replica.caller().token("c").await?.generation, 1);
    Ok(())
}

#[tokio::test]
async fn a_batch_answers_each_request_in_its_place() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    scene.fresh_credential(&replica, "good").await?;
    scene.fresh_credential(&replica, "dead").await?;
    replica.caller().invalidate("dead").await?;

    let batch = BatchGetTokensRequest {
        requests: ["good", "dead", "unknown", "good"].map(request).into(),
        ..BatchGetTokensRequest::default()
    };
    let answer = replica.tokens().batch_get_tokens(batch).await?.into_inner();

    use evergrant_proto::v1::batch_get_tokens_result::Outcome;
    let outcomes = answer
        .results
        .into_iter()
        .map(|result| match result.outcome {
            Some(Outcome::Token(token)) => format!("generation {}", token.generation),
            Some(Outcome::Error(error)) => error.reason,
            None => "nothing".to_owned(),
        });
    assert_eq!(
        outcomes.collect::<Vec<_>>(),
        [
            "generation 1",
            "CREDENTIAL_INVALIDATED",
            "CREDENTIAL_NOT_FOUND",
            "generation 1"
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_malformed_cursor_or_filter_is_refused() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    let watches = [
        (
            "after",
            WatchRequest {
                after: "not a cursor".to_owned(),
                ..WatchRequest::default()
            },
        ),
        (
            "types",
            WatchRequest {
                types: vec![99],
                ..WatchRequest::default()
            },
        ),
        (
            "heartbeat_interval",
            WatchRequest {
                heartbeat_interval: Some(prost_types::Duration {
                    seconds: -1,
                    nanos: 0,
                }),
                ..WatchRequest::default()
            },
        ),
    ];
    for (field, request) in watches {
        let refusal = match replica.events().watch(request).await {
            Err(refusal) => refusal,
            Ok(stream) => stream.into_inner().message().await.expect_err(field),
        };
        names(&refusal, field);
    }
    Ok(())
}

#[tokio::test]
async fn an_integration_must_name_what_it_needs() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    let refusal = replica.caller().integrate("i", &["unknown"]).await;
    let (_, why) = reason(&refusal.expect_err("there is no such credential"));
    assert_eq!(why, "CREDENTIAL_NOT_FOUND");
    let refusal = replica
        .integrations()
        .create_integration(evergrant_proto::v1::CreateIntegrationRequest {
            integration: Some(Integration {
                integration_id: "a b".to_owned(),
                ..Integration::default()
            }),
        })
        .await;
    names(&refusal.expect_err("it is no id"), "integration_id");
    Ok(())
}

#[tokio::test]
async fn a_wrong_configuration_is_one_line_and_code_64() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let mistakes: [(&str, toml::Value); 7] = [
        ("server.listen", "nowhere".into()),
        ("server.lisen", "127.0.0.1:0".into()),
        ("store.url", "mysql://127.0.0.1/x".into()),
        ("redis.url", "http://127.0.0.1".into()),
        ("refresh.lease", "1s".into()),
        ("events.retention", "1h".into()),
        ("keys.active", "k9".into()),
    ];
    for (key, value) in mistakes {
        let config = scene.config().set(key, value);
        let (code, log) = Replica::run_to_end(&config).await?;
        assert_eq!(code, Some(64), "{key}: {log}");
        assert_eq!(log.trim_end().lines().count(), 1, "{key}: {log}");
        assert!(log.contains(key), "{key}: {log}");
    }
    Ok(())
}

#[tokio::test]
async fn a_dependency_out_of_reach_at_the_start_is_code_69() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let config = scene
        .config()
        .set("store.url", "postgres://evergrant@127.0.0.1:1/evergrant");
    let (code, log) = Replica::run_to_end(&config).await?;
    assert_eq!(code, Some(69), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_database_that_an_operator_must_mend_is_not_called_corrupt() -> Result<()> {
    let postgres = Postgres::start().await?;
    let missing = postgres.url().replace("/postgres", "/nowhere");
    let scene = Scene::on_sqlite().await?;
    let text_file = scene.sqlite_file().expect("this scene has an SQLite file");
    std::fs::write(
        &text_file,
        "no database at all, and long enough to be read as one\n".repeat(99),
    )?;

    for (config, why) in [
        (scene.config().set("store.url", missing), "3D000"),
        (scene.config(), "file is not a database"),
    ] {
        let (code, log) = Replica::run_to_end(&config).await?;
        assert_eq!(code, Some(69), "{log}");
        assert!(log.contains(why) && !log.contains("corrupt"), "{log}");
    }
    Ok(())
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    scene.replica("this version").await?.kill().await?;
    let file = scene.sqlite_file().expect("this scene has an SQLite file");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let mut connection = options.connect().await?;
    for change in [
        "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_later', 1)",
        "UPDATE schema_requirement SET migration = 'm9999_later'",
    ] {
        sqlx::query(change).execute(&mut connection).await?;
    }

    let (code, log) = Replica::run_to_end(&scene.config()).await?;

    assert_ne!(code, Some(0));
    assert!(log.contains("newer"), "{log}");
    Ok(())
}

#[tokio::test]
async fn an_expiry_far_in_the_past_or_future_is_taken_as_it_is() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    let grant = scene.sandbox.grant(RotationMode::Strict)?;
    let late = TokenMaterial {
        expires_at: Some(in_seconds(50 * 365 * 24 * 3600)),
        ..fresh(&grant)
    };
    replica.caller().store(credential("c"), late).await?;
    assert_eq!(replica.caller().token("c").await?.generation, 1);
    assert_eq!(scene.sandbox.calls_for(&grant), 0);
    Ok(())
}

/// Whether a refusal says that this field is wrong.
#[track_caller]
fn names(refusal: &Status, field: &str) {
    assert_eq!(
        refusal.code(),
        Code::InvalidArgument,
        "{field}: {refusal:?}"
    );
    let fields: Vec<_> = refusal
        .get_details_bad_request()
        .map(|bad| bad.field_violations)
        .unwrap_or_default()
        .into_iter()
        .map(|violation| violation.field)
        .collect();
    assert!(
        fields.iter().any(|named| named.contains(field)),
        "{field}: {fields:?} {refusal:?}"
    );
}
