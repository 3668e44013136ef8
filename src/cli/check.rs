//! `weir check`: a small S13 client for one question.

mod series;

use std::io::{self, Write};
use std::time::Duration;

use bytes::BytesMut;
use clap::Args;
use serde::Serialize;

use super::explain::{parse_imsi, parse_svn};
use super::transport::TransportArgs;
use super::{complete, print_json, printed, runtime};
use crate::base::Node;
use crate::base::node::{Limits, NodeSettings, is_identity};
use crate::config::parse_duration;
use crate::equipment::Imei;
use crate::error::Failed;
use crate::net::Clock;
use crate::net::client::{Carrier, Client, ClientError, ServerIdentity, number, text};
use crate::s13::EquipmentStatus;
use crate::s13::request::{IdentityCheck, compose};
use crate::wire::code::ERROR_EQUIPMENT_UNKNOWN;
use crate::wire::{DEFAULT_MESSAGE_LEN_MAX, Deframed, Message, ResultCode, deframe, dictionary};

/// How long the server has to answer the disconnect: nobody who has the
/// verdict is to wait longer for a server that does not.
const FAREWELL: Duration = Duration::from_millis(500);

/// Ask a server about one IMEI: capabilities exchange, one ME-Identity-Check,
/// disconnect.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// The IMEI: 14, 15 or 16 digits. Sent as it is written.
    pub imei: String,

    /// The subscriber's IMSI (User-Name).
    #[arg(long, value_name = "DIGITS")]
    pub imsi: Option<String>,

    /// The software version (Software-Version): two digits.
    #[arg(long, value_name = "NN")]
    pub svn: Option<String>,

    /// The server: host or host:port; IPv6 addresses in brackets. The port is
    /// 3868 unless given, and 5868 with --tls.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1")]
    pub peer: String,

    /// Who to ask as. By default a name of its own, so that a check never
    /// takes the place of a connected MME.
    #[arg(long, value_name = "HOST")]
    pub origin_host: Option<String>,

    /// The realm to ask from; by default one that belongs to nobody,
    /// weir.invalid.
    #[arg(long, value_name = "REALM")]
    pub origin_realm: Option<String>,

    /// Name the server in Destination-Host; by default only its realm is
    /// named.
    #[arg(long, value_name = "HOST")]
    pub destination_host: Option<String>,

    /// The realm to send the request to; by default the server's.
    #[arg(long, value_name = "REALM")]
    pub destination_realm: Option<String>,

    /// Send the IMEI even if it cannot be one, to see what the server says.
    #[arg(long)]
    pub raw: bool,

    /// How many seconds to wait for an answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = parse_seconds)]
    pub timeout: f64,

    /// Ask so many times, 0 for until stopped by a signal: one line each, and a
    /// summary. A connection that is lost is opened again.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub repeat: u64,

    /// How long after the beginning of one request the next one follows, such
    /// as 200ms, 1s or 5m; 0s sends it as soon as the answer is there.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_interval)]
    pub interval: Duration,

    /// Print JSON; with --repeat, one object a line.
    #[arg(long)]
    pub json: bool,

    /// How the server is reached.
    #[command(flatten)]
    pub transport: TransportArgs,
}

/// What the server answered.
#[derive(Debug, Serialize)]
struct Answer {
    /// The IMEI asked about.
    imei: String,
    /// `whitelisted`, `blacklisted`, `greylisted`, `unknown` or `error`.
    verdict: &'static str,
    /// Equipment-Status.
    equipment_status: Option<u32>,
    /// Result-Code.
    result_code: Option<u32>,
    /// Experimental-Result-Code.
    experimental_result_code: Option<u32>,
    /// Error-Message.
    error_message: Option<String>,
    /// Origin-Host of the answer.
    origin_host: Option<String>,
    /// Origin-Realm of the answer.
    origin_realm: Option<String>,
    /// Product-Name of the server.
    product_name: String,
    /// From sending the request to having its answer.
    round_trip_micros: u64,
}

impl CheckArgs {
    /// Carries the command out, printing to `out`.
    ///
    /// # Errors
    ///
    /// A wrong argument, no connection, no answer, or an answer that is
    /// neither a verdict nor 5422.
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failed> {
        self.validate()?;
        let runtime = runtime()?;
        let carrier = self.transport.carrier()?;
        if self.repeat != 1 {
            return complete(runtime, series::run(self, &carrier, out));
        }
        let answer = complete(runtime, async {
            let mut session = self.open(&carrier).await?;
            let answer = session.ask(self).await?;
            session.close().await;
            Ok::<_, Failed>(answer)
        })?;
        match self.json {
            true => print_json(out, &answer)?,
            false => printed(print(out, &answer))?,
        }
        match answer.verdict {
            "error" => Err(Failed::new("the server answered with an error")),
            _ => Ok(()),
        }
    }

    /// Refuses what no server needs to be asked about.
    fn validate(&self) -> Result<(), Failed> {
        if let (Err(why), false) = (Imei::parse(self.imei.as_bytes()), self.raw) {
            return Err(Failed::usage(format!(
                "IMEI `{}`: {why} (--raw sends it all the same)",
                self.imei
            )));
        }
        self.svn.as_deref().map(parse_svn).transpose()?;
        self.imsi.as_deref().map(parse_imsi).transpose()?;
        let names = [
            ("--origin-host", &self.origin_host),
            ("--origin-realm", &self.origin_realm),
            ("--destination-host", &self.destination_host),
            ("--destination-realm", &self.destination_realm),
        ];
        for (option, name) in names {
            if name
                .as_ref()
                .is_some_and(|name| !is_identity(name.as_bytes()))
            {
                return Err(Failed::usage(format!(
                    "{option} is no DiameterIdentity; write a name such as mme.localdomain"
                )));
            }
        }
        Ok(())
    }

    /// Connects and exchanges capabilities.
    async fn open(&self, carrier: &Carrier) -> Result<Session, Failed> {
        let patience = Duration::from_secs_f64(self.timeout);
        let address = self.transport.address(&self.peer);
        let client = Client::connect(&address, carrier, self.node(), patience).await;
        let mut client = client.map_err(|error| self.failed(&address, error))?;
        let server = client
            .handshake()
            .await
            .map_err(|error| self.failed(&address, error))?;
        Ok(Session {
            client,
            server,
            address,
        })
    }

    /// An error of the client, with what to do about it.
    fn failed(&self, address: &str, error: ClientError) -> Failed {
        let remedy = self.transport.remedy(&error);
        match error {
            ClientError::Connect(..) => Failed::new(format!("{error}{remedy}")),
            ClientError::Refused {
                code: ResultCode::UNKNOWN_PEER,
                ..
            } => Failed::new(format!(
                "{error}\nThe server only admits the peers it knows: name one with --origin-host."
            )),
            ClientError::Transport(error) if error.kind() == io::ErrorKind::InvalidData => {
                Failed::new(format!(
                    "{address}: what the server sent is no Diameter message: {error}"
                ))
            }
            other => Failed::new(format!("{address}: {other}{remedy}")),
        }
    }

    /// What the answer says.
    fn read(&self, message: &Message<'_>, server: &ServerIdentity, round_trip: Duration) -> Answer {
        let result_code = number(message, dictionary::RESULT_CODE);
        let equipment_status = number(message, dictionary::EQUIPMENT_STATUS);
        let experimental_result_code = message
            .avps()
            .map_while(Result::ok)
            .filter(|avp| avp.key() == dictionary::EXPERIMENTAL_RESULT.key)
            .filter_map(|avp| avp.members())
            .flatten()
            .map_while(Result::ok)
            .find(|avp| avp.key() == dictionary::EXPERIMENTAL_RESULT_CODE.key)
            .and_then(|avp| avp.unsigned32());
        let success = result_code == Some(ResultCode::SUCCESS.0);
        let verdict = match (success, equipment_status, experimental_result_code) {
            (true, Some(0), _) => "whitelisted",
            (true, Some(1), _) => "blacklisted",
            (true, Some(2), _) => "greylisted",
            (false, _, Some(ERROR_EQUIPMENT_UNKNOWN)) => "unknown",
            _ => "error",
        };
        Answer {
            imei: self.imei.clone(),
            verdict,
            equipment_status,
            result_code,
            experimental_result_code,
            error_message: text(message, dictionary::ERROR_MESSAGE),
            origin_host: text(message, dictionary::ORIGIN_HOST),
            origin_realm: text(message, dictionary::ORIGIN_REALM),
            product_name: server.product_name.clone(),
            round_trip_micros: u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX),
        }
    }

    /// Who asks.
    fn node(&self) -> Node {
        let now = Clock::start().now().unix.0;
        let own = format!("check-{}-{now}.weir.invalid", std::process::id());
        Node::new(NodeSettings {
            origin_host: self.origin_host.clone().unwrap_or(own),
            origin_realm: self
                .origin_realm
                .clone()
                .unwrap_or_else(|| "weir.invalid".to_owned()),
            realms: Vec::new(),
            vendor_id: 0,
            product_name: "weir check".to_owned(),
            firmware_revision: 1,
            state_id: u32::try_from(now).unwrap_or_default(),
            limits: Limits {
                message_len_max: DEFAULT_MESSAGE_LEN_MAX,
                output_len_max: DEFAULT_MESSAGE_LEN_MAX,
                watchdog: crate::base::watchdog::DEFAULT_INTERVAL,
                handshake: Duration::from_secs_f64(self.timeout),
                drain: Duration::from_secs_f64(self.timeout),
            },
        })
    }
}

/// A connection to a server that is ready for questions.
struct Session {
    /// The connection.
    client: Client,
    /// Who the server is.
    server: ServerIdentity,
    /// Where it is, for errors.
    address: String,
}

impl Session {
    /// Asks once.
    async fn ask(&mut self, args: &CheckArgs) -> Result<Answer, Failed> {
        let (client, address) = (&mut self.client, &self.address);
        let identifiers = client.identifiers();
        // Each question is a session of its own (RFC 6733 section 8.8).
        let session_id = format!(
            "{};{};{};{}",
            client.node().settings().origin_host,
            client.node().settings().state_id,
            std::process::id(),
            identifiers.0
        );
        let check = IdentityCheck {
            session_id: &session_id,
            destination_host: args.destination_host.as_deref(),
            destination_realm: args
                .destination_realm
                .as_deref()
                .unwrap_or(&self.server.origin_realm),
            imei: &args.imei,
            software_version: args.svn.as_deref(),
            user_name: args.imsi.as_deref(),
        };
        let mut request = BytesMut::new();
        compose(&mut request, client.node(), identifiers, &check);
        let clock = Clock::start();
        let answer = client.exchange(&request).await;
        let answer = answer.map_err(|error| args.failed(address, error))?;
        let round_trip = clock.now().uptime.0;
        let Deframed::Message(message) = deframe(&answer, DEFAULT_MESSAGE_LEN_MAX) else {
            return Err(Failed::new(format!(
                "{address}: the answer is no Diameter message"
            )));
        };
        Ok(args.read(&message, &self.server, round_trip))
    }

    /// Disconnects.
    async fn close(self) {
        // The question is answered; how the server says goodbye is its own.
        let _ = tokio::time::timeout(FAREWELL, self.client.disconnect()).await;
    }
}

/// Prints an answer for people.
fn print(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    writeln!(out, "{}: {}", answer.imei, answer.verdict)?;
    if let Some(code) = answer.result_code {
        writeln!(out, "  Result-Code          {}", ResultCode(code))?;
    }
    if let Some(code) = answer.experimental_result_code {
        let name = match code {
            ERROR_EQUIPMENT_UNKNOWN => "DIAMETER_ERROR_EQUIPMENT_UNKNOWN",
            _ => "code",
        };
        writeln!(out, "  Experimental-Result  {name} ({code})")?;
    }
    if let Some(status) = answer.equipment_status {
        writeln!(out, "  Equipment-Status     {}", EquipmentStatus(status))?;
    }
    if let Some(message) = &answer.error_message {
        writeln!(out, "  Error-Message        {message}")?;
    }
    let server = answer
        .origin_host
        .as_deref()
        .unwrap_or("a server without a name");
    let millis = series::millis(answer.round_trip_micros);
    writeln!(out, "  answered by          {server} in {millis:.3} ms")
}

/// A number of seconds on the command line.
fn parse_seconds(text: &str) -> Result<f64, String> {
    let bounds = 0.001..=3600.0;
    let seconds: f64 = text
        .parse()
        .map_err(|_| "not a number of seconds".to_owned())?;
    match bounds.contains(&seconds) {
        true => Ok(seconds),
        false => Err("must be between 0.001 and 3600".to_owned()),
    }
}

/// A duration on the command line.
fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)
        .ok_or_else(|| "write a number and ms, s, m or h, as in 1s".to_owned())?;
    match interval <= INTERVAL_MAX {
        true => Ok(interval),
        false => Err("must be a day at most".to_owned()),
    }
}

/// The longest interval: longer ones are a calendar's.
const INTERVAL_MAX: Duration = Duration::from_secs(24 * 3600);
