//! `/v1/admin/…`: what administrators, auditors and support see and do.

pub(in crate::web) mod audit;
pub(in crate::web) mod live;
pub(in crate::web) mod principals;
pub(in crate::web) mod revocations;
pub(in crate::web) mod sessions;
pub(in crate::web) mod stats;
pub(in crate::web) mod users;

use std::num::NonZeroU16;
use std::str::FromStr;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use serde::Serialize;
use utoipa::ToSchema;

use crate::accounts::Account;
use crate::web::admin::Settle;
use crate::web::extract::MALFORMED;
use crate::web::refusal::Refusal;

/// A built-in account.
#[derive(Serialize, ToSchema)]
pub(in crate::web) struct UserObject {
    /// Its name, which is the id of its principal.
    name: String,
    /// Its roles, sorted.
    roles: Vec<String>,
    /// Whether it may sign in.
    enabled: bool,
    /// When it was added (RFC 3339, as every instant).
    created_at: String,
    /// When its password was set last.
    password_changed_at: String,
    /// Since when it may not sign in.
    disabled_at: Option<String>,
}

impl From<&Account> for UserObject {
    fn from(account: &Account) -> Self {
        Self {
            name: account.name.to_string(),
            roles: account.roles.as_slice().iter().map(ToString::to_string).collect(),
            enabled: account.is_enabled(),
            created_at: account.created_at.to_string(),
            password_changed_at: account.password_changed_at.to_string(),
            disabled_at: account.disabled_at.map(|at| at.to_string()),
        }
    }
}

/// The parameters of a query, none of them unknown; `known` names those there are.
fn parameters<T>(query: Result<Query<T>, QueryRejection>, known: &str) -> Result<T, Refusal> {
    match query {
        Ok(Query(parameters)) => Ok(parameters),
        Err(_) => Err(malformed(format!("the parameters are {known}, each at most once"))),
    }
}

/// A parameter that was given, read; where it cannot be, `sentence` says what it is.
fn read<T: FromStr>(given: Option<&str>, sentence: &str) -> Result<Option<T>, Refusal> {
    given.map(|text| text.parse().map_err(|_| malformed(sentence))).transpose()
}

fn read_limit(given: Option<&str>) -> Result<Option<NonZeroU16>, Refusal> {
    let sentence = "limit is a number from 1 to 200";
    match read::<NonZeroU16>(given, sentence)? {
        Some(limit) if limit.get() > PAGE_MAX => Err(malformed(sentence)),
        limit => Ok(limit),
    }
}

/// `true` or `false`.
fn read_switch(name: &str, given: Option<&str>) -> Result<bool, Refusal> {
    Ok(read(given, &format!("{name} is true or false"))?.unwrap_or_default())
}

const fn settle(settled: bool) -> Settle {
    if settled { Settle::Wait } else { Settle::No }
}

fn malformed(sentence: impl Into<String>) -> Refusal {
    Refusal::new(MALFORMED).detail(sentence)
}

/// Most of anything on a page.
const PAGE_MAX: u16 = 200;
