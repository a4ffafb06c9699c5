//! The connection by which the server tells that the list has changed. It proves nothing: whoever hears of a change reads.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use redis::aio::MultiplexedConnection;
use redis::{PushInfo, PushKind, Value, cmd};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::client::Client;
use crate::error::{Problem, said};
use crate::feed::{follow, refused};
use crate::keys::ENDS;
use crate::node::{Lane, Node};
use crate::nonce::Nonces;

/// Follows the list wherever it is, for ever: whoever keeps the task ends it.
pub(super) async fn listen(client: Arc<Client>, changed: Arc<Notify>) {
    let jitter = Nonces::default();
    let mut pause = FIRST_PAUSE;
    loop {
        let (has_followed, problem) = hear(&client, &changed).await;
        let is_deaf = matches!(problem, Problem::Deaf { .. });
        if is_deaf {
            let problem = said(&problem);
            tracing::warn!(problem, "the list of ends is asked at intervals only");
        } else {
            tracing::debug!(problem = said(&problem), "changes of the list of ends are not told");
        }
        pause = match (is_deaf, has_followed) {
            (true, _) => DEAF_PAUSE,
            (false, true) => FIRST_PAUSE,
            (false, false) => (pause * 2).min(LONGEST_PAUSE),
        };
        sleep(jitter.jittered(pause)).await;
    }
}

/// Follows the list on the server that has it now, until it is not told any more: whether it ever was, and why it ended.
async fn hear(client: &Client, changed: &Arc<Notify>) -> (bool, Problem) {
    let mut has_followed = false;
    match follow_list(client, changed, &mut has_followed).await {
        Ok(never) => match never {},
        Err(problem) => (has_followed, problem),
    }
}

async fn follow_list(
    client: &Client,
    changed: &Arc<Notify>,
    has_followed: &mut bool,
) -> Result<std::convert::Infallible, Problem> {
    let bucket = client.layout.bucket_of_ends();
    let deadline = client.deadline();
    let late = |_| Problem::Overdue(deadline);
    let node = timeout(deadline, client.topology.owner(bucket)).await.map_err(late)??;
    let broken = Arc::new(Notify::new());
    let (tells, breaks) = (Arc::clone(changed), Arc::clone(&broken));
    let wire = open(client, &node, move |push| match push.kind {
        PushKind::Invalidate => tells.notify_waiters(),
        PushKind::Disconnection => breaks.notify_one(),
        _ => {}
    });
    let mut wire = wire.await?;
    *has_followed = true;
    // Nobody has told what was added until now.
    changed.notify_waiters();
    loop {
        if let Either::Left(_) = select(pin!(broken.notified()), pin!(sleep(INTERVAL))).await {
            return Err(Problem::Unfollowed {
                address: node.host.to_string(),
                detail: "the connection broke".to_owned(),
                is_gone: true,
            });
        }
        // A link that was cut in silence, and a list that is somewhere else by now.
        timeout(deadline, is_there(&mut wire, &node)).await.map_err(late)??;
        let present = timeout(deadline, client.topology.owner(bucket)).await.map_err(late)??;
        if !Arc::ptr_eq(&present, &node) {
            return Err(Problem::Unfollowed {
                address: node.host.to_string(),
                detail: format!("the list is kept by {}", present.host),
                is_gone: false,
            });
        }
    }
}

/// Whether a server tells this user of changes; asked on a connection of its own.
pub(crate) async fn is_told(client: &Client, node: &Node) -> Result<bool, Problem> {
    match open(client, node, |_| {}).await {
        Ok(_) => Ok(true),
        Err(Problem::Deaf { .. }) => Ok(false),
        Err(problem) => Err(problem),
    }
}

async fn open(
    client: &Client,
    node: &Node,
    listen: impl Fn(PushInfo) + Send + Sync + 'static,
) -> Result<MultiplexedConnection, Problem> {
    let (names, deadline) = ([client.layout.class(ENDS)], client.deadline());
    let following = async {
        let mut wire = follow(node.link(Lane::Commands), &names, listen).await?;
        is_there(&mut wire, node).await?;
        Ok(wire)
    };
    timeout(deadline, following).await.unwrap_or(Err(Problem::Overdue(deadline)))
}

async fn is_there(wire: &mut MultiplexedConnection, node: &Node) -> Result<(), Problem> {
    let answer = wire.send_packed_command(&cmd("PING")).await.and_then(Value::extract_error);
    answer.map(|_| ()).map_err(|error| refused(node.link(Lane::Commands), error))
}

/// How long it may take to notice that the list is told of by nobody: one small question each time.
const INTERVAL: Duration = Duration::from_secs(1);
/// Before a connection that broke is made anew for the first time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Between two attempts to reach a server that is not there.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Before a server that does not allow it is asked again.
const DEAF_PAUSE: Duration = Duration::from_secs(60);
