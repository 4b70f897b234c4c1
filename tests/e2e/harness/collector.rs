//! A collector of traces: OTLP over gRPC, in memory.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use super::authority::Issued;
use super::background::background;

/// A running collector. It ends when dropped.
pub struct Collector {
    scheme: &'static str,
    address: SocketAddr,
    kept: Kept,
    server: JoinHandle<()>,
}

/// A span that came, and who sent it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub span: Span,
    /// The attributes of the sender, by name.
    pub resource: BTreeMap<String, String>,
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

impl Collector {
    /// Starts one on a free port.
    pub async fn start() -> Result<Self> {
        Self::serving("http", Server::builder()).await
    }

    /// The same behind TLS, with a certificate for `localhost`.
    pub async fn start_with(certificate: &Issued) -> Result<Self> {
        let identity = Identity::from_pem(&certificate.cert, &certificate.key);
        let tls = ServerTlsConfig::new().identity(identity);
        Self::serving("https", Server::builder().tls_config(tls)?).await
    }

    async fn serving(scheme: &'static str, mut server: Server) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let kept = Kept::default();
        let service = TraceServiceServer::new(kept.clone());
        let server = background(async move {
            let incoming = TcpListenerStream::new(listener);
            let served = server
                .add_service(service)
                .serve_with_incoming(incoming)
                .await;
            served.expect("a listener that was bound serves");
        });
        Ok(Self {
            scheme,
            address,
            kept,
            server,
        })
    }

    /// What `telemetry.otlp_endpoint` must be.
    pub fn endpoint(&self) -> String {
        format!("{}://localhost:{}", self.scheme, self.address.port())
    }

    /// All spans that came so far.
    pub fn spans(&self) -> Vec<Seen> {
        let batches = self.kept.lock().clone();
        let of_resources = batches.into_iter().flat_map(|batch| batch.resource_spans);
        let mut seen = Vec::new();
        for of_resource in of_resources {
            let resource = attributes(&of_resource.resource.unwrap_or_default().attributes);
            let spans = of_resource.scope_spans.into_iter();
            seen.extend(spans.flat_map(|scope| scope.spans).map(|span| Seen {
                span,
                resource: resource.clone(),
            }));
        }
        seen
    }

    /// Everything that came so far, as it came.
    pub fn bytes(&self) -> Vec<u8> {
        let batches = self.kept.lock();
        batches
            .iter()
            .flat_map(ExportTraceServiceRequest::encode_to_vec)
            .collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Seen {
    /// An attribute as text; empty if it is not there.
    pub fn get(&self, name: &str) -> String {
        let mut all = attributes(&self.span.attributes);
        all.remove(name).unwrap_or_default()
    }

    /// The spans that it is linked to.
    pub fn linked_to(&self) -> Vec<&[u8]> {
        let links = self.span.links.iter();
        links.map(|link| link.span_id.as_slice()).collect()
    }
}

impl Kept {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<ExportTraceServiceRequest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.lock().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn attributes(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes
        .iter()
        .filter_map(|KeyValue { key, value, .. }| {
            let value = value.as_ref()?.value.as_ref()?;
            Some((key.clone(), text(value)))
        })
        .collect()
}
