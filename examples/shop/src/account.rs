//! A customer's own sessions.

use axum::response::{Redirect, Response};
use cloakroom::{Actor, Device as Client, EndReason, ListFilter, ListItem, ListQuery, Revocation, Selector};
use cloakroom_axum::{CurrentPrincipal, Fresh, Rejection, Session, SignedIn};

use crate::checkout::ToSpend;
use crate::pages::{self, Device, Visitor};

pub(crate) async fn sessions(
    SignedIn(current): SignedIn,
    CurrentPrincipal(customer): CurrentPrincipal,
    visitor: Visitor,
    session: Session,
) -> Result<Response, Rejection> {
    let mut filter = ListFilter::default();
    filter.principal = Some(customer.id().clone());
    let page = session.sessions().list(&ListQuery::new(filter)).await?;
    let devices = page.items.into_iter().filter_map(|item| match item {
        ListItem::Live(live) => {
            let device = live.record.device.as_deref();
            Some(Device {
                label: device.and_then(|device| device.label()).unwrap_or("Unknown browser").to_owned(),
                address: device.and_then(Client::ip).map(|ip| ip.to_string()).unwrap_or_default(),
                last_seen: live.last_seen_at.to_string(),
                current: live.record.id == current.id(),
            })
        }
        ListItem::Ended { .. } => None,
    });
    Ok(pages::page(&pages::Account { visitor, devices: devices.collect() }))
}

/// Ends every session of the customer but this one. A thief who holds this one must prove identity first.
pub(crate) async fn end_others(
    current: Fresh<ToSpend>,
    CurrentPrincipal(customer): CurrentPrincipal,
    session: Session,
) -> Result<Redirect, Rejection> {
    let principal = customer.id().clone();
    let others = Selector::Principal { principal: principal.clone(), except: Some(current.session().id()) };
    let by_themselves = Revocation::new(EndReason::RevokedByUser, Actor::User(Some(principal)));
    session.sessions().revoke(&others, by_themselves).await?;
    Ok(Redirect::to("/account"))
}
