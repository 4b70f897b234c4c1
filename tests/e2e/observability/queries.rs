//! The alerts, the dashboard, and what their PromQL asks for.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Context, Result, anyhow};
use promql_parser::label::Matcher;
use promql_parser::parser::{self, Expr, VectorSelector};
use serde::Deserialize;
use serde_json::Value;

use super::repository;

/// An expression and where it stands.
#[derive(Debug, Clone)]
pub struct Query {
    pub place: String,
    pub expression: String,
}

/// An alert.
#[derive(Debug)]
pub struct Alert {
    pub name: String,
    pub severity: String,
    pub summary: String,
    pub runbook: String,
    expression: String,
}

/// What an expression asks of one metric.
#[derive(Debug)]
pub struct Selector {
    pub metric: String,
    pub matchers: Vec<Matcher>,
    /// The labels that it chooses or groups by.
    pub labels: BTreeSet<String>,
}

/// The alerts of `deploy/prometheus`.
pub fn alerts() -> Result<Vec<Alert>> {
    #[derive(Deserialize)]
    struct File {
        groups: Vec<Group>,
    }
    #[derive(Deserialize)]
    struct Group {
        rules: Vec<Rule>,
    }
    #[derive(Deserialize)]
    struct Rule {
        alert: String,
        expr: String,
        labels: Labels,
        annotations: Annotations,
    }
    #[derive(Deserialize)]
    struct Labels {
        severity: String,
    }
    #[derive(Deserialize)]
    struct Annotations {
        summary: String,
        runbook_url: String,
    }
    let text = std::fs::read_to_string(repository("deploy/prometheus/alerts.yaml"))?;
    let file: File = serde_saphyr::from_str(&text).map_err(|error| anyhow!("{error}"))?;
    let rules = file.groups.into_iter().flat_map(|group| group.rules);
    let alerts = rules.map(|rule| Alert {
        name: rule.alert,
        severity: rule.labels.severity,
        summary: rule.annotations.summary,
        runbook: rule.annotations.runbook_url,
        expression: rule.expr,
    });
    Ok(alerts.collect())
}

/// What the alerts ask.
pub fn of_alerts() -> Result<Vec<Query>> {
    let queries = alerts()?.into_iter().map(|alert| Query {
        place: alert.name,
        expression: alert.expression,
    });
    Ok(queries.collect())
}

/// What the panels and the variables of the dashboard ask.
pub fn of_dashboard() -> Result<Vec<Query>> {
    let text = std::fs::read_to_string(repository("deploy/grafana/evergrant.json"))?;
    let dashboard: Value = serde_json::from_str(&text)?;
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().context("no panels")? {
        let title = panel["title"].as_str().context("no title")?;
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().context("no expression")?;
            queries.push(Query {
                place: format!("panel {title:?}"),
                expression: without_variables(expression),
            });
        }
    }
    for variable in dashboard["templating"]["list"]
        .as_array()
        .into_iter()
        .flatten()
    {
        // label_values(metric, label)
        if let Some(asked) = variable["query"]["query"].as_str() {
            let inside = asked
                .strip_prefix("label_values(")
                .context("another question")?;
            let (metric, label) = inside
                .trim_end_matches(')')
                .split_once(',')
                .context("no label")?;
            queries.push(Query {
                place: format!("variable {}", variable["name"]),
                expression: format!("sum by ({label}) ({metric})"),
            });
        }
    }
    Ok(queries)
}

/// With what Grafana puts in place of its variables when all is shown.
fn without_variables(expression: &str) -> String {
    expression
        .replace("$__rate_interval", "1m")
        .replace("$instance", ".*")
        .replace("$provider", ".*")
}

/// What `expression` asks of each metric that is in it.
pub fn selectors(expression: &str) -> Result<Vec<Selector>> {
    let parsed = parser::parse(expression).map_err(|why| anyhow!("{expression}: {why}"))?;
    let mut found = Vec::new();
    collect(&parsed, &[], &mut found);
    Ok(found)
}

fn collect(expression: &Expr, grouped_by: &[String], found: &mut Vec<Selector>) {
    match expression {
        Expr::Aggregate(aggregate) => {
            let labels = aggregate.modifier.as_ref();
            let mut grouped_by = grouped_by.to_vec();
            grouped_by.extend(labels.into_iter().flat_map(|by| by.labels().labels.clone()));
            collect(&aggregate.expr, &grouped_by, found);
        }
        Expr::Binary(binary) => {
            collect(&binary.lhs, grouped_by, found);
            collect(&binary.rhs, grouped_by, found);
        }
        Expr::Unary(unary) => collect(&unary.expr, grouped_by, found),
        Expr::Paren(paren) => collect(&paren.expr, grouped_by, found),
        Expr::Subquery(subquery) => collect(&subquery.expr, grouped_by, found),
        Expr::Call(call) => {
            for argument in &call.args.args {
                collect(argument, grouped_by, found);
            }
        }
        Expr::VectorSelector(selector) => found.push(selected(selector, grouped_by)),
        Expr::MatrixSelector(matrix) => found.push(selected(&matrix.vs, grouped_by)),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

fn selected(selector: &VectorSelector, grouped_by: &[String]) -> Selector {
    let matchers = selector.matchers.matchers.clone();
    let mut labels: BTreeSet<String> = grouped_by.iter().cloned().collect();
    labels.extend(matchers.iter().map(|matcher| matcher.name.clone()));
    Selector {
        metric: selector.name.clone().unwrap_or_default(),
        matchers,
        labels,
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let matchers: Vec<_> = self.matchers.iter().map(ToString::to_string).collect();
        write!(f, "{}{{{}}}", self.metric, matchers.join(","))
    }
}
