//! A person's browser.

mod cookie;
mod driver;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::error::{WebDriverErrorInner, WebDriverResult};
use thirtyfour::{By, Key, WebDriver, WebElement};

use self::driver::Driver;
use crate::failure::from_here;
use crate::{Failure, Outcome, eventually};

pub use self::cookie::Cookie;

/// A Chromium of its own, with its own driver. Closed by [`World`](crate::World) at the end of a test; killed with all
/// its processes where a test ends otherwise.
pub struct Browser {
    driver: Driver,
    profile: Profile,
    refusals: RefCell<BTreeSet<String>>,
}

/// What a browser remembers between two starts.
#[derive(Clone, Debug)]
pub struct Profile(Rc<TempDir>);

/// Whether pages may run scripts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scripts {
    /// They do.
    Run,
    /// The person has switched them off.
    Blocked,
}

impl Profile {
    /// A profile that remembers nothing.
    ///
    /// # Errors
    /// Where there is no place for it.
    pub fn fresh() -> Outcome<Self> {
        Ok(Self(Rc::new(TempDir::with_prefix("cloakroom-e2e-")?)))
    }
}

impl Browser {
    /// Opens a browser with this profile.
    ///
    /// # Errors
    /// Where Chromium or its driver is missing or does not start.
    pub async fn open(profile: Profile, scripts: Scripts) -> Outcome<Self> {
        let driver = Driver::start(profile.0.path(), scripts).await?;
        Ok(Self { driver, profile, refusals: RefCell::default() })
    }

    /// Closes it as its owner would: what it remembers is written down.
    ///
    /// # Errors
    /// Where it does not close.
    pub async fn close(&self) -> Outcome {
        self.driver.quit().await
    }

    /// What it will remember when it is opened again.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.profile.clone()
    }

    /// Everything the browser can do, for what this type has no words for.
    #[must_use]
    pub fn web(&self) -> &WebDriver {
        self.driver.web()
    }

    /// Shows the page at `url`.
    ///
    /// # Errors
    /// Where it does not load.
    #[track_caller]
    pub fn goto(&self, url: &str) -> impl Future<Output = Outcome> {
        from_here(async move { Ok(self.web().goto(url).await?) })
    }

    /// The path of the page that is shown, without its query.
    ///
    /// # Errors
    /// Where the browser does not answer.
    pub async fn path(&self) -> Outcome<String> {
        Ok(self.web().current_url().await?.path().to_owned())
    }

    /// Waits until the page at `path` is shown, and loaded.
    ///
    /// # Errors
    /// Where another page stays.
    #[track_caller]
    pub fn arrives_at(&self, path: &str) -> impl Future<Output = Outcome> {
        from_here(async move {
            let what = format!("the page {path}");
            let arrived = eventually(&what, PATIENCE, async || {
                let there = self.path().await? == path;
                Ok((there && self.script("return document.readyState").await? == "complete").then_some(()))
            });
            match arrived.await {
                Ok(()) => Ok(()),
                Err(failure) => Err(failure.while_doing(format!("still at {}", self.path().await?))),
            }
        })
    }

    /// The first element that `css` selects, once it is displayed.
    ///
    /// # Errors
    /// Where none appears.
    #[track_caller]
    pub fn find(&self, css: &str) -> impl Future<Output = Outcome<WebElement>> {
        from_here(async move {
            let what = format!("`{css}`");
            let found = eventually(&what, PATIENCE, async || {
                for element in self.web().find_all(By::Css(css)).await? {
                    // An element of a page that has just been left is not displayed.
                    if element.is_displayed().await.unwrap_or(false) {
                        return Ok(Some(element));
                    }
                }
                Ok(None)
            });
            match found.await {
                Ok(element) => Ok(element),
                Err(failure) => Err(failure.while_doing(format!("at {}", self.path().await?))),
            }
        })
    }

    /// How many elements `css` selects now.
    ///
    /// # Errors
    /// Where the browser does not answer.
    pub async fn count(&self, css: &str) -> Outcome<usize> {
        Ok(self.web().find_all(By::Css(css)).await?.len())
    }

    /// The text of the first element that `css` selects, once it is displayed.
    ///
    /// # Errors
    /// Where none appears.
    #[track_caller]
    pub fn text(&self, css: &str) -> impl Future<Output = Outcome<String>> {
        let what = format!("the text of `{css}`");
        from_here(
            async move { self.of_whatever_is_there(css, &what, async |element| element.text().await).await },
        )
    }

    /// Types `text` into the field called `name`, in place of what is there.
    ///
    /// # Errors
    /// Where there is no such field.
    #[track_caller]
    pub fn fill(&self, name: &str, text: &str) -> impl Future<Output = Outcome> {
        let what = format!("the field `{name}` to be filled in");
        let css = format!("input[name='{name}']:not([readonly])");
        from_here(async move {
            self.of_whatever_is_there(&css, &what, async |field| {
                field.clear().await?;
                field.send_keys(text).await
            })
            .await
        })
    }

    /// Clicks the button marked `data-test="mark"`.
    ///
    /// # Errors
    /// Where there is no such button.
    #[track_caller]
    pub fn press(&self, mark: &str) -> impl Future<Output = Outcome> {
        from_here(async move { self.click(&format!("[data-test='{mark}']")).await })
    }

    /// Clicks the first element that `css` selects.
    ///
    /// # Errors
    /// Where there is none, or it cannot be clicked.
    #[track_caller]
    pub fn click(&self, css: &str) -> impl Future<Output = Outcome> {
        let what = format!("`{css}` to be clicked");
        from_here(async move {
            self.of_whatever_is_there(css, &what, async |element| element.click().await).await
        })
    }

    /// Does something with the first element that `css` selects, once it is displayed. A page may draw it anew at any
    /// moment: then it is done with the new one.
    async fn of_whatever_is_there<T>(
        &self,
        css: &str,
        what: &str,
        act: impl AsyncFn(&WebElement) -> WebDriverResult<T>,
    ) -> Outcome<T> {
        eventually(what, PATIENCE, async || match act(&self.find(css).await?).await {
            Ok(done) => Ok(Some(done)),
            Err(error) if matches!(*error, WebDriverErrorInner::StaleElementReference(_)) => Ok(None),
            Err(error) => Err(error.into()),
        })
        .await
    }

    /// Presses keys wherever the focus is.
    ///
    /// # Errors
    /// Where the browser does not answer.
    pub async fn keys(&self, keys: impl AsRef<str>) -> Outcome {
        Ok(self.web().action_chain().send_keys(keys.as_ref()).perform().await?)
    }

    /// Moves the focus on with the tab key, and tells what has it now: a field's name or a button's mark.
    ///
    /// # Errors
    /// Where the browser does not answer.
    pub async fn tab(&self) -> Outcome<String> {
        self.keys(Key::Tab.value().to_string()).await?;
        let focus = "const it = document.activeElement; return it.dataset.test || it.name || it.className || it.tagName";
        Ok(self.script(focus).await?.as_str().unwrap_or_default().to_owned())
    }

    /// Runs a script as the browser's owner may, whatever the page allows, and returns what it returns.
    ///
    /// # Errors
    /// Where it throws.
    #[track_caller]
    pub fn script(&self, script: &str) -> impl Future<Output = Outcome<Value>> {
        from_here(async move { Ok(self.web().execute(script, Vec::new()).await?.json().clone()) })
    }

    /// Runs a script that calls its last argument when it is done.
    ///
    /// # Errors
    /// Where it throws or never calls.
    #[track_caller]
    pub fn script_async(&self, script: &str) -> impl Future<Output = Outcome<Value>> {
        from_here(async move { Ok(self.web().execute_async(script, Vec::new()).await?.json().clone()) })
    }

    /// Asks Chromium itself (Chrome DevTools Protocol).
    ///
    /// # Errors
    /// Where it refuses.
    pub async fn chromium(&self, method: &str, parameters: Value) -> Outcome<Value> {
        Ok(self.web().cdp().send_raw(method, parameters).await?)
    }

    /// The status with which the server answered for the page that is shown.
    ///
    /// # Errors
    /// Where the browser does not answer.
    pub async fn status(&self) -> Outcome<u64> {
        let status =
            self.script("return performance.getEntriesByType('navigation')[0].responseStatus").await?;
        status.as_u64().ok_or_else(|| Failure::new("this page came without a status"))
    }

    /// All cookies it keeps, whatever their site, with their attributes.
    ///
    /// # Errors
    /// Where the browser does not answer.
    pub async fn cookies(&self) -> Outcome<Vec<Cookie>> {
        let answer = self.chromium("Storage.getCookies", json!({})).await?;
        let cookies = answer.get("cookies").and_then(Value::as_array);
        Ok(cookies.into_iter().flatten().map(Cookie::from_chromium).collect())
    }

    /// The whole page as it is shown, as PNG.
    ///
    /// # Errors
    /// Where the browser does not answer.
    pub async fn photograph(&self) -> Outcome<Vec<u8>> {
        let layout = self.chromium("Page.getLayoutMetrics", json!({})).await?;
        let size = |key| layout.get("cssContentSize").and_then(|size| size.get(key)).cloned();
        let clip = json!({ "x": 0, "y": 0, "width": size("width"), "height": size("height"), "scale": 1 });
        let parameters = json!({ "captureBeyondViewport": true, "clip": clip });
        let answer = self.chromium("Page.captureScreenshot", parameters).await?;
        let data = answer.get("data").and_then(Value::as_str).unwrap_or_default();
        Ok(STANDARD.decode(data)?)
    }

    /// Says that the server will refuse something at `path`: Chromium writes refusals of pages to the console too.
    pub fn expect_refusal(&self, path: &str) {
        self.refusals.borrow_mut().insert(path.to_owned());
    }

    /// Fails if a page, or Chromium about a page, has complained since the last time.
    ///
    /// # Errors
    /// The complaint.
    pub async fn check_console(&self) -> Outcome {
        for entry in self.web().browser_log().await?.iter().filter(|entry| entry.level == "SEVERE") {
            let is_refusal = entry.message.contains("the server responded with a status of 4");
            let path = entry.message.split_whitespace().next().and_then(path_of).unwrap_or_default();
            if !(is_refusal && self.refusals.borrow().contains(path)) {
                return Err(Failure::new(format!("the console says: {}", entry.message)));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Browser").field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// The path of `url`, without its query.
fn path_of(url: &str) -> Option<&str> {
    let rest = url.split_once("://")?.1;
    let path = rest.get(rest.find('/')?..)?;
    path.split(['?', '#']).next()
}

/// Longest wait for a page: the machine may be building something else.
const PATIENCE: Duration = Duration::from_secs(20);
