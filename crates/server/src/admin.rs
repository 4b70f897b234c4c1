//! The HTTP listener for operators and Kubernetes: `/metrics`, `/livez`, `/readyz`.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::health::Health;
use crate::sight::AtScrape;

#[derive(Clone)]
struct Admin {
    health: Health,
    metrics: PrometheusHandle,
    gauges: AtScrape,
}

/// Serves until `stop` is cancelled.
pub async fn serve(
    listener: TcpListener,
    health: Health,
    metrics: PrometheusHandle,
    gauges: AtScrape,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(scrape))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(Admin {
            health,
            metrics,
            gauges,
        });
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

async fn scrape(State(admin): State<Admin>) -> impl IntoResponse {
    let format = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    admin.gauges.show();
    (format, admin.metrics.render())
}

async fn ready(State(admin): State<Admin>) -> impl IntoResponse {
    if admin.health.is_serving() {
        (StatusCode::OK, "serving\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not serving\n")
    }
}
