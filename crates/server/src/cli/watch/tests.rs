use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use evergrant_proto::v1::event_service_server::{EventService, EventServiceServer};
use evergrant_proto::v1::{
    ClientRecovered, Closing, CredentialDeleted, CredentialInvalidated, Heartbeat, SnapshotEnd,
    WatchRequest, WatchResponse,
};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::*;

/// One stream of the scripted server: its messages and its end.
type Script = Vec<Result<WatchResponse, Status>>;

/// Plays one script a stream, and remembers what was asked.
#[derive(Clone, Default)]
struct Server {
    scripts: Arc<Mutex<VecDeque<Script>>>,
    requests: Arc<Mutex<Vec<WatchRequest>>>,
}

#[tonic::async_trait]
impl EventService for Server {
    type WatchStream = tokio_stream::Iter<std::vec::IntoIter<Result<WatchResponse, Status>>>;

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.requests.lock().unwrap().push(request.into_inner());
        let script = self.scripts.lock().unwrap().pop_front();
        match script {
            Some(script) => Ok(Response::new(tokio_stream::iter(script))),
            None => Err(Status::permission_denied("the script is over")),
        }
    }
}

/// Watches the scripted streams: the result, the requests, standard output and standard error.
async fn watch(
    scripts: impl Into<VecDeque<Script>>,
    arguments: &[&str],
) -> (Result<(), Failure>, Vec<WatchRequest>, String, String) {
    let server = Server {
        scripts: Arc::new(Mutex::new(scripts.into())),
        ..Default::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    let router =
        tonic::transport::Server::builder().add_service(EventServiceServer::new(server.clone()));
    tasks.spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));

    let words = ["evergrant", "watch", "--server", &url];
    let cli = crate::cli::parse(
        crate::Build {
            version: "",
            revision: "",
            profile: "",
        },
        words.iter().chain(arguments).map(std::ffi::OsString::from),
    );
    let crate::cli::Verb::Watch(verb) = cli.unwrap().verb else {
        panic!("the verb is watch");
    };
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let result = verb.run(&mut out, &mut notes).await;
    let requests = server.requests.lock().unwrap().clone();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (result, requests, text(out), text(notes))
}

fn message(number: u64, event: Event) -> Result<WatchResponse, Status> {
    let is_event = !matches!(
        event,
        Event::Heartbeat(_) | Event::Closing(_) | Event::SnapshotEnd(_)
    );
    Ok(WatchResponse {
        cursor: format!("c{number}"),
        covers_after: number - u64::from(is_event),
        covers_to: number,
        event: Some(event),
        ..Default::default()
    })
}

fn deleted(number: u64) -> Result<WatchResponse, Status> {
    message(
        number,
        Event::CredentialDeleted(CredentialDeleted {
            credential_id: format!("credential-{number}"),
            ..Default::default()
        }),
    )
}

fn end(code: Code, reason: &str) -> Result<WatchResponse, Status> {
    let details = ErrorDetails::with_error_info(
        reason,
        "evergrant.v1",
        std::collections::HashMap::<String, String>::new(),
    );
    Err(Status::with_error_details(code, "over", details))
}

#[tokio::test]
async fn a_watch_goes_on_after_its_last_cursor_when_the_stream_is_rotated() {
    let closing = Closing {
        reason: "STREAM_ROTATED".into(),
        reconnect_after: Some(prost_types::Duration {
            seconds: 0,
            nanos: 1,
        }),
    };
    let first = vec![
        message(
            4,
            Event::SnapshotEnd(SnapshotEnd {
                invalidated_count: 0,
            }),
        ),
        deleted(5),
        message(5, Event::Heartbeat(Heartbeat {})),
        message(5, Event::Closing(closing)),
        end(Code::Unavailable, "STREAM_ROTATED"),
    ];
    let second = vec![deleted(6), deleted(7)];
    let (result, requests, out, notes) =
        watch([first, second], &["--count", "2", "-o", "json"]).await;
    result.unwrap();
    let afters: Vec<_> = requests
        .iter()
        .map(|request| request.after.as_str())
        .collect();
    assert_eq!(afters, ["", "c5"]);
    assert_eq!(requests[0].heartbeat_interval.unwrap().seconds, 15);
    let lines: Vec<serde_json::Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let cursors: Vec<_> = lines
        .iter()
        .map(|line| line["cursor"].as_str().unwrap())
        .collect();
    assert_eq!(
        cursors,
        ["c4", "c5", "c6"],
        "the heartbeat is not printed, and the third event not awaited"
    );
    assert_eq!(
        notes,
        "evergrant: UNAVAILABLE STREAM_ROTATED: over; connecting again\n"
    );
}

#[tokio::test]
async fn an_expired_cursor_is_made_up_for_by_a_snapshot() {
    let first = vec![end(Code::OutOfRange, "CURSOR_EXPIRED")];
    let second = vec![deleted(90)];
    let arguments = ["--after", "c3", "--skip-snapshot", "--once"];
    let (result, requests, out, notes) = watch([first, second], &arguments).await;
    result.unwrap();
    assert_eq!(requests[0].after, "c3");
    assert_eq!(
        (requests[1].after.as_str(), requests[1].skip_snapshot),
        ("", false)
    );
    assert!(out.contains("credential-90"), "{out}");
    assert!(notes.contains("so a snapshot comes next"), "{notes}");
}

#[tokio::test]
async fn a_snapshot_that_broke_off_begins_anew_wherever_the_log_stands() {
    let in_snapshot = WatchResponse {
        covers_after: 4,
        covers_to: 4,
        event: Some(Event::CredentialInvalidated(CredentialInvalidated {
            snapshot: true,
            ..Default::default()
        })),
        ..Default::default()
    };
    let end_of_snapshot = Event::SnapshotEnd(SnapshotEnd {
        invalidated_count: 0,
    });
    let first = vec![Ok(in_snapshot), end(Code::Unavailable, "SHUTTING_DOWN")];
    let second = vec![message(9, end_of_snapshot), deleted(10)];
    let (result, requests, out, _) = watch([first, second], &["--count", "2"]).await;
    result.unwrap();
    assert_eq!(requests[1].after, "");
    assert!(out.contains("credential-10"), "{out}");
}

#[tokio::test]
async fn a_gap_ends_the_watch_with_an_error_also_over_a_reconnect() {
    let lost = vec![
        vec![deleted(1), end(Code::Unavailable, "SHUTTING_DOWN")],
        vec![deleted(3)],
    ];
    for scripts in [lost, vec![vec![deleted(1), deleted(3)]]] {
        let (result, _, out, _) = watch(scripts, &[]).await;
        let why = result.unwrap_err().to_string();
        assert_eq!(
            why,
            "gap in the event stream: covered up to event 1, but the next message covers from after event 2 to 3"
        );
        assert!(!out.contains("credential-3"), "{out}");
    }
}

#[tokio::test]
async fn a_refusal_ends_the_watch_and_an_end_with_ok_does_not() {
    let recovered = Event::ClientRecovered(ClientRecovered {
        provider: "slack".into(),
        client: "main".into(),
    });
    let scripts = [
        vec![message(1, recovered)],
        vec![end(Code::PermissionDenied, "PERMISSION_DENIED")],
    ];
    let (result, requests, out, notes) = watch(scripts, &["--tenant", "*"]).await;
    let why = result.unwrap_err().to_string();
    assert_eq!(why, "PERMISSION_DENIED PERMISSION_DENIED: over");
    assert_eq!(
        out,
        "-                         client_recovered            main of slack\n"
    );
    assert_eq!(requests[1].tenant_id, "*");
    assert!(
        notes.contains("the stream ended without a reason"),
        "{notes}"
    );
}

#[tokio::test(start_paused = true)]
async fn who_never_says_a_word_of_an_evergrant_is_given_up() {
    let strange = || vec![Err(Status::unknown("404"))];
    let scripts: Vec<Script> = (0..STRANGE_STREAMS).map(|_| strange()).collect();
    let (result, requests, _, _) = watch(scripts, &[]).await;
    let failure = result.unwrap_err();
    assert_eq!(failure.exit() as u8, 69, "{failure}");
    assert!(failure.to_string().contains("no Evergrant"), "{failure}");
    assert_eq!(requests.len(), STRANGE_STREAMS as usize);

    let mut scripts: Vec<Script> = (0..2 * STRANGE_STREAMS).map(|_| strange()).collect();
    let reason = ErrorDetails::with_error_info(
        "STREAM_LIMIT",
        "evergrant.v1",
        HashMap::<String, String>::new(),
    );
    scripts[1] = vec![Err(Status::with_error_details(
        Code::ResourceExhausted,
        "full",
        reason,
    ))];
    let (result, requests, _, _) = watch(scripts, &[]).await;
    assert_eq!(result.unwrap_err().exit() as u8, 1, "the script is over");
    assert_eq!(requests.len(), 2 * STRANGE_STREAMS as usize + 1);
}
