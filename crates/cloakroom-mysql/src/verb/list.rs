//! Listing sessions.

use cloakroom_core::Timestamp;
use cloakroom_store::{
    Cursor, ErrorKind, Gathering, ListFilter, ListItem, ListOrder, ListPage, ListQuery, Part, StateFilter,
    Verb,
};
use mysql_async::{Row, Value};

use crate::database::{Effect, Link, Work};
use crate::error::Problem;
use crate::map::{Columns, Head, at, first_epoch, id_bytes, ip_text, name_bytes, session_columns};

/// [`Store::list`](cloakroom_store::Store::list): statements that each look at so many rows of an index and no more.
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
        let filter = &self.query.filter;
        let mut read = 0;
        let way = self.way(link, &mut read).await?;
        let sources = Source::of(filter, way);
        if sources.is_empty() {
            return Ok(ListPage::default());
        }
        let mut gathering = Gathering::new(&self.query, 1, sources.len());
        gathering.charge(read);
        while let Some(part) = gathering.next_round().first() {
            let rows = match way {
                Way::Few(_) => usize::from(ListQuery::FEW) + 1,
                Way::One | Way::Principal | Way::Order => part.rows,
            };
            let part = Part { rows, ..*part };
            let (sql, values) = self.statement(sources, way, &part);
            let looked = self.looked(link.ask(&sql, values).await?.rows(), &part)?;
            // To bring few into order all of them were looked at.
            let read = if matches!(way, Way::Few(_)) { read } else { looked.read };
            gathering.take_in(0, looked.items, read, looked.end);
        }
        Ok(gathering.finish())
    }
}

/// How the sessions of a filter are found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    One,
    Principal,
    /// By the beginning of their principals' names, or by their address: few, which are brought into order.
    Few(Few),
    /// By nothing but their instant of issue.
    Order,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Few {
    Beginning,
    Address,
}

impl Way {
    fn index(self) -> &'static str {
        match self {
            Self::One => "session_id",
            Self::Principal | Self::Few(Few::Beginning) => "session_principal",
            Self::Few(Few::Address) => "session_ip",
            Self::Order => "session_order",
        }
    }
}

/// Which rows to go through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    /// Those without an end of their own; time or an epoch may have ended them.
    Live,
    /// Those that have ended.
    Buried,
    /// All of them, where the index does not tell them apart.
    Both,
}

impl Source {
    fn of(filter: &ListFilter, way: Way) -> &'static [Self] {
        match filter.state {
            // Only live sessions have an address.
            StateFilter::Ended if filter.ip.is_some() => &[],
            _ if matches!(way, Way::Few(_) | Way::One) => &[Self::Both],
            _ if filter.ip.is_some() => &[Self::Live],
            StateFilter::Active => &[Self::Live],
            StateFilter::Ended => &[Self::Buried],
            StateFilter::Any => &[Self::Live, Self::Buried],
        }
    }

    fn condition(self) -> &'static str {
        match self {
            Self::Live => "session.buried = 0",
            Self::Buried => "session.buried = 1",
            Self::Both => "TRUE",
        }
    }
}

/// What a statement answered.
#[derive(Debug, Default)]
struct Looked {
    items: Vec<(Cursor, ListItem)>,
    /// Rows of each index that were looked at, all together.
    read: usize,
    /// The place up to which every index was searched; `None` where that was its end.
    end: Option<Cursor>,
}

impl List {
    /// The way that looks at the fewest rows. Where the index is not in the order of the list, they are counted first.
    async fn way(&self, link: &mut Link, read: &mut usize) -> Result<Way, Problem> {
        let filter = &self.query.filter;
        let (few, conditions) = match filter {
            ListFilter { session: Some(_), .. } => return Ok(Way::One),
            ListFilter { principal: Some(_), .. } => return Ok(Way::Principal),
            ListFilter { ip: Some(ip), .. } => {
                (Few::Address, Conditions::of("session.ip = ?", [ip_text(*ip)]))
            }
            ListFilter { principal_prefix: Some(_), .. } => (Few::Beginning, beginning(filter)),
            _ => return Ok(Way::Order),
        };
        let sql = format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM session FORCE INDEX ({}) WHERE {} LIMIT ?) AS few",
            Way::Few(few).index(),
            conditions.sql
        );
        let mut values = conditions.values;
        // One more than few tells that there are more than that.
        values.push(Value::Int(i64::from(ListQuery::FEW) + 1));
        let rows = link.ask(&sql, values).await?.rows();
        let row = rows.into_iter().next().ok_or(Problem::Column("count"))?;
        *read = count(&mut Columns::of(row))?;
        Ok(if *read > usize::from(ListQuery::FEW) { Way::Order } else { Way::Few(few) })
    }

    /// The next rows of each index, in the order of the list: of each source those that are wanted, and the last one in any
    /// case; with each, how many rows were looked at, and its number among them.
    ///
    /// What the index does not answer is asked of no more rows than that.
    fn statement(&self, sources: &[Source], way: Way, part: &Part) -> (String, Vec<Value>) {
        let direction = match self.query.order {
            ListOrder::NewestFirst => "DESC",
            ListOrder::OldestFirst => "ASC",
        };
        let (mut parts, mut values) = (Vec::new(), Vec::new());
        for (number, source) in sources.iter().enumerate() {
            let (wanted, bounds) = (self.wanted(way), self.bounds(*source, way, part));
            parts.push(format!(
                "(SELECT {number} AS source, looked, place, is_wanted, {LISTED} FROM (
                    SELECT number AS found, is_wanted, COUNT(*) OVER () AS looked,
                        ROW_NUMBER() OVER (ORDER BY created_at {direction}, id {direction}) AS place
                    FROM (
                        SELECT number, id, created_at, ({}) AS is_wanted FROM session FORCE INDEX ({}) WHERE {}
                        ORDER BY created_at {direction}, id {direction} LIMIT ?
                    ) AS next
                ) AS counted STRAIGHT_JOIN session ON session.number = counted.found {EPOCH}
                WHERE is_wanted OR place = looked ORDER BY place LIMIT ?)",
                wanted.sql,
                way.index(),
                bounds.sql
            ));
            values.extend(wanted.values);
            values.extend(bounds.values);
            values.push(Value::Int(i64::try_from(part.rows).unwrap_or(i64::MAX)));
            // One more than fits tells whether there is another page.
            values.push(Value::Int(i64::from(self.query.limit.get()) + 2));
        }
        let mut sql = parts.join(" UNION ALL ");
        if parts.len() > 1 {
            sql.push_str(" ORDER BY source, place");
        }
        (sql, values)
    }

    /// What an index answers.
    fn bounds(&self, source: Source, way: Way, part: &Part) -> Conditions {
        let filter = &self.query.filter;
        let mut bounds = Conditions::of(source.condition(), []);
        match (way, filter.session, filter.ip) {
            (Way::One, Some(session), _) => bounds.add("session.id = ?", [id_bytes(session)]),
            (Way::Principal, ..) => {
                bounds.add("session.principal = ?", [name_bytes(filter.principal.as_ref())]);
            }
            (Way::Few(Few::Address), _, Some(ip)) => bounds.add("session.ip = ?", [ip_text(ip)]),
            (Way::Few(Few::Beginning), ..) => {
                let Conditions { sql, values } = beginning(filter);
                bounds.add(&sql, values);
            }
            _ => {}
        }
        if let Some(instant) = filter.issued_from {
            bounds.add("session.created_at >= ?", [at(instant)]);
        }
        if let Some(instant) = filter.issued_before {
            bounds.add("session.created_at < ?", [at(instant)]);
        }
        if let Some(Cursor { created_at, session }) = part.after {
            // As a comparison of pairs it would be no range of an index.
            let place = [at(created_at), at(created_at), id_bytes(session)];
            let behind = match self.query.order {
                ListOrder::NewestFirst => {
                    "session.created_at <= ? AND (session.created_at < ? OR session.id < ?)"
                }
                ListOrder::OldestFirst => {
                    "session.created_at >= ? AND (session.created_at > ? OR session.id > ?)"
                }
            };
            bounds.add(behind, place);
        }
        bounds
    }

    /// What is asked of each row besides.
    fn wanted(&self, way: Way) -> Conditions {
        let filter = &self.query.filter;
        let mut wanted = match filter.state {
            StateFilter::Ended => Conditions::of("session.buried = 1", []),
            StateFilter::Any if filter.ip.is_none() => Conditions::of("TRUE", []),
            StateFilter::Active | StateFilter::Any => Conditions::of(LIVE, [at(self.now)]),
        };
        if way == Way::One && filter.principal.is_some() {
            wanted.add("session.principal <=> ?", [name_bytes(filter.principal.as_ref())]);
        }
        if let (true, Some(ip)) = (way != Way::Few(Few::Address), filter.ip) {
            wanted.add("session.ip <=> ?", [ip_text(ip)]);
        }
        if way != Way::Few(Few::Beginning) && filter.principal_prefix.is_some() {
            let Conditions { sql, values } = beginning(filter);
            wanted.add(&format!("COALESCE({sql}, FALSE)"), values);
        }
        wanted
    }

    fn looked(&self, rows: Vec<Row>, part: &Part) -> Result<Looked, Problem> {
        let mut looked = Looked::default();
        // Of the row before: its source, its place in the list, its number among those looked at, and how many those were.
        let mut last: Option<(i64, Cursor, usize, usize)> = None;
        for row in rows {
            let mut columns = Columns::of(row);
            let source = columns.integer("source")?;
            let (all, number) = (count(&mut columns)?, count(&mut columns)?);
            let is_wanted = columns.integer("is_wanted")? != 0;
            let place = Cursor { session: columns.session_id()?, created_at: columns.instant("created_at")? };
            if last.is_none_or(|(former, ..)| former != source) {
                looked.read += all;
                self.end(&mut looked, last, part);
            }
            last = Some((source, place, number, all));
            if !is_wanted {
                continue;
            }
            match item(&mut columns, self.now) {
                Ok(item) => {
                    looked
                        .items
                        .extend(Some((place, item)).filter(|(_, item)| self.query.filter.state.covers(item)));
                }
                // One damaged record hides itself, not the page it is on.
                Err(problem) if problem.kind() == ErrorKind::Corrupt => {}
                Err(problem) => return Err(problem),
            }
        }
        self.end(&mut looked, last, part);
        Ok(looked)
    }

    /// Notes how far a source was searched whose last row this was.
    fn end(&self, looked: &mut Looked, last: Option<(i64, Cursor, usize, usize)>, part: &Part) {
        let Some((_, place, number, all)) = last else { return };
        if number < all || all >= part.rows {
            let first = |one: &Cursor, other: &Cursor| self.query.order.compare(*one, *other);
            looked.end = [looked.end, Some(place)].into_iter().flatten().min_by(first);
        }
    }
}

/// Conditions of a statement in the making, all of which hold.
#[derive(Debug)]
struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    fn of(condition: &str, values: impl IntoIterator<Item = Value>) -> Self {
        Self { sql: condition.to_owned(), values: values.into_iter().collect() }
    }

    fn add(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.extend([" AND ", condition]);
        self.values.extend(values);
    }
}

/// Those of principals whose names begin as asked for.
fn beginning(filter: &ListFilter) -> Conditions {
    let bounds = filter.principal_prefix.iter().flat_map(ListFilter::bounds_of);
    let bounds = bounds.map(|name| Value::Bytes(name.into_bytes()));
    Conditions::of("session.principal BETWEEN ? AND ?", bounds)
}

fn item(columns: &mut Columns, now: Timestamp) -> Result<ListItem, Problem> {
    let head = Head::read(columns)?;
    match head.over(now) {
        Some(tombstone) => Ok(ListItem::Ended { tombstone, created_at: head.created_at }),
        None => head.live(columns).map(ListItem::Live),
    }
}

fn count(columns: &mut Columns) -> Result<usize, Problem> {
    usize::try_from(columns.integer("count")?).map_err(|_| Problem::Column("count"))
}

const LISTED: &str =
    concat!("session.id AS listed_id, session.created_at AS listed_at, ", session_columns!());
const EPOCH: &str = first_epoch!();
/// By [`cloakroom_core::judge`] in SQL, so that a page is full of what lives; the rows are judged again.
const LIVE: &str = "session.buried = 0 AND ? < session.expires_at \
    AND session.created_at >= (SELECT COALESCE(MAX(issued_before), -9223372036854775808) FROM epoch) \
    AND session.generation >= (SELECT COALESCE(MAX(IF(issued_before IS NULL, number, 0)), 0) FROM epoch)";
