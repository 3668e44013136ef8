//! `weir explain`: the way to a verdict, without a server.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::{configuration, print_json, printed};
use crate::equipment::{Imei, Imsi, Svn};
use crate::error::Failed;
use crate::journal::{self, above};
use crate::load;
use crate::net::Clock;
use crate::policy::Inquiry;
use crate::time::UnixTime;

/// Show step by step how a verdict is reached.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// The IMEI: 14, 15 or 16 digits, or `imei-…`, `imeisv-…`.
    pub imei: String,

    /// The subscriber's IMSI.
    #[arg(long, value_name = "DIGITS")]
    pub imsi: Option<String>,

    /// The software version: two digits.
    #[arg(long, value_name = "NN")]
    pub svn: Option<String>,

    /// The Origin-Host of the client that asks.
    #[arg(
        long,
        value_name = "HOST",
        default_value = "",
        hide_default_value = true
    )]
    pub origin_host: String,

    /// The Origin-Realm of the client that asks.
    #[arg(
        long,
        value_name = "REALM",
        default_value = "",
        hide_default_value = true
    )]
    pub origin_realm: String,

    /// The first Route-Record: the node that the first agent had the request
    /// from.
    #[arg(long, value_name = "HOST")]
    pub route_record: Option<String>,

    /// The time to judge by, instead of now: RFC 3339, such as
    /// 2027-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,

    /// The configuration; without it, the built-in register of test IMEIs.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

impl ExplainArgs {
    /// Carries the command out, printing to `out`.
    ///
    /// # Errors
    ///
    /// A wrong argument, or lists that cannot be loaded.
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failed> {
        let svn = self.svn.as_deref().map(parse_svn).transpose()?;
        let imsi = self.imsi.as_deref().map(parse_imsi).transpose()?;
        let now = match &self.at {
            Some(text) => parse_time(text)?,
            None => Clock::start().now().unix,
        };
        let config = configuration(self.config.as_deref())?;
        let rulebook = load::load(&config)?.rulebook;
        let secret = [journal::random(), journal::random()];
        let (rulebook, _) = above::laid_above(&rulebook, &journal::read(&config)?, secret);
        let inquiry = Inquiry {
            // A malformed one is explained too: policies may answer it.
            imei: Imei::parse(self.imei.as_bytes()),
            svn,
            imsi,
            origin_host: self.origin_host.as_bytes(),
            origin_realm: self.origin_realm.as_bytes(),
            route_record: self.route_record.as_deref().map(str::as_bytes),
        };
        let explanation = rulebook.explain(&inquiry, now);
        match self.json {
            true => print_json(out, &explanation),
            false => printed(write!(out, "{explanation}")),
        }
    }
}

/// The `--svn` of a command line.
pub(super) fn parse_svn(text: &str) -> Result<Svn, Failed> {
    Svn::from_digits(text.as_bytes())
        .ok_or_else(|| Failed::usage(format!("--svn `{text}`: write two digits, such as 05")))
}

/// The `--imsi` of a command line.
pub(super) fn parse_imsi(text: &str) -> Result<Imsi, Failed> {
    Imsi::parse(text.as_bytes()).map_err(|why| Failed::usage(format!("--imsi `{text}`: {why}")))
}

/// The `--at` of a command line.
pub(super) fn parse_time(text: &str) -> Result<UnixTime, Failed> {
    let time: jiff::Timestamp = text.parse().map_err(|_| {
        Failed::usage(format!(
            "--at `{text}`: write a time such as 2027-01-31T12:00:00Z"
        ))
    })?;
    Ok(UnixTime(time.as_second()))
}
