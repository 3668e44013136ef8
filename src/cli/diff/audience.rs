//! For whom verdicts are compared: a client for each policy, of those that
//! there are in either configuration.

use super::change::{Both, Client};
use super::side::Side;
use crate::config::{self, Match};
use crate::equipment::Imsi;
use crate::policy::PolicyId;

/// How many clients are tried for one policy until one is found that no
/// policy before it takes.
const TRIALS_MAX: usize = 256;

/// Clients for which other policies apply than for those before.
#[derive(Debug)]
pub(super) struct Audiences {
    /// The clients, with the policies of both sides.
    pub(super) clients: Vec<(Client, (PolicyId, PolicyId))>,
    /// Policies for which there is none.
    pub(super) notes: Vec<String>,
}

impl Audiences {
    /// Nobody but this client.
    pub(super) fn only(client: Client, both: &Both<'_>) -> Self {
        let policies = both.policies(&client);
        Self {
            clients: vec![(client, policies)],
            notes: Vec::new(),
        }
    }

    /// A client that tells nothing of itself, then one for each policy that
    /// has not been met by then. Subscribers for whom `is_named` are avoided:
    /// they have bindings or exceptions of their own.
    pub(super) fn of_all_policies(
        both: &Both<'_>,
        sides: [&Side; 2],
        is_named: impl Fn(Imsi) -> bool,
    ) -> Self {
        let mut this = Self::only(Client::default(), both);
        for (side, name) in sides.into_iter().zip(["old", "new"]) {
            // With the maintenance switch on, no policy matters.
            if side.rulebook.override_status().is_some() {
                continue;
            }
            for (number, policy) in (1..).zip(&side.config.policies) {
                // It is for nobody.
                if policy.shadow {
                    continue;
                }
                let reaches = |client: &Client| {
                    let verdict = side.rulebook.decide(&client.inquiry(None, None), both.at);
                    verdict.policy.number() == number
                };
                match find(&policy.matches, reaches, &is_named) {
                    Some(client) => this.add(client, both),
                    None => this.notes.push(format!(
                        "policy {} of the {name} side is not compared: no client was found that \
                         it applies to",
                        policy.name
                    )),
                }
            }
        }
        this
    }

    /// Adds a client, unless its policies have been met.
    fn add(&mut self, client: Client, both: &Both<'_>) {
        let policies = both.policies(&client);
        if self.of_policies(policies).is_none() {
            self.clients.push((client, policies));
        }
    }

    /// The client for these policies.
    pub(super) fn of_policies(&self, policies: (PolicyId, PolicyId)) -> Option<&Client> {
        let mut clients = self.clients.iter();
        let (client, _) = clients.find(|(_, own)| *own == policies)?;
        Some(client)
    }

    /// The clients without their subscribers, each once.
    pub(super) fn anonymous(&self) -> Vec<Client> {
        let mut found: Vec<Client> = Vec::new();
        for (client, _) in &self.clients {
            let client = client.with_imsi(None);
            if !found.contains(&client) {
                found.push(client);
            }
        }
        found
    }
}

/// A client that fits and reaches its policy; one of a subscriber that is not
/// named if it can be.
fn find(
    matches: &Match,
    reaches: impl Fn(&Client) -> bool,
    is_named: impl Fn(Imsi) -> bool,
) -> Option<Client> {
    let hosts = names(&matches.origin_host);
    let realms = names(&matches.origin_realm);
    let routes = names(&matches.route_record);
    let imsis = imsis(matches);
    let clients = hosts.iter().flat_map(|host| {
        let (routes, imsis) = (&routes, &imsis);
        realms.iter().flat_map(move |realm| {
            routes.iter().flat_map(move |route| {
                imsis.iter().map(move |&imsi| Client {
                    origin_host: host.clone(),
                    origin_realm: realm.clone(),
                    route_record: route.clone(),
                    imsi,
                })
            })
        })
    });
    let mut named = None;
    for client in clients.take(TRIALS_MAX).filter(|client| reaches(client)) {
        if !client.imsi.is_some_and(&is_named) {
            return Some(client);
        }
        named.get_or_insert(client);
    }
    named
}

/// Names that fit these; a pattern stands for the names that end so.
fn names(patterns: &[String]) -> Vec<String> {
    if patterns.is_empty() {
        return vec![String::new()];
    }
    let name = |pattern: &String| match pattern.strip_prefix('*') {
        Some(suffix) => format!("any{suffix}"),
        None => pattern.clone(),
    };
    patterns.iter().map(name).collect()
}

/// Subscribers that may fit: the last ones and the first one of each prefix
/// and range, none if there is neither.
fn imsis(matches: &Match) -> Vec<Option<Imsi>> {
    if matches.imsi_prefix.is_empty() && matches.imsi_range.is_empty() {
        return vec![None];
    }
    let fill = |fill: char, prefix: &String| {
        let rest = Imsi::MAX_DIGITS.saturating_sub(prefix.len());
        format!("{prefix}{}", fill.to_string().repeat(rest))
    };
    let of_prefixes = ['9', '0', '5']
        .into_iter()
        .flat_map(|digit| matches.imsi_prefix.iter().map(move |own| fill(digit, own)));
    let ranges = matches.imsi_range.iter();
    let of_ranges = ranges
        .filter_map(|range| config::split_imsi_range(range).ok())
        .flat_map(|(first, last)| [last.to_owned(), first.to_owned()]);
    of_prefixes
        .chain(of_ranges)
        .map(|digits| Imsi::parse(digits.as_bytes()).ok())
        .filter(Option::is_some)
        .collect()
}
