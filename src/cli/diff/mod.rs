//! `weir diff`: whose verdict would change.
//!
//! ```text
//! OLD ─▶ Side ─┐           ┌─▶ devices: one of each segment of the number space
//!              ├─▶ Both ───┼─▶ devices with one software version
//! NEW ─▶ Side ─┘           ├─▶ subscribers: bindings and exceptions
//!                          └─▶ the requests of a capture (--replay)
//! ```
//!
//! Nothing is guessed from the lines of the lists: every case is decided by
//! both rulebooks as a request would be. That takes some memory and a
//! microsecond for each edge of a rule, and none for each device.

mod audience;
mod change;
mod named;
mod print;
mod side;
mod space;

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::explain::{parse_imsi, parse_time};
use super::replay::{self, Differing};
use super::{print_json, printed, serve};
use crate::equipment::{Device, Imsi, Scope, Snapshot, Status, Svn};
use crate::error::Failed;
use crate::net::Clock;
use crate::policy::PolicyId;

use self::audience::Audiences;
use self::change::{Both, Case, Client, Tally, Verdicts};
use self::side::{Side, SideSummary};
use self::space::{Space, representative};

/// Show whose verdict would change from OLD to NEW, with the rules that decide.
///
/// Both are a configuration (*.toml, with all its lists and policies), a snapshot
/// (without policies), or a list: a CSV file, or a pattern in quotes. Needs no server, and changes nothing.
#[derive(Clone, Debug, Args)]
#[command(after_help = NOTES)]
pub struct DiffArgs {
    /// What is in use: weir.toml, a snapshot, a list, or a pattern in quotes.
    pub old: String,

    /// What is to be used instead.
    pub new: String,

    /// The status of rules that name none, where a list is compared by itself.
    #[arg(long, value_name = "STATUS", default_value = "blacklisted")]
    pub status: String,

    /// How the files are written where a list is compared by itself, as `format`
    /// of a list in the configuration.
    #[arg(long, value_name = "FORMAT", default_value = "csv")]
    pub format: String,

    /// Compare for this subscriber only.
    #[arg(long, value_name = "DIGITS")]
    pub imsi: Option<String>,

    /// Compare for the client with this Origin-Host only.
    #[arg(long, value_name = "HOST")]
    pub origin_host: Option<String>,

    /// Compare for the client with this Origin-Realm only.
    #[arg(long, value_name = "REALM")]
    pub origin_realm: Option<String>,

    /// The time to judge by, instead of now: RFC 3339, such as
    /// 2027-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,

    /// Also show which requests of this capture would be answered differently.
    #[arg(long, value_name = "FILE.pcap")]
    pub replay: Option<PathBuf>,

    /// Diameter has been captured on this port, too, besides 3868; may be given
    /// several times.
    #[arg(long, value_name = "PORT", requires = "replay")]
    pub port: Vec<u16>,

    /// Print IMEIs and IMSIs of the capture in full.
    #[arg(long, requires = "replay")]
    pub show_identities: bool,

    /// How many samples to show of each change, each with other rules that decide.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub samples: usize,

    /// End with 1 if a verdict changes.
    #[arg(long)]
    pub exit_code: bool,

    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What the numbers mean.
const NOTES: &str = "\
Devices are counted for requests without an IMSI and without a software version, for each
policy of either side by a client that it applies to. Devices with a software version, and
subscribers with bindings or exceptions, are counted where that makes a difference; a
subscriber counts once for each device, range or TAC that it is bound to or excepted for, and
once for all other devices; a range of subscribers counts as one for each part of it that is
cut out by other ranges and by policies.

Ends with 0 whether a verdict changes or not; with --exit-code, with 1 if one does.";

impl DiffArgs {
    /// Carries the command out, printing to `out`.
    ///
    /// # Errors
    ///
    /// A wrong argument, a configuration, list or capture that cannot be used,
    /// or, if it was asked for, a verdict that changes.
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failed> {
        let report = self.report()?;
        match self.json {
            true => print_json(out, &report)?,
            false => printed(print::print(out, &report))?,
        }
        match self.exit_code && report.differs {
            true => Err(Failed::new("verdicts change, and --exit-code was given")),
            false => Ok(()),
        }
    }

    /// Loads both sides and compares them.
    fn report(&self) -> Result<Report, Failed> {
        let status = self
            .status
            .parse()
            .map_err(|why| Failed::usage(format!("--status `{}`: {why}", self.status)))?;
        let imsi = self.imsi.as_deref().map(parse_imsi).transpose()?;
        let at = match &self.at {
            Some(text) => parse_time(text)?,
            None => Clock::start().now().unix,
        };
        let sides = self.sides(status)?;
        let both = Both {
            old: &sides[0].rulebook,
            new: &sides[1].rulebook,
            at,
            samples: self.samples,
        };
        let is_chosen = imsi.is_some() || self.origin_host.is_some() || self.origin_realm.is_some();
        let chosen = is_chosen.then(|| Client {
            origin_host: self.origin_host.clone().unwrap_or_default(),
            origin_realm: self.origin_realm.clone().unwrap_or_default(),
            route_record: String::new(),
            imsi,
        });
        let comparison = Comparison::new(both, [&sides[0], &sides[1]], chosen);
        let replay = self.replayed(&sides, &both)?;
        let audiences: Vec<_> = comparison.audiences.clients.iter().collect();
        let audiences = audiences
            .into_iter()
            .map(|(client, policies)| comparison.audience(client, *policies))
            .collect::<Vec<_>>();
        let subscribers = imsi.is_none().then(|| comparison.subscribers());
        let differs = audiences.iter().any(AudienceReport::differs)
            || subscribers.as_ref().is_some_and(|tally| tally.changed > 0)
            || (replay.as_ref()).is_some_and(|replay| !replay.differing.is_empty());
        let summaries = sides.each_ref().map(|side| side.summary(at));
        // Last, as a rule that cannot be read is one that is not compared.
        for side in &sides {
            side.demand_whole()?;
        }
        let [old, new] = summaries;
        Ok(Report {
            old,
            new,
            at: at.to_string(),
            differs,
            audiences,
            subscribers,
            notes: comparison.audiences.notes,
            replay,
        })
    }

    /// Loads both sides.
    fn sides(&self, status: Status) -> Result<[Side; 2], Failed> {
        Ok([
            Side::load("old", &self.old, status, &self.format)?,
            Side::load("new", &self.new, status, &self.format)?,
        ])
    }

    /// Feeds the requests of the capture through both sides.
    fn replayed(&self, sides: &[Side; 2], both: &Both<'_>) -> Result<Option<Replayed>, Failed> {
        let Some(capture) = &self.replay else {
            return Ok(None);
        };
        let (requests, differing) = replay::between(
            capture,
            &self.port,
            sides
                .each_ref()
                .map(|side| (serve::node(&side.config), &side.rulebook)),
            both.at,
            self.show_identities,
        )?;
        Ok(Some(Replayed {
            capture: capture.display().to_string(),
            requests,
            changed: differing.len(),
            differing,
        }))
    }
}

//----------- Report ----------------------------------------------------------

/// Everything that there is to tell.
#[derive(Debug, Serialize)]
struct Report {
    /// What is.
    old: SideSummary,
    /// What would be.
    new: SideSummary,
    /// The moment for which verdicts are compared.
    at: String,
    /// Whether any verdict changes.
    differs: bool,
    /// The devices, for each client.
    audiences: Vec<AudienceReport>,
    /// Subscribers with bindings or exceptions; none if one was chosen.
    subscribers: Option<Tally>,
    /// What could not be compared.
    notes: Vec<String>,
    /// The requests of the capture.
    replay: Option<Replayed>,
}

/// What one client would be answered.
#[derive(Debug, Serialize)]
struct AudienceReport {
    /// Its Origin-Host; empty: none.
    origin_host: String,
    /// Its Origin-Realm; empty: none.
    origin_realm: String,
    /// The first Route-Record of its requests; empty: none.
    route_record: String,
    /// The subscriber it asks for.
    imsi: Option<String>,
    /// The policy that applies to it.
    old_policy: String,
    /// The policy that would.
    new_policy: String,
    /// All devices.
    devices: Tally,
    /// Devices with one software version, where that makes a difference.
    device_svns: Tally,
    /// What is no IMEI.
    malformed: Tally,
}

impl AudienceReport {
    /// Whether any verdict changes.
    fn differs(&self) -> bool {
        let tallies = [&self.devices, &self.device_svns, &self.malformed];
        tallies.iter().any(|tally| tally.changed > 0)
    }
}

/// What the requests of a capture would be answered.
#[derive(Debug, Serialize)]
struct Replayed {
    /// The capture.
    capture: String,
    /// How many requests it has.
    requests: u64,
    /// How many are answered differently.
    changed: usize,
    /// These.
    differing: Vec<Differing>,
}

//----------- Comparison ------------------------------------------------------

/// A comparison under way.
struct Comparison<'a> {
    /// What is compared.
    both: Both<'a>,
    /// The number space of devices.
    space: Space,
    /// Devices with a software version that a rule or binding names, in order.
    device_svns: Vec<(Device, Svn)>,
    /// Subscribers with the devices that they are bound to or excepted for, in
    /// order.
    named: Vec<(Imsi, Scope)>,
    /// Who asks.
    audiences: Audiences,
}

impl<'a> Comparison<'a> {
    /// Prepares a comparison, for a client of the user's choice if there is one.
    fn new(both: Both<'a>, sides: [&Side; 2], chosen: Option<Client>) -> Self {
        let snapshots = [both.old.snapshot(), both.new.snapshot()];
        let scopes = || snapshots.into_iter().flat_map(scopes);
        let mut device_svns: Vec<_> = scopes()
            .filter_map(|scope| match scope {
                Scope::DeviceSvn(device, svn) => Some((device, svn)),
                _ => None,
            })
            .collect();
        device_svns.sort_unstable();
        device_svns.dedup();
        let mut notes = Vec::new();
        let named = named::collect(sides, &mut notes);
        let ranges = named::ranges(snapshots);
        let is_named = |imsi| {
            let mut ranges = ranges.iter();
            named
                .binary_search_by_key(&imsi, |(named, _)| *named)
                .is_ok()
                || ranges.any(|range| range.contains(imsi))
        };
        let mut audiences = match chosen {
            Some(client) => Audiences::only(client, &both),
            None => Audiences::of_all_policies(&both, sides, is_named),
        };
        audiences.notes.append(&mut notes);
        let models = snapshots
            .into_iter()
            .flat_map(|snapshot| snapshot.models().tacs());
        Self {
            both,
            space: Space::cut(scopes(), models),
            device_svns,
            named,
            audiences,
        }
    }

    //--- Devices

    /// Compares all devices for one client.
    fn audience(&self, client: &Client, policies: (PolicyId, PolicyId)) -> AudienceReport {
        let Both { old, new, .. } = self.both;
        let name = |name: Option<&str>| name.unwrap_or_default().to_owned();
        AudienceReport {
            origin_host: client.origin_host.clone(),
            origin_realm: client.origin_realm.clone(),
            route_record: client.route_record.clone(),
            imsi: client.imsi.map(|imsi| imsi.to_string()),
            old_policy: name(old.policy_name(policies.0)),
            new_policy: name(new.policy_name(policies.1)),
            devices: self.devices(client),
            device_svns: self.device_svns(client),
            malformed: self.malformed(client),
        }
    }

    /// Decides about one device of each segment. Neighbours with the same
    /// grounds are one sample.
    fn devices(&self, client: &Client) -> Tally {
        let mut tally = Tally::default();
        let mut run: Option<((Device, Device), Verdicts)> = None;
        let mut finish = |run: ((Device, Device), Verdicts)| {
            let ((from, to), verdicts) = run;
            let case = Case {
                client,
                devices: Some((from, to)),
                svn: None,
                scope: None,
                elsewhere: false,
                count: to.number() - from.number() + 1,
            };
            tally.add(&self.both, &case, &verdicts);
        };
        for (from, to) in self.space.segments() {
            let verdicts = self.both.verdicts(&client.inquiry(Some(from), None));
            run = match run {
                Some(((first, _), same)) if same == verdicts => Some(((first, to), same)),
                other => {
                    other.map(&mut finish);
                    Some(((from, to), verdicts))
                }
            };
        }
        run.map(finish);
        tally.sort();
        tally
    }

    /// Decides about devices with their software versions, where that makes a
    /// difference.
    fn device_svns(&self, client: &Client) -> Tally {
        let mut tally = Tally::default();
        for &(device, svn) in &self.device_svns {
            let without = self.both.verdicts(&client.inquiry(Some(device), None));
            let with = (self.both).verdicts(&client.inquiry(Some(device), Some(svn)));
            if with.outcomes() == without.outcomes() {
                continue;
            }
            let case = Case {
                client,
                devices: Some((device, device)),
                svn: Some(svn),
                scope: None,
                elsewhere: false,
                count: 1,
            };
            tally.add(&self.both, &case, &with);
        }
        tally.sort();
        tally
    }

    /// Decides about what is no IMEI.
    fn malformed(&self, client: &Client) -> Tally {
        let mut tally = Tally::default();
        let case = Case {
            client,
            devices: None,
            svn: None,
            scope: None,
            elsewhere: false,
            count: 1,
        };
        let verdicts = self.both.verdicts(&client.inquiry(None, None));
        tally.add(&self.both, &case, &verdicts);
        tally
    }

    //--- Subscribers

    /// Decides about the devices of all subscribers that are named, where that
    /// makes a difference.
    fn subscribers(&self) -> Tally {
        let mut tally = Tally::default();
        let anonymous = self.audiences.anonymous();
        let mut scopes = Vec::new();
        for group in self.named.chunk_by(|(one, _), (other, _)| one == other) {
            let Some(&(imsi, _)) = group.first() else {
                continue;
            };
            scopes.clear();
            scopes.extend(group.iter().map(|(_, scope)| *scope));
            let mut met = Vec::new();
            for client in &anonymous {
                let client = client.with_imsi(Some(imsi));
                let policies = self.both.policies(&client);
                if !met.contains(&policies) {
                    met.push(policies);
                    self.subscriber(&client, policies, &scopes, &mut tally);
                }
            }
        }
        tally.sort();
        tally
    }

    /// Decides about the devices of one subscriber.
    ///
    /// What makes the difference is seen by a client to whom the same policies
    /// apply and who names no subscriber, or none with entries of its own: the
    /// devices were compared for it, so that what it sees is known already.
    fn subscriber(
        &self,
        client: &Client,
        policies: (PolicyId, PolicyId),
        scopes: &[Scope],
        tally: &mut Tally,
    ) {
        let nobody = client.with_imsi(None);
        let nobody = self.audiences.of_policies(policies).unwrap_or(&nobody);
        let own = scopes.iter().filter_map(|&scope| {
            let (device, svn) = representative(scope)?;
            Some((device, svn, Some(scope)))
        });
        let other = self.space.outside(scopes);
        let other = other.map(|device| (device, None, None));
        for (device, svn, scope) in own.chain(other) {
            let verdicts = self.both.verdicts(&client.inquiry(Some(device), svn));
            let without = self.both.verdicts(&nobody.inquiry(Some(device), svn));
            if verdicts.outcomes() == without.outcomes() {
                continue;
            }
            let case = Case {
                client,
                devices: Some((device, device)),
                svn,
                scope,
                elsewhere: scope.is_none(),
                count: 1,
            };
            tally.add(&self.both, &case, &verdicts);
        }
    }
}

/// The devices of all rules and bindings.
fn scopes(snapshot: &Snapshot) -> impl Iterator<Item = Scope> {
    let rules = snapshot.rules().map(|rule| rule.scope);
    rules.chain(snapshot.bindings().map(|binding| binding.scope))
}
