//! Listing sessions.

use cloakroom_core::Timestamp;
use cloakroom_store::{Cursor, ErrorKind, ListFilter, ListItem, ListPage, ListQuery, StateFilter, Verb};
use mysql_async::Value;

use crate::database::{Effect, Link, Work};
use crate::error::Problem;
use crate::map::{Columns, Head, at, first_epoch, id_bytes, ip_text, name_bytes, session_columns};

/// [`Store::list`](cloakroom_store::Store::list).
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) query: ListQuery,
    pub(crate) now: Timestamp,
}

impl Work for List {
    type Answer = ListPage;
    const VERB: Verb = Verb::List;
    const EFFECT: Effect = Effect::Reads;

    async fn attempt(&self, link: &mut Link) -> Result<ListPage, Problem> {
        let Some((sql, values)) = self.statement() else { return Ok(ListPage::default()) };
        let mut rows = link.ask(&sql, values).await?.rows();
        let limit = usize::from(self.query.limit.get());
        let more = rows.len() > limit;
        rows.truncate(limit);
        let mut page = ListPage::default();
        for row in rows {
            let mut columns = Columns::of(row);
            let place = Cursor { session: columns.session_id()?, created_at: columns.instant("created_at")? };
            page.next = more.then_some(place);
            match item(&mut columns, self.now) {
                Ok(item) => page.items.push(item),
                // One damaged record hides itself, not the page it is on.
                Err(problem) if problem.kind() == ErrorKind::Corrupt => {}
                Err(problem) => return Err(problem),
            }
        }
        Ok(page)
    }
}

impl List {
    /// One statement: for each source its first rows, by an index that has them in order; `None` where nothing can be found.
    fn statement(&self) -> Option<(String, Vec<Value>)> {
        let filter = &self.query.filter;
        let sources: &[Source] = match filter.state {
            StateFilter::Active => &[Source::Live],
            // Only live sessions have an address.
            StateFilter::Any if filter.ip.is_some() => &[Source::Live],
            StateFilter::Ended if filter.ip.is_some() => return None,
            StateFilter::Any => &[Source::Unburied, Source::Buried],
            StateFilter::Ended => &[Source::Buried],
        };
        // One more than fits tells whether there is another page.
        let most = Value::Int(i64::from(self.query.limit.get()) + 1);
        let (mut parts, mut values) = (Vec::new(), Vec::new());
        for source in sources {
            let mut scan = Scan::of(*source, filter, self.now);
            scan.keep(filter, self.query.after);
            parts.push(format!(
                "(SELECT {LISTED} FROM session{}{EPOCH} WHERE {} {ORDERED})",
                scan.index, scan.conditions
            ));
            values.append(&mut scan.values);
            values.push(most.clone());
        }
        let mut sql = parts.join(" UNION ALL ");
        if parts.len() > 1 {
            sql.push_str(" ORDER BY listed_at DESC, listed_id DESC LIMIT ?");
            values.push(most);
        }
        Some((sql, values))
    }
}

/// Which rows to go through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    /// Those that live.
    Live,
    /// Those without an end of their own, whether or not time or an epoch has ended them.
    Unburied,
    /// Those that have ended.
    Buried,
}

/// The conditions of a statement in the making.
#[derive(Debug)]
struct Scan {
    index: &'static str,
    conditions: String,
    values: Vec<Value>,
}

impl Scan {
    fn of(source: Source, filter: &ListFilter, now: Timestamp) -> Self {
        let index = match filter {
            ListFilter { session: Some(_), .. } => " FORCE INDEX (session_id)",
            ListFilter { principal: Some(_), .. } => " FORCE INDEX (session_principal)",
            ListFilter { ip: Some(_), .. } => " FORCE INDEX (session_ip)",
            _ => " FORCE INDEX (session_order)",
        };
        let (conditions, values) = match source {
            Source::Live => (LIVE, vec![at(now)]),
            Source::Unburied => ("session.buried = 0", Vec::new()),
            Source::Buried => ("session.buried = 1", Vec::new()),
        };
        Self { index, conditions: conditions.to_owned(), values }
    }

    fn keep(&mut self, filter: &ListFilter, after: Option<Cursor>) {
        if let Some(principal) = &filter.principal {
            self.condition("session.principal = ?", [name_bytes(Some(principal))]);
        }
        if let Some(session) = filter.session {
            self.condition("session.id = ?", [id_bytes(session)]);
        }
        if let Some(ip) = filter.ip {
            self.condition("session.ip = ?", [ip_text(ip)]);
        }
        if let Some(instant) = filter.issued_from {
            self.condition("session.created_at >= ?", [at(instant)]);
        }
        if let Some(instant) = filter.issued_before {
            self.condition("session.created_at < ?", [at(instant)]);
        }
        if let Some(Cursor { created_at, session }) = after {
            // As a comparison of pairs it would be no range of an index.
            let place = [at(created_at), at(created_at), id_bytes(session)];
            let condition = "session.created_at <= ? AND (session.created_at < ? OR session.id < ?)";
            self.condition(condition, place);
        }
    }

    fn condition(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        self.conditions.extend([" AND ", condition]);
        self.values.extend(values);
    }
}

fn item(columns: &mut Columns, now: Timestamp) -> Result<ListItem, Problem> {
    let head = Head::read(columns)?;
    match head.over(now) {
        Some(tombstone) => Ok(ListItem::Ended { tombstone, created_at: head.created_at }),
        None => head.live(columns).map(ListItem::Live),
    }
}

const LISTED: &str =
    concat!("session.id AS listed_id, session.created_at AS listed_at, ", session_columns!());
const EPOCH: &str = first_epoch!();
const ORDERED: &str = "ORDER BY session.created_at DESC, session.id DESC LIMIT ?";
/// By [`cloakroom_core::judge`] in SQL, so that a page is full of what lives; the rows are judged again.
const LIVE: &str = "session.buried = 0 AND ? < session.expires_at \
    AND session.created_at >= (SELECT COALESCE(MAX(issued_before), -9223372036854775808) FROM epoch) \
    AND session.generation >= (SELECT COALESCE(MAX(IF(issued_before IS NULL, number, 0)), 0) FROM epoch)";
