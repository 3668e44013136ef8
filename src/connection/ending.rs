//! How a connection ends and why, and what is decided on a peer's claim.

use core::fmt;

use crate::base::disconnect::DisconnectCause;
use crate::wire::{BrokenFrame, Fault, ResultCode};

/// That a connection is to end, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Whether to abort (TCP RST, SCTP ABORT) rather than to send what is
    /// composed and close in order.
    pub abort: bool,
    /// Why.
    pub reason: EndReason,
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The first message was not a CER.
    NotCer,
    /// No CER came, or its claim was not decided, in time; or no CEA.
    HandshakeTimeout,
    /// The CER was refused with this Result-Code.
    Refused(ResultCode),
    /// The first message of the peer that we called was not the CEA.
    NotCea,
    /// The peer refused our CER with this Result-Code.
    RefusedByPeer(ResultCode),
    /// The CEA cannot be read.
    BadCea,
    /// The CEA is of another Origin-Host or Origin-Realm than was called.
    WrongPeer,
    /// The peer that we called serves neither S13 nor relay.
    NoCommonApplication,
    /// The peer has called as well, and its connection is kept.
    ElectionWon,
    /// The peer did not answer the watchdog.
    WatchdogTimeout,
    /// The peer asked for another connection and this one showed no life.
    Superseded,
    /// The peer disconnected with this cause.
    PeerDisconnected(DisconnectCause),
    /// Our DPR was answered.
    Disconnected,
    /// Our DPR was not answered in time.
    DisconnectTimeout,
    /// It was ended before it was open.
    Shutdown,
    /// The peer ended the transport without a DPR, or the network did.
    Lost,
    /// The message boundary was lost.
    Broken(BrokenFrame),
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCer => f.write_str("the first message was not a CER"),
            Self::HandshakeTimeout => f.write_str("no capabilities exchange in time"),
            Self::Refused(code) => write!(f, "the CER was refused with {code}"),
            Self::NotCea => f.write_str("the CER was answered with something else"),
            Self::RefusedByPeer(code) => write!(f, "the peer refused the CER with {code}"),
            Self::BadCea => f.write_str("the CEA cannot be read"),
            Self::WrongPeer => f.write_str("the CEA is of another peer than configured"),
            Self::NoCommonApplication => {
                f.write_str("the peer offers neither S13 (16777252) nor relay")
            }
            Self::ElectionWon => f.write_str("the connection that the peer opened is kept"),
            Self::WatchdogTimeout => f.write_str("the watchdog was not answered"),
            Self::Superseded => f.write_str("the peer opened another connection"),
            Self::PeerDisconnected(cause) => write!(f, "the peer disconnected, cause {cause}"),
            Self::Disconnected => f.write_str("disconnected"),
            Self::DisconnectTimeout => f.write_str("the DPR was not answered in time"),
            Self::Shutdown => f.write_str("shut down before it was open"),
            Self::Lost => f.write_str("the peer closed the connection"),
            Self::Broken(broken) => write!(f, "no Diameter: {broken}"),
        }
    }
}

/// What is decided on a peer's claim to have a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may have it.
    Granted,
    /// It may not.
    Refused(Refusal),
}

/// Why a peer may not have a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is not admitted: 3010.
    UnknownPeer,
    /// Its certificate is not one of its Origin-Host: 3010.
    NotCertified,
    /// It has as many connections as it may have, and all are alive: 5012.
    AlreadyConnected,
    /// Both sides have called, and our connection is kept: 4003.
    ElectionLost,
}

impl Refusal {
    /// The fault that the CEA reports.
    pub(super) const fn fault(self) -> Fault<'static> {
        match self {
            Self::UnknownPeer => Fault::UnknownPeer,
            Self::NotCertified => Fault::NotCertified,
            Self::AlreadyConnected => Fault::AlreadyConnected,
            Self::ElectionLost => Fault::ElectionLost,
        }
    }
}
