use std::time::Duration;

use cloakroom::Actor;
use cloakroom_core::{Device, PrincipalId, Timestamp};
use tokio::net::{UdpSocket, UnixDatagram};

use super::*;
use crate::{Draft, EventObject, Head};

fn rows(events: &[&'static str]) -> Vec<AuditRow> {
    let alice = PrincipalId::new("alice").unwrap();
    let device =
        Device::new().with_ip([203, 0, 113, 9].into()).with_user_agent("<13>1 - forged \u{202e}line");
    let draft = |event: &&'static str| {
        Draft::new(event, Timestamp::from_millis(1_767_268_800_123))
            .about(Some(alice.clone()))
            .by(Actor::Admin(alice.clone()))
            .because("revoked_by_admin")
            .from_device(Some(device.clone()))
            .with("note", "two\nlines")
    };
    AuditRow::chain(Head::START, &events.iter().map(draft).collect::<Vec<_>>())
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("in time")
}

#[tokio::test]
async fn a_file_gets_a_line_for_each_event_and_is_opened_again_where_it_was_moved_away() {
    let dir = tempfile::tempdir().unwrap();
    let (path, away) = (dir.path().join("audit.jsonl"), dir.path().join("audit.jsonl.1"));
    let mut lines = Outlet::of(Sink::File(path.clone()));
    let read = |path: &PathBuf| -> Vec<EventObject> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    assert_eq!(lines.send(&rows(&["a", "b"]).into()).await.0, 2);
    std::fs::rename(&path, &away).unwrap();
    assert_eq!(lines.send(&rows(&["c"]).into()).await.0, 1);
    assert_eq!(read(&away).iter().map(|event| event.event.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let after = read(&path);
    assert_eq!(after.len(), 1);
    // What was sent out can be checked against the chain.
    let row = AuditRow::try_from(after.into_iter().next().unwrap()).unwrap();
    assert_eq!(row, rows(&["c"]).remove(0));
    std::fs::remove_dir_all(dir.path()).unwrap();
    let (sent, failure) = lines.send(&rows(&["d"]).into()).await;
    assert!(sent == 0 && failure.is_some(), "a directory that is gone is told of");
}

#[tokio::test]
async fn syslog_gets_a_message_for_each_event_over_both_roads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let unix = UnixDatagram::bind(&path).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut buffer = vec![0; 65_536];
    for to in [path.display().to_string(), format!("udp://{}", udp.local_addr().unwrap())] {
        let sink = Sink::Syslog { to: to.parse().unwrap(), host: "node-1".to_owned() };
        let sinks = Sinks::start(&[sink]);
        sinks.send(rows(&["session_revoked", "authn_token_reuse"]));
        for (event, priority) in [("session_revoked", 86), ("authn_token_reuse", 82)] {
            let length = match to.starts_with("udp") {
                true => within(udp.recv(&mut buffer)).await.unwrap(),
                false => within(unix.recv(&mut buffer)).await.unwrap(),
            };
            let message = std::str::from_utf8(&buffer[..length]).unwrap();
            let id = std::process::id();
            let head = format!("<{priority}>1 2026-01-01T12:00:00.123Z node-1 cloakroom {id} {event} - ");
            let json = message.strip_prefix(&head).unwrap_or_else(|| panic!("{message}"));
            assert!(!message.contains('\n'), "nothing in it begins another message");
            let event: EventObject = serde_json::from_str(json).unwrap();
            assert_eq!(event.detail["note"], "two\nlines");
        }
        within(sinks.close()).await;
    }
}

#[tokio::test]
async fn journald_gets_fields_that_no_value_can_add_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let socket = UnixDatagram::bind(&path).unwrap();
    let sinks = Sinks::start(&[Sink::Journald(path)]);
    let mut sent = rows(&["session_revoked"]);
    sent[0].principal = Some("alice\nPRIORITY=0".to_owned());
    sinks.send(sent);
    let mut buffer = vec![0; 65_536];
    let length = within(socket.recv(&mut buffer)).await.unwrap();
    let entry = &buffer[..length];
    let text = String::from_utf8_lossy(entry);
    assert!(
        text.contains("\nPRIORITY=6\n") && text.contains("\nCLOAKROOM_EVENT=session_revoked\n"),
        "{text}"
    );
    assert!(
        text.contains("\nCLOAKROOM_SEQ=1\n") && text.contains("\nSYSLOG_IDENTIFIER=cloakroom\n"),
        "{text}"
    );
    // A value with a line end has its length before it: journald reads 16 bytes of value, not another field.
    let binary =
        [b"CLOAKROOM_PRINCIPAL\n".as_slice(), &16_u64.to_le_bytes(), b"alice\nPRIORITY=0\n"].concat();
    assert!(entry.windows(binary.len()).any(|window| window == binary), "{text}");
    within(sinks.close()).await;
}

#[tokio::test]
async fn a_sink_that_takes_nothing_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let silent = UnixDatagram::bind(&path).unwrap();
    let sink = Sink::Syslog { to: SyslogAddress::Unix(path.clone()), host: String::new() };
    let sinks = Sinks::start(&[sink, Sink::Journald(dir.path().join("nobody"))]);
    // More than the socket's buffer holds, and than may wait.
    for _ in 0..70 {
        sinks.send(rows(&["a"; 1_000]));
    }
    assert!(sinks.0.iter().all(|sink| sink.waiting.load(Ordering::Relaxed) <= MOST_WAITING));
    within(sinks.close()).await;
    drop(silent);
}

#[test]
fn addresses_of_syslog_are_paths_and_machines() {
    for (text, shown) in [
        ("/dev/log", "unix:/dev/log"),
        ("unix:/run/x", "unix:/run/x"),
        ("udp://logs.example.org", "udp://logs.example.org:514"),
        ("udp://[::1]:5514", "udp://[::1]:5514"),
    ] {
        assert_eq!(text.parse::<SyslogAddress>().unwrap().to_string(), shown);
    }
    for text in ["", "dev/log", "tcp://host:514", "udp://", "udp://host/path"] {
        assert!(text.parse::<SyslogAddress>().is_err(), "{text}");
    }
}
