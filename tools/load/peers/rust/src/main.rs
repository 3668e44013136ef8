//! An S13 server on the crate `diameter`, to be measured: every device is
//! blacklisted. It looks nothing up, so that a register behind it would only
//! make it slower.
//!
//! Prints "listening on tcp://127.0.0.1:PORT", and ends with its standard input.
//!
//! The crate knows no S13: it refuses commands and applications that it has no
//! name for. So their numbers are exchanged in the header for those of credit
//! control before a message is decoded, and back after one was encoded. For that
//! its connection loop is here, with the steps of `transport::server` and
//! `transport::Codec` one by one, on one thread and without Nagle's algorithm;
//! decoding, the dictionary and encoding are the crate's.

use std::io::{self, Cursor};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread;

use diameter::avp::flags::{M, V};
use diameter::avp::{Address, AvpType, Enumerated, Grouped, Identity, UTF8String, Unsigned32};
use diameter::dictionary::{AvpDefinition, DEFAULT_DICT_XML, Dictionary};
use diameter::{CommandCode, DiameterMessage, flags};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// ME-Identity-Check and S13, as the octets of a header have them.
const S13: ([u8; 3], [u8; 4]) = ([0x00, 0x01, 0x44], [0x01, 0x00, 0x00, 0x24]);
/// Credit-Control, and its application.
const CREDIT: ([u8; 3], [u8; 4]) = ([0x00, 0x01, 0x10], [0x00, 0x00, 0x00, 0x04]);

/// 3GPP.
const VENDOR: u32 = 10415;
/// DIAMETER_SUCCESS.
const SUCCESS: u32 = 2001;
/// The longest message that the crate reads.
const LEN_MAX: usize = 1024 * 1024;

/// Whatever goes wrong: the connection ends.
type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, listen())
}

/// Takes connections for ever.
async fn listen() -> Result<(), Failed> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on tcp://{}", listener.local_addr()?);
    let dictionary = Arc::new(dictionary());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let dictionary = dictionary.clone();
        tokio::task::spawn_local(async move {
            if let Err(error) = serve(stream, dictionary).await {
                eprintln!("{error}");
            }
        });
    }
}

/// The crate's dictionary, and what S13 has beside it (TS 29.272 clause 7.3).
fn dictionary() -> Dictionary {
    let mut dictionary = Dictionary::new(&[&DEFAULT_DICT_XML]);
    for (code, name, avp_type) in [
        (1401, "Terminal-Information", AvpType::Grouped),
        (1402, "IMEI", AvpType::UTF8String),
        (1403, "Software-Version", AvpType::UTF8String),
        (1445, "Equipment-Status", AvpType::Enumerated),
    ] {
        dictionary.add_avp(AvpDefinition {
            code,
            vendor_id: Some(VENDOR),
            name: name.to_owned(),
            avp_type,
            m_flag: true,
        });
    }
    dictionary
}

/// Answers the requests of a connection.
async fn serve(mut stream: TcpStream, dictionary: Arc<Dictionary>) -> Result<(), Failed> {
    loop {
        let mut start = [0; 4];
        match stream.read_exact(&mut start).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        };
        let length = u32::from_be_bytes([0, start[1], start[2], start[3]]) as usize;
        if !(20..=LEN_MAX).contains(&length) {
            return Err("a message of a wrong length".into());
        }
        let mut buffer = Vec::with_capacity(length);
        buffer.extend_from_slice(&start);
        buffer.resize(length, 0);
        stream.read_exact(&mut buffer[4..]).await?;
        let is_s13 = exchange(&mut buffer, S13, CREDIT);
        let request = DiameterMessage::decode_from(&mut Cursor::new(buffer), dictionary.clone())?;
        let answer = answer(&request, &dictionary)?;
        let mut buffer = Vec::new();
        answer.encode_to(&mut buffer)?;
        if is_s13 {
            exchange(&mut buffer, CREDIT, S13);
        }
        stream.write_all(&buffer).await?;
    }
}

/// Exchanges the command and application of a message, if they are these.
fn exchange(message: &mut [u8], from: ([u8; 3], [u8; 4]), to: ([u8; 3], [u8; 4])) -> bool {
    let is_it = message[5..8] == from.0 && message[8..12] == from.1;
    if is_it {
        message[5..8].copy_from_slice(&to.0);
        message[8..12].copy_from_slice(&to.1);
    }
    is_it
}

/// What a request is answered.
fn answer(
    request: &DiameterMessage,
    dictionary: &Arc<Dictionary>,
) -> Result<DiameterMessage, Failed> {
    let mut answer = DiameterMessage::new(
        request.get_command_code(),
        request.get_application_id(),
        request.get_flags() & !flags::REQUEST,
        request.get_hop_by_hop_id(),
        request.get_end_to_end_id(),
        dictionary.clone(),
    );
    if request.get_command_code() == CommandCode::CreditControl {
        let session = request.get_avp(263).ok_or("a request without Session-Id")?;
        answer.add(session.clone());
    }
    answer.add_avp(268, None, M, Unsigned32::new(SUCCESS).into());
    let host = "eir.epc.mnc001.mcc001.3gppnetwork.org";
    let realm = "epc.mnc001.mcc001.3gppnetwork.org";
    answer.add_avp(264, None, M, Identity::new(host).into());
    answer.add_avp(296, None, M, Identity::new(realm).into());
    match request.get_command_code() {
        CommandCode::CreditControl => {
            answer.add_avp(277, None, M, Enumerated::new(1).into());
            answer.add_avp(1445, Some(VENDOR), V | M, Enumerated::new(1).into());
        }
        CommandCode::CapabilitiesExchange => {
            let address = Address::from_ipv4(Ipv4Addr::LOCALHOST);
            answer.add_avp(257, None, M, address.into());
            answer.add_avp(266, None, M, Unsigned32::new(0).into());
            answer.add_avp(269, None, 0, UTF8String::new("diameter").into());
            answer.add_avp(265, None, M, Unsigned32::new(VENDOR).into());
            let mut application = Grouped::new(Vec::new(), dictionary.clone());
            application.add_avp(266, None, M, Unsigned32::new(VENDOR).into());
            application.add_avp(
                258,
                None,
                M,
                Unsigned32::new(u32::from_be_bytes(S13.1)).into(),
            );
            answer.add_avp(260, None, M, application.into());
        }
        _ => {}
    }
    Ok(answer)
}
