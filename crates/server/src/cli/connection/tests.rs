use std::io;
use std::sync::{Arc, Mutex};

use evergrant_proto::v1::token_service_server::{TokenService, TokenServiceServer};
use evergrant_proto::v1::{
    BatchGetTokensRequest, BatchGetTokensResponse, GetTokenRequest, GetTokenResponse,
};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Response;

use super::*;
use crate::cli::{Verb, parse};

/// Answers with a token and remembers what it was asked, metadata included.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<Vec<Request<GetTokenRequest>>>>);

#[tonic::async_trait]
impl TokenService for Server {
    async fn get_token(
        &self,
        request: Request<GetTokenRequest>,
    ) -> Result<Response<GetTokenResponse>, Status> {
        let is_slow = request.get_ref().credential_id == "slow";
        self.0.lock().unwrap().push(request);
        if is_slow {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(GetTokenResponse {
            access_token: "abc".into(),
            generation: 3,
            ..Default::default()
        }))
    }

    async fn batch_get_tokens(
        &self,
        _: Request<BatchGetTokensRequest>,
    ) -> Result<Response<BatchGetTokensResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }
}

/// Runs `evergrant token get` against the server.
async fn get(arguments: &[&str]) -> (Result<(), Failure>, Vec<Request<GetTokenRequest>>, String) {
    let server = Server::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    let router =
        tonic::transport::Server::builder().add_service(TokenServiceServer::new(server.clone()));
    tasks.spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));

    let build = crate::Build {
        version: "",
        revision: "",
        profile: "",
    };
    let words = ["evergrant", "token", "get", "--server", &url];
    let words = words.iter().chain(arguments).map(std::ffi::OsString::from);
    let Verb::Token(verb) = parse(build, words).unwrap().verb else {
        panic!("the verb is token");
    };
    let mut out = Vec::new();
    let result = verb.run(&mut out, &mut Vec::new()).await;
    let requests = std::mem::take(&mut *server.0.lock().unwrap());
    (result, requests, String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn a_call_says_who_asks_for_which_tenant_and_how_long_it_may_take() {
    let arguments = [
        "slack-7",
        "--auth-token",
        "hush",
        "--tenant",
        "acme",
        "--min-validity",
        "10m",
    ];
    let (result, requests, out) = get(&arguments).await;
    result.unwrap();
    let metadata = requests[0].metadata();
    assert_eq!(metadata.get("authorization").unwrap(), "Bearer hush");
    assert_eq!(metadata.get("grpc-timeout").unwrap(), "30000000u");
    let asked = requests[0].get_ref();
    assert_eq!(
        (asked.tenant_id.as_str(), asked.credential_id.as_str()),
        ("acme", "slack-7")
    );
    assert_eq!(asked.min_validity.unwrap().seconds, 600);
    assert!(
        out.contains("sha256:ba7816bf8f01cfea") && !out.contains("abc"),
        "{out}"
    );
}

#[tokio::test]
async fn a_token_in_a_file_is_read_again_for_each_call() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "first\n").unwrap();
    let mut caller = Caller {
        authorization: Authorization::File(path.clone()),
        timeout: None,
    };
    let sent = |caller: &mut Caller| {
        let request = caller.call(Request::new(()));
        request.map(|request| request.metadata().get("authorization").cloned().unwrap())
    };
    assert_eq!(sent(&mut caller).unwrap(), "Bearer first");
    std::fs::write(&path, "second").unwrap();
    assert_eq!(sent(&mut caller).unwrap(), "Bearer second");
    std::fs::write(&path, "").unwrap();
    assert!(sent(&mut caller).is_err());
    let (result, requests, _) = get(&["a", "--auth-token-file", path.to_str().unwrap()]).await;
    let failure = result.unwrap_err().to_string();
    assert!(failure.contains("--auth-token-file"), "{failure}");
    assert!(requests.is_empty());
}

#[tokio::test]
async fn a_refused_token_is_sent_as_its_digest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "abc\n").unwrap();
    let (result, requests, _) = get(&["a", "--rejected-token", path.to_str().unwrap()]).await;
    result.unwrap();
    let shown = format!("{:?}", requests[0].get_ref().rejected);
    assert!(
        shown.contains("RejectedTokenSha256") && !shown.contains("abc"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_call_ends_at_its_timeout() {
    let (result, _, _) = get(&["slow", "--timeout", "50ms"]).await;
    let failure = result.unwrap_err();
    assert_eq!(failure.exit(), crate::cli::exit::Exit::Failure);
    assert!(
        failure.to_string().contains("imeout") || failure.to_string().contains("DEADLINE"),
        "{failure}"
    );
}

/// What `evergrant token get` says to a server that answers the first bytes with `words` and ends the connection.
async fn told_by(scheme: &str, words: &'static [u8]) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("{scheme}://{}", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut asked = [0; 16];
            let _asked = socket.read(&mut asked).await;
            let _answered = socket.write_all(words).await;
        }
    });
    let build = crate::Build {
        version: "",
        revision: "",
        profile: "",
    };
    let words = ["evergrant", "token", "get", "a", "--server", &url];
    let Verb::Token(verb) = parse(build, words.map(std::ffi::OsString::from))
        .unwrap()
        .verb
    else {
        panic!("the verb is token");
    };
    let failure = verb
        .run(&mut Vec::new(), &mut Vec::new())
        .await
        .unwrap_err();
    assert_eq!(failure.exit(), crate::cli::exit::Exit::Unreachable);
    failure.to_string()
}

#[tokio::test]
async fn a_server_that_speaks_something_else_is_told_with_the_likely_mistake() {
    let alert = &[21, 3, 3, 0, 2, 2, 70];
    let settings = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    for (scheme, words, hint) in [
        (
            "http",
            &alert[..],
            "it speaks TLS: the URL must begin with https://",
        ),
        (
            "http",
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            "is this its gRPC port",
        ),
        (
            "http",
            b"",
            "if it speaks TLS, the URL must begin with https://",
        ),
        (
            "https",
            settings,
            "it does not speak TLS: the URL must begin with http://",
        ),
        (
            "https",
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            "it does not speak TLS",
        ),
        ("https", b"", "does it speak TLS on this port?"),
    ] {
        let told = told_by(scheme, words).await;
        assert!(told.contains(hint), "{scheme} {words:?}: {told}");
    }
}

#[test]
fn an_answer_that_is_not_grpcs_hints_at_the_port() {
    let status =
        Status::unimplemented("grpc-status header missing, mapped from HTTP status code 404");
    let told = Failure::from(status).to_string();
    assert!(
        told.ends_with("is this the gRPC port, and not the one for metrics?"),
        "{told}"
    );
    let own = Failure::from(Status::unimplemented("no such method")).to_string();
    assert_eq!(own, "UNIMPLEMENTED: no such method");
}

#[test]
fn a_connection_that_the_server_closed_hints_at_the_certificate() {
    let broken = io::Error::new(io::ErrorKind::BrokenPipe, "broken pipe");
    let told = Failure::from(Status::from_error(Box::new(broken))).to_string();
    assert!(told.contains("another client certificate"), "{told}");
    let required = io::Error::other("received fatal alert: CertificateRequired");
    let told = Failure::from(Status::from_error(Box::new(required))).to_string();
    assert!(told.ends_with("--tls-cert and --tls-key"), "{told}");
}
