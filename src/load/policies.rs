//! The policies of a configuration, above the lists that were loaded.

use crate::config::{self, Config};
use crate::equipment::Snapshot;
use crate::policy::{PolicyError, PolicySpec, Rulebook};

/// The name of the default policy in reports and explanations.
const DEFAULT_POLICY: &str = "default";

/// The rulebook of these lists and the policies of a configuration.
pub(super) fn rulebook(config: &Config, snapshot: Snapshot) -> Result<Rulebook, PolicyError> {
    let register = &config.register;
    let default = PolicySpec {
        unlisted: register.unlisted(),
        malformed: register.malformed,
        combine: register.combine,
        ..PolicySpec::new(DEFAULT_POLICY)
    };
    let policies = config.policies.iter();
    let policies = policies.map(|policy| policy_spec(policy, register, &snapshot));
    let policies: Vec<_> = policies.collect();
    Rulebook::new(snapshot, register.override_status, default, policies)
}

/// What a policy of the configuration says. Every list that it names is known
/// to be there.
fn policy_spec(
    policy: &config::Policy,
    register: &config::Register,
    snapshot: &Snapshot,
) -> PolicySpec {
    let id = |name: &String| {
        let named = snapshot.lists().find(|list| list.name == name);
        named.map(|list| list.id)
    };
    PolicySpec {
        name: policy.name.clone(),
        origin_hosts: policy.matches.origin_host.clone(),
        origin_realms: policy.matches.origin_realm.clone(),
        route_records: policy.matches.route_record.clone(),
        imsi_prefixes: policy.matches.imsi_prefix.clone(),
        imsi_ranges: (policy.matches.imsi_range.iter())
            .filter_map(|range| config::split_imsi_range(range).ok())
            .map(|(first, last)| (first.to_owned(), last.to_owned()))
            .collect(),
        lists: (policy.lists.as_ref()).map(|names| names.iter().filter_map(id).collect()),
        unlisted: policy.unlisted(register),
        malformed: policy.malformed.unwrap_or(register.malformed),
        combine: policy.combine(register),
        override_status: policy.override_status,
        shadow: policy.shadow,
    }
}
