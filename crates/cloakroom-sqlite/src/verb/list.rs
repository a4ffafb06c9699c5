//! Listing sessions.

use cloakroom_core::Timestamp;
use cloakroom_store::{Cursor, ErrorKind, ListFilter, ListItem, ListOrder, ListPage, ListQuery, StateFilter};
use rusqlite::types::Value;
use rusqlite::{Row, Rows, params_from_iter};

use crate::error::Problem;
use crate::map::{Head, head, instant, ip_text, session_id};
use crate::transaction::Transaction;

/// A page: the rows of one index, or of the one of what lives and the one of what has ended, in the order of the list, each
/// asked whether it is wanted, until there are enough or as many were looked at as one page allows.
pub(crate) fn list(
    transaction: &Transaction<'_>,
    query: &ListQuery,
    now: Timestamp,
) -> Result<ListPage, Problem> {
    let filter = &query.filter;
    let sources: &[Source] = match filter.state {
        // Only live sessions have an address.
        StateFilter::Ended if filter.ip.is_some() => &[],
        _ if filter.ip.is_some() => &[Source::Live],
        StateFilter::Active => &[Source::Live],
        StateFilter::Ended => &[Source::Buried],
        StateFilter::Any => &[Source::Live, Source::Buried],
    };
    let mut read = 0;
    let way = Way::of(transaction, filter, sources, &mut read)?;
    let scans: Vec<Scan> = sources.iter().map(|source| Scan::of(*source, &way, query)).collect();
    let statements = scans.iter().map(|scan| transaction.statement(&scan.sql));
    let mut statements = statements.collect::<Result<Vec<_>, _>>()?;
    let look = Look { transaction, filter, now };
    let mut legs = Vec::new();
    for (statement, scan) in statements.iter_mut().zip(scans) {
        let mut leg = Leg { rows: statement.query(params_from_iter(scan.parameters))?, next: None };
        leg.advance(&look, &mut read)?;
        legs.push(leg);
    }
    let mut page = Merge { legs, read, look }.gather(query)?;
    if let Way::Few(count) = way {
        // To bring them into order all of them were read, not only those that were asked for.
        page.read = page.read.max(count.saturating_mul(2));
    }
    Ok(page)
}

/// How the sessions of a filter are found.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Way {
    One,
    Principal,
    /// By the beginning of their principals' names, so many, which are brought into order.
    Few(u64),
    Address,
    /// By nothing but their instant of issue.
    Order,
}

impl Way {
    fn of(
        transaction: &Transaction<'_>,
        filter: &ListFilter,
        sources: &[Source],
        read: &mut u64,
    ) -> Result<Self, Problem> {
        let beginning = match filter {
            ListFilter { session: Some(_), .. } => return Ok(Self::One),
            ListFilter { principal: Some(_), .. } => return Ok(Self::Principal),
            ListFilter { ip: Some(_), .. } => return Ok(Self::Address),
            ListFilter { principal_prefix: Some(beginning), .. } => beginning,
            _ => return Ok(Self::Order),
        };
        let most = u64::from(ListQuery::FEW);
        let [first, last] = ListFilter::bounds_of(beginning);
        let mut found = 0;
        for source in sources {
            let sql = format!(
                "SELECT count(*) FROM (SELECT 1 FROM session INDEXED BY {} WHERE {} AND {RANGE} LIMIT ?)",
                source.by_principal(),
                source.condition()
            );
            // One more than few tells that there are more than that.
            let limit = i64::try_from(most + 1 - found).unwrap_or(i64::MAX);
            let parameters = (&first, &last, limit);
            let count: i64 = transaction.statement(&sql)?.query_row(parameters, |row| row.get(0))?;
            found += u64::try_from(count).unwrap_or(0);
            if found > most {
                break;
            }
        }
        *read += found;
        Ok(if found > most { Self::Order } else { Self::Few(found) })
    }
}

/// Which rows to go through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    /// Those without an end of their own; time or an epoch may have ended them.
    Live,
    /// Those that have ended.
    Buried,
}

impl Source {
    fn condition(self) -> &'static str {
        match self {
            Self::Live => "ended_at IS NULL",
            Self::Buried => "ended_at IS NOT NULL",
        }
    }

    fn by_principal(self) -> &'static str {
        match self {
            Self::Live => "session_live_principal",
            Self::Buried => "session_ended_principal",
        }
    }
}

/// A statement in the making. Its conditions are those that the index answers: a row that the statement passed over would be
/// looked at without being counted.
#[derive(Debug)]
struct Scan {
    sql: String,
    parameters: Vec<Value>,
}

impl Scan {
    fn of(source: Source, way: &Way, query: &ListQuery) -> Self {
        let filter = &query.filter;
        let index = match (way, source) {
            (Way::One, _) => None,
            (Way::Principal | Way::Few(_), _) => Some(source.by_principal()),
            (Way::Address, _) => Some("session_ip"),
            (Way::Order, Source::Live) => Some("session_live"),
            (Way::Order, Source::Buried) => Some("session_ended"),
        };
        let by = index.map(|index| format!(" INDEXED BY {index}")).unwrap_or_default();
        let sql = format!("SELECT {COLUMNS} FROM session{by} WHERE {}", source.condition());
        let mut scan = Self { sql, parameters: Vec::new() };
        match (way, &filter.principal, &filter.principal_prefix) {
            (Way::Principal, Some(principal), _) => {
                scan.condition("principal = ?", [principal.as_str().to_owned().into()]);
            }
            (Way::Few(_), _, Some(beginning)) => {
                scan.condition(RANGE, ListFilter::bounds_of(beginning).map(Value::from));
            }
            _ => {}
        }
        if let (Way::One, Some(session)) = (way, filter.session) {
            scan.condition("id = ?", [session.as_bytes().to_vec().into()]);
        }
        if let (Way::Address, Some(ip)) = (way, filter.ip) {
            scan.condition("ip = ?", [ip_text(ip).into()]);
        }
        if let Some(instant) = filter.issued_from {
            scan.condition("created_at >= ?", [instant.as_millis().into()]);
        }
        if let Some(instant) = filter.issued_before {
            scan.condition("created_at < ?", [instant.as_millis().into()]);
        }
        let (behind, direction) = match query.order {
            ListOrder::NewestFirst => ("(created_at, id) < (?, ?)", "DESC"),
            ListOrder::OldestFirst => ("(created_at, id) > (?, ?)", "ASC"),
        };
        if let Some(Cursor { created_at, session }) = query.after {
            scan.condition(behind, [created_at.as_millis().into(), session.as_bytes().to_vec().into()]);
        }
        scan.sql.extend([" ORDER BY created_at ", direction, ", id ", direction]);
        scan
    }

    fn condition(&mut self, condition: &str, parameters: impl IntoIterator<Item = Value>) {
        self.sql.extend([" AND ", condition]);
        self.parameters.extend(parameters);
    }
}

/// What is asked of a row.
struct Look<'a> {
    transaction: &'a Transaction<'a>,
    filter: &'a ListFilter,
    now: Timestamp,
}

impl Look<'_> {
    /// The session of a row, if it is wanted.
    fn item(&self, row: &Row<'_>) -> Result<Option<ListItem>, Problem> {
        let head = Head::read(row)?;
        let over = head.over(&self.transaction.epochs, self.now);
        // Most that are not wanted need not be unpacked.
        let begins = |with: &str| head.principal.as_ref().is_some_and(|id| id.as_str().starts_with(with));
        let is_wanted = match &over {
            Some(_) => self.filter.state != StateFilter::Active,
            None => self.filter.state != StateFilter::Ended,
        };
        let beginning = self.filter.principal_prefix.as_ref();
        if !is_wanted || !beginning.is_none_or(|beginning| begins(beginning.as_str())) {
            return Ok(None);
        }
        let item = match over {
            Some(tombstone) => ListItem::Ended { tombstone, created_at: head.created_at },
            None => ListItem::Live(head.live(row, Head::COLUMNS)?),
        };
        Ok(Some(item).filter(|item| self.filter.lets_through(item)))
    }
}

/// A row that was looked at.
struct Looked {
    place: Cursor,
    item: Option<ListItem>,
}

/// The rows of one statement, of which the next one has been looked at.
struct Leg<'a> {
    rows: Rows<'a>,
    next: Option<Looked>,
}

impl Leg<'_> {
    fn advance(&mut self, look: &Look<'_>, read: &mut u64) -> Result<Option<Looked>, Problem> {
        let mut next = None;
        while next.is_none() {
            let Some(row) = self.rows.next()? else { break };
            *read += 1;
            next = hidden(place(row))?
                .map(|place| hidden(look.item(row)).map(|item| Looked { place, item: item.flatten() }));
        }
        Ok(std::mem::replace(&mut self.next, next.transpose()?))
    }
}

/// One damaged record hides itself, not the page it is on.
fn hidden<T>(read: Result<T, Problem>) -> Result<Option<T>, Problem> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(problem) if problem.kind() == ErrorKind::Corrupt => Ok(None),
        Err(problem) => Err(problem),
    }
}

fn place(row: &Row<'_>) -> Result<Cursor, Problem> {
    Ok(Cursor { session: session_id(row, 1)?, created_at: instant(row, 3)? })
}

/// The rows of all statements, merged.
struct Merge<'a> {
    legs: Vec<Leg<'a>>,
    read: u64,
    look: Look<'a>,
}

impl Merge<'_> {
    fn gather(mut self, query: &ListQuery) -> Result<ListPage, Problem> {
        let limit = usize::from(query.limit.get());
        let mut page = ListPage::default();
        let mut reached = None;
        // One more than fits tells whether there is another page.
        while page.items.len() <= limit {
            let in_order =
                |one: &(Cursor, usize), other: &(Cursor, usize)| query.order.compare(one.0, other.0);
            let next = self.legs.iter().enumerate();
            let next = next.filter_map(|(leg, rows)| Some((rows.next.as_ref()?.place, leg))).min_by(in_order);
            let Some((place, leg)) = next else {
                reached = None;
                break;
            };
            if reached.is_some() && self.read >= u64::from(ListQuery::MOST_READ) {
                break;
            }
            reached = Some(place);
            let Some(leg) = self.legs.get_mut(leg) else { break };
            page.items.extend(leg.advance(&self.look, &mut self.read)?.and_then(|looked| looked.item));
        }
        let more = page.items.len() > limit;
        page.items.truncate(limit);
        page.next = if more { page.items.last().map(ListItem::cursor) } else { reached };
        page.read = self.read;
        Ok(page)
    }
}

const COLUMNS: &str = concat!(head!(), ", body");
/// Principals from one name to another.
const RANGE: &str = "principal BETWEEN ? AND ?";
