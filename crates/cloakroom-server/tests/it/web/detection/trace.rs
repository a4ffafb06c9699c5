//! Recorded traffic.
//!
//! A trace has three parts: `[config]`, a configuration; `[trace]`, what happens, line by line; `[signals]`, the signals that
//! it gives, each `PRINCIPAL SIGNAL GRADE`, in order. A line of the trace is
//!
//! ```text
//! TIME  WHO  ACT [ARGUMENTS] [at ADDRESS] [with PROGRAM] [= STATUS [CODE]]
//! ```
//!
//! `TIME` counts from the beginning. `WHO` is `principal@device`; a device keeps its address, its program and its cookie. What
//! is expected after `=` is 200 where nothing is said.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cloakroom::{
    AuthLevel, Authentication, Device, Issue, ListItem, Method as Proof, Principal, PrincipalId, SessionId,
};
use cloakroom_audit::{AuditEvent, AuditQuery, names};
use cloakroom_http::device_label;
use cloakroom_server::config::parse_duration;
use http::Method;
use serde_json::json;

use crate::web::client::{Answer, Client};
use crate::web::server::{PASSWORD, Server};

#[path = "../../../../../cloakroom-detection/tests/support/mmdb.rs"]
mod mmdb;

/// A recorded piece of traffic.
pub(super) struct Trace {
    path: PathBuf,
    config: String,
    lines: Vec<(usize, String)>,
    signals: Vec<String>,
}

impl Trace {
    pub(super) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let mut trace =
            Self { path: path.to_owned(), config: String::new(), lines: Vec::new(), signals: Vec::new() };
        let mut part = "";
        for (number, line) in text.lines().enumerate() {
            match line.trim() {
                "" => {}
                comment if comment.starts_with('#') => {}
                heading @ ("[config]" | "[trace]" | "[signals]") => {
                    part = if heading == "[config]" {
                        "config"
                    } else if heading == "[trace]" {
                        "trace"
                    } else {
                        "signals"
                    };
                }
                line => match part {
                    "config" => trace.config.push_str(&format!("{line}\n")),
                    "trace" => trace.lines.push((number + 1, line.to_owned())),
                    "signals" => trace.signals.push(line.split_whitespace().collect::<Vec<_>>().join(" ")),
                    _ => panic!("{}:{number}: before any part", path.display()),
                },
            }
        }
        trace
    }

    pub(super) async fn play(self) {
        let dir = tempfile::tempdir().unwrap();
        let world = dir.path().join("world.mmdb");
        std::fs::write(&world, database()).unwrap();
        let server = Server::configured(&self.config.replace("WORLD", &world.display().to_string()));
        let mut stage = Stage { server: &server, actors: BTreeMap::new(), played: Duration::ZERO };
        for (number, line) in &self.lines {
            let about = format!("{}:{number}: {line}", self.path.display());
            let (line, expected) = line.split_once(" = ").unwrap_or((line, "200"));
            let answers = stage.play(&line.split_whitespace().collect::<Vec<_>>()).await;
            for answer in answers {
                assert_eq!(answer.gist(), expected, "{about}");
            }
        }
        let given: Vec<String> = stage.signals().await.iter().map(in_words).collect();
        assert_eq!(given, self.signals, "{}", self.path.display());
    }
}

fn in_words(event: &AuditEvent) -> String {
    let detail = |key: &str| event.detail.get(key).and_then(|value| value.as_str()).unwrap().to_owned();
    assert_eq!(event.reason.as_deref(), Some(&*detail("signal")), "{event:?}");
    format!("{} {} {}", event.principal.as_deref().unwrap_or("-"), detail("signal"), detail("grade"))
}

/// Where everything happens.
struct Stage<'s> {
    server: &'s Server,
    actors: BTreeMap<String, Actor<'s>>,
    played: Duration,
}

struct Actor<'s> {
    principal: String,
    client: Client<'s>,
    agent: String,
    session: Option<SessionId>,
    /// The token before the last exchange.
    before: Option<String>,
}

impl Actor<'_> {
    async fn play(&mut self, server: &Server, act: &str, arguments: &[&str]) -> Vec<Answer> {
        let count = || arguments.first().map_or(1, |count| count.parse::<usize>().unwrap());
        match act {
            "looks" => self.repeat(count(), async |actor, _| actor.look().await).await,
            "guesses" => {
                self.repeat(count(), async |actor, n| actor.with_token(Some(unknown_token(n))).await).await
            }
            "fails" => self.repeat(count(), async |actor, _| actor.sign_in("wrong").await).await,
            "signs-in" => vec![self.sign_in(PASSWORD).await],
            "opens" => vec![self.client.get(arguments[0]).await],
            "rotates" => {
                self.before = self.client.token.clone();
                vec![self.client.ask(Method::POST, "/v1/session/rotate").await]
            }
            "is-late" => {
                let before = self.before.clone();
                vec![self.with_token(before).await]
            }
            "proves" => {
                let proof = json!({ "password": PASSWORD });
                vec![self.client.json(Method::POST, "/v1/reauthenticate", &proof).await]
            }
            "signs-out" => {
                self.before = self.client.token.clone();
                vec![self.client.ask(Method::DELETE, "/v1/session").await]
            }
            "crowds" => crowd(server, self, count()).await,
            _ => self.play_behind(server, act, count()).await,
        }
    }

    /// What happens without a request.
    async fn play_behind(&mut self, server: &Server, act: &str, count: usize) -> Vec<Answer> {
        match act {
            "arrives" => {
                arrive(server, self).await;
                return vec![self.look().await];
            }
            "signs-in-behind" => {
                for _ in 0..count {
                    arrive(server, self).await;
                }
            }
            "has-account" => server.add(&self.principal, &[]).await,
            "is-put-out" => ended(server, self.session.expect("it had a session")).await,
            other => panic!("nobody {other}"),
        }
        Vec::new()
    }

    async fn repeat(&mut self, count: usize, act: impl AsyncFn(&mut Self, usize) -> Answer) -> Vec<Answer> {
        let mut answers = Vec::new();
        for number in 0..count {
            answers.push(act(self, number).await);
        }
        answers
    }

    async fn sign_in(&mut self, password: &str) -> Answer {
        let credentials = json!({ "username": self.principal, "password": password });
        self.client.json(Method::POST, "/v1/sign-in", &credentials).await
    }

    async fn look(&mut self) -> Answer {
        self.client.get("/v1/session").await
    }

    async fn with_token(&mut self, token: Option<String>) -> Answer {
        let kept = std::mem::replace(&mut self.client.token, token);
        let answer = self.look().await;
        self.client.token = kept;
        answer
    }
}

impl<'s> Stage<'s> {
    async fn play(&mut self, words: &[&str]) -> Vec<Answer> {
        let [time, who, act, rest @ ..] = words else { panic!("{words:?}") };
        let time = parse_duration(time).unwrap();
        let later = time.checked_sub(self.played).expect("time goes on");
        self.server.clock.advance(later);
        self.played = time;
        let (arguments, address, program) = split(rest);
        let server = self.server;
        let actor = self.actors.entry((*who).to_owned()).or_insert_with(|| Actor {
            principal: who.split('@').next().unwrap().to_owned(),
            client: server.browser(),
            agent: agent("firefox-140"),
            session: None,
            before: None,
        });
        if let Some(program) = program {
            actor.agent = agent(program);
        }
        if let Some(address) = address {
            actor.client.address = address.parse().unwrap();
        }
        actor.client.extra.retain(|(name, _)| name != http::header::USER_AGENT);
        actor.client.extra.push((http::header::USER_AGENT, actor.agent.clone()));
        match *act {
            "copies" => {
                let victim = &self.actors[arguments[0]];
                let taken = (victim.client.token.clone(), victim.before.clone(), victim.session);
                let thief = self.actors.get_mut(*who).unwrap();
                (thief.client.token, thief.before, thief.session) = taken;
                Vec::new()
            }
            act => actor.play(server, act, &arguments).await,
        }
    }

    /// The signals that were recorded, once everything that was given was.
    async fn signals(&mut self) -> Vec<AuditEvent> {
        // One more, which comes after all others.
        let mut last = self.server.browser().at("192.0.2.255");
        let proof = Authentication::new(AuthLevel::One, Proof::password(), self.server.sessions.now());
        let principal = Principal::new(PrincipalId::new("last").unwrap());
        let device = Device::new().with_user_agent(&agent("firefox-140"));
        let issued = self.server.sessions.issue(Issue::signed_in(principal, proof).device(device)).await;
        last.token = Some(issued.unwrap().expect_issued().token.expose().as_str().to_owned());
        last.extra.push((http::header::USER_AGENT, agent("curl")));
        last.get("/v1/session").await;
        let mut query = AuditQuery::latest();
        query.event = Some(names::SIGNAL.to_owned());
        until(async || {
            let mut events = self.server.audit.page(&query).await.unwrap().events;
            let is_last = |event: &AuditEvent| event.principal.as_deref() == Some("last");
            if !events.iter().any(is_last) {
                return None;
            }
            events.retain(|event| !is_last(event));
            events.reverse();
            Some(events)
        })
        .await
    }
}

/// Starts a session behind the server's back, as after a sign-in on the actor's device.
async fn arrive(server: &Server, actor: &mut Actor<'_>) {
    let proof = Authentication::new(AuthLevel::One, Proof::password(), server.sessions.now());
    let device = Device::new()
        .with_ip(actor.client.address)
        .with_user_agent(&actor.agent)
        .with_label(&device_label(&actor.agent));
    let principal = Principal::new(PrincipalId::new(&*actor.principal).unwrap());
    let issue = Issue::signed_in(principal, proof).device(device);
    let issued = server.sessions.issue(issue).await.unwrap().expect_issued();
    actor.session = Some(issued.session.id());
    let token = issued.token.expose().as_str().to_owned();
    server.recorder.borrow_mut().know(&token);
    actor.client.token = Some(token);
}

/// People in one office: each comes with a cookie of yesterday that nobody knows any more, signs in, and works.
async fn crowd(server: &Server, actor: &mut Actor<'_>, count: usize) -> Vec<Answer> {
    let mut answers = Vec::new();
    for number in 0..count {
        let stale = actor.with_token(Some(unknown_token(number))).await;
        assert_eq!(stale.gist(), "401 session_unknown");
        actor.principal = format!("person{number}");
        actor.agent = agent(["firefox-140", "chrome-140", "safari-iphone"][number % 3]);
        actor.client.extra = vec![(http::header::USER_AGENT, actor.agent.clone())];
        arrive(server, actor).await;
        answers.push(actor.look().await);
        answers.push(actor.look().await);
    }
    answers
}

async fn ended(server: &Server, session: SessionId) {
    until(async || match server.sessions.find(session).await.unwrap() {
        Some(ListItem::Live(_)) => None,
        _ => Some(()),
    })
    .await;
}

/// What `look` finds, once it finds anything.
async fn until<T>(look: impl AsyncFn() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it happens within 20 s")
}

/// A well-formed token that was never issued.
fn unknown_token(number: usize) -> String {
    format!("cr1_{number:06}{}", "A".repeat(40))
}

/// Arguments, and what follows `at` and `with`.
fn split<'a>(words: &[&'a str]) -> (Vec<&'a str>, Option<&'a str>, Option<&'a str>) {
    let (mut arguments, mut address, mut program) = (Vec::new(), None, None);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "at" => address = words.next().copied(),
            "with" => program = words.next().copied(),
            argument => arguments.push(argument),
        }
    }
    (arguments, address, program)
}

/// What programs call themselves.
fn agent(name: &str) -> String {
    let (family, version) = name.rsplit_once('-').unwrap_or((name, ""));
    match family {
        "firefox" => {
            format!("Mozilla/5.0 (X11; Linux x86_64; rv:{version}.0) Gecko/20100101 Firefox/{version}.0")
        }
        "chrome" => format!(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/{version}.0.0.0 Safari/537.36"
        ),
        "android" => format!(
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/{version}.0.0.0 Mobile Safari/537.36"
        ),
        "safari" => {
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                     Version/18.4 Mobile/15E148 Safari/604.1"
                .to_owned()
        }
        "curl" => "curl/8.5.0".to_owned(),
        "bot" => "Mozilla/5.0 (compatible; SomeBot/2.1; +http://bot.example/)".to_owned(),
        other => panic!("nobody knows {other}"),
    }
}

/// A world of four places.
fn database() -> Vec<u8> {
    mmdb::database(
        "GeoLite2-City",
        &[
            ("203.0.113.0/24", mmdb::city("DE", 52.52, 13.40, 20)),
            ("198.51.100.0/24", mmdb::city("DE", 48.14, 11.58, 50)),
            ("192.0.2.0/24", mmdb::city("JP", 35.69, 139.69, 50)),
            ("2001:db8::/32", mmdb::city("DE", 52.52, 13.40, 20)),
        ],
    )
}
