//! What surrounds one test.

use std::fs;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::runtime::Builder;
use tokio::select;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::aftermath::last_lines;
use crate::clock::PATIENCE;
use crate::process::kill_all;
use crate::{Browser, Cookie, Failure, Outcome, Output, Profile, Scripts, Server};

/// A server, the browsers of those who use it, and a place for what they leave.
#[derive(Debug)]
pub struct World {
    /// The server.
    pub server: Server,
    /// Where to leave things.
    pub output: Arc<Output>,
    test: &'static str,
    browsers: Vec<Rc<Browser>>,
}

/// Runs `body` as the test called `test`, with a server that was given `arguments` besides.
///
/// Afterwards, whatever happened: the server's metrics are kept, each browser's console is read, and everything that
/// was started is stopped. An unexpected line in a console, a panic in the log, or a server that does not stop when it
/// is asked to, fails the test as well.
///
/// # Panics
/// Where the test fails.
pub fn run(test: &'static str, arguments: &[&str], body: impl AsyncFnOnce(&mut World) -> Outcome) {
    alone(async || play(test, arguments, body).await);
}

/// Runs a test that needs no server.
///
/// # Panics
/// Where the test fails.
pub fn alone(body: impl AsyncFnOnce() -> Outcome) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    let finished = runtime.block_on(async {
        select! {
            finished = body() => finished,
            () = interrupted() => {
                kill_all();
                std::process::exit(INTERRUPTED)
            }
        }
    });
    if let Err(failure) = finished {
        panic!("{failure}");
    }
}

async fn play(
    test: &'static str,
    arguments: &[&str],
    body: impl AsyncFnOnce(&mut World) -> Outcome,
) -> Outcome {
    let output = Arc::new(Output::of(test)?);
    let server = Server::start(Arc::clone(&output), arguments).await?;
    let mut world = World { server, output, test, browsers: Vec::new() };
    let result = AssertUnwindSafe(body(&mut world)).catch_unwind().await;
    match result {
        Ok(Ok(())) => world.finish().await,
        Ok(Err(failure)) => {
            world.tell_of_failure().await;
            Err(failure)
        }
        Err(panic) => {
            world.tell_of_failure().await;
            drop(world);
            resume_unwind(panic)
        }
    }
}

impl World {
    /// A further server, on the same data, with these arguments and these settings in its environment: the other node of a small
    /// cluster. What it leaves is called after it; it is killed with the test.
    ///
    /// # Errors
    /// Where it does not become ready.
    pub async fn node(
        &self,
        name: &'static str,
        arguments: &[&str],
        settings: &[(&'static str, String)],
    ) -> Outcome<Server> {
        Server::start_as(name, Arc::clone(&self.output), arguments, settings).await
    }

    /// Another person's browser, with a profile of its own.
    ///
    /// # Errors
    /// Where Chromium or its driver is missing or does not start.
    pub async fn browser(&mut self) -> Outcome<Rc<Browser>> {
        self.browser_with(Profile::fresh()?, Scripts::Run).await
    }

    /// A browser with a given profile, whose pages may run scripts or not.
    ///
    /// # Errors
    /// Where Chromium or its driver is missing or does not start.
    pub async fn browser_with(&mut self, profile: Profile, scripts: Scripts) -> Outcome<Rc<Browser>> {
        let browser = Rc::new(Browser::open(profile, scripts).await?);
        self.browsers.push(Rc::clone(&browser));
        Ok(browser)
    }

    /// Shows `path` of the server in `browser`.
    ///
    /// # Errors
    /// Where the page does not load.
    pub async fn visit(&self, browser: &Browser, path: &str) -> Outcome {
        browser.goto(&self.server.url(path)).await
    }

    /// The session cookie that `browser` keeps; its token is noted as a secret.
    ///
    /// # Errors
    /// Where the browser does not answer.
    pub async fn session_cookie(&self, browser: &Browser) -> Outcome<Option<Cookie>> {
        let cookie = browser.cookies().await?.into_iter().find(|cookie| cookie.name == SESSION_COOKIE);
        if let Some(cookie) = &cookie {
            self.output.note_secret(&cookie.value)?;
        }
        Ok(cookie)
    }

    /// Closes one browser before the others, as its owner would.
    ///
    /// # Errors
    /// Where its console holds a complaint, or it does not close.
    pub async fn close(&mut self, browser: Rc<Browser>) -> Outcome {
        self.browsers.retain(|one| !Rc::ptr_eq(one, &browser));
        browser.check_console().await?;
        browser.close().await
    }

    async fn finish(&mut self) -> Outcome {
        self.server.keep_metrics().await?;
        for browser in self.browsers.drain(..) {
            browser.check_console().await?;
            browser.close().await?;
        }
        self.server.stop().await?;
        for log in self.server.logs() {
            let text = fs::read_to_string(&log)?;
            if let Some(line) = text.lines().find(|line| line.contains("panicked")) {
                return Err(Failure::new(format!("{}: {line}", log.display())));
            }
        }
        Ok(())
    }

    /// Keeps what each browser showed when the test failed, as a picture and in words, and what the servers said last.
    /// Nothing here may hide the failure itself.
    #[expect(clippy::print_stdout, reason = "libtest shows what a failed test has printed")]
    async fn tell_of_failure(&self) {
        for (browser, number) in self.browsers.iter().zip(1..) {
            let told = timeout(PATIENCE, browser.testify()).await;
            let told = told.unwrap_or_else(|_| Err(Failure::new("it does not answer")));
            println!("── browser {number} ──\n{}", told.unwrap_or_else(|failure| failure.to_string()));
            if let Ok(Ok(png)) = timeout(PATIENCE, browser.photograph()).await {
                let name = format!("FAILED-{}-{number}.png", self.test);
                let _ = fs::write(self.output.screenshots().join(name), png);
            }
        }
        print!("{}", last_lines(self.output.artifacts()));
    }
}

/// Resolves when a person or a supervisor wants the tests to stop.
async fn interrupted() {
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        _ => std::future::pending().await,
    }
}

/// The cookie that holds the token, by default.
const SESSION_COOKIE: &str = "__Host-cloakroom";

/// What shells report for a program that was interrupted.
const INTERRUPTED: i32 = 130;
