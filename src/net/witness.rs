//! What a connection's task notes of each answer: counters, and the log.

use std::net::SocketAddr;

use super::throttle::Sampler;
use crate::metrics::Tally;
use crate::policy::{Ground, Inquiry, Rulebook, Verdict};
use crate::service::{Checked, Observer};
use crate::time::Uptime;
use crate::wire::{Fault, Message};

/// Counts each answer, and logs it where the log is that verbose.
pub(super) struct Witness<'a> {
    /// What is counted.
    pub(super) tally: &'a mut Tally,
    /// What the numbers of a verdict are of.
    pub(super) rulebook: &'a Rulebook,
    /// When a shadow's verdict may be logged.
    pub(super) samples: &'a Sampler,
    /// The time of the batch.
    pub(super) now: Uptime,
    /// The peer's address.
    pub(super) remote: SocketAddr,
    /// Whether to log.
    pub(super) verbose: bool,
    /// Whether to log identities in full.
    pub(super) show_identities: bool,
}

impl Observer for Witness<'_> {
    fn checked(&mut self, check: &Checked<'_>) {
        self.tally.checked(check);
        if self.verbose {
            let Inquiry { imei, imsi, .. } = check.inquiry;
            let imei = imei
                .ok()
                .map(|imei| self.identity(imei.device, imei.masked()));
            let imsi = imsi.map(|imsi| self.identity(imsi, imsi.masked()));
            tracing::debug!(
                "{} ({}): imei {} imsi {}: {}",
                check.request.origin_host().escape_ascii(),
                self.remote,
                imei.as_deref().unwrap_or("malformed"),
                imsi.as_deref().unwrap_or("none"),
                check.verdict.outcome,
            );
        }
    }

    fn shadowed(&mut self, check: &Checked<'_>, shadow: &Verdict) {
        self.tally.shadowed(check, shadow);
        if let Some(held_back) = self.samples.pass(self.now) {
            let Inquiry { imei, imsi, .. } = check.inquiry;
            let imei = imei
                .ok()
                .map(|imei| self.identity(imei.device, imei.masked()));
            let imsi = imsi.map(|imsi| self.identity(imsi, imsi.masked()));
            tracing::info!(
                "shadow: {}: imei {} imsi {}: {}, would be {} by {} ({held_back} more since the last)",
                check.request.origin_host().escape_ascii(),
                imei.as_deref().unwrap_or("malformed"),
                imsi.as_deref().unwrap_or("none"),
                check.verdict.outcome,
                shadow.outcome,
                self.deciding(check.inquiry, shadow),
            );
        }
    }

    fn faulted(&mut self, message: &Message<'_>, fault: &Fault<'_>) {
        self.tally.faulted(message, fault);
        if self.verbose {
            let report = fault.report();
            let (command, code) = (message.header().command, report.result_code);
            tracing::debug!("{}: {command}: {code}, {}", self.remote, report.message);
        }
    }
}

impl Witness<'_> {
    /// The list or the policy that decided.
    fn deciding(&self, inquiry: &Inquiry<'_>, verdict: &Verdict) -> String {
        let list = match verdict.ground {
            Ground::Rule(id) | Ground::NotWhitelisted(id) | Ground::Exception { rule: id, .. } => {
                let device = inquiry.imei.ok().map(|imei| imei.device);
                let rule = device.and_then(|device| self.rulebook.rule(id, device));
                rule.map(|rule| rule.list)
            }
            Ground::BindingMatch(id) | Ground::BindingMismatch(id) => {
                let binding = inquiry
                    .imsi
                    .and_then(|imsi| self.rulebook.binding(id, imsi));
                binding.map(|binding| binding.list)
            }
            _ => None,
        };
        match (list, self.rulebook.policy_name(verdict.policy)) {
            (Some(list), _) => format!("list {}", list.name),
            (None, name) => format!("policy {}", name.unwrap_or_default()),
        }
    }

    /// An identity as the log may have it.
    fn identity(&self, full: impl ToString, masked: impl ToString) -> String {
        match self.show_identities {
            true => full.to_string(),
            false => masked.to_string(),
        }
    }
}
