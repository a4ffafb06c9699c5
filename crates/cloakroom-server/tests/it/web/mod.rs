//! Pages and API through the whole router: every layer, a clock that stands still, a store that can be broken.
//!
//! Nothing here asks handlers directly. Each response passes the [`recorder`] before a test sees it.

mod admin;
mod api;
mod audit;
mod authorisation;
mod client;
mod console;
mod detection;
mod faulty_list;
mod guessing;
mod headers;
mod million;
mod openapi;
mod outage;
mod recorder;
mod sealed;
mod server;
mod stores;
mod story;
mod telling;
mod watching;
