//! What servers say of themselves and of each other, and which parts that proves.

use cloakroom_store::Parts;

use super::coverage::{LineNumber, Standing};
use crate::link::field;
use crate::neighbours::{Neighbour, Neighbours, Vote};

/// What a server said on a line, after the line had been asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct View {
    pub(super) line: LineNumber,
    /// Which run of which server it is.
    pub(super) process: String,
    is_primary: bool,
    /// Different once it has followed another primary.
    history: String,
    evicted: u64,
    pub(super) cluster: Option<Neighbours>,
}

impl View {
    /// What `INFO` says, and `CLUSTER NODES` in a Cluster; nothing where it does not say what is needed.
    pub(super) fn read(line: LineNumber, information: &str, nodes: Option<&str>) -> Option<Self> {
        let cluster = match nodes {
            Some(text) => Some(Neighbours::read(text)?),
            None => None,
        };
        Some(Self {
            line,
            process: field(information, "run_id")?.to_owned(),
            is_primary: field(information, "role")? == "master",
            history: field(information, "master_replid")?.to_owned(),
            evicted: field(information, "evicted_keys")?.parse().ok()?,
            cluster,
        })
    }

    /// Whether it takes writes.
    pub(super) fn is_primary(&self) -> bool {
        self.is_primary
            && self.cluster.as_ref().is_none_or(|cluster| cluster.own().is_some_and(|own| own.is_primary))
    }

    fn standing(&self) -> Standing {
        let history = match self.cluster.as_ref().and_then(Neighbours::own) {
            // A slot that went and came back came with a later epoch: whoever takes a slot takes one for it.
            Some(own) => format!("{} {} {}", self.history, own.id, own.epoch),
            None => self.history.clone(),
        };
        Standing { line: self.line, history, evicted: self.evicted }
    }

    /// The parts that it serves, moving or not, as it has it itself.
    pub(super) fn parts(&self) -> Parts {
        match &self.cluster {
            None => Parts::ALL,
            Some(cluster) => cluster.own().map_or(Parts::NONE, Neighbour::parts),
        }
    }
}

/// Which parts are covered by which of these servers.
///
/// One server covers all parts while it is a primary. A node of a Cluster covers a part if it says that the part's slot is
/// its own and not on its way, and if most primaries that have slots, itself among them, say so too and do not find it
/// failing. Nobody takes a slot's place without the votes of most primaries, each of which finds the old owner failing
/// before it votes: an owner that was cut off and replaced, and does not know yet, is not believed.
pub(super) fn covered(views: &[View]) -> Vec<(Standing, Parts)> {
    let primaries = views.iter().filter(|view| view.is_primary());
    primaries.map(|view| (view.standing(), confirmed(view, views))).collect()
}

fn confirmed(view: &View, views: &[View]) -> Parts {
    let Some(cluster) = &view.cluster else { return Parts::ALL };
    let Some(own) = cluster.own() else { return Parts::NONE };
    let vote = Vote::on(cluster, views.iter().filter_map(|other| other.cluster.as_ref()));
    let opinions: Vec<Parts> = vote.opinions.iter().map(|said| said.parts()).collect();
    let is_agreed =
        |number: &u8| vote.carries(opinions.iter().filter(|parts| parts.contains(*number)).count());
    own.parts().without(cluster.moving()).numbers().filter(is_agreed).collect()
}

/// Who of these knows of somebody who serves a part and is none of them; the one that knows of the latest election.
pub(super) fn who_knows_others(views: &[View]) -> Option<LineNumber> {
    let ids: Vec<&str> =
        views.iter().filter_map(|view| Some(view.cluster.as_ref()?.own()?.id.as_str())).collect();
    let known = views.iter().filter_map(|view| Some((view, view.cluster.as_ref()?)));
    let knows = |cluster: &Neighbours| {
        cluster.nodes().iter().any(|node| !node.parts().is_empty() && !ids.contains(&node.id.as_str()))
    };
    let latest = |cluster: &Neighbours| cluster.nodes().iter().map(|node| node.epoch).max();
    let known = known.filter(|(_, cluster)| knows(cluster));
    known.max_by_key(|(_, cluster)| latest(cluster)).map(|(view, _)| view.line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Layout;

    const INFORMATION: &str = "# Server\r\nrun_id:aa\r\n# Stats\r\nevicted_keys:0\r\n# Replication\r\nrole:master\r\nmaster_replid:r\r\n";

    /// What `asked` says of three primaries that share the slots, with a change.
    fn view(asked: usize, change: impl Fn(String) -> String) -> View {
        let line = |number: usize| {
            let myself = if number == asked { "myself," } else { "" };
            let slots = ["0-5460", "5461-10922", "10923-16383"][number];
            format!(
                "id{number} 127.0.0.1:700{number}@1700{number},host {myself}master - 0 1 {number} connected {slots}\n"
            )
        };
        let replica = "id9 127.0.0.1:7009@17009 slave id0 0 1 0 connected\n";
        let text = change((0..3).map(line).collect::<String>() + replica);
        View::read(u64::try_from(asked).unwrap(), INFORMATION, Some(&text)).unwrap()
    }

    fn unchanged(text: String) -> String {
        text
    }

    fn all_of(covered: &[(Standing, Parts)]) -> Parts {
        covered.iter().fold(Parts::NONE, |all, (_, parts)| all.union(*parts))
    }

    #[test]
    fn one_server_covers_everything_while_it_is_a_primary() {
        let primary = View::read(7, INFORMATION, None).unwrap();
        assert_eq!(all_of(&covered(&[primary])), Parts::ALL);
        let replica = View::read(7, &INFORMATION.replace("master\r\n", "slave\r\n"), None).unwrap();
        assert_eq!(all_of(&covered(&[replica])), Parts::NONE);
        assert_eq!(View::read(7, "role:master\r\n", None), None);
    }

    #[test]
    fn each_primary_of_a_cluster_covers_its_own_while_most_say_so() {
        let views: Vec<View> = (0..3).map(|asked| view(asked, unchanged)).collect();
        let whole = covered(&views);
        assert_eq!(all_of(&whole), Parts::ALL);
        assert!(whole.iter().all(|(_, parts)| !parts.is_empty()), "each has some");
        // One is dead: the others are enough for each other.
        assert_eq!(all_of(&covered(&views[..2])), whole[0].1.union(whole[1].1));
        // Two are: the last one may be the one that was cut off.
        assert_eq!(all_of(&covered(&views[..1])), Parts::NONE);
    }

    #[test]
    fn an_owner_whom_most_find_failing_or_replaced_is_not_believed() {
        let own = view(0, unchanged).parts();
        let failing = |text: String| text.replace("host master - 0 1 0", "host master,fail? - 0 1 0");
        let replaced = |text: String| {
            text.replace("0 1 0 connected 0-5460", "0 1 0 connected")
                .replace("slave id0 0 1 0 connected", "master - 0 1 7 connected 0-5460")
        };
        let changes: [&dyn Fn(String) -> String; 2] = [&failing, &replaced];
        for change in changes {
            let views = [view(0, unchanged), view(1, change), view(2, change)];
            assert_eq!(all_of(&covered(&views)), Parts::ALL.without(own));
            let views = [view(0, unchanged), view(1, unchanged), view(2, change)];
            assert_eq!(all_of(&covered(&views)), Parts::ALL, "two of three agree");
        }
        let views = [view(0, unchanged), view(1, replaced), view(2, replaced)];
        assert!(matches!(who_knows_others(&views), Some(1 | 2)), "who has taken its place is known there");
        assert_eq!(who_knows_others(&(0..3).map(|asked| view(asked, unchanged)).collect::<Vec<_>>()), None);
    }

    #[test]
    fn a_slot_on_its_way_is_covered_by_nobody_and_one_that_came_back_has_another_standing() {
        let slot = Layout::new("", true).buckets().next().unwrap().slot();
        let number = Parts::one(0);
        let owner = (0..3).find(|asked| view(*asked, unchanged).parts().contains(0)).unwrap();
        let leaving = |text: String| {
            let slots = ["0-5460\n", "5461-10922\n", "10923-16383\n"][owner];
            text.replace(slots, &format!("{} [{slot}->-id9]\n", slots.trim()))
        };
        let mut views: Vec<View> = (0..3).map(|asked| view(asked, unchanged)).collect();
        let before = covered(&views);
        views[owner] = view(owner, leaving);
        assert_eq!(all_of(&covered(&views)), Parts::ALL.without(number));
        let later = |text: String| text.replace(&format!("- 0 1 {owner} connected"), "- 0 1 8 connected");
        views[owner] = view(owner, later);
        assert_ne!(covered(&views)[owner].0, before[owner].0);
    }
}
