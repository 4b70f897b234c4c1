use bytes::Bytes;
use h2::Reason;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::server::health_reporter;

use super::*;

const SOON: Duration = Duration::from_secs(10);

/// Answers with an endless body that is asked to end itself after `patience` without a reader.
fn endless(patience: Option<Duration>) -> Routes {
    let handler = move || async move {
        let leash = Leash::current().expect("a request has a leash");
        if let Some(patience) = patience {
            leash.shorten(patience);
        }
        let chunk = Ok::<_, Infallible>(Bytes::from(vec![7; 1_000]));
        axum::body::Body::from_stream(futures_util::stream::repeat(chunk))
    };
    let short = || async { "all of it" };
    axum::Router::new()
        .route("/evergrant.test/Endless", axum::routing::get(handler))
        .route("/evergrant.test/Short", axum::routing::get(short))
        .into()
}

struct Served {
    address: std::net::SocketAddr,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
    tasks: TaskTracker,
}

async fn served(routes: Routes) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let leashes = Leashes {
        look: Duration::from_millis(20),
        grace: Duration::from_millis(100),
    };
    let tasks = TaskTracker::new();
    let ended = tasks.spawn(serve(listener, None, routes, leashes, stop.clone()));
    Served {
        address,
        stop,
        ended,
        tasks,
    }
}

impl Served {
    /// A client whose connection runs in the background, answers pings and has room for a hundred bytes a stream.
    async fn client(&self) -> h2::client::SendRequest<Bytes> {
        let socket = TcpStream::connect(self.address).await.unwrap();
        let client = h2::client::Builder::new()
            .initial_window_size(100)
            .handshake(socket);
        let (client, connection) = client.await.unwrap();
        self.tasks.spawn(async {
            let _ended = connection.await;
        });
        client
    }
}

async fn get(client: &h2::client::SendRequest<Bytes>, path: &str) -> h2::RecvStream {
    let request = Request::get(format!("http://server.test{path}"));
    let mut client = client.clone().ready().await.unwrap();
    let (answer, _) = client
        .send_request(request.body(()).unwrap(), true)
        .unwrap();
    answer.await.unwrap().into_body()
}

/// Takes what fits into the window, never asks for more, and answers how the stream ended.
async fn never_read(mut body: h2::RecvStream) -> Option<h2::Error> {
    let end = async {
        loop {
            match body.data().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Some(error),
                None => return None,
            }
        }
    };
    tokio::time::timeout(SOON, end).await.expect("it ends")
}

#[tokio::test]
async fn a_stream_that_nobody_reads_is_reset_and_its_neighbours_go_on() {
    let served = served(endless(Some(Duration::from_millis(50)))).await;
    let client = served.client().await;
    let body = get(&client, "/evergrant.test/Endless").await;
    let error = never_read(body).await.unwrap();
    assert_eq!(error.reason(), Some(Reason::CANCEL));
    let mut short = get(&client, "/evergrant.test/Short").await;
    assert_eq!(short.data().await.unwrap().unwrap(), "all of it");
}

#[tokio::test]
async fn a_stream_that_nobody_reads_does_not_hold_a_drain() {
    let served = served(endless(None)).await;
    let client = served.client().await;
    let body = get(&client, "/evergrant.test/Endless").await;
    served.stop.cancel();
    let error = never_read(body).await.unwrap();
    assert_eq!(error.reason(), Some(Reason::CANCEL));
    tokio::time::timeout(SOON, served.ended)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn an_answer_that_was_given_and_not_taken_does_not_hold_a_drain() {
    let long = || async { "x".repeat(100_000) };
    let routes = axum::Router::new().route("/evergrant.test/Long", axum::routing::get(long));
    let served = served(routes.into()).await;
    let client = served.client().await;
    let _unread = get(&client, "/evergrant.test/Long").await;
    served.stop.cancel();
    tokio::time::timeout(SOON, served.ended)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_request_at_work_is_finished_in_a_drain() {
    let (reached, at_work) = tokio::sync::oneshot::channel();
    let (go_on, told) = tokio::sync::oneshot::channel();
    let talk = Arc::new(std::sync::Mutex::new(Some((reached, told))));
    let handler = move || {
        let talk = talk.lock().unwrap().take();
        async move {
            let (reached, told) = talk.unwrap();
            reached.send(()).unwrap();
            told.await.unwrap();
            "done"
        }
    };
    let routes = axum::Router::new().route("/evergrant.test/Work", axum::routing::get(handler));
    let served = served(routes.into()).await;
    let client = served.client().await;
    let answer = served
        .tasks
        .spawn(async move { get(&client, "/evergrant.test/Work").await });
    at_work.await.unwrap();
    served.stop.cancel();
    // Much longer than the grace of what nobody takes.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!served.ended.is_finished());
    go_on.send(()).unwrap();
    assert_eq!(answer.await.unwrap().data().await.unwrap().unwrap(), "done");
    tokio::time::timeout(SOON, served.ended)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_watcher_of_health_does_not_hold_a_drain() {
    let (_reporter, health) = health_reporter();
    let served = served(Routes::new(health)).await;
    let url = format!("http://{}", served.address);
    let channel = tonic::transport::Endpoint::from_shared(url).unwrap();
    let mut client = HealthClient::new(channel.connect().await.unwrap());
    let request = HealthCheckRequest::default();
    let mut statuses = client.watch(request).await.unwrap().into_inner();
    assert!(statuses.message().await.unwrap().is_some());
    served.stop.cancel();
    let ended = tokio::time::timeout(SOON, statuses.message())
        .await
        .unwrap();
    assert!(ended.is_err(), "{ended:?}");
    tokio::time::timeout(SOON, served.ended)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_deadline_ends_a_request_that_goes_on() {
    let never = || async {
        std::future::pending::<()>().await;
        "never"
    };
    let routes = axum::Router::new().route("/evergrant.test/Never", axum::routing::get(never));
    let served = served(routes.into()).await;
    let request = Request::get("http://server.test/evergrant.test/Never");
    let request = request.header("grpc-timeout", "20m").body(()).unwrap();
    let mut client = served.client().await.ready().await.unwrap();
    let (answer, _) = client.send_request(request, true).unwrap();
    let answer = tokio::time::timeout(SOON, answer).await.unwrap().unwrap();
    assert_eq!(answer.headers()["grpc-status"], "4");
}
