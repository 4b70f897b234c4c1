//! What a replica tells of itself is what documents, dashboard and alerts take it to be.

mod documented;
mod queries;

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use promql_parser::label::Matcher;
use serde_json::Value;

use self::documented::{Documented, documented_fields, documented_metrics};
use self::queries::{Query, alerts, of_alerts, of_dashboard};
use crate::harness::eventually::eventually;
use crate::harness::metrics::Metrics;
use crate::harness::promtool;
use crate::harness::replica::Replica;
use crate::harness::scene::{PROVIDER, SOON, Scene};

/// What Prometheus adds to what it scrapes.
const BY_PROMETHEUS: [&str; 2] = ["instance", "job"];

#[tokio::test]
async fn every_metric_is_there_from_the_start_with_the_labels_that_are_documented() -> Result<()> {
    let scene = everything().await?;
    let replica = scene.replica("replica").await?;
    let documented = documented_metrics();
    let text = sampled(&replica, &documented).await?;

    let exported = Metrics::parse(&text)?;
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let kinds: BTreeSet<&str> = kinds.collect();
    let expected: Vec<_> = documented
        .iter()
        .map(|metric| format!("{} {}", metric.name, metric.kind))
        .collect();
    assert_eq!(kinds, expected.iter().map(String::as_str).collect());
    for metric in &documented {
        let mut labels = metric.labels.clone();
        let series = match &*metric.kind {
            "histogram" => {
                labels.insert("le".to_owned());
                exported.labels_of(&format!("{}_bucket", metric.name))
            }
            _ => exported.labels_of(&metric.name),
        };
        assert!(!series.is_empty(), "{} is not there", metric.name);
        for found in series {
            let found: BTreeSet<_> = found.keys().cloned().collect();
            assert_eq!(found, labels, "{}", metric.name);
        }
    }
    Ok(())
}

#[tokio::test]
async fn dashboard_and_alerts_ask_for_what_a_replica_exports() -> Result<()> {
    let scene = everything().await?;
    let replica = scene.replica("replica").await?;
    let text = sampled(&replica, &documented_metrics()).await?;
    let exported = Metrics::parse(&text)?;

    let queries = [of_alerts()?, of_dashboard()?].concat();
    assert!(queries.len() > 80, "there are {} queries", queries.len());
    for Query { place, expression } in &queries {
        for selector in queries::selectors(expression).with_context(|| place.clone())? {
            let name = &selector.metric;
            let series = exported.labels_of(name);
            ensure!(!series.is_empty(), "{place}: there is no {name}");
            for label in &selector.labels {
                let known = BY_PROMETHEUS.contains(&&**label)
                    || series.iter().all(|labels| labels.contains_key(label));
                ensure!(known, "{place}: {name} has no label {label}");
            }
            // A counter that appears with its first event has not increased by it, for Prometheus.
            let mut own = selector.matchers.clone();
            own.retain(|matcher| !BY_PROMETHEUS.contains(&&*matcher.name));
            let found = series.iter().any(|labels| {
                let is_met = |matcher: &Matcher| matcher.is_match(&labels[&matcher.name]);
                own.iter().all(is_met)
            });
            ensure!(
                found,
                "{place}: nothing is there from the start for {selector}"
            );
        }
    }
    Ok(())
}

#[test]
fn every_alert_says_how_grave_it_is_what_it_is_and_where_to_read_on() -> Result<()> {
    let link = std::fs::read(repository("deploy/prometheus/alerts.yaml"))?;
    let chart = std::fs::read(repository("deploy/helm/evergrant/files/alerts.yaml"))?;
    ensure!(link == chart, "there are two sources of alerts");
    let mut names = BTreeSet::new();
    for alert in alerts()? {
        let name = &alert.name;
        ensure!(names.insert(name.clone()), "{name} is there twice");
        let severities = ["critical", "warning", "info"];
        ensure!(severities.contains(&&*alert.severity), "{name}");
        ensure!(!alert.summary.is_empty(), "{name} has no summary");
        let section = format!("docs/handbook.md#{}", name.to_lowercase());
        ensure!(
            alert.runbook == section,
            "{name} leads to {}",
            alert.runbook
        );
    }
    Ok(())
}

#[test]
fn every_alert_fires_and_keeps_quiet_as_its_tests_say() -> Result<()> {
    let tests = repository("deploy/prometheus/alerts_test.yaml");
    let text = std::fs::read_to_string(&tests)?;
    for alert in alerts()? {
        for does in ["fires", "keeps quiet"] {
            let title = format!("  - name: {} {does}\n", alert.name);
            ensure!(
                text.contains(&title),
                "nothing shows that it {does}: {}",
                alert.name
            );
        }
    }
    let mut promtool = Command::new(promtool::path()?);
    let output = promtool.args(["test", "rules"]).arg(tests).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}{complained}");
    Ok(())
}

#[tokio::test]
async fn log_lines_have_no_field_that_is_not_documented() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let scene = scene.set("telemetry.format", "json");
    let mut replica = scene.replica("replica").await?;
    let caller = replica.caller();
    scene.expired_credential(&replica, "good").await?;
    caller.token("good").await?;
    let dead = scene.fresh_credential(&replica, "dead").await?;
    scene.sandbox.control().revoke_grant(&dead.family)?;
    assert!(caller.refused("dead", 1).await.is_err());
    caller.delete("good", true).await?;
    replica.terminate()?;
    replica.end().await?;

    let known = documented_fields();
    let mut seen = BTreeSet::new();
    for line in replica.log().lines() {
        let line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let line = line.as_object().context("a line is an object")?;
        if line["target"]
            .as_str()
            .is_some_and(|target| target.starts_with("evergrant"))
        {
            for field in line.keys() {
                ensure!(known.contains(field), "{field} is not documented: {line:?}");
                seen.insert(field.clone());
            }
        }
    }
    for field in ["timestamp", "level", "message", "grant", "client", "reason"] {
        ensure!(seen.contains(field), "no line had {field}");
    }
    Ok(())
}

/// The names of all alerts.
pub fn alert_names() -> Result<BTreeSet<String>> {
    let alerts = alerts()?.into_iter();
    Ok(alerts.map(|alert| alert.name).collect())
}

/// A scene in which everything is configured that has metrics of its own.
async fn everything() -> Result<Scene> {
    let scene = Scene::with_redis().await?;
    Ok(scene
        .set("inbound.listen", "127.0.0.1:0")
        .set("inbound.receivers.hooks.kind", "slack")
        .set("inbound.receivers.hooks.provider", PROVIDER)
        .set("inbound.receivers.hooks.signing_secret", "a-signing-secret"))
}

/// What the replica exports once it has sampled its gauges for the first time.
async fn sampled(replica: &Replica, documented: &[Documented]) -> Result<String> {
    eventually("the first sample", SOON, async || {
        let text = replica.metrics_text().await.ok()?;
        let has = |metric: &Documented| text.contains(&format!("# TYPE {} ", metric.name));
        documented.iter().all(has).then_some(text)
    })
    .await
}

fn repository(path: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
