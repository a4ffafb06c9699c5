//! The session server as a library; the binary `cloakroom` is a thin shell around it.
//!
//! | room | what is in it |
//! |---|---|
//! | [`config`] | `cloakroom.toml`, environment and flags become one checked [`Config`](config::Config) |
//! | [`accounts`] | the built-in accounts: names, roles, argon2id hashes, the first administrator |
//! | `acts` | what staff and operators do: in the audit log before it happens, and before it is acknowledged |
//! | `export` | the audit log as files |
//! | [`limits`] | how guessing passwords is slowed down |
//! | [`familiar`] | where people are signed in now, which the limits have to know |
//! | [`detection`] | sessions and accounts in other hands: noticed, recorded, told, answered |
//! | `sentences` | what configuration and store mean, for `doctor` and the console |
//! | [`stores`] | session stores by URL |
//! | `lists` | lists of ends of sealed sessions, by URL |
//! | `sealing`, `sealed` | the keys that seal: read or made, followed, rotated |
//! | `ended` | what came of ending sessions, as far as anybody can know |
//! | [`web`] | pages, API, health |
//! | `awaited` | databases that are not there yet when the server starts |
//! | [`serve`](mod@serve) | all of it put together, started and stopped in order |
//! | [`cli`] | the command line |
//! | [`wire`] | sessions as the API and `--json` show them |
//!
//! Nothing here reads the system's clock, the environment or the command line: the binary does and hands them in.

pub mod accounts;
mod acts;
pub mod audit;
mod awaited;
pub mod cli;
pub mod config;
pub mod detection;
mod doors;
mod ended;
mod export;
pub mod familiar;
pub mod limits;
#[cfg(feature = "sealed")]
mod lists;
pub mod logging;
mod sealed;
#[cfg(feature = "sealed")]
pub mod sealing;
mod sentences;
pub mod serve;
pub mod stores;
pub mod telemetry;
pub mod web;
pub mod wire;
