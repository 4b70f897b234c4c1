use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, Full};

use super::*;

const GRACE: Duration = Duration::from_secs(2);

/// Reads a body to its end and says `GET` or `POST` with a status of its own.
#[derive(Clone)]
struct Echo;

impl Respond for Echo {
    type Body = Full<Bytes>;

    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let status = match *request.method() {
            Method::POST => StatusCode::CREATED,
            _ => StatusCode::OK,
        };
        let read = request.into_body().collect().await.unwrap();
        let mut response = Response::new(Full::new(read.to_bytes()));
        *response.status_mut() = status;
        response
    }
}

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let server = Self {
            address: listener.local_addr().unwrap(),
            stop: stop.clone(),
            tasks: tasks.clone(),
        };
        let stop = Stop {
            when: stop,
            grace: GRACE,
        };
        tasks.spawn(serve(listener, None, Echo, stop));
        tasks.close();
        server
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// What comes until the peer closes.
async fn rest(mut socket: TcpStream) -> String {
    let mut text = Vec::new();
    // A reset is an end as well.
    let _ = socket.read_to_end(&mut text).await;
    String::from_utf8(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn who_sends_no_headers_is_cut_off() {
    let server = Server::start().await;
    for beginning in ["", "POST / HTTP/1.1\r\nhost: x\r\n"] {
        let mut socket = server.connect().await;
        socket.write_all(beginning.as_bytes()).await.unwrap();
        let began = tokio::time::Instant::now();
        rest(socket).await;
        assert!(
            began.elapsed() <= HEADERS + Duration::from_secs(1),
            "{beginning}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn who_sends_headers_without_end_is_refused() {
    let server = Server::start().await;
    let mut socket = server.connect().await;
    let lots = format!("POST / HTTP/1.1\r\nx: {}\r\n", "a".repeat(2 * HEADER_BYTES));
    // It may be closed while it is still being written to.
    let _ = socket.write_all(lots.as_bytes()).await;
    let answer = rest(socket).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
}

#[tokio::test]
async fn several_requests_of_one_connection_are_answered() {
    let server = Server::start().await;
    let mut socket = server.connect().await;
    let twice =
        "GET / HTTP/1.1\r\nhost: x\r\n\r\nPOST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    socket.write_all(twice.as_bytes()).await.unwrap();
    let answers = rest(socket).await;
    assert!(answers.starts_with("HTTP/1.1 200"), "{answers}");
    assert!(answers.contains("HTTP/1.1 201"), "{answers}");
}

#[tokio::test]
async fn what_was_begun_is_answered_after_the_stop_and_nothing_new_is_taken() {
    let server = Server::start().await;
    let mut begun = server.connect().await;
    let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n";
    begun.write_all(head.as_bytes()).await.unwrap();
    let mut goes_on = [0; 25];
    begun.read_exact(&mut goes_on).await.unwrap();
    assert!(goes_on.starts_with(b"HTTP/1.1 100"));

    server.stop.cancel();
    begun.write_all(b"{}").await.unwrap();
    let answer = rest(begun).await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    server.tasks.wait().await;
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn who_does_not_end_a_request_does_not_hold_up_the_stop() {
    let server = Server::start().await;
    let mut socket = server.connect().await;
    let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{";
    socket.write_all(head.as_bytes()).await.unwrap();
    server.stop.cancel();
    let began = tokio::time::Instant::now();
    server.tasks.wait().await;
    assert!(began.elapsed() <= GRACE + Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn who_takes_no_answers_is_cut_off() {
    let server = Server::start().await;
    let mut socket = server.connect().await;
    let began = tokio::time::Instant::now();
    let request = "GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1_000);
    // Until nothing more fits, since nobody reads the answers, and then until it fails.
    while socket.write_all(request.as_bytes()).await.is_ok() {}
    let longest = LONGEST_CONNECTION + LAST_REQUEST + Duration::from_secs(1);
    assert!(began.elapsed() <= longest, "{:?}", began.elapsed());
}
