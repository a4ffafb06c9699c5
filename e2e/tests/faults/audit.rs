//! `kill -9`, and then a look at the audit log.

use std::collections::BTreeMap;

use e2e::{Failure, Outcome, World, run};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::guest::{Acknowledged, Answer, Guest, id_in, token_in};
use crate::kills::{PASSWORD, guest, one_life};

#[test]
fn kills_under_load_leave_a_whole_chain_and_everything_acknowledged_in_it() {
    run("audit_kills", &[], async |world| {
        world.server.add_account("alice", PASSWORD)?;
        world.server.add_account("victim", PASSWORD)?;
        world.server.add_account_with_roles("root", PASSWORD, &["admin"])?;
        let (mut book, mut acts): (Vec<Acknowledged>, Vec<String>) = Default::default();
        for round in 1..=KILLS {
            let staff = guest(world)?;
            let staff = tokio::spawn(async move { acts_of_staff(&staff).await });
            let seen = one_life(world).await;
            book.extend(seen.map_err(|failure| failure.while_doing(format!("life {round}")))?);
            acts.extend(staff.await??);
            world.server.command(&["audit", "verify"])?;
        }
        check(world, &book, &acts)?;
        for session in &book {
            world.output.note_secret(&session.token)?;
        }
        println!("{} sessions, {} acts of staff, after {KILLS} kills", book.len(), acts.len());
        let ended = book.iter().filter(|session| session.ended).count();
        if ended < KILLS || acts.len() < KILLS {
            return Err(Failure::new("too little happened to prove anything"));
        }
        Ok(())
    });
}

/// Ends sessions as an administrator until the server dies: those whose end was acknowledged.
async fn acts_of_staff(guest: &Guest) -> Outcome<Vec<String>> {
    let mut ended = Vec::new();
    let Some((_, root)) = sign_in(guest, "root").await? else { return Ok(ended) };
    while let Some((id, _)) = sign_in(guest, "victim").await? {
        let body = json!({ "session": id, "reason": "revoked_by_admin" });
        let path = "/v1/admin/revocations";
        match guest.ask(Method::POST, path, Some(&root), Some(body), StatusCode::OK).await? {
            Answer::Acknowledged(_) => ended.push(id),
            Answer::InDoubt => break,
        }
    }
    Ok(ended)
}

async fn sign_in(guest: &Guest, name: &str) -> Outcome<Option<(String, String)>> {
    let body = json!({ "username": name, "password": guest.password, "mode": "bearer" });
    match guest.ask(Method::POST, "/v1/sign-in", None, Some(body), StatusCode::OK).await? {
        Answer::Acknowledged(body) => Ok(Some((id_in(&body)?, token_in(&body)?))),
        Answer::InDoubt => Ok(None),
    }
}

/// Checks that the log has the events of everything that was acknowledged, each exactly once.
fn check(world: &World, book: &[Acknowledged], acts: &[String]) -> Outcome {
    let mut found = BTreeMap::<(String, String), usize>::new();
    for line in world.server.command(&["audit", "export"])?.lines() {
        let event: Value = serde_json::from_str(line)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = match event["detail"]["phase"].as_str() {
            Some(phase) => format!("{} {phase}", text(&event["event"])),
            None => text(&event["event"]),
        };
        *found.entry((text(&event["session"]), name)).or_default() += 1;
    }
    let expect = |session: &str, name: &str, times: usize| {
        let seen = found.get(&(session.to_owned(), name.to_owned())).copied().unwrap_or_default();
        if seen == times {
            return Ok(());
        }
        Err(Failure::new(format!("{name} of {session} is in the log {seen} times instead of {times}")))
    };
    for session in book {
        expect(&session.id, "session_created", 1)?;
        expect(&session.id, "authn_login_success", 1)?;
        expect(&session.id, "session_renewed", session.exchanged.len())?;
        if session.ended {
            expect(&session.id, "session_logout", 1)?;
        }
    }
    for session in acts {
        expect(session, "session_revoked", 1)?;
        expect(session, "authz_admin begun", 1)?;
        expect(session, "authz_admin done", 1)?;
    }
    Ok(())
}

const KILLS: usize = 4;
