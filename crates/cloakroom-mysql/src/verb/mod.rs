//! What each verb asks, and what it makes of the answer.

mod change;
mod count;
mod end;
mod find;
mod insert;
mod list;
mod moving;
mod ping;
mod revoke;
mod sweep;
mod touch;

pub(crate) use change::{Change, Rekey, Replace};
pub(crate) use count::Count;
pub(crate) use end::End;
pub(crate) use find::Get;
pub(crate) use insert::Insert;
pub(crate) use list::List;
pub(crate) use moving::{Export, Import};
pub(crate) use ping::{Number, Ping};
pub(crate) use revoke::{ForgetRevoked, PingList, Revoke, Revoked};
pub(crate) use sweep::Sweep;
pub(crate) use touch::TouchAll;

use cloakroom_store::Ended;
use mysql_async::Row;

use crate::database::Answer;
use crate::error::Problem;
use crate::map::Columns;

/// What a procedure answered: the sessions it ended, a result each, and a last row that begins with a word.
#[derive(Debug)]
struct Report {
    ended: Vec<Ended>,
    word: Vec<u8>,
    rest: Columns,
}

impl Report {
    fn of(answer: Answer) -> Result<Self, Problem> {
        let mut ended = Vec::new();
        for row in answer.sets.into_iter().flat_map(Vec::into_iter) {
            match last_or_ended(row)? {
                Reported::Ended(session) => ended.push(session),
                // Its columns cannot be read: it is over like the others, but nobody could say whose it was.
                Reported::Unreadable => {}
                Reported::Last(word, rest) => return Ok(Self { ended, word, rest }),
            }
        }
        Err(Problem::Answer("a last row"))
    }
}

enum Reported {
    Ended(Ended),
    Unreadable,
    Last(Vec<u8>, Columns),
}

fn last_or_ended(row: Row) -> Result<Reported, Problem> {
    let mut columns = Columns::of(row);
    let word = columns.bytes("what").map_err(|_| Problem::Answer("a word in it"))?;
    if word != b"ended" {
        return Ok(Reported::Last(word, columns));
    }
    Ok(columns.ended().map_or(Reported::Unreadable, Reported::Ended))
}
